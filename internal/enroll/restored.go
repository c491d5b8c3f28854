package enroll

import (
	"context"

	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// Restored deals with the requests that were under way when the state that the
// database was put back to was saved: each may have been answered since, and a
// second certificate for it would be one too many.
//
//   - An authority that keeps its intents in this database (it signs here) is
//     asked for its answer: one that was decided is the same certificate again,
//     and is recorded. Where nothing was decided by then, nobody knows what
//     was decided later, so the request ends.
//   - An authority elsewhere that can be searched is left to the planner, which
//     searches before it asks; nothing leaves the house now.
//   - One that cannot be searched knows nothing, so the request ends.
//
// Who asked may ask again; a request that ends so says why. It gives how many
// were answered, ended, and left to the planner.
func (s *Service) Restored(ctx context.Context) (answered, ended, left int, err error) {
	var under []*ra.Request
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		for _, state := range []ra.RequestState{ra.Approved, ra.Submitted} {
			page := store.Page{Limit: store.MaxPage}
			for {
				list, next, err := tx.FindRequests(store.RequestFilter{States: []ra.RequestState{state}, Page: page})
				if err != nil {
					return err
				}
				under = append(under, list...)
				if next == "" {
					break
				}
				page.After = next
			}
		}
		return nil
	})
	if err != nil {
		return 0, 0, 0, err
	}
	for _, r := range under {
		known, elsewhere, err := s.lookBack(ctx, r)
		switch {
		case err != nil:
			return answered, ended, left, err
		case known:
			answered++
		case elsewhere:
			left++
			err = s.suspect(ctx, r.ID)
		default:
			ended++
			err = s.forgo(ctx, r.ID)
		}
		if err != nil {
			return answered, ended, left, err
		}
	}
	return answered, ended, left, nil
}

// lookBack records the answer that an authority of this house had decided on.
// elsewhere says that the authority keeps its own record, which can be searched.
func (s *Service) lookBack(ctx context.Context, r *ra.Request) (known, elsewhere bool, err error) {
	o, err := s.Authorities.Reach(ctx, r.AuthorityID)
	if err != nil {
		return false, false, err
	}
	finder, searchable := o.Connector.(ca.Finder)
	if _, here := o.Connector.(ca.CRLSigner); !here || !searchable {
		return false, searchable, nil
	}
	request, err := s.order(ctx, o, r)
	if err != nil {
		return false, false, err
	}
	reply, found, err := finder.Find(ctx, request)
	if err != nil || !found {
		return false, false, err
	}
	if r.State == ra.Approved {
		if err := s.suspect(ctx, r.ID); err != nil {
			return false, false, err
		}
	}
	_, err = s.record(ctx, r, reply, reply.Chain)
	return err == nil, false, err
}

// suspect makes a request one that may have been asked for already, and due.
func (s *Service) suspect(ctx context.Context, id ra.RequestID) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		r, err := tx.Request(id)
		if err != nil {
			return err
		}
		if r.State == ra.Approved {
			if err := s.submitted(tx, r); err != nil {
				return err
			}
		}
		r.At = tx.Now
		return tx.UpdateRequest(r)
	})
}

// forgo ends a request of which nobody knows whether it was answered.
func (s *Service) forgo(ctx context.Context, id ra.RequestID) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		r, err := tx.Request(id)
		if err != nil || Ended(r.State) {
			return err
		}
		r.LastError = "The database was put back as it was while this request was under way, and it may have been answered since. Ask again."
		return s.fail(tx, r)
	})
}
