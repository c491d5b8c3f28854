// Package stub is a SCEP server that takes no time: the answers to messages it
// will be sent are made beforehand, each of them a real CertRep that the device
// opens and that verifies, and found by the transaction when the message comes.
// What is measured through it is what stands before it.
package stub

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"sync"
	"time"

	"chancery/internal/wire/cms"
	"chancery/internal/wire/pkixmsg"
	"chancery/internal/wire/scepmsg"
)

// Path is where it serves.
const Path = "/scep"

// Server is the stub. It issues from a P-256 CA and has an RSA certificate for
// messages, as a larger installation would.
type Server struct {
	issuer  *x509.Certificate
	key     crypto.Signer
	ra      *cms.Certificate
	raKey   *rsa.PrivateKey
	caps    []byte // whole HTTP answers, as the others
	certs   []byte
	mu      sync.Mutex
	answers map[string][]byte // by transaction
}

// New makes a stub that knows no message yet.
func New() (*Server, error) {
	s := &Server{answers: map[string][]byte{}, caps: response("text/plain", []byte("AES\nPOSTPKIOperation\nRenewal\nSHA-256\nSCEPStandard\n"))}
	var err error
	if s.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	if s.raKey, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return nil, err
	}
	now := time.Now()
	t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Bench stub CA"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	der, err := x509.CreateCertificate(rand.Reader, t, t, s.key.Public(), s.key)
	if err != nil {
		return nil, err
	}
	if s.issuer, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	r := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "Bench stub RA"}, NotBefore: t.NotBefore, NotAfter: t.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment}
	raDER, err := x509.CreateCertificate(rand.Reader, r, s.issuer, s.raKey.Public(), s.key)
	if err != nil {
		return nil, err
	}
	if s.ra, err = cms.ParseCertificate(raDER); err != nil {
		return nil, err
	}
	both, err := cms.Degenerate([][]byte{raDER, der}, nil)
	s.certs = response(scepmsg.MediaCARACert, both)
	return s, err
}

// Learn makes the answer to a message: a certificate for what it asks. It is
// safe for concurrent use, and Serve must not run yet.
func (s *Server) Learn(message []byte) error {
	m, err := scepmsg.Parse(message, scepmsg.Options{})
	if err != nil {
		return err
	}
	content, err := m.Open(scepmsg.RA{Certificate: s.ra, Key: s.raKey})
	if err != nil {
		return err
	}
	csr, err := pkixmsg.ParseCSR(content.CSR)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	now := time.Now()
	leaf, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: serial, RawSubject: csr.RawSubject, NotBefore: now.Add(-time.Minute), NotAfter: now.AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature}, s.issuer, csr.PublicKey, s.key)
	if err != nil {
		return err
	}
	reply, err := (&scepmsg.Responder{Certificate: s.ra, Key: s.raKey}).Success(m, scepmsg.Grant{Certificates: [][]byte{leaf}})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[m.TransactionID.Value] = response(scepmsg.MediaMessage, reply)
	return nil
}

// Serve answers on an address until close is called, which waits for nobody.
func (s *Server) Serve(address string) (close func() error, err error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			go func() {
				s.converse(c)
				c.Close()
				mu.Lock()
				delete(open, c)
				mu.Unlock()
			}()
		}
	}()
	return func() error {
		err := l.Close()
		mu.Lock()
		defer mu.Unlock()
		for c := range open {
			c.Close()
		}
		return err
	}, nil
}

// converse answers what comes on a connection until it ends.
func (s *Server) converse(c net.Conn) {
	r := bufio.NewReaderSize(c, 16<<10)
	var body bytes.Buffer
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		body.Reset()
		if _, err := io.Copy(&body, io.LimitReader(req.Body, scepmsg.MaxBodyBytes)); err != nil {
			return
		}
		if _, err := c.Write(s.answer(req.URL.Query().Get("operation"), body.Bytes())); err != nil || req.Close {
			return
		}
	}
}

func (s *Server) answer(operation string, body []byte) []byte {
	switch scepmsg.Operation(operation) {
	case scepmsg.OpGetCACaps:
		return s.caps
	case scepmsg.OpGetCACert:
		return s.certs
	case scepmsg.OpPKIOperation:
		if a, ok := s.answers[transaction(body)]; ok {
			return a
		}
	}
	return notFound
}

var notFound = []byte("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

func response(media string, body []byte) []byte {
	return append(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", media, len(body)), body...)
}

// transactionAttribute is the OID of transactionID and the tag of the set with
// its value.
var transactionAttribute = []byte{0x06, 0x0a, 0x60, 0x86, 0x48, 0x01, 0x86, 0xf8, 0x45, 0x01, 0x09, 0x07, 0x31}

// transaction finds the transaction of a message without parsing it: a string of
// less than 126 octets in a set. Without one it is empty.
func transaction(message []byte) string {
	at := bytes.LastIndex(message, transactionAttribute)
	if at < 0 {
		return ""
	}
	rest := message[at+len(transactionAttribute):]
	if len(rest) < 3 || rest[2] >= 0x80 || int(rest[0]) != int(rest[2])+2 || len(rest) < 3+int(rest[2]) {
		return ""
	}
	return string(rest[3 : 3+int(rest[2])])
}
