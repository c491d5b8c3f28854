package httpauth

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"

	"chancery/internal/ra"
	"chancery/internal/secret"

	"software.sslmate.com/src/go-pkcs12"
)

// ParseCertificate reads a client certificate with its key: PEM blocks in any
// order, the chain too, the key without a password; or a PKCS#12 file, in base64
// or as it is. Errors are Invalid and hold nothing of the input.
func ParseCertificate(b []byte, password secret.Text) (*tls.Certificate, error) {
	if bytes.Contains(b, []byte("-----BEGIN ")) {
		return parsePEM(b)
	}
	if text := bytes.Join(bytes.Fields(b), nil); len(text) > 0 && text[0] == 'M' { // base64 of a SEQUENCE
		if der, err := base64.StdEncoding.DecodeString(string(text)); err == nil {
			b = der
		}
	}
	key, leaf, chain, err := pkcs12.DecodeChain(b, password.Reveal())
	if err != nil {
		return nil, ra.Errorf(ra.Invalid, "The client certificate is neither PEM nor a PKCS#12 file that this password opens.").
			WithRemedy("Export it again with its key, as PEM or as PKCS#12, and enter the password of the file.")
	}
	out := &tls.Certificate{PrivateKey: key, Leaf: leaf, Certificate: [][]byte{leaf.Raw}}
	for _, c := range chain {
		out.Certificate = append(out.Certificate, c.Raw)
	}
	return out, check(out)
}

func parsePEM(b []byte) (*tls.Certificate, error) {
	out := &tls.Certificate{}
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		switch block.Type {
		case "CERTIFICATE":
			out.Certificate = append(out.Certificate, block.Bytes)
		case "PRIVATE KEY":
			if k, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
				out.PrivateKey = k
			}
		case "RSA PRIVATE KEY":
			if k, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
				out.PrivateKey = k
			}
		case "EC PRIVATE KEY":
			if k, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
				out.PrivateKey = k
			}
		}
	}
	return out, check(out)
}

// check puts the certificate of the key first.
func check(c *tls.Certificate) error {
	signer, ok := c.PrivateKey.(crypto.Signer)
	if !ok {
		return ra.Errorf(ra.Invalid, "The client certificate comes without a key that can be read.").WithRemedy("Add its private key as PEM without a password.")
	}
	for i, der := range c.Certificate {
		x, err := x509.ParseCertificate(der)
		if err != nil {
			return ra.Errorf(ra.Invalid, "A certificate among those of the client certificate is damaged.").WithRemedy("Export it again.").WithCause(err)
		}
		if key, ok := x.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); ok && key.Equal(signer.Public()) {
			c.Certificate[0], c.Certificate[i], c.Leaf = c.Certificate[i], c.Certificate[0], x
			return nil
		}
	}
	return ra.Errorf(ra.Invalid, "The private key belongs to none of the client certificates.").WithRemedy("Export certificate and key together.")
}
