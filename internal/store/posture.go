package store

import (
	"slices"

	"chancery/internal/ra"
)

type postureRow struct {
	ID          string `db:"id"`
	Version     int64  `db:"version"`
	EvaluatedAt int64  `db:"evaluated_at"`
	Value       string `db:"value"`
	obligationRow
}

func (r *postureRow) noun() (*ra.Posture, error) {
	p := &ra.Posture{ID: ra.AuthorityID(r.ID), Version: instant(r.Version), Evaluated: instant(r.EvaluatedAt), Obligation: r.obligationRow.noun()}
	return p, parse(r.Value, &p.Report)
}

// Posture loads what was last found of an authority.
func (tx *Tx) Posture(id ra.AuthorityID) (*ra.Posture, error) {
	var row postureRow
	if err := tx.look("postures", &row, "id = $1", string(id)); err != nil {
		return nil, err
	}
	return row.noun()
}

// PutPosture stores what was found of an authority, in place of what was before.
// Until the end of the transaction nobody else does.
func (tx *Tx) PutPosture(p *ra.Posture) error {
	row := postureRow{ID: string(p.ID), Version: millis(p.Version), EvaluatedAt: millis(p.Evaluated), Value: text(p.Report), obligationRow: toObligation(p.Obligation)}
	_, err := tx.exec(`INSERT INTO postures (id, version, evaluated_at, value, next_action, next_action_at, deadline_at, attempts, last_error, escalated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		ON CONFLICT (id) DO UPDATE SET version = excluded.version, evaluated_at = excluded.evaluated_at, value = excluded.value, next_action = excluded.next_action,
			next_action_at = excluded.next_action_at, deadline_at = excluded.deadline_at, attempts = excluded.attempts, last_error = excluded.last_error, escalated_at = excluded.escalated_at`,
		row.ID, row.Version, row.EvaluatedAt, row.Value, row.NextAction, row.NextActionAt, row.DeadlineAt, row.Attempts, row.LastError, row.EscalatedAt)
	return err
}

// DeletePosture forgets an authority's posture and dangers.
func (tx *Tx) DeletePosture(id ra.AuthorityID) error {
	if _, err := tx.exec("DELETE FROM dangers WHERE authority_id = $1", string(id)); err != nil {
		return err
	}
	_, err := tx.exec("DELETE FROM postures WHERE id = $1", string(id))
	return err
}

// DuePostures lists the authorities of some kinds that are to be looked at: never
// looked at, due, or changed since. Those that are switched off are not.
func (tx *Tx) DuePostures(kinds []string) ([]ra.AuthorityID, error) {
	var rows []struct {
		ID   ra.AuthorityID `db:"id"`
		Kind string         `db:"kind"`
	}
	err := tx.x.SelectContext(tx.ctx, &rows, `SELECT a.id, a.kind FROM authorities AS a LEFT JOIN postures AS p ON p.id = a.id
		WHERE NOT a.disabled AND (p.id IS NULL OR p.version <> a.updated_at OR p.next_action <> '' AND p.next_action_at <= $1) ORDER BY a.id`, millis(tx.Now))
	var ids []ra.AuthorityID
	for _, r := range rows {
		if slices.Contains(kinds, r.Kind) {
			ids = append(ids, r.ID)
		}
	}
	return ids, fit(err)
}

// OverduePostures lists the authorities that were not looked at for too long, and
// nobody was told yet.
func (tx *Tx) OverduePostures() ([]ra.AuthorityID, error) {
	var ids []ra.AuthorityID
	err := tx.x.SelectContext(tx.ctx, &ids, `SELECT p.id FROM postures AS p JOIN authorities AS a ON a.id = p.id
		WHERE p.next_action <> '' AND p.deadline_at > 0 AND p.deadline_at < $1 AND p.escalated_at = 0 AND NOT a.disabled ORDER BY p.id`, millis(tx.Now))
	return ids, fit(err)
}

// dangerValue is what of a danger is never searched by.
type dangerValue struct {
	Finding ra.Finding `json:"finding"`
	SignOff ra.SignOff `json:"sign_off,omitzero"`
}

type dangerRow struct {
	ID          string `db:"id"`
	AuthorityID string `db:"authority_id"`
	Finding     string `db:"finding"`
	Title       string `db:"title"`
	Value       string `db:"value"`
	SeenAt      int64  `db:"seen_at"`
	obligationRow
	timesRow
}

func toDanger(d *ra.Danger) dangerRow {
	return dangerRow{ID: string(d.ID), AuthorityID: string(d.AuthorityID), Finding: d.Finding.Key, Title: d.Finding.Condition + " " + d.Finding.Object,
		Value: text(dangerValue{d.Finding, d.SignOff}), SeenAt: millis(d.Seen), obligationRow: toObligation(d.Obligation), timesRow: toTimes(d.Times)}
}

func (r *dangerRow) noun() (*ra.Danger, error) {
	var v dangerValue
	err := parse(r.Value, &v)
	return &ra.Danger{ID: ra.DangerID(r.ID), AuthorityID: ra.AuthorityID(r.AuthorityID), Finding: v.Finding, SignOff: v.SignOff, Seen: instant(r.SeenAt),
		Obligation: r.obligationRow.noun(), Times: r.timesRow.noun()}, err
}

// CreateDanger stores a new danger.
func (tx *Tx) CreateDanger(d *ra.Danger) error {
	d.CreatedAt, d.UpdatedAt = tx.Now, tx.Now
	row := toDanger(d)
	return tx.insert("dangers", &row)
}

// UpdateDanger stores every field of d.
func (tx *Tx) UpdateDanger(d *ra.Danger) error {
	d.UpdatedAt = tx.Now
	row := toDanger(d)
	return tx.update("dangers", &row)
}

// DeleteDanger forgets a danger that is no more.
func (tx *Tx) DeleteDanger(id ra.DangerID) error { return tx.remove("dangers", string(id)) }

// Danger loads a danger.
func (tx *Tx) Danger(id ra.DangerID) (*ra.Danger, error) {
	var row dangerRow
	if err := tx.get("dangers", &row, "id = $1", string(id)); err != nil {
		return nil, err
	}
	return row.noun()
}

// Dangers lists the dangers of an authority, by condition and object. Inside Write
// they are locked until the end.
func (tx *Tx) Dangers(id ra.AuthorityID) ([]*ra.Danger, error) {
	var rows []*dangerRow
	q := "SELECT * FROM dangers WHERE authority_id = $1 ORDER BY finding, id"
	if tx.lck {
		q += tx.e.lockRow
	}
	if err := tx.x.SelectContext(tx.ctx, &rows, q, string(id)); err != nil {
		return nil, fit(err)
	}
	return nouns[ra.Danger](rows)
}

// OverdueDangers lists the dangers nobody has mended or signed off in time, and
// nobody was told of yet.
func (tx *Tx) OverdueDangers() ([]*ra.Danger, error) {
	var rows []*dangerRow
	if err := tx.x.SelectContext(tx.ctx, &rows, `SELECT d.* FROM dangers AS d JOIN authorities AS a ON a.id = d.authority_id
		WHERE d.next_action <> '' AND d.deadline_at > 0 AND d.deadline_at < $1 AND d.escalated_at = 0 AND NOT a.disabled ORDER BY d.id`, millis(tx.Now)); err != nil {
		return nil, fit(err)
	}
	return nouns[ra.Danger](rows)
}
