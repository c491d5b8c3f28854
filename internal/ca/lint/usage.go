package lint

import (
	"crypto/x509"
	"slices"
	"strings"

	"chancery/internal/wire/pkixmsg"
)

// Bits in short, for the table.
const (
	sign    = x509.KeyUsageDigitalSignature
	commit  = x509.KeyUsageContentCommitment
	encrypt = x509.KeyUsageKeyEncipherment
	agree   = x509.KeyUsageKeyAgreement
	either  = encrypt | agree
)

// purposeBits are the bits RFC 5280 §4.2.1.12 calls consistent with a purpose.
// For smart card logon and IKE it says nothing or says it elsewhere (RFC 4945
// §5.1.3.2, RFC 4556 §3.2.4): both sign.
//
// The RFC asks that a certificate be used only where both extensions agree, so
// a purpose with none of its bits can never be used: that is an error. Further
// bits are none: an RSA key that signs for TLS and also opens SCEP answers has
// keyEncipherment with clientAuth, as most device certificates do.
var purposeBits = map[string]x509.KeyUsage{
	"1.3.6.1.5.5.7.3.1":      sign | either,          // serverAuth
	"1.3.6.1.5.5.7.3.2":      sign | agree,           // clientAuth
	"1.3.6.1.5.5.7.3.3":      sign,                   // codeSigning
	"1.3.6.1.5.5.7.3.4":      sign | commit | either, // emailProtection
	"1.3.6.1.5.5.7.3.8":      sign | commit,          // timeStamping
	"1.3.6.1.5.5.7.3.9":      sign | commit,          // OCSPSigning
	"1.3.6.1.5.5.7.3.17":     sign | commit,          // ipsecIKE
	"1.3.6.1.5.2.3.4":        sign,                   // pkinitClientAuth
	"1.3.6.1.4.1.311.20.2.2": sign,                   // smartcardLogon
}

// checkUsage: the bits suit the type of key and the purposes.
func (c *tbs) checkUsage(r *report, in Intent) {
	const remedy = "Choose another key usage, purpose or key type in the template."
	e, ok := c.extension(pkixmsg.OIDKeyUsage)
	if !ok {
		r.add(true, "key_usage", "it does not say what its key is for.", "Choose a key usage in the template.")
		return
	}
	usage, err := pkixmsg.ParseKeyUsage(e.Value)
	if err != nil || usage == 0 {
		r.add(true, "key_usage", "its key usage cannot be read.", internalRemedy)
		return
	}
	allowed, name := keyBits(c.key, in.CA)
	if over := usage &^ allowed; over != 0 {
		r.add(true, "key_usage_of_key_type", "a key of type "+name+" cannot serve for "+
			strings.Join(pkixmsg.KeyUsageNames(over), ", ")+".", remedy)
	}
	only := usage & (x509.KeyUsageEncipherOnly | x509.KeyUsageDecipherOnly)
	r.add(only != 0 && usage&agree == 0, "key_usage_agreement", "encipherOnly and decipherOnly mean something only beside keyAgreement.", remedy)
	r.add(in.CA && usage&x509.KeyUsageCertSign == 0, "ca_signs", "an authority needs the key usage keyCertSign.", internalRemedy)

	eku, ok := c.extension(pkixmsg.OIDExtKeyUsage)
	if !ok {
		return
	}
	purposes, err := pkixmsg.ParseExtKeyUsage(eku.Value)
	r.add(err != nil, "purposes_form", "its purposes cannot be read.", internalRemedy)
	for i, p := range purposes {
		r.add(slices.Contains(purposes[:i], p), "purpose_twice", "the purpose "+label(p)+" occurs twice.", remedy)
		bits, known := purposeBits[p]
		r.add(known && usage&bits == 0, "purpose_without_usage", "its key usage leaves nothing to do for the purpose "+label(p)+".", remedy)
	}
}

// checkSID: the security identifier is the one decided, and nowhere else.
func (c *tbs) checkSID(r *report, in Intent) {
	e, ok := c.extension(pkixmsg.OIDSecurityIdentifier)
	if !ok {
		r.add(in.SID != "", "sid_present", "it lacks the security identifier of its account.", internalRemedy)
		return
	}
	sid, err := pkixmsg.ParseSIDExtension(e.Value)
	r.add(err != nil || sid != in.SID, "sid_exact", "its security identifier is not the one decided for it.", internalRemedy)
}
