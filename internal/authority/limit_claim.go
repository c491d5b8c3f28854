package authority

import (
	"context"
	"time"

	"chancery/internal/store"
)

// share is how many calls in a row somebody waits for while the background
// waits too; the next one belongs to the background, on whatever node it is.
const share = 3

const (
	// lump is for how long one question to the database decides where a rate
	// is high: a call every 2 ms needs no transaction each.
	lump = 100 * time.Millisecond
	// look is how long pump waits when all places are taken on other nodes, or
	// when it is their turn.
	look = 100 * time.Millisecond
	// stale is how old the database's leave may be when it arrives. One that
	// was longer on its way is not used, because the next call elsewhere might
	// begin too soon after this one.
	stale = 250 * time.Millisecond
)

// claim is what one node asks of the database, and what it gets.
type claim struct {
	waiting [2]int // how many wait here, of each class
	gap     time.Duration
	most    int // calls open at once over all nodes; 0: not counted

	who   class
	calls int           // that may begin now, one each gap
	wait  time.Duration // none may: ask again then
	sure  bool          // nobody's call begins before wait is over
}

// decide is the whole arithmetic, over the row that all nodes share, at an
// instant of the clock that all nodes share, with open calls counted then. It
// changes the row.
//
// A rate is a row with the instant when the next call may begin. Only a call
// that may begin now moves it, so that calls that are waited for never stand
// behind a promise made to the background.
func (c *claim) decide(row *store.Limit, now time.Time, open int) {
	ahead := max(c.gap, lump)
	if row.FreeAt.After(now.Add(ahead)) { // the limit was raised, or the clock was set back
		row.FreeAt = now.Add(ahead)
	}
	waits := func(who class, mark time.Time) bool {
		return c.waiting[who] > 0 || mark.After(now) && mark.Before(now.Add(ahead+time.Minute))
	}
	urgents, calms := waits(urgent, row.UrgentUntil), waits(calm, row.CalmUntil)
	c.who = calm
	if urgents && (row.Streak < share || !calms) {
		c.who = urgent
	}
	n := c.waiting[c.who]
	switch {
	case c.gap > 0 && row.FreeAt.After(now):
		c.wait, c.sure, n = row.FreeAt.Sub(now), true, 0
	case c.most > 0 && open >= c.most:
		c.wait, n = look, 0
	case n == 0: // another node's turn
		c.wait = min(max(c.gap/2, 5*time.Millisecond), look)
	}
	if c.most > 0 {
		n = min(n, c.most-open)
	}
	if c.gap > 0 {
		n = min(n, max(1, int(lump/c.gap)))
	}
	if other := 1 - c.who; n > 0 && (other == calm && calms || other == urgent && urgents) {
		n = min(n, max(1, share-row.Streak))
		if c.who == calm {
			n = 1
		}
	}
	if n = max(n, 0); n > 0 {
		c.calls = n
		row.FreeAt = now.Add(time.Duration(n) * c.gap)
		row.Streak = streakAfter(row.Streak, c.who, n)
	}
	left := c.waiting
	left[c.who] -= n
	mark := now.Add(c.wait + min(max(2*c.gap, 2*look), time.Second))
	if left[urgent] > 0 {
		row.UrgentUntil = mark
	} else if c.who == urgent && n > 0 {
		row.UrgentUntil = time.Time{}
	}
	if left[calm] > 0 {
		row.CalmUntil = mark
	} else if c.who == calm && n > 0 {
		row.CalmUntil = time.Time{}
	}
}

// streakAfter counts urgent calls since the last calm one.
func streakAfter(streak int, who class, n int) int {
	if who == calm {
		return 0
	}
	return min(streak+n, share)
}

// gap is the time between the beginnings of two calls; zero without a rate.
func (l *limits) gap() time.Duration {
	if l.of.RatePerSecond <= 0 {
		return 0
	}
	return time.Duration(float64(time.Second) / l.of.RatePerSecond)
}

// pump asks the database on behalf of everybody who waits here, and lets them
// begin as it says. It ends when nobody waits.
func (l *limits) pump() {
	late := stale
	for {
		c, slots := l.ask()
		if c == nil {
			return
		}
		began := time.Now()
		err := l.claim(c, slots)
		took := time.Since(began)
		switch {
		case err != nil:
			l.log.Warn("the limits of an authority cannot be looked up", "authority", l.of.Name, "error", err)
			l.rest(time.Second, c)
		case c.calls == 0:
			l.rest(c.wait, c)
		case took > late:
			late *= 2
			for _, slot := range slots[:c.calls] {
				l.giveBack(slot)
			}
		default:
			late = stale
			l.handOut(c, slots)
			// Whoever waits still has been announced: there is nothing to ask
			// before the next call may begin.
			c.wait, c.sure = time.Until(began.Add(time.Duration(c.calls)*c.gap)), true
			l.rest(c.wait, c)
		}
	}
}

// ask gathers what is wanted here now, with names for the slots of the calls.
// It is nil when nobody waits; pump has ended then.
func (l *limits) ask() (*claim, []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if len(l.waiting[urgent])+len(l.waiting[calm]) == 0 {
			l.pumping = false
			return nil, nil
		}
		if l.free > 0 {
			break
		}
		l.mu.Unlock()
		<-l.wake // a call ends, or somebody leaves
		l.mu.Lock()
	}
	c := &claim{gap: l.gap()}
	if l.counted() {
		c.most = l.of.MaxInFlight
	}
	for who := range c.waiting {
		c.waiting[who] = min(len(l.waiting[who]), l.free)
	}
	slots := make([]string, max(c.waiting[urgent], c.waiting[calm]))
	for i := range slots {
		if c.most > 0 {
			slots[i] = slotID()
		}
	}
	return c, slots
}

// claim asks the database.
func (l *limits) claim(c *claim, slots []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	lease := l.longestWanted()
	asked := *c
	return l.db.Write(ctx, func(tx *store.Tx) error {
		*c = asked // this may run again
		row, err := tx.Limit(l.of.ID)
		if err != nil {
			return err
		}
		now, err := tx.Instant() // after the row is locked
		if err != nil {
			return err
		}
		open := 0
		if c.most > 0 {
			if open, err = tx.OpenSlots(l.of.ID, now, longestLease); err != nil {
				return err
			}
		}
		c.decide(&row, now, open)
		if c.most > 0 {
			for _, slot := range slots[:c.calls] {
				if err := tx.TakeSlot(slot, l.of.ID, now, now.Add(lease)); err != nil {
					return err
				}
			}
		}
		return tx.PutLimit(row)
	})
}

// longestWanted is how long the longest of the calls that wait here takes at
// most, with the margin of a lease.
func (l *limits) longestWanted() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	ends := time.Now()
	for _, class := range l.waiting {
		for _, w := range class {
			if w.ends.After(ends) {
				ends = w.ends
			}
		}
	}
	return min(time.Until(ends)+leaseMargin, longestLease)
}

// handOut lets the calls begin, a gap apart.
func (l *limits) handOut(c *claim, slots []string) {
	for i, slot := range slots[:c.calls] {
		if i > 0 && c.gap > 0 {
			time.Sleep(c.gap)
		}
		l.mu.Lock()
		who := c.who
		if len(l.waiting[who]) == 0 {
			who = 1 - who
		}
		var w *waiter
		if len(l.waiting[who]) > 0 && l.free > 0 {
			w, l.waiting[who] = l.waiting[who][0], l.waiting[who][1:]
			l.free--
			w.turn <- slot
		}
		l.mu.Unlock()
		if w == nil {
			l.giveBack(slot)
		}
	}
}

// giveBack gives a slot of the database back that nobody used.
func (l *limits) giveBack(slot string) {
	if slot != "" {
		l.release(slot)
	}
}

// rest waits for a span. It is cut short when nobody waits any more, and when
// somebody came whose like did not wait before: the other nodes must hear of
// that. Whoever would leave before a call can begin is sent away at once.
func (l *limits) rest(span time.Duration, c *claim) {
	if span <= 0 {
		return
	}
	over := time.Now().Add(span)
	timer := time.NewTimer(span)
	defer timer.Stop()
	for {
		l.mu.Lock()
		if c.sure {
			l.dismiss(over)
		}
		none := len(l.waiting[urgent])+len(l.waiting[calm]) == 0
		other := len(l.waiting[urgent]) > 0 && c.waiting[urgent] == 0 || len(l.waiting[calm]) > 0 && c.waiting[calm] == 0
		l.mu.Unlock()
		if none || other {
			return
		}
		select {
		case <-timer.C:
			return
		case <-l.wake:
		}
	}
}

// dismiss sends those away who leave before an instant. l.mu is held.
func (l *limits) dismiss(before time.Time) {
	for who, list := range l.waiting {
		var stay []*waiter
		for _, w := range list {
			if w.until.Before(before) {
				close(w.turn)
			} else {
				stay = append(stay, w)
			}
		}
		l.waiting[who] = stay
	}
}
