package lint

import (
	"crypto/x509"
	"encoding/asn1"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"chancery/internal/wire/pkixmsg"
)

// maxTBSBytes bounds what is read; a certificate beyond it serves nobody.
const maxTBSBytes = 256 << 10

// tbs is a TBSCertificate taken apart (RFC 5280 §4.1).
type tbs struct {
	raw        []byte
	serial     []byte // contents octets of the INTEGER
	algorithm  []byte // AlgorithmIdentifier
	issuer     []byte // RDNSequence
	notBefore  moment
	notAfter   moment
	subject    []byte // RDNSequence
	spki       []byte // SubjectPublicKeyInfo
	key        any    // the key inside
	extensions []pkixmsg.Extension
}

// moment is a time with the type that carries it.
type moment struct {
	at  time.Time
	tag cbasn1.Tag
}

// The parts that carry tags of their own.
var (
	tagVersion    = cbasn1.Tag(0).ContextSpecific().Constructed()
	tagExtensions = cbasn1.Tag(3).ContextSpecific().Constructed()
)

// parse takes a TBSCertificate apart; the finding says what it lacks. Only
// version 3 without unique identifiers is taken (RFC 5280 §4.1.2.8).
func parse(raw []byte) (*tbs, *Finding) {
	c := &tbs{raw: raw}
	input := cryptobyte.String(raw)
	var body, version, validity, list cryptobyte.String
	var number int
	ok := len(raw) <= maxTBSBytes &&
		input.ReadASN1(&body, cbasn1.SEQUENCE) && input.Empty() &&
		body.ReadASN1(&version, tagVersion) && version.ReadASN1Integer(&number) && version.Empty() && number == 2 &&
		readBody(&body, &c.serial, cbasn1.INTEGER) &&
		readElement(&body, &c.algorithm) && readElement(&body, &c.issuer) &&
		body.ReadASN1(&validity, cbasn1.SEQUENCE) &&
		c.notBefore.read(&validity) && c.notAfter.read(&validity) && validity.Empty() &&
		readElement(&body, &c.subject) && readElement(&body, &c.spki) &&
		body.ReadASN1(&list, tagExtensions) && body.Empty() && c.readExtensions(&list)
	if !ok {
		return nil, &Finding{"tbs_form", "it is not a version 3 certificate with serial, names, validity, key and extensions.", internalRemedy}
	}
	key, err := x509.ParsePKIXPublicKey(c.spki)
	if err != nil {
		return nil, &Finding{"public_key_form", "its public key cannot be read.", "Make the request again with a key of a supported type."}
	}
	c.key = key
	return c, nil
}

func (c *tbs) readExtensions(list *cryptobyte.String) bool {
	var sequence cryptobyte.String
	if !list.ReadASN1(&sequence, cbasn1.SEQUENCE) || !list.Empty() || sequence.Empty() {
		return false
	}
	for !sequence.Empty() {
		var one, value cryptobyte.String
		var oid asn1.ObjectIdentifier
		var e pkixmsg.Extension
		if !sequence.ReadASN1(&one, cbasn1.SEQUENCE) || !one.ReadASN1ObjectIdentifier(&oid) {
			return false
		}
		// DEFAULT FALSE is left out in DER, so a flag that is there is TRUE.
		if one.PeekASN1Tag(cbasn1.BOOLEAN) && (!one.ReadASN1Boolean(&e.Critical) || !e.Critical) {
			return false
		}
		if !one.ReadASN1(&value, cbasn1.OCTET_STRING) || !one.Empty() {
			return false
		}
		e.OID, e.Value = oid.String(), value
		c.extensions = append(c.extensions, e)
	}
	return true
}

// extension gives the extension of an identifier.
func (c *tbs) extension(oid string) (pkixmsg.Extension, bool) {
	i := slices.IndexFunc(c.extensions, func(e pkixmsg.Extension) bool { return e.OID == oid })
	if i < 0 {
		return pkixmsg.Extension{}, false
	}
	return c.extensions[i], true
}

// read takes a UTCTime or GeneralizedTime in the one form RFC 5280 §4.1.2.5
// allows: seconds, Zulu, no fractions.
func (m *moment) read(s *cryptobyte.String) bool {
	var body cryptobyte.String
	if !s.ReadAnyASN1(&body, &m.tag) {
		return false
	}
	layout := "060102150405Z"
	if m.tag == cbasn1.GeneralizedTime {
		layout = "20060102150405Z"
	} else if m.tag != cbasn1.UTCTime {
		return false
	}
	at, err := time.Parse(layout, string(body))
	if m.tag == cbasn1.UTCTime && at.Year() >= 2050 {
		at = at.AddDate(-100, 0, 0)
	}
	m.at = at
	return err == nil && len(body) == len(layout)
}

func readElement(s *cryptobyte.String, out *[]byte) bool {
	var element cryptobyte.String
	if !s.ReadASN1Element(&element, cbasn1.SEQUENCE) {
		return false
	}
	*out = element
	return true
}

func readBody(s *cryptobyte.String, out *[]byte, tag cbasn1.Tag) bool {
	var body cryptobyte.String
	if !s.ReadASN1(&body, tag) || len(body) == 0 {
		return false
	}
	*out = body
	return true
}
