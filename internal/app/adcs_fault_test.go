package app

import (
	"fmt"
	"strings"
	"testing"

	"chancery/internal/api/resource"
	played "chancery/internal/doubles/adcs"
	"chancery/internal/ra"
)

// adcsRefusals are codes with which the CA, or its host, refuses, the symbol that
// administrators search for, and a word of what they have to do. final are those that end
// the request.
var adcsRefusals = []struct {
	at     played.Op
	act    played.Act
	code   string
	remedy string
	final  bool
}{
	{played.Request, played.Refusal(0x80094001), "0x80094001 CERTSRV_E_BAD_REQUESTSUBJECT", "common name", true},
	{played.Request, played.Refusal(0x80094005), "0x80094005 CERTSRV_E_INVALID_CA_CERTIFICATE", "CA certificate", true},
	{played.Request, played.Refusal(0x80094009), "0x80094009 CERTSRV_E_RESTRICTEDOFFICER", "Enrollment Agents", true},
	{played.Request, played.Refusal(0x8009400b), "0x8009400B CERTSRV_E_NO_VALID_KRA", "without key archival", true},
	{played.Request, played.Refusal(0x8009400f), "0x8009400F CERTSRV_E_NO_DB_SESSIONS", "DBSessionCount", false},
	{played.Request, played.Refusal(0x80094011), "0x80094011 CERTSRV_E_ENROLL_DENIED", "Request Certificates", true},
	{played.Request, played.Refusal(0x80094012), "0x80094012 CERTSRV_E_TEMPLATE_DENIED", "Read and Enroll", true},
	{played.Request, played.Refusal(0x80094015), "0x80094015 CERTSRV_E_NO_POLICY_SERVER", "policy module", false},
	{played.Request, played.Refusal(0x80094800), "0x80094800 CERTSRV_E_UNSUPPORTED_CERT_TYPE", "Publish the template", true},
	{played.Request, played.Refusal(0x80094801), "0x80094801 CERTSRV_E_NO_CERT_TYPE", "Name the CA's template", true},
	{played.Request, played.Refusal(0x80094802), "0x80094802 CERTSRV_E_TEMPLATE_CONFLICT", "without a template extension", true},
	{played.Request, played.Refusal(0x80094804), "0x80094804 CERTSRV_E_ARCHIVED_KEY_REQUIRED", "does not archive", true},
	{played.Request, played.Refusal(0x80094806), "0x80094806 CERTSRV_E_BAD_RENEWAL_SUBJECT", "authorized signature", true},
	{played.Request, played.Refusal(0x80094807), "0x80094807 CERTSRV_E_BAD_TEMPLATE_VERSION", "replicated", false},
	{played.Request, played.Refusal(0x80094809), "0x80094809 CERTSRV_E_SIGNATURE_POLICY_REQUIRED", "enrollment agent", true},
	{played.Request, played.Refusal(0x8009480a), "0x8009480A CERTSRV_E_SIGNATURE_COUNT", "authorized signatures", true},
	{played.Request, played.Refusal(0x8009480b), "0x8009480B CERTSRV_E_SIGNATURE_REJECTED", "Certificate Request Agent", true},
	{played.Request, played.Refusal(0x8009480d), "0x8009480D CERTSRV_E_SUBJECT_UPN_REQUIRED", "userPrincipalName", true},
	{played.Request, played.Refusal(0x8009480f), "0x8009480F CERTSRV_E_SUBJECT_DNS_REQUIRED", "dNSHostName", true},
	{played.Request, played.Refusal(0x80094811), "0x80094811 CERTSRV_E_KEY_LENGTH", "larger key", true},
	{played.Request, played.Refusal(0x80094812), "0x80094812 CERTSRV_E_SUBJECT_EMAIL_REQUIRED", "mail attribute", true},
	{played.Request, played.Refusal(0x8009481a), "0x8009481A CERTSRV_E_KEY_ATTESTATION", "Key Attestation", true},
	{played.Request, played.Refusal(0x80094821), "0x80094821 CERTSRV_E_SEC_EXT_DIRECTORY_SID_REQUIRED", "own forest", true},
	{played.Request, played.Refusal(0x80092013), "0x80092013 CRYPT_E_REVOCATION_OFFLINE", "certutil -crl", false},
	{played.Request, played.Refusal(0x800b0101), "0x800B0101 CERT_E_EXPIRED", "compare the clocks", true},
	{played.Request, played.Refusal(0x800b0109), "0x800B0109 CERT_E_UNTRUSTEDROOT", "trusted roots", true},
	{played.Request, played.Refusal(0x80090006), "0x80090006 NTE_BAD_SIGNATURE", "make its request anew", true},
	{played.Request, played.Refusal(0x80093103), "0x80093103 CRYPT_E_ASN1_CORRUPT", "PKCS#10", true},
	{played.Request, played.Refusal(0x8007202b), "0x8007202B", "EDITF_ENABLELDAPREFERRALS", true},
	{played.Request, played.Refusal(0x80070525), "0x80070525", "DOMAIN\\account", true},
	{played.Request, played.Refusal(0x80070005), "0x80070005 E_ACCESSDENIED", "Certificate Service DCOM Access", true},
	{played.Request, played.Result(0x80070057), "0x80070057 E_INVALIDARG", "authority name", true},
	{played.Request, played.RPCFault(0x1c01000b), "0x1C01000B", "password of the service account", true},
	{played.Activate, played.Result(0x80040154), "0x80040154 REGDB_E_CLASSNOTREG", "certification authority", false},
	{played.Activate, played.Result(0x80080005), "0x80080005", "Start certsvc", false},
	{played.Passage, played.Refusal(0x800706ba), "0x800706BA", "firewall", false},
	{played.Map, played.Result(0x16c9a0d6), "0x800706D9", "Start the service certsvc", false},
}

// TestADCSFaults: each way in which a CA refuses has a message and a remedy of its
// own, as whoever asked sees them, and no two are the same.
func TestADCSFaults(t *testing.T) {
	c := startCorp(t, played.Config{})
	byDCOM := c.template(c.authority("by DCOM", map[string]any{"protocols": []string{"dcom"}}), "WebServer")
	byRPC := c.template(c.authority("by RPC", map[string]any{"protocols": []string{"rpc"}, "authority_name": c.ca.Name()}), "WebServer")
	seen := map[string]string{}
	for _, f := range adcsRefusals {
		t.Run(strings.ReplaceAll(f.code, " ", "_"), func(t *testing.T) {
			there := c.at(t)
			template := byDCOM
			if f.at == played.Passage || f.at == played.Map {
				template = byRPC
			}
			there.ca.SetFault(played.Fault{At: f.at, Act: f.act})
			defer there.ca.Heal()
			r := there.order(template, "ada")
			said := r.LastError
			if f.final {
				said = r.Reason
			}
			want := ra.Failed
			if !f.final {
				want = ra.Submitted
			}
			if r.State != string(want) || r.CertificateID != "" {
				t.Errorf("the request is %s", r.State)
			}
			message, remedy, ok := strings.Cut(said, "("+f.code)
			if !ok || len(message) < 20 || len(remedy) < 30 || !strings.Contains(remedy, f.remedy) {
				t.Errorf("want a sentence, %s and a remedy with %q: %s", f.code, f.remedy, said)
			}
			for _, part := range []string{message, remedy} {
				if other := seen[part]; other != "" {
					t.Errorf("the same as for %s: %s", other, part)
				}
				seen[part] = f.code
			}
			if line := there.tells(r); !strings.Contains(line.Message, said) {
				t.Errorf("the trace says %q, the request %q", line.Message, said)
			}
			if said := there.chancery("trace", "show", r.ID); !strings.Contains(said, f.code) || !strings.Contains(said, f.remedy) {
				t.Errorf("the command line does not say it:\n%s", said)
			}
		})
	}
	if n := len(seen) / 2; n < 25 {
		t.Error(fmt.Sprint(n, " refusals are not enough"))
	}
	c.untouched(byDCOM, byRPC)
}

// untouched wants nothing to have been issued by templates.
func (c *corp) untouched(templates ...resource.Template) {
	c.t.Helper()
	for _, x := range templates {
		list, err := c.office.Certificates(c.t.Context(), resource.CertificateQuery{CertificateFilter: resource.CertificateFilter{Template: x.ID}})
		if err != nil || len(list.Items) > 0 {
			c.t.Errorf("%d certificates of %s, %v", len(list.Items), x.Name, err)
		}
	}
}
