package adcs

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"sync"
	"time"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"

	"chancery/internal/wire/pkixmsg"
)

// Seed is a request that the CA has dealt with before a test begins. Its requester
// is not checked, nor is it judged by its template.
type Seed struct {
	CommonName  string    // "seed" when empty; certificates of one name, template and times are made fastest
	Template    string    // name of a template of the CA, or any other text
	Requester   string    // DOMAIN\user; Caller when empty
	Caller      string    // DOMAIN\user; DOMAIN\somebody when empty
	Attributes  string    // lines Name:Value
	NotBefore   time.Time // an hour ago when zero
	NotAfter    time.Time // a year after NotBefore when zero
	Resolved    time.Time // when it was issued or denied; NotBefore when zero
	Disposition int       // 9, 20, 21, 30 or 31; 20 when zero
	Reason      uint32    // of the revocation
	Revoked     time.Time // now when zero
	Key         uint32    // index of the CA's key, from the oldest, which is 0, to Config.FormerKeys
	Hidden      bool      // the database does not show the certificate
}

// seedKey is the key of all certificates that were seeded.
var seedKey = sync.OnceValues(newCurveKey)

// Seed puts n requests into the database, as each says of the numbers from 0 on. It
// gives the ID of the first; the others follow it.
func (ca *CA) Seed(n int, each func(i int) Seed) (uint32, error) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	first := uint32(len(ca.rows) + 1)
	var mold mold
	for i := range n {
		r, err := ca.seeded(each(i), &mold)
		if err != nil {
			return first, err
		}
		ca.rows = append(ca.rows, r)
	}
	return first, nil
}

// seeded makes a row; ca.mu is held.
func (ca *CA) seeded(s Seed, m *mold) (*row, error) {
	now := ca.now()
	orElse(&s.CommonName, "seed")
	orElse(&s.Caller, ca.cfg.Domain+`\somebody`)
	orElse(&s.Requester, s.Caller)
	orElse(&s.NotBefore, now.Add(-time.Hour))
	orElse(&s.NotAfter, s.NotBefore.AddDate(1, 0, 0))
	orElse(&s.Resolved, s.NotBefore)
	orElse(&s.Disposition, rowIssued)
	r := &row{flags: formPKCS10, key: s.Key, hidden: s.Hidden, Row: Row{ID: uint32(len(ca.rows) + 1), Disposition: s.Disposition, Requester: s.Requester, Caller: s.Caller,
		Attributes: s.Attributes, Template: s.Template, Submitted: s.Resolved}}
	switch s.Disposition {
	case rowPending:
		r.Message = "Taken Under Submission"
		return r, nil
	case rowDenied, rowFailed:
		r.refuse(s.Disposition, adminDenied, s.Resolved)
		return r, nil
	case rowIssued:
		r.Message = "Issued"
	case rowRevoked:
		r.Message, r.Reason, r.Revoked = "Revoked", s.Reason, cmp.Or(s.Revoked, now)
		r.effect = r.Revoked
	default:
		return nil, fmt.Errorf("no row has disposition %d", s.Disposition)
	}
	signer, ok := ca.keys.signer(s.Key)
	if !ok {
		return nil, fmt.Errorf("the CA has no key %d", s.Key)
	}
	cert, err := m.cast(ca, signer, s, r.ID)
	if err != nil {
		return nil, err
	}
	r.Certificate, r.serial, r.resolved = cert, serialText(cert.SerialNumber), s.Resolved
	return r, nil
}

// mold is a certificate of which others are made that differ in the serial number
// alone.
type mold struct {
	of   Seed
	cert *x509.Certificate
}

// cast makes a certificate, by the mold if it fits.
func (m *mold) cast(ca *CA, by identity, s Seed, id uint32) (*x509.Certificate, error) {
	shape := Seed{CommonName: s.CommonName, Template: s.Template, NotBefore: s.NotBefore, NotAfter: s.NotAfter, Key: s.Key}
	if m.cert == nil || m.of != shape {
		key, err := seedKey()
		if err != nil {
			return nil, err
		}
		t := &x509.Certificate{SerialNumber: freshSerial(id), Subject: pkix.Name{CommonName: s.CommonName}, NotBefore: s.NotBefore, NotAfter: s.NotAfter,
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
			CRLDistributionPoints: []string{ca.keys.cdp}, IssuingCertificateURL: []string{ca.keys.ai}}
		for _, known := range ca.catalog {
			if known.Name == s.Template {
				t.ExtraExtensions = asExtensions(templateExtensions(&known))
			}
		}
		raw, err := x509.CreateCertificate(rand.Reader, t, by.cert, key.Public(), by.key)
		if err != nil {
			return nil, err
		}
		m.of = shape
		m.cert, err = x509.ParseCertificate(raw)
		return m.cert, err
	}
	return again(m.cert, by.key, id)
}

func asExtensions(list []pkixmsg.Extension) (out []pkix.Extension) {
	for _, e := range list {
		oid, _ := parseOID(e.OID)
		out = append(out, pkix.Extension{Id: oid, Critical: e.Critical, Value: e.Value})
	}
	return out
}

// again signs a certificate with another serial number of the same length. Keys of
// RSA and of curves both sign SHA-256 here.
func again(c *x509.Certificate, key crypto.Signer, id uint32) (*x509.Certificate, error) {
	tbs := bytes.Replace(c.RawTBSCertificate, c.SerialNumber.Bytes(), freshSerial(id).Bytes(), 1)
	sum := sha256.Sum256(tbs)
	signature, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	var whole, algorithm cryptobyte.String
	in := cryptobyte.String(c.Raw)
	if !in.ReadASN1(&whole, der.SEQUENCE) || !whole.SkipASN1(der.SEQUENCE) || !whole.ReadASN1Element(&algorithm, der.SEQUENCE) {
		return nil, fmt.Errorf("a certificate that is none")
	}
	var b cryptobyte.Builder
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		b.AddBytes(algorithm)
		b.AddASN1BitString(signature)
	})
	raw, err := b.Bytes()
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(raw)
}
