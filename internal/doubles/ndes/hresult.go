package ndes

import "fmt"

// The Windows errors that the server gives by itself.
const (
	adminDenied     = 0x80094014 // CERTSRV_E_ADMIN_DENIED_REQUEST
	badSubject      = 0x80094001 // CERTSRV_E_BAD_REQUESTSUBJECT
	keyTooShort     = 0x80094811 // CERTSRV_E_KEY_LENGTH
	templateDenied  = 0x80094012 // CERTSRV_E_TEMPLATE_DENIED
	unsupportedType = 0x80094800 // CERTSRV_E_UNSUPPORTED_CERT_TYPE
)

var hresultNames = map[uint32]string{
	adminDenied: "CERTSRV_E_ADMIN_DENIED_REQUEST", badSubject: "CERTSRV_E_BAD_REQUESTSUBJECT", keyTooShort: "CERTSRV_E_KEY_LENGTH",
	templateDenied: "CERTSRV_E_TEMPLATE_DENIED", unsupportedType: "CERTSRV_E_UNSUPPORTED_CERT_TYPE",
	0x80070005: "E_ACCESSDENIED", 0x800706BA: "RPC_S_SERVER_UNAVAILABLE", 0x80092013: "CRYPT_E_REVOCATION_OFFLINE",
	0x80094011: "CERTSRV_E_ENROLL_DENIED", 0x80094016: "CERTSRV_E_WEAK_SIGNATURE_OR_KEY", 0x800B0101: "CERT_E_EXPIRED",
}

// hresultText is what Windows prints of an error: its number in hex and, where
// there is one, its decimal form and name.
func hresultText(code uint32) string {
	name := hresultNames[code]
	if name == "" {
		return fmt.Sprintf("0x%08x", code)
	}
	return fmt.Sprintf("Denied by Policy Module 0x%08x (%d %s)", code, int32(code), name)
}
