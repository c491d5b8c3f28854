package store

import (
	"chancery/internal/ra"
)

// RenewalCount is how the renewals of an authority's certificates stand.
type RenewalCount struct {
	AuthorityID ra.AuthorityID `db:"authority_id"`
	Due         int64          `db:"due"`     // their time has come
	Late        int64          `db:"late"`    // past their deadline, and people were told
	Failing     int64          `db:"failing"` // the last attempt failed
}

// RenewalCounts counts per authority what waits for a successor.
func (tx *Tx) RenewalCounts() ([]RenewalCount, error) {
	var out []RenewalCount
	// What is appended keeps SQLite from an index that holds most rows.
	err := tx.x.SelectContext(tx.ctx, &out, `SELECT authority_id, CAST(sum(due) AS BIGINT) AS due, CAST(sum(late) AS BIGINT) AS late, CAST(sum(failing) AS BIGINT) AS failing FROM (
		SELECT authority_id, count(*) AS due, 0 AS late, 0 AS failing FROM certificates WHERE next_action IN ('renew', 'await') AND next_action <> '' AND next_action_at <= $1 GROUP BY authority_id
		UNION ALL SELECT authority_id, 0, count(*), 0 FROM certificates WHERE next_action || '' IN ('renew', 'await') AND next_action <> '' AND deadline_at > 0 AND deadline_at < $1 AND escalated_at > 0 GROUP BY authority_id
		UNION ALL SELECT authority_id, 0, 0, count(*) FROM certificates WHERE next_action = 'renew' AND last_error <> '' GROUP BY authority_id) AS parts
		GROUP BY authority_id ORDER BY authority_id`, millis(tx.Now))
	return out, err
}

// WaitingCount counts the requests of an authority that wait in one state.
type WaitingCount struct {
	AuthorityID ra.AuthorityID  `db:"authority_id"`
	State       ra.RequestState `db:"state"`
	N           int64           `db:"n"`
	Late        int64           `db:"late"` // of them, past their deadline
}

// WaitingRequests counts the requests that wait, by authority and state.
func (tx *Tx) WaitingRequests() ([]WaitingCount, error) {
	var out []WaitingCount
	err := tx.x.SelectContext(tx.ctx, &out, `SELECT authority_id, state, count(*) AS n, CAST(sum(CASE WHEN deadline_at > 0 AND deadline_at < $1 THEN 1 ELSE 0 END) AS BIGINT) AS late
		FROM (SELECT authority_id, state, deadline_at FROM requests WHERE next_action <> '' AND renews = ''
			UNION ALL SELECT authority_id, state, deadline_at FROM requests WHERE next_action <> '' AND renews <> '') AS waiting
		GROUP BY authority_id, state ORDER BY authority_id, state`, millis(tx.Now))
	return out, err
}

// LateCertificates counts the certificates whose next action is past its
// deadline and of which people were told.
func (tx *Tx) LateCertificates() (n int64, err error) {
	err = tx.x.GetContext(tx.ctx, &n, "SELECT count(*) FROM certificates WHERE next_action <> '' AND deadline_at > 0 AND deadline_at < $1 AND escalated_at > 0", millis(tx.Now))
	return n, err
}

// CountAudit counts the entries of the audit log, by its end.
func (tx *Tx) CountAudit() (int64, error) {
	head, err := tx.auditHead()
	return head.Count, err
}
