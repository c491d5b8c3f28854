// Package passtest is a SCEP server in the process, as an authority that passes
// lead to, and the device's end of an enrolment. It is for the tests of package
// pass and of the doors before it.
//
// The server opens messages, checks challenges, issues, and says what it is told
// to say. It counts what it was asked, so that a test sees what never arrived.
package passtest

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"sync"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/setting"
	"chancery/internal/wire/cms"
	"chancery/internal/wire/pkixmsg"
	"chancery/internal/wire/scepmsg"
)

// Server is a SCEP server. Change its fields before it is used, or inside Set.
type Server struct {
	Now    func() time.Time
	SCEP   ca.SCEPServer
	Life   time.Duration // of challenges; 0: it wants none
	Slots  int           // challenges at once
	Clear  bool          // puts the certificate in clear into its answers
	Wait   bool          // decides later
	Refuse bool          // says no
	// Behave, unless nil, may answer an operation in the server's place.
	Behave func(ctx context.Context, op scepmsg.Operation, message []byte) (answer ca.Forwarded, err error, done bool)
	Caps   string

	mu         sync.Mutex
	caKey      *rsa.PrivateKey
	caCert     *x509.Certificate
	raKey      *rsa.PrivateKey
	raCert     *cms.Certificate
	serial     int64
	challenges map[string]bool
	until      map[string]time.Time // ends of challenges, by order
	asked      map[scepmsg.Operation]int
	told       map[scepmsg.Operation]string // the message that came along last, but for PKIOperation
	issued     []*x509.Certificate
	fetched    int
}

var keys [2]func() *rsa.PrivateKey

func init() {
	for i := range keys {
		keys[i] = sync.OnceValue(func() *rsa.PrivateKey { return Key() })
	}
}

// Key makes an RSA key of 2048 bits.
func Key() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
}

// New makes a server with a CA of its own that devices reach through the proxy.
func New(now func() time.Time) *Server {
	s := &Server{Now: now, Life: time.Hour, Slots: 100, Clear: true, Caps: "AES\nSHA-256\nPOSTPKIOperation\nRenewal\nSCEPStandard\n",
		SCEP:       ca.SCEPServer{URL: "http://scep.example.test/scep", CAIdentifier: "main", ByProxy: true, Retries: 3, RetryDelay: 10 * time.Second},
		challenges: map[string]bool{}, until: map[string]time.Time{}, asked: map[scepmsg.Operation]int{}, told: map[scepmsg.Operation]string{}}
	s.caKey = keys[0]()
	s.NewCA("Example CA")
	return s
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Set changes the server while it is used.
func (s *Server) Set(change func(*Server)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// NewCA gives the server another CA certificate, under the same key when the
// name is the same, and a new RA certificate.
func (s *Server) NewCA(name string) {
	if s.caCert != nil && s.caCert.Subject.CommonName != name {
		s.caKey = Key()
	}
	now := s.Now()
	s.serial++
	t := &x509.Certificate{SerialNumber: big.NewInt(s.serial), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(10 * 365 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	s.caCert = must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, t, t, s.caKey.Public(), s.caKey))))
	s.NewRA()
}

// NewRA gives the server another RA certificate, under the key it has.
func (s *Server) NewRA() {
	if s.raKey == nil {
		s.raKey = keys[1]()
	}
	now := s.Now()
	s.serial++
	t := &x509.Certificate{SerialNumber: big.NewInt(s.serial), Subject: pkix.Name{CommonName: fmt.Sprintf("RA %d", s.serial)}, NotBefore: now.Add(-time.Hour),
		NotAfter: now.Add(365 * 24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment}
	s.raCert = must(cms.ParseCertificate(must(x509.CreateCertificate(rand.Reader, t, s.caCert, s.raKey.Public(), s.caKey))))
}

// Asked gives how often the server was asked for an operation, and the message
// that came with the last GetCACert or GetCACaps.
func (s *Server) Asked(op scepmsg.Operation) (int, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[op], s.told[op]
}

// Issued lists the certificates the server made.
func (s *Server) Issued() []*x509.Certificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*x509.Certificate{}, s.issued...)
}

// CA gives the server's certificates.
func (s *Server) CA() (ca *x509.Certificate, ra *cms.Certificate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.caCert, s.raCert
}

// Kind is the server as something to choose.
func (s *Server) Kind() ca.Kind { return s.KindNamed("test-scep") }

// KindNamed is Kind under another ID, for tests with several servers.
func (s *Server) KindNamed(id string) ca.Kind {
	return ca.Kind{ID: id, Title: "Test SCEP", Help: "For tests.", New: func() ca.Settings { return &settings{server: s} },
		Traits: ca.Traits{KeyPlaces: []ra.KeyPlace{ra.KeyOnDevice}, KeyTypes: []string{"rsa-2048", "p-256"}}}
}

type settings struct {
	note   string
	server *Server
}

// Describe implements setting.Describer.
func (s *settings) Describe(f *setting.Form) { f.Text(&s.note, "note", "Note") }

// Connect implements ca.Settings.
func (s *settings) Connect(_ context.Context, env ca.Env) (ca.Connector, error) {
	return &connector{s.server, env}, nil
}

type connector struct {
	s   *Server
	env ca.Env
}

// Issue implements ca.Connector; the server issues to devices only.
func (c *connector) Issue(context.Context, ca.Request) (ca.Reply, error) {
	return ca.Reply{}, ra.Errorf(ra.RefusedByCA, "Only devices enrol here.").WithRemedy("Use a pass.")
}

// SCEP implements ca.Forwarder.
func (c *connector) SCEP() ca.SCEPServer { return c.s.SCEP }

// Challenge implements ca.Challenger.
func (c *connector) Challenge(ctx context.Context, o ca.ChallengeOrder) (ca.SCEPChallenge, error) {
	if c.s.Life == 0 {
		return ca.SCEPChallenge{}, nil
	}
	slot, err := c.env.Slots.Take(ctx, o.ID, ca.SlotOrder{Slots: c.s.Slots, Life: c.s.Life}, c.s.fetch)
	if err != nil {
		return ca.SCEPChallenge{}, err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.s.until[o.ID].IsZero() { // by the clock of the test, which is not the database's
		c.s.until[o.ID] = c.s.Now().Add(c.s.Life)
	}
	return ca.SCEPChallenge{Secret: slot.Secret, ExpiresAt: c.s.until[o.ID], Fingerprint: "AA:BB"}, nil
}

func (s *Server) fetch(context.Context) (secret.Text, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.challenges) >= s.Slots {
		return secret.Text{}, ra.Errorf(ra.RefusedByCA, "The password cache is full.").WithRemedy("Wait.")
	}
	s.fetched++
	text := secret.Token("CHALLENGE", 100)
	s.challenges[text.Reveal()] = true
	return text, nil
}

// Fetched counts the challenges made.
func (s *Server) Fetched() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fetched
}

// Forward implements ca.Forwarder.
func (c *connector) Forward(ctx context.Context, op scepmsg.Operation, message []byte) (ca.Forwarded, error) {
	began := time.Now()
	s := c.s
	s.mu.Lock()
	s.asked[op]++
	if op != scepmsg.OpPKIOperation {
		s.told[op] = string(message)
	}
	behave := s.Behave
	s.mu.Unlock()
	if behave != nil {
		if answer, err, done := behave(ctx, op, message); done {
			return answer, err
		}
	}
	answer, err := s.answer(op, message)
	answer.Took = time.Since(began)
	return answer, err
}

func (s *Server) answer(op scepmsg.Operation, message []byte) (ca.Forwarded, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch op {
	case scepmsg.OpGetCACaps:
		return ca.Forwarded{Status: 200, Media: "text/plain", Body: []byte(s.Caps)}, nil
	case scepmsg.OpGetCACert:
		return ca.Forwarded{Status: 200, Media: scepmsg.MediaCARACert, Body: must(cms.Degenerate([][]byte{s.raCert.Raw, s.caCert.Raw}, nil))}, nil
	case scepmsg.OpPKIOperation:
		body, err := s.reply(message)
		if err != nil {
			return ca.Forwarded{Status: http.StatusInternalServerError, Media: "text/plain", Body: []byte(err.Error())}, nil
		}
		return ca.Forwarded{Status: 200, Media: scepmsg.MediaMessage, Body: body}, nil
	}
	return ca.Forwarded{Status: 404}, nil
}

func (s *Server) reply(raw []byte) ([]byte, error) {
	m, err := scepmsg.Parse(raw, scepmsg.Options{Floor: scepmsg.Legacy})
	if err != nil {
		return nil, err
	}
	r := &scepmsg.Responder{Certificate: s.raCert, Key: s.raKey}
	if s.Refuse {
		return r.Failure(m, scepmsg.BadRequest, "")
	}
	if s.Wait {
		return r.Pending(m)
	}
	content, err := m.Open(scepmsg.RA{Certificate: s.raCert, Key: s.raKey})
	if err != nil {
		return r.Failure(m, scepmsg.BadMessageCheck, "")
	}
	if content.CSR == nil {
		return r.Failure(m, scepmsg.BadCertID, "")
	}
	csr, err := pkixmsg.ParseCSR(content.CSR)
	if err != nil {
		return nil, err
	}
	if s.Life > 0 && bytesEqual(m.Signer.RawIssuer, m.Signer.RawSubject) {
		password, _ := csr.ChallengePassword()
		if !s.challenges[password] {
			return r.Failure(m, scepmsg.BadRequest, "")
		}
		delete(s.challenges, password)
	}
	leaf := s.sign(csr.PublicKey, csr.RawSubject)
	s.issued = append(s.issued, leaf)
	answer, err := r.Success(m, scepmsg.Grant{Certificates: [][]byte{leaf.Raw}})
	if err == nil && s.Clear {
		answer, err = AddCertificate(answer, leaf.Raw)
	}
	return answer, err
}

func (s *Server) sign(key crypto.PublicKey, name []byte) *x509.Certificate {
	s.serial++
	now := s.Now()
	t := &x509.Certificate{SerialNumber: big.NewInt(s.serial), RawSubject: name, NotBefore: now.Add(-time.Minute), NotAfter: now.Add(90 * 24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature}
	return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, t, s.caCert, key, s.caKey))))
}

// Sign makes a certificate as the CA does, without a request and without a count.
func (s *Server) Sign(key crypto.PublicKey, subject string) *x509.Certificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sign(key, must(must(pkixmsg.ParseDN(subject)).DER()))
}

func bytesEqual(a, b []byte) bool { return string(a) == string(b) }

// AddCertificate puts a certificate into the set of a SignedData, which no
// signature covers.
func AddCertificate(message, certificate []byte) ([]byte, error) {
	input := cryptobyte.String(message)
	var info, kind, content, signed, version, digests, encapsulated, set, rest cryptobyte.String
	tag := cbasn1.Tag(0).ContextSpecific().Constructed()
	if !input.ReadASN1(&info, cbasn1.SEQUENCE) || !info.ReadASN1Element(&kind, cbasn1.OBJECT_IDENTIFIER) || !info.ReadASN1(&content, tag) ||
		!content.ReadASN1(&signed, cbasn1.SEQUENCE) || !signed.ReadASN1Element(&version, cbasn1.INTEGER) || !signed.ReadASN1Element(&digests, cbasn1.SET) ||
		!signed.ReadASN1Element(&encapsulated, cbasn1.SEQUENCE) || !signed.ReadASN1(&set, tag) || !signed.ReadASN1Element(&rest, cbasn1.SET) {
		return nil, errors.New("passtest: this is no SignedData with certificates")
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(kind)
		b.AddASN1(tag, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddBytes(version)
				b.AddBytes(digests)
				b.AddBytes(encapsulated)
				b.AddASN1(tag, func(b *cryptobyte.Builder) {
					b.AddBytes(set)
					b.AddBytes(certificate)
				})
				b.AddBytes(rest)
			})
		})
	})
	return b.Bytes()
}

// Device is a SCEP client that has its parameters.
type Device struct {
	Key       crypto.Signer
	Cert      *cms.Certificate // self-signed, or the one to be renewed
	RA        *cms.Certificate
	Subject   string // RFC 4514
	Challenge string
	Sent      *scepmsg.Sent // the last message
}

// NewDevice makes a client with a key and a transport certificate.
func NewDevice(now time.Time, key crypto.Signer, ra *cms.Certificate, subject, challenge string) *Device {
	name := must(must(pkixmsg.ParseDN(subject)).DER())
	return &Device{Key: key, RA: ra, Subject: subject, Challenge: challenge,
		Cert: must(scepmsg.TransportCertificate(key, name, now.Add(-time.Hour), now.Add(24*time.Hour)))}
}

// Message builds a message; change, unless nil, makes it another one.
func (d *Device) Message(change func(*scepmsg.Request)) []byte {
	csr := must(pkixmsg.BuildCSR(pkixmsg.CSRRequest{Name: must(pkixmsg.ParseDN(d.Subject)), ChallengePassword: d.Challenge, Signer: d.Key}))
	r := &scepmsg.Request{Type: scepmsg.PKCSReq, Content: scepmsg.Content{CSR: csr}, Key: d.Key, Certificate: d.Cert, RA: d.RA}
	if d.Sent != nil {
		r.TransactionID = d.Sent.TransactionID
	}
	if change != nil {
		change(r)
	}
	d.Sent = must(r.Build())
	return d.Sent.Message
}

// Poll builds the poll for what was sent before.
func (d *Device) Poll(issuer *x509.Certificate) []byte {
	return d.Message(func(r *scepmsg.Request) {
		r.Type = scepmsg.CertPoll
		r.Content = scepmsg.Content{Poll: scepmsg.IssuerAndSubject{RawIssuer: issuer.RawSubject, RawSubject: d.Cert.RawSubject}}
	})
}

// Fail gives the server's refusal of a message, whatever is in it.
func (s *Server) Fail(message []byte) []byte {
	_, recipient := s.CA()
	m := must(scepmsg.Parse(message, scepmsg.Options{Floor: scepmsg.Legacy}))
	return must((&scepmsg.Responder{Certificate: recipient, Key: s.raKey}).Failure(m, scepmsg.BadRequest, ""))
}
