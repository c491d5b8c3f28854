package setting

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chancery/internal/secret"
)

func env(pairs map[string]string) func(string) (string, bool) {
	return func(key string) (string, bool) { v, ok := pairs[key]; return v, ok }
}

func TestConfigureOrderOfSources(t *testing.T) {
	root := certificate(t, "Root")
	dir := files(t, map[string]string{
		"server.yaml": "# comment\nname: filed\nport: 1\ntimeout: 2s\nverify: no\ngroups:\n  - a\n  - b,c\ntoken_file: token\nroots: |\n  " +
			strings.ReplaceAll(strings.TrimSpace(root), "\n", "\n  ") + "\nmode: ~\n",
		"token": "correct-horse\n", "pin": "1234\n",
	})
	s := &sample{Batch: 99}
	list, err := Configure(s, Sources{
		File: filepath.Join(dir, "server.yaml"), Prefix: "CHANCERY_", Flags: parsed(t, "--timeout=4s"),
		LookupEnv: env(map[string]string{"CHANCERY_PORT": "2", "CHANCERY_TIMEOUT": "3s", "CHANCERY_COUNTRY_CODES": "CH, JP", "CHANCERY_HOST": "",
			"CHANCERY_PIN_FILE": filepath.Join(dir, "pin"), "CHANCERY_PRIVATE_KEY": "in the environment"}),
	})
	if err != nil {
		t.Fatal(flaws(t, err))
	}
	want := &sample{}
	Defaults(want)
	want.Name, want.Port, want.Timeout, want.Verify, want.Groups, want.Roots = "filed", 2, 4*time.Second, false, []string{"a", "b,c"}, root
	want.Token, want.Pin, want.Key, want.Codes = secret.New("correct-horse"), secret.New("1234"), secret.New("in the environment"), []string{"CH", "JP"}
	same(t, s, want)
	lines := map[string]string{}
	for _, e := range list {
		lines[e.Name] = e.String()
		if strings.Contains(fmt.Sprintf("%+v", e), "correct-horse") {
			t.Errorf("%s shows a secret", e.Name)
		}
	}
	for name, want := range map[string]string{
		"name": "name = filed (file name)", "port": "port = 2 (environment CHANCERY_PORT)", "timeout": "timeout = 4s (flag --timeout)",
		"token": "token = [secret] (file token_file)", "pin": "pin = [secret] (environment CHANCERY_PIN_FILE)",
		"server": "server = https://ca.example.com/api (default)", "host": `host = "" (default)`, "groups": "groups = a, b,c (file groups)", "mode": "mode = token (file mode)",
	} {
		if lines[name] != want {
			t.Errorf("got %q, want %q", lines[name], want)
		}
	}
	if len(list) != len(Fields(s)) {
		t.Errorf("got %d lines, want one per field", len(list))
	}
}

func TestConfigureNamesEveryBadKey(t *testing.T) {
	dir := files(t, map[string]string{"server.yaml": "prot: 1\nport: hush\ngroups: hush\nnotes: [hush]\ntoken: hush\ncountry_codes: [[hush]]\npin_file: none\nport: 2\nname_file: x\n"})
	s := &sample{}
	_, err := Configure(s, Sources{
		File: filepath.Join(dir, "server.yaml"), Prefix: "X_", Flags: parsed(t, "--batch=hush"),
		LookupEnv: env(map[string]string{"X_TIMEOUT": "hush", "X_PRIVATE_KEY": "hush", "X_PRIVATE_KEY_FILE": "y", "X_HOST": "a:1"}),
	})
	want := strings.Join([]string{
		`prot: There is no setting "prot".`,
		"port: Port must be a whole number.",
		"groups: Groups must be a list.",
		"notes: Notes must be a single value.",
		"token: Access token must not stand in the configuration file.",
		"country_codes: Country codes must be a list of texts.",
		"pin_file: PIN cannot be read from the file " + printable(filepath.Join(dir, "none")) + ".",
		"port: Port is given twice.",
		`name_file: There is no setting "name_file".`,
		"X_TIMEOUT: Reply timeout must be a time span.",
		"X_PRIVATE_KEY: Private key is given both as a value and as a file.",
		"--batch: Batch size must be a whole number.",
		"name: Name is required.",
		"X_HOST: Host must be a host name or an IP address only.",
	}, "\n")
	if got := flaws(t, err, "hush"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	defaults := &sample{}
	Defaults(defaults)
	same(t, s, defaults)
}

func TestConfigureSaysHowToGiveWhatIsMissing(t *testing.T) {
	_, err := Configure(&sample{}, Sources{Prefix: "X_", LookupEnv: env(nil), Flags: parsed(t)})
	if got := flaws(t, err); got != "name: Name is required.\ntoken: Access token is required." {
		t.Errorf("got %q", got)
	}
	dir := files(t, map[string]string{"c.yaml": "name: x\n"})
	path := filepath.Join(dir, "c.yaml")
	_, err = Configure(&sample{}, Sources{File: path, Prefix: "X_", LookupEnv: env(nil), Flags: parsed(t)})
	if want := "Set --token-file or X_TOKEN or token_file in " + path + "."; err == nil || remedyOf(err) != want {
		t.Errorf("got %q, want %q", remedyOf(err), want)
	}
}

func TestConfigurationFiles(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", ""}, {"comments", "# nothing\n", ""}, {"a null", "~\n", ""}, {"JSON", `{"port": 5, "groups": ["a"], "verify": true}`, ""},
		{"a list", "- a\n", "it begins with something else"}, {"a word", "hush", "it begins with something else"},
		{"two documents", "port: 1\n---\nport: 2\n", "more than one document"}, {"not YAML", "port: [hush\n", "it is not YAML"}, {"tabs", "port:\n\t- hush", "it is not YAML"},
		{"an alias", "name: &a x\nnotes: *a\n", "an alias"}, {"a merge", "a: &a {port: 1}\n<<: *a\n", "an alias"}, {"a list as key", "[a]: 1\n", "a key"},
		{"large", "notes: " + strings.Repeat("x", maxDocument), "larger than 1024 KiB"},
	} {
		dir := files(t, map[string]string{"c.yaml": c.text})
		_, err := Configure(&sample{}, Sources{File: filepath.Join(dir, "c.yaml"), Prefix: "X_", LookupEnv: env(map[string]string{"X_NAME": "n", "X_TOKEN": "t"})})
		got := flaws(t, err, "hush")
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	_, err := Configure(&sample{}, Sources{File: filepath.Join(t.TempDir(), "none.yaml")})
	if got := flaws(t, err); !strings.Contains(got, "There is no configuration file") {
		t.Errorf("got %q, want the missing file named", got)
	}
}

func FuzzMapping(f *testing.F) {
	for _, seed := range []string{"", "a: 1\nb: [x, y]\n", "a: &x 1\nb: *x\n", "? [a]\n: b\n", "---\n...\n---\n", "a: !!binary aGk=\n", "{a: {b: {c: d}}}", "a: |\n  x\n  y\n", "\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		pairs, err := mapping(raw)
		if err != nil && pairs != nil {
			t.Error("got both pairs and an error")
		}
		form := describe(&sample{})
		for _, p := range pairs {
			for _, x := range form.fields {
				x.readNode(p.node)
			}
		}
	})
}
