// Package health watches what a running server stands on: a database that
// takes what is written, keys that open, revocation lists that are current,
// and a clock that can be believed. It looks every few seconds, remembers what
// it found for whoever asks (the readiness address, the doors, the jobs), says
// it loudly once when something breaks and once when it is mended, and repairs
// nothing.
//
// The clock is judged by what is on record and by the time that really passed.
// One that went back issues nothing, because certificates and audit entries
// would be dated before those that are there. One that jumped far ahead issues
// nothing and lets nothing expire until it has stayed there for a while: a
// wrong hour must not end a million certificates.
package health

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"chancery/internal/audit"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// Problem is something that does not work now.
type Problem struct {
	Name    string // what was looked at
	Message string
	Remedy  string
	Stops   bool // the server cannot do its work: it is not ready
}

// Watch is the watch over one server. Fill the fields, then use it; Problems,
// MayIssue and MayWork are safe for concurrent use.
type Watch struct {
	DB  *store.DB
	Now func() time.Time
	Log *slog.Logger
	// Further checks are made at each look, by those who know about them.
	Further []func(context.Context) []Problem
	// TrustClock takes the clock at the first look for right, however far it is
	// from what is on record.
	TrustClock bool
	// Since measures real time; nil means time.Since.
	Since func(time.Time) time.Duration

	looking sync.Mutex // one look at a time; guards clock and looked
	clock   clock
	looked  time.Time

	mu       sync.Mutex
	problems []Problem
	trouble  trouble
	why      *ra.Error // of trouble
}

const (
	// Every is how often the watch looks.
	Every = 5 * time.Second
	// lookWithin bounds one look.
	lookWithin = 4 * time.Second
)

// Run looks until the context ends.
func (w *Watch) Run(ctx context.Context) {
	tick := time.NewTicker(Every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.Look(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// Look looks once, now.
func (w *Watch) Look(ctx context.Context) {
	w.looking.Lock()
	defer w.looking.Unlock()
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	found := w.lookAtClock(ctx)
	known := w.state() == clockFine
	if err := w.DB.Probe(ctx, known); err != nil {
		found = append(found, problemOf("database", err))
	} else {
		for _, check := range w.Further {
			found = append(found, check(ctx)...)
		}
	}
	if ctx.Err() == context.Canceled {
		return // the server stops
	}
	w.note(found)
}

// lookAtClock judges the clock; without a database it stays as it was judged.
func (w *Watch) lookAtClock(ctx context.Context) []Problem {
	var seen time.Time
	if err := w.DB.Read(ctx, func(tx *store.Tx) (err error) {
		seen, err = tx.Seen()
		return err
	}); err != nil {
		return w.clockProblems()
	}
	since := w.Since
	if since == nil {
		since = time.Since
	}
	var elapsed time.Duration
	if !w.looked.IsZero() {
		elapsed = since(w.looked)
	}
	first := w.looked.IsZero()
	w.looked = time.Now()
	w.clock.trust = w.TrustClock
	now := w.Now()
	t := w.clock.look(now, elapsed, seen)
	w.mu.Lock()
	w.trouble, w.why = t, clockProblem(t, now, seen)
	w.mu.Unlock()
	if first && w.TrustClock {
		w.trust(ctx, seen)
	}
	return w.clockProblems()
}

// trust records that the clock is right, so that what was seen before counts no
// more. A clock that is not trusted writes nothing on record: an entry of a
// wrong year would make the right one look wrong.
func (w *Watch) trust(ctx context.Context, seen time.Time) {
	err := w.DB.Write(ctx, func(tx *store.Tx) error {
		if err := tx.ForgetSeen(); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.ClockTrusted, Actor: ra.System("health"), Message: "The clock was declared right by whoever started the server.",
			Details: map[string]any{"seen": seen}})
	})
	if err != nil {
		w.Log.Error("that the clock is right cannot be recorded", "error", err)
	}
}

func (w *Watch) state() trouble {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.trouble
}

func (w *Watch) clockProblems() []Problem {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.why == nil {
		return nil
	}
	return []Problem{{Name: "clock", Message: w.why.Message, Remedy: w.why.Remedy, Stops: w.trouble != clockSlept}}
}

// note keeps what was found and tells what is new and what is mended.
func (w *Watch) note(found []Problem) {
	w.mu.Lock()
	before := w.problems
	w.problems = found
	w.mu.Unlock()
	for _, p := range found {
		if !named(before, p.Name) {
			w.Log.Error("something this server needs does not work", "what", p.Name, "problem", p.Message, "remedy", p.Remedy)
		}
	}
	for _, p := range before {
		if !named(found, p.Name) {
			w.Log.Warn("it works again", "what", p.Name)
		}
	}
}

func named(list []Problem, name string) bool {
	for _, p := range list {
		if p.Name == name {
			return true
		}
	}
	return false
}

func problemOf(name string, err error) Problem {
	if errors.Is(err, context.DeadlineExceeded) {
		return Problem{Name: name, Message: "It does not answer in time.", Remedy: "Check that it runs and can be reached, and look at its load; the server goes on by itself.", Stops: true}
	}
	e := ra.AsError(err)
	if e.Kind == ra.Internal {
		return Problem{Name: name, Message: "It does not do what it is asked to.", Remedy: "Look in the log of the server.", Stops: true}
	}
	return Problem{Name: name, Message: e.Message, Remedy: e.Remedy, Stops: true}
}

// Problems gives what did not work at the last look.
func (w *Watch) Problems() []Problem {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.problems
}

// MayIssue is nil, or says why nothing is issued now: an Unreachable that tells
// when to try again.
func (w *Watch) MayIssue() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.trouble == clockBehind || w.trouble == clockAhead {
		return w.why
	}
	return nil
}

// MayWork is nil, or says why no job begins now.
func (w *Watch) MayWork() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.why != nil {
		return w.why
	}
	return nil
}
