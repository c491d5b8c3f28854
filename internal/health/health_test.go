package health

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"chancery/internal/job/jobtest"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/testpeer"
)

func TestMain(m *testing.M) { testpeer.Main(m, jobtest.Tables) }

var noon = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)

func TestClock(t *testing.T) {
	type look struct {
		wall    time.Duration // after noon
		elapsed time.Duration // real time since the look before
		want    trouble
	}
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		seen  time.Duration // after noon
		never bool          // nothing was seen
		trust bool
		looks []look
	}{
		"a first start":                {never: true, looks: []look{{0, 0, clockFine}, {5 * time.Second, 5 * time.Second, clockFine}}},
		"a start after a day":          {seen: -day, looks: []look{{0, 0, clockFine}}},
		"nodes that differ by seconds": {seen: time.Minute, looks: []look{{0, 0, clockFine}}},
		"an hour back":                 {seen: time.Hour, looks: []look{{0, 0, clockBehind}, {time.Minute, time.Minute, clockBehind}, {time.Hour, 59 * time.Minute, clockFine}}},
		"trusted though behind":        {seen: time.Hour, trust: true, looks: []look{{0, 0, clockFine}}},
		"a start after a month": {seen: -30 * day, looks: []look{{0, 0, clockSlept}, {time.Minute, time.Minute, clockSlept},
			{Sustained - time.Second, Sustained - time.Second - time.Minute, clockSlept}, {Sustained, time.Second, clockFine}}},
		"trusted after a month":   {seen: -30 * day, trust: true, looks: []look{{0, 0, clockFine}}},
		"a year ahead and back":   {seen: 0, looks: []look{{0, 0, clockFine}, {365 * day, time.Second, clockAhead}, {365*day + time.Minute, time.Minute, clockAhead}, {62 * time.Second, time.Second, clockFine}}},
		"a year ahead for good":   {seen: 0, looks: []look{{0, 0, clockFine}, {365 * day, 0, clockAhead}, {365*day + Sustained, Sustained, clockFine}, {365*day + Sustained + time.Hour, time.Hour, clockFine}}},
		"an hour ahead":           {seen: 0, looks: []look{{0, 0, clockFine}, {time.Hour, time.Second, clockFine}}},
		"a long time that passed": {seen: 0, looks: []look{{0, 0, clockFine}, {3 * day, 3 * day, clockFine}}},
	} {
		var k clock
		k.trust = c.trust
		seen := noon.Add(c.seen)
		if c.never {
			seen = time.Time{}
		}
		for i, l := range c.looks {
			if got := k.look(noon.Add(l.wall), l.elapsed, seen); got != l.want {
				t.Errorf("%s, look %d: %d, want %d", name, i, got, l.want)
			}
		}
	}
}

// world is a watch with a clock and a time that tests move.
type world struct {
	*Watch
	mu     sync.Mutex
	now    time.Time
	passed time.Duration
	log    bytes.Buffer
}

func newWorld(t *testing.T, address string) *world {
	w := &world{now: noon}
	clock := func() time.Time {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.now
	}
	db, err := store.Open(t.Context(), address, clock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	w.Watch = &Watch{DB: db, Now: clock, Log: slog.New(slog.NewTextHandler(&w.log, nil)), Since: func(time.Time) time.Duration { return w.passed }}
	return w
}

// after moves the clock, and the time that really passed, and looks.
func (w *world) after(ctx context.Context, clock, passed time.Duration) {
	w.mu.Lock()
	w.now, w.passed = w.now.Add(clock), passed
	w.mu.Unlock()
	w.Look(ctx)
}

func TestWatchOverTheClock(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) {
		w := newWorld(t, address)
		w.after(t.Context(), 0, 0)
		may := func(issue, work bool) {
			t.Helper()
			for what, c := range map[string]struct {
				err  error
				want bool
			}{"issue": {w.MayIssue(), issue}, "work": {w.MayWork(), work}} {
				if (c.err == nil) != c.want {
					t.Errorf("may %s: %v", what, c.err)
				}
				if c.err != nil && (ra.KindOf(c.err) != ra.Unreachable || ra.AsError(c.err).Retry <= 0 || ra.AsError(c.err).Remedy == "") {
					t.Errorf("may not %s: %+v", what, c.err)
				}
			}
		}
		may(true, true)
		w.after(t.Context(), 365*24*time.Hour, Every) // a wrong year
		may(false, false)
		if p := w.Problems(); len(p) != 1 || p[0].Name != "clock" || !p[0].Stops {
			t.Errorf("problems: %+v", p)
		}
		w.after(t.Context(), -365*24*time.Hour+Every, Every) // and the right one again
		may(true, true)
		w.after(t.Context(), -time.Hour, Every)
		may(false, false)
		w.after(t.Context(), time.Hour, Every)
		may(true, true)
		if log := w.log.String(); strings.Count(log, "level=ERROR") != 2 || strings.Count(log, "it works again") != 2 {
			t.Errorf("the log says\n%s", log)
		}

		// A start with a clock that is behind, and one where a person says that
		// it is right.
		again := &Watch{DB: w.DB, Now: w.Now, Log: w.Log}
		w.after(t.Context(), 0, Every)
		w.mu.Lock()
		w.now = w.now.Add(-48 * time.Hour)
		w.mu.Unlock()
		again.Look(t.Context())
		if again.MayIssue() == nil || again.MayWork() == nil {
			t.Error("a start with a clock of two days ago works")
		}
		trusting := &Watch{DB: w.DB, Now: w.Now, Log: w.Log, TrustClock: true}
		trusting.Look(t.Context())
		trusting.Look(t.Context())
		if err := trusting.MayIssue(); err != nil {
			t.Errorf("a trusted clock: %v", err)
		}
	})
}

func TestWatchOverTheDatabase(t *testing.T) {
	w := newWorld(t, testpeer.SQLite(t))
	further := []Problem{{Name: "list", Message: "m", Remedy: "r"}}
	w.Further = []func(context.Context) []Problem{func(context.Context) []Problem { return further }}
	w.Look(t.Context())
	if p := w.Problems(); len(p) != 1 || p[0].Name != "list" {
		t.Errorf("problems: %+v", p)
	}
	further = nil
	if _, err := w.DB.Pool().Exec("PRAGMA query_only = 1"); err != nil {
		t.Fatal(err)
	}
	w.Look(t.Context())
	if p := w.Problems(); len(p) != 1 || p[0].Name != "database" || !p[0].Stops || p[0].Remedy == "" {
		t.Errorf("problems: %+v", p)
	}
	if _, err := w.DB.Pool().Exec("PRAGMA query_only = 0"); err != nil {
		t.Fatal(err)
	}
	w.Look(t.Context())
	if p := w.Problems(); len(p) != 0 {
		t.Errorf("problems: %+v", p)
	}
	var left int
	if err := w.DB.Pool().QueryRow("SELECT count(*) FROM facts WHERE name LIKE 'health.%'").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d facts left behind, %v", left, err)
	}
}
