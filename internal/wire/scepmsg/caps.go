package scepmsg

import (
	"crypto"
	"strings"

	"chancery/internal/wire/cms"
)

// CapsText is the answer to GetCACaps (RFC 8894 §3.5.2). DES3 and SHA-384 are
// in it for strongSwan 5.9.8 to 5.9.10, whose test for AES, SHA-256 and
// Renewal looks at the wrong bits; the floor decides what is accepted,
// whatever is listed.
const CapsText = "AES\nDES3\nSHA-1\nSHA-256\nSHA-384\nSHA-512\nPOSTPKIOperation\nRenewal\nSCEPStandard\n"

// Caps is what a server says it can do. The zero value is what to assume of a
// server that does not say: GET, 3DES, SHA-1 (RFC 8894 §3.5.2).
type Caps struct {
	AES, DES3                    bool
	SHA1, SHA256, SHA384, SHA512 bool
	Post                         bool // POSTPKIOperation
	Renewal                      bool // RenewalReq is understood
	NextCA                       bool // GetNextCACert
}

// ParseCaps reads an answer to GetCACaps: keywords on lines of any ending, in
// any letter case; unknown ones are passed over. SCEPStandard stands for AES,
// SHA-256 and POST.
func ParseCaps(b []byte) Caps {
	var c Caps
	for word := range strings.FieldsSeq(string(b[:min(len(b), maxCapsBytes)])) {
		switch strings.ToUpper(word) {
		case "AES":
			c.AES = true
		case "DES3":
			c.DES3 = true
		case "SHA-1":
			c.SHA1 = true
		case "SHA-256":
			c.SHA256 = true
		case "SHA-384":
			c.SHA384 = true
		case "SHA-512":
			c.SHA512 = true
		case "POSTPKIOPERATION":
			c.Post = true
		case "RENEWAL":
			c.Renewal = true
		case "GETNEXTCACERT":
			c.NextCA = true
		case "SCEPSTANDARD":
			c.AES, c.SHA256, c.Post = true, true, true
		}
	}
	return c
}

const maxCapsBytes = 16 << 10

// Cipher gives the content cipher to use towards the server: AES when it knows
// AES, else 3DES, which a caller's Floor may refuse.
func (c Caps) Cipher() cms.OID {
	if c.AES {
		return cms.OIDAES128CBC
	}
	return cms.OIDTripleDESCBC
}

// Digest gives the digest to use towards the server, SHA-256 before the longer
// ones because it is the one all servers agree on; SHA-1 is the last resort,
// which a caller's Floor may refuse.
func (c Caps) Digest() crypto.Hash {
	switch {
	case c.SHA256:
		return crypto.SHA256
	case c.SHA512:
		return crypto.SHA512
	case c.SHA384:
		return crypto.SHA384
	}
	return crypto.SHA1
}
