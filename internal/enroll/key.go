package enroll

import (
	"context"
	"crypto"
	"crypto/x509"
	"strings"
	"unicode/utf8"

	"software.sslmate.com/src/go-pkcs12"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/authority"
	"chancery/internal/keydelivery"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/store"
)

// KeyFile is a key handed out with its certificate, once.
type KeyFile struct {
	PKCS12   secret.Bytes
	Password secret.Text
}

// The encodings of a PKCS#12.
const (
	PKCS12Modern = "modern" // AES-256, SHA-256: OpenSSL 3, current systems
	PKCS12Legacy = "legacy" // 3DES, SHA-1: Apple, older Windows
)

// TakeKey hands out the key of a certificate that was made here, with its
// chain, as a PKCS#12. It is handed out once: afterwards the key is gone from
// here. Without a password one is made. The certificate must be in use.
func (s *Service) TakeKey(ctx context.Context, actor ra.Actor, id ra.CertificateID, password secret.Text, encoding string) (*KeyFile, error) {
	encoder := pkcs12.Modern2023
	switch encoding {
	case "", PKCS12Modern:
	case PKCS12Legacy:
		encoder = pkcs12.LegacyDES
	default:
		return nil, ra.Errorf(ra.Invalid, "There is no PKCS#12 encoding %.40q.", encoding).WithField("encoding").WithRemedy("Use modern or legacy.")
	}
	if n := utf8.RuneCountInString(password.Reveal()); n > 0 && n < 8 || n > 256 {
		return nil, ra.Errorf(ra.Invalid, "The password must have 8 to 256 characters.").WithField("password").WithRemedy("Choose another one, or leave it out and one is made.")
	}
	if strings.ContainsFunc(password.Reveal(), func(c rune) bool { return c > 0xffff || c < 0x20 || c == utf8.RuneError }) {
		return nil, ra.Errorf(ra.Invalid, "The password holds a character that a PKCS#12 cannot have.").WithField("password").WithRemedy("Use letters, digits and ordinary signs.")
	}
	if !password.IsSet() {
		password = secret.Token("", 128)
	}
	file := &KeyFile{Password: password}
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		c, err := tx.Certificate(id)
		if err != nil {
			return err
		}
		if err := access.CheckGroup(tx, actor, access.TakeKey, c.GroupID); err != nil {
			return err
		}
		if c.State != ra.Valid && c.State != ra.Superseded {
			return ra.Errorf(ra.Conflict, "The certificate is %s; its key is not handed out.", c.State).WithRemedy("Ask for a new certificate.")
		}
		key, err := s.openKey(tx, c.RequestID)
		if err != nil {
			return err
		}
		leaf, err := x509.ParseCertificate(c.DER)
		if err != nil {
			return err
		}
		issuers, err := tx.Issuers(c.AuthorityID)
		if err != nil {
			return err
		}
		chain, err := authority.ChainOf(leaf, issuers)
		if err != nil {
			return err
		}
		data, err := encoder.Encode(key, leaf, chain[1:], password.Reveal())
		if err != nil {
			return err
		}
		file.PKCS12 = secret.NewBytes(data)
		if err := tx.DeleteSealed(string(c.RequestID), "key"); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.KeyDownloaded, Actor: actor, Group: c.GroupID, Object: string(c.ID), Related: string(c.RequestID),
			Message: "Key handed out with " + c.Subject + "."})
	})
	if err != nil {
		return nil, err
	}
	return file, nil
}

// openKey unseals the key of a request; NotFound when it was made elsewhere or
// has been handed out.
func (s *Service) openKey(tx *store.Tx, id ra.RequestID) (crypto.Signer, error) {
	boxes, err := tx.Sealed(string(id))
	if err != nil {
		return nil, err
	}
	box, ok := boxes["key"]
	if !ok {
		return nil, ra.Errorf(ra.NotFound, "There is no key here to hand out.").
			WithRemedy("It was made on the device, or has been handed out already; renew the certificate for a new key.")
	}
	der, err := s.Box.Open("requests", string(id), "key", box)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	return key.(crypto.Signer), nil
}

// promiseKey has the key of a certificate that is stored in this transaction
// delivered, if the template wants that and the key is here: made here, or just
// come from the authority.
func (s *Service) promiseKey(tx *store.Tx, c *ra.Certificate, spec *ra.TemplateSpec, came crypto.Signer) error {
	if spec.Publish.Key == "" || c.State != ra.Valid {
		return nil
	}
	key, err := came, error(nil)
	if key == nil {
		key, err = s.keyIfHere(tx, c.RequestID)
	}
	if err != nil || key == nil {
		return err
	}
	return keydelivery.Promise(tx, s.Box, c, spec, key)
}

// keyIfHere is openKey, and gives nil where there is none.
func (s *Service) keyIfHere(tx *store.Tx, id ra.RequestID) (crypto.Signer, error) {
	if id == "" {
		return nil, nil
	}
	key, err := s.openKey(tx, id)
	if ra.KindOf(err) == ra.NotFound {
		return nil, nil
	}
	return key, err
}

// HasKey reports whether the key of a request still waits to be taken.
func (s *Service) HasKey(ctx context.Context, id ra.RequestID) (has bool, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		boxes, err := tx.Sealed(string(id))
		_, has = boxes["key"]
		return err
	})
	return has, err
}
