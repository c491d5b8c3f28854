package embedded

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"

	"chancery/internal/keystore"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/wire/pkixmsg"
)

// storedKey opens the issuing key at its address without asking its store,
// when the certificate it belongs to is known.
func (s *Settings) storedKey(cert *x509.Certificate) (crypto.Signer, error) {
	key, err := s.stores().Known(s.KeyURI, s.KeyPIN, cert.PublicKey)
	return key, at("key_uri", err)
}

// findKey opens a key at an address, asking its store.
func (s *Settings) findKey(ctx context.Context, field, uri string) (crypto.Signer, error) {
	key, err := s.stores().Open(ctx, uri, s.KeyPIN)
	return key, at(field, err)
}

// placeKey gives the key for a CA at an address: the one that is there or, when
// the settings say so, a new one. What the store calls it is put into uri.
func (s *Settings) placeKey(ctx context.Context, field string, uri *string, keyType string) (crypto.Signer, error) {
	if s.KeyStock != stockNew {
		return s.findKey(ctx, field, *uri)
	}
	key, name, err := s.stores().Create(ctx, *uri, s.KeyPIN, pkixmsg.KeyType(keyType))
	if err != nil {
		return nil, at(field, err)
	}
	*uri = name
	return key, nil
}

// stores gives the connections that the settings of one kind share.
func (s *Settings) stores() *keystore.Stores {
	if s.keys == nil {
		s.keys = &keystore.Stores{}
	}
	return s.keys
}

// at names the field an error is about.
func at(field string, err error) error {
	if err == nil {
		return nil
	}
	return ra.AsError(err).WithField(field)
}

// parseKey reads the first private key of a PEM text: PKCS #8, PKCS #1 or SEC 1.
// Errors never hold bytes of it.
func parseKey(text []byte) (crypto.Signer, error) {
	keys, err := keystore.ParsePEM(text)
	if err != nil {
		return nil, err
	}
	return keys[0], nil
}

// encodeKey writes a key as PEM PKCS #8.
func encodeKey(key crypto.Signer) (secret.Text, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return secret.Text{}, err
	}
	return secret.New(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))), nil
}

// makeKey generates a key of a type from the settings.
func makeKey(keyType string) (crypto.Signer, secret.Text, error) {
	key, err := pkixmsg.GenerateKey(pkixmsg.KeyType(keyType))
	if err != nil {
		return nil, secret.Text{}, refusedSetting(err)
	}
	text, err := encodeKey(key)
	return key, text, err
}

// parseCertificates reads a bundle that the form has already accepted.
func parseCertificates(text string) ([]*x509.Certificate, error) {
	var list []*x509.Certificate
	rest := []byte(text)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return list, nil
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, ra.Errorf(ra.Invalid, "A certificate in the settings cannot be read.").
				WithRemedy("Export it again as PEM.").WithCause(err)
		}
		list = append(list, c)
	}
}

func encodeCertificates(list []*x509.Certificate) string {
	var out []byte
	for _, c := range list {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return string(out)
}

// refusedSetting makes an error of pkixmsg one about a setting.
func refusedSetting(err error) error {
	var e *pkixmsg.Error
	if errors.As(err, &e) {
		return ra.Errorf(ra.Invalid, "%s", e.Message).WithRemedy("%s", e.Remedy)
	}
	return ra.AsError(err)
}
