package store

import (
	"database/sql"
	"errors"
	"maps"
	"slices"

	"chancery/internal/ra"
)

// Counting a million rows takes a second however good the index, and every
// first page asks for it. So what is counted all the time is kept: how many
// rows of a kind a group has, by authority and by state or platform. A member
// of a batch notes what it adds and takes away; the sums are written at the end
// of the batch, where the audit lock keeps others out anyway.

// tallyKey is one sum.
type tallyKey struct {
	Kind      string `db:"kind"` // the table
	Group     string `db:"group_id"`
	Authority string `db:"authority_id"` // empty for what has none
	Key       string `db:"item"`         // the state or platform
}

// tally is what a transaction changes about the sums.
type tally map[tallyKey]int64

func (t *tally) add(k tallyKey, n int64) {
	if *t == nil {
		*t = tally{}
	}
	if (*t)[k] += n; (*t)[k] == 0 {
		delete(*t, k)
	}
}

func (t *tally) merge(other tally) {
	for k, n := range other {
		t.add(k, n)
	}
}

// putTally adds to the sums, in a fixed order.
func (tx *Tx) putTally(t tally) error {
	for _, k := range slices.SortedFunc(maps.Keys(t), tallyKey.compare) {
		_, err := tx.exec(`INSERT INTO tallies (kind, group_id, authority_id, item, n) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (kind, group_id, authority_id, item) DO UPDATE SET n = tallies.n + excluded.n`, k.Kind, k.Group, k.Authority, k.Key, t[k])
		if err != nil {
			return err
		}
	}
	return nil
}

func (k tallyKey) compare(other tallyKey) int {
	return slices.Compare([]string{k.Kind, k.Group, k.Authority, k.Key}, []string{other.Kind, other.Group, other.Authority, other.Key})
}

// counted is a row that is counted.
type counted interface {
	identity() string
	sum() tallyKey
}

const ownCertificates = "own certificates" // the kind of the server's own

func (r *certificateRow) identity() string { return r.ID }
func (r *certificateRow) sum() tallyKey {
	if r.Purpose != "" {
		return tallyKey{ownCertificates, r.GroupID, r.AuthorityID, r.State}
	}
	return tallyKey{"certificates", r.GroupID, r.AuthorityID, r.State}
}

func (r *requestRow) identity() string { return r.ID }
func (r *requestRow) sum() tallyKey    { return tallyKey{"requests", r.GroupID, "", r.State} }

func (r *deviceRow) identity() string { return r.ID }
func (r *deviceRow) sum() tallyKey    { return tallyKey{"devices", r.GroupID, "", r.Platform} }

// sumOf asks for the sum that a stored row belongs to, by table.
var sumOf = map[string]string{
	"certificates": "SELECT CASE WHEN purpose = '' THEN 'certificates' ELSE '" + ownCertificates + "' END AS kind, group_id, authority_id, state AS item FROM certificates WHERE id = $1",
	"requests":     "SELECT 'requests' AS kind, group_id, '' AS authority_id, state AS item FROM requests WHERE id = $1",
	"devices":      "SELECT 'devices' AS kind, group_id, '' AS authority_id, platform AS item FROM devices WHERE id = $1",
}

// loaded notes the sum of a row that nobody else can change until the end, so
// that it need not be asked for when the row changes.
func (tx *Tx) loaded(row any) {
	if r, ok := row.(renamed); ok && tx.lck {
		tx.remember(r)
	}
	if r, ok := row.(counted); ok && tx.lck {
		if tx.sums == nil {
			tx.sums = map[string]tallyKey{}
		}
		tx.sums[r.identity()] = r.sum()
	}
}

// arrived counts a row that has been stored.
func (tx *Tx) arrived(row any) {
	if r, ok := row.(counted); ok {
		tx.tally.add(r.sum(), 1)
		tx.loaded(row)
	}
}

// leaving counts off a row of a table that is about to change or go.
func (tx *Tx) leaving(table, id string) error {
	k, known := tx.sums[id]
	if !known {
		err := tx.x.GetContext(tx.ctx, &k, sumOf[table], id)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fit(err)
		}
	}
	delete(tx.sums, id)
	tx.tally.add(k, -1)
	return nil
}

// sumsOf gives the sums of a kind by item.
func (tx *Tx) sumsOf(w *where) ([]Count, error) {
	var out []Count
	q, args := w.sql("SELECT item AS k, CAST(sum(n) AS BIGINT) AS n FROM tallies")
	err := tx.x.SelectContext(tx.long(), &out, q+" GROUP BY item HAVING sum(n) > 0 ORDER BY item", args...)
	return out, fit(err)
}

func (tx *Tx) sumsByGroup(kind string, groups []ra.GroupID) ([]Count, error) {
	w := &where{}
	w.equal("kind", kind)
	within(w, "group_id", groups)
	return tx.sumsOf(w)
}
