package pass

import (
	"context"
	"slices"
	"strings"
	"time"

	"chancery/internal/ra"
	"chancery/internal/store"
)

// unsaved are hops of a pass that are only in memory. They are stored together
// with the next thing that happens to the pass, which mostly comes soon: a
// message after the first looks at a server, an answer after a message. What
// must not be forgotten is in the row of the pass by then.
type unsaved struct {
	hops []ra.Hop
	old  bool // they were there the last time somebody looked
}

const (
	// flushAfter is how often it is looked for hops that nothing came after;
	// they are stored the second time they are seen.
	flushAfter = time.Second
	flushBatch = 100
)

// later keeps hops in memory. s.mu is held.
func (s *Service) later(id ra.PassID, hops []ra.Hop) {
	if len(hops) == 0 {
		return
	}
	if s.early == nil {
		s.early = map[ra.PassID]unsaved{}
	}
	if !s.watched {
		s.watched = true
		time.AfterFunc(flushAfter, s.flushLater)
	}
	s.early[id] = unsaved{hops: append(s.early[id].hops, hops...)}
}

// remember is later for those who hold nothing.
func (s *Service) remember(id ra.PassID, hops []ra.Hop) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.later(id, hops)
}

// takeEarly gives the hops of a pass that are not stored yet; back puts them
// back when storing them failed. What is being stored comes before what the
// caller has.
func (s *Service) takeEarly(id ra.PassID) []ra.Hop {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.storing[id] != nil {
		s.mu.Unlock()
		s.flushing.Lock() // nothing but waiting for its end
		s.flushing.Unlock()
		s.mu.Lock()
	}
	hops := s.early[id].hops
	delete(s.early, id)
	return hops
}

func (s *Service) back(id ra.PassID, hops []ra.Hop) {
	s.mu.Lock()
	defer s.mu.Unlock()
	after := s.early[id].hops
	delete(s.early, id)
	s.later(id, append(hops, after...))
}

func (s *Service) flushLater() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s.mu.Lock()
	s.watched = false
	s.mu.Unlock()
	s.flush(ctx, func(u unsaved) bool { return u.old })
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, u := range s.early {
		s.early[id] = unsaved{u.hops, true}
	}
	if len(s.early) > 0 && !s.watched {
		s.watched = true
		time.AfterFunc(flushAfter, s.flushLater)
	}
}

// flush stores hops that are in memory, many in one transaction. What the
// database refuses is given up.
func (s *Service) flush(ctx context.Context, which func(unsaved) bool) {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	for {
		s.mu.Lock()
		batch := map[ra.PassID][]ra.Hop{}
		for id, u := range s.early {
			if len(batch) == flushBatch {
				break
			}
			if which(u) {
				batch[id] = u.hops
				delete(s.early, id)
			}
		}
		s.storing = batch
		s.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		err := s.DB.Write(ctx, func(tx *store.Tx) error {
			for id, hops := range batch {
				p, err := tx.Pass(id)
				if err != nil {
					return err
				}
				if err := hop(tx, p, fresh(p, hops)...); err != nil {
					return err
				}
				if err := tx.MovePass(p); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			s.mu.Lock()
			s.storing = nil
			s.mu.Unlock()
			if ctx.Err() != nil || ra.KindOf(err) == ra.Unreachable {
				for id, hops := range batch {
					s.back(id, hops)
				}
			}
			s.Log.Debug("steps of devices are not in their traces", "passes", len(batch), "error", err)
			return
		}
	}
}

// fresh leaves first looks out when a trace is about to be full of other things.
func fresh(p *ra.Pass, hops []ra.Hop) []ra.Hop {
	if p.Hops+len(hops) <= maxHops/2 {
		return hops
	}
	return slices.DeleteFunc(slices.Clone(hops), func(h ra.Hop) bool { return strings.HasPrefix(h.Step, "ca_") })
}
