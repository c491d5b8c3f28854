package store

import (
	"strings"
	"time"

	"chancery/internal/ra"
)

type hopRow struct {
	OwnerID  string `db:"owner_id"`
	Position int64  `db:"position"`
	At       int64  `db:"at"`
	Step     string `db:"step"`
	Result   string `db:"result"`
	Took     int64  `db:"took"`
	Message  string `db:"message"`
	Remedy   string `db:"remedy"`
	Fields   string `db:"fields"`
}

// AddHops stores hops of traces, each under its owner and position, in one
// statement.
func (tx *Tx) AddHops(hops ...ra.Hop) error {
	if len(hops) == 0 {
		return nil
	}
	const columns = 9
	args := make([]any, 0, columns*len(hops))
	for _, h := range hops {
		fields := "{}"
		if len(h.Fields) > 0 {
			fields = text(h.Fields)
		}
		args = append(args, h.Owner, h.Position, millis(h.At), h.Step, string(h.Result), h.Took, h.Message, h.Remedy, fields)
	}
	row := ", (?" + strings.Repeat(", ?", columns-1) + ")"
	q := "INSERT INTO hops (owner_id, position, at, step, result, took, message, remedy, fields) VALUES " + strings.Repeat(row, len(hops))[2:]
	_, err := tx.exec(tx.marked(q), args...)
	return err
}

// Hops lists the trace of a pass or request, in order.
func (tx *Tx) Hops(owner string) ([]ra.Hop, error) {
	var rows []hopRow
	if err := tx.x.SelectContext(tx.ctx, &rows, "SELECT * FROM hops WHERE owner_id = $1 ORDER BY position", owner); err != nil {
		return nil, fit(err)
	}
	out := make([]ra.Hop, len(rows))
	for i, r := range rows {
		out[i] = ra.Hop{Owner: r.OwnerID, Position: int(r.Position), At: instant(r.At), Step: r.Step, Result: ra.HopResult(r.Result), Took: r.Took,
			Message: r.Message, Remedy: r.Remedy}
		if err := parse(r.Fields, &out[i].Fields); err != nil {
			return nil, err
		}
		if len(out[i].Fields) == 0 {
			out[i].Fields = nil
		}
	}
	return out, nil
}

// SweepHops forgets the traces of passes made before an instant, and tells how
// many hops that were, about limit at most. IDs sort by time.
func (tx *Tx) SweepHops(before time.Time, limit int) (int64, error) {
	return tx.exec("DELETE FROM hops WHERE (owner_id, position) IN (SELECT owner_id, position FROM hops WHERE owner_id >= $1 AND owner_id < $2 ORDER BY owner_id, position LIMIT $3)",
		ra.FirstID(ra.PassPrefix, time.UnixMilli(0)), ra.FirstID(ra.PassPrefix, before), limit)
}
