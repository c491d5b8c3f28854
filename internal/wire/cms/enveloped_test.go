package cms_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"io"
	"strings"
	"testing"

	"chancery/internal/wire/cms"
	"chancery/internal/wire/cms/cmstest"

	"github.com/smallstep/pkcs7"
)

// decrypt opens an EnvelopedData with the key that fits.
func decrypt(b []byte, cert *cms.Certificate, key crypto.PrivateKey) ([]byte, error) {
	e, err := cms.ParseEnvelopedData(b, cms.Limits{})
	if err != nil {
		return nil, err
	}
	if k, ok := key.(*ecdsa.PrivateKey); ok {
		agreer, err := k.ECDH()
		if err != nil {
			return nil, err
		}
		return e.DecryptAgreed(cert, agreer)
	}
	return e.Decrypt(cert, key.(crypto.Decrypter))
}

var cipherFlags = map[cms.OID]string{
	cms.OIDAES128CBC: "-aes128", cms.OIDAES192CBC: "-aes192", cms.OIDAES256CBC: "-aes256", cms.OIDTripleDESCBC: "-des3",
}

// TestEncryptDecrypt goes from us to us and to openssl, and from openssl to
// us, with every cipher we write and every kind of recipient key.
func TestEncryptDecrypt(t *testing.T) {
	for _, key := range []crypto.Signer{
		cmstest.RSAKey(0), cmstest.ECKey(t, elliptic.P256()), cmstest.ECKey(t, elliptic.P384()), cmstest.ECKey(t, elliptic.P521()),
	} {
		der := cmstest.Plain(t, key, "recipient")
		cert := parse(t, der)
		certFile, keyFile := cmstest.Files(t, der, key)
		for cipher, flag := range cipherFlags {
			for _, size := range []int{1, 15, 16, 17, 3000} {
				content := bytes.Repeat([]byte{0x30}, size)
				to, err := cms.To(cert)
				if err != nil {
					t.Fatal(err)
				}
				msg, err := cms.Encrypt(content, cipher, to)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := decrypt(msg, cert, key); err != nil || !bytes.Equal(got, content) {
					t.Errorf("%T %s %d octets: %v", key, flag, size, err)
				}
				if got, err := decrypt(cmstest.Indefinite(t, msg, 7), cert, key); err != nil || !bytes.Equal(got, content) {
					t.Errorf("%T %s %d octets as BER: %v", key, flag, size, err)
				}
				if size != 17 {
					continue
				}
				if got := cmstest.OpenSSL(t, msg, "cms", "-decrypt", "-binary", "-inform", "DER", "-inkey", keyFile, "-recip", certFile); !bytes.Equal(got, content) {
					t.Errorf("%T %s: openssl read %x", key, flag, got)
				}
				if _, ec := key.(*ecdsa.PrivateKey); ec && cipher == cms.OIDTripleDESCBC {
					continue // openssl wraps 3DES keys under 3DES there, which nobody needs read
				}
				for _, form := range []string{"", "-stream"} {
					args := strings.Fields("cms -encrypt -binary -outform DER " + flag + " " + form + " " + certFile)
					got, err := decrypt(cmstest.OpenSSL(t, content, args...), cert, key)
					if err != nil || !bytes.Equal(got, content) {
						t.Errorf("%T %s %s from openssl: %v", key, flag, form, err)
					}
				}
			}
		}
	}
}

// TestKeyAgreementDigests reads the key derivations openssl can be told to use.
func TestKeyAgreementDigests(t *testing.T) {
	key := cmstest.ECKey(t, elliptic.P256())
	der := cmstest.Plain(t, key, "recipient")
	cert, _ := cmstest.Files(t, der, key)
	for _, md := range []string{"sha1", "sha256", "sha384", "sha512"} {
		msg := cmstest.OpenSSL(t, []byte("content"), "cms", "-encrypt", "-binary", "-outform", "DER", "-aes256", "-recip", cert, "-keyopt", "ecdh_kdf_md:"+md)
		if got, err := decrypt(msg, parse(t, der), key); err != nil || string(got) != "content" {
			t.Errorf("%s: %q, %v", md, got, err)
		}
	}
}

func TestOAEP(t *testing.T) {
	key := cmstest.RSAKey(0)
	der := cmstest.Plain(t, key, "recipient")
	cert := parse(t, der)
	certFile, keyFile := cmstest.Files(t, der, key)

	to, err := cms.ToOAEP(cert)
	if err != nil {
		t.Fatal(err)
	}
	msg := cmstest.Must(cms.Encrypt([]byte("content"), cms.OIDAES256CBC, to))(t)
	if got, err := decrypt(msg, cert, key); err != nil || string(got) != "content" {
		t.Errorf("%q, %v", got, err)
	}
	if got := cmstest.OpenSSL(t, msg, "cms", "-decrypt", "-binary", "-inform", "DER", "-inkey", keyFile, "-recip", certFile); string(got) != "content" {
		t.Errorf("openssl read %q", got)
	}
	for _, opts := range [][]string{
		{},
		{"-keyopt", "rsa_oaep_md:sha256"},
		{"-keyopt", "rsa_oaep_md:sha512", "-keyopt", "rsa_mgf1_md:sha1"},
		{"-keyopt", "rsa_oaep_label:0102ff"},
	} {
		args := append([]string{"cms", "-encrypt", "-binary", "-outform", "DER", "-aes128", "-recip", certFile, "-keyopt", "rsa_padding_mode:oaep"}, opts...)
		got, err := decrypt(cmstest.OpenSSL(t, []byte("content"), args...), cert, key)
		if err != nil || string(got) != "content" {
			t.Errorf("openssl %v: %q, %v", opts, got, err)
		}
	}
	if _, err := cms.ToOAEP(parse(t, cmstest.Plain(t, cmstest.ECKey(t, elliptic.P256()), "ec"))); !errors.Is(err, cms.ErrAlgorithm) {
		t.Errorf("OAEP to an EC key: %v, want ErrAlgorithm", err)
	}
}

func TestPassword(t *testing.T) {
	password := "correct horse"
	for cipher, flag := range cipherFlags {
		for _, content := range []string{"c", strings.Repeat("content ", 200)} {
			to, err := cms.ToPassword([]byte(password))
			if err != nil {
				t.Fatal(err)
			}
			msg := cmstest.Must(cms.Encrypt([]byte(content), cipher, to))(t)
			theirs := cmstest.OpenSSL(t, []byte(content), "cms", "-encrypt", "-binary", "-outform", "DER", flag, "-pwri_password", password)
			for _, m := range [][]byte{msg, cmstest.Indefinite(t, msg, 9), theirs} {
				e, err := cms.ParseEnvelopedData(m, cms.Limits{})
				if err != nil {
					t.Fatal(err)
				}
				if got, err := e.DecryptPassword([]byte(password)); err != nil || string(got) != content {
					t.Errorf("%s: %.20q, %v", flag, got, err)
				}
				if got, err := e.DecryptPassword([]byte("wrong")); string(got) == content || err != nil && err != cms.ErrDecrypt {
					t.Errorf("%s with another password: %.20q, %v", flag, got, err)
				}
			}
			if got := cmstest.OpenSSL(t, msg, "cms", "-decrypt", "-binary", "-inform", "DER", "-pwri_password", password); string(got) != content {
				t.Errorf("%s: openssl read %.20q", flag, got)
			}
		}
	}
	if _, err := cms.ToPassword(nil); err == nil {
		t.Error("an empty password was accepted")
	}
	e := cmstest.Must(cms.ParseEnvelopedData(cmstest.Read(t, "openssl-enveloped-pwri.der"), cms.Limits{}))(t)
	if got, err := e.DecryptPassword([]byte("test challenge")); err != nil || !bytes.HasPrefix(got, []byte("Chancery")) {
		t.Errorf("corpus: %q, %v", got, err)
	}
}

// TestDES reads single DES, which the Go family of clients sends, and refuses
// to write it.
func TestDES(t *testing.T) {
	key := cmstest.RSAKey(0)
	der := cmstest.Plain(t, key, "recipient")
	x := cmstest.Must(x509.ParseCertificate(der))(t)
	msg := cmstest.Must(pkcs7.Encrypt([]byte("content"), []*x509.Certificate{x}))(t)
	e := cmstest.Must(cms.ParseEnvelopedData(msg, cms.Limits{}))(t)
	if e.Cipher.Algorithm != cms.OIDDESCBC {
		t.Fatalf("the library sent %s", e.Cipher.Algorithm.Name())
	}
	if got, err := e.Decrypt(parse(t, der), key); err != nil || string(got) != "content" {
		t.Errorf("%q, %v", got, err)
	}
	to, err := cms.To(parse(t, der))
	if err != nil {
		t.Fatal(err)
	}
	for _, cipher := range []cms.OID{cms.OIDDESCBC, cms.OIDRSA, ""} {
		if _, err := cms.Encrypt([]byte("x"), cipher, to); !errors.Is(err, cms.ErrAlgorithm) {
			t.Errorf("writing %s: %v, want ErrAlgorithm", cipher.Name(), err)
		}
	}
}

// TestSeveralRecipients finds ours among those of a client that encrypts to
// every certificate it was given.
func TestSeveralRecipients(t *testing.T) {
	var files []string
	var certs []*cms.Certificate
	keys := []crypto.Signer{cmstest.RSAKey(0), cmstest.RSAKey(1), cmstest.ECKey(t, elliptic.P256())}
	for _, key := range keys {
		der := cmstest.Plain(t, key, "recipient")
		file, _ := cmstest.Files(t, der, key)
		files, certs = append(files, file), append(certs, parse(t, der))
	}
	msg := cmstest.OpenSSL(t, []byte("content"), append([]string{"cms", "-encrypt", "-binary", "-outform", "DER", "-aes128", "-pwri_password", "pw"}, files...)...)
	for i, cert := range certs {
		if got, err := decrypt(msg, cert, keys[i]); err != nil || string(got) != "content" {
			t.Errorf("recipient %d: %q, %v", i, got, err)
		}
	}
	e := cmstest.Must(cms.ParseEnvelopedData(msg, cms.Limits{}))(t)
	other := parse(t, cmstest.Plain(t, cmstest.RSAKey(0), "recipient"))
	if !e.For(certs[1]) || e.For(other) || e.For(certs[2]) {
		t.Errorf("For: %v %v %v, want true false false", e.For(certs[1]), e.For(other), e.For(certs[2]))
	}
	if _, err := e.Decrypt(other, cmstest.RSAKey(0)); err != cms.ErrDecrypt {
		t.Errorf("another certificate of the same key: %v, want ErrDecrypt", err)
	}
}

// decrypterFunc is a key whose answers a test chooses.
type decrypterFunc func(opts crypto.DecrypterOpts) ([]byte, error)

func (f decrypterFunc) Public() crypto.PublicKey { return nil }
func (f decrypterFunc) Decrypt(_ io.Reader, _ []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	return f(opts)
}

// TestOneAnswer makes everything behind the recipient fail in turn, and wants
// to be unable to tell.
func TestOneAnswer(t *testing.T) {
	key := cmstest.RSAKey(0)
	cert := parse(t, cmstest.Plain(t, key, "recipient"))
	to, err := cms.To(cert)
	if err != nil {
		t.Fatal(err)
	}
	content := bytes.Repeat([]byte("content "), 4)
	msg := cmstest.Must(cms.Encrypt(content, cms.OIDAES128CBC, to))(t)
	e := cmstest.Must(cms.ParseEnvelopedData(msg, cms.Limits{}))(t)

	for name, key := range map[string]crypto.Decrypter{
		"another key":      cmstest.RSAKey(1),
		"refusing key":     decrypterFunc(func(crypto.DecrypterOpts) ([]byte, error) { return nil, errors.New("HSM says why") }),
		"short key":        decrypterFunc(func(crypto.DecrypterOpts) ([]byte, error) { return make([]byte, 8), nil }),
		"long key":         decrypterFunc(func(crypto.DecrypterOpts) ([]byte, error) { return make([]byte, 32), nil }),
		"wrong key":        decrypterFunc(func(crypto.DecrypterOpts) ([]byte, error) { k := make([]byte, 16); rand.Read(k); return k, nil }),
		"no key, no error": decrypterFunc(func(crypto.DecrypterOpts) ([]byte, error) { return nil, nil }),
	} {
		// One random key in 256 happens to leave valid padding.
		got, err := e.Decrypt(cert, key)
		for range 5 {
			if err == nil {
				got, err = e.Decrypt(cert, key)
			}
		}
		if err != cms.ErrDecrypt || got != nil {
			t.Errorf("%s: %q, %v, want ErrDecrypt", name, got, err)
		}
	}
	e.Decrypt(cert, decrypterFunc(func(opts crypto.DecrypterOpts) ([]byte, error) {
		if o, ok := opts.(*rsa.PKCS1v15DecryptOptions); !ok || o.SessionKeyLen != 16 {
			t.Errorf("the key was asked with %#v, want a session key of 16 octets", opts)
		}
		return nil, nil
	}))
	if _, err := decrypt(flip(msg, len(msg)-20), cert, key); err != cms.ErrDecrypt {
		t.Errorf("changed padding: %v, want ErrDecrypt", err)
	}
}

func flip(b []byte, i int) []byte {
	b = bytes.Clone(b)
	b[i] ^= 0xff
	return b
}

// TestRefuseEnveloped names the malformed messages that are told apart,
// because they are public.
func TestRefuseEnveloped(t *testing.T) {
	key := cmstest.RSAKey(0)
	der := cmstest.Plain(t, key, "recipient")
	id := cmstest.IssuerAndSerial(t, der)
	aes128 := cmstest.OID(2, 16, 840, 1, 101, 3, 4, 1, 2)
	wrapped := cmstest.Must(rsa.EncryptPKCS1v15(rand.Reader, &key.PublicKey, make([]byte, 16)))(t)
	recipient := cmstest.Seq([]byte{2, 1, 0}, id, cmstest.Seq(cmstest.OID(1, 2, 840, 113549, 1, 1, 1), []byte{5, 0}), cmstest.Element(4, wrapped))
	data := cmstest.OID(1, 2, 840, 113549, 1, 7, 1)
	build := func(recipients []byte, content []byte) []byte {
		return cmstest.Seq(cmstest.OID(1, 2, 840, 113549, 1, 7, 3), cmstest.Element(0xa0, cmstest.Seq([]byte{2, 1, 0}, cmstest.Set(recipients), content)))
	}
	enc := func(alg, params, text []byte) []byte {
		return cmstest.Seq(data, cmstest.Seq(alg, params), cmstest.Element(0x80, text))
	}
	iv := cmstest.Element(4, make([]byte, 16))
	for _, c := range []struct {
		name string
		msg  []byte
		want error
	}{
		{"fits", build(recipient, enc(aes128, iv, make([]byte, 16))), nil},
		{"unknown cipher is reported, not refused", build(recipient, enc(cmstest.OID(1, 2, 840, 113549, 3, 2), cmstest.Seq([]byte{2, 1, 58}, iv), make([]byte, 5))), nil},
		{"other recipients are passed over", build(append(cmstest.Element(0xa2, cmstest.Seq()), recipient...), enc(aes128, iv, make([]byte, 16))), nil},
		{"short IV", build(recipient, enc(aes128, cmstest.Element(4, make([]byte, 8)), make([]byte, 16))), cms.ErrMalformed},
		{"no IV", build(recipient, enc(aes128, nil, make([]byte, 16))), cms.ErrMalformed},
		{"empty content", build(recipient, enc(aes128, iv, nil)), cms.ErrMalformed},
		{"half a block", build(recipient, enc(aes128, iv, make([]byte, 24))), cms.ErrMalformed},
		{"content missing", build(recipient, cmstest.Seq(data, cmstest.Seq(aes128, iv))), cms.ErrMalformed},
		{"recipient cut short", build(cmstest.Seq([]byte{2, 1, 0}, id), enc(aes128, iv, make([]byte, 16))), cms.ErrMalformed},
		{"seventeen recipients", build(bytes.Repeat(recipient, 17), enc(aes128, iv, make([]byte, 16))), cms.ErrTooMany},
		{"another content type", cmstest.Seq(data, cmstest.Element(0xa0, []byte{4, 0})), cms.ErrContentType},
	} {
		_, err := cms.ParseEnvelopedData(c.msg, cms.Limits{})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}
