package testpeer

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"
)

// scepTimeout bounds one run of a SCEP client. A client that polls is given its
// polling time on top.
const scepTimeout = 30 * time.Second

// SCEPRequest is what a SCEP client is told to ask for. Keys are RSA-2048; the
// client makes them.
type SCEPRequest struct {
	CommonName   string
	Organization string
	Unit         string   // of the organization
	DNSNames     []string // scepclient can send only one
	Challenge    string   // empty means none is sent
}

// SCEPResult is what a SCEP client came back with.
type SCEPResult struct {
	Certificate *x509.Certificate // nil unless the client got one; it fits the key
	CertFile    string            // PEM
	KeyFile     string            // PEM
	Output      string            // what the client said, also when it failed
}

// load reads the certificate the client wrote, and refuses one that does not
// belong to the client's key.
func (r *SCEPResult) load() error {
	certs, err := readCertificates(r.CertFile)
	if err != nil {
		return err
	}
	if len(certs) != 1 {
		return fmt.Errorf("the client wrote %d certificates to %s, want 1", len(certs), r.CertFile)
	}
	key, err := readKey(r.KeyFile)
	if err != nil {
		return err
	}
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(certs[0].PublicKey) {
		return errors.New("the certificate is not for the client's key")
	}
	r.Certificate = certs[0]
	return nil
}

func readCertificates(file string) ([]*x509.Certificate, error) {
	rest, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return certs, nil
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		certs = append(certs, cert)
	}
}

// readKey reads the two forms the clients write.
func readKey(file string) (crypto.Signer, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM block", file)
	}
	if block.Type == "RSA PRIVATE KEY" {
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s holds a %T", file, key)
	}
	return signer, nil
}
