package setting

import (
	"net/url"
	"testing"
	"time"

	"chancery/internal/secret"
)

func TestFromForm(t *testing.T) {
	for _, c := range []struct {
		name, posted string
		want         func(*sample)
		flaws        string
	}{
		{"a checkbox absent is off", "name=main", func(s *sample) { s.Verify = false }, ""},
		{"a checkbox on", "verify=on", func(s *sample) {}, ""},
		{"a hidden twin before the checkbox", "verify=false&verify=true", func(s *sample) {}, ""},
		{"texts", "verify=1&name=+new+&notes=a%0D%0Ab&port=80&timeout=1h&server=https://x", nil, "timeout: Reply timeout must be between 1s and 5m."},
		{"texts that fit", "verify=1&name=+new+&notes=a%0D%0Ab&port=+80+&timeout=1m&server=https://x", func(s *sample) {
			s.Name, s.Notes, s.Port, s.Timeout, s.Server = "new", "a\nb", 80, time.Minute, "https://x"
		}, ""},
		{"emptied", "verify=1&port=&timeout=&mode=&groups=&batch=", func(s *sample) { s.Groups = nil }, ""},
		{"emptied though required", "verify=1&server=&name=", nil, "name: Name is required.\nserver: Server address is required."},
		{"a list by line", "verify=1&groups=a%0D%0A%0D%0A+b,c%0D%0A", func(s *sample) { s.Groups = []string{"a", "b,c"} }, ""},
		{"a list of many inputs", "verify=1&groups=a&groups=b", func(s *sample) { s.Groups = []string{"a", "b"} }, ""},
		{"a secret empty is kept", "verify=1&token=&pin=", func(s *sample) {}, ""},
		{"a secret changed", "verify=1&token=new", func(s *sample) { s.Token = secret.New("new") }, ""},
		{"a secret cleared", "verify=1&pin.clear=on", func(s *sample) { s.Pin = secret.Text{} }, ""},
		{"a secret not cleared", "verify=1&pin.clear=false&pin=", func(s *sample) {}, ""},
		{"a required secret cleared", "verify=1&token.clear=on", nil, "token: Access token is required."},
		{"changed and cleared", "verify=1&pin=1&pin.clear=on", nil, "pin: PIN cannot be changed and cleared at once."},
		{"the condition does not hold", "verify=1&mode=none&token=new&privateKey=hush&strict=on&country=hush", func(s *sample) { s.Mode = "none" }, ""},
		{"the condition holds", "verify=1&mode=key&privateKey=a%0D%0Ab", func(s *sample) { s.Mode, s.Key = "key", secret.New("a\nb") }, ""},
		{"the condition holds and nothing is there", "verify=1&mode=key", nil, "privateKey: Private key is required."},
		{"other names", "verify=1&csrf=x&button=save", func(s *sample) {}, ""},
		{"all at once", "port=hush&mode=hush&verify=hush&usages=hush", nil,
			"port: Port must be a whole number.\nverify: Verify the server must be true or false.\nmode: Sign in with must be one of the values offered.\n" +
				"usages: Extended key usages has a wrong item, number 1: it must be an object identifier."},
	} {
		t.Run(c.name, func(t *testing.T) {
			posted, err := url.ParseQuery(c.posted)
			if err != nil {
				t.Fatal(err)
			}
			s, want := valid(), valid()
			s.Pin, want.Pin = secret.New("1234"), secret.New("1234")
			if c.want != nil {
				c.want(want)
			}
			if got := flaws(t, FromForm(s, posted), "hush"); got != c.flaws {
				t.Errorf("got %q, want %q", got, c.flaws)
			}
			same(t, s, want)
		})
	}
}

func TestFormValuesPostedBackChangeNothing(t *testing.T) {
	s := valid()
	s.Notes, s.Lifetime, s.Roots, s.Strict, s.Country = "a\nb\n", 90*24*time.Hour, certificate(t, "Root"), true, "CH"
	values := FormValues(s)
	for _, name := range []string{"token", "privateKey", "pin"} {
		if values.Has(name) {
			t.Errorf("the form carries the secret %s", name)
		}
	}
	if got := values.Get("batch"); got != "" || values.Get("lifetime") != "90d" || values.Get("groups") != "staff\nguests" || values.Get("verify") != "true" {
		t.Errorf("got %v", values)
	}
	before := &sample{}
	Copy(before, s)
	if err := FromForm(s, values); err != nil {
		t.Fatal(flaws(t, err))
	}
	same(t, s, before)
	s.Verify = false
	if FormValues(s).Has("verify") {
		t.Error("a checkbox that is off is in the form")
	}
}
