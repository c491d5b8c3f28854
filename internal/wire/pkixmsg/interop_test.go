package pkixmsg

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOpenSSLReadsOurRequests has OpenSSL verify requests of every key type and
// print what they hold.
func TestOpenSSLReadsOurRequests(t *testing.T) {
	for _, kind := range []KeyType{RSA2048, P256, P384, P521, Ed25519} {
		t.Run(string(kind), func(t *testing.T) {
			signer, err := GenerateKey(kind)
			if err != nil {
				t.Fatal(err)
			}
			der, err := BuildCSR(richRequest(t, signer))
			if err != nil {
				t.Fatal(err)
			}
			text := openssl(t, der, "req", "-inform", "DER", "-verify", "-text", "-noout", "-nameopt", "RFC2253,utf8,-esc_msb")
			for _, want := range []string{
				"verify OK", "challengePassword", "letmein_42", "email:ada@example.com", "DNS:*.example.com",
				"IP Address:2001:DB8:0:0:0:0:0:7", "URI:tag:microsoft.com,2022-09-14:sid:S-1-5-21-1-2-3-500", "Registered ID:1.2.3.4",
				"DirName:", "UPN::zoë@corp.example", "Digital Signature", "TLS Web Client Authentication, Microsoft Smartcard Login", "1.3.6.1.4.1.311.25.2",
			} {
				if !strings.Contains(text, want) {
					t.Errorf("OpenSSL does not show %q in:\n%s", want, text)
				}
			}
			subject := strings.TrimSpace(openssl(t, der, "req", "-inform", "DER", "-subject", "-noout", "-nameopt", "RFC2253"))
			if want := "subject=" + richRequest(t, signer).Name.String(); subject != want {
				t.Errorf("subject = %s, want %s", subject, want)
			}
		})
	}
}

// TestOpenSSLDumpsOurExtensions compares the element lines of openssl asn1parse
// for the names and extensions OpenSSL has no words for.
func TestOpenSSLDumpsOurExtensions(t *testing.T) {
	san, err := SubjectAltName(nil, []GeneralName{{UPN, "ada@corp.example"}, {GUID, "12345678-9abc-def0-1234-56789abcdef0"}})
	if err != nil {
		t.Fatal(err)
	}
	sid, err := SIDExtension(testSID)
	if err != nil {
		t.Fatal(err)
	}
	sanText := openssl(t, san.Value, "asn1parse", "-inform", "DER")
	for _, want := range []string{"cont [ 0 ]", "Microsoft User Principal Name", "UTF8STRING        :ada@corp.example",
		":1.3.6.1.4.1.311.25.1", "[HEX DUMP]:78563412BC9AF0DE123456789ABCDEF0"} {
		if !strings.Contains(sanText, want) {
			t.Errorf("OpenSSL does not show %q in:\n%s", want, sanText)
		}
	}
	sidText := openssl(t, sid.Value, "asn1parse", "-inform", "DER")
	for _, want := range []string{"cont [ 0 ]", ":1.3.6.1.4.1.311.25.2.1", "OCTET STRING      :" + testSID} {
		if !strings.Contains(sidText, want) {
			t.Errorf("OpenSSL does not show %q in:\n%s", want, sidText)
		}
	}
}

// TestTreeAgreesWithOpenSSL compares every offset, header and length of a tree
// with openssl asn1parse, which does not look into strings.
func TestTreeAgreesWithOpenSSL(t *testing.T) {
	for _, file := range []string{"rsa-sha256.csr", "ca.crt"} {
		der := testdata(t, file)
		root, err := Tree(der)
		if err != nil {
			t.Fatal(err)
		}
		var want strings.Builder
		for line := range strings.Lines(openssl(t, der, "asn1parse", "-inform", "DER")) {
			var offset, depth, header, length int
			if _, err := fmt.Sscanf(line, "%d:d=%d hl=%d l=%d", &offset, &depth, &header, &length); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			fmt.Fprintln(&want, offset, depth, header, length)
		}
		var got strings.Builder
		var walk func(*Node)
		walk = func(n *Node) {
			fmt.Fprintln(&got, n.Offset, n.depth, n.HeaderLen, n.Length)
			for _, child := range n.Children {
				if n.constructed() {
					walk(child)
				}
			}
		}
		walk(root)
		if got.String() != want.String() {
			t.Errorf("%s: got\n%swant\n%s", file, got.String(), want.String())
		}
	}
}

// TestParseFreshOpenSSLRequests reads requests the installed OpenSSL makes now.
func TestParseFreshOpenSSLRequests(t *testing.T) {
	dir := t.TempDir()
	for name, options := range map[string][]string{
		"SHA256-RSA":    {"-newkey", "rsa:2048", "-sha256"},
		"SHA512-RSAPSS": {"-newkey", "rsa:2048", "-sha512", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"},
		"ECDSA-SHA384":  {"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-sha384"},
		"ECDSA-SHA1":    {"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-sha1"},
		"Ed25519":       {"-newkey", "ed25519"},
	} {
		out := filepath.Join(dir, name)
		openssl(t, nil, append([]string{"req", "-new", "-nodes", "-keyout", out + ".key", "-out", out, "-outform", "DER",
			"-subj", "/C=GB/O=Example/CN=" + name, "-addext", "subjectAltName=DNS:a.example,otherName:1.3.6.1.4.1.311.20.2.3;UTF8:ada@corp"}, options...)...)
		der, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		c, err := ParseCSR(der)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := c.CheckSignature(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if c.SignatureAlgorithm != name || c.WeakSignature != strings.Contains(name, "SHA1") || len(c.SANs) != 2 || c.SANs[1] != (GeneralName{UPN, "ada@corp"}) {
			t.Errorf("%s: algorithm %s, weak %v, SANs %v", name, c.SignatureAlgorithm, c.WeakSignature, c.SANs)
		}
	}
}
