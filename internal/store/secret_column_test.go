package store_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strings"
	"testing"
)

// secretColumns hold secrets, hashes of secrets, or bytes that may hold one.
var secretColumns = []string{"hash", "password_hash", "box", "credential", "csr", "data", "value", "settings", "mark", "prev_hash"}

// sortable are the columns a list may be in the order of.
var sortable = []string{"id", "seq", "name", "name_folded", "not_after", "subject_folded", "next_action_at"}

// TestSecretColumnsAreLeftAlone reads the source: no list is sorted by anything
// but the columns above, and no filter compares or searches one that holds a
// secret. Whoever adds an order or a filter has to say here what it is.
func TestSecretColumnsAreLeftAlone(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	orders, filters := 0, 0
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		literal := func(e ast.Expr) (string, bool) {
			l, ok := e.(*ast.BasicLit)
			if !ok || l.Kind != token.STRING {
				return "", false
			}
			return strings.Trim(l.Value, "\"`"), true
		}
		filter := func(what string, columns []ast.Expr) {
			for _, c := range columns {
				filters++
				if name, ok := literal(c); !ok || slices.Contains(secretColumns, name) {
					t.Errorf("%s: %s looks at the column %q", f.Name(), what, name)
				}
			}
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CompositeLit:
				if id, ok := n.Type.(*ast.Ident); !ok || id.Name != "sorting" {
					return true
				}
				for _, e := range n.Elts {
					orders++
					o, ok := e.(*ast.KeyValueExpr).Value.(*ast.CompositeLit)
					if !ok || len(o.Elts) == 0 {
						t.Errorf("%s: an order that cannot be read", f.Name())
						continue
					}
					if name, ok := literal(o.Elts[0]); !ok || !slices.Contains(sortable, name) {
						t.Errorf("%s: a list is sorted by %q", f.Name(), name)
					}
				}
			case *ast.CallExpr:
				if f.Name() == "page.go" { // where these are made
					return true
				}
				switch fun := n.Fun.(type) {
				case *ast.SelectorExpr:
					x, ok := fun.X.(*ast.Ident)
					switch {
					case !ok || x.Name != "w":
					case fun.Sel.Name == "contains":
						filter(fun.Sel.Name, n.Args[1:])
					case slices.Contains([]string{"equal", "between", "in", "any"}, fun.Sel.Name):
						filter(fun.Sel.Name, n.Args[:1])
					}
				case *ast.Ident:
					if fun.Name == "within" || fun.Name == "among" {
						filter(fun.Name, n.Args[1:2])
					}
				}
			}
			return true
		})
	}
	if orders < 15 || filters < 40 {
		t.Errorf("only %d orders and %d filters were found", orders, filters)
	}
}
