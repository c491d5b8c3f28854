package embedded

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"slices"
	"strings"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ca/lint"
	"chancery/internal/keystore"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/setting"
	"chancery/internal/wire/pkixmsg"
)

// The values of Settings.Setup and Settings.KeySource.
const (
	setupNew         = "new"         // root and issuing CA are made here
	setupSubordinate = "subordinate" // a superior CA signs the issuing CA
	setupOwn         = "own"         // certificate and key exist already

	keyHere = "here" // sealed in the settings
	keyURI  = "uri"  // where KeyURI says

	stockThere = "existing" // the address names a key that is there
	stockNew   = "new"      // the key is made at the address
)

// Settings of an embedded authority. The keys and certificates are filled by
// Provision, Install and Renew, or by an administrator who brings their own.
type Settings struct {
	Setup          string
	RootSubject    string // RFC 4514; empty: made of the authority's name
	IssuingSubject string
	RootKeyType    string
	KeyType        string // of the issuing key
	RootYears      int
	IssuingYears   int
	LeafDays       int
	Backdate       time.Duration
	CRLValidity    time.Duration
	CRLOverlap     time.Duration
	CRLShards      int    // one of ca.ShardCounts
	PublicURL      string // overrides Env.PublicURL
	KeySource      string
	KeyURI         string
	RootKeyURI     string // empty: the root's key is sealed in the settings
	KeyStock       string
	KeyPIN         secret.Text // of the token at the addresses
	Certificates   string      // PEM: the issuing certificate, then those above it
	Key            secret.Text // PEM: of the issuing certificate
	RootKey        secret.Text // PEM: of the root made here
	PendingKey     secret.Text // PEM: of a request whose answer is awaited
	RetiredChains  string      // PEM: earlier issuing certificates
	RetiredKeys    secret.Text // PEM: their keys
	linter         *lint.Linter
	keys           *keystore.Stores
}

var keyTypes = []setting.Option{
	{Value: string(pkixmsg.P256), Label: "P-256", Help: "Fast, and understood by every current device."},
	{Value: string(pkixmsg.P384), Label: "P-384"},
	{Value: string(pkixmsg.RSA2048), Label: "RSA 2048", Help: "For devices and programs without elliptic curves."},
	{Value: string(pkixmsg.RSA3072), Label: "RSA 3072"},
	{Value: string(pkixmsg.RSA4096), Label: "RSA 4096"},
}

// Describe names the settings.
func (s *Settings) Describe(f *setting.Form) {
	const day = 24 * time.Hour
	f.Section("Certification authority", "")
	f.Choice(&s.Setup, "setup", "Authority").Default(setupNew).Options(
		setting.Option{Value: setupNew, Label: "New root and issuing CA", Help: "Both are made here, at once."},
		setting.Option{Value: setupSubordinate, Label: "Issuing CA below a company root", Help: "A certificate request is made here; another CA answers it."},
		setting.Option{Value: setupOwn, Label: "Existing certificate and key", Help: "An issuing CA made elsewhere is brought along."})
	f.Text(&s.RootSubject, "root_subject", "Name of the root").When("setup", setupNew).Check(checkDN).
		Placeholder("CN=Example Root CA,O=Example,C=SE").Help("Left empty, it is made of the authority's name.")
	f.Text(&s.IssuingSubject, "issuing_subject", "Name of the issuing CA").When("setup", setupNew, setupSubordinate).Check(checkDN).
		Placeholder("CN=Example Issuing CA,O=Example,C=SE").Help("Left empty, it is made of the authority's name.")
	f.Choice(&s.KeyType, "key_type", "Key of the issuing CA").Default(string(pkixmsg.P256)).Options(keyTypes...).When("setup", setupNew, setupSubordinate)
	f.Choice(&s.RootKeyType, "root_key_type", "Key of the root").Default(string(pkixmsg.P256)).Options(keyTypes...).When("setup", setupNew).Advanced()
	f.Int(&s.RootYears, "root_years", "Validity of the root in years").Default(20).Between(1, 50).When("setup", setupNew).Advanced()
	f.Int(&s.IssuingYears, "issuing_years", "Validity of the issuing CA in years").Default(10).Between(1, 50).When("setup", setupNew).Advanced().
		Help("It ends with the root at the latest.")
	f.Certificates(&s.Certificates, "certificates", "Issuing certificate and chain").When("setup", setupOwn).
		Help("The issuing certificate and every certificate above it up to the root, as PEM in any order.")

	f.Section("Keys", "")
	f.Choice(&s.KeySource, "key_source", "Issuing key").Default(keyHere).Options(
		setting.Option{Value: keyHere, Label: "Sealed in the database"},
		setting.Option{Value: keyURI, Label: "At an address", Help: "In a file, in a PKCS#11 token or in the key service of a cloud. The key stays there."})
	f.Text(&s.KeyURI, "key_uri", "Address of the key").When("key_source", keyURI).Required().Check(checkAddress).Placeholder("pkcs11:token=CA;object=issuing?module-path=/usr/lib/softhsm/libsofthsm2.so").
		Help("It begins with file:, pkcs11:, awskms:, cloudkms: or azurekms:, and holds no secret.")
	f.Text(&s.RootKeyURI, "root_key_uri", "Address of the root's key").When("key_source", keyURI).Check(checkAddress).Advanced().
		Help("For a new root only. Left empty, the key of the root is sealed in the database.")
	f.Choice(&s.KeyStock, "key_stock", "The key at the address").Default(stockThere).When("key_source", keyURI).Options(
		setting.Option{Value: stockThere, Label: "Is there already"},
		setting.Option{Value: stockNew, Label: "Is made there", Help: "When the authority is created. Not in files."})
	f.Secret(&s.KeyPIN, "key_pin", "PIN of the token").When("key_source", keyURI).
		Help("Of a PKCS#11 token whose address does not name a file with the PIN (pin-source).")
	f.SecretText(&s.Key, "key", "Private key of the issuing CA").When("key_source", keyHere).Advanced().
		Help("PEM without a password. Made here, unless the authority exists already.")
	f.SecretText(&s.RootKey, "root_key", "Private key of the root").When("setup", setupNew).Advanced().
		Help("Made here and kept sealed, to renew the issuing CA.")
	f.SecretText(&s.PendingKey, "pending_key", "Private key of the pending request").When("setup", setupSubordinate).Advanced()
	f.Certificates(&s.RetiredChains, "retired_certificates", "Earlier issuing certificates").Advanced().
		Help("Still needed to sign revocation lists for what they issued.")
	f.SecretText(&s.RetiredKeys, "retired_keys", "Their private keys").Advanced()

	f.Section("Certificates", "")
	f.Int(&s.LeafDays, "leaf_days", "Usual validity in days").Default(365).Between(1, 3650).
		Help("Used where a template does not say.")
	f.Duration(&s.Backdate, "backdate", "Backdating").Default(time.Hour).Between(0, 3*day).Advanced().
		Help("How far in the past a certificate begins, for devices whose clock is late.")
	f.URL(&s.PublicURL, "public_url", "Address for relying parties").Advanced().Placeholder("http://pki.example.com").
		Help("Where certificates say that revocation lists, the issuing certificate and OCSP are found. Left empty, it is the server's public address.")

	f.Section("Revocation lists", "")
	f.Duration(&s.CRLValidity, "crl_validity", "Validity of a revocation list").Default(7*day).Between(time.Hour, 366*day)
	f.Duration(&s.CRLOverlap, "crl_overlap", "Overlap").Default(day).Between(0, 180*day).Advanced().
		Help("How long before its end a list is replaced.")
	f.Int(&s.CRLShards, "crl_shards", "Number of lists").Default(1).Between(1, 256).Advanced().
		Help("1, 4, 16, 64 or 256. With more than one, each new certificate names the list that its revocation would be on, which stays short when many are revoked; certificates issued earlier keep theirs. About one for every 10,000 revoked certificates.")
}

func checkAddress(text string) error {
	_, err := keystore.Parse(text)
	return err
}

func checkDN(text string) error {
	name, err := pkixmsg.ParseDN(text)
	if err == nil {
		_, err = name.DER()
	}
	if err != nil {
		return refusedSetting(err)
	}
	return nil
}

// HostParts gives the addresses of keys, whether or not they are in use now: a
// file, a library and the account of the service open with them.
func (s *Settings) HostParts() []string {
	return slices.DeleteFunc([]string{s.KeyURI, s.RootKeyURI}, func(address string) bool { return address == "" })
}

// Validate holds settings against each other: an authority that exists already
// is complete, and an overlap is shorter than what it belongs to.
func (s *Settings) Validate() error {
	var p ra.Problems
	if s.Setup == setupOwn {
		if s.Certificates == "" {
			p.Add("certificates", "The issuing certificate is missing.", "Paste it with every certificate above it.")
		}
		if s.KeySource == keyHere && !s.Key.IsSet() {
			p.Add("key", "The private key of the issuing certificate is missing.", "Paste it as PEM, or say where it is.")
		}
	}
	if s.CRLOverlap >= s.CRLValidity {
		p.Add("crl_overlap", "The overlap is not shorter than the validity of a revocation list.", "Choose a shorter overlap or a longer validity.")
	}
	if !slices.Contains(ca.ShardCounts, s.CRLShards) {
		p.Add("crl_shards", "Revocations cannot be divided into this number of lists.", "Use 1, 4, 16, 64 or 256.")
	}
	return p.Err()
}

// base is the address that certificates name this server by; empty: none.
func (s *Settings) base(env ca.Env) string {
	if s.PublicURL != "" {
		return strings.TrimRight(s.PublicURL, "/")
	}
	return strings.TrimRight(env.PublicURL, "/")
}

// Connect opens the authority. A subordinate that waits for its certificate
// opens too, and refuses to issue.
func (s *Settings) Connect(_ context.Context, env ca.Env) (ca.Connector, error) {
	c := &Connector{
		env: env, linter: s.linter, baseURL: s.base(env), shards: s.CRLShards,
		leafSpan: time.Duration(s.LeafDays) * 24 * time.Hour, backdate: s.Backdate, crlValidity: s.CRLValidity, crlOverlap: s.CRLOverlap,
	}
	if c.linter == nil {
		c.linter = &lint.Linter{}
	}
	var err error
	if c.retired, err = s.retiredIssuers(); err != nil {
		return nil, err
	}
	if s.Certificates == "" {
		if s.Setup != setupSubordinate {
			return nil, ra.Errorf(ra.Invalid, "The authority has no certificate yet.").WithField("certificates").
				WithRemedy("Create the authority again, so that its keys are made.")
		}
		return c, nil
	}
	c.current, err = s.currentIssuer()
	if err != nil {
		return nil, err
	}
	if c.root, err = s.rootIssuer(c.current.chain); err != nil {
		env.Log.Error("the root publishes no revocation list, because its key cannot be opened", "error", err)
	}
	return c, nil
}

// rootIssuer joins the root that was made here with its key. There is none when
// the key was taken away, or the chain ends elsewhere now.
func (s *Settings) rootIssuer(chain []*x509.Certificate) (*issuer, error) {
	if s.Setup != setupNew || !s.RootKey.IsSet() && s.rootURI() == "" || len(chain) < 2 {
		return nil, nil
	}
	root := chain[len(chain)-1]
	var key crypto.Signer
	var err error
	if uri := s.rootURI(); uri != "" {
		key, err = s.stores().Known(uri, s.KeyPIN, root.PublicKey)
	} else {
		key, err = parseKey([]byte(s.RootKey.Reveal()))
	}
	if err != nil || !sameKey(root.PublicKey, key.Public()) {
		return nil, err
	}
	return newIssuer([]*x509.Certificate{root}, key)
}

// currentIssuer reads the issuing certificate and its key.
func (s *Settings) currentIssuer() (*issuer, error) {
	list, err := parseCertificates(s.Certificates)
	if err != nil {
		return nil, ra.AsError(err).WithField("certificates")
	}
	key, field, err := s.issuingKey(list)
	if err != nil {
		return nil, err
	}
	leaf, rest := pick(list, key.Public())
	if leaf == nil {
		return nil, foreignKey(field)
	}
	chain, err := orderChain(leaf, rest)
	if err != nil {
		return nil, ra.AsError(err).WithField("certificates")
	}
	i, err := newIssuer(chain, key)
	if err != nil {
		return nil, ra.AsError(err).WithField("certificates")
	}
	return i, nil
}

// issuingKey opens the key, and names the field it comes from.
func (s *Settings) issuingKey(list []*x509.Certificate) (key crypto.Signer, field string, err error) {
	if s.KeySource == keyURI {
		key, err = s.storedKey(lowest(list))
		return key, "key_uri", err
	}
	if key, err = parseKey([]byte(s.Key.Reveal())); err != nil {
		err = ra.AsError(err).WithField("key")
	}
	return key, "key", err
}

// retiredIssuers pairs earlier certificates with their keys.
func (s *Settings) retiredIssuers() ([]*issuer, error) {
	list, err := parseCertificates(s.RetiredChains)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	keys, err := keystore.ParsePEM([]byte(s.RetiredKeys.Reveal()))
	if err != nil {
		return nil, ra.AsError(err).WithField("retired_keys")
	}
	var out []*issuer
	for _, cert := range list {
		for _, key := range keys {
			if !sameKey(cert.PublicKey, key.Public()) {
				continue
			}
			i, err := newIssuer([]*x509.Certificate{cert}, key)
			if err != nil {
				return nil, ra.AsError(err).WithField("retired_certificates")
			}
			out = append(out, i)
		}
	}
	return out, nil
}

func foreignKey(field string) error {
	return ra.Errorf(ra.Invalid, "The private key belongs to none of the certificates.").WithField(field).
		WithRemedy("Give the key that the issuing certificate was requested with.")
}

// lowest gives the certificate of a list, which is not empty, that signed none
// of the others: the issuing one, whatever the order.
func lowest(list []*x509.Certificate) *x509.Certificate {
	for _, c := range list {
		if !slices.ContainsFunc(list, func(other *x509.Certificate) bool { return other != c && bytes.Equal(other.RawIssuer, c.RawSubject) }) {
			return c
		}
	}
	return list[0]
}

// pick takes the CA certificate of a key out of a list.
func pick(list []*x509.Certificate, pub crypto.PublicKey) (found *x509.Certificate, rest []*x509.Certificate) {
	for _, c := range list {
		if found == nil && sameKey(c.PublicKey, pub) {
			found = c
		} else {
			rest = append(rest, c)
		}
	}
	return found, rest
}
