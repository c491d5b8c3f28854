package peer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"time"
)

// KeyType is that of an issuing key.
type KeyType string

// The issuing keys that are compared, by the names the product has for them.
const (
	RSA2048 KeyType = "rsa-2048"
	P256    KeyType = "p-256"
)

func newKey(t KeyType) (crypto.Signer, error) {
	if t == RSA2048 {
		return rsa.GenerateKey(rand.Reader, 2048)
	}
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// holder is a certificate with its key.
type holder struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// caUsage lets an RSA issuing certificate do all of what SCEP needs.
const caUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature

// issue makes a certificate for a new key; without an issuer it is a root.
func issue(name string, t KeyType, usage x509.KeyUsage, isCA bool, by *holder) (*holder, error) {
	key, err := newKey(t)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	if t == RSA2048 {
		usage |= x509.KeyUsageKeyEncipherment
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name, Organization: []string{"Bench"}}, NotBefore: now.Add(-time.Hour),
		NotAfter: now.AddDate(10, 0, 0), KeyUsage: usage, IsCA: isCA, BasicConstraintsValid: true}
	if by == nil {
		by = &holder{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, key.Public(), by.key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &holder{cert, key}, err
}

func (h *holder) certPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.cert.Raw})
}

// keyPEM is in the form both peers read: PKCS #1 for RSA, SEC 1 for EC.
func (h *holder) keyPEM() ([]byte, error) {
	switch k := h.key.(type) {
	case *rsa.PrivateKey:
		return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(k)}), nil
	case *ecdsa.PrivateKey:
		der, err := x509.MarshalECPrivateKey(k)
		return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), err
	}
	return nil, fmt.Errorf("no form for a %T", h.key)
}

// save writes certificate and key.
func (h *holder) save(certFile, keyFile string) error {
	key, err := h.keyPEM()
	if err != nil {
		return err
	}
	if err := os.WriteFile(certFile, h.certPEM(), 0o600); err != nil {
		return err
	}
	return os.WriteFile(keyFile, key, 0o600)
}

// TLSPair writes a certificate for localhost with its key, signed by itself:
// the P-256 kind step-ca gives its own listener.
func TLSPair(certFile, keyFile string) error {
	key, err := newKey(P256)
	if err != nil {
		return err
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	return (&holder{cert, key}).save(certFile, keyFile)
}
