package scep_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/wire/cms"
	"chancery/internal/wire/pkixmsg"
	"chancery/internal/wire/scepmsg"
)

// client is a device's SCEP client at one endpoint.
type client struct {
	w      *world
	url    string
	ras    []*cms.Certificate // of GetCACert
	device *ra.Device

	key       crypto.Signer    // signs messages and reads replies
	cert      *cms.Certificate // of key: a transport certificate, or one of ours
	challenge string
	name      string   // common name asked for
	dns       []string // alternative names asked for
	csr       []byte   // made from the above unless set
	cipher    cms.OID
	digest    crypto.Hash
	signedAt  time.Time
}

// client gives a device a client with a key and no challenge. It asks for the
// names the template gives.
func (w *world) client(t testing.TB, e *ra.Endpoint, d *ra.Device, key crypto.Signer) *client {
	t.Helper()
	c := &client{w: w, url: w.url + "/scep/" + e.Name, device: d, name: d.PlatformID, dns: []string{d.PlatformID + ".example.org"}}
	c.ras = c.caCertificates(t)
	c.use(t, key)
	return c
}

// enrolled gives a client that has a certificate.
func (w *world) enrolled(t testing.TB, e *ra.Endpoint, key crypto.Signer) *client {
	t.Helper()
	d := w.device()
	c := w.client(t, e, d, key)
	c.challenge = w.challenge(e, d)
	c.cert = c.mustEnrol(t)
	c.challenge = ""
	return c
}

// use takes another key with a transport certificate.
func (c *client) use(t testing.TB, key crypto.Signer) {
	t.Helper()
	c.key, c.csr = key, nil
	now := time.Now()
	c.cert = must(scepmsg.TransportCertificate(key, subjectDER(t, c.name), now.Add(-time.Hour), now.Add(24*time.Hour)))(t)
}

func subjectDER(t testing.TB, cn string) []byte {
	t.Helper()
	return must(pkixmsg.Name{{{OID: pkixmsg.OIDCommonName, Value: cn}}}.DER())(t)
}

func (c *client) caCertificates(t testing.TB) []*cms.Certificate {
	t.Helper()
	status, _, body := get(t, c.url+"?operation=GetCACert")
	if status != http.StatusOK {
		t.Fatalf("GetCACert answered %d: %s", status, body)
	}
	return must(scepmsg.ParseCACert(body, cms.Limits{}))(t)
}

func get(t testing.TB, url string) (int, http.Header, []byte) {
	t.Helper()
	req := must(http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil))(t)
	return do(t, req)
}

func post(t testing.TB, url string, body []byte) (int, http.Header, []byte) {
	t.Helper()
	req := must(http.NewRequestWithContext(t.Context(), http.MethodPost, url+"?operation=PKIOperation", bytes.NewReader(body)))(t)
	return do(t, req)
}

// plain does not follow redirects, as most SCEP clients.
var plain = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func do(t testing.TB, req *http.Request) (int, http.Header, []byte) {
	t.Helper()
	resp := must(plain.Do(req))(t)
	defer resp.Body.Close()
	body := must(io.ReadAll(resp.Body))(t)
	return resp.StatusCode, resp.Header, body
}

// newCSR makes the PKCS #10 for a key.
func (c *client) newCSR(t testing.TB, key crypto.Signer, change func(*pkixmsg.CSRRequest)) []byte {
	t.Helper()
	r := pkixmsg.CSRRequest{Name: pkixmsg.Name{{{OID: pkixmsg.OIDCommonName, Value: c.name}}}, ChallengePassword: c.challenge, Signer: key}
	for _, n := range c.dns {
		r.SANs = append(r.SANs, pkixmsg.GeneralName{Type: pkixmsg.DNS, Value: n})
	}
	if change != nil {
		change(&r)
	}
	return must(pkixmsg.BuildCSR(r))(t)
}

// request is a PKCSReq ready to be changed.
func (c *client) request(t testing.TB) *scepmsg.Request {
	t.Helper()
	if c.csr == nil {
		c.csr = c.newCSR(t, c.key, nil)
	}
	return &scepmsg.Request{Type: scepmsg.PKCSReq, Content: scepmsg.Content{CSR: c.csr}, Key: c.key, Certificate: c.cert, RA: c.ras[0],
		Cipher: c.cipher, Digest: c.digest, SigningTime: c.signedAt}
}

// answer is what came back for a message.
type answer struct {
	*scepmsg.Reply
	sent *scepmsg.Sent
	raw  []byte
}

func (a *answer) String() string {
	return fmt.Sprintf("status %d, failInfo %s", a.Message.Status, a.Message.FailInfo)
}

// send sends a message and reads the reply as strictly as a client can.
func (c *client) send(t testing.TB, r *scepmsg.Request) *answer {
	t.Helper()
	return c.sendRaw(t, must(r.Build())(t))
}

func (c *client) sendRaw(t testing.TB, sent *scepmsg.Sent) *answer {
	t.Helper()
	status, header, body := post(t, c.url, sent.Message)
	if status != http.StatusOK || header.Get("Content-Type") != scepmsg.MediaMessage {
		t.Fatalf("PKIOperation answered %d %s: %.200s", status, header.Get("Content-Type"), body)
	}
	return c.readReply(t, sent, body)
}

func (c *client) readReply(t testing.TB, sent *scepmsg.Sent, body []byte) *answer {
	t.Helper()
	reply, err := scepmsg.ParseReply(body, scepmsg.Expect{Floor: scepmsg.Legacy, Signers: c.ras, TransactionID: sent.TransactionID,
		SenderNonce: sent.SenderNonce, Certificate: c.cert, Key: c.key, Password: []byte(c.challenge)})
	if err != nil {
		t.Fatalf("the reply: %v", err)
	}
	return &answer{reply, sent, body}
}

// granted wants SUCCESS and gives the certificate.
func (a *answer) granted(t testing.TB) *cms.Certificate {
	t.Helper()
	if a.Message.Status != scepmsg.Success || len(a.Certificates) == 0 {
		t.Fatalf("got %s, want a certificate", a)
	}
	return a.Certificates[0]
}

// refused wants FAILURE with a failInfo and without a word of explanation.
func (a *answer) refused(t testing.TB, info scepmsg.FailInfo) {
	t.Helper()
	if a.Message.Status != scepmsg.Failure || a.Message.FailInfo != info {
		t.Errorf("got %s, want a refusal with %s", a, info)
	}
	if a.Message.FailInfoText != "" {
		t.Errorf("the refusal explains itself: %q", a.Message.FailInfoText)
	}
}

func (a *answer) pending(t testing.TB) {
	t.Helper()
	if a.Message.Status != scepmsg.Pending {
		t.Fatalf("got %s, want PENDING", a)
	}
}

func (c *client) mustEnrol(t testing.TB) *cms.Certificate {
	t.Helper()
	return c.send(t, c.request(t)).granted(t)
}

// renewal is a message of a type signed with the client's certificate, for a
// key.
func (c *client) renewal(t testing.TB, kind scepmsg.MessageType, key crypto.Signer) *scepmsg.Request {
	t.Helper()
	r := c.request(t)
	r.Type, r.Content.CSR = kind, c.newCSR(t, key, nil)
	return r
}

// poll asks after a transaction.
func (c *client) poll(t testing.TB, transaction string) *answer {
	t.Helper()
	r := c.request(t)
	r.Type, r.TransactionID = scepmsg.CertPoll, transaction
	r.Content = scepmsg.Content{Poll: scepmsg.IssuerAndSubject{RawIssuer: c.ras[0].RawIssuer, RawSubject: subjectDER(t, c.name)}}
	return c.send(t, r)
}

func parsed(t testing.TB, c *cms.Certificate) *x509.Certificate {
	t.Helper()
	return must(x509.ParseCertificate(c.Raw))(t)
}
