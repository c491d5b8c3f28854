package setting

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"chancery/internal/secret"
)

// described is a Describer made of a function.
type described func(*Form)

func (d described) Describe(f *Form) { d(f) }

func TestFieldsTellEverything(t *testing.T) {
	got := map[string]Field{}
	var order []string
	for _, f := range Fields(&sample{}) {
		got[f.Name] = f
		order = append(order, f.Name)
	}
	want := "name notes server directory host port batch timeout lifetime verify roots mode token privateKey pin strict country profile groups country_codes usages"
	if s := strings.Join(order, " "); s != want {
		t.Errorf("order: got %s, want %s", s, want)
	}
	for name, want := range map[string]string{
		"name":       `{name Name    text true  []    10   main <nil> false false}`,
		"server":     `{server Server address Where the API answers. Connection How the other side is reached. url true https://ca.example.com/api []    4096    <nil> false false}`,
		"directory":  `{directory Directory  Connection How the other side is reached. url false  []    4096    <nil> true false}`,
		"timeout":    `{timeout Reply timeout  Connection How the other side is reached. duration false 30s []  1s 5m 0    <nil> false false}`,
		"privateKey": `{privateKey Private key  Sign-in  secret_text true  []    65536    mode[key] false true}`,
		"country":    `{country Country  Sign-in  text true  []    4096 ^[A-Z]{2}$ two capital letters  strict[true] false false}`,
		"profile":    `{profile Certificate profile  Issuing  choice false  [] profiles   4096    <nil> false false}`,
	} {
		f := got[name]
		when := "<nil>"
		if f.When != nil {
			when = f.When.Field + fmt.Sprint(f.When.Values)
		}
		f.When = nil
		if s := strings.Replace(fmt.Sprint(f), "<nil>", when, 1); s != want {
			t.Errorf("%s:\n got %s\nwant %s", name, s, want)
		}
	}
}

func TestDescriptionMistakesPanic(t *testing.T) {
	var a, b string
	var n int
	var span time.Duration
	var on bool
	var hush secret.Text
	two := []Option{{Value: "x"}, {Value: "y"}}
	for _, c := range []struct {
		name string
		d    described
		want string
	}{
		{"one name twice", func(f *Form) { f.Text(&a, "x", "X"); f.Text(&b, "x", "X") }, "described twice"},
		{"names that give one flag", func(f *Form) { f.Text(&a, "base_url", "X"); f.Text(&b, "baseURL", "X") }, "same flag"},
		{"a secret's file flag is taken", func(f *Form) { f.Text(&a, "token_file", "X"); f.Secret(&hush, "token", "X") }, "same flag"},
		{"a flag like a secret's file flag", func(f *Form) { f.Secret(&hush, "token", "X"); f.Text(&a, "tokenFile", "X") }, "same flag"},
		{"one variable twice", func(f *Form) { f.Text(&a, "x", "X"); f.Text(&a, "y", "Y") }, "same variable"},
		{"no name", func(f *Form) { f.Text(&a, "", "X") }, "not named"},
		{"a name with a dot", func(f *Form) { f.Text(&a, "x.clear", "X") }, "not named"},
		{"a capital first", func(f *Form) { f.Text(&a, "Name", "X") }, "not named"},
		{"no label", func(f *Form) { f.Text(&a, "x", "") }, "no label"},
		{"no options", func(f *Form) { f.Choice(&a, "x", "X") }, "nothing to choose"},
		{"an empty option", func(f *Form) { f.Choice(&a, "x", "X").Options(Option{Label: "None"}) }, "empty value"},
		{"an option twice", func(f *Form) { f.Choice(&a, "x", "X").Options(two...).Options(two...) }, "twice"},
		{"a default not offered", func(f *Form) { f.Choice(&a, "x", "X").Options(two...).Default("z") }, "default"},
		{"a default out of range", func(f *Form) { f.Int(&n, "x", "X").Default(9).Between(1, 5) }, "default"},
		{"a span out of range", func(f *Form) { f.Duration(&span, "x", "X").Default(time.Hour).Between(1, 5) }, "default"},
		{"a default that is no address", func(f *Form) { f.URL(&a, "x", "X").Default("nonsense") }, "default"},
		{"depends on nothing", func(f *Form) { f.Text(&a, "x", "X").When("y", "1") }, "not described before"},
		{"depends on itself", func(f *Form) { f.Text(&a, "x", "X").When("x", "1") }, "not described before"},
		{"depends on a later field", func(f *Form) { f.Text(&a, "x", "X").When("y", "true"); f.Bool(&on, "y", "Y") }, "not described before"},
		{"depends on no option", func(f *Form) { f.Choice(&a, "x", "X").Options(two...); f.Text(&b, "y", "Y").When("x", "z") }, "does not offer"},
		{"depends on no switch", func(f *Form) { f.Bool(&on, "x", "X"); f.Text(&b, "y", "Y").When("x", "on") }, "cannot have"},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, c.want) || !strings.HasPrefix(got, "setting: field ") {
					t.Errorf("got panic %q, want one about %q", got, c.want)
				}
			}()
			Fields(c.d)
		})
	}
}

func TestDescribeMayCallAnother(t *testing.T) {
	var a, b string
	inner := described(func(f *Form) { f.Text(&b, "b", "B") })
	got := Fields(described(func(f *Form) { f.Text(&a, "a", "A"); inner.Describe(f) }))
	if len(got) != 2 || got[1].Name != "b" {
		t.Errorf("got %v, want fields a and b", got)
	}
}

func TestFlagNames(t *testing.T) {
	for name, want := range map[string]string{
		"server": "server", "base_url": "base-url", "baseURL": "base-url", "base-url": "base-url",
		"URLPath": "url-path", "caID2": "ca-id2", "eobo_agent": "eobo-agent", "tls12Only": "tls12-only",
	} {
		if got := dashed(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	if got := variable("CHANCERY_", "baseURL"); got != "CHANCERY_BASE_URL" {
		t.Errorf("got %s, want CHANCERY_BASE_URL", got)
	}
	if got := (Field{Name: "privateKey", Type: TypeSecretText}).Flag(); got != "private-key-file" {
		t.Errorf("got %s, want private-key-file", got)
	}
}
