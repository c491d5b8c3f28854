package enroll

import (
	"crypto/x509"
	"slices"
	"strings"
	"testing"

	"chancery/internal/ca"
	"chancery/internal/lookup"
	"chancery/internal/ra"
	"chancery/internal/wire/pkixmsg"
)

const sid = "S-1-5-21-1004336348-1177238915-682003330-1104"

// ada is whom templates are filled for here.
func ada() lookup.Subject {
	return lookup.Subject{
		User: &ra.User{ID: "usr_1", Name: "ada", Email: "ada@example.org", UPN: "ada@corp.example.org", SID: sid, FirstName: "Ada", LastName: "Lind",
			DN: "CN=Ada Lind,OU=Engines,DC=corp,DC=example", Attributes: map[string]string{}},
		Device: &ra.Device{ID: "dev_1", Name: "ada-iphone", Platform: ra.IOS, PlatformID: "UDID-1", SerialNumber: "F2LX",
			Attributes: map[string]string{"ip": "2001:DB8::7", "host": "pad.example.org"}},
		Group:    &ra.Group{ID: "og_1", Name: "Berlin"},
		Settings: ra.GroupSettings{Organization: "Example, Inc.", Country: "DE", Realm: "CORP.EXAMPLE.ORG"},
	}
}

func template(spec ra.TemplateSpec) *ra.Template {
	t := &ra.Template{ID: "tpl_1", Name: "Wi-Fi", Spec: spec}
	normalize(&t.Spec)
	return t
}

func TestFillEveryField(t *testing.T) {
	f, err := fill(template(ra.TemplateSpec{
		Subject: "CN={FirstName} {LastName} ({EnrollmentUser})+serialNumber={DeviceSerialNumber},OU={OrganizationGroup},O={Organization},C={Country}",
		SANs: []ra.SANSpec{
			{Type: "email", Value: "{EmailAddress}"},
			{Type: "upn", Value: "{EnrollmentUser}@{Realm}"},
			{Type: "dns", Value: "{DeviceAttribute.host}"},
			{Type: "uri", Value: "urn:device:{DeviceSerialNumber}:{DeviceUid}"},
			{Type: "ip", Value: "{DeviceAttribute.ip}"},
			{Type: "dirname", Value: "CN={FirstName} {LastName},O={Organization}"},
		},
		SID: true, SIDInURI: true, KeyType: "p-256", KeyPlace: ra.KeyHere, Usage: "signing", EKUs: []string{"clientAuth", "1.3.6.1.4.1.311.20.2.2"},
		Validity: 90, Fields: map[string]string{"mail": "{EmailAddress}", "unit": "devices of {OrganizationGroup}"},
		Options: map[string]any{ca.RequesterOption: `CORP\{EnrollmentUser}`},
	}), ada())
	if err != nil {
		t.Fatal(err)
	}
	if want := `CN=Ada Lind (ada)+serialNumber=F2LX,OU=Berlin,O=Example\, Inc.,C=DE`; f.Subject != want {
		t.Errorf("subject %s; want %s", f.Subject, want)
	}
	want := []string{"email:ada@example.org", "upn:ada@CORP.EXAMPLE.ORG", "dns:pad.example.org", "uri:urn:device:F2LX:UDID-1", "ip:2001:db8::7",
		`dirname:CN=Ada Lind,O=Example\, Inc.`, "uri:tag:microsoft.com,2022-09-14:sid:" + sid}
	if got := sanTexts(f.SANs); !slices.Equal(got, want) {
		t.Errorf("alternative names\n%q; want\n%q", got, want)
	}
	if f.SID != sid || f.Fields["mail"] != "ada@example.org" || f.Fields["unit"] != "devices of Berlin" || f.Holder != "tpl_1.dev_1" {
		t.Errorf("SID %q, fields %q, holder %q", f.SID, f.Fields, f.Holder)
	}
	for name, value := range map[string]string{"EnrollmentUser": "ada", "Organization": "Example, Inc.", "DeviceAttribute.ip": "2001:DB8::7", "SecurityIdentifier": sid} {
		if f.Values[name] != value {
			t.Errorf("value of %s kept as %q; want %q", name, f.Values[name], value)
		}
	}
	order, err := f.Order("req_1", template(ra.TemplateSpec{IssuingTemplate: "Corp-WiFi"}))
	if err != nil {
		t.Fatal(err)
	}
	if order.RequestedBy != `CORP\ada` {
		t.Errorf("asked for on behalf of %q", order.RequestedBy)
	}
	if order.ID != "req_1" || order.Subject.String() != f.Subject || order.KeyUsage != x509.KeyUsageDigitalSignature || order.Template != "Corp-WiFi" ||
		!slices.Equal(order.EKUs, []string{"1.3.6.1.5.5.7.3.2", "1.3.6.1.4.1.311.20.2.2"}) || order.Validity.Hours() != 90*24 || order.SID != sid || len(order.SANs) != 7 {
		t.Errorf("order %+v", order)
	}
}

// TestFillHostileValues: whatever a device reports of itself stays inside the
// one attribute or name it was put into.
func TestFillHostileValues(t *testing.T) {
	spec := ra.TemplateSpec{Subject: "CN={DeviceReportedName},OU=Devices,O=Example", SANs: []ra.SANSpec{{Type: "dirname", Value: "CN={DeviceReportedName},O=Example"}, {Type: "uri", Value: "urn:x:{DeviceReportedName}"}}}
	for _, value := range []string{
		"x,O=Evil", "x+OU=Admins", "CN=root", `x\,CN=y`, `x\`, `"quoted"`, "#0c0165", "#", "a<b>c;d", " leading", "trailing ", "  ", "x\\2cO=Evil", "{SecurityIdentifier}", "{", "}",
		"ü ñ 漢", "/CN=evil/O=x", "x, OU=y", "x;OU=y", "x=y", `\`, `\\`, "a\u00a0b", "x\u202ey",
	} {
		s := ada()
		s.Device.Attributes["reported_name"] = value
		f, err := fill(template(spec), s)
		if strings.TrimSpace(value) == "" {
			if ra.KindOf(err) != ra.Invalid {
				t.Errorf("%q: blank value gave %v", value, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", value, err)
			continue
		}
		name, err := pkixmsg.ParseDN(f.Subject)
		if err != nil || len(name) != 3 || len(name[0]) != 1 || name[0][0].Value != value || name[1][0].Value != "Devices" || name[2][0].Value != "Example" {
			t.Errorf("%q became the subject %s (%v)", value, f.Subject, err)
			continue
		}
		der, err := name.DER()
		if err != nil {
			t.Errorf("%q: %v", value, err)
			continue
		}
		back, err := pkixmsg.ParseNameDER(der)
		if err != nil || len(back) != 3 || !slices.Equal(back.Values(pkixmsg.OIDCommonName), []string{value}) {
			t.Errorf("%q came back from DER as %v (%v)", value, back, err)
		}
		if dir, err := pkixmsg.ParseDN(f.SANs[0].Value); err != nil || len(dir) != 2 || dir[0][0].Value != value {
			t.Errorf("%q became the directory name %s (%v)", value, f.SANs[0].Value, err)
		}
		if rest := strings.TrimPrefix(f.SANs[1].Value, "urn:x:"); strings.ContainsAny(rest, " ,;<>\"\\{}:/?#[]@") {
			t.Errorf("%q became the URI %s", value, f.SANs[1].Value)
		}
	}
}

// TestFillRefusesWhatNoNameHolds: control characters and bytes that are no text
// are an error about the field, the device and the template, not a certificate.
func TestFillRefusesWhatNoNameHolds(t *testing.T) {
	for name, value := range map[string]string{"nul": "a\x00b", "newline": "a\nO=Evil", "tab": "a\tb", "not UTF-8": "a\xffb", "too long": strings.Repeat("x", 65)} {
		t.Run(name, func(t *testing.T) {
			s := ada()
			s.Device.Attributes["reported_name"] = value
			f, err := fill(template(ra.TemplateSpec{Subject: "CN={DeviceReportedName},O=Example"}), s)
			if err == nil {
				t.Fatalf("filled as %q", f.Subject)
			}
			e := ra.AsError(err)
			if e.Kind != ra.Invalid || e.Field != "subject" || e.Remedy == "" || !strings.Contains(e.Message, "ada-iphone") || !strings.Contains(e.Message, "Wi-Fi") {
				t.Errorf("error %+v", e)
			}
			if strings.Contains(e.Message, value) {
				t.Errorf("the message shows what arrived: %q", e.Message)
			}
		})
	}
}

func TestFillErrors(t *testing.T) {
	for name, c := range map[string]struct {
		spec  ra.TemplateSpec
		field string
		want  []string
	}{
		"empty value":          {ra.TemplateSpec{Subject: "CN={MiddleName}"}, "subject", []string{"{MiddleName}", "ada-iphone", "Wi-Fi"}},
		"unknown value":        {ra.TemplateSpec{Subject: "CN={Nickname}"}, "subject", []string{"{Nickname}", "ada-iphone", "Wi-Fi"}},
		"empty value in a SAN": {ra.TemplateSpec{Subject: "CN=x", SANs: []ra.SANSpec{{Type: "dns", Value: "a.example"}, {Type: "email", Value: "{UserAttribute.mail}"}}}, "sans[1]", []string{"{UserAttribute.mail}", "ada-iphone"}},
		"not a mail address":   {ra.TemplateSpec{Subject: "CN=x", SANs: []ra.SANSpec{{Type: "email", Value: "{EnrollmentUser}"}}}, "sans[0]", []string{"ada-iphone", "Wi-Fi"}},
		"not a host name":      {ra.TemplateSpec{Subject: "CN=x", SANs: []ra.SANSpec{{Type: "dns", Value: "{DeviceFriendlyName} x"}}}, "sans[0]", []string{"ada-iphone"}},
		"not an address":       {ra.TemplateSpec{Subject: "CN=x", SANs: []ra.SANSpec{{Type: "ip", Value: "{DeviceSerialNumber}"}}}, "sans[0]", []string{"ada-iphone"}},
		"empty field":          {ra.TemplateSpec{Subject: "CN=x", Fields: map[string]string{"cost": "{UserAttribute.cost}"}}, "fields.cost", []string{"{UserAttribute.cost}"}},
		"country of four":      {ra.TemplateSpec{Subject: "CN=x,C={DeviceSerialNumber}"}, "subject", []string{"ada-iphone"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := fill(template(c.spec), ada())
			e := ra.AsError(err)
			if err == nil || e.Kind != ra.Invalid || e.Field != c.field || e.Remedy == "" {
				t.Fatalf("error %+v; want one about %s with a remedy", e, c.field)
			}
			for _, w := range c.want {
				if !strings.Contains(e.Message, w) {
					t.Errorf("message %q lacks %q", e.Message, w)
				}
			}
		})
	}
	t.Run("all at once", func(t *testing.T) {
		_, err := fill(template(ra.TemplateSpec{Subject: "CN={MiddleName}", SANs: []ra.SANSpec{{Type: "email", Value: "{UserAttribute.a}"}}, Fields: map[string]string{"b": "{UserAttribute.b}", "a": "{UserAttribute.c}"}}), ada())
		var fields []string
		for _, d := range ra.AsError(err).Details {
			fields = append(fields, d.Field)
		}
		if !slices.Equal(fields, []string{"subject", "sans[0]", "fields.a", "fields.b"}) {
			t.Errorf("fields %q", fields)
		}
	})
	t.Run("no user", func(t *testing.T) {
		s := ada()
		s.User = nil
		_, err := fill(template(ra.TemplateSpec{Subject: "CN={EnrollmentUser}"}), s)
		if e := ra.AsError(err); err == nil || !strings.Contains(e.Remedy, "Assign a user") {
			t.Errorf("error %+v", e)
		}
	})
	t.Run("names nobody", func(t *testing.T) {
		s := ada()
		s.User.UPN = ""
		_, err := fill(template(ra.TemplateSpec{SANs: []ra.SANSpec{{Type: "upn", Value: "{UserPrincipalName}", Optional: true}}}), s)
		if e := ra.AsError(err); e.Kind != ra.Invalid || e.Field != "subject" {
			t.Errorf("error %+v", e)
		}
	})
	t.Run("security identifier", func(t *testing.T) {
		for value, want := range map[string]string{"": "is empty", "S-1-5-x": "not in its form"} {
			s := ada()
			s.User.SID = value
			_, err := fill(template(ra.TemplateSpec{Subject: "CN=x", SID: true}), s)
			if e := ra.AsError(err); e.Kind != ra.Invalid || e.Field != "sid" || !strings.Contains(e.Message, want) || !strings.Contains(e.Message, "ada-iphone") {
				t.Errorf("SID %q: error %+v", value, e)
			}
		}
	})
}

func TestFillOptionalName(t *testing.T) {
	spec := ra.TemplateSpec{Subject: "CN=x", SANs: []ra.SANSpec{{Type: "email", Value: "{UserAttribute.mail}", Optional: true}, {Type: "dns", Value: "a.example"}}}
	f, err := fill(template(spec), ada())
	if err != nil {
		t.Fatal(err)
	}
	if got := sanTexts(f.SANs); !slices.Equal(got, []string{"dns:a.example"}) {
		t.Errorf("alternative names %q", got)
	}
	if len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "{UserAttribute.mail}") {
		t.Errorf("warnings %q", f.Warnings)
	}
	spec.SANs[0].Value = "{NoSuchValue}"
	if _, err := fill(template(spec), ada()); ra.KindOf(err) != ra.Invalid {
		t.Errorf("an unknown value in an optional name: %v", err)
	}
	s := ada()
	s.User.Attributes["mail"] = "not an address"
	spec.SANs[0].Value = "{UserAttribute.mail}"
	if _, err := fill(template(spec), s); ra.KindOf(err) != ra.Invalid {
		t.Errorf("an optional name that is there and wrong: %v", err)
	}
}

func TestRenewalMarker(t *testing.T) {
	for marker, oid := range map[string]string{"cn": pkixmsg.OIDCommonName, "ou": "2.5.4.11"} {
		tpl := template(ra.TemplateSpec{Subject: "CN={DeviceUid},O=Example", RenewalMarker: marker})
		f, err := fill(tpl, ada())
		if err != nil {
			t.Fatal(err)
		}
		name, err := pkixmsg.ParseDN(f.Subject)
		if err != nil {
			t.Fatal(err)
		}
		values := name.Values(oid)
		text := values[len(values)-1]
		if !strings.HasPrefix(text, "sceprenew-") || len(text) != len("sceprenew-")+36 || len(text) > 64 {
			t.Errorf("marker %q", text)
		}
		if _, err := name.DER(); err != nil {
			t.Error(err)
		}
		again, err := fill(tpl, ada())
		if err != nil || again.Subject != f.Subject {
			t.Errorf("the next certificate has another marker: %s, %v", again.Subject, err)
		}
		s := ada()
		s.Device.ID = "dev_2"
		if other, err := fill(tpl, s); err != nil || other.Subject == f.Subject {
			t.Errorf("another device has the same marker: %s, %v", other.Subject, err)
		}
		if imagined, err := fill(tpl, lookup.Subject{Fixture: map[string]string{"DeviceUid": "U"}}); err != nil || imagined.Subject != "CN=U,O=Example" {
			t.Errorf("an imagined device: %v, %v", imagined, err)
		}
	}
}

func TestWindowsNeedsAPurpose(t *testing.T) {
	s := ada()
	s.Device.Platform = ra.Windows
	f, err := fill(template(ra.TemplateSpec{Subject: "CN=x"}), s)
	if err != nil || len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "Windows") {
		t.Errorf("warnings %v, %v", f.Warnings, err)
	}
	f, err = fill(template(ra.TemplateSpec{Subject: "CN=x", EKUs: []string{"clientAuth"}}), s)
	if err != nil || len(f.Warnings) != 0 {
		t.Errorf("warnings %v, %v", f.Warnings, err)
	}
}

func TestKeyUsage(t *testing.T) {
	const sign, encipher, agree = x509.KeyUsageDigitalSignature, x509.KeyUsageKeyEncipherment, x509.KeyUsageKeyAgreement
	for _, c := range []struct {
		usage, key string
		want       x509.KeyUsage
	}{
		{"both", "rsa-2048", sign | encipher}, {"signing", "rsa-4096", sign}, {"encryption", "rsa-2048", encipher},
		{"both", "p-256", sign | agree}, {"signing", "p-384", sign}, {"encryption", "p-521", agree},
		{"both", "ed25519", sign}, {"signing", "ed25519", sign},
	} {
		if got := keyUsage(c.usage, c.key); got != c.want {
			t.Errorf("%s with %s: %b, want %b", c.usage, c.key, got, c.want)
		}
	}
}

func FuzzFill(f *testing.F) {
	f.Add("x,O=Evil")
	f.Add(" \x00\n")
	f.Add("{DeviceUid}")
	f.Fuzz(func(t *testing.T, value string) {
		s := ada()
		s.Device.Attributes["reported_name"] = value
		filled, err := fill(template(ra.TemplateSpec{Subject: "CN={DeviceReportedName},O=Example", SANs: []ra.SANSpec{{Type: "uri", Value: "urn:x:{DeviceReportedName}"}}}), s)
		if err != nil {
			return
		}
		name, err := pkixmsg.ParseDN(filled.Subject)
		if err != nil || len(name) != 2 || name[0][0].Value != value || name[1][0].Value != "Example" {
			t.Errorf("%q became %s (%v)", value, filled.Subject, err)
		}
	})
}
