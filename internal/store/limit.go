package store

import (
	"time"

	"chancery/internal/ra"
)

// Limit is what all nodes share of an authority with a limit of its own. Its
// instants are of the database's clock (Instant), never of a node's.
type Limit struct {
	Authority   ra.AuthorityID
	FreeAt      time.Time // when the next call may begin
	UrgentUntil time.Time // till then calls wait that somebody waits for
	CalmUntil   time.Time // till then calls of the background wait
	Streak      int       // urgent calls since the last one of the background
}

type limitRow struct {
	AuthorityID string `db:"authority_id"`
	FreeAt      int64  `db:"free_at"`
	UrgentUntil int64  `db:"urgent_until"`
	CalmUntil   int64  `db:"calm_until"`
	Streak      int64  `db:"streak"`
}

// micros and microsecond turn an instant into the integer these rows keep and
// back. The zero time is 0.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func microsecond(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// Instant gives the one clock that all nodes on this database share: that of
// the PostgreSQL server, now. A node with SQLite is alone; its clock is Tx.Now.
func (tx *Tx) Instant() (time.Time, error) {
	if tx.e.clock == "" {
		return tx.Now, nil
	}
	var us int64
	err := tx.x.GetContext(tx.ctx, &us, tx.e.clock)
	return microsecond(us), err
}

// Limit loads what nodes share of an authority's limits; inside Write it is
// locked until the end, and made when it is not there.
func (tx *Tx) Limit(id ra.AuthorityID) (Limit, error) {
	var row limitRow
	err := tx.get("limits", &row, "authority_id = $1", string(id))
	if ra.KindOf(err) == ra.NotFound {
		if !tx.lck {
			return Limit{Authority: id}, nil
		}
		if _, err := tx.exec("INSERT INTO limits (authority_id, free_at, urgent_until, calm_until, streak) VALUES ($1, 0, 0, 0, 0) ON CONFLICT (authority_id) DO NOTHING", string(id)); err != nil {
			return Limit{}, err
		}
		err = tx.get("limits", &row, "authority_id = $1", string(id))
	}
	return Limit{id, microsecond(row.FreeAt), microsecond(row.UrgentUntil), microsecond(row.CalmUntil), int(row.Streak)}, err
}

// PutLimit stores a Limit that was loaded in this transaction.
func (tx *Tx) PutLimit(l Limit) error {
	_, err := tx.exec("UPDATE limits SET free_at = $1, urgent_until = $2, calm_until = $3, streak = $4 WHERE authority_id = $5",
		micros(l.FreeAt), micros(l.UrgentUntil), micros(l.CalmUntil), l.Streak, string(l.Authority))
	return err
}

// OpenSlots counts the calls that are open at an authority at an instant. A
// lease that would last longer than longest comes from a clock that was wrong
// and does not count.
func (tx *Tx) OpenSlots(id ra.AuthorityID, at time.Time, longest time.Duration) (n int, err error) {
	err = tx.x.GetContext(tx.ctx, &n, "SELECT count(*) FROM slots WHERE authority_id = $1 AND until > $2 AND until <= $3", string(id), micros(at), micros(at.Add(longest)))
	return n, err
}

// TakeSlot notes an open call until an instant, after which it counts no more;
// slots of the same authority that ended before at are forgotten.
func (tx *Tx) TakeSlot(slot string, id ra.AuthorityID, at, until time.Time) error {
	if _, err := tx.exec("DELETE FROM slots WHERE authority_id = $1 AND until <= $2", string(id), micros(at)); err != nil {
		return err
	}
	_, err := tx.exec("INSERT INTO slots (id, authority_id, until) VALUES ($1, $2, $3)", slot, string(id), micros(until))
	return err
}

// ReleaseSlot notes that a call has ended. One that ran out is fine.
func (tx *Tx) ReleaseSlot(slot string) error {
	_, err := tx.exec("DELETE FROM slots WHERE id = $1", slot)
	return err
}
