package adcs

import "fmt"

// The codes that the double gives by itself (MS-ERREF).
const (
	endsFalse          = 1 // S_FALSE
	accessDenied       = 0x80070005
	invalidHandle      = 0x80070006
	overflow           = 0x80070216 // ERROR_ARITHMETIC_OVERFLOW
	invalidArg         = 0x80070057
	invalidData        = 0x8007000D
	fileNotFound       = 0x80070002
	noSuchUser         = 0x80070525
	noneMapped         = 0x80070534
	noSuchDomain       = 0x8007054B
	dsReferral         = 0x8007202B
	unexpected         = 0x8000FFFF
	noInterface        = 0x80004002
	notAllInterfaces   = 0x00080012
	classNotRegistered = 0x80040154
	versionMismatch    = 0x80010110
	invalidIPID        = 0x80010113
	invalidObject      = 0x80010114

	badSignature      = 0x80090006 // NTE_BAD_SIGNATURE
	asn1Corrupt       = 0x80093103
	cryptRevoked      = 0x80092010
	certExpired       = 0x800B0101
	certUntrustedRoot = 0x800B0109
	certChaining      = 0x800B010A
	certWrongUsage    = 0x800B0110

	badRequestSubject  = 0x80094001
	badRequestStatus   = 0x80094003
	propertyEmpty      = 0x80094004
	restrictedOfficer  = 0x80094009
	badRenewalCert     = 0x8009400E
	enrollDenied       = 0x80094011
	templateDenied     = 0x80094012
	adminDenied        = 0x80094014
	weakSignature      = 0x80094016
	unsupportedType    = 0x80094800
	noCertType         = 0x80094801
	templateConflict   = 0x80094802
	archivedKeyNeeded  = 0x80094804
	badRenewalSubject  = 0x80094806
	badTemplateVersion = 0x80094807
	signaturePolicy    = 0x80094809
	signatureCount     = 0x8009480A
	signatureRejected  = 0x8009480B
	upnRequired        = 0x8009480D
	guidRequired       = 0x8009480E
	dnsRequired        = 0x8009480F
	keyLength          = 0x80094811
	emailRequired      = 0x80094812
	tooManySignatures  = 0x80094815
	renewalPublicKey   = 0x80094816
	keyAttestation     = 0x8009481A
	sidRequired        = 0x80094821
)

// hresult is a code as an error.
type hresult uint32

func (h hresult) Error() string { return fmt.Sprintf("adcs: 0x%08X", uint32(h)) }

// orNil is nil for success.
func (h hresult) orNil() error {
	if h == 0 {
		return nil
	}
	return h
}
