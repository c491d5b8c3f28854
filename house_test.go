// Package chancery_test keeps the house: which room may open a door to which,
// that every room tells its story, and that no rule is forgotten. If a rule
// gets in the way of better code, change the picture here.
package chancery_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// picture says what each room may import from the house, besides what the
// rooms in "everyone" offer. A trailing "/..." means the rooms below, too. A
// room that is not named here may not exist.
var picture = map[string][]string{
	"internal/ra":              {},
	"internal/secret":          {},
	"internal/seal":            {"internal/secret"},
	"internal/setting":         {"internal/secret"},
	"internal/lookup":          {},
	"internal/sceppolicy":      {"internal/secret", "internal/setting"},
	"internal/wire/...":        {"internal/wire/..."},
	"internal/keystore":        {"internal/secret", "internal/wire/pkixmsg"},
	"internal/ca":              {"internal/secret", "internal/setting", "internal/wire/..."},
	"internal/ca/lint":         {"internal/wire/..."},
	"internal/ca/all":          {"internal/ca/..."},
	"internal/ca/catest":       {"internal/ca", "internal/testpeer", "internal/secret", "internal/setting", "internal/wire/..."},
	"internal/ca/...":          {"internal/ca", "internal/ca/lint", "internal/keystore", "internal/secret", "internal/setting", "internal/wire/..."},
	"internal/ca/scep":         {"internal/ca", "internal/httpauth", "internal/scepclient", "internal/secret", "internal/setting", "internal/wire/..."},
	"internal/ca/ndes":         {"internal/ca", "internal/ca/scep", "internal/httpauth", "internal/secret", "internal/setting", "internal/wire/..."},
	"internal/ca/adcs":         {"internal/adcsclient", "internal/ca", "internal/keystore", "internal/rpc", "internal/rpclogin", "internal/secret", "internal/setting", "internal/wire/..."},
	"internal/httpauth":        {"internal/krb5login", "internal/secret", "internal/wire/gsskrb", "internal/wire/spnego"},
	"internal/krb5login":       {"internal/secret", "internal/wire/gsskrb"},
	"internal/rpclogin":        {"internal/krb5login", "internal/rpc", "internal/secret", "internal/wire/..."},
	"internal/store":           {"internal/secret"},
	"internal/store/migration": {},
	"internal/job":             {"internal/store"},
	"internal/job/jobtest":     {"internal/job", "internal/store"},
	"internal/access":          {"internal/store"},
	"internal/keyring":         {"internal/store", "internal/access", "internal/audit", "internal/job", "internal/seal"},
	"internal/audit":           {"internal/store", "internal/access", "internal/setting"},
	"internal/inventory":       {"internal/store", "internal/access", "internal/audit", "internal/wire/..."},
	"internal/signin":          {"internal/observe", "internal/store", "internal/access", "internal/audit", "internal/secret", "internal/seal"},
	"internal/authority":       {"internal/egress", "internal/observe", "internal/store", "internal/access", "internal/audit", "internal/ca", "internal/secret", "internal/seal", "internal/setting"},
	"internal/directory":       {"internal/egress", "internal/store", "internal/access", "internal/audit", "internal/ca", "internal/dirpolicy", "internal/inventory", "internal/job", "internal/ldapdir", "internal/secret", "internal/seal", "internal/setting", "internal/wire/secdesc"},
	"internal/keydelivery":     {"internal/egress", "internal/store", "internal/access", "internal/audit", "internal/authority", "internal/ca", "internal/directory", "internal/keypolicy", "internal/job", "internal/ldapdir", "internal/secret", "internal/seal", "internal/setting", "internal/wire/cms"},
	"internal/keypolicy":       {"internal/secret", "internal/setting"},
	"internal/dirpolicy":       {"internal/ldapdir", "internal/secret", "internal/setting"},
	"internal/ldapdir":         {"internal/krb5login", "internal/secret", "internal/wire/gsskrb"},
	"internal/posture": {"internal/adpki", "internal/adpki/guard", "internal/authority", "internal/directory", "internal/egress", "internal/store", "internal/access", "internal/audit", "internal/ca",
		"internal/job", "internal/wire/secdesc"},
	"internal/enroll": {"internal/posture", "internal/directory", "internal/keydelivery", "internal/observe", "internal/store", "internal/access", "internal/audit", "internal/ca", "internal/secret", "internal/seal", "internal/setting",
		"internal/authority", "internal/lookup", "internal/sceppolicy", "internal/job", "internal/wire/..."},
	"internal/lifecycle": {"internal/directory", "internal/keydelivery", "internal/observe", "internal/store", "internal/access", "internal/audit", "internal/ca", "internal/secret", "internal/seal",
		"internal/authority", "internal/enroll", "internal/job", "internal/wire/..."},
	"internal/pass": {"internal/directory", "internal/store", "internal/access", "internal/audit", "internal/ca", "internal/secret", "internal/seal", "internal/authority", "internal/enroll",
		"internal/job", "internal/wire/..."},
	"internal/caimport":      {"internal/store", "internal/access", "internal/audit", "internal/ca", "internal/authority", "internal/enroll", "internal/job", "internal/lifecycle", "internal/pass", "internal/wire/..."},
	"internal/pass/passtest": {"internal/ca", "internal/secret", "internal/setting", "internal/wire/..."},
	"internal/trace":         {"internal/store", "internal/access", "internal/audit", "internal/pass"},
	"internal/doctor": {"internal/backup", "internal/store", "internal/access", "internal/audit", "internal/ca", "internal/setting", "internal/authority", "internal/enroll",
		"internal/lifecycle", "internal/sceppolicy"},
	"internal/backup":      {"internal/store", "internal/audit", "internal/seal"},
	"internal/health":      {"internal/store", "internal/audit"},
	"internal/scepclient":  {"internal/wire/..."},
	"internal/rpc":         {"internal/wire/..."},
	"internal/dcom":        {"internal/rpc", "internal/wire/..."},
	"internal/adcsclient":  {"internal/dcom", "internal/rpc", "internal/wire/..."},
	"internal/adpki":       {"internal/ldapdir", "internal/wire/..."},
	"internal/adpki/guard": {"internal/adpki", "internal/wire/..."},
	"internal/door/scepin": {"internal/wire/..."},
	"internal/door/...":    slices.Concat(verbs, []string{"internal/door/scepin", "internal/observe", "internal/wire/..."}),
	"internal/api":         slices.Concat(verbs, []string{"internal/api/...", "internal/lookup", "internal/wire/..."}),
	"internal/api/...":     {"internal/api/...", "internal/secret"},
	"internal/console":     slices.Concat(verbs, []string{"internal/lookup", "internal/wire/..."}),
	"internal/cli":         {"internal/api/...", "internal/setting", "internal/secret", "internal/ca/...", "internal/sceppolicy", "internal/dirpolicy", "internal/keypolicy", "internal/scepclient", "internal/wire/pkixmsg"},
	"internal/testpeer":    {},
	"internal/observe":     {},
	"internal/egress":      {},
	"internal/app":         {"internal/..."},
	"internal/chaos":       {"internal/..."},
	"cmd/...":              {"internal/app", "internal/cli"},
	"bench":                {"bench/...", "internal/..."},
	"bench/...":            {"bench/...", "internal/scepclient", "internal/wire/..."},
	"deploy":               {},

	"internal/store/storebench": {"internal/store"},
	"internal/doubles/...":      {},
	"internal/doubles/adcs":     {"internal/doubles/dcerpc", "internal/wire/cms", "internal/wire/pkixmsg"},
}

// verbs is what the edges may call: the capabilities, the nouns' filters in
// store, and the descriptions of settings.
var verbs = []string{"internal/store", "internal/access", "internal/audit", "internal/ca", "internal/secret", "internal/setting",
	"internal/inventory", "internal/directory", "internal/keydelivery", "internal/keypolicy", "internal/signin", "internal/authority", "internal/enroll", "internal/lifecycle", "internal/posture", "internal/pass", "internal/caimport", "internal/trace", "internal/doctor", "internal/keyring", "internal/sceppolicy", "internal/dirpolicy"}

// everyone may speak of the nouns.
const everyone = "internal/ra"

// outside says who alone may import a package from elsewhere, by the start of
// its path.
var outside = map[string][]string{
	"database/sql":              {"internal/store", "internal/job", "internal/secret", "internal/testpeer"},
	"modernc.org/sqlite":        {"internal/store"},
	"github.com/jackc/pgx":      {"internal/store", "internal/testpeer"},
	"github.com/riverqueue":     {"internal/job"},
	"github.com/tink-crypto":    {"internal/seal"},
	"github.com/zmap/zlint":     {"internal/ca/lint"},
	"go.step.sm/crypto":         {"internal/keystore"},
	"github.com/danielgtaylor":  {"internal/api"},
	"github.com/spf13/cobra":    {"internal/cli"},
	"math/rand":                 {},
	"github.com/go-webauthn":    {"internal/signin"},
	"github.com/alexedwards":    {"internal/signin", "internal/store", "internal/console"},
	"github.com/smallstep/scep": {"internal/doubles/..."},
	"github.com/coreos":         {"cmd/..."},
	"github.com/failsafe-go":    {"internal/door/scepproxy"},
	"github.com/prometheus":     {"internal/observe", "internal/app"},
	"go.opentelemetry.io":       {"internal/observe"},
	"github.com/go-ldap":        {"internal/ldapdir"},
	"github.com/go-asn1-ber":    {"internal/ldapdir"},
	"github.com/jcmturner":      {"internal/krb5login", "internal/ldapdir", "internal/wire/gsskrb", "internal/doubles/..."},

	"github.com/Azure/go-ntlmssp": {"internal/httpauth"},
	"github.com/smallstep/pkcs7":  {"internal/doubles/..."},

	"github.com/cloudsoda": {"internal/rpc", "internal/rpclogin"},
}

// stdlibOnly lists rooms that import nothing but the standard library and, for
// wire, a DER cursor.
var stdlibOnly = []string{"internal/ra", "internal/secret", "internal/wire/..."}

// besides is what single rooms of those need more, by the start of its path.
var besides = map[string]string{"internal/wire/ntlm": "golang.org/x/crypto/md4", "internal/wire/gsskrb": "github.com/jcmturner/gokrb5"}

type room struct {
	path    string
	imports map[string]string // import path to the file that has it
	story   bool
}

func TestHouse(t *testing.T) {
	for _, r := range rooms(t) {
		rule, ok := lookUp(r.path)
		if !ok {
			t.Errorf("%s is not in the picture: name it and what it may import", r.path)
			continue
		}
		if !r.story {
			t.Errorf("%s has no package comment", r.path)
		}
		for imported, file := range r.imports {
			if own, ok := strings.CutPrefix(imported, "chancery/"); ok {
				if own != everyone && own != r.path && !matches(rule, own) {
					t.Errorf("%s imports %s (%s)", r.path, own, file)
				}
				continue
			}
			for start, only := range outside {
				if (imported == start || strings.HasPrefix(imported, start+"/")) && !matches(only, r.path) {
					t.Errorf("%s imports %s (%s)", r.path, imported, file)
				}
			}
			if matches(stdlibOnly, r.path) && strings.Contains(strings.Split(imported, "/")[0], ".") && !strings.HasPrefix(imported, "golang.org/x/crypto/cryptobyte") &&
				(besides[r.path] == "" || !strings.HasPrefix(imported, besides[r.path])) {
				t.Errorf("%s imports %s (%s)", r.path, imported, file)
			}
		}
	}
}

// lookUp finds a room's rule, the most exact one first.
func lookUp(p string) ([]string, bool) {
	if rule, ok := picture[p]; ok {
		return rule, true
	}
	for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
		if rule, ok := picture[dir+"/..."]; ok {
			return rule, true
		}
	}
	return nil, false
}

func matches(rules []string, p string) bool {
	return slices.ContainsFunc(rules, func(rule string) bool {
		below, all := strings.CutSuffix(rule, "/...")
		return p == rule || all && (p == below || strings.HasPrefix(p, below+"/"))
	})
}

// rooms reads the imports and package comments of everything that is not a
// test.
func rooms(t *testing.T) []room {
	var found []room
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if name := d.Name(); name != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "bin") {
			return filepath.SkipDir
		}
		if r, ok := readRoom(t, p); ok {
			found = append(found, r)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 20 {
		t.Fatalf("found only %d rooms", len(found))
	}
	return found
}

func readRoom(t *testing.T, dir string) (room, bool) {
	r := room{path: filepath.ToSlash(dir), imports: map[string]string{}}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	any := false
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		any = true
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, f.Name()), nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range parsed.Imports {
			r.imports[strings.Trim(i.Path.Value, `"`)] = f.Name()
		}
		r.story = r.story || tells(parsed)
	}
	return r, any
}

func tells(f *ast.File) bool { return f.Doc != nil && len(strings.TrimSpace(f.Doc.Text())) > 60 }

// TestNothingOfThisMachine keeps what belongs to one machine or one way of
// working out of the product.
func TestNothingOfThisMachine(t *testing.T) {
	banned := []string{"/wo" + "rk/", "proxy.go" + "lang.org", "deb." + "debian.org", "TO" + "DO", "FIX" + "ME"}
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == ".git" || d.Name() == "testdata" || d.Name() == "bin" {
				return filepath.SkipDir
			}
			return nil
		}
		if ext := filepath.Ext(p); !slices.Contains([]string{".go", ".md", ".html", ".css", ".js", ".sql", ".sh", ""}, ext) {
			return nil
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		for _, word := range banned {
			if strings.Contains(string(b), word) {
				t.Errorf("%s contains %q", p, word)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
