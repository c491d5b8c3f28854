package health

import (
	"fmt"
	"time"

	"chancery/internal/ra"
)

const (
	// clockSlack is how far the clock may be behind what was seen before: nodes
	// and their corrections differ by seconds.
	clockSlack = 2 * time.Minute
	// jumpAhead is how far the clock may go ahead of the time that passed while
	// the server runs. Nothing real does that but a machine that was asleep.
	jumpAhead = 24 * time.Hour
	// sleptLong is how long a server may have been away before it first makes
	// sure of the clock.
	sleptLong = 7 * 24 * time.Hour
	// Sustained is how long a clock that is far ahead has to stay so until it
	// is believed.
	Sustained = 15 * time.Minute
)

// trouble is what is wrong with a clock.
type trouble int

const (
	clockFine   trouble = iota
	clockBehind         // before what was recorded: nothing is issued, no job begins
	clockAhead          // jumped while the server ran: the same, until it lasts
	clockSlept          // far from what was recorded at the start: no job begins, until it lasts
)

// clock judges a clock by what was recorded before and by the time that really
// passed. It is not safe for concurrent use.
type clock struct {
	trust bool // what the clock says at the first look is right

	begun  bool
	wall   time.Time     // what the clock said at the last look
	good   time.Time     // the last time that was believed; zero before the first
	passed time.Duration // real time since then
	state  trouble
	since  time.Duration // real time in state without another jump
}

// look judges the clock, which says now; elapsed is the real time since the
// last look, seen the latest time on record.
func (c *clock) look(now time.Time, elapsed time.Duration, seen time.Time) trouble {
	first := !c.begun
	moved := now.Sub(c.wall) - elapsed
	c.begun, c.wall, c.passed, c.since = true, now, c.passed+elapsed, c.since+elapsed
	if moved.Abs() > jumpAhead {
		c.since = 0
	}
	found := clockFine
	switch {
	case first && c.trust:
	case now.Before(seen.Add(-clockSlack)):
		found = clockBehind
	case !c.good.IsZero() && now.Sub(c.good.Add(c.passed)) > jumpAhead:
		found = clockAhead
	case c.good.IsZero() && !seen.IsZero() && now.Sub(seen) > sleptLong:
		found = clockSlept
	}
	if found != c.state {
		c.since = 0
	}
	if found == c.state && found != clockBehind && c.since >= Sustained {
		found = clockFine
	}
	if c.state = found; found == clockFine {
		c.good, c.passed, c.since = now, 0, 0
	}
	return found
}

// clockProblem says what is wrong with a clock that says now.
func clockProblem(t trouble, now, seen time.Time) *ra.Error {
	const remedy = "Set the clock right and keep it so with NTP; the server goes on by itself. When it is right, start the server with --trust-clock once."
	var text string
	switch t {
	case clockFine:
		return nil
	case clockBehind:
		text = fmt.Sprintf("The clock says %s and has gone back: it was %s already.", moment(now), moment(seen))
	case clockAhead:
		text = fmt.Sprintf("The clock has jumped ahead to %s; nothing is issued and nothing expires until it stays so for %s.", moment(now), Sustained)
	case clockSlept:
		text = fmt.Sprintf("The clock says %s, and the last sign of life is of %s; nothing expires and no job begins until it stays so for %s.", moment(now), moment(seen), Sustained)
	}
	return ra.Errorf(ra.Unreachable, "%s", text).WithRemedy("%s", remedy).WithRetry(time.Minute)
}

func moment(t time.Time) string { return t.UTC().Format(time.RFC3339) }
