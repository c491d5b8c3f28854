// Package cmstest makes the messages and certificates that package cms must
// cope with but would never write itself: BER with indefinite lengths,
// attributes out of order or twice, several signers, MD5, and certificates of
// the kinds crypto/x509 refuses. It also runs the openssl program. It is for
// tests only, and encodes with encoding/asn1 so that it shares no code with
// what it tests.
package cmstest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

var rsaKeys [4]func() *rsa.PrivateKey

func init() {
	for i := range rsaKeys {
		rsaKeys[i] = sync.OnceValue(func() *rsa.PrivateKey {
			key, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				panic(err)
			}
			return key
		})
	}
}

// RSAKey gives the nth of four RSA-2048 keys, made once per test binary.
func RSAKey(n int) *rsa.PrivateKey { return rsaKeys[n]() }

// ECKey makes a key on the curve.
func ECKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Must gives v, or fails the test it is applied to: Must(f())(t).
func Must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// Seq encodes a SEQUENCE.
func Seq(parts ...[]byte) []byte { return Element(0x30, parts...) }

// Set encodes a SET in the order given.
func Set(parts ...[]byte) []byte { return Element(0x31, parts...) }

// Element encodes one element with a definite length.
func Element(tag byte, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	out := []byte{tag}
	switch n := len(body); {
	case n < 0x80:
		out = append(out, byte(n))
	case n < 0x100:
		out = append(out, 0x81, byte(n))
	case n < 0x10000:
		out = append(out, 0x82, byte(n>>8), byte(n))
	default:
		out = append(out, 0x83, byte(n>>16), byte(n>>8), byte(n))
	}
	return append(out, body...)
}

// OID encodes an OBJECT IDENTIFIER from its arcs.
func OID(arcs ...int) []byte {
	b, err := asn1.Marshal(asn1.ObjectIdentifier(arcs))
	if err != nil {
		panic(err)
	}
	return b
}

// Name encodes a Name with one commonName.
func Name(cn string) []byte {
	return Seq(Set(Seq(OID(2, 5, 4, 3), Element(0x0c, []byte(cn)))))
}

// Odd describes a self-signed certificate with deviations.
type Odd struct {
	Key        crypto.Signer
	Name       []byte // subject and issuer
	Serial     []byte // content octets; nil means 1
	Version1   bool
	Extensions []byte // encoded Extension elements
}

// Certificate makes the certificate, valid in 2024 to 2049.
func (o Odd) Certificate(t testing.TB) []byte {
	t.Helper()
	spki := Must(x509.MarshalPKIXPublicKey(o.Key.Public()))(t)
	alg := Seq(OID(1, 2, 840, 113549, 1, 1, 11), []byte{5, 0})
	if _, ec := o.Key.Public().(*ecdsa.PublicKey); ec {
		alg = Seq(OID(1, 2, 840, 10045, 4, 3, 2))
	}
	serial := o.Serial
	if serial == nil {
		serial = []byte{1}
	}
	var version, extensions []byte
	if !o.Version1 {
		version = Element(0xa0, []byte{2, 1, 2})
		if o.Extensions != nil {
			extensions = Element(0xa3, Seq(o.Extensions))
		}
	}
	tbs := Seq(version, Element(0x02, serial), alg, o.Name,
		Seq(Element(0x17, []byte("240101000000Z")), Element(0x17, []byte("491231235959Z"))),
		o.Name, spki, extensions)
	digest := sum(crypto.SHA256, tbs)
	sig := Must(o.Key.Sign(rand.Reader, digest, crypto.SHA256))(t)
	return Seq(tbs, alg, Element(0x03, []byte{0}, sig))
}

// Plain makes an ordinary self-signed certificate with crypto/x509's help.
func Plain(t testing.TB, key crypto.Signer, cn string) []byte {
	t.Helper()
	serial := make([]byte, 16)
	rand.Read(serial)
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial),
		RawSubject:   Name(cn),
		SubjectKeyId: serial[:8],
		NotBefore:    time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(2049, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageKeyAgreement,
	}
	return Must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))(t)
}

// Signed describes a SignedData with deviations.
type Signed struct {
	Content      []byte
	Key          crypto.Signer
	Certificate  []byte
	Certificates [][]byte // sent along, in this order
	ID           []byte   // SignerIdentifier; nil means issuer and serial of Certificate
	Digest       crypto.Hash
	DigestOID    []byte
	SignatureOID []byte   // nil means rsaEncryption
	Attributes   [][]byte // encoded, sent before contentType and messageDigest
	SignSorted   bool     // sign in DER order, send as given; else sign as sent
	Signers      int      // copies of the SignerInfo; zero means one
}

// Attribute encodes an attribute with its values.
func Attribute(oid []byte, values ...[]byte) []byte { return Seq(oid, Set(values...)) }

// Message makes the SignedData.
func (s Signed) Message(t testing.TB) []byte {
	t.Helper()
	data := OID(1, 2, 840, 113549, 1, 7, 1)
	attrs := append(slices.Clone(s.Attributes),
		Attribute(OID(1, 2, 840, 113549, 1, 9, 4), Element(0x04, sum(s.Digest, s.Content))),
		Attribute(OID(1, 2, 840, 113549, 1, 9, 3), data))
	signed := slices.Clone(attrs)
	if s.SignSorted {
		slices.SortFunc(signed, bytes.Compare)
	}
	sig := Must(s.Key.Sign(rand.Reader, sum(s.Digest, Set(signed...)), s.Digest))(t)
	id := s.ID
	if id == nil {
		id = IssuerAndSerial(t, s.Certificate)
	}
	sigOID := s.SignatureOID
	if sigOID == nil {
		sigOID = OID(1, 2, 840, 113549, 1, 1, 1)
	}
	info := Seq([]byte{2, 1, 1}, id, Seq(s.DigestOID, []byte{5, 0}), Element(0xa0, attrs...), Seq(sigOID), Element(0x04, sig))
	var infos []byte
	for range max(1, s.Signers) {
		infos = append(infos, info...)
	}
	return Seq(OID(1, 2, 840, 113549, 1, 7, 2), Element(0xa0, Seq(
		[]byte{2, 1, 1}, Set(Seq(s.DigestOID, []byte{5, 0})),
		Seq(data, Element(0xa0, Element(0x04, s.Content))),
		Element(0xa0, s.Certificates...), Set(infos))))
}

// IssuerAndSerial encodes a certificate's name tag by walking to it.
func IssuerAndSerial(t testing.TB, der []byte) []byte {
	t.Helper()
	var outer, tbs, v asn1.RawValue
	Must(asn1.Unmarshal(der, &outer))(t)
	Must(asn1.Unmarshal(outer.Bytes, &tbs))(t)
	rest := Must(asn1.Unmarshal(tbs.Bytes, &v))(t)
	if v.Class == asn1.ClassContextSpecific {
		rest = Must(asn1.Unmarshal(rest, &v))(t)
	}
	serial := v.FullBytes
	rest = Must(asn1.Unmarshal(rest, &v))(t)
	Must(asn1.Unmarshal(rest, &v))(t)
	return Seq(v.FullBytes, serial)
}

func sum(h crypto.Hash, b []byte) []byte {
	d := h.New()
	d.Write(b)
	return d.Sum(nil)
}

// Indefinite rewrites DER in the form streaming writers use: every constructed
// element of indefinite length, every OCTET STRING, and every primitive [0]
// (encryptedContent), in pieces of at most chunk octets.
func Indefinite(t testing.TB, der []byte, chunk int) []byte {
	t.Helper()
	var out []byte
	for len(der) > 0 {
		var v asn1.RawValue
		rest := Must(asn1.Unmarshal(der, &v))(t)
		full := v.FullBytes
		der = rest
		switch {
		case v.IsCompound:
			out = append(append(out, full[0], 0x80), Indefinite(t, v.Bytes, chunk)...)
			out = append(out, 0, 0)
		case (full[0] == 0x04 || full[0] == 0x80) && len(v.Bytes) > 0:
			out = append(out, full[0]|0x20, 0x80)
			for piece := range slices.Chunk(v.Bytes, chunk) {
				out = append(out, Element(0x04, piece)...)
			}
			out = append(out, 0, 0)
		default:
			out = append(out, full...)
		}
	}
	return out
}

// OpenSSL runs the openssl program on input and gives what it prints. A
// missing program fails the test.
func OpenSSL(t testing.TB, input []byte, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("openssl", args...)
	cmd.Stdin = bytes.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("openssl %v: %v\n%s", args, err, stderr.Bytes())
	}
	return out
}

// Files writes a certificate and its key as PEM and gives their paths.
func Files(t testing.TB, der []byte, key crypto.PrivateKey) (certificate, private string) {
	t.Helper()
	dir := t.TempDir()
	certificate, private = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePEM(t, certificate, "CERTIFICATE", der)
	writePEM(t, private, "PRIVATE KEY", Must(x509.MarshalPKCS8PrivateKey(key))(t))
	return certificate, private
}

func writePEM(t testing.TB, path, kind string, der []byte) {
	t.Helper()
	block := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(path, block, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Read reads a file of testdata; PEM is decoded to its first block.
func Read(t testing.TB, name string) []byte {
	t.Helper()
	b := Must(os.ReadFile(filepath.Join("testdata", name)))(t)
	if block, _ := pem.Decode(b); block != nil {
		return block.Bytes
	}
	if len(b) == 0 {
		t.Fatalf("%s is empty", name)
	}
	return b
}
