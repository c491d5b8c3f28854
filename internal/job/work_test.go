package job_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"chancery/internal/job"
	"chancery/internal/ra"
	"chancery/internal/testpeer"
)

// hasty has a time limit of its own.
type hasty struct {
	Milliseconds int `json:"milliseconds"`
}

func (hasty) Kind() string             { return "test.hasty" }
func (h hasty) Timeout() time.Duration { return time.Duration(h.Milliseconds) * time.Millisecond }

const confidential = "pa55word"

func TestVerdict(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name    string
		first   func() error // of the first attempt; the second goes well
		max     int
		runs    int
		wait    time.Duration // at least, between the two
		state   string
		attempt int
		stored  string // what the row says of the first attempt
		log     string
	}{
		{name: "plain error", first: func() error { return errors.New(confidential) },
			runs: 2, wait: 800 * time.Millisecond, state: "completed", attempt: 2, stored: "Something went wrong", log: "level=WARN"},
		{name: "error with cause", first: func() error {
			return fmt.Errorf("step: %w", ra.Errorf(ra.Unreachable, "The CA does not answer.").WithRemedy("Start it.").WithCause(errors.New(confidential)))
		}, runs: 2, wait: 800 * time.Millisecond, state: "completed", attempt: 2, stored: "The CA does not answer. Start it.", log: "level=WARN"},
		{name: "never", first: func() error {
			return ra.Errorf(ra.RefusedByCA, "The CA said no.").WithCause(errors.New(confidential)).WithRetry(ra.Never)
		}, runs: 1, state: "cancelled", attempt: 1, stored: "The CA said no.", log: "level=ERROR"},
		{name: "wait", first: func() error {
			return ra.Errorf(ra.Busy, "Not yet.").WithCause(errors.New(confidential)).WithRetry(2500 * time.Millisecond)
		}, runs: 2, wait: 2500 * time.Millisecond, state: "completed", attempt: 1, log: "level=INFO"},
		{name: "panic", first: func() error { panic(confidential) },
			runs: 2, wait: 800 * time.Millisecond, state: "completed", attempt: 2, stored: "Something went wrong", log: "stack="},
		{name: "last attempt", first: func() error { return errors.New(confidential) }, max: 1,
			runs: 1, state: "discarded", attempt: 1, stored: "Something went wrong", log: "level=ERROR"},
	}
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) {
		t.Parallel()
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				db := openStore(t, address)
				var out log
				q := openQueue(t, db, job.Options{Log: out.logger()})
				if _, err := db.Pool().ExecContext(t.Context(), "DELETE FROM river_job"); err != nil {
					t.Fatal(err)
				}
				var runs atomic.Int32
				var began, again time.Time
				job.Handle(q, func(context.Context, note) error {
					if runs.Add(1) == 1 {
						began = time.Now()
						return c.first()
					}
					again = time.Now()
					return nil
				})
				start(t, q)
				put(t, db, q, note{}, job.PutOptions{MaxAttempts: c.max})
				r := awaitState(t, db, "test.note", c.state)
				stop(t, q)
				if got := int(runs.Load()); got != c.runs {
					t.Errorf("ran %d times, want %d", got, c.runs)
				}
				if r.attempt != c.attempt {
					t.Errorf("%d attempts counted, want %d", r.attempt, c.attempt)
				}
				if c.runs == 2 && again.Sub(began) < c.wait {
					t.Errorf("tried again after %s, want at least %s", again.Sub(began), c.wait)
				}
				if !strings.Contains(r.errors, c.stored) || c.stored == "" && r.errors != "" {
					t.Errorf("stored errors %q, want %q in them", r.errors, c.stored)
				}
				if strings.Contains(r.errors, confidential) {
					t.Errorf("the cause was stored: %s", r.errors)
				}
				text := out.String()
				if strings.Count(text, confidential) < 1 || !strings.Contains(text, c.log) || !strings.Contains(text, "kind=test.note") {
					t.Errorf("the log does not tell the cause with %s:\n%s", c.log, text)
				}
				if n := strings.Count(text, "level="); n != 1 {
					t.Errorf("%d lines of log for one failure:\n%s", n, text)
				}
			})
		}
	})
}

func TestTimeLimit(t *testing.T) {
	t.Parallel()
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) {
		t.Parallel()
		db := openStore(t, address)
		q := openQueue(t, db, job.Options{Timeout: time.Second})
		limits := newRecords()
		job.Handle(q, func(ctx context.Context, h hasty) error {
			began := time.Now()
			<-ctx.Done()
			if took := time.Since(began); took > 900*time.Millisecond {
				limits.write("late: " + took.String())
			}
			limits.write(ctx.Err().Error())
			return ctx.Err()
		})
		job.Handle(q, func(ctx context.Context, _ note) error {
			<-ctx.Done()
			limits.write(ctx.Err().Error())
			return ctx.Err()
		})
		start(t, q)
		put(t, db, q, hasty{Milliseconds: 50}, job.PutOptions{MaxAttempts: 1})
		put(t, db, q, note{}, job.PutOptions{MaxAttempts: 1})
		limits.await(t, 2)
		if got := limits.count(context.DeadlineExceeded.Error()); got != 2 {
			t.Errorf("got %q, want two jobs at their time limit", limits.all())
		}
		awaitState(t, db, "test.hasty", "discarded")
		awaitState(t, db, "test.note", "discarded")
	})
}
