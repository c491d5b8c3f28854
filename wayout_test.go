package chancery_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// ways are the rooms and files that may connect to somewhere by themselves, and
// why. Everything else is handed a dialer, which in the server is egress.
var ways = map[string]string{
	"internal/egress":              "it is the way out",
	"internal/cli":                 "the command line goes where its user says",
	"internal/app/local.go":        "the socket in the data folder",
	"internal/app/quickstart.go":   "the demonstration's device asks this very server",
	"internal/ca/catest":           "tests",
	"internal/chaos":               "tests",
	"internal/testpeer":            "tests",
	"internal/store/storebench":    "tests",
	"bench":                        "measures servers",
	"internal/scepclient":          "is handed a client",
	"internal/ca/scripted":         "tests",
	"internal/ca/ndes/page.go":     "connects by the dialer it is handed",
	"internal/ca/scep/line.go":     "connects by the dialer it is handed",
	"internal/httpauth":            "connects by the dialer it is handed",
	"internal/krb5login":           "connects by the dialer it is handed; the DNS alone is asked by itself, for the KDCs of a realm",
	"internal/api/client":          "is handed a client",
	"internal/keystore/cloud.go":   "the key services of clouds have libraries of their own",
	"internal/observe/trace.go":    "the receiver of traces is configuration",
	"internal/store/engine.go":     "the database is configuration",
	"internal/signin/passkey.go":   "names addresses only",
	"internal/doctor/disk_unix.go": "no network",
}

// doors are what opens a connection, by package and name.
var doors = map[string][]string{
	"net/http":   {"Get", "Post", "PostForm", "Head", "DefaultClient", "DefaultTransport", "Client", "Transport"},
	"net":        {"Dial", "DialTimeout", "DialTCP", "DialUDP", "DialIP", "Dialer", "LookupHost", "LookupIP", "LookupAddr", "LookupTXT", "LookupSRV", "DefaultResolver", "Resolver"},
	"crypto/tls": {"Dial", "DialWithDialer", "Dialer"},
	"net/smtp":   {"Dial", "SendMail"},
}

// inside is what would show the inside of the process, or serve whatever some
// library registered.
var inside = map[string][]string{
	"net/http/pprof": nil, "expvar": nil, "net/rpc": nil, "golang.org/x/net/trace": nil,
	"net/http": {"DefaultServeMux", "Handle", "HandleFunc", "ListenAndServe", "ListenAndServeTLS", "FileServer", "FileServerFS"},
}

// TestOneWayOut: nothing in the server connects to an address, or serves one,
// past the rooms that guard it.
func TestOneWayOut(t *testing.T) {
	files := 0
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "bin") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
			return nil
		}
		files++
		parsed, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		p = filepath.ToSlash(p)
		allowed := false
		for way := range ways {
			allowed = allowed || p == way || strings.HasPrefix(p, way+"/")
		}
		names := map[string]string{} // local name of an import to its path
		for _, i := range parsed.Imports {
			path := strings.Trim(i.Path.Value, `"`)
			name := path[strings.LastIndex(path, "/")+1:]
			if i.Name != nil {
				name = i.Name.Name
			}
			names[name] = path
			if words, banned := inside[path]; banned && words == nil && !strings.HasPrefix(p, "bench/") {
				t.Errorf("%s imports %s", p, path)
			}
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, ok := s.X.(*ast.Ident)
			if !ok {
				return true
			}
			path := names[x.Name]
			if slices.Contains(inside[path], s.Sel.Name) {
				t.Errorf("%s uses %s.%s", p, x.Name, s.Sel.Name)
			}
			if !allowed && slices.Contains(doors[path], s.Sel.Name) && !typeOnly(parsed, s) {
				t.Errorf("%s uses %s.%s: it must be handed a dialer or client, or say in ways why not", p, x.Name, s.Sel.Name)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 200 {
		t.Errorf("only %d files were read", files)
	}
}

// typeOnly tells whether a name is only the type of a pointer, as of a client
// that is handed in.
func typeOnly(f *ast.File, s *ast.SelectorExpr) bool {
	pointer := false
	ast.Inspect(f, func(n ast.Node) bool {
		if star, ok := n.(*ast.StarExpr); ok && star.X == s {
			pointer = true
		}
		return !pointer
	})
	return pointer
}
