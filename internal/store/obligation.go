package store

import (
	"time"

	"chancery/internal/ra"
)

// ObligationFilter narrows the list of what waits.
type ObligationFilter struct {
	Groups    []ra.GroupID // any of these; nil: all
	Authority ra.AuthorityID
	Action    ra.Action
	LateOnly  bool      // past the deadline
	DueBefore time.Time // zero: no limit
	Page
}

// FindObligations lists everything that waits, what is due first on top.
func (tx *Tx) FindObligations(f ObligationFilter) ([]ra.ObligationRow, string, error) {
	w := &where{}
	w.add("next_action <> ''")
	within(w, "group_id", f.Groups)
	w.equal("authority_id", string(f.Authority))
	w.equal("next_action", string(f.Action))
	if f.LateOnly {
		w.add("deadline_at > 0 AND deadline_at < ?", millis(tx.Now))
	}
	if !f.DueBefore.IsZero() {
		w.add("next_action_at < ?", millis(f.DueBefore))
	}
	type row struct {
		ID          string `db:"id"`
		Kind        string `db:"kind"`
		Title       string `db:"title"`
		GroupID     string `db:"group_id"`
		AuthorityID string `db:"authority_id"`
		DeviceID    string `db:"device_id"`
		obligationRow
	}
	const common = "group_id, authority_id, device_id, next_action, next_action_at, deadline_at, attempts, last_error, escalated_at"
	const both = `(SELECT id, 'request' AS kind, subject AS title, ` + common + ` FROM requests
		UNION ALL SELECT id, 'certificate' AS kind, subject AS title, ` + common + ` FROM certificates) AS waiting`
	var rows []*row
	next, err := page(tx, &rows, both, w, f.Page, sorting{"": {"next_action_at", false}})
	if err != nil {
		return nil, "", err
	}
	out := make([]ra.ObligationRow, len(rows))
	for i, r := range rows {
		out[i] = ra.ObligationRow{Obligation: r.obligationRow.noun(), Kind: r.Kind, ID: r.ID, Title: r.Title,
			GroupID: ra.GroupID(r.GroupID), Authority: ra.AuthorityID(r.AuthorityID), Device: ra.DeviceID(r.DeviceID)}
	}
	return out, next, nil
}

// NextDue gives when the earliest waiting row is due; the zero time when
// nothing waits for the planner.
func (tx *Tx) NextDue() (time.Time, error) {
	var at int64
	err := tx.x.GetContext(tx.ctx, &at, `SELECT coalesce(min(at), 0) FROM (
		SELECT * FROM (SELECT next_action_at AS at FROM requests WHERE next_action <> '' ORDER BY next_action_at LIMIT 1) AS r
		UNION ALL SELECT * FROM (SELECT next_action_at AS at FROM certificates WHERE next_action <> '' ORDER BY next_action_at LIMIT 1) AS c) AS due`)
	return instant(at), err
}

// ExpiryBucket counts certificates that end in one span and who renews them.
type ExpiryBucket struct {
	AuthorityID string `db:"authority_id"`
	Day         int64  `db:"day"` // days from now, 0 = today
	Action      string `db:"next_action"`
	N           int64  `db:"n"`
}

// ExpiryCalendar counts, per authority and day of the coming days, the
// certificates that end then and are still in use.
func (tx *Tx) ExpiryCalendar(groups []ra.GroupID, days int) ([]ExpiryBucket, error) {
	const day = int64(24 * time.Hour / time.Millisecond)
	now := millis(tx.Now)
	w := &where{}
	w.add("state NOT IN ('superseded', 'revoked', 'expired')") // so that not_after leads the way
	w.add("not_after >= ?", now)
	w.add("not_after < ?", now+int64(days)*day)
	within(w, "group_id", groups)
	q, args := w.sql("SELECT authority_id, (not_after - CAST(? AS BIGINT)) / CAST(? AS BIGINT) AS day, next_action, count(*) AS n FROM certificates")
	args = append([]any{now, day}, args...)
	var out []ExpiryBucket
	err := tx.x.SelectContext(tx.long(), &out, q+" GROUP BY authority_id, day, next_action ORDER BY day, authority_id", args...)
	return out, err
}
