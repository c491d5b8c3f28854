package adcs

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"slices"

	"software.sslmate.com/src/go-pkcs12"

	"chancery/internal/ca"
	"chancery/internal/keystore"
	"chancery/internal/ra"
	"chancery/internal/wire/adcsmsg"
)

// agent is an enrollment agent: a certificate for Certificate Request Agent and its
// key. It can get certificates for anybody the CA allows, so every use of it is
// logged with the name.
type agent struct{ adcsmsg.Signer }

// agent opens the enrollment agent of the settings; nil when there is none. The key
// of a token is not asked for before it signs.
func (s *Settings) agent() (*agent, error) {
	var a adcsmsg.Signer
	var err error
	field := "agent_file"
	switch s.AgentSource {
	case agentFile:
		a, err = s.agentFile()
	case agentURI:
		field = "agent_key_uri"
		a, err = s.agentKey()
	default:
		return nil, nil
	}
	if err != nil {
		return nil, ra.AsError(err).WithField(field)
	}
	if !isAgent(a.Certificate) {
		return nil, ra.Errorf(ra.Invalid, "The certificate is not one of an enrollment agent.").WithField(field).
			WithRemedy("Use one with the purpose Certificate Request Agent (1.3.6.1.4.1.311.20.2.1), issued with the template EnrollmentAgent or a copy of it.")
	}
	return &agent{a}, nil
}

func isAgent(c *x509.Certificate) bool {
	return slices.ContainsFunc(c.UnknownExtKeyUsage, func(oid asn1.ObjectIdentifier) bool { return oid.String() == adcsmsg.OIDRequestAgent })
}

// agentKey pairs a certificate with a key at an address.
func (s *Settings) agentKey() (adcsmsg.Signer, error) {
	list := parseCertificates(s.AgentCertificate)
	if len(list) == 0 {
		return adcsmsg.Signer{}, ra.Errorf(ra.Invalid, "The agent's certificate is missing.").WithRemedy("Paste it as PEM.")
	}
	stores := s.keys
	if stores == nil {
		stores = &keystore.Stores{}
	}
	key, err := stores.Known(s.AgentKeyURI, s.AgentKeyPIN, list[0].PublicKey)
	if err != nil {
		return adcsmsg.Signer{}, err
	}
	return pair(key, list)
}

// agentFile reads certificate and key out of a PKCS#12 file or PEM blocks. Errors
// hold nothing of either.
func (s *Settings) agentFile() (adcsmsg.Signer, error) {
	b := []byte(s.AgentFile.Reveal())
	if bytes.Contains(b, []byte("-----BEGIN ")) {
		keys, err := keystore.ParsePEM(b)
		if err != nil {
			return adcsmsg.Signer{}, err
		}
		return pair(keys[0], parseCertificates(string(b)))
	}
	bad := ra.Errorf(ra.Invalid, "The agent's file is neither PEM nor a PKCS#12 file that this password opens.").
		WithRemedy("Export the certificate again with its private key (.pfx), send it in base64, and enter the password of the file.")
	der, err := base64.StdEncoding.DecodeString(string(bytes.Join(bytes.Fields(b), nil)))
	if err != nil {
		return adcsmsg.Signer{}, bad
	}
	key, leaf, chain, err := pkcs12.DecodeChain(der, s.AgentPassword.Reveal())
	if err != nil {
		return adcsmsg.Signer{}, bad
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return adcsmsg.Signer{}, bad
	}
	return pair(signer, append([]*x509.Certificate{leaf}, chain...))
}

// pair finds the certificate of a key.
func pair(key crypto.Signer, list []*x509.Certificate) (adcsmsg.Signer, error) {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	for _, c := range list {
		if ok && public.Equal(c.PublicKey) {
			return adcsmsg.Signer{Certificate: c, Key: key}, nil
		}
	}
	return adcsmsg.Signer{}, ra.Errorf(ra.Invalid, "The agent's private key belongs to none of the certificates.").
		WithRemedy("Give the certificate that was issued for this key, with its key: a .cer file alone cannot sign.")
}

// onBehalf has the agent sign a request for the user it is for.
func (c *Connector) onBehalf(ctx context.Context, r ca.Request, csr []byte) ([]byte, error) {
	if c.agent == nil {
		return nil, ra.Errorf(ra.Invalid, "The template asks on behalf of users, and the authority has no enrollment agent.").WithField("agent").
			WithRemedy("Set an enrollment agent certificate with its key in the authority, or take the requester name out of the template.").WithRetry(ra.Never)
	}
	if err := adcsmsg.CheckRequester(r.RequestedBy); err != nil {
		return nil, ra.Errorf(ra.Invalid, "The requester name \"%.100s\" is not of the form DOMAIN\\account.", r.RequestedBy).
			WithRemedy("Correct the requester name of the template, or the user's attributes it is made of.").WithCause(err).WithRetry(ra.Never)
	}
	now := c.env.Now()
	if leaf := c.agent.Certificate; now.After(leaf.NotAfter) || now.Before(leaf.NotBefore) {
		return nil, ra.Errorf(ra.Invalid, "The enrollment agent's certificate is valid from %s to %s, not now.", day(leaf.NotBefore), day(leaf.NotAfter)).WithField("agent").
			WithRemedy("Request a new one and enter it in the authority.").WithRetry(ra.Never)
	}
	out, err := adcsmsg.OnBehalf(csr, r.RequestedBy, c.agent.Signer)
	if err != nil {
		if e := ra.AsError(err); e.Kind != ra.Internal {
			return nil, e // the key's store has something to say
		}
		return nil, ra.Errorf(ra.Unreachable, "The enrollment agent's key cannot sign.").WithRemedy("Check the token or the key service it is kept in.").WithCause(err)
	}
	c.env.Log.InfoContext(ctx, "enrollment agent signed", "authority", c.env.Name, "request", r.ID, "requester", r.RequestedBy, "template", r.Template)
	return out, nil
}
