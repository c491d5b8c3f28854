package store

import (
	"time"

	"chancery/internal/ra"
)

// SlotState is where a challenge of a SCEP server stands.
type SlotState string

// The states of a slot. All but waiting ones count as out.
const (
	SlotWaiting  SlotState = "waiting"  // somebody waits for a turn
	SlotFetching SlotState = "fetching" // the server is being asked
	SlotOut      SlotState = "out"      // a challenge is here and unused
	SlotLost     SlotState = "lost"     // nobody knows what the server made
)

// SCEPSlot is one challenge of a server, or a place in the queue for one. Its
// instants are of the database's clock (Instant).
type SCEPSlot struct {
	Authority ra.AuthorityID
	ID        string
	State     SlotState
	Box       []byte    // the challenge, sealed
	Since     time.Time // when it came into the queue
	FetchedAt time.Time // when the server was asked
	Until     time.Time // it counts no longer then
	EndsAt    time.Time // of a fetch: it is over then, whatever became of it
}

type scepSlotRow struct {
	AuthorityID string `db:"authority_id"`
	ID          string `db:"id"`
	State       string `db:"state"`
	Box         []byte `db:"box"`
	Since       int64  `db:"since"`
	FetchedAt   int64  `db:"fetched_at"`
	Until       int64  `db:"until"`
	EndsAt      int64  `db:"ends_at"`
}

// SCEPSlots lists the slots of an authority in the order of the queue. Inside
// Write nobody else gets them until the end.
func (tx *Tx) SCEPSlots(authority ra.AuthorityID) ([]SCEPSlot, error) {
	if tx.lck {
		if _, err := tx.Limit(authority); err != nil { // the row all nodes wait for
			return nil, err
		}
	}
	var rows []scepSlotRow
	if err := tx.x.SelectContext(tx.ctx, &rows, "SELECT * FROM scep_slots WHERE authority_id = $1 ORDER BY since, id", string(authority)); err != nil {
		return nil, fit(err)
	}
	out := make([]SCEPSlot, len(rows))
	for i, r := range rows {
		out[i] = SCEPSlot{ra.AuthorityID(r.AuthorityID), r.ID, SlotState(r.State), some(r.Box), microsecond(r.Since), microsecond(r.FetchedAt), microsecond(r.Until), microsecond(r.EndsAt)}
	}
	return out, nil
}

// PutSCEPSlot stores a slot over what was there.
func (tx *Tx) PutSCEPSlot(s SCEPSlot) error {
	_, err := tx.exec(`INSERT INTO scep_slots (authority_id, id, state, box, since, fetched_at, until, ends_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (authority_id, id) DO UPDATE SET state = excluded.state, box = excluded.box, since = excluded.since, fetched_at = excluded.fetched_at,
		until = excluded.until, ends_at = excluded.ends_at`,
		string(s.Authority), s.ID, string(s.State), blob(s.Box), micros(s.Since), micros(s.FetchedAt), micros(s.Until), micros(s.EndsAt))
	return err
}

// FreeSCEPSlot removes the slot of a challenge that is out; there may be none.
func (tx *Tx) FreeSCEPSlot(authority ra.AuthorityID, id string) error {
	_, err := tx.exec("DELETE FROM scep_slots WHERE authority_id = $1 AND id = $2 AND state = $3", string(authority), id, string(SlotOut))
	return err
}

// DeleteSCEPSlot removes a slot; there may be none.
func (tx *Tx) DeleteSCEPSlot(authority ra.AuthorityID, id string) error {
	_, err := tx.exec("DELETE FROM scep_slots WHERE authority_id = $1 AND id = $2", string(authority), id)
	return err
}

// SweepSCEPSlots removes slots that have not counted since an instant and tells
// how many.
func (tx *Tx) SweepSCEPSlots(before time.Time) (int64, error) {
	return tx.exec("DELETE FROM scep_slots WHERE until < $1", micros(before))
}
