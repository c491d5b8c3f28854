package embedded

import (
	"context"
	"crypto"
	"crypto/x509"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ca/lint"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/wire/pkixmsg"
)

const caUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign

// caBackdate is how far in the past a CA certificate begins, so that the
// backdated certificates below it fit.
const caBackdate = 72 * time.Hour

// Provision makes what the chosen setup needs before its first use: root and
// issuing CA, or the key of a request to the superior. What exists is kept.
func (s *Settings) Provision(ctx context.Context, env ca.Env) error {
	if s.RootSubject == "" {
		s.RootSubject = subjectOf(env.Name, "Root CA")
	}
	if s.IssuingSubject == "" {
		s.IssuingSubject = subjectOf(env.Name, "Issuing CA")
	}
	switch {
	case s.Setup == setupOwn && s.KeySource == keyURI:
		// It may be far away: whether it is the right one is asked once, now.
		if key, err := s.findKey(ctx, "key_uri", s.KeyURI); err != nil {
			return err
		} else if list, err := parseCertificates(s.Certificates); err != nil {
			return at("certificates", err)
		} else if cert, _ := pick(list, key.Public()); cert == nil {
			return foreignKey("key_uri")
		}
		return nil
	case s.Certificates != "" || s.Setup == setupOwn:
		return nil
	case s.Setup == setupSubordinate:
		_, err := s.pendingKey(ctx)
		return err
	}
	root, err := s.makeRoot(ctx, env)
	if err != nil {
		return err
	}
	return s.makeIssuing(ctx, env, root)
}

// Renew makes a new issuing certificate below the root that was made here. Its
// key is new when keys are sealed here, and the earlier one is kept for its
// revocation lists. Conflict when the root's key is not here.
func (s *Settings) Renew(ctx context.Context, env ca.Env) error {
	if s.Setup != setupNew || !s.RootKey.IsSet() && s.rootURI() == "" {
		return ra.Errorf(ra.Conflict, "The issuing certificate cannot be renewed here, because the root's key is elsewhere.").
			WithRemedy("Send a new certificate request to the superior CA and install the answer.")
	}
	chain, err := parseCertificates(s.Certificates)
	if err != nil || len(chain) == 0 {
		return ra.AsError(err)
	}
	var rootKey crypto.Signer
	if uri := s.rootURI(); uri != "" {
		rootKey, err = s.findKey(ctx, "root_key_uri", uri)
	} else {
		rootKey, err = parseKey([]byte(s.RootKey.Reveal()))
		err = at("root_key", err)
	}
	if err != nil {
		return err
	}
	rootCert, _ := pick(chain, rootKey.Public())
	if rootCert == nil {
		return ra.Errorf(ra.Conflict, "The key of the root does not belong to the root certificate.").WithField("root_key").
			WithRemedy("Restore the settings of the authority from a backup.")
	}
	root, err := newIssuer([]*x509.Certificate{rootCert}, rootKey)
	if err != nil {
		return err
	}
	// A store keeps one key for an address, so the issuing key stays.
	s.KeyStock = stockThere
	return s.makeIssuing(ctx, env, root)
}

// rootURI is where the key of the root is, when it is not sealed here.
func (s *Settings) rootURI() string {
	if s.KeySource != keyURI {
		return ""
	}
	return s.RootKeyURI
}

// makeRoot makes the root and keeps its key.
func (s *Settings) makeRoot(ctx context.Context, env ca.Env) (*issuer, error) {
	name, err := pkixmsg.ParseDN(s.RootSubject)
	if err != nil {
		return nil, ra.AsError(refusedSetting(err)).WithField("root_subject")
	}
	var key crypto.Signer
	var text secret.Text
	if s.rootURI() != "" {
		key, err = s.placeKey(ctx, "root_key_uri", &s.RootKeyURI, s.RootKeyType)
	} else {
		key, text, err = makeKey(s.RootKeyType)
	}
	if err != nil {
		return nil, err
	}
	cert, err := s.makeCA(env, name, key.Public(), s.RootYears, nil, key)
	if err != nil {
		return nil, err
	}
	s.RootKey = text
	return newIssuer([]*x509.Certificate{cert}, key)
}

// makeIssuing makes an issuing CA below root and puts it in force.
func (s *Settings) makeIssuing(ctx context.Context, env ca.Env, root *issuer) error {
	name, err := pkixmsg.ParseDN(s.IssuingSubject)
	if err != nil {
		return ra.AsError(refusedSetting(err)).WithField("issuing_subject")
	}
	var key crypto.Signer
	var text secret.Text
	if s.KeySource == keyURI {
		key, err = s.placeKey(ctx, "key_uri", &s.KeyURI, s.KeyType)
	} else {
		key, text, err = makeKey(s.KeyType)
	}
	if err != nil {
		return err
	}
	cert, err := s.makeCA(env, name, key.Public(), s.IssuingYears, root, root.key)
	if err != nil {
		return err
	}
	if err := s.enforce([]*x509.Certificate{cert, root.cert}, text); err != nil {
		return err
	}
	s.KeyStock = stockThere // what was to be made is made
	return nil
}

// makeCA signs a CA certificate: by itself when parent is nil. It is checked
// like any other before it is signed.
func (s *Settings) makeCA(env ca.Env, name pkixmsg.Name, pub crypto.PublicKey, years int, parent *issuer, by crypto.Signer) (*x509.Certificate, error) {
	signs, err := newSigner(by)
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, ra.AsError(err)
	}
	id, err := keyID(spki)
	if err != nil {
		return nil, refusedSetting(err)
	}
	usage, err := pkixmsg.KeyUsageExtension(caUsage)
	if err != nil {
		return nil, refusedSetting(err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, ra.AsError(err)
	}
	from := env.Now().UTC().Truncate(time.Second).Add(-caBackdate)
	c := certificate{
		algorithm: signs.algorithm, serial: serial, subject: name, spki: spki,
		notBefore: from, notAfter: from.AddDate(years, 0, 0).Add(-time.Second),
	}
	in := lint.Intent{CA: true, Validity: c.notAfter.Sub(from) + time.Second}
	if parent == nil {
		if c.issuer, err = name.DER(); err != nil {
			return nil, refusedSetting(err)
		}
		// The RFC lets a root leave the authority key identifier out; with it, a
		// root looks the same to every program.
		c.extensions = []pkixmsg.Extension{id, authorityKeyID(id.Value[2:]), constraints(true, 1), usage}
	} else {
		in.Issuer, c.issuer = parent.cert, parent.cert.RawSubject
		if c.notBefore.Before(parent.cert.NotBefore) {
			c.notBefore = parent.cert.NotBefore
		}
		if c.notAfter.After(parent.cert.NotAfter) {
			c.notAfter = parent.cert.NotAfter
		}
		in.Validity = c.notAfter.Sub(c.notBefore) + time.Second
		c.extensions = []pkixmsg.Extension{id, parent.keyIDExtension, constraints(true, 0), usage}
		if base := s.base(env); base != "" {
			c.extensions = append(c.extensions, parent.pointers(base, ca.Shard{}, false)...)
		}
	}
	tbs, err := buildTBS(c)
	if err != nil {
		return nil, refusedSetting(err)
	}
	linter := s.linter
	if linter == nil {
		linter = &lint.Linter{}
	}
	if _, err := linter.Check(tbs, in); err != nil {
		return nil, err
	}
	return signs.certify(tbs)
}

// enforce puts an issuing certificate with its chain in force and retires the
// one before, unless it has the same key. An unset key is one that stays where
// it is.
func (s *Settings) enforce(chain []*x509.Certificate, key secret.Text) error {
	before, err := parseCertificates(s.Certificates)
	if err != nil {
		return err
	}
	if len(before) > 0 && s.Key.IsSet() && key.IsSet() {
		old, err := parseKey([]byte(s.Key.Reveal()))
		if err != nil {
			return ra.AsError(err).WithField("key")
		}
		if cert, _ := pick(before, old.Public()); cert != nil && !sameKey(chain[0].PublicKey, old.Public()) {
			s.RetiredChains += encodeCertificates([]*x509.Certificate{cert})
			s.RetiredKeys = secret.New(s.RetiredKeys.Reveal() + s.Key.Reveal())
		}
	}
	s.Certificates = encodeCertificates(chain)
	if key.IsSet() {
		s.Key = key
	}
	return nil
}

// subjectOf makes the name of a CA out of the authority's.
func subjectOf(authority, suffix string) string {
	if authority == "" {
		authority = "Chancery"
	}
	if r := []rune(authority); len(r) > 50 {
		authority = string(r[:50])
	}
	return pkixmsg.Name{{{OID: pkixmsg.OIDCommonName, Value: authority + " " + suffix}}}.String()
}
