package ndes_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"chancery/internal/doubles/ndes"
	"chancery/internal/testpeer"

	"github.com/smallstep/pkcs7"
	"github.com/smallstep/scep"
)

// TestEnrol: a device with a challenge gets what it asks for, and the books
// say so.
func TestEnrol(t *testing.T) {
	s := start(t, ndes.Config{MaxQuery: 8192, MaxURL: 8192})
	status, media, caps := get(t, s.SCEPURL()+"/pkiclient.exe?operation=GetCACaps&message=any")
	if status != http.StatusOK || media != "text/plain" || !strings.Contains(string(caps), "POSTPKIOperation\r\nRenewal\r\n") || strings.Contains(string(caps), "AES") {
		t.Errorf("GetCACaps: %d %s %q", status, media, caps)
	}
	_, media, body := get(t, s.SCEPURL()+"?operation=GetCACert&message=default")
	certs := must(scep.CACerts(body))(t)
	signing, encryption := s.RA()
	if media != "application/x-x509-ca-ra-cert" || len(certs) != 4 || !certs[0].Equal(s.Issuer()) || !certs[1].Equal(s.Root()) || !certs[2].Equal(signing) || !certs[3].Equal(encryption) {
		t.Errorf("GetCACert: %s, %d certificates", media, len(certs))
	}
	if signing.KeyUsage != x509.KeyUsageDigitalSignature || encryption.KeyUsage != x509.KeyUsageKeyEncipherment || signing.CheckSignatureFrom(s.Issuer()) != nil {
		t.Errorf("the RA certificates have %v and %v", signing.KeyUsage, encryption.KeyUsage)
	}
	if status, _, body := get(t, s.SCEPURL()); status != http.StatusOK || !bytes.Contains(body, []byte("N\x00e\x00t\x00w\x00o\x00r\x00k\x00")) {
		t.Errorf("help page: %d %q", status, body)
	}

	for _, byPOST := range []bool{true, false} {
		c := challenge(t, s)
		d := newDevice(t, request{name: "device", challenge: c, dns: []string{"a.example"}, usage: 0xa0})
		var cert *x509.Certificate
		if byPOST {
			cert = granted(t, d.ask(t, s, scep.PKCSReq))
		} else {
			_, _, body := get(t, byGET(s, d.message(t, encryption, scep.PKCSReq, d.csr)))
			cert = granted(t, d.open(t, s, body))
		}
		if cert.Subject.String() != "CN=device" || cert.DNSNames[0] != "a.example" || cert.KeyUsage != x509.KeyUsageDigitalSignature|x509.KeyUsageKeyEncipherment || cert.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth {
			t.Errorf("issued %s %v %v", cert.Subject, cert.DNSNames, cert.KeyUsage)
		}
		all := s.Issued()
		last := all[len(all)-1]
		if !last.Certificate.Equal(cert) || last.Challenge != c || last.Transaction != d.tx || last.Renewal || last.Serial != cert.SerialNumber.Text(16) || !bytes.Equal(last.SPKI, cert.RawSubjectPublicKeyInfo) {
			t.Errorf("the ledger has %+v", last)
		}
	}
	if c := s.Counts(); c != (ndes.Counts{Pages: 2, Minted: 2, Used: 2}) {
		t.Errorf("counted %+v", c)
	}
}

// TestOnlyTheSignerReads: a certificate that only lies in the request gets no
// copy of the reply.
func TestOnlyTheSignerReads(t *testing.T) {
	s := start(t, ndes.Config{})
	_, to := s.RA()
	d := newDevice(t, request{name: "device", challenge: challenge(t, s)})
	other := must(rsa.GenerateKey(rand.Reader, 2048))(t)
	eve := selfSigned(t, other, "eve")
	m := d.post(t, s, d.message(t, to, scep.PKCSReq, d.csr, eve))
	granted(t, m)
	if m.DecryptPKIEnvelope(eve, other) == nil {
		t.Error("a bystander can read the reply")
	}
}

// TestChallenges: a challenge works once, in time, and only as it was made.
func TestChallenges(t *testing.T) {
	c := newClock()
	s := start(t, ndes.Config{Now: c.Now})
	const reason = "challenge password"
	ask := func(text string) *scep.PKIMessage {
		return newDevice(t, request{name: "device", challenge: text}).ask(t, s, scep.PKCSReq)
	}
	refused(t, s, ask(""), scep.BadRequest, reason)
	refused(t, s, ask("0123456789ABCDEF"), scep.BadRequest, reason)
	one, two := challenge(t, s), challenge(t, s)
	refused(t, s, ask(one+" "), scep.BadRequest, reason)
	granted(t, ask(one))
	refused(t, s, ask(one), scep.BadRequest, reason)
	c.turn(time.Hour)
	refused(t, s, ask(two), scep.BadRequest, reason)
	three := challenge(t, s)
	s.Reset()
	refused(t, s, ask(three), scep.BadRequest, reason)
	if n := s.Counts(); n.Burnt != 2 || n.Used != 1 || n.Minted != 3 || n.Outstanding != 0 {
		t.Errorf("counted %+v", n)
	}
	if n := len(s.Issued()); n != 1 {
		t.Errorf("issued %d", n)
	}

	single := start(t, ndes.Config{SinglePassword: true})
	text := challenge(t, single)
	for range 3 {
		granted(t, newDevice(t, request{name: "device", challenge: text}).ask(t, single, scep.PKCSReq))
	}
	if again := challenge(t, single); again != text {
		t.Errorf("the single password changed from %s to %s", text, again)
	}
	granted(t, newDevice(t, request{name: "device"}).ask(t, start(t, ndes.Config{NoPassword: true}), scep.PKCSReq))
}

// TestRenewal: the current certificate renews itself, as 17 and as 19, and
// nothing else renews it.
func TestRenewal(t *testing.T) {
	c := newClock()
	s := start(t, ndes.Config{Now: c.Now, General: ndes.Template{Validity: 24 * time.Hour}})
	d := newDevice(t, request{name: "device", challenge: challenge(t, s)})
	first := granted(t, d.ask(t, s, scep.PKCSReq))
	for _, kind := range []scep.MessageType{scep.RenewalReq, scep.PKCSReq} {
		again := newDevice(t, request{name: "device", challenge: "any"})
		again.signer = first
		granted(t, again.ask(t, s, kind))
	}
	if all := s.Issued(); len(all) != 3 || !all[2].Renewal || all[2].Challenge != "" {
		t.Errorf("the ledger has %+v", all)
	}

	other := newDevice(t, request{name: "another"})
	other.signer = first
	refused(t, s, other.ask(t, s, scep.RenewalReq), scep.BadRequest, "another subject")
	plain := newDevice(t, request{name: "device", challenge: challenge(t, s)})
	refused(t, s, plain.ask(t, s, scep.RenewalReq), scep.BadRequest, "neither of this CA")
	foreign := start(t, ndes.Config{})
	d = newDevice(t, request{name: "device", challenge: challenge(t, foreign)})
	d.signer = granted(t, d.ask(t, foreign, scep.PKCSReq))
	refused(t, s, d.ask(t, s, scep.RenewalReq), scep.BadRequest, "neither of this CA")
	refused(t, s, d.ask(t, s, scep.PKCSReq), scep.BadRequest, "neither of this CA")

	c.turn(25 * time.Hour)
	late := newDevice(t, request{name: "device"})
	late.signer = first
	refused(t, s, late.ask(t, s, scep.RenewalReq), scep.BadRequest, "expired")
}

// TestTemplates: the keyUsage of the request chooses one of three, each with
// its own rules.
func TestTemplates(t *testing.T) {
	s := start(t, ndes.Config{PasswordMax: 100, FailInfoText: true,
		Signature:  ndes.Template{Name: "Sign", Validity: time.Hour, EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}},
		Encryption: ndes.Template{Name: "Encrypt", Subject: "svc-ndes"},
		General:    ndes.Template{Name: "Both", KeyBits: 3072}})
	for usage, want := range map[byte]string{0x80: "Sign", 0x40: "Sign", 0xc0: "Sign", 0x20: "Encrypt", 0x10: "Encrypt"} {
		cert := granted(t, newDevice(t, request{name: "device", challenge: challenge(t, s), usage: usage, dns: []string{"a.example"}}).ask(t, s, scep.PKCSReq))
		all := s.Issued()
		if got := all[len(all)-1].Template; got != want {
			t.Errorf("keyUsage %x: template %s, want %s", usage, got, want)
		}
		if want == "Encrypt" && (cert.Subject.String() != "CN=svc-ndes" || len(cert.DNSNames) > 0) {
			t.Errorf("the directory names %s %v", cert.Subject, cert.DNSNames)
		}
		if want == "Sign" && (cert.ExtKeyUsage[0] != x509.ExtKeyUsageServerAuth || time.Until(cert.NotAfter) > time.Hour) {
			t.Errorf("issued %v until %s", cert.ExtKeyUsage, cert.NotAfter)
		}
	}
	for _, usage := range []byte{0, 0xa0} {
		m := newDevice(t, request{name: "device", challenge: challenge(t, s), usage: usage}).ask(t, s, scep.PKCSReq)
		refused(t, s, m, scep.BadRequest, "0x80094811")
		if !bytes.Contains(m.Raw, []byte("CERTSRV_E_KEY_LENGTH")) {
			t.Error("failInfoText does not say why")
		}
	}
	refused(t, s, newDevice(t, request{challenge: challenge(t, s), usage: 0x80}).ask(t, s, scep.PKCSReq), scep.BadRequest, "0x80094001")
	denying := start(t, ndes.Config{General: ndes.Template{Deny: 0x80094012}})
	m := newDevice(t, request{name: "device", challenge: challenge(t, denying)}).ask(t, denying, scep.PKCSReq)
	refused(t, denying, m, scep.BadRequest, "0x80094012 (-2146877422 CERTSRV_E_TEMPLATE_DENIED)")
	if bytes.Contains(m.Raw, []byte("TEMPLATE_DENIED")) {
		t.Error("failInfoText was not asked for")
	}
	if r := denying.Refused(); r[0].HRESULT != 0x80094012 {
		t.Errorf("refused with %x", r[0].HRESULT)
	}
}

// TestPending: a request waits for a person, is known for 20 minutes, and takes
// one certificate whatever the client repeats.
func TestPending(t *testing.T) {
	c := newClock()
	s := start(t, ndes.Config{Now: c.Now, General: ndes.Template{Pending: true}})
	pending := func(m *scep.PKIMessage) {
		t.Helper()
		if m.PKIStatus != scep.PENDING {
			t.Fatalf("status %s", m.PKIStatus)
		}
	}
	d := newDevice(t, request{name: "device", challenge: challenge(t, s)})
	pending(d.ask(t, s, scep.PKCSReq))
	pending(d.ask(t, s, scep.PKCSReq)) // the challenge is used up, the request is known
	pending(d.poll(t, s))
	if w := s.Waiting(); len(w) != 1 || w[0].Transaction != d.tx || w[0].Subject != "CN=device" {
		t.Fatalf("waiting: %+v", w)
	}
	stranger := newDevice(t, request{name: "device", key: must(rsa.GenerateKey(rand.Reader, 2048))(t)})
	stranger.tx = d.tx
	refused(t, s, stranger.poll(t, s), scep.BadCertID, "no such request")
	subject := must(x509.ParseCertificateRequest(d.csr))(t).RawSubject
	refused(t, s, d.pollFor(t, s, s.Root().RawSubject, subject), scep.BadCertID, "no such request")
	refused(t, s, d.pollFor(t, s, s.Issuer().RawSubject, s.Root().RawSubject), scep.BadCertID, "no such request")
	refused(t, s, stranger.ask(t, s, scep.PKCSReq), scep.BadRequest, "challenge password")
	if err := s.Approve(d.tx); err != nil {
		t.Fatal(err)
	}
	if s.Approve(d.tx) == nil || s.Deny(d.tx) == nil || s.Approve("another") == nil {
		t.Error("what is not waiting was decided")
	}
	if !granted(t, d.poll(t, s)).Equal(granted(t, d.ask(t, s, scep.PKCSReq))) || len(s.Issued()) != 1 {
		t.Errorf("issued %d", len(s.Issued()))
	}

	no := newDevice(t, request{name: "no", challenge: challenge(t, s)})
	pending(no.ask(t, s, scep.PKCSReq))
	if err := s.Deny(no.tx); err != nil {
		t.Fatal(err)
	}
	refused(t, s, no.poll(t, s), scep.BadRequest, "CERTSRV_E_ADMIN_DENIED_REQUEST")

	late := newDevice(t, request{name: "late", challenge: challenge(t, s)})
	pending(late.ask(t, s, scep.PKCSReq))
	c.turn(20 * time.Minute)
	refused(t, s, late.poll(t, s), scep.BadCertID, "no such request")
}

// TestRepeated: whether a request whose answer was lost gets its certificate
// when it is sent again is a setting, as nobody knows it of Windows.
func TestRepeated(t *testing.T) {
	for _, cached := range []bool{false, true} {
		s := start(t, ndes.Config{CacheIssued: cached})
		s.Fail(ndes.Fault{At: ndes.PKI, Act: ndes.LoseAnswer})
		d := newDevice(t, request{name: "device", challenge: challenge(t, s)})
		_, to := s.RA()
		message := d.message(t, to, scep.PKCSReq, d.csr)
		if r, err := http.Post(s.SCEPURL()+"?operation=PKIOperation", "", bytes.NewReader(message)); err == nil {
			t.Fatalf("an answer: %s", r.Status)
		}
		if n := len(s.Issued()); n != 1 {
			t.Fatalf("issued %d", n)
		}
		again := d.post(t, s, message)
		if cached {
			granted(t, again)
		} else {
			refused(t, s, again, scep.BadRequest, "used")
		}
		if n := len(s.Issued()); n != 1 {
			t.Errorf("issued %d", n)
		}
	}
}

// TestStrict: what is broken, or in the wrong algorithm, or for another key, is
// told apart.
func TestStrict(t *testing.T) {
	s := start(t, ndes.Config{OnlyCaps: true, Caps: []string{"SHA-256", "AES"}})
	signing, to := s.RA()
	d := newDevice(t, request{name: "device", challenge: challenge(t, s)})
	refused(t, s, d.post(t, s, d.message(t, signing, scep.PKCSReq, d.csr)), scep.BadMessageCheck, "encryption RA")
	refused(t, s, d.post(t, s, d.message(t, to, scep.UpdateReq, d.csr)), scep.BadRequest, "messageType")
	refused(t, s, d.post(t, s, d.message(t, to, "99", d.csr)), scep.BadRequest, "messageType")
	refused(t, s, d.post(t, s, d.message(t, to, scep.PKCSReq, []byte("garbage"))), scep.BadRequest, "PKCS#10")
	refused(t, s, d.post(t, s, d.message(t, to, scep.CertPoll, []byte("garbage"))), scep.BadRequest, "IssuerAndSubject")
	broken := bytes.Clone(d.csr)
	broken[len(broken)-1] ^= 1
	refused(t, s, d.post(t, s, d.message(t, to, scep.PKCSReq, broken)), scep.BadRequest, "PKCS#10")
	forged := d.message(t, to, scep.PKCSReq, d.csr)
	forged[len(forged)-1] ^= 1
	refused(t, s, d.post(t, s, forged), scep.BadMessageCheck, "signature")
	d.signer = to // neither self-signed nor the key's
	refused(t, s, d.post(t, s, d.message(t, to, scep.PKCSReq, d.csr)), scep.BadMessageCheck, "signature")

	d.signer = selfSigned(t, d.key, "device")
	func() {
		pkcs7.ContentEncryptionAlgorithm = pkcs7.EncryptionAlgorithmDESCBC
		defer func() { pkcs7.ContentEncryptionAlgorithm = pkcs7.EncryptionAlgorithmAES128CBC }()
		for _, s := range []*ndes.Server{s, start(t, ndes.Config{})} {
			refused(t, s, d.ask(t, s, scep.PKCSReq), scep.BadAlg, "cipher")
		}
	}()
	library := must(scep.NewCSRRequest(must(x509.ParseCertificateRequest(d.csr))(t), &scep.PKIMessage{MessageType: scep.PKCSReq,
		Recipients: []*x509.Certificate{to}, SignerKey: d.key, SignerCert: d.signer}))(t) // in SHA-1
	d.tx, d.nonce = string(library.TransactionID), library.SenderNonce
	refused(t, s, d.post(t, s, library.Raw), scep.BadAlg, "digest")

	envelope := must(pkcs7.Encrypt(d.csr, []*x509.Certificate{to}))(t)
	kind := pkcs7.Attribute{Type: oidMessageType, Value: scep.PKCSReq}
	twice := d.sign(t, must(pkcs7.NewSignedData(envelope))(t), kind, kind)
	foreign := must(pkcs7.NewSignedData(envelope))(t)
	foreign.GetSignedData().ContentInfo.ContentType = pkcs7.OIDEnvelopedData
	for name, garbage := range map[string][]byte{"nothing": nil, "an attribute twice": twice, "no messageType": d.sign(t, must(pkcs7.NewSignedData(envelope))(t)),
		"another contentType": d.sign(t, foreign, kind), "garbage": []byte("garbage"), "more": append(d.message(t, to, scep.PKCSReq, d.csr), 0), "no SignedData": envelope} {
		if status, _, _ := read(t)(http.Post(s.SCEPURL()+"?operation=PKIOperation", "", bytes.NewReader(garbage))); status != http.StatusInternalServerError {
			t.Errorf("%s: %d", name, status)
		}
	}
	if status, _, _ := read(t)(http.Post(s.SCEPURL()+"?operation=PKIOperation", "", bytes.NewReader(make([]byte, 1<<20)))); status != http.StatusRequestEntityTooLarge {
		t.Errorf("a megabyte: %d", status)
	}
	for query, want := range map[string]int{"operation=GetNextCACert": 500, "operation=getcacaps": 500, "operation=GetCACaps&a=%zz": 400} {
		if status, _, _ := get(t, s.SCEPURL()+"?"+query); status != want {
			t.Errorf("%s: %d, want %d", query, status, want)
		}
	}
	if len(s.Issued()) != 0 {
		t.Error("something was issued")
	}
}

// TestLimits: the limits of IIS as it is installed, and the encoding of GET.
func TestLimits(t *testing.T) {
	s := start(t, ndes.Config{})
	_, to := s.RA()
	d := newDevice(t, request{name: "device", challenge: challenge(t, s)})
	message := d.message(t, to, scep.PKCSReq, d.csr)
	if status, _, body := get(t, byGET(s, message)); status != http.StatusNotFound || !bytes.Contains(body, []byte("404.15")) {
		t.Errorf("long query: %d %s", status, body)
	}
	for n, want := range map[int]string{2048 - len("operation="): "500", 2049 - len("operation="): "404.15", 5000: "404.14", 17000: "headers"} {
		status, _, body := get(t, s.SCEPURL()+"?operation="+strings.Repeat("x", n))
		if !strings.Contains(fmt.Sprintf("%d %s", status, body), want) {
			t.Errorf("%d characters: %d %s", n, status, body)
		}
	}
	r := must(http.NewRequest("GET", s.SCEPURL()+"?operation=GetCACaps", nil))(t)
	r.Header.Set("Cookie", strings.Repeat("x", 16384))
	if status, _, _ := read(t)(http.DefaultClient.Do(r)); status != http.StatusBadRequest {
		t.Errorf("long headers: %d", status)
	}

	wide := start(t, ndes.Config{MaxQuery: 16000, MaxURL: 16000})
	_, to = wide.RA()
	password, text := challenge(t, wide), ""
	for n := 0; !strings.Contains(text, "+") || !strings.HasSuffix(text, "="); n++ { // what can go wrong has to be there
		d = newDevice(t, request{name: "device" + strings.Repeat("x", n), challenge: password})
		message = d.message(t, to, scep.PKCSReq, d.csr)
		text = base64.StdEncoding.EncodeToString(message)
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	last := strings.IndexByte(text, '=') - 1 // where bits are left over
	spare := text[:last] + string(alphabet[strings.IndexByte(alphabet, text[last])|1]) + text[last+1:]
	for name, raw := range map[string]string{
		"spare bits": url.QueryEscape(spare), "raw plus sign": strings.ReplaceAll(text, "=", "%3D"), "no padding": url.QueryEscape(strings.TrimRight(text, "=")),
		"URL alphabet": url.QueryEscape(base64.URLEncoding.EncodeToString(message)),
	} {
		if status, _, _ := get(t, wide.SCEPURL()+"?operation=PKIOperation&message="+raw); status != http.StatusInternalServerError {
			t.Errorf("%s: %d", name, status)
		}
	}
	var lines strings.Builder
	for ; text != ""; text = text[min(64, len(text)):] {
		lines.WriteString(text[:min(64, len(text))] + "\n")
	}
	_, _, body := get(t, wide.SCEPURL()+"?operation=PKIOperation&message="+url.QueryEscape(lines.String()))
	granted(t, d.open(t, wide, body))
}

// TestExpiredRA: nothing works once the RA certificates have expired.
func TestExpiredRA(t *testing.T) {
	c := newClock()
	s := start(t, ndes.Config{Now: c.Now, RALife: time.Hour})
	never := start(t, ndes.Config{RALife: -time.Hour, ExpiredStatus: 503})
	if status, _, _ := get(t, s.SCEPURL()+"?operation=GetCACaps"); status != http.StatusOK {
		t.Errorf("while they are valid: %d", status)
	}
	c.turn(2 * time.Hour)
	for server, want := range map[*ndes.Server]int{s: 500, never: 503} {
		for _, address := range []string{server.SCEPURL() + "?operation=GetCACaps", server.SCEPURL() + "?operation=GetCACert", server.AdminURL()} {
			if status, _, _ := get(t, address); status != want {
				t.Errorf("%s: %d, want %d", address, status, want)
			}
		}
	}
}

// TestManyAtOnce: devices enrol side by side, each gets its own.
func TestManyAtOnce(t *testing.T) {
	s := start(t, ndes.Config{PasswordMax: 40})
	devices := make([]*device, 20)
	for i := range devices {
		devices[i] = newDevice(t, request{name: fmt.Sprint("device ", i), challenge: challenge(t, s)})
	}
	var all sync.WaitGroup
	for i, d := range devices {
		all.Go(func() {
			if m := d.ask(t, s, scep.PKCSReq); m.PKIStatus != scep.SUCCESS || m.Certificate.Subject.CommonName != fmt.Sprint("device ", i) {
				t.Errorf("%d: status %s", i, m.PKIStatus)
			}
		})
	}
	all.Wait()
	if len(s.Issued()) != 20 || s.Counts().Used != 20 {
		t.Errorf("issued %d, used %d", len(s.Issued()), s.Counts().Used)
	}
}

// TestECIssuer: the CA keys need not be RSA, and no certificate outlives them.
func TestECIssuer(t *testing.T) {
	s := start(t, ndes.Config{CAKey: ndes.P256, General: ndes.Template{Validity: 50 * 365 * 24 * time.Hour}})
	if k, ok := s.Issuer().PublicKey.(*ecdsa.PublicKey); !ok || k.Curve != elliptic.P256() {
		t.Errorf("the issuer's key is %T", s.Issuer().PublicKey)
	}
	cert := granted(t, newDevice(t, request{name: "device", challenge: challenge(t, s)}).ask(t, s, scep.PKCSReq))
	if !cert.NotAfter.Equal(s.Issuer().NotAfter) {
		t.Errorf("it outlives its issuer until %s", cert.NotAfter)
	}
}

// TestRealClients: strongSwan enrols by POST in AES and renews, certmonger by
// GET in 3DES, once IIS lets a query of that length through.
func TestRealClients(t *testing.T) {
	s := start(t, ndes.Config{MaxQuery: 8192, MaxURL: 8192})
	daemon := testpeer.StartCertmonger(t)
	if err := daemon.AddSCEP("ndes", s.SCEPURL(), nil); err != nil {
		t.Fatal(err)
	}
	cert, err := daemon.Enrol("ndes", testpeer.SCEPRequest{CommonName: "certmonger", Challenge: challenge(t, s)})
	if err != nil {
		t.Fatalf("%v\n%s", err, daemon.Log())
	}
	if all := s.Issued(); len(all) != 1 || !all[0].Certificate.Equal(cert.Certificate) {
		t.Errorf("certmonger has what was not issued")
	}

	// What version 5.9.8 wants to see is more than Windows says.
	s = start(t, ndes.Config{Caps: []string{"AES", "DES3", "SHA-1", "SHA-256", "SHA-384", "SHA-512", "POSTPKIOperation", "Renewal", "SCEPStandard"}})
	swan := testpeer.NewStrongSwan(t, s.SCEPURL())
	first, err := swan.Enrol(testpeer.SCEPRequest{CommonName: "strongswan", Organization: "Corp", Challenge: challenge(t, s)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := swan.Renew(first, testpeer.SCEPRequest{CommonName: "strongswan", Organization: "Corp"}); err != nil {
		t.Error(err)
	}
	if all := s.Issued(); len(all) != 2 || !all[1].Renewal {
		t.Errorf("the ledger has %+v", all)
	}
}
