package store

import (
	"database/sql"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"chancery/internal/ra"
)

// Counting a million rows takes a second however good the index, and every
// first page asks for it. So what is counted all the time is kept: how many
// rows of a kind a group has, by authority and by state or platform, what a
// template led to, and what ends on each day. A member
// of a batch notes what it adds and takes away; the sums are written at the end
// of the batch, where the audit lock keeps others out anyway.

// tallyKey is one sum.
type tallyKey struct {
	Kind      string `db:"kind"` // the table
	Group     string `db:"group_id"`
	Authority string `db:"authority_id"` // empty for what has none
	Key       string `db:"item"`         // the state or platform, or see endItem
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

// count adds to all sums that a row belongs to.
func (t *tally) count(p tallyPart, n int64) {
	var few [3]tallyKey
	for _, k := range p.keys(few[:0]) {
		t.add(k, n)
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
	part() tallyPart
}

// tallyPart is what of a row tells where it is counted.
type tallyPart struct {
	Table      string `db:"kind"`
	Purpose    string `db:"purpose"`
	Group      string `db:"group_id"`
	Authority  string `db:"authority_id"`
	Template   string `db:"template_id"`
	Key        string `db:"item"` // the state or platform
	NextAction string `db:"next_action"`
	NotAfter   int64  `db:"not_after"`
}

// The kinds of sums that are no tables.
const (
	ownCertificates = "own certificates" // the server's own
	byTemplate      = "templates"        // certificates by template, which stands in the place of the group, and state
	byEnd           = "ends"             // certificates in use by authority, the day they end and next action
)

// keys appends the sums a row belongs to.
func (p tallyPart) keys(keys []tallyKey) []tallyKey {
	if p.Table != "certificates" {
		return append(keys, tallyKey{p.Table, p.Group, "", p.Key})
	}
	if p.Purpose != "" {
		keys = append(keys, tallyKey{ownCertificates, p.Group, p.Authority, p.Key})
	} else {
		keys = append(keys, tallyKey{p.Table, p.Group, p.Authority, p.Key})
		if p.Template != "" {
			keys = append(keys, tallyKey{byTemplate, p.Template, "", p.Key})
		}
	}
	if state := ra.CertificateState(p.Key); state == ra.Valid || state == ra.OnHold {
		keys = append(keys, tallyKey{byEnd, "", p.Authority, endItem(p.NotAfter/dayMillis, p.NextAction)})
	}
	return keys
}

// dayMillis is a day in milliseconds.
const dayMillis = int64(24 * time.Hour / time.Millisecond)

// endItem names what ends on a day since 1970, so that names are in the order
// of the days.
func endItem(day int64, action string) string {
	digits := strconv.FormatInt(max(day, 0), 10)
	return "00000000"[min(len(digits), 8):] + digits + " " + action
}

func (r *certificateRow) identity() string { return r.ID }
func (r *certificateRow) part() tallyPart {
	return tallyPart{"certificates", r.Purpose, r.GroupID, r.AuthorityID, r.TemplateID, r.State, r.NextAction, r.NotAfter}
}

func (r *requestRow) identity() string { return r.ID }
func (r *requestRow) part() tallyPart {
	return tallyPart{Table: "requests", Group: r.GroupID, Key: r.State}
}

func (r *deviceRow) identity() string { return r.ID }
func (r *deviceRow) part() tallyPart {
	return tallyPart{Table: "devices", Group: r.GroupID, Key: r.Platform}
}

// sumOf asks for what of a stored row tells where it is counted, by table.
var sumOf = map[string]string{
	"certificates": "SELECT 'certificates' AS kind, purpose, group_id, authority_id, template_id, state AS item, next_action, not_after FROM certificates WHERE id = $1",
	"requests":     "SELECT 'requests' AS kind, group_id, state AS item FROM requests WHERE id = $1",
	"devices":      "SELECT 'devices' AS kind, group_id, platform AS item FROM devices WHERE id = $1",
}

// loaded notes the part of a row that nobody else can change until the end, so
// that it need not be asked for when the row changes.
func (tx *Tx) loaded(row any) {
	if r, ok := row.(renamed); ok && tx.lck {
		tx.remember(r)
	}
	if r, ok := row.(counted); ok && tx.lck {
		if tx.sums == nil {
			tx.sums = map[string]tallyPart{}
		}
		tx.sums[r.identity()] = r.part()
	}
}

// arrived counts a row that has been stored.
func (tx *Tx) arrived(row any) {
	if r, ok := row.(counted); ok {
		tx.tally.count(r.part(), 1)
		tx.loaded(row)
	}
}

// leaving counts off a row of a table that is about to change or go.
func (tx *Tx) leaving(table, id string) error {
	p, known := tx.sums[id]
	if !known {
		err := tx.x.GetContext(tx.ctx, &p, sumOf[table], id)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fit(err)
		}
	}
	delete(tx.sums, id)
	tx.tally.count(p, -1)
	return nil
}

// sumsOf gives the sums of a kind by item.
func (tx *Tx) sumsOf(w *where) ([]Count, error) {
	var out []Count
	q, args := tx.statement(w, "SELECT item AS k, CAST(sum(n) AS BIGINT) AS n FROM tallies")
	err := tx.x.SelectContext(tx.long(), &out, q+" GROUP BY item HAVING sum(n) > 0 ORDER BY item", args...)
	return out, fit(err)
}

func (tx *Tx) sumsByGroup(kind string, groups []ra.GroupID) ([]Count, error) {
	w := &where{}
	w.equal("kind", kind)
	if err := tx.scope(w, groups); err != nil {
		return nil, err
	}
	return tx.sumsOf(w)
}
