package cms

import (
	"crypto"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// OID is an object identifier as its DER content octets. It is comparable, can
// hold identifiers of any length, and prints as dotted decimal or, for an
// algorithm this package knows, by name through Name.
type OID string

// Content types (RFC 5652 §4, §5, §6).
var (
	OIDData          = MustOID("1.2.840.113549.1.7.1")
	oidSignedData    = MustOID("1.2.840.113549.1.7.2")
	oidEnvelopedData = MustOID("1.2.840.113549.1.7.3")
)

// Signed attributes (RFC 5652 §11).
var (
	oidContentType   = MustOID("1.2.840.113549.1.9.3")
	oidMessageDigest = MustOID("1.2.840.113549.1.9.4")
	OIDSigningTime   = MustOID("1.2.840.113549.1.9.5")
)

// Digests.
var (
	OIDMD5    = MustOID("1.2.840.113549.2.5")
	OIDSHA1   = MustOID("1.3.14.3.2.26")
	OIDSHA224 = MustOID("2.16.840.1.101.3.4.2.4")
	OIDSHA256 = MustOID("2.16.840.1.101.3.4.2.1")
	OIDSHA384 = MustOID("2.16.840.1.101.3.4.2.2")
	OIDSHA512 = MustOID("2.16.840.1.101.3.4.2.3")
)

// Signature algorithms. OIDRSA stands for PKCS #1 v1.5 with the digest named
// beside it, and is also the key transport algorithm of the same name.
var (
	OIDRSA             = MustOID("1.2.840.113549.1.1.1")
	OIDMD5WithRSA      = MustOID("1.2.840.113549.1.1.4")
	OIDSHA1WithRSA     = MustOID("1.2.840.113549.1.1.5")
	OIDSHA224WithRSA   = MustOID("1.2.840.113549.1.1.14")
	OIDSHA256WithRSA   = MustOID("1.2.840.113549.1.1.11")
	OIDSHA384WithRSA   = MustOID("1.2.840.113549.1.1.12")
	OIDSHA512WithRSA   = MustOID("1.2.840.113549.1.1.13")
	OIDECDSAWithSHA1   = MustOID("1.2.840.10045.4.1")
	OIDECDSAWithSHA224 = MustOID("1.2.840.10045.4.3.1")
	OIDECDSAWithSHA256 = MustOID("1.2.840.10045.4.3.2")
	OIDECDSAWithSHA384 = MustOID("1.2.840.10045.4.3.3")
	OIDECDSAWithSHA512 = MustOID("1.2.840.10045.4.3.4")
)

// Key management algorithms beside OIDRSA: RSAES-OAEP (RFC 4055), ephemeral
// static ECDH with the X9.63 KDF (RFC 5753), AES key wrap (RFC 3394) and the
// password based key wrap (RFC 3211).
var (
	OIDRSAOAEP         = MustOID("1.2.840.113549.1.1.7")
	OIDECDHWithSHA1KDF = MustOID("1.3.133.16.840.63.0.2")
	OIDECDHWithSHA256  = MustOID("1.3.132.1.11.1")
	OIDECDHWithSHA384  = MustOID("1.3.132.1.11.2")
	OIDECDHWithSHA512  = MustOID("1.3.132.1.11.3")
	OIDAES128Wrap      = MustOID("2.16.840.1.101.3.4.1.5")
	OIDAES192Wrap      = MustOID("2.16.840.1.101.3.4.1.25")
	OIDAES256Wrap      = MustOID("2.16.840.1.101.3.4.1.45")
	OIDPWRIKEK         = MustOID("1.2.840.113549.1.9.16.3.9")
)

// Content ciphers.
var (
	OIDDESCBC       = MustOID("1.3.14.3.2.7")
	OIDTripleDESCBC = MustOID("1.2.840.113549.3.7")
	OIDAES128CBC    = MustOID("2.16.840.1.101.3.4.1.2")
	OIDAES192CBC    = MustOID("2.16.840.1.101.3.4.1.22")
	OIDAES256CBC    = MustOID("2.16.840.1.101.3.4.1.42")
)

var (
	oidMGF1          = MustOID("1.2.840.113549.1.1.8")
	oidPSpecified    = MustOID("1.2.840.113549.1.1.9")
	oidPBKDF2        = MustOID("1.2.840.113549.1.5.12")
	oidHMACWithSHA1  = MustOID("1.2.840.113549.2.7")
	oidHMACSHA256    = MustOID("1.2.840.113549.2.9")
	oidHMACSHA384    = MustOID("1.2.840.113549.2.10")
	oidHMACSHA512    = MustOID("1.2.840.113549.2.11")
	oidECPublicKey   = MustOID("1.2.840.10045.2.1")
	oidSubjectKeyID  = MustOID("2.5.29.14")
	oidKeyUsage      = MustOID("2.5.29.15")
	oidBasicConstr   = MustOID("2.5.29.19")
	oidNameRC2CBC    = MustOID("1.2.840.113549.3.2")
	oidNameRSAPSS    = MustOID("1.2.840.113549.1.1.10")
	oidNameAES128GCM = MustOID("2.16.840.1.101.3.4.1.6")
	oidNameAES256GCM = MustOID("2.16.840.1.101.3.4.1.46")
)

// oidNames are the words policies and logs use.
var oidNames = map[OID]string{
	OIDMD5: "MD5", OIDSHA1: "SHA-1", OIDSHA224: "SHA-224", OIDSHA256: "SHA-256", OIDSHA384: "SHA-384", OIDSHA512: "SHA-512",
	OIDRSA: "RSA", OIDMD5WithRSA: "RSA with MD5", OIDSHA1WithRSA: "RSA with SHA-1", OIDSHA224WithRSA: "RSA with SHA-224",
	OIDSHA256WithRSA: "RSA with SHA-256", OIDSHA384WithRSA: "RSA with SHA-384", OIDSHA512WithRSA: "RSA with SHA-512",
	OIDECDSAWithSHA1: "ECDSA with SHA-1", OIDECDSAWithSHA224: "ECDSA with SHA-224", OIDECDSAWithSHA256: "ECDSA with SHA-256",
	OIDECDSAWithSHA384: "ECDSA with SHA-384", OIDECDSAWithSHA512: "ECDSA with SHA-512",
	OIDRSAOAEP: "RSA-OAEP", OIDPWRIKEK: "password",
	OIDECDHWithSHA1KDF: "ECDH with SHA-1", OIDECDHWithSHA256: "ECDH with SHA-256", OIDECDHWithSHA384: "ECDH with SHA-384", OIDECDHWithSHA512: "ECDH with SHA-512",
	OIDAES128Wrap: "AES-128 key wrap", OIDAES192Wrap: "AES-192 key wrap", OIDAES256Wrap: "AES-256 key wrap",
	OIDDESCBC: "DES-CBC", OIDTripleDESCBC: "3DES-CBC", OIDAES128CBC: "AES-128-CBC", OIDAES192CBC: "AES-192-CBC", OIDAES256CBC: "AES-256-CBC",
	oidNameRC2CBC: "RC2-CBC", oidNameRSAPSS: "RSA-PSS", oidNameAES128GCM: "AES-128-GCM", oidNameAES256GCM: "AES-256-GCM",
}

// MustOID makes an OID from dotted decimal. It panics on anything else, and is
// meant for constants.
func MustOID(dotted string) OID {
	var arcs []uint64
	for part := range strings.SplitSeq(dotted, ".") {
		n, err := strconv.ParseUint(part, 10, 32)
		if err != nil {
			panic("cms: bad object identifier " + dotted)
		}
		arcs = append(arcs, n)
	}
	if len(arcs) < 2 || arcs[0] > 2 || (arcs[0] < 2 && arcs[1] > 39) {
		panic("cms: bad object identifier " + dotted)
	}
	out := appendBase128(nil, arcs[0]*40+arcs[1])
	for _, a := range arcs[2:] {
		out = appendBase128(out, a)
	}
	return OID(out)
}

func appendBase128(b []byte, n uint64) []byte {
	for shift := 63; shift > 0; shift -= 7 {
		if n>>shift != 0 {
			b = append(b, byte(n>>shift)|0x80)
		}
	}
	return append(b, byte(n&0x7f))
}

// String gives dotted decimal; an arc beyond 63 bits prints as "?".
func (o OID) String() string {
	var b strings.Builder
	var n uint64
	var over bool
	for i := range len(o) {
		over = over || n>>56 != 0
		n = n<<7 | uint64(o[i]&0x7f)
		if o[i]&0x80 != 0 {
			continue
		}
		switch {
		case over:
			b.WriteString(".?")
		case b.Len() == 0:
			first := min(n/40, 2)
			fmt.Fprintf(&b, "%d.%d", first, n-first*40)
		default:
			fmt.Fprintf(&b, ".%d", n)
		}
		n, over = 0, false
	}
	return b.String()
}

// Name gives the usual word for a known algorithm, such as "AES-128-CBC", and
// dotted decimal for the rest.
func (o OID) Name() string {
	if n, ok := oidNames[o]; ok {
		return n
	}
	return o.String()
}

func (o OID) add(b *cryptobyte.Builder) {
	b.AddASN1(cbasn1.OBJECT_IDENTIFIER, func(b *cryptobyte.Builder) { b.AddBytes([]byte(o)) })
}

// readOID reads an OBJECT IDENTIFIER and checks that its last octet ends an
// arc and that no arc starts with a padding octet (X.690 §8.19).
func readOID(s *cryptobyte.String, out *OID) bool {
	var body cryptobyte.String
	if !s.ReadASN1(&body, cbasn1.OBJECT_IDENTIFIER) || len(body) == 0 || body[len(body)-1]&0x80 != 0 {
		return false
	}
	start := true
	for _, c := range body {
		if start && c == 0x80 {
			return false
		}
		start = c&0x80 == 0
	}
	*out = OID(body)
	return true
}

// AlgorithmIdentifier names an algorithm with its parameters as one DER
// element, empty when absent (RFC 5280 §4.1.1.2).
type AlgorithmIdentifier struct {
	Algorithm  OID
	Parameters []byte
}

func readAlgorithm(s *cryptobyte.String, out *AlgorithmIdentifier) bool {
	var seq cryptobyte.String
	return s.ReadASN1(&seq, cbasn1.SEQUENCE) && parseAlgorithm(seq, out)
}

// parseAlgorithm reads the inside of an AlgorithmIdentifier.
func parseAlgorithm(seq cryptobyte.String, out *AlgorithmIdentifier) bool {
	if !readOID(&seq, &out.Algorithm) {
		return false
	}
	out.Parameters = nil
	if seq.Empty() {
		return true
	}
	var params cryptobyte.String
	if !seq.ReadAnyASN1Element(&params, new(cbasn1.Tag)) || !seq.Empty() {
		return false
	}
	out.Parameters = params
	return true
}

func (a AlgorithmIdentifier) add(b *cryptobyte.Builder) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		a.Algorithm.add(b)
		b.AddBytes(a.Parameters)
	})
}

var derNull = []byte{0x05, 0x00}

// Hash gives the digest an OID names, and false for one unknown here. MD5 is
// known: whether it may be used is asked elsewhere.
func (o OID) Hash() (crypto.Hash, bool) {
	switch o {
	case OIDMD5:
		return crypto.MD5, true
	case OIDSHA1:
		return crypto.SHA1, true
	case OIDSHA224:
		return crypto.SHA224, true
	case OIDSHA256:
		return crypto.SHA256, true
	case OIDSHA384:
		return crypto.SHA384, true
	case OIDSHA512:
		return crypto.SHA512, true
	}
	return 0, false
}

func hashOID(h crypto.Hash) (OID, bool) {
	switch h {
	case crypto.SHA1:
		return OIDSHA1, true
	case crypto.SHA256:
		return OIDSHA256, true
	case crypto.SHA384:
		return OIDSHA384, true
	case crypto.SHA512:
		return OIDSHA512, true
	}
	return "", false
}
