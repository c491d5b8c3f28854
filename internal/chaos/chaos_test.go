package chaos

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"chancery/internal/testpeer"
)

func TestMain(m *testing.M) { Main(m) }

// number reads a number from the environment.
func number(t *testing.T, name string, usual int) int {
	text := os.Getenv(name)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// worldRounds is how many rounds one world goes through: in a long run a new
// one begins then, with the next seed.
const worldRounds = 100

// TestKillAnywhere kills the server at every label and at random moments and
// finds nothing lost, nothing double and nothing stuck. The environment repeats
// a run or makes it longer: CHAOS_ROUNDS on each engine, CHAOS_SEED, CHAOS_LABELS
// with commas between.
func TestKillAnywhere(t *testing.T) {
	engines := []struct {
		name   string
		rounds int
	}{{"sqlite", 60}, {"postgres", 46}}
	seed := number(t, "CHAOS_SEED", int(time.Now().UnixNano()%1_000_000))
	var labels []string
	if text := os.Getenv("CHAOS_LABELS"); text != "" {
		labels = strings.Split(text, ",")
	}
	for _, e := range engines {
		rounds := number(t, "CHAOS_ROUNDS", e.rounds)
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			total := newReport(e.name, uint64(seed))
			for done := 0; done < rounds; done += worldRounds {
				o := Options{Engine: e.name, Seed: uint64(seed + done/worldRounds), Rounds: min(worldRounds, rounds-done), Batch: 30, Labels: labels}
				if e.name == "postgres" {
					o.Database = testpeer.Postgres(t)
				}
				r, err := Run(t.Context(), o)
				total.merge(r)
				if err != nil {
					t.Fatalf("%v\n%s", err, total)
				}
				if flaws := r.Flaws(); len(flaws) > 0 {
					t.Fatalf("%s\nrepeat it with: CHAOS_SEED=%d CHAOS_ROUNDS=%d go test -run TestKillAnywhere/%s ./internal/chaos", total, o.Seed, o.Rounds, e.name)
				}
				if rounds > worldRounds {
					fmt.Printf("%s %s: %d of %d rounds\n", time.Now().Format(time.TimeOnly), e.name, done+o.Rounds, rounds)
				}
			}
			t.Log(total)
			if len(labels) == 0 {
				for _, label := range total.unhit() {
					t.Errorf("no server came to %s: let a client do what it is a step of", label)
				}
			}
		})
	}
}

// TestLabels: every label that the code names is in the lists that say where
// servers are killed.
func TestLabels(t *testing.T) {
	for _, dir := range []string{"../enroll", "../lifecycle"} {
		files, err := filepath.Glob(dir + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, path := range files {
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				v, ok := n.(*ast.ValueSpec)
				if !ok {
					return true
				}
				for i, name := range v.Names {
					if !strings.HasPrefix(name.Name, "Step") || i >= len(v.Values) {
						continue
					}
					value, ok := v.Values[i].(*ast.BasicLit)
					if !ok {
						continue
					}
					found++
					if label, err := strconv.Unquote(value.Value); err != nil || !slices.Contains(Labels(), label) {
						t.Errorf("%s: the label %s is not in Steps (%v)", dir, value.Value, err)
					}
				}
				return true
			})
		}
		if found == 0 {
			t.Errorf("%s names no label", dir)
		}
	}
}

// TestFirstStartKilled: an installation whose first start was cut off, wherever,
// is one installation in the end.
func TestFirstStartKilled(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, name, address string) {
		for world := range 3 {
			o := Options{Engine: name, Seed: uint64(number(t, "CHAOS_SEED", int(time.Now().UnixNano()%1_000_000)) + world), Rounds: 8}
			if name == "postgres" {
				o.Database = address
				if world > 0 {
					o.Database = testpeer.Postgres(t)
				}
			}
			r, err := RunFirstStart(t.Context(), o)
			if err != nil {
				t.Fatalf("seed %d: %v", o.Seed, err)
			}
			if len(r.Flaws()) > 0 {
				t.Error(r)
			}
		}
	})
}
