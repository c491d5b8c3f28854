package setting

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"chancery/internal/secret"
)

// parsed gives the flags of a sample after parsing args.
func parsed(t *testing.T, args ...string) *pflag.FlagSet {
	t.Helper()
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	Flags(&sample{}, fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return fs
}

// files writes files into a new folder and gives its path.
func files(t *testing.T, content map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range content {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFromFlags(t *testing.T) {
	root := certificate(t, "Root")
	dir := files(t, map[string]string{"token": "new token\r\n", "key": "a\r\nb\n\n", "roots": root, "notes": "x\ny\n"})
	in := func(name string) string { return filepath.Join(dir, name) }
	s := valid()
	fs := parsed(t, "--name=n", "--port", "80", "--timeout=1m", "--verify=false", "--strict", "--country", "CH", "--groups", "a,b", "--groups", "c",
		"--token-file", in("token"), "--private-key-file", in("key"), "--roots-file", in("roots"), "--notes-file", in("notes"), "--pin-file", "-",
		"--country-codes", "CH", "--mode", "token")
	if err := FromFlags(s, fs, strings.NewReader("1234\n")); err != nil {
		t.Fatal(flaws(t, err))
	}
	want := valid()
	want.Name, want.Port, want.Timeout, want.Verify, want.Strict, want.Country, want.Groups = "n", 80, time.Minute, false, true, "CH", []string{"a,b", "c"}
	want.Token, want.Key, want.Pin, want.Roots, want.Notes, want.Codes = secret.New("new token"), secret.New("a\nb\n\n"), secret.New("1234"), root, "x\ny\n", []string{"CH"}
	same(t, s, want)
}

func TestFromFlagsRefuses(t *testing.T) {
	dir := files(t, map[string]string{"empty": "\n", "two": "hush\nhush\n", "binary": "\xff\xfe", "large": strings.Repeat("x", maxDocument+1)})
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, c := range []struct {
		name  string
		args  []string
		stdin io.Reader
		want  string
	}{
		{"several", []string{"--port=hush", "--timeout=hush", "--verify=hush", "--name="}, nil,
			"--port: Port must be a whole number.\n--timeout: Reply timeout must be a time span.\n--verify: Verify the server must be true or false.\n--name: Name is required."},
		{"no file", []string{"--token-file", in("none")}, nil, "--token-file: Access token cannot be read from the file " + printable(in("none")) + "."},
		{"a folder", []string{"--token-file", dir}, nil, "--token-file: Access token cannot be read from the file " + printable(dir) + "."},
		{"an empty file", []string{"--token-file", in("empty")}, nil, "--token-file: Access token cannot be read: the file is empty."},
		{"two lines", []string{"--token-file", in("two")}, nil, "--token-file: Access token must be one line of plain text."},
		{"not text", []string{"--token-file", in("binary")}, nil, "--token-file: Access token must be a text file of at most 1024 KiB."},
		{"too large", []string{"--private-key-file", in("large")}, nil, "--private-key-file: Private key must be a text file of at most 1024 KiB."},
		{"standard input twice", []string{"--token-file=-", "--pin-file=-"}, strings.NewReader("hush"), "--pin-file: Standard input can be read for one value only."},
		{"no standard input", []string{"--token-file=-"}, nil, "--token-file: Standard input can be read for one value only."},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := valid()
			fs := parsed(t, c.args...)
			if got := flaws(t, FromFlags(s, fs, c.stdin), "hush"); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			same(t, s, valid())
			if s, ok := c.stdin.(*strings.Reader); ok {
				_, _ = s.Seek(0, io.SeekStart)
			}
			if _, err := FlagsJSON(s, fs, c.stdin); err == nil && !strings.Contains(c.want, "is required") {
				t.Error("FlagsJSON accepts what FromFlags refuses")
			}
		})
	}
}

func TestFlagsTakeNoSecret(t *testing.T) {
	fs := parsed(t)
	for _, name := range []string{"token", "pin", "private-key"} {
		if fs.Lookup(name) != nil {
			t.Errorf("--%s takes a secret as argument", name)
		}
	}
	help := strings.Join(strings.Fields(fs.FlagUsages()), " ")
	for _, want := range []string{
		`--token-file file Access token, read from this file ("-": standard input) (required while mode is token)`,
		`--port int Port (default 443)`,
		`--mode string Sign in with (token, key, none) (default "token")`,
		`--verify Verify the server (default true)`,
		`--name string Name (required)`,
		`--groups strings Groups (once for each) (default staff, guests)`,
	} {
		if !strings.Contains(help, want) {
			t.Errorf("help lacks %q:\n%s", want, help)
		}
	}
}

func TestFlagsJSON(t *testing.T) {
	dir := files(t, map[string]string{"token": "new token\n"})
	s := valid()
	got, err := FlagsJSON(s, parsed(t, "--port=80", "--token-file", filepath.Join(dir, "token"), "--groups=a", "--timeout=60s", "--verify=false"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"port":80,"timeout":"1m","verify":false,"token":"new token","groups":["a"]}`; string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
	same(t, s, valid())
	if err := FromJSON(s, got); err != nil {
		t.Fatal(flaws(t, err))
	}
	if s.Token.Reveal() != "new token" || s.Port != 80 {
		t.Error("the document does not carry the flags")
	}
	if _, err := FlagsJSON(valid(), parsed(t, "--port=0", "--mode=hush"), nil); flaws(t, err, "hush") !=
		"--port: Port must be between 1 and 65535.\n--mode: Sign in with must be one of the values offered." {
		t.Errorf("got %v, want both flags refused", err)
	}
}
