package job

import (
	"context"
	"time"

	"chancery/internal/store"
)

// Spaced says how OfferAll spreads what it offers.
type Spaced struct {
	Batch int           // jobs in one transaction
	Out   int           // jobs that go before
	Gap   time.Duration // between two of them
	Later bool          // as in PutOptions
}

// OfferAll offers a job for each of some rows, unique by its ID and a gap apart, so
// that no worker waits for a peer that is slow on purpose. It gives the rows that
// had one, see Offer; with an error those that are known to.
func OfferAll[ID ~string](ctx context.Context, db *store.DB, q *Queue, ids []ID, args func(ID) Args, o Spaced) (live []ID, err error) {
	for first := 0; first < len(ids); first += o.Batch {
		part, before := ids[first:min(first+o.Batch, len(ids))], len(live)
		if err := db.Write(ctx, func(tx *store.Tx) error {
			live = live[:before] // this function may run again
			for i, id := range part {
				at := tx.Now.Add(time.Duration(o.Out+first+i) * o.Gap)
				if put, err := Offer(tx, q, args(id), PutOptions{Unique: string(id), Later: o.Later, At: at}); err != nil {
					return err
				} else if !put {
					live = append(live, id)
				}
			}
			return nil
		}); err != nil {
			return live[:before], err
		}
	}
	return live, nil
}
