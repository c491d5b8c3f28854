package secret

import (
	"bytes"
	"database/sql"
	"database/sql/driver"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"strings"
	"testing"
	texttemplate "text/template"

	"gopkg.in/yaml.v3"
)

const plain = "correct-horse"

// leaks reports whether out shows the secret in clear, hex, base64 or as the
// decimal bytes that fmt prints for a slice.
func leaks(out string) bool {
	decimal := strings.Trim(fmt.Sprint([]byte(plain)), "[]")
	for _, form := range []string{
		plain, hex.EncodeToString([]byte(plain)), fmt.Sprintf("% x", plain), fmt.Sprintf("%# x", plain),
		base64.StdEncoding.EncodeToString([]byte(plain)), decimal, strings.ReplaceAll(decimal, " ", ", "),
	} {
		if strings.Contains(strings.ToLower(out), strings.ToLower(form)) {
			return true
		}
	}
	return false
}

type exported struct {
	Text  Text
	Bytes Bytes
	Ptr   *Text
	BPtr  *Bytes
	Name  string
}

type hidden struct {
	text  Text
	bytes Bytes
	inner struct{ deep Text }
	list  []Text
	keyed map[string]Bytes
	any   any
}

type embedding struct {
	Text
	Other string
}

func subjects() map[string]any {
	text, blob := New(plain), NewBytes([]byte(plain))
	h := hidden{text: text, bytes: blob, list: []Text{text}, keyed: map[string]Bytes{"k": blob}, any: text}
	h.inner.deep = text
	e := exported{Text: text, Bytes: blob, Ptr: &text, BPtr: &blob, Name: "n"}
	return map[string]any{
		"text": text, "bytes": blob, "text pointer": &text, "bytes pointer": &blob,
		"exported": e, "exported pointer": &e, "hidden": h, "hidden pointer": &h,
		"slice": []Text{text}, "array": [1]Bytes{blob}, "map": map[string]Text{"k": text},
		"slice of any": []any{text, blob, h}, "map of structs": map[string]hidden{"k": h},
		"embedding": embedding{Text: text}, "error": fmt.Errorf("failed with %v and %v", text, h),
		"joined": errors.Join(fmt.Errorf("%s", blob), fmt.Errorf("%+v", &h)),
	}
}

func TestNoVerbLeaks(t *testing.T) {
	for name, v := range subjects() {
		for verb := rune('!'); verb <= '~'; verb++ {
			if verb == '%' || (verb >= '0' && verb <= '9') || strings.ContainsRune("+-# .*[", verb) {
				continue
			}
			for _, flag := range []string{"", "+", "#", "-", " ", "0", "40", ".40", "# "} {
				if out := fmt.Sprintf("%"+flag+string(verb), v); leaks(out) {
					t.Errorf("%s: %%%s%c leaks: %s", name, flag, verb, out)
				}
			}
		}
		if out := fmt.Sprint(v) + fmt.Sprintln(v); leaks(out) {
			t.Errorf("%s: Sprint leaks: %s", name, out)
		}
	}
}

func TestNoEncoderLeaks(t *testing.T) {
	encoders := map[string]func(any) string{
		"json": func(v any) string { b, err := json.Marshal(v); return string(b) + fmt.Sprint(err) },
		"json indent": func(v any) string {
			b, err := json.MarshalIndent(v, "", " ")
			return string(b) + fmt.Sprint(err)
		},
		"xml":  func(v any) string { b, err := xml.Marshal(v); return string(b) + fmt.Sprint(err) },
		"yaml": func(v any) string { b, err := yaml.Marshal(v); return string(b) + fmt.Sprint(err) },
		"gob": func(v any) string {
			var b bytes.Buffer
			err := gob.NewEncoder(&b).Encode(v)
			return b.String() + fmt.Sprint(err)
		},
		"slog text": func(v any) string {
			var b bytes.Buffer
			slog.New(slog.NewTextHandler(&b, nil)).Info("m", "v", v, slog.Group("g", "v", v))
			return b.String()
		},
		"slog json": func(v any) string {
			var b bytes.Buffer
			slog.New(slog.NewJSONHandler(&b, nil)).With("w", v).Info("m", "v", v)
			return b.String()
		},
		"html template": func(v any) string {
			var b bytes.Buffer
			err := template.Must(template.New("").Parse(`<p title="{{.}}">{{.}}</p><script>x = {{.}}</script>`)).Execute(&b, v)
			return b.String() + fmt.Sprint(err)
		},
		"text template": func(v any) string {
			var b bytes.Buffer
			err := texttemplate.Must(texttemplate.New("").Parse(`{{.}} {{printf "%s" .}}`)).Execute(&b, v)
			return b.String() + fmt.Sprint(err)
		},
	}
	for encoder, encode := range encoders {
		for name, v := range subjects() {
			if out := encode(v); leaks(out) {
				t.Errorf("%s of %s leaks: %s", encoder, name, out)
			}
		}
	}
}

func TestMaskSaysWhetherThereIsAValue(t *testing.T) {
	v := struct {
		A, B Text
		C, D Bytes
	}{A: New(plain), C: NewBytes([]byte(plain))}
	got, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"A":"[secret]","B":"[not set]","C":"[secret]","D":"[not set]"}`
	if string(got) != want {
		t.Errorf("json: got %s, want %s", got, want)
	}
	if got, want := fmt.Sprintf("%v|%q|%x|%v", v.A, v.B, v.C, v.D), "[secret]|[not set]|[secret]|[not set]"; got != want {
		t.Errorf("fmt: got %s, want %s", got, want)
	}
	type doc struct {
		A Text  `xml:"a,attr"`
		C Bytes `xml:"c"`
	}
	got, err = xml.Marshal(doc{A: v.A, C: v.C})
	if err != nil {
		t.Fatal(err)
	}
	if want := `<doc a="[secret]"><c>[secret]</c></doc>`; string(got) != want {
		t.Errorf("xml: got %s, want %s", got, want)
	}
}

func TestGobRefuses(t *testing.T) {
	for name, v := range map[string]any{"text": New(plain), "bytes": NewBytes([]byte(plain))} {
		if err := gob.NewEncoder(&bytes.Buffer{}).Encode(v); err == nil {
			t.Errorf("%s: gob encoded a secret", name)
		}
	}
}

func TestRefusesToBeAColumn(t *testing.T) {
	for name, v := range map[string]driver.Valuer{
		"text": New(plain), "bytes": NewBytes([]byte(plain)), "unset text": Text{}, "unset bytes": Bytes{},
	} {
		if got, err := v.Value(); err == nil || got != nil {
			t.Errorf("%s: got value %v and error %v, want a refusal", name, got, err)
		}
		if got, err := driver.DefaultParameterConverter.ConvertValue(v); err == nil {
			t.Errorf("%s: the driver accepted %v", name, got)
		}
	}
	var null sql.Null[string]
	if err := null.Scan(New(plain)); err == nil && leaks(null.V) {
		t.Error("a secret was scanned into a string")
	}
}
