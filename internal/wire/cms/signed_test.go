package cms_test

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"chancery/internal/wire/cms"
	"chancery/internal/wire/cms/cmstest"
)

var (
	oidMD5    = cmstest.OID(1, 2, 840, 113549, 2, 5)
	oidSHA1   = cmstest.OID(1, 3, 14, 3, 2, 26)
	oidSHA256 = cmstest.OID(2, 16, 840, 1, 101, 3, 4, 2, 1)
	oidNonce  = cmstest.OID(2, 16, 840, 1, 113733, 1, 9, 5)
	oidID     = cmstest.OID(2, 16, 840, 1, 113733, 1, 9, 7)
)

func parse(t testing.TB, der []byte) *cms.Certificate {
	t.Helper()
	c, err := cms.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// verify reads a message and checks it with the certificate in it.
func verify(b []byte, p cms.VerifyPolicy) (*cms.SignedData, error) {
	sd, err := cms.ParseSignedData(b, cms.Limits{})
	if err != nil {
		return nil, err
	}
	c, err := sd.SignerCertificate()
	if err != nil {
		return sd, err
	}
	return sd, sd.Verify(c, p)
}

func TestSignVerify(t *testing.T) {
	rsaKey := cmstest.RSAKey(0)
	for _, c := range []struct {
		name    string
		key     crypto.Signer
		digest  crypto.Hash
		content []byte
		want    cms.OID // signature algorithm
	}{
		{"RSA, default digest", rsaKey, 0, []byte("hello"), cms.OIDRSA},
		{"RSA, SHA-1", rsaKey, crypto.SHA1, []byte("hello"), cms.OIDRSA},
		{"RSA, SHA-384", rsaKey, crypto.SHA384, []byte("hello"), cms.OIDRSA},
		{"RSA, SHA-512, empty", rsaKey, crypto.SHA512, nil, cms.OIDRSA},
		{"P-256", cmstest.ECKey(t, elliptic.P256()), 0, []byte("hello"), cms.OIDECDSAWithSHA256},
		{"P-384, SHA-384", cmstest.ECKey(t, elliptic.P384()), crypto.SHA384, []byte("hello"), cms.OIDECDSAWithSHA384},
		{"P-521, SHA-512", cmstest.ECKey(t, elliptic.P521()), crypto.SHA512, []byte("hello"), cms.OIDECDSAWithSHA512},
		{"P-256, SHA-1", cmstest.ECKey(t, elliptic.P256()), crypto.SHA1, []byte("hello"), cms.OIDECDSAWithSHA1},
	} {
		t.Run(c.name, func(t *testing.T) {
			der := cmstest.Plain(t, c.key, "signer")
			at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			msg, err := cms.Sign(cms.SignOptions{
				Content: c.content, Signer: c.key, Certificate: parse(t, der), Digest: c.digest, SigningTime: at,
				Attributes: cms.Attributes{{Type: cms.MustOID("2.16.840.1.113733.1.9.5"), Value: []byte{4, 1, 9}}},
			})
			if err != nil {
				t.Fatal(err)
			}
			sd, err := verify(msg, cms.VerifyPolicy{})
			if err != nil {
				t.Fatal(err)
			}
			if sd.Content == nil || !bytes.Equal(sd.Content, c.content) || sd.ContentType != cms.OIDData {
				t.Errorf("content is %q of type %s", sd.Content, sd.ContentType)
			}
			if sd.Signer.Algorithm.Algorithm != c.want {
				t.Errorf("signature algorithm is %s, want %s", sd.Signer.Algorithm.Algorithm.Name(), c.want.Name())
			}
			if c.want == cms.OIDRSA && !bytes.Equal(sd.Signer.Algorithm.Parameters, []byte{5, 0}) {
				t.Errorf("rsaEncryption has parameters %x, want NULL", sd.Signer.Algorithm.Parameters)
			}

			// openssl accepts it, and insists on sorted attributes.
			cert, _ := cmstest.Files(t, der, c.key)
			out := cmstest.OpenSSL(t, msg, "cms", "-verify", "-inform", "DER", "-binary", "-noverify", "-certfile", cert)
			if !bytes.Equal(out, c.content) {
				t.Errorf("openssl read %q, want %q", out, c.content)
			}

			// Every octet of content and attributes counts.
			for _, find := range [][]byte{[]byte("hello"), {4, 1, 9}, []byte("260102030405Z")} {
				if i := bytes.Index(msg, find); i >= 0 {
					bad := bytes.Clone(msg)
					bad[i+len(find)-1] ^= 1
					if _, err := verify(bad, cms.VerifyPolicy{}); !errors.Is(err, cms.ErrSignature) {
						t.Errorf("after changing %q: %v, want ErrSignature", find, err)
					}
				}
			}
		})
	}
}

// TestOpenSSLSigned reads what the openssl program signs, in all its forms.
func TestOpenSSLSigned(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 1000)
	for _, key := range []crypto.Signer{cmstest.RSAKey(0), cmstest.ECKey(t, elliptic.P256())} {
		cert, private := cmstest.Files(t, cmstest.Plain(t, key, "signer"), key)
		for _, md := range []string{"md5", "sha1", "sha224", "sha256", "sha384", "sha512"} {
			_, isRSA := key.(*rsa.PrivateKey)
			if md == "md5" && !isRSA {
				continue // there is no ECDSA with MD5
			}
			for _, form := range [][]string{{}, {"-stream"}, {"-keyid"}} {
				args := append([]string{"cms", "-sign", "-binary", "-nodetach", "-outform", "DER", "-md", md, "-signer", cert, "-inkey", private}, form...)
				msg := cmstest.OpenSSL(t, content, args...)
				sd, err := verify(msg, cms.VerifyPolicy{AllowMD5: true})
				if err != nil {
					t.Errorf("%T %s %v: %v", key, md, form, err)
					continue
				}
				if !bytes.Equal(sd.Content, content) {
					t.Errorf("%T %s %v: content differs", key, md, form)
				}
				if _, err := verify(msg, cms.VerifyPolicy{}); (md == "md5") != errors.Is(err, cms.ErrMD5) {
					t.Errorf("%T %s %v without MD5: %v", key, md, form, err)
				}
			}
		}
	}
}

// TestRefuseSigned names one way to be wrong per row.
func TestRefuseSigned(t *testing.T) {
	key := cmstest.RSAKey(0)
	cert := cmstest.Plain(t, key, "signer")
	good := cmstest.Signed{Content: []byte("x"), Key: key, Certificate: cert, Certificates: [][]byte{cert}, Digest: crypto.SHA256, DigestOID: oidSHA256}
	for _, c := range []struct {
		name   string
		change func(*cmstest.Signed)
		want   error
	}{
		{"nothing wrong", func(*cmstest.Signed) {}, nil},
		{"attributes as sent", func(s *cmstest.Signed) {
			s.Attributes = [][]byte{cmstest.Attribute(oidNonce, []byte{4, 1, 1}), cmstest.Attribute(oidID, []byte{0x13, 1, 'a'})}
		}, nil},
		{"attributes sorted for signing only", func(s *cmstest.Signed) {
			s.Attributes = [][]byte{cmstest.Attribute(oidNonce, []byte{4, 1, 1}), cmstest.Attribute(oidID, []byte{0x13, 1, 'a'})}
			s.SignSorted = true
		}, nil},
		{"two signers", func(s *cmstest.Signed) { s.Signers = 2 }, cms.ErrSigners},
		{"attribute twice", func(s *cmstest.Signed) {
			s.Attributes = [][]byte{cmstest.Attribute(oidNonce, []byte{4, 1, 1}), cmstest.Attribute(oidNonce, []byte{4, 1, 2})}
		}, cms.ErrDuplicateAttribute},
		{"attribute with two values", func(s *cmstest.Signed) {
			s.Attributes = [][]byte{cmstest.Attribute(oidNonce, []byte{4, 1, 1}, []byte{4, 1, 2})}
		}, cms.ErrDuplicateAttribute},
		{"contentType twice", func(s *cmstest.Signed) {
			s.Attributes = [][]byte{cmstest.Attribute(cmstest.OID(1, 2, 840, 113549, 1, 9, 3), cmstest.OID(1, 2, 840, 113549, 1, 7, 1))}
		}, cms.ErrDuplicateAttribute},
		{"attribute without value", func(s *cmstest.Signed) { s.Attributes = [][]byte{cmstest.Attribute(oidNonce)} }, cms.ErrMalformed},
		{"no certificates", func(s *cmstest.Signed) { s.Certificates = nil }, cms.ErrNoCertificate},
		{"another certificate", func(s *cmstest.Signed) { s.Certificates = [][]byte{cmstest.Plain(t, key, "signer")} }, cms.ErrNoCertificate},
		{"another key", func(s *cmstest.Signed) { s.Key = cmstest.RSAKey(1) }, cms.ErrSignature},
		{"EC key in the certificate", func(s *cmstest.Signed) {
			s.Certificate = cmstest.Plain(t, cmstest.ECKey(t, elliptic.P256()), "signer")
			s.Certificates = [][]byte{s.Certificate}
		}, cms.ErrSignature},
		{"digest and signature disagree", func(s *cmstest.Signed) { s.SignatureOID = cmstest.OID(1, 2, 840, 113549, 1, 1, 5) }, cms.ErrAlgorithm},
		{"unknown digest", func(s *cmstest.Signed) { s.DigestOID = cmstest.OID(1, 2, 3) }, cms.ErrAlgorithm},
		{"unknown signature", func(s *cmstest.Signed) { s.SignatureOID = cmstest.OID(1, 2, 3) }, cms.ErrAlgorithm},
		{"MD5", func(s *cmstest.Signed) { s.Digest, s.DigestOID = crypto.MD5, oidMD5 }, cms.ErrMD5},
		{"SHA-1 is for the floor to refuse", func(s *cmstest.Signed) { s.Digest, s.DigestOID = crypto.SHA1, oidSHA1 }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := good
			c.change(&s)
			if _, err := verify(s.Message(t), cms.VerifyPolicy{}); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			ber := cmstest.Indefinite(t, s.Message(t), 3)
			if _, err := verify(ber, cms.VerifyPolicy{}); !errors.Is(err, c.want) {
				t.Errorf("as BER: got %v, want %v", err, c.want)
			}
		})
	}
}

// TestKeyIdentifier reads a signer named by subjectKeyIdentifier.
func TestKeyIdentifier(t *testing.T) {
	key := cmstest.RSAKey(0)
	cert := cmstest.Odd{Key: key, Name: cmstest.Name("ski"), Extensions: cmstest.Seq(cmstest.OID(2, 5, 29, 14), cmstest.Element(4, []byte{4, 2, 7, 8}))}.Certificate(t)
	s := cmstest.Signed{Content: []byte("x"), Key: key, Certificate: cert, Certificates: [][]byte{cert}, Digest: crypto.SHA256, DigestOID: oidSHA256, ID: []byte{0x80, 2, 7, 8}}
	if _, err := verify(s.Message(t), cms.VerifyPolicy{}); err != nil {
		t.Error(err)
	}
	s.ID = []byte{0x80, 2, 7, 9}
	if _, err := verify(s.Message(t), cms.VerifyPolicy{}); err != cms.ErrNoCertificate {
		t.Errorf("other identifier: %v, want ErrNoCertificate", err)
	}
}

// TestOddCertificates signs with the certificates that real clients make and
// crypto/x509 refuses.
func TestOddCertificates(t *testing.T) {
	key := cmstest.RSAKey(0)
	criticalAKI := cmstest.Seq(cmstest.OID(2, 5, 29, 35), []byte{1, 1, 0xff}, cmstest.Element(4, cmstest.Seq([]byte{0x80, 1, 5})))
	for _, c := range []struct {
		name string
		odd  cmstest.Odd
	}{
		{"version 1 with a serial of 32 octets (certmonger)", cmstest.Odd{Version1: true, Serial: append([]byte{0x71}, bytes.Repeat([]byte{0xa5}, 31)...)}},
		{"critical authorityKeyIdentifier (Windows)", cmstest.Odd{Extensions: criticalAKI}},
		{"negative serial", cmstest.Odd{Serial: []byte{0x85, 1, 2}}},
		{"serial with needless zeros", cmstest.Odd{Serial: []byte{0, 0, 1}}},
		{"zero serial", cmstest.Odd{Serial: []byte{0}}},
		{"empty name", cmstest.Odd{Name: cmstest.Seq()}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.odd.Key = key
			if c.odd.Name == nil {
				c.odd.Name = cmstest.Name("odd")
			}
			der := c.odd.Certificate(t)
			cert := parse(t, der)
			if c.odd.Serial != nil && !bytes.Equal(cert.Serial, c.odd.Serial) {
				t.Errorf("serial %x, want %x", cert.Serial, c.odd.Serial)
			}
			if c.odd.Version1 != (cert.Version == 1) || !cert.SelfIssued() || !bytes.Equal(cert.RawSubject, c.odd.Name) {
				t.Errorf("version %d, self-issued %v, subject %x", cert.Version, cert.SelfIssued(), cert.RawSubject)
			}
			if !key.PublicKey.Equal(cert.PublicKey) || cert.NotAfter.Year() != 2049 {
				t.Errorf("key %v, not after %v", cert.PublicKey, cert.NotAfter)
			}
			msg, err := cms.Sign(cms.SignOptions{Content: []byte("x"), Signer: key, Certificate: cert})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := verify(msg, cms.VerifyPolicy{}); err != nil {
				t.Error(err)
			}
			to, err := cms.To(cert)
			if err != nil {
				t.Fatal(err)
			}
			env, err := cms.Encrypt([]byte("secret"), cms.OIDAES128CBC, to)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := decrypt(env, cert, key); err != nil || string(got) != "secret" {
				t.Errorf("decrypted %q, %v", got, err)
			}
		})
	}
}

func TestParseCertificateFields(t *testing.T) {
	key := cmstest.ECKey(t, elliptic.P256())
	der := cmstest.OpenSSL(t, nil, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", filepath.Join(t.TempDir(), "k"), "-outform", "DER",
		"-subj", "/CN=ca", "-addext", "keyUsage=critical,digitalSignature,keyEncipherment,keyCertSign,decipherOnly")
	want, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	got := parse(t, der)
	if !bytes.Equal(got.RawIssuer, want.RawIssuer) || !bytes.Equal(got.RawSubject, want.RawSubject) ||
		!bytes.Equal(got.RawSPKI, want.RawSubjectPublicKeyInfo) || !bytes.Equal(got.SubjectKeyID, want.SubjectKeyId) ||
		got.KeyUsage != want.KeyUsage || got.IsCA != want.IsCA || got.Version != want.Version ||
		!got.NotBefore.Equal(want.NotBefore) || !got.NotAfter.Equal(want.NotAfter) {
		t.Errorf("got %+v\nwant what crypto/x509 reads", got)
	}
	plain := cmstest.Plain(t, key, "x")
	for i := range plain {
		if _, err := cms.ParseCertificate(plain[:i]); err == nil {
			t.Errorf("the first %d octets of a certificate were accepted", i)
		}
	}
	if _, err := cms.ParseCertificate(append(plain, 0)); err == nil {
		t.Error("trailing octet accepted")
	}
}

// TestHugeKey makes sure that a key meant to keep a server busy is not used.
func TestHugeKey(t *testing.T) {
	n := append([]byte{0, 0xc1}, bytes.Repeat([]byte{0x35}, cms.MaxRSABits/8)...)
	spki := cmstest.Seq(cmstest.Seq(cmstest.OID(1, 2, 840, 113549, 1, 1, 1), []byte{5, 0}),
		cmstest.Element(3, []byte{0}, cmstest.Seq(cmstest.Element(2, n), []byte{2, 3, 1, 0, 1})))
	small := cmstest.Odd{Key: cmstest.RSAKey(0), Name: cmstest.Name("x")}.Certificate(t)
	ours := parse(t, small)
	// The signature of the changed certificate is of no interest here.
	i := bytes.Index(small, ours.RawSPKI)
	big := cmstest.Seq(cmstest.Seq(small[8:i], spki), small[i+len(ours.RawSPKI):])
	c, err := cms.ParseCertificate(big)
	if err != nil {
		t.Fatal(err)
	}
	if c.PublicKey != nil {
		t.Errorf("a key of %d bits is offered for use", c.PublicKey.(*rsa.PublicKey).N.BitLen())
	}
}

func TestDegenerate(t *testing.T) {
	one, two := cmstest.Plain(t, cmstest.RSAKey(0), "one"), cmstest.Plain(t, cmstest.ECKey(t, elliptic.P256()), "two")
	crl := cmstest.Read(t, "openssl-crl.der")
	for _, c := range []struct {
		name        string
		certs, crls [][]byte
	}{
		{"certificate", [][]byte{one}, nil},
		{"chain in order", [][]byte{two, one}, nil},
		{"CRL", nil, [][]byte{crl}},
		{"both", [][]byte{one}, [][]byte{crl}},
		{"nothing", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := cms.Degenerate(c.certs, c.crls)
			if err != nil {
				t.Fatal(err)
			}
			for _, form := range [][]byte{b, cmstest.Indefinite(t, b, 100)} {
				certs, crls, err := cms.ParseDegenerate(form, cms.Limits{})
				if err != nil || len(certs) != len(c.certs) || len(crls) != len(c.crls) {
					t.Fatalf("%d certificates, %d CRLs, %v", len(certs), len(crls), err)
				}
				for i := range certs {
					if !bytes.Equal(certs[i].Raw, c.certs[i]) {
						t.Errorf("certificate %d changed", i)
					}
				}
				for i := range crls {
					if !bytes.Equal(crls[i], c.crls[i]) {
						t.Errorf("CRL %d changed", i)
					}
				}
			}
			if len(c.certs)+len(c.crls) > 0 {
				cmstest.OpenSSL(t, b, "pkcs7", "-inform", "DER", "-print_certs", "-noout")
			}
		})
	}
	if _, err := cms.ParseSignedData(cmstest.Must(cms.Degenerate([][]byte{one}, nil))(t), cms.Limits{}); err != cms.ErrSigners {
		t.Errorf("a degenerate SignedData as a signed one: %v, want ErrSigners", err)
	}
}

// TestCorpus reads the files openssl made; see testdata/README.md.
func TestCorpus(t *testing.T) {
	files, err := filepath.Glob("testdata/openssl-signed-*.der")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want := error(nil)
		if filepath.Base(file) == "openssl-signed-two.der" {
			want = cms.ErrSigners
		}
		sd, err := verify(b, cms.VerifyPolicy{AllowMD5: true})
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", file, err, want)
		}
		if err == nil && !bytes.HasPrefix(sd.Content, []byte("Chancery test content")) {
			t.Errorf("%s: content is %q", file, sd.Content)
		}
	}
}

func FuzzSignedData(f *testing.F) {
	files, _ := filepath.Glob("testdata/openssl-*.der")
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		verify(b, cms.VerifyPolicy{AllowMD5: true})
		cms.ParseDegenerate(b, cms.Limits{})
		if e, err := cms.ParseEnvelopedData(b, cms.Limits{}); err == nil {
			e.DecryptPassword([]byte("x"))
		}
		if c, err := cms.ParseCertificate(b); err == nil {
			if again, err := cms.ParseIssuerAndSerial(cmstest.Must(c.ID().Append(nil))(t)); err != nil || !again.Equal(c.ID()) {
				t.Errorf("name tag of %x: %v", b, err)
			}
		}
	})
}
