package setting

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/secret"
)

func TestFromJSONFills(t *testing.T) {
	root := certificate(t, "Root")
	escaped, err := json.Marshal("subject=Root\r\n" + strings.ReplaceAll(root, "\n", "\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	s := &sample{}
	Defaults(s)
	doc := ` { "name": " main ", "notes": "a\r\nb", "server": "https://ca1.example.com", "directory": "ldaps://dir.example.com",
		"host": "ca1.example.com", "port": 8443, "batch": 2, "timeout": "1m30s", "lifetime": "90d", "verify": true, "roots": ` + string(escaped) + `,
		"mode": "key", "privateKey": "line1\r\nline2\n", "pin": "1234", "strict": true, "country": "CH",
		"profile": "anything at all", "groups": ["a, b", " c ", ""], "country_codes": ["CH", "JP"], "usages": ["1.3.6.1.5.5.7.3.2"] } `
	if err := FromJSON(s, []byte(doc)); err != nil {
		t.Fatal(flaws(t, err))
	}
	want := &sample{
		Name: "main", Notes: "a\nb", Server: "https://ca1.example.com", Directory: "ldaps://dir.example.com", Host: "ca1.example.com",
		Port: 8443, Batch: 2, Timeout: 90 * time.Second, Lifetime: 90 * 24 * time.Hour, Verify: true, Roots: root,
		Mode: "key", Key: secret.New("line1\nline2\n"), Pin: secret.New("1234"), Strict: true, Country: "CH",
		Profile: "anything at all", Groups: []string{"a, b", "c"}, Codes: []string{"CH", "JP"}, OIDs: []string{"1.3.6.1.5.5.7.3.2"},
	}
	same(t, s, want)
}

func TestFromJSONKeepsWhatIsLeftOut(t *testing.T) {
	for _, c := range []struct {
		name, doc string
		want      func(*sample)
	}{
		{"nothing", `{}`, func(*sample) {}},
		{"an empty secret", `{"token": ""}`, func(*sample) {}},
		{"a kept secret", `{"token": {"set": true}}`, func(*sample) {}},
		{"a new secret", `{"token": "new"}`, func(s *sample) { s.Token = secret.New("new") }},
		{"null for a secret", `{"pin": null}`, func(s *sample) { s.Pin = secret.Text{} }},
		{"null for a text", `{"notes": null}`, func(s *sample) { s.Notes = "" }},
		{"null for a default", `{"port": null, "verify": null, "groups": null, "timeout": null}`, func(s *sample) {
			s.Port, s.Verify, s.Groups, s.Timeout = 443, true, []string{"staff", "guests"}, 30*time.Second
		}},
		{"empty choice and span", `{"mode": "", "timeout": ""}`, func(s *sample) { s.Mode, s.Timeout = "token", 30*time.Second }},
		{"an empty list", `{"groups": []}`, func(s *sample) { s.Groups = nil }},
		{"false", `{"verify": false}`, func(s *sample) { s.Verify = false }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := valid()
			s.Notes, s.Port, s.Verify, s.Groups, s.Timeout, s.Pin = "n", 1, false, []string{"x"}, time.Minute, secret.New("1234")
			want := &sample{}
			Copy(want, s)
			c.want(want)
			if err := FromJSON(s, []byte(c.doc)); err != nil {
				t.Fatal(flaws(t, err))
			}
			same(t, s, want)
		})
	}
}

func TestFromJSONRefuses(t *testing.T) {
	key := "-----BEGIN PRIVATE KEY-----\\nMAA=\\n-----END PRIVATE KEY-----"
	for _, c := range []struct{ name, doc, want string }{
		{"nothing", ``, ": The settings are not a JSON object; reading stopped at line 1."},
		{"null", `null`, ": The settings are not a JSON object; reading stopped at line 1."},
		{"an array", `[]`, ": The settings are not a JSON object; reading stopped at line 1."},
		{"cut short", "{\n\"name\": \"hush\"", ": The settings are not a JSON object; reading stopped at line 2."},
		{"two objects", "{}\n{}", ": The settings are not a JSON object; reading stopped at line 1."},
		{"trailing text", `{} hush`, ": The settings are not a JSON object; reading stopped at line 1."},
		{"a damaged value", `{"name": hush}`, ": The settings are not a JSON object; reading stopped at line 1."},
		{"not UTF-8", "{\"name\": \"\xff\"}", ": The settings are not UTF-8 text."},
		{"too large", `{"notes": "` + strings.Repeat("x", maxDocument) + `"}`, ": The settings are larger than 1024 KiB."},
		{"an unknown key", `{"zebra": "hush"}`, `zebra: There is no setting "zebra".`},
		{"an unprintable key", `{"ze\u0007bra\n": 1}`, `ze?bra?: There is no setting "ze?bra?".`},
		{"a repeated key", `{"name": "a", "name": "b"}`, "name: Name is given twice."},
		{"another case", `{"Name": "a"}`, `Name: There is no setting "Name".`},
		{"a number for a text", `{"name": 5}`, "name: Name must be a text."},
		{"a text for a number", `{"port": "80"}`, "port: Port must be a whole number."},
		{"a fraction", `{"port": 80.5}`, "port: Port must be a whole number."},
		{"a power", `{"port": 8e1}`, "port: Port must be a whole number."},
		{"a huge number", `{"port": 99999999999999999999}`, "port: Port must be a whole number."},
		{"out of range", `{"port": 0}`, "port: Port must be between 1 and 65535."},
		{"out of range without default", `{"batch": 1}`, "batch: Batch size must be between 2 and 100."},
		{"a number for a span", `{"timeout": 30}`, "timeout: Reply timeout must be a time span."},
		{"a span without unit", `{"timeout": "30"}`, "timeout: Reply timeout must be a time span."},
		{"a negative span", `{"lifetime": "-5s"}`, "lifetime: Lifetime must be a time span."},
		{"a span out of range", `{"timeout": "6m"}`, "timeout: Reply timeout must be between 1s and 5m."},
		{"a text for a switch", `{"verify": "true"}`, "verify: Verify the server must be true or false."},
		{"a text for a list", `{"groups": "a"}`, "groups: Groups must be a list of texts."},
		{"null in a list", `{"groups": ["a", null]}`, "groups: Groups must be a list of texts."},
		{"a number in a list", `{"groups": ["a", 1]}`, "groups: Groups must be a list of texts."},
		{"a long item", `{"groups": ["a", "` + strings.Repeat("x", 21) + `"]}`, "groups: Groups has a wrong item, number 2: it must have at most 20 characters."},
		{"a broken item", `{"groups": ["a\nhush"]}`, "groups: Groups has a wrong item, number 1: it must be one line of plain text."},
		{"an item off the pattern", `{"country_codes": ["CH", "hush"]}`, "country_codes: Country codes has a wrong item, number 2: it must be two capital letters."},
		{"too many items", `{"groups": [` + strings.Repeat(`"a",`, 500) + `"a"]}`, "groups: Groups must have at most 500 items."},
		{"not an object identifier", `{"usages": ["1.3.6", "1.3.06"]}`, "usages: Extended key usages has a wrong item, number 2: it must be an object identifier."},
		{"not offered", `{"mode": "hush"}`, "mode: Sign in with must be one of the values offered."},
		{"required", `{"name": " "}`, "name: Name is required."},
		{"required and null", `{"name": null}`, "name: Name is required."},
		{"required secret cleared", `{"token": null}`, "token: Access token is required."},
		{"required by a condition", `{"mode": "key"}`, "privateKey: Private key is required."},
		{"required by a chain", `{"strict": true}`, "country: Country is required."},
		{"too long", `{"name": "elevenchars"}`, "name: Name must have at most 10 characters."},
		{"two lines", `{"name": "a\nb"}`, "name: Name must be one line of plain text."},
		{"a control character", `{"notes": "a\u0000"}`, "notes: Notes must be plain text."},
		{"off the pattern", `{"strict": true, "country": "hush"}`, "country: Country must be two capital letters."},
		{"hidden but wrong", `{"country": "hush"}`, "country: Country must be two capital letters."},
		{"a check's own error", `{"name": "taken"}`, "name: This name is in use."},
		{"a check's plain error", `{"name": "odd"}`, "name: Name is not accepted."},
		{"a check on a secret", `{"pin": "0000"}`, "pin: This PIN is too simple."},
		{"a long secret", `{"pin": "hushhushhush"}`, "pin: PIN must have at most 8 characters."},
		{"a secret of two lines", `{"token": "hush\nhush"}`, "token: Access token must be one line of plain text."},
		{"a number for a secret", `{"token": 5}`, "token: Access token must be a text."},
		{"an object for a secret", `{"token": {"set": false}}`, "token: Access token must be a text."},
		{"more than set", `{"token": {"set": true, "hush": 1}}`, "token: Access token must be a text."},
		{"keep where none is", `{"pin": {"set": true}}`, "pin: PIN is to be kept, but there is none here."},
		{"a private key among certificates", `{"roots": "` + key + `"}`, "roots: Trusted roots must hold certificates only, and there is a private key in it."},
		{"all at once", `{"zebra": 1, "name": 5, "port": 0, "mode": "hush"}`,
			"zebra: There is no setting \"zebra\".\nname: Name must be a text.\nport: Port must be between 1 and 65535.\nmode: Sign in with must be one of the values offered."},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, before := valid(), valid()
			err := FromJSON(s, []byte(c.doc))
			if got := flaws(t, err, "hush", "MAA="); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			same(t, s, before)
		})
	}
}

func TestUnknownKeySuggests(t *testing.T) {
	for key, want := range map[string]string{
		"tokn": `Did you mean "token"?`, "Token": `Did you mean "token"?`, "time_out": `Did you mean "timeout"?`,
		"private_key": `Did you mean "privateKey"?`, "countryCodes": `Did you mean "country_codes"?`, "server_addr": "The settings are: name, notes,",
		"xyzzy": "The settings are: name, notes,", "": "The settings are: name, notes,", strings.Repeat("é", 4000): "The settings are: name, notes,",
	} {
		raw, err := json.Marshal(map[string]int{key: 1})
		if err != nil {
			t.Fatal(err)
		}
		var e *ra.Error
		if err := FromJSON(valid(), raw); !errors.As(err, &e) || !strings.HasPrefix(e.Remedy, want) {
			t.Errorf("%.20s: got %v, want the remedy %q", key, e, want)
		}
	}
}

func TestProblemsAreBounded(t *testing.T) {
	doc := "{" + strings.Repeat(`"zebra": 1, `, 5000) + `"zebra": 1}`
	var e *ra.Error
	if err := FromJSON(valid(), []byte(doc)); !errors.As(err, &e) || len(e.Details) != maxFaults {
		t.Errorf("got %d problems, want %d", len(e.Details), maxFaults)
	}
}

func TestToJSON(t *testing.T) {
	got, err := ToJSON(valid())
	if err != nil {
		t.Fatal(err)
	}
	want := `{"name":"main","notes":null,"server":"https://ca.example.com/api","directory":null,"host":null,"port":443,"batch":null,"timeout":"30s","lifetime":null,` +
		`"verify":true,"roots":null,"mode":"token","token":{"set":true},"privateKey":null,"pin":null,"strict":false,"country":null,` +
		`"profile":null,"groups":["staff","guests"],"country_codes":[],"usages":[]}`
	if string(got) != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

func TestExportAppliedAgainChangesNothing(t *testing.T) {
	full := valid()
	full.Notes, full.Lifetime, full.Port, full.Verify, full.Groups = "a <b> & c\n", 90*24*time.Hour, 1, false, nil
	full.Roots = certificate(t, "Root") + certificate(t, "Other")
	full.Pin, full.Key = secret.New("1"), secret.New("k\n")
	for name, s := range map[string]*sample{"defaults": valid(), "full": full} {
		before := &sample{}
		Copy(before, s)
		doc, err := ToJSON(s)
		if err != nil {
			t.Fatal(err)
		}
		for _, replace := range []bool{false, true} {
			if replace {
				Defaults(s)
			}
			if err := FromJSON(s, doc); err != nil {
				t.Fatalf("%s: %s", name, flaws(t, err))
			}
			same(t, s, before)
		}
		if again, err := ToJSON(s); err != nil || !bytes.Equal(doc, again) {
			t.Errorf("%s: the export changed (error %v)", name, err)
		}
	}
}

func TestLoadTakesWhatItCan(t *testing.T) {
	s := &sample{}
	Defaults(s)
	doc := `{"name": "elevenchars", "gone": 1, "port": "eighty", "server": "ftp://x", "token": {"set": true}, "timeout": "1h"}`
	err := Load(s, []byte(doc))
	if got, want := flaws(t, err, "eighty"), "port: Port must be a whole number."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	want := &sample{}
	Defaults(want)
	want.Name, want.Server, want.Timeout = "elevenchars", "ftp://x", time.Hour
	same(t, s, want)
	got := flaws(t, Check(s))
	for _, field := range []string{"name: ", "server: ", "timeout: ", "token: "} {
		if !strings.Contains(got, field) {
			t.Errorf("Check says %q, want something about %s", got, field)
		}
	}
	if err := Load(s, []byte("[]")); ra.KindOf(err) != ra.Invalid {
		t.Errorf("got %v, want ra.Invalid", err)
	}
}

func FuzzFromJSON(f *testing.F) {
	doc, err := ToJSON(valid())
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		string(doc), `{}`, `{"name":"x","name":"y"}`, `{"port":1e3}`, `{"timeout":"9223372036854775807ns"}`, `{"token":{"set":true}}`, `{"token":null}`,
		`{"groups":["a",null,5,{}]}`, `{"usages":["2.999.1","1.2.840.113549"]}`, `{"roots":"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----"}`,
		`{"server":"https://[::1]:443/?q"}`, `{"host":"fe80::1%eth0"}`, `[[[[`, `{"a":{"b":[1,2,{"c":null}]}}`, `{"nme":1}`, "{\"\xff\":1}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, before := valid(), valid()
		if err := FromJSON(s, raw); err != nil {
			if len(Diff(before, s)) > 0 {
				t.Error("an error changed the settings")
			}
			flaws(t, err)
			return
		}
		if err := Check(s); err != nil {
			t.Errorf("accepted settings do not pass Check: %v", err)
		}
		doc, err := ToJSON(s)
		if err != nil {
			t.Fatal(err)
		}
		again := &sample{}
		Copy(again, s)
		if err := FromJSON(again, doc); err != nil {
			t.Fatalf("the export is refused: %v", err)
		}
		if d := Diff(s, again); len(d) > 0 {
			t.Errorf("the export changes settings: %v", d)
		}
		for _, o := range append(slices.Clone(s.Groups), s.OIDs...) {
			if strings.TrimSpace(o) != o || o == "" {
				t.Errorf("the item %q is not tidy", o)
			}
		}
	})
}
