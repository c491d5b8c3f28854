package authority

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/seal"
	"chancery/internal/secret"
	"chancery/internal/store"
)

const (
	slotTable = "scep_slots"
	slotField = "challenge"
	// slotFetch is how long a fetch may take. It goes on when nobody waits for
	// it any more: a challenge that was made is to be found later.
	slotFetch = 45 * time.Second
	// slotLease is how long a place in the queue is kept without a sign of life
	// of the node it is on.
	slotLease = 15 * time.Second
	// slotLook is how often a node with waiters looks for what others did.
	slotLook = 300 * time.Millisecond
	// slotShort is the shortest life of a challenge worth handing out again.
	slotShort = 5 * time.Second
)

// slots is ca.Slots on the database, for one authority. The rows of table
// scep_slots are the account: a row is written before the server is asked, so
// that a crash leaves it, and counts until its life is over. Whoever waits has a
// row too, by which all nodes agree on whose turn it is. On each node one
// goroutine, pump, looks for the turns of all who wait here; it ends when nobody
// does.
type slots struct {
	db  *store.DB
	box *seal.Box
	log *slog.Logger
	id  ra.AuthorityID

	mu      sync.Mutex
	lines   map[string]*taking // by the ID of the order
	order   ca.SlotOrder       // the last one
	pumping bool
	wake    chan struct{}
}

// taking is those on this node who wait for the same challenge.
type taking struct {
	fetch   func(context.Context) (secret.Text, error)
	callers int
	ahead   int           // in the queue, when pump looked last
	done    chan struct{} // closed with slot or err
	slot    ca.Slot
	err     error
}

// Slots gives the account of an authority's SCEP challenges.
func (s *Service) Slots(id ra.AuthorityID) ca.Slots {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.slots == nil {
		s.slots = map[ra.AuthorityID]*slots{}
	}
	if s.slots[id] == nil {
		s.slots[id] = &slots{db: s.DB, box: s.Box, log: s.Log, id: id, lines: map[string]*taking{}, wake: make(chan struct{}, 1)}
	}
	return s.slots[id]
}

// Take implements ca.Slots.
func (s *slots) Take(ctx context.Context, id string, order ca.SlotOrder, fetch func(context.Context) (secret.Text, error)) (ca.Slot, error) {
	if id == "" || order.Slots < 1 || order.Life <= 0 {
		return ca.Slot{}, ra.Errorf(ra.Internal, "A challenge was ordered without a name or without a limit.").WithRemedy("Report this.")
	}
	s.mu.Lock()
	s.order = order
	l := s.lines[id]
	if l == nil {
		l = &taking{fetch: fetch, done: make(chan struct{})}
		s.lines[id] = l
	}
	l.callers++
	if !s.pumping {
		s.pumping = true
		go s.pump()
	}
	s.mu.Unlock()
	s.changed()
	select {
	case <-l.done:
		return l.slot, l.err
	case <-ctx.Done():
	}
	s.mu.Lock()
	l.callers--
	ahead, out := l.ahead, s.order.Slots
	s.mu.Unlock()
	s.changed()
	select {
	case <-l.done: // at the same moment
		return l.slot, l.err
	default:
	}
	return ca.Slot{}, ra.Errorf(ra.Unreachable, "The server keeps %d challenges at once, and all are out.", out).
		WithRemedy("It goes on when devices have used theirs; ask again later.").
		WithRetry(min(10*time.Second*time.Duration(1+ahead/out), 5*time.Minute)).WithCause(ctx.Err())
}

// Free implements ca.Slots.
func (s *slots) Free(ctx context.Context, id string) error {
	err := s.db.Write(ctx, func(tx *store.Tx) error { return tx.FreeSCEPSlot(s.id, id) })
	s.changed()
	return err
}

// FreeSlot is Slots(authority).Free within a transaction. Call the func it gives
// when that is committed: those who wait look again.
func (s *Service) FreeSlot(tx *store.Tx, authority ra.AuthorityID, id string) (freed func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	account := s.slots[authority]
	return func() {
		if account != nil {
			account.changed()
		}
	}, tx.FreeSCEPSlot(authority, id)
}

// Out implements ca.Slots.
func (s *slots) Out(ctx context.Context) (out, waiting int, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		rows, err := tx.SCEPSlots(s.id)
		if err != nil {
			return err
		}
		now, err := tx.Instant()
		for _, r := range rows {
			switch {
			case !r.Until.After(now):
			case r.State == store.SlotWaiting:
				waiting++
			default:
				out++
			}
		}
		return err
	})
	return out, waiting, err
}

func (s *slots) changed() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// pump looks at the account on behalf of everybody who waits here.
func (s *slots) pump() {
	for {
		s.mu.Lock()
		if len(s.lines) == 0 {
			s.pumping = false
			s.mu.Unlock()
			return
		}
		order := s.order
		s.mu.Unlock()
		v, err := s.look(order)
		if err != nil {
			s.log.Warn("the account of challenges cannot be read", "authority", s.id, "error", err)
			s.rest(time.Second)
			continue
		}
		s.mu.Lock()
		for _, id := range v.left {
			if l := s.lines[id]; l != nil && l.callers == 0 {
				delete(s.lines, id)
			}
		}
		for id, ahead := range v.ahead {
			if l := s.lines[id]; l != nil {
				l.ahead = ahead
			}
		}
		s.mu.Unlock()
		for _, r := range v.out {
			s.give(r)
		}
		for _, r := range v.turns {
			s.mu.Lock()
			l := s.lines[r.ID]
			s.mu.Unlock()
			go s.fetch(order, r, l)
		}
		s.rest(slotLook)
	}
}

func (s *slots) rest(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.wake:
	}
}

// view is what a look at the account gave.
type view struct {
	out   []store.SCEPSlot // challenges that those who wait here have already
	turns []store.SCEPSlot // whose turn it is, noted as being fetched
	ahead map[string]int   // how many are before those who still wait
	left  []string         // nobody waits for these any more
}

// here gives the orders that somebody waits for on this node, and those whom
// everybody has left.
func (s *slots) here() (wanted, left []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, l := range s.lines {
		if l.callers > 0 {
			wanted = append(wanted, id)
		} else {
			left = append(left, id)
		}
	}
	slices.Sort(wanted)
	return wanted, left
}

// look joins the queue for those who wait here, leaves it for those who do no
// more, and takes the turns that have come: of the oldest who wait anywhere, as
// many as are free.
func (s *slots) look(order ca.SlotOrder) (v view, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), slotLease)
	defer cancel()
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		v = view{ahead: map[string]int{}} // this may run again
		rows, err := tx.SCEPSlots(s.id)
		if err != nil {
			return err
		}
		now, err := tx.Instant() // after the rows are ours
		if err != nil {
			return err
		}
		// Who waits is asked after the rows were read: whoever has had an answer
		// meanwhile, and given it back, must not be put into the queue again.
		wanted, left := s.here()
		v.left = left
		taken, queue := 0, []store.SCEPSlot{}
		here := map[string]bool{}
		for _, r := range rows {
			waits, ours := r.State == store.SlotWaiting, slices.Contains(wanted, r.ID)
			switch {
			case !r.Until.After(now) && !(waits && ours), waits && slices.Contains(left, r.ID):
				if err := tx.DeleteSCEPSlot(s.id, r.ID); err != nil {
					return err
				}
				continue
			case waits:
				queue = append(queue, r)
			case r.State == store.SlotFetching && !r.EndsAt.After(now), // its node is gone
				r.State == store.SlotOut && ours && r.Until.Sub(now) < min(slotShort, order.Life/2): // of no use any more
				if err := s.lose(tx, r); err != nil {
					return err
				}
				taken++
				continue
			default:
				taken++
				if r.State == store.SlotOut && ours {
					v.out = append(v.out, r)
				}
			}
			here[r.ID] = true
		}
		for i, id := range wanted {
			if here[id] {
				continue
			}
			// Those who came together keep an order of their own.
			r := store.SCEPSlot{Authority: s.id, ID: id, State: store.SlotWaiting, Since: now.Add(time.Duration(i) * time.Microsecond), Until: now.Add(slotLease)}
			if err := tx.PutSCEPSlot(r); err != nil {
				return err
			}
			queue = append(queue, r)
		}
		free := order.Slots - taken
		for i, r := range queue {
			if !slices.Contains(wanted, r.ID) {
				continue
			}
			if i < free {
				r.State, r.FetchedAt, r.Until, r.EndsAt = store.SlotFetching, now, now.Add(order.Life), now.Add(slotFetch+leaseMargin)
				v.turns = append(v.turns, r)
			} else {
				v.ahead[r.ID] = i - max(free, 0)
				if r.Until.Sub(now) >= slotLease*2/3 {
					continue
				}
				r.Until = now.Add(slotLease)
			}
			if err := tx.PutSCEPSlot(r); err != nil {
				return err
			}
		}
		return nil
	})
	return v, err
}

// lose turns the slot of a fetch nobody knows the end of into a lost one, which
// counts as long, under a name nobody asks for.
func (s *slots) lose(tx *store.Tx, r store.SCEPSlot) error {
	if err := tx.DeleteSCEPSlot(s.id, r.ID); err != nil {
		return err
	}
	r.ID, r.State, r.Box = "lost_"+rand.Text(), store.SlotLost, nil
	return tx.PutSCEPSlot(r)
}

// fetch has the server asked and notes what came of it.
func (s *slots) fetch(order ca.SlotOrder, r store.SCEPSlot, l *taking) {
	ctx, cancel := context.WithTimeout(context.Background(), slotFetch)
	defer cancel()
	text, err := l.fetch(ctx)
	var none *ca.NoChallenge
	note := func(tx *store.Tx) error { return s.lose(tx, r) }
	switch {
	case err == nil:
		box, sealErr := s.box.Seal(slotTable, string(s.id)+"/"+r.ID, slotField, []byte(text.Reveal()))
		if err = sealErr; err == nil {
			note = func(tx *store.Tx) error {
				now, err := tx.Instant()
				r.State, r.Box, r.FetchedAt, r.Until = store.SlotOut, box, now, now.Add(order.Life)
				return errors.Join(err, tx.PutSCEPSlot(r))
			}
		}
	case errors.As(err, &none):
		note = func(tx *store.Tx) error { return tx.DeleteSCEPSlot(s.id, r.ID) }
	}
	after, cancelNote := context.WithTimeout(context.Background(), slotLease)
	defer cancelNote()
	if noted := s.db.Write(after, note); noted != nil {
		s.log.Error("what a SCEP server answered about a challenge cannot be stored; it counts as out", "authority", s.id, "error", noted)
		err = errors.Join(err, noted)
	}
	s.end(r.ID, l, ca.Slot{Secret: text, FetchedAt: r.FetchedAt, ExpiresAt: r.Until}, err)
}

// give hands out a challenge that is on the account already.
func (s *slots) give(r store.SCEPSlot) {
	s.mu.Lock()
	l := s.lines[r.ID]
	s.mu.Unlock()
	if l == nil {
		return
	}
	plain, err := s.box.Open(slotTable, string(s.id)+"/"+r.ID, slotField, r.Box)
	s.end(r.ID, l, ca.Slot{Secret: secret.New(string(plain)), FetchedAt: r.FetchedAt, ExpiresAt: r.Until}, err)
}

// end tells everybody in a line what came of it, once.
func (s *slots) end(id string, l *taking, slot ca.Slot, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-l.done:
		return
	default:
	}
	if l.slot, l.err = slot, err; err != nil {
		l.slot = ca.Slot{}
	}
	close(l.done)
	if s.lines[id] == l {
		delete(s.lines, id)
	}
	s.changed()
}
