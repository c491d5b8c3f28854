package hresult

import "slices"

// crypt are codes about certificates, chains and encodings: CRYPT_E_* and
// CERT_E_* (MS-ERREF §2.1.1).
var crypt = slices.Concat([]Entry{
	{0x80090006, "NTE_BAD_SIGNATURE", "The signature on the request is broken.",
		"Have the device make its request anew. If the enrollment agent signed it, check that the agent's key belongs to its certificate.", Final},
	{0x80092002, "CRYPT_E_BAD_ENCODE", "The CA could not encode or decode a part of the request.",
		"Have the request made anew; some name or extension in it is not what its type says.", Final},
	{0x80092009, "CRYPT_E_NO_MATCH", "The CA found no certificate that fits the signature on the request.",
		"Send the enrollment agent certificate that belongs to the key.", Final},
	{0x80092010, "CRYPT_E_REVOKED", "The certificate that signed the request is revoked.",
		"Request a new enrollment agent certificate, or ask for a new certificate in place of a renewal.", Final},
	{0x80092012, "CRYPT_E_NO_REVOCATION_CHECK", "The CA could not check a certificate of its own chain or of the signer for revocation.",
		"Make the revocation lists named in the CA certificate and in the enrollment agent certificate reachable from the CA.", Later},
	{0x80092013, "CRYPT_E_REVOCATION_OFFLINE", "The CA cannot fetch a revocation list for its own or for the signer's chain.",
		"Publish the revocation list of the issuing CA and of those above it (certutil -crl), and check that the addresses in their certificates answer.", Later},
	{0x800b0101, "CERT_E_EXPIRED", "A certificate in the chain of the CA or of the signer has expired, or a clock is wrong.",
		"Renew the enrollment agent or the CA certificate, and compare the clocks.", Final},
	{0x800b0109, "CERT_E_UNTRUSTEDROOT", "The CA does not trust the root of the certificate that signed the request.",
		"Add that root to the trusted roots of the CA's host.", Final},
	{0x800b010a, "CERT_E_CHAINING", "The CA cannot build the chain of the certificate that signed the request.",
		"Install the intermediate certificates on the CA's host.", Final},
	{0x800b010c, "CERT_E_REVOKED", "A certificate in the chain of the CA or of the signer is revoked.",
		"Request a new enrollment agent certificate; if the CA's own is meant, renew it.", Final},
	{0x800b010e, "CERT_E_REVOCATION_FAILURE", "The CA could not tell whether a certificate in the signer's chain is revoked.",
		"Check that the CA's host reaches the revocation lists of every certificate above the enrollment agent.", Later},
	{0x800b0110, "CERT_E_WRONG_USAGE", "The certificate that signed the request is not for that purpose.",
		"Use an enrollment agent certificate: extended key usage Certificate Request Agent, 1.3.6.1.4.1.311.20.2.1.", Final},
	{0x800b0112, "CERT_E_UNTRUSTEDCA", "The CA that issued the certificate is not trusted for logins to the domain.",
		"Publish its certificate to NTAuth: certutil -dspublish -f ca.cer NTAuthCA.", Final},
	{0x800b0113, "CERT_E_INVALID_POLICY", "A certificate policy in the chain forbids this certificate.",
		"Look at the policy constraints in the CA certificates.", Final},
	{0x800b0114, "CERT_E_INVALID_NAME", "A name constraint in the chain forbids a name of the request.",
		"Compare the names in the preview of the template with the name constraints of the CA certificate.", Final},
}, asn1())

// asn1 is the family of codes for DER that does not decode; they differ in their
// names only.
func asn1() []Entry {
	names := map[Code]string{0x00: "ERROR", 0x01: "INTERNAL", 0x02: "EOD", 0x03: "CORRUPT", 0x04: "LARGE", 0x05: "CONSTRAINT", 0x06: "MEMORY", 0x07: "OVERFLOW",
		0x08: "BADPDU", 0x09: "BADARGS", 0x0a: "BADREAL", 0x0b: "BADTAG", 0x0c: "CHOICE", 0x0d: "RULE", 0x0e: "UTF8", 0x33: "PDU_TYPE", 0x34: "NYI"}
	var out []Entry
	for n, name := range names {
		out = append(out, Entry{0x80093100 + n, "CRYPT_E_ASN1_" + name, "The CA cannot read the request: its DER is not what it expects.",
			"Have the device make a new PKCS#10 request. If it goes on, keep the request and compare it with what openssl asn1parse shows.", Final})
	}
	return out
}
