package lookup

import (
	"errors"
	"strings"
	"testing"

	"chancery/internal/ra"
)

func subject() Subject {
	return Subject{
		User: &ra.User{Name: "ada", Email: "ada@example.org", UPN: "ada@corp.example.org", SID: "S-1-5-21-1-2-3-1001",
			Attributes: map[string]string{"department": "Engines", "badge": "77"}},
		Device:   &ra.Device{Name: "Ada's phone", PlatformID: "UDID-0001", SerialNumber: "C02X", Platform: ra.IOS, Attributes: map[string]string{"imei": "35"}},
		Group:    &ra.Group{ID: "og_1", Name: "Berlin"},
		Settings: ra.GroupSettings{Organization: "Example AG", EmailDomain: "fallback.example"},
		Template: "Wi-Fi",
	}
}

func TestExpand(t *testing.T) {
	for in, want := range map[string]string{
		"":                               "",
		"plain":                          "plain",
		"{EnrollmentUser}":               "ada",
		"{EnrollmentUser}@{EmailDomain}": "ada@example.org",
		"x{DeviceUidLastFour}y{DeviceSerialNumberLastFour}": "x0001yC02X",
		"{DevicePlatform}": "Apple iOS",
		"{Department}/{UserAttribute.badge}/{DeviceAttribute.imei}": "Engines/77/35",
		"{OrganizationGroup} of {Organization}":                     "Berlin of Example AG",
	} {
		used := map[string]string{}
		got, err := subject().Expand(in, Plain, used)
		if err != nil || got != want {
			t.Errorf("Expand(%q) = %q, %v; want %q", in, got, err, want)
		}
		names, err := Names(in)
		if err != nil || len(names) != len(used) {
			t.Errorf("Names(%q) = %v, %v; used %v", in, names, err, used)
		}
	}
}

func TestExpandEveryListedValueIsReachable(t *testing.T) {
	for _, v := range Values {
		fixture := Subject{Fixture: map[string]string{v.Name: "v"}}
		if got, err := fixture.Expand("{"+v.Name+"}", Plain, nil); err != nil || got != "v" {
			t.Errorf("%s: %q, %v", v.Name, got, err)
		}
		bare := Subject{User: &ra.User{}, Device: &ra.Device{}, Group: &ra.Group{}}
		if _, err := bare.Expand("{"+v.Name+"}", Plain, nil); err == nil {
			t.Errorf("%s: empty nouns gave no error", v.Name)
		}
		if _, err := (Subject{}).Expand("{"+v.Name+"}", Plain, nil); err == nil {
			t.Errorf("%s: missing nouns gave no error", v.Name)
		}
	}
}

func TestExpandErrorsNameValueDeviceAndTemplate(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"empty":     {"CN={FirstName}", []string{"{FirstName}", "Ada's phone", "Wi-Fi", "empty"}},
		"unknown":   {"{Nope}", []string{"{Nope}", "Ada's phone", "Wi-Fi", "not a lookup value"}},
		"case":      {"{enrollmentuser}", []string{"{enrollmentuser}"}},
		"open":      {"{EnrollmentUser", []string{"brace"}},
		"close":     {"a}b", []string{"brace"}},
		"nested":    {"{{EnrollmentUser}}", []string{"not a lookup value"}},
		"too long":  {strings.Repeat("x", maxText+1), []string{"longer"}},
		"attribute": {"{UserAttribute.}", []string{"not a lookup value"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := subject().Expand(c.text, Plain, nil)
			if ra.KindOf(err) != ra.Invalid {
				t.Fatalf("kind %q, want invalid: %v", ra.KindOf(err), err)
			}
			e := ra.AsError(err)
			if e.Remedy == "" {
				t.Error("no remedy")
			}
			for _, w := range c.want {
				if !strings.Contains(e.Message, w) {
					t.Errorf("message %q does not contain %q", e.Message, w)
				}
			}
		})
	}
	_, err := subject().Expand("{FirstName}", Plain, nil)
	var empty *EmptyError
	if !errors.As(err, &empty) || empty.Name != "FirstName" {
		t.Errorf("an empty value is not an EmptyError: %v", err)
	}
}

func TestInsertedTextIsNotExpandedAgain(t *testing.T) {
	s := subject()
	s.Device.Name = "{SecurityIdentifier}"
	got, err := s.Expand("{DeviceFriendlyName}", Plain, nil)
	if err != nil || got != "{SecurityIdentifier}" {
		t.Errorf("got %q, %v", got, err)
	}
	s.Device.SerialNumber = "a/b?c&d e"
	if got, _ := s.Expand("urn:x:{DeviceSerialNumber}", URI, nil); got != "urn:x:a%2Fb%3Fc%26d%20e" {
		t.Errorf("URI escape gave %q", got)
	}
}

func FuzzExpand(f *testing.F) {
	f.Add("CN={EnrollmentUser},O={Organization}")
	f.Add("{{}}}{")
	f.Fuzz(func(t *testing.T, text string) {
		out, err := subject().Expand(text, Plain, nil)
		if err == nil && !strings.ContainsAny(text, "{}") && out != text {
			t.Errorf("%q became %q", text, out)
		}
	})
}
