package ocspmsg_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
	"golang.org/x/crypto/ocsp"

	"chancery/internal/wire/ocspmsg"
)

// asked is a request as a test writes it.
type asked struct {
	version    int64
	ids        int
	hash       asn1.ObjectIdentifier
	length     int // of the hashes
	null       bool
	serial     []byte // content of the INTEGER
	extensions [][]byte
	single     [][]byte // extensions of each certificate
	signature  bool
	trailing   []byte
}

var (
	oidSHA1   = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
	oidSHA256 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidNonce  = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 2}
	oidOther  = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 4}
)

func plain() asked {
	return asked{ids: 1, hash: oidSHA1, length: 20, null: true, serial: []byte{0x12, 0x34}}
}

func extension(oid asn1.ObjectIdentifier, critical bool, value []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		if critical {
			b.AddASN1Boolean(true)
		}
		b.AddASN1OctetString(value)
	})
	return b.BytesOrPanic()
}

func nonce(n int) []byte {
	var b cryptobyte.Builder
	b.AddASN1OctetString(bytes.Repeat([]byte{0xa5}, n))
	return extension(oidNonce, false, b.BytesOrPanic())
}

func (a asked) der() []byte {
	tag := func(n uint8) cbasn1.Tag { return cbasn1.Tag(n).ContextSpecific().Constructed() }
	sequence := cbasn1.SEQUENCE
	extensions := func(b *cryptobyte.Builder, n uint8, list [][]byte) {
		if list != nil {
			b.AddASN1(tag(n), func(b *cryptobyte.Builder) {
				b.AddASN1(sequence, func(b *cryptobyte.Builder) {
					for _, e := range list {
						b.AddBytes(e)
					}
				})
			})
		}
	}
	var b cryptobyte.Builder
	b.AddASN1(sequence, func(b *cryptobyte.Builder) {
		b.AddASN1(sequence, func(b *cryptobyte.Builder) {
			if a.version != 0 {
				b.AddASN1(tag(0), func(b *cryptobyte.Builder) { b.AddASN1Int64(a.version) })
			}
			b.AddASN1(sequence, func(b *cryptobyte.Builder) {
				for range a.ids {
					b.AddASN1(sequence, func(b *cryptobyte.Builder) {
						b.AddASN1(sequence, func(b *cryptobyte.Builder) {
							b.AddASN1(sequence, func(b *cryptobyte.Builder) {
								b.AddASN1ObjectIdentifier(a.hash)
								if a.null {
									b.AddASN1NULL()
								}
							})
							b.AddASN1OctetString(bytes.Repeat([]byte{1}, a.length))
							b.AddASN1OctetString(bytes.Repeat([]byte{2}, a.length))
							b.AddASN1(cbasn1.INTEGER, func(b *cryptobyte.Builder) { b.AddBytes(a.serial) })
						})
						extensions(b, 0, a.single)
					})
				}
			})
			extensions(b, 2, a.extensions)
		})
		if a.signature {
			b.AddASN1(tag(0), func(b *cryptobyte.Builder) { b.AddASN1(sequence, func(*cryptobyte.Builder) {}) })
		}
		b.AddBytes(a.trailing)
	})
	return b.BytesOrPanic()
}

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*asked)
		serial string
		nonce  int
		err    error
	}{
		"plain":                       {func(*asked) {}, "1234", 0, nil},
		"SHA-256 without parameters":  {func(a *asked) { a.hash, a.length, a.null = oidSHA256, 32, false }, "1234", 0, nil},
		"signed":                      {func(a *asked) { a.signature = true }, "1234", 0, nil},
		"zero":                        {func(a *asked) { a.serial = []byte{0} }, "0", 0, nil},
		"a serial with its high bit":  {func(a *asked) { a.serial = []byte{0, 0x9a} }, "9a", 0, nil},
		"a long serial":               {func(a *asked) { a.serial = bytes.Repeat([]byte{0x11}, 32) }, string(bytes.Repeat([]byte("11"), 32)), 0, nil},
		"as many as may be":           {func(a *asked) { a.ids = ocspmsg.MaxCerts }, "1234", 0, nil},
		"a nonce of one octet":        {func(a *asked) { a.extensions = [][]byte{nonce(1)} }, "1234", 1, nil},
		"a nonce of 128":              {func(a *asked) { a.extensions = [][]byte{nonce(128)} }, "1234", 128, nil},
		"an unknown extension":        {func(a *asked) { a.extensions = [][]byte{extension(oidOther, false, []byte{5, 0})} }, "1234", 0, nil},
		"one of the certificate":      {func(a *asked) { a.single = [][]byte{extension(oidOther, false, nil)} }, "1234", 0, nil},
		"version 2":                   {func(a *asked) { a.version = 1 }, "", 0, ocspmsg.ErrVersion},
		"no certificate":              {func(a *asked) { a.ids = 0 }, "", 0, ocspmsg.ErrCount},
		"too many":                    {func(a *asked) { a.ids = ocspmsg.MaxCerts + 1 }, "", 0, ocspmsg.ErrCount},
		"another hash":                {func(a *asked) { a.hash = oidOther }, "", 0, ocspmsg.ErrHash},
		"hashes of the wrong length":  {func(a *asked) { a.length = 32 }, "", 0, ocspmsg.ErrHash},
		"negative":                    {func(a *asked) { a.serial = []byte{0x80} }, "", 0, ocspmsg.ErrSyntax},
		"a serial that is too long":   {func(a *asked) { a.serial = bytes.Repeat([]byte{0x11}, 33) }, "", 0, ocspmsg.ErrSyntax},
		"a serial with a zero before": {func(a *asked) { a.serial = []byte{0, 0x11} }, "", 0, ocspmsg.ErrSyntax},
		"an empty serial":             {func(a *asked) { a.serial = nil }, "", 0, ocspmsg.ErrSyntax},
		"an empty nonce":              {func(a *asked) { a.extensions = [][]byte{nonce(0)} }, "", 0, ocspmsg.ErrNonce},
		"a nonce of 129":              {func(a *asked) { a.extensions = [][]byte{nonce(129)} }, "", 0, ocspmsg.ErrNonce},
		"a bare nonce":                {func(a *asked) { a.extensions = [][]byte{extension(oidNonce, false, []byte{1, 2, 3})} }, "", 0, ocspmsg.ErrNonce},
		"two nonces":                  {func(a *asked) { a.extensions = [][]byte{nonce(4), nonce(4)} }, "", 0, ocspmsg.ErrNonce},
		"a critical extension":        {func(a *asked) { a.extensions = [][]byte{extension(oidOther, true, nil)} }, "", 0, ocspmsg.ErrCritical},
		"one of a certificate":        {func(a *asked) { a.single = [][]byte{extension(oidOther, true, nil)} }, "", 0, ocspmsg.ErrCritical},
		"more behind it":              {func(a *asked) { a.trailing = []byte{5, 0} }, "", 0, ocspmsg.ErrSyntax},
	} {
		a := plain()
		c.change(&a)
		r, err := ocspmsg.Parse(a.der())
		if !errors.Is(err, c.err) {
			t.Errorf("%s: %v, want %v", name, err, c.err)
		}
		if err != nil {
			continue
		}
		if len(r.Certs) != a.ids || r.Certs[0].Serial != c.serial || len(r.Certs[0].NameHash) != a.length || r.Certs[0].KeyHash[0] != 2 {
			t.Errorf("%s: %+v", name, r)
		}
		if (r.Nonce != nil) != (c.nonce > 0) || r.Nonce != nil && !bytes.HasSuffix(r.Nonce, bytes.Repeat([]byte{0xa5}, c.nonce)) {
			t.Errorf("%s: nonce %x", name, r.Nonce)
		}
	}
	if _, err := ocspmsg.Parse(append(plain().der(), 0)); !errors.Is(err, ocspmsg.ErrSyntax) {
		t.Errorf("trailing: %v", err)
	}
}

// responder is a certificate with its key, of a CA that signs itself.
func responder(t testing.TB, key crypto.Signer) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "OCSP"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func keys(t testing.TB) map[string]crypto.Signer {
	t.Helper()
	p256, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rsa2048, err2 := rsa.GenerateKey(rand.Reader, 2048)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return map[string]crypto.Signer{"p-256": p256, "rsa": rsa2048}
}

// TestSign: another implementation reads what is written here.
func TestSign(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, key := range keys(t) {
		cert := responder(t, key)
		subject := &x509.Certificate{SerialNumber: big.NewInt(0x1234)}
		for _, c := range []struct {
			status    ocspmsg.Status
			reason    int
			revokedAt time.Time
			want      int
		}{{ocspmsg.Good, 0, time.Time{}, ocsp.Good}, {ocspmsg.Revoked, 1, now.Add(-time.Hour), ocsp.Revoked}, {ocspmsg.Revoked, 0, now.Add(-time.Hour), ocsp.Revoked}, {ocspmsg.Unknown, 0, time.Time{}, ocsp.Unknown}} {
			q, err := ocsp.CreateRequest(subject, cert, &ocsp.RequestOptions{Hash: crypto.SHA256})
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := ocspmsg.Parse(q)
			if err != nil {
				t.Fatal(err)
			}
			r := ocspmsg.Response{ProducedAt: now, Singles: []ocspmsg.Single{{Cert: parsed.Certs[0], Status: c.status, RevokedAt: c.revokedAt, Reason: c.reason, ThisUpdate: now, NextUpdate: now.Add(time.Hour)}}}
			der, err := r.Sign(cert, key)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ocsp.ParseResponseForCert(der, subject, cert)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got.Status != c.want || got.RevocationReason != c.reason || !got.RevokedAt.Equal(c.revokedAt) || !got.ProducedAt.Equal(now) || !got.NextUpdate.Equal(now.Add(time.Hour)) || got.Certificate == nil || len(got.ResponderKeyHash) != 20 {
				t.Errorf("%s: %+v", name, got)
			}
		}
	}
	_, other, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&ocspmsg.Response{}).Sign(responder(t, other), other); !errors.Is(err, ocspmsg.ErrKey) {
		t.Errorf("a key of another kind: %v", err)
	}
	if _, err := ocspmsg.PublicKeyBits([]byte{0x30, 0}); !errors.Is(err, ocspmsg.ErrSyntax) {
		t.Errorf("no key: %v", err)
	}
}

// FuzzParse: what is read names its certificates within the limits, and an
// answer about them can be written.
func FuzzParse(f *testing.F) {
	many := plain()
	many.ids, many.extensions, many.single = 3, [][]byte{nonce(32), extension(oidOther, false, []byte{5, 0})}, [][]byte{extension(oidOther, false, nil)}
	for _, a := range []asked{plain(), many} {
		f.Add(a.der())
	}
	key := keys(f)["p-256"]
	cert := responder(f, key)
	f.Fuzz(func(t *testing.T, der []byte) {
		r, err := ocspmsg.Parse(der)
		if err != nil {
			return
		}
		if len(r.Certs) == 0 || len(r.Certs) > ocspmsg.MaxCerts {
			t.Fatalf("%d certificates", len(r.Certs))
		}
		answer := ocspmsg.Response{ProducedAt: time.Unix(0, 0), Nonce: r.Nonce}
		for _, c := range r.Certs {
			if len(c.NameHash) != c.Hash.Size() || c.Serial == "" || len(c.Serial) > 64 {
				t.Fatalf("%+v", c)
			}
			answer.Singles = append(answer.Singles, ocspmsg.Single{Cert: c, ThisUpdate: time.Unix(0, 0), NextUpdate: time.Unix(1, 0)})
		}
		if _, err := answer.Sign(cert, key); err != nil {
			t.Fatal(err)
		}
	})
}
