package lint

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes of algorithms
	_ "crypto/sha512"
	"encoding/asn1"
	"slices"
	"strings"
	"sync"

	zx509 "github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3"
	zlints "github.com/zmap/zlint/v3/lint"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"chancery/internal/ra"
)

// sources are the rules that hold for every authority. The CA/Browser Forum's,
// the browsers' and ETSI's are left out: they forbid what a private authority is
// there for (internal names, long validity, user principal names), and RFC 6962
// is about public logs.
var sources = zlints.SourceList{
	zlints.RFC3279, zlints.RFC5280, zlints.RFC5480, zlints.RFC5891, zlints.RFC6960, zlints.RFC8813, zlints.Community,
}

// leftOut are rules of those sources that are not asked, with the reason.
var leftOut = []string{
	// Knows one set of bits for each purpose and refuses every other, such as
	// keyEncipherment beside clientAuth; purposeBits holds what the RFC asks.
	"e_key_usage_and_extended_key_usage_inconsistent",
	// Asks public top-level domains of hosts in URIs; private ones have others.
	"e_ext_san_uri_host_not_fqdn_or_ip",
	// Judge how a name is spelt, not how it is written in DER. Asked for the
	// first certificate of a shape only they would refuse some and not others.
	"e_subj_contains_html_entities",
	"e_utf8_latin1_mixup",
	"e_international_dns_name_not_nfc",
}

// registry is the chosen part of zlint's rules.
var registry = sync.OnceValues(func() (zlints.Registry, error) {
	return zlints.GlobalRegistry().Filter(zlints.FilterOptions{IncludeSources: sources, ExcludeNames: leftOut})
})

// runZLint signs the TBS with a throw-away key and asks zlint. The error is
// RefusedByCA for a certificate zlint cannot read, else ra.Internal.
func runZLint(c *tbs) (broken, warnings []Finding, err error) {
	rules, err := registry()
	if err != nil {
		return nil, nil, ra.AsError(err)
	}
	der, err := throwAway(c)
	if err != nil {
		return nil, nil, ra.AsError(err)
	}
	cert, err := zx509.ParseCertificate(der)
	if err != nil {
		return nil, nil, ra.Errorf(ra.RefusedByCA, "The certificate was not signed, because a second program cannot read it.").
			WithRemedy(internalRemedy).WithCause(err).WithRetry(ra.Never)
	}
	for name, result := range zlint.LintCertificateEx(cert, rules).Results {
		if result.Status < zlints.Warn {
			continue
		}
		meta := rules.CertificateLints().ByName(name)
		f := Finding{Rule: name, Message: "zlint says: " + meta.Description + " (" + meta.Citation + ").",
			Remedy: "Change the template so that its certificates keep the rule."}
		if result.Status == zlints.Warn {
			warnings = append(warnings, f)
		} else {
			broken = append(broken, f)
		}
	}
	byRule := func(a, b Finding) int { return strings.Compare(a.Rule, b.Rule) }
	slices.SortFunc(broken, byRule)
	slices.SortFunc(warnings, byRule)
	return broken, warnings, nil
}

// algorithm is a signature algorithm we may use: its object identifier, its hash
// and a key made when first needed, kept for the process and never stored.
type algorithm struct {
	oid  string
	hash crypto.Hash
	key  func() (crypto.Signer, error)
}

// algorithms has one throw-away key for each; the length of an RSA key makes no
// difference to a rule, so the shortest serves all.
var algorithms = []algorithm{
	{"1.2.840.113549.1.1.11", crypto.SHA256, sync.OnceValues(func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) })},
	{"1.2.840.10045.4.3.2", crypto.SHA256, sync.OnceValues(func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) })},
	{"1.2.840.10045.4.3.3", crypto.SHA384, sync.OnceValues(func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P384(), rand.Reader) })},
	{"1.2.840.10045.4.3.4", crypto.SHA512, sync.OnceValues(func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P521(), rand.Reader) })},
	{"1.3.101.112", 0, sync.OnceValues(func() (crypto.Signer, error) { _, key, err := ed25519.GenerateKey(rand.Reader); return key, err })},
}

// isAlgorithm reports whether an AlgorithmIdentifier names an algorithm.
func isAlgorithm(identifier cryptobyte.String, dotted string) bool {
	var body cryptobyte.String
	var oid asn1.ObjectIdentifier
	return identifier.ReadASN1(&body, cbasn1.SEQUENCE) && body.ReadASN1ObjectIdentifier(&oid) && oid.String() == dotted
}

// throwAway gives a certificate of the TBS that nobody trusts.
func throwAway(c *tbs) ([]byte, error) {
	i := slices.IndexFunc(algorithms, func(a algorithm) bool { return isAlgorithm(c.algorithm, a.oid) })
	if i < 0 {
		return nil, ra.Errorf(ra.Internal, "The certificate would be signed with an algorithm that cannot be checked.").
			WithRemedy("Use an authority with an RSA or elliptic curve key.")
	}
	key, err := algorithms[i].key()
	if err != nil {
		return nil, err
	}
	message := c.raw
	if hash := algorithms[i].hash; hash != 0 {
		h := hash.New()
		h.Write(c.raw)
		message = h.Sum(nil)
	}
	signature, err := key.Sign(rand.Reader, message, algorithms[i].hash)
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(c.raw)
		b.AddBytes(c.algorithm)
		b.AddASN1BitString(signature)
	})
	return b.Bytes()
}
