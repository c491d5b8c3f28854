package pkixmsg

import (
	"crypto/x509"
	"encoding/asn1"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// keyUsageNames are the bits of RFC 5280 §4.2.1.3 in order, bit 0 first.
var keyUsageNames = []string{
	"digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment", "keyAgreement",
	"keyCertSign", "cRLSign", "encipherOnly", "decipherOnly",
}

// ParseKeyUsageNames joins bits given by name, without regard to case;
// contentCommitment is the newer name of nonRepudiation. ErrSyntax for others.
func ParseKeyUsageNames(names []string) (x509.KeyUsage, error) {
	var usage x509.KeyUsage
next:
	for _, name := range names {
		if strings.EqualFold(name, "contentCommitment") {
			name = "nonRepudiation"
		}
		for bit, known := range keyUsageNames {
			if strings.EqualFold(name, known) {
				usage |= 1 << bit
				continue next
			}
		}
		return 0, fault(ErrSyntax, "Use "+strings.Join(keyUsageNames, ", ")+".", "%s is no key usage.", quote(name))
	}
	return usage, nil
}

// KeyUsageNames names the bits that are set, in the order of the standard.
func KeyUsageNames(usage x509.KeyUsage) []string {
	var names []string
	for bit, name := range keyUsageNames {
		if usage&(1<<bit) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// KeyUsageExtension builds the critical extension, its BIT STRING without
// trailing zero bits (X.690 §11.2.2). At least one known bit is set, else
// ErrBounds.
func KeyUsageExtension(usage x509.KeyUsage) (Extension, error) {
	if usage <= 0 || usage >= 1<<len(keyUsageNames) {
		return Extension{}, fault(ErrBounds, "Choose at least one use, or leave the extension out.", "There is no key usage.")
	}
	var octets [2]byte
	last := 0
	for bit := range keyUsageNames {
		if usage&(1<<bit) != 0 {
			octets[bit/8] |= 0x80 >> (bit % 8)
			last = bit
		}
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.BIT_STRING, func(b *cryptobyte.Builder) {
		b.AddUint8(uint8(7 - last%8))
		b.AddBytes(octets[:last/8+1])
	})
	value, err := b.Bytes()
	return Extension{OID: OIDKeyUsage, Critical: true, Value: value}, err
}

// ParseKeyUsage reads the value of a key usage extension; bits beyond the
// standard's nine are ErrEncoding.
func ParseKeyUsage(value []byte) (x509.KeyUsage, error) {
	input := cryptobyte.String(value)
	var bits asn1.BitString
	if !input.ReadASN1BitString(&bits) || !input.Empty() || bits.BitLength > 16 {
		return 0, badDER("key usage extension", "a BIT STRING of at most nine bits")
	}
	var usage x509.KeyUsage
	for bit := range bits.BitLength {
		if bits.At(bit) == 0 {
			continue
		}
		if bit >= len(keyUsageNames) {
			return 0, badDER("key usage extension", "a BIT STRING of at most nine bits")
		}
		usage |= 1 << bit
	}
	return usage, nil
}

// Purpose is an extended key usage with a name.
type Purpose struct{ Name, OID string }

// Purposes are the extended key usages with a name, in display order.
var Purposes = []Purpose{
	{"clientAuth", "1.3.6.1.5.5.7.3.2"},
	{"serverAuth", "1.3.6.1.5.5.7.3.1"},
	{"emailProtection", "1.3.6.1.5.5.7.3.4"},
	{"smartcardLogon", "1.3.6.1.4.1.311.20.2.2"},
	{"kdc", "1.3.6.1.5.2.3.5"},
	{"pkinitClientAuth", "1.3.6.1.5.2.3.4"},
	{"ipsecIKE", "1.3.6.1.5.5.7.3.17"},
	{"ikeIntermediate", "1.3.6.1.5.5.8.2.2"},
	{"eapOverLAN", "1.3.6.1.5.5.7.3.14"},
	{"codeSigning", "1.3.6.1.5.5.7.3.3"},
	{"documentSigning", "1.3.6.1.5.5.7.3.36"},
	{"microsoftDocumentSigning", "1.3.6.1.4.1.311.10.3.12"},
	{"timeStamping", "1.3.6.1.5.5.7.3.8"},
	{"OCSPSigning", "1.3.6.1.5.5.7.3.9"},
	{"encryptingFileSystem", "1.3.6.1.4.1.311.10.3.4"},
	{"certificateRequestAgent", "1.3.6.1.4.1.311.20.2.1"},
	{"anyExtendedKeyUsage", "2.5.29.37.0"},
}

var purposeNames = func() map[string]string {
	names := map[string]string{}
	for _, p := range Purposes {
		names[p.OID] = p.Name
	}
	return names
}()

// ParsePurpose reads one extended key usage, a name without regard to case or a
// dotted identifier, and gives the dotted form. ErrSyntax for anything else.
func ParsePurpose(s string) (oid string, err error) {
	for _, p := range Purposes {
		if strings.EqualFold(s, p.Name) {
			return p.OID, nil
		}
	}
	if CheckOID(s) != nil {
		return "", fault(ErrSyntax, "Use a name such as clientAuth or serverAuth, or a dotted object identifier.",
			"%s is no extended key usage.", quote(s))
	}
	return s, nil
}

// ExtKeyUsageExtension builds the extension from dotted identifiers in the order
// given (RFC 5280 §4.2.1.12), 1 to 100 of them.
func ExtKeyUsageExtension(oids []string, critical bool) (Extension, error) {
	if len(oids) == 0 || len(oids) > maxEKUs {
		return Extension{}, fault(ErrBounds, "Choose a purpose, or leave the extension out.",
			"There are 1 to %d extended key usages.", maxEKUs)
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, oid := range oids {
			addOID(b, oid)
		}
	})
	value, err := b.Bytes()
	if err != nil {
		return Extension{}, err
	}
	return Extension{OID: OIDExtKeyUsage, Critical: critical, Value: value}, nil
}

// ParseExtKeyUsage reads the value of an extended key usage extension as dotted
// identifiers in order.
func ParseExtKeyUsage(value []byte) ([]string, error) {
	input := cryptobyte.String(value)
	var sequence cryptobyte.String
	if !input.ReadASN1(&sequence, cbasn1.SEQUENCE) || !input.Empty() || sequence.Empty() {
		return nil, badDER("extended key usage extension", "a SEQUENCE of at least one identifier")
	}
	var oids []string
	for !sequence.Empty() {
		var oid string
		if !readOID(&sequence, &oid) {
			return nil, badDER("extended key usage extension", "an object identifier")
		}
		if len(oids) == maxEKUs {
			return nil, tooLarge("extended key usage extension", maxEKUs, "purposes")
		}
		oids = append(oids, oid)
	}
	return oids, nil
}
