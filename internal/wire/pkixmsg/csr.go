package pkixmsg

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// CSR is a certification request (RFC 2986) as it arrived and as it was
// understood. Nothing in it is proven: CheckSignature proves possession of the
// key, CheckKey looks at the key, and everything else is only what was asked for.
//
// Raw and RawTBS hold the challenge password in clear when there is one, so they
// stay out of logs and JSON; a CSR prints as its subject and key type.
type CSR struct {
	Raw        []byte `json:"-"` // the whole request
	RawTBS     []byte `json:"-"` // CertificationRequestInfo, what is signed
	RawSubject []byte // the subject as encoded
	RawSPKI    []byte // SubjectPublicKeyInfo

	Subject   Name
	PublicKey crypto.PublicKey // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
	Key       KeyInfo
	SPKIHash  [32]byte // SHA-256 of RawSPKI

	SignatureAlgorithm string // SHA256-RSA and the like; the dotted identifier when unknown
	WeakSignature      bool   // SHA-1: verifies, but forgeries are within reach

	Extensions       []Extension // all requested, in order
	SANs             []GeneralName
	ExtKeyUsages     []string // dotted, in order
	KeyUsage         x509.KeyUsage
	BasicConstraints *BasicConstraints // nil when not requested
	SIDs             []string          // every SID asked for: of the extension, then of SAN URIs

	Attributes []RequestAttribute // those not understood, in order

	signature []byte
	algorithm signatureAlgorithm
	challenge *string // behind a pointer, so that no printer follows it
	proven    bool    // CheckSignature has succeeded
	sound     bool    // CheckKey has succeeded
}

// RequestAttribute is an attribute of a request that this package does not read.
type RequestAttribute struct {
	OID    string
	Values [][]byte // one DER element each
}

// ChallengePassword gives the secret a requester proves itself with (RFC 2985
// §5.4.1); an empty one counts as absent.
func (c *CSR) ChallengePassword() (password string, present bool) {
	if c.challenge == nil {
		return "", false
	}
	return *c.challenge, true
}

// Format prints the subject and key type for every verb, so that no log shows a
// challenge password.
func (c *CSR) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "CSR(%s, %s)", c.Subject, c.Key.Type)
}

// Extension gives the requested extension of that identifier.
func (c *CSR) Extension(oid string) (Extension, bool) {
	for _, e := range c.Extensions {
		if e.OID == oid {
			return e, true
		}
	}
	return Extension{}, false
}

// ParseCSR reads a request that fills der, at most 64 KiB. It does not check the
// signature. It is strict where two readers could differ: trailing bytes, a
// version other than 0, an extension or a challenge password given twice, and
// known extensions that do not parse are ErrEncoding (ErrTooLarge beyond a limit,
// ErrKey for a key of no supported type). It is lenient where clients in the
// field are known to stray and nothing is lost: the attributes may be left out
// altogether, sets need not be sorted, and strings may have any string type.
func ParseCSR(der []byte) (*CSR, error) {
	if len(der) > MaxCSRBytes {
		return nil, tooLarge("request", MaxCSRBytes, "bytes")
	}
	c := &CSR{Raw: bytes.Clone(der)}
	input := cryptobyte.String(c.Raw)
	var request, info, algorithm cryptobyte.String
	if !input.ReadASN1(&request, cbasn1.SEQUENCE) || !input.Empty() ||
		!request.ReadASN1Element(&info, cbasn1.SEQUENCE) ||
		!request.ReadASN1Element(&algorithm, cbasn1.SEQUENCE) ||
		!request.ReadASN1BitStringAsBytes(&c.signature) || !request.Empty() {
		return nil, badDER("request", "a PKCS#10 CertificationRequest and nothing behind it")
	}
	c.RawTBS = info
	if err := c.readInfo(info); err != nil {
		return nil, err
	}
	var err error
	if c.algorithm, err = parseSignatureAlgorithm(algorithm); err != nil {
		return nil, err
	}
	c.SignatureAlgorithm, c.WeakSignature = c.algorithm.name, c.algorithm.hash == crypto.SHA1
	return c, nil
}

// readInfo reads CertificationRequestInfo (RFC 2986 §4.1).
func (c *CSR) readInfo(info cryptobyte.String) error {
	var body, subject, spki, attributes cryptobyte.String
	var version int
	var present bool
	if !info.ReadASN1(&body, cbasn1.SEQUENCE) || !body.ReadASN1Integer(&version) || version != 0 ||
		!body.ReadASN1Element(&subject, cbasn1.SEQUENCE) ||
		!body.ReadASN1Element(&spki, cbasn1.SEQUENCE) ||
		!body.ReadOptionalASN1(&attributes, &present, tagExplicit0) || !body.Empty() {
		return badDER("request", "version 0, a subject, a public key and attributes")
	}
	c.RawSubject, c.RawSPKI = subject, spki
	c.SPKIHash = sha256.Sum256(spki)
	var err error
	if c.Subject, err = ParseNameDER(subject); err != nil {
		return err
	}
	if c.PublicKey, err = parseSPKI(spki); err != nil {
		return err
	}
	c.Key = DescribeKey(c.PublicKey)
	if err := c.readAttributes(attributes); err != nil {
		return err
	}
	return c.readExtensions()
}

func (c *CSR) readAttributes(attributes cryptobyte.String) error {
	challenges := 0
	for count := 0; !attributes.Empty(); count++ {
		var body, values cryptobyte.String
		var a RequestAttribute
		if !attributes.ReadASN1(&body, cbasn1.SEQUENCE) || !readOID(&body, &a.OID) ||
			!body.ReadASN1(&values, cbasn1.SET) || !body.Empty() {
			return badDER("request", "an attribute of type and values")
		}
		for !values.Empty() {
			var value cryptobyte.String
			var tag cbasn1.Tag
			if !values.ReadAnyASN1Element(&value, &tag) {
				return badDER("request", "an attribute value")
			}
			a.Values = append(a.Values, value)
		}
		if count == maxAttributes {
			return tooLarge("list of attributes", maxAttributes, "attributes")
		}
		if a.OID == OIDChallengePassword {
			challenges += max(1, len(a.Values))
		}
		if err := c.readAttribute(a); err != nil {
			return err
		}
	}
	if challenges > 1 {
		return badDER("request", "at most one challenge password")
	}
	return nil
}

func (c *CSR) readAttribute(a RequestAttribute) error {
	switch a.OID {
	case OIDExtensionRequest, OIDMicrosoftExtensionsAttr:
		if len(a.Values) != 1 {
			return badDER("request", "one value in the extension request")
		}
		list, err := parseExtensions(a.Values[0])
		c.Extensions = append(c.Extensions, list...)
		return err
	case OIDChallengePassword:
		for _, value := range a.Values {
			password, s := "", cryptobyte.String(value)
			if !readText(&s, &password) {
				return badDER("challenge password", "a string")
			}
			if password != "" {
				c.challenge = &password
			}
		}
	default:
		c.Attributes = append(c.Attributes, a)
	}
	return nil
}

// readExtensions fills the fields that stand for known extensions.
func (c *CSR) readExtensions() error {
	if len(c.Extensions) > maxExtensions {
		return tooLarge("list of extensions", maxExtensions, "extensions")
	}
	if _, twice := repeatedExtension(c.Extensions); twice {
		return badDER("request", "each extension once")
	}
	for _, e := range c.Extensions {
		var err error
		switch e.OID {
		case OIDSubjectAltName:
			c.SANs, err = ParseSubjectAltName(e.Value)
		case OIDExtKeyUsage:
			c.ExtKeyUsages, err = ParseExtKeyUsage(e.Value)
		case OIDKeyUsage:
			c.KeyUsage, err = ParseKeyUsage(e.Value)
		case OIDBasicConstraints:
			var bc BasicConstraints
			bc, err = ParseBasicConstraints(e.Value)
			c.BasicConstraints = &bc
		case OIDSecurityIdentifier:
			var sid string
			sid, err = ParseSIDExtension(e.Value)
			c.SIDs = append([]string{sid}, c.SIDs...)
		}
		if err != nil {
			return err
		}
	}
	for _, g := range c.SANs {
		if sid, ok := ParseSIDURI(g.Value); ok && g.Type == URI {
			c.SIDs = append(c.SIDs, sid)
		}
	}
	return nil
}
