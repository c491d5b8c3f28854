package testpeer

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"
)

// responder is a SCEP server as small as the clients' drivers need it: an RA
// certificate and a root, SHA-256 and AES-128, one challenge, and a wish to be
// asked again. It exists because no server built on the public Go modules gets
// on with certmonger and with strongSwan.
type responder struct {
	url       string
	root      *x509.Certificate
	ra        *x509.Certificate
	rootKey   *rsa.PrivateKey
	raKey     *rsa.PrivateKey
	challenge string

	mu      sync.Mutex
	pending int               // how many messages to answer with PENDING yet
	waiting map[string][]byte // PKCS#10 by transaction ID
	kinds   []string          // messageType of every message, in order
}

// The attributes and values of RFC 8894 §3.2.
var (
	oidMessageType    = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 2}
	oidPKIStatus      = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 3}
	oidFailInfo       = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 4}
	oidSenderNonce    = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 5}
	oidRecipientNonce = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 6}
	oidTransactionID  = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 7}
)

const (
	success  = "0"
	failure  = "2"
	pending  = "3"
	certPoll = "20"
)

func newResponder(t *testing.T, challenge string) *responder {
	t.Helper()
	// Left at DES by the module, which the clients cannot open.
	pkcs7.ContentEncryptionAlgorithm = pkcs7.EncryptionAlgorithmAES128CBC
	r := &responder{challenge: challenge, waiting: map[string][]byte{}}
	r.rootKey, r.raKey = newKey(t), newKey(t)
	root := certificate("Test Root", x509.KeyUsageCertSign|x509.KeyUsageCRLSign)
	root.IsCA = true
	r.root = sign(t, root, root, r.rootKey, r.rootKey)
	ra := certificate("Test RA", x509.KeyUsageDigitalSignature|x509.KeyUsageKeyEncipherment)
	r.ra = sign(t, ra, r.root, r.raKey, r.rootKey)
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.url = server.URL + "/scep"
	return r
}

func newKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func certificate(name string, usage x509.KeyUsage) *x509.Certificate {
	serial := make([]byte, 16)
	rand.Read(serial)
	return &x509.Certificate{
		SerialNumber:          new(big.Int).SetBytes(serial),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(90 * 24 * time.Hour),
		KeyUsage:              usage,
		BasicConstraintsValid: true,
	}
}

func sign(t *testing.T, template, parent *x509.Certificate, key, parentKey *rsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// setPending makes the next n messages get the answer PENDING.
func (r *responder) setPending(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending = n
}

// seen gives the messageTypes so far and forgets them.
func (r *responder) seen() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	kinds := strings.Join(r.kinds, " ")
	r.kinds = nil
	return kinds
}

func (r *responder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, kind, err := r.answer(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Write(body)
}

func (r *responder) answer(req *http.Request) (body []byte, kind string, err error) {
	switch req.FormValue("operation") {
	case "GetCACaps":
		caps := "AES\nDES3\nSHA-1\nSHA-256\nSHA-384\nSHA-512\nPOSTPKIOperation\nRenewal\nSCEPStandard\n"
		return []byte(caps), "text/plain", nil
	case "GetCACert":
		body, err = pkcs7.DegenerateCertificate(slices.Concat(r.ra.Raw, r.root.Raw))
		return body, "application/x-x509-ca-ra-cert", err
	case "PKIOperation":
		var message []byte
		if req.Method == http.MethodGet {
			message, err = base64.StdEncoding.DecodeString(req.FormValue("message"))
		} else {
			message, err = io.ReadAll(io.LimitReader(req.Body, 64<<10))
		}
		if err != nil {
			return nil, "", err
		}
		body, err = r.operate(message)
		return body, "application/x-pki-message", err
	}
	return nil, "", errors.New("unknown operation")
}

// operate answers one pkiMessage.
func (r *responder) operate(message []byte) ([]byte, error) {
	p7, err := pkcs7.Parse(message)
	if err != nil {
		return nil, err
	}
	if err := p7.Verify(); err != nil {
		return nil, err
	}
	var kind, transaction string
	var nonce []byte
	if err := errors.Join(p7.UnmarshalSignedAttribute(oidMessageType, &kind),
		p7.UnmarshalSignedAttribute(oidTransactionID, &transaction),
		p7.UnmarshalSignedAttribute(oidSenderNonce, &nonce)); err != nil {
		return nil, err
	}
	envelope, err := pkcs7.Parse(p7.Content)
	if err != nil {
		return nil, err
	}
	content, err := envelope.Decrypt(r.ra, r.raKey)
	if err != nil {
		return nil, err
	}
	signer := p7.GetOnlySigner()

	r.mu.Lock()
	defer r.mu.Unlock()
	r.kinds = append(r.kinds, kind)
	attributes := []pkcs7.Attribute{
		{Type: oidMessageType, Value: "3"},
		{Type: oidTransactionID, Value: transaction},
		{Type: oidSenderNonce, Value: []byte(rand.Text()[:16])},
		{Type: oidRecipientNonce, Value: nonce},
	}
	status := func(value string) pkcs7.Attribute { return pkcs7.Attribute{Type: oidPKIStatus, Value: value} }
	request := content
	if kind == certPoll {
		request = r.waiting[transaction]
	}
	csr, err := x509.ParseCertificateRequest(request)
	if err != nil {
		return nil, err
	}
	// Good enough here: the challenge is long and random.
	known := bytes.Contains(csr.RawTBSCertificateRequest, []byte(r.challenge))
	if !known && signer.CheckSignatureFrom(r.root) != nil {
		return r.reply(nil, append(attributes, status(failure), pkcs7.Attribute{Type: oidFailInfo, Value: "2"}))
	}
	if r.pending > 0 {
		r.pending--
		r.waiting[transaction] = request
		return r.reply(nil, append(attributes, status(pending)))
	}
	template := certificate("", x509.KeyUsageDigitalSignature|x509.KeyUsageKeyEncipherment)
	template.Subject, template.DNSNames = csr.Subject, csr.DNSNames
	der, err := x509.CreateCertificate(rand.Reader, template, r.root, csr.PublicKey, r.rootKey)
	if err != nil {
		return nil, err
	}
	issued, err := pkcs7.DegenerateCertificate(der)
	if err != nil {
		return nil, err
	}
	sealed, err := pkcs7.Encrypt(issued, []*x509.Certificate{signer})
	if err != nil {
		return nil, err
	}
	return r.reply(sealed, append(attributes, status(success)))
}

// reply signs a CertRep. Its signature algorithm is the bare rsaEncryption, the
// only one that the strongSwan of Debian 12 reads.
func (r *responder) reply(content []byte, attributes []pkcs7.Attribute) ([]byte, error) {
	signed, err := pkcs7.NewSignedData(content)
	if err != nil {
		return nil, err
	}
	signed.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	if err := signed.AddSigner(r.ra, r.raKey, pkcs7.SignerInfoConfig{ExtraSignedAttributes: attributes}); err != nil {
		return nil, err
	}
	signed.GetSignedData().SignerInfos[0].DigestEncryptionAlgorithm.Algorithm = pkcs7.OIDEncryptionAlgorithmRSA
	return signed.Finish()
}
