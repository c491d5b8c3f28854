package cli

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"chancery/internal/api/resource"
	"chancery/internal/ra"
	"chancery/internal/scepclient"
	"chancery/internal/wire/pkixmsg"
)

// deviceRenewal is where a device's own key and certificate lie.
type deviceRenewal struct{ key, certificate, url string }

// patience is how long a renewal over SCEP waits for an approval or an answer
// that comes later.
const patience = time.Minute

// renewAsDevice renews a certificate whose key is in a file here, as its device
// does: over SCEP, signed with the old key, for a new one. The files are
// replaced when the new certificate is there; the old ones stay beside them
// with the ending .old.
func (s *session) renewAsDevice(c resource.Certificate, d deviceRenewal) error {
	old, key, err := s.oldPair(c.ID, d.key)
	if err != nil {
		return err
	}
	if d.url == "" {
		if d.url, err = s.scepURL(c); err != nil {
			return err
		}
	}
	if d.certificate == "" {
		d.certificate = filepath.Join(filepath.Dir(d.key), "cert.pem")
	}
	fresh, renewed, err := s.renewOverSCEP(d.url, old, key)
	if err != nil {
		return err
	}
	if err := replacePair(d, fresh, renewed); err != nil {
		return err
	}
	fmt.Fprintf(s.Stderr, "The new key is in %s, the new certificate in %s; the old ones end in .old.\n", d.key, d.certificate)
	now, err := s.certificateID(pkixSerial(renewed))
	if err != nil {
		return err
	}
	shown, err := s.c.Certificate(s.ctx, now)
	if err != nil {
		return err
	}
	return s.facts(shown, s.certificateFacts(shown)...)
}

func pkixSerial(c *x509.Certificate) string { return c.SerialNumber.Text(16) }

// oldPair reads the certificate from the server and its key from the file, and
// checks that they belong together.
func (s *session) oldPair(id, path string) (*x509.Certificate, crypto.Signer, error) {
	der, err := s.c.DownloadCertificate(s.ctx, id, "der")
	if err != nil {
		return nil, nil, err
	}
	old, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, err
	}
	key, err := readKey(path)
	if err != nil {
		return nil, nil, err
	}
	if public, can := old.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !can || !public.Equal(key.Public()) {
		return nil, nil, wrongKey(path, "belongs to another certificate", nil)
	}
	return old, key, nil
}

func wrongKey(path, why string, cause error) error {
	return ra.Errorf(ra.Invalid, "The key file %s %s.", path, why).WithField("key").WithRemedy("Name the PEM file with the private key of this certificate.").WithCause(cause)
}

// readKey reads a PKCS#8 private key in PEM.
func readKey(path string) (crypto.Signer, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, wrongKey(path, "cannot be read", err)
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, wrongKey(path, "holds no PKCS#8 private key", nil)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, wrongKey(path, "holds no private key that can be used", err)
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, wrongKey(path, "holds a key that cannot sign", nil)
	}
	return key, nil
}

// scepURL finds the address the certificate was enrolled at.
func (s *session) scepURL(c resource.Certificate) (string, error) {
	r, err := s.c.Request(s.ctx, c.RequestID)
	if err != nil {
		return "", err
	}
	if r.EndpointID == "" {
		return "", ra.Errorf(ra.Invalid, "The certificate was not enrolled over SCEP.").WithRemedy("Name the SCEP address of an endpoint with its template by --scep-url.")
	}
	e, err := s.c.Endpoint(s.ctx, r.EndpointID)
	if err != nil {
		return "", err
	}
	return s.c.Base + "/scep/" + e.Name, nil
}

func (s *session) renewOverSCEP(url string, old *x509.Certificate, key crypto.Signer) (crypto.Signer, *x509.Certificate, error) {
	fresh, err := pkixmsg.GenerateKey(pkixmsg.DescribeKey(old.PublicKey).Type)
	if err != nil {
		return nil, nil, err
	}
	name, err := pkixmsg.ParseNameDER(old.RawSubject)
	if err != nil {
		return nil, nil, err
	}
	csr, err := pkixmsg.BuildCSR(pkixmsg.CSRRequest{Name: name, Signer: fresh})
	if err != nil {
		return nil, nil, err
	}
	renewed, err := s.askSCEP(url, scepclient.Order{CSR: csr, Key: fresh, Old: old, Sign: key})
	return fresh, renewed, err
}

// askSCEP enrols or renews over SCEP and waits a while for a pending answer.
func (s *session) askSCEP(url string, order scepclient.Order) (*x509.Certificate, error) {
	client := &scepclient.Client{URL: url, HTTP: s.c.HTTP, Now: s.Now, Poll: 2 * time.Second, Patience: patience}
	ctx, cancel := context.WithTimeout(s.ctx, patience+30*time.Second)
	defer cancel()
	server, err := client.Ask(ctx)
	if err != nil {
		return nil, err
	}
	out, err := client.Enrol(ctx, server, order)
	if err != nil {
		return nil, err
	}
	if out.Pending {
		return nil, ra.Errorf(ra.Unreachable, "The request waits for somebody or something.").WithRemedy("See chancery request list; run this again when it is issued.")
	}
	return out.Certificate, nil
}

// replacePair writes key and certificate beside the old ones and changes places
// at the end, so that a pair is complete at any time.
func replacePair(d deviceRenewal, key crypto.Signer, cert *x509.Certificate) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	files := []struct {
		path  string
		block *pem.Block
		mode  os.FileMode
	}{{d.key, &pem.Block{Type: "PRIVATE KEY", Bytes: der}, 0o600}, {d.certificate, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}, 0o644}}
	for _, f := range files {
		if err := os.Remove(f.path + ".new"); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := writeNew(f.path+".new", pem.EncodeToMemory(f.block), f.mode); err != nil {
			return err
		}
	}
	for _, f := range files {
		if err := os.Rename(f.path, f.path+".old"); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := os.Rename(f.path+".new", f.path); err != nil {
			return err
		}
	}
	return nil
}
