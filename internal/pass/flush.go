package pass

import (
	"context"
	"time"

	"chancery/internal/ra"
	"chancery/internal/store"
)

func (s *Service) flushLater() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s.flush(ctx)
}

// flush stores the first looks of devices, many in one transaction. What cannot
// be stored is given up: it is no part of what anybody relies on.
func (s *Service) flush(ctx context.Context) {
	for {
		s.mu.Lock()
		batch := map[ra.PassID][]ra.Hop{}
		for id, hops := range s.early {
			if len(batch) == flushBatch {
				break
			}
			batch[id] = hops
			delete(s.early, id)
		}
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
			s.Log.Debug("the first steps of devices are not in their traces", "passes", len(batch), "error", err)
			return
		}
	}
}

// fresh leaves first looks out when a trace is about to be full of other things.
func fresh(p *ra.Pass, hops []ra.Hop) []ra.Hop {
	if p.Hops+len(hops) > maxHops/2 {
		return nil
	}
	return hops
}
