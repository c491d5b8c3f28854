package keystore

import (
	"strings"
	"testing"

	"chancery/internal/ra"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"file:///etc/chancery/issuing.key":                                                                         "",
		"pkcs11:object=issuing;token=CA?module-path=/usr/lib/x.so":                                                 "",
		"PKCS11:object=issuing;token=My%20CA;id=%0a%10?pin-source=file:/etc/pin&module-path=/usr/lib/x.so":         "pkcs11:id=%0A%10;object=issuing;token=My%20CA?module-path=/usr/lib/x.so&pin-source=file:/etc/pin",
		"awskms:key-id=1234abcd-12ab-34cd-56ef-1234567890ab;region=eu-north-1":                                     "",
		"awskms:name=issuing;region=eu-north-1":                                                                    "",
		"cloudkms:projects/p/locations/global/keyRings/r/cryptoKeys/k":                                             "",
		"cloudkms:projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1?credentials-file=/etc/g.json": "cloudkms:projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1;credentials-file=/etc/g.json",
		"azurekms:name=issuing;vault=corp?hsm=true":                                                                "azurekms:hsm=true;name=issuing;vault=corp",
	} {
		if want == "" {
			want = text
		}
		a, err := Parse(text)
		if err != nil || a.String() != want {
			t.Errorf("Parse(%q) = %q, %v; want %q", text, a, err, want)
		}
		if again, err := Parse(a.String()); err != nil || again.String() != a.String() {
			t.Errorf("%q is not read back: %v", a, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	const token = "pkcs11:token=CA;object=k?module-path=/l.so"
	for name, text := range map[string]string{
		"empty": "", "no scheme": "/etc/key", "unknown scheme": "yubikey:slot=9c", "relative file": "file:key.pem", "host": "file://host/key.pem",
		"no token": "pkcs11:object=k?module-path=/l.so", "no key": "pkcs11:token=CA?module-path=/l.so", "no library": "pkcs11:token=CA;object=k",
		"relative library": "pkcs11:token=CA;object=k?module-path=l.so", "twice": token + "&token=B", "bad escape": "pkcs11:token=%zz;object=k?module-path=/l.so",
		"empty value": "pkcs11:token=;object=k?module-path=/l.so", "unknown attribute": token + "&colour=red", "public key": "pkcs11:token=CA;object=k;type=public?module-path=/l.so",
		"PIN command": token + "&pin-source=%7Ccat", "control character": token + "\n", "long": token + strings.Repeat("x", maxAddress),
		"aws without key": "awskms:region=eu-north-1", "aws alias": "awskms:key-id=alias/Mine", "gcp": "cloudkms:projects/p", "gcp gap": "cloudkms:projects//locations/l/keyRings/r/cryptoKeys/k",
		"azure": "azurekms:name=k",
	} {
		_, err := Parse(text)
		if e := ra.AsError(err); err == nil || e.Kind != ra.Invalid || e.Remedy == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNoSecretInAddress: an address is shown to people, so no secret may be in
// it, and the refusal does not repeat the one that was.
func TestNoSecretInAddress(t *testing.T) {
	for _, text := range []string{
		"pkcs11:token=CA;object=k?module-path=/l.so&pin-value=hush-4711",
		"pkcs11:token=CA;pin-value=hush-4711;object=k?module-path=/l.so",
		"azurekms:vault=v;name=k;client-secret=hush-4711",
		"awskms:key-id=1;secret=hush-4711",
		"pkcs11:token=CA;object=k?module-path=/l.so&pin-prompt=hush-4711",
	} {
		_, err := Parse(text)
		if ra.KindOf(err) != ra.Invalid || ra.AsError(err).Remedy == "" || strings.Contains(err.Error()+ra.AsError(err).Remedy, "hush-4711") {
			t.Errorf("%v", err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("pkcs11:token=CA;object=k;id=%0a?module-path=/l.so&pin-source=/p")
	f.Add("awskms:key-id=1;region=x")
	f.Add("cloudkms:projects/p/locations/l/keyRings/r/cryptoKeys/k;credentials-file=/x")
	f.Add("azurekms:vault=v;name=n?version=1")
	f.Add("file:///a%20b")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := Parse(text)
		if err != nil {
			if e := ra.AsError(err); e.Kind != ra.Invalid || e.Remedy == "" {
				t.Fatalf("%+v", e)
			}
			return
		}
		again, err := Parse(a.String())
		if err != nil && len(a.String()) <= maxAddress || err == nil && (again.String() != a.String() || again.library() != a.library()) {
			t.Fatalf("%q is written %q, which is read as %q: %v", text, a, again, err)
		}
	})
}
