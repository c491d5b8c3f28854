package chaos

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// Report is what came of the rounds. It is safe for concurrent use.
type Report struct {
	Engine string
	Seed   uint64

	mu       sync.Mutex
	began    time.Time
	rounds   int
	batches  int
	kills    map[string]int // by label; "start" and "random" are the parent's
	hits     map[string]int64
	enrolled int
	renewed  int
	revoke   int
	here     int
	swept    int
	given    int
	round    string // what runs now
	flaws    []Flaw
	errors   map[string]error // the last trouble of each client
}

func newReport(engine string, seed uint64) *Report {
	return &Report{Engine: engine, Seed: seed, began: time.Now(), kills: map[string]int{}, hits: map[string]int64{}, errors: map[string]error{}}
}

// kinds are the lines of the summary, in order.
var kinds = []string{"lost", "double", "stuck", "refused", "obligation", "revocation", "crl", "audit", "session"}

func (r *Report) flaw(kind, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.flaws) < 100 {
		r.flaws = append(r.flaws, Flaw{kind, fmt.Sprintf(format, args...) + " [" + r.round + "]"})
	}
}

func (r *Report) now(round string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.round = round
}

func (r *Report) killed(how string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rounds++
	r.kills[how]++
}

func (r *Report) count(renewal bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if renewal {
		r.renewed++
	} else {
		r.enrolled++
	}
}

func (r *Report) revoked() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.revoke++
}

func (r *Report) made(cancelled bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if cancelled {
		r.given++
	} else {
		r.here++
	}
}

func (r *Report) last(who string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors[who] = err
}

// merge adds what another report counted.
func (r *Report) merge(o *Report) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rounds, r.batches = r.rounds+o.rounds, r.batches+o.batches
	r.enrolled, r.renewed, r.revoke = r.enrolled+o.enrolled, r.renewed+o.renewed, r.revoke+o.revoke
	r.here, r.swept, r.given = r.here+o.here, r.swept+o.swept, r.given+o.given
	for label, n := range o.kills {
		r.kills[label] += n
	}
	for label, n := range o.hits {
		r.hits[label] += n
	}
	r.flaws = append(r.flaws, o.flaws...)
}

// unhit lists the labels that no server ever came to.
func (r *Report) unhit() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(Labels(), func(label string) bool { return r.hits[label] > 0 })
}

// Flaws gives what was wrong.
func (r *Report) Flaws() []Flaw {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.flaws)
}

// String is the summary.
func (r *Report) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	count := map[string]int{}
	for _, f := range r.flaws {
		count[f.Kind]++
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d rounds in %s (seed %d), ledger drawn up %d times\n", r.Engine, r.rounds, time.Since(r.began).Round(time.Second), r.Seed, r.batches)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "  enrolled\t%d\tkeys made here\t%d\n  renewed by device\t%d\trenewed by the server\t%d\n  revoked\t%d\tcancelled at the authority\t%d\n", r.enrolled, r.here, r.renewed, r.swept, r.revoke, r.given)
	for _, label := range slices.Sorted(maps.Keys(r.kills)) {
		fmt.Fprintf(t, "  killed at %s\t%d\tcame up\t%d\n", label, r.kills[label], r.hits[label])
	}
	for _, kind := range kinds {
		fmt.Fprintf(t, "  %s\t%d\t\t\n", kind, count[kind])
	}
	t.Flush()
	for _, f := range r.flaws {
		fmt.Fprintf(&b, "  %s: %s\n", strings.ToUpper(f.Kind), f.Text)
	}
	return b.String()
}
