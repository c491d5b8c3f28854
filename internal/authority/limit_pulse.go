package authority

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"chancery/internal/audit"
	"chancery/internal/ra"
	"chancery/internal/store"
)

const (
	// silence is how many calls in a row must go unanswered before an
	// authority counts as down: then one call at a time finds out whether it is
	// back, and nobody else's attempt is spent on it. Where little is asked,
	// two calls that are longSilence apart will do.
	silence     = 5
	longSilence = 10 * time.Minute
	// The next call to a silent authority comes after probeFirst, then later
	// and later.
	probeFirst = 15 * time.Second
	probeMost  = 5 * time.Minute
	// tellAfter is how long an authority is down before people hear of it.
	tellAfter = 5 * time.Minute
	// flushEvery is how often this node stores what it has learnt.
	flushEvery = 30 * time.Second
)

// pulse is what this node knows of how an authority is doing: whether it
// answers, how long it takes. It is shared by everything that talks to it.
type pulse struct {
	db  *store.DB
	log *slog.Logger
	now func() time.Time

	mu       sync.Mutex
	failures int       // in a row
	first    time.Time // of them
	since    time.Time // when it went down; zero: it answers
	probes   int       // since then
	probeAt  time.Time // when the next call is let through
	probing  bool      // one is under way
	lastErr  string
	answered time.Time     // the beginning of the last call that was answered
	mean     time.Duration // of answered calls, the recent ones counting most

	gathered store.Experience
	flushed  time.Time
}

func (s *Service) pulseOf(id ra.AuthorityID) *pulse {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pulses[id]
	if p == nil {
		p = &pulse{db: s.DB, log: s.Log, now: s.Now, flushed: s.Now()}
		if s.pulses == nil {
			s.pulses = map[ra.AuthorityID]*pulse{}
		}
		s.pulses[id] = p
	}
	return p
}

// admit lets a call go on unless the authority is down; then one at a time,
// the probe.
func (p *pulse) admit(o *Open) (probe bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.since.IsZero() {
		return false, nil
	}
	now := p.now()
	if !p.probing && !now.Before(p.probeAt) {
		p.probing = true
		return true, nil
	}
	return false, ra.Errorf(ra.Unreachable, "The authority %q does not answer since %s UTC.", o.Authority.Name, p.since.UTC().Format("2006-01-02 15:04")).
		WithRemedy("Nothing is lost: it is asked again by itself until it answers. " + remedyDown).
		WithRetry(max(p.probeAt.Sub(now), probeFirst)).WithCause(errors.New(p.lastErr))
}

const remedyDown = "Test its connection to see which step fails."

// withdraw: an admitted call was not made, or nothing is known of it.
func (p *pulse) withdraw(probe bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.probing = p.probing && !probe
}

// observe makes a call and learns from it.
func (p *pulse) observe(ctx context.Context, o *Open, who class, probe bool, call func() error) error {
	began := p.now()
	took := time.Now()
	ended := false
	defer func() {
		if !ended { // it panicked, or its goroutine ended: nothing is known
			p.withdraw(probe)
		}
	}()
	err := call()
	ended = true
	p.learn(context.WithoutCancel(ctx), o, who, probe, began, time.Since(took), err)
	return err
}

// said is what the end of a call says about the authority.
type said int

const (
	answered  said = iota // yes or no
	silent                // it did not answer
	unrelated             // the call ended here
)

func saidBy(err error) said {
	switch {
	case err == nil:
		return answered
	case errors.Is(err, context.Canceled):
		return unrelated
	case ra.KindOf(err) == ra.Unreachable || errors.Is(err, context.DeadlineExceeded):
		return silent
	case ra.KindOf(err) == ra.Internal:
		return unrelated
	}
	return answered
}

func (p *pulse) learn(ctx context.Context, o *Open, who class, probe bool, began time.Time, took time.Duration, err error) {
	now := p.now()
	p.mu.Lock()
	p.gathered.Calls++
	p.gathered.Took += took
	if who == calm {
		p.gathered.Background++
	}
	p.probing = p.probing && !probe
	var note *store.Outage
	back := false
	switch saidBy(err) {
	case answered:
		back = !p.since.IsZero()
		p.failures, p.since, p.answered = 0, time.Time{}, began
		if p.mean == 0 {
			p.mean = took
		}
		p.mean += (took - p.mean) / 16
	case silent:
		p.gathered.Failures++
		if p.failures++; p.failures == 1 {
			p.first = began
		}
		p.lastErr = ra.AsError(err).Message
		down := p.failures >= silence || p.failures > 1 && now.Sub(p.first) >= longSilence
		if fresh := p.since.IsZero() && down; fresh || probe {
			if fresh {
				p.since, p.probes = p.first, 0
			}
			p.probeAt = now.Add(min(probeFirst<<min(p.probes, 10), probeMost))
			p.probes++
			note = &store.Outage{Authority: o.Authority.ID, Since: p.since, SeenAt: now, ProbeAt: p.probeAt, LastError: p.lastErr}
		}
	}
	var flush *store.Experience
	if now.Sub(p.flushed) >= flushEvery || back || note != nil {
		flush, p.flushed = &store.Experience{}, now
		*flush, p.gathered = p.gathered, *flush
	}
	last := p.answered
	p.mu.Unlock()
	if flush == nil {
		return
	}
	if err := p.db.Write(ctx, func(tx *store.Tx) error {
		if err := tx.AddExperience(o.Authority.ID, *flush); err != nil {
			return err
		}
		if note != nil {
			return tx.NoteOutage(*note)
		}
		return endOutage(tx, o.Authority, last)
	}); err != nil {
		p.log.Warn("what was learnt of an authority is not stored", "authority", o.Authority.Name, "error", err)
	}
}

// endOutage: an authority that answered a call that began after the last failed
// one is back, whichever node saw it fail. Who was told of the outage is told
// of its end.
func endOutage(tx *store.Tx, a *ra.Authority, at time.Time) error {
	down, err := tx.Outage(a.ID)
	if err != nil || down == nil || at.Before(down.SeenAt) {
		return err
	}
	if ended, err := tx.EndOutage(a.ID); err != nil || !ended || down.ToldAt.IsZero() {
		return err
	}
	return audit.Record(tx, audit.Entry{Code: audit.AuthorityUp, Actor: ra.System("authority"), Group: a.GroupID, Object: string(a.ID),
		Message: fmt.Sprintf("Authority %s answers again, after %s. What waited is done now, what ends first before the rest.", a.Name, at.Sub(down.Since).Round(time.Minute))})
}

// Watch gives the outage an authority is in, or nil, and tells people of it
// once, when it has lasted for five minutes. It is called by the planner.
func Watch(tx *store.Tx, a *ra.Authority) (*store.Outage, error) {
	down, err := tx.Outage(a.ID)
	if err != nil || down == nil || !down.ToldAt.IsZero() || tx.Now.Sub(down.Since) < tellAfter {
		return down, err
	}
	if err := tx.ToldOutage(a.ID); err != nil {
		return down, err
	}
	return down, audit.Record(tx, audit.Entry{Code: audit.AuthorityDown, Actor: ra.System("authority"), Group: a.GroupID, Object: string(a.ID), Result: "failed",
		Message: fmt.Sprintf("Authority %s does not answer since %s UTC. Nothing is lost and everything is tried again by itself.", a.Name, down.Since.Format("2006-01-02 15:04")),
		Details: map[string]any{"last_error": down.LastError, "remedy": remedyDown}})
}

// Budget is how much work of an authority the planner may hand out.
type Budget struct {
	Calls int           // that may be out at a time
	Gap   time.Duration // between two of them; zero: none
}

// most bounds what is handed out of one authority's work at a time.
const most = 2000

// Budget gives what may be handed out for the coming span. While the
// authority is down it is one call when it is time to look, else none. Its
// limits, how long its calls take, and whether somebody waits for one just now
// are what it goes by; the background keeps its share.
func (o *Open) Budget(ctx context.Context, span time.Duration) (b Budget, err error) {
	l := o.limits
	err = o.pulse.db.Read(ctx, func(tx *store.Tx) error {
		down, err := tx.Outage(o.Authority.ID)
		if err != nil {
			return err
		}
		if down != nil {
			if !tx.Now.Before(down.ProbeAt) {
				b.Calls = 1
			}
			return nil
		}
		var row store.Limit
		var now time.Time
		if l.shared {
			if row, err = tx.Limit(o.Authority.ID); err != nil {
				return err
			}
			if now, err = tx.Instant(); err != nil {
				return err
			}
		}
		b = l.budget(span, o.pulse.typical(), row.UrgentUntil.After(now))
		return nil
	})
	return b, err
}

// budget is the arithmetic of Budget; took is how long a call takes, or zero.
func (l *limits) budget(span, took time.Duration, busy bool) Budget {
	b := Budget{Calls: most, Gap: l.gap()}
	if each := took / time.Duration(l.slots); l.of.MaxInFlight > 0 || each > 5*time.Millisecond {
		b.Gap = max(b.Gap, each)
	}
	if b.Gap > 0 {
		b.Calls = max(1, int(span/b.Gap))
	}
	if l.of.MaxInFlight > 0 && took == 0 {
		b.Calls = min(b.Calls, 4*l.slots)
	}
	if busy {
		b.Calls, b.Gap = max(1, b.Calls/(share+1)), b.Gap*(share+1)
	}
	b.Calls = min(b.Calls, most)
	return b
}

// typical is how long a call takes; zero when there was none yet.
func (p *pulse) typical() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mean
}
