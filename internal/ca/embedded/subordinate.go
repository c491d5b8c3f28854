package embedded

import (
	"context"
	"crypto"
	"crypto/x509"
	"time"

	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/wire/pkixmsg"
)

// CSR gives a request for a new or renewed issuing certificate. The same key is
// asked for until an answer is installed; Invalid when it cannot be opened.
func (s *Settings) CSR() ([]byte, error) {
	key, err := s.pendingKey(context.Background())
	if err != nil {
		return nil, err
	}
	text := s.IssuingSubject
	if text == "" {
		text = subjectOf("", "Issuing CA")
	}
	name, err := pkixmsg.ParseDN(text)
	if err != nil {
		return nil, ra.AsError(refusedSetting(err)).WithField("issuing_subject")
	}
	usage, err := pkixmsg.KeyUsageExtension(caUsage)
	if err != nil {
		return nil, refusedSetting(err)
	}
	der, err := pkixmsg.BuildCSR(pkixmsg.CSRRequest{Name: name, Signer: key, Extensions: []pkixmsg.Extension{constraints(true, 0), usage}})
	if err != nil {
		return nil, refusedSetting(err)
	}
	return der, nil
}

// pendingKey gives the key of the request that is under way, making one first
// when there is none.
func (s *Settings) pendingKey(ctx context.Context) (crypto.Signer, error) {
	if s.KeySource == keyURI {
		key, err := s.placeKey(ctx, "key_uri", &s.KeyURI, s.KeyType)
		if err == nil {
			s.KeyStock = stockThere
		}
		return key, err
	}
	if s.PendingKey.IsSet() {
		key, err := parseKey([]byte(s.PendingKey.Reveal()))
		if err != nil {
			return nil, ra.AsError(err).WithField("pending_key")
		}
		return key, nil
	}
	key, text, err := makeKey(s.KeyType)
	if err != nil {
		return nil, err
	}
	s.PendingKey = text
	return key, nil
}

// Install takes the superior's answer. The certificate is for the pending key or,
// renewed, for the present one; its chain may come in any order but is complete.
// Everything else is Invalid and changes nothing.
func (s *Settings) Install(answer []*x509.Certificate, now time.Time) error {
	key, text, err := s.answered(answer)
	if err != nil {
		return err
	}
	leaf, rest := pick(answer, key.Public())
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		return ra.Errorf(ra.Invalid, "The certificate is valid from %s to %s, and not now.", leaf.NotBefore.Format(time.DateTime), leaf.NotAfter.Format(time.DateTime)).WithField("certificates").
			WithRemedy("Ask the superior CA for a current one, or check the clock of this server.")
	}
	chain, err := orderChain(leaf, rest)
	if err != nil {
		return ra.AsError(err).WithField("certificates")
	}
	if _, err := newIssuer(chain, key); err != nil {
		return ra.AsError(err).WithField("certificates")
	}
	if err := s.enforce(chain, text); err != nil {
		return err
	}
	s.PendingKey = secret.Text{}
	return nil
}

// answered finds the key one of the certificates is for; text is unset when the
// key stays where it is.
func (s *Settings) answered(answer []*x509.Certificate) (crypto.Signer, secret.Text, error) {
	try := func(text secret.Text) crypto.Signer {
		if !text.IsSet() {
			return nil
		}
		if key, err := parseKey([]byte(text.Reveal())); err == nil {
			if cert, _ := pick(answer, key.Public()); cert != nil {
				return key
			}
		}
		return nil
	}
	if s.KeySource == keyURI {
		key, err := s.findKey(context.Background(), "key_uri", s.KeyURI)
		if err != nil {
			return nil, secret.Text{}, err
		}
		if cert, _ := pick(answer, key.Public()); cert != nil {
			return key, secret.Text{}, nil
		}
	} else {
		for _, text := range []secret.Text{s.PendingKey, s.Key} {
			if key := try(text); key != nil {
				return key, text, nil
			}
		}
	}
	return nil, secret.Text{}, ra.Errorf(ra.Invalid, "The certificate is for another key than the request.").WithField("certificates").
		WithRemedy("Install the answer to the latest certificate request of this authority.")
}
