package store

import (
	"cmp"
	"slices"
	"time"

	"chancery/internal/ra"
)

// Due is a certificate whose next action is due.
type Due struct {
	ID       ra.CertificateID
	Template ra.TemplateID
	NotAfter time.Time
	At       time.Time // since when it is due
}

// DueCertificates gives certificates of one authority whose next action is
// one and due: those that end first before the rest, as far as certificates of
// one template fall due in the order in which they end. However many are due,
// it looks at limit of them for each template.
func (tx *Tx) DueCertificates(authority ra.AuthorityID, action ra.Action, limit int) ([]Due, error) {
	templates, err := tx.templatesDoing(authority, action)
	if err != nil {
		return nil, err
	}
	var due []Due
	for _, t := range templates {
		list, err := tx.dueOf(authority, action, t, limit)
		if err != nil {
			return nil, err
		}
		due = append(due, list...)
	}
	if len(templates) > 1 {
		slices.SortStableFunc(due, func(a, b Due) int { return cmp.Or(a.NotAfter.Compare(b.NotAfter), cmp.Compare(a.ID, b.ID)) })
	}
	return due[:min(limit, len(due))], nil
}

func (tx *Tx) dueOf(authority ra.AuthorityID, action ra.Action, template ra.TemplateID, limit int) ([]Due, error) {
	var rows []struct {
		ID       string `db:"id"`
		NotAfter int64  `db:"not_after"`
		At       int64  `db:"next_action_at"`
	}
	err := tx.x.SelectContext(tx.ctx, &rows, `SELECT id, not_after, next_action_at FROM certificates WHERE authority_id = $1 AND next_action = $2 AND template_id = $3 AND next_action <> ''
		AND next_action_at <= $4 ORDER BY next_action_at, id LIMIT $5`, string(authority), string(action), string(template), millis(tx.Now), limit)
	due := make([]Due, len(rows))
	for i, r := range rows {
		due[i] = Due{ra.CertificateID(r.ID), template, instant(r.NotAfter), instant(r.At)}
	}
	return due, err
}

// templatesDoing lists the templates of the certificates of one authority with
// a next action, skipping from one to the next in the index.
func (tx *Tx) templatesDoing(authority ra.AuthorityID, action ra.Action) (list []ra.TemplateID, err error) {
	for op, last := ">=", ""; ; op = ">" {
		var next []string
		if err := tx.x.SelectContext(tx.ctx, &next, "SELECT template_id FROM certificates WHERE authority_id = $1 AND next_action = $2 AND next_action <> '' AND template_id "+op+" $3 ORDER BY template_id LIMIT 1",
			string(authority), string(action), last); err != nil || len(next) == 0 {
			return list, err
		}
		last = next[0]
		list = append(list, ra.TemplateID(last))
	}
}

// OverdueCertificates gives certificates whose deadline has passed and whom
// nobody was told of, locked for this transaction where the engine can.
func (tx *Tx) OverdueCertificates(limit int) ([]*ra.Certificate, error) {
	var rows []*certificateRow
	if err := tx.take(&rows, "certificates", overdue(tx.Now), "deadline_at, escalated_at, id", limit); err != nil {
		return nil, err
	}
	return nouns[ra.Certificate](rows)
}

func overdue(now time.Time) *where {
	w := &where{}
	w.add("next_action <> ''")
	w.add("escalated_at = 0")
	w.add("deadline_at > 0")
	w.add("deadline_at < ?", millis(now))
	return w
}

// OverdueRequests gives requests of one authority whose deadline has passed
// and whom nobody was told of, locked for this transaction where the engine
// can.
func (tx *Tx) OverdueRequests(authority ra.AuthorityID, limit int) ([]*ra.Request, error) {
	var late []*ra.Request
	for _, line := range []Line{NewLine, RenewalLine} {
		w := overdue(tx.Now)
		w.add("authority_id = ?", string(authority))
		w.add(string(line))
		var rows []*requestRow
		if err := tx.take(&rows, "requests", w, "next_action_at, id", limit-len(late)); err != nil {
			return nil, err
		}
		list, err := nouns[ra.Request](rows)
		if err != nil {
			return nil, err
		}
		late = append(late, list...)
	}
	return late, nil
}

// Line is where a request waits: new enrolments and renewals have one each.
type Line string

// The lines.
const (
	NewLine     Line = "renews = ''"
	RenewalLine Line = "renews <> ''"
)

// DueRequests gives requests of one authority and line whose next action is
// due, oldest first, locked for this transaction where the engine can.
func (tx *Tx) DueRequests(authority ra.AuthorityID, line Line, actions []ra.Action, limit int) ([]*ra.Request, error) {
	w := &where{}
	w.equal("authority_id", string(authority))
	w.add("next_action <> ''")
	w.add(string(line))
	among(w, "next_action", actions)
	w.add("next_action_at <= ?", millis(tx.Now))
	var rows []*requestRow
	if err := tx.take(&rows, "requests", w, "next_action_at, id", limit); err != nil {
		return nil, err
	}
	return nouns[ra.Request](rows)
}

// Demand counts certificates of one authority that are renewed on one day, by
// the day they end.
type Demand struct {
	Due  int64 `db:"due"`  // days from now; what is due already is day 0
	Ends int64 `db:"ends"` // days from now; what has ended already is day 0
	N    int64 `db:"n"`
}

// DemandOf counts the certificates of one authority with a next action (renew
// or await) by the days they are due and end, as far as they are due within a
// number of days. It walks through an index, over all of them.
func (tx *Tx) DemandOf(authority ra.AuthorityID, action ra.Action, days int) ([]Demand, error) {
	now := millis(tx.Now)
	var out []Demand
	// The sum keeps SQLite from the index that has no end in it.
	err := tx.x.SelectContext(tx.long(), &out, `SELECT due, ends, count(*) AS n FROM (
			SELECT CASE WHEN next_action_at <= $1 THEN 0 ELSE (next_action_at - CAST($1 AS BIGINT)) / CAST($2 AS BIGINT) END AS due,
				CASE WHEN not_after <= $1 THEN 0 ELSE (not_after - CAST($1 AS BIGINT)) / CAST($2 AS BIGINT) END AS ends
			FROM certificates WHERE authority_id = $3 AND next_action = $4 AND next_action <> '' AND next_action_at + 0 < $5) AS waiting
		GROUP BY due, ends ORDER BY due, ends`, now, int64(24*time.Hour/time.Millisecond), string(authority), string(action), now+int64(days)*int64(24*time.Hour/time.Millisecond))
	return out, err
}
