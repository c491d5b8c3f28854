package store

import (
	"errors"
	"math"
	"strings"
	"time"

	"chancery/internal/ra"
)

type auditRow struct {
	Seq      int64  `db:"seq"`
	At       int64  `db:"at"`
	Code     string `db:"code"`
	Actor    string `db:"actor"`
	ActorID  string `db:"actor_id"`
	GroupID  string `db:"group_id"`
	Object   string `db:"object"`
	Related  string `db:"related"`
	Result   string `db:"result"`
	Message  string `db:"message"`
	Search   string `db:"search"`
	Details  string `db:"details"`
	PrevHash string `db:"prev_hash"`
	Hash     string `db:"hash"`
}

// toAudit fits every text for both engines: a record must not fail because a
// device sent odd bytes.
func toAudit(e *ra.AuditEntry) auditRow {
	return auditRow{
		Seq: e.Seq, At: millis(e.At), Code: storable(e.Code), Actor: text(e.Actor), ActorID: storable(actorID(e.Actor)),
		GroupID: storable(string(e.GroupID)), Object: storable(e.Object), Related: storable(e.Related), Result: storable(e.Result),
		Message: storable(e.Message), Search: ra.Fold(storable(e.Message + "\n" + e.Actor.Name)), Details: storable(string(e.Details)),
		PrevHash: e.PrevHash, Hash: e.Hash,
	}
}

func (r *auditRow) noun() (*ra.AuditEntry, error) {
	e := &ra.AuditEntry{
		Seq: r.Seq, At: instant(r.At), Code: r.Code, GroupID: ra.GroupID(r.GroupID), Object: r.Object, Related: r.Related,
		Result: r.Result, Message: r.Message, PrevHash: r.PrevHash, Hash: r.Hash,
	}
	if r.Details != "" {
		e.Details = []byte(r.Details)
	}
	return e, parse(r.Actor, &e.Actor)
}

// storable gives s with the bytes replaced that PostgreSQL does not keep.
func storable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// Append adds an entry to the audit log, at Tx.Now. Its place in the chain
// (Seq, PrevHash, Hash) is found, and filled in, when the transaction commits:
// entries are chained one after the other, and so late nobody waits for long.
func (tx *Tx) Append(e *ra.AuditEntry) error {
	if !tx.lck {
		return errors.New("store: Append inside Read")
	}
	e.At = tx.Now
	tx.audit = append(tx.audit, e)
	return nil
}

// appendAudit continues the chain. Its lock is held.
func (tx *Tx) appendAudit(entries []*ra.AuditEntry) error {
	if len(entries) == 0 {
		return nil
	}
	head, err := tx.auditHead()
	if err != nil {
		return err
	}
	for _, e := range entries {
		e.Seq, e.PrevHash = head.Seq+1, head.Hash
		if hour := millis(e.At) / hour; hour != head.Hour {
			if _, err := tx.exec("INSERT INTO audit_hours (seq, hour) VALUES ($1, $2)", e.Seq, hour); err != nil {
				return err
			}
			head.Hour = hour
		}
		row := toAudit(e)
		row.Hash = row.digest()
		if err := tx.insert("audit", &row); errors.Is(err, &ra.Error{Kind: ra.Conflict}) {
			return ra.Errorf(ra.Internal, "The audit log does not end where it should, so nothing can be recorded.").
				WithRemedy("Somebody changed the database: have chancery doctor check the audit log, or restore a backup.").WithCause(err)
		} else if err != nil {
			return err
		}
		e.Hash = row.Hash
		head.Seq, head.Hash, head.Count = row.Seq, row.Hash, head.Count+1
	}
	return tx.PutFact(auditHeadFact, text(head))
}

// AuditFilter narrows the audit log; empty fields do not.
type AuditFilter struct {
	Groups []ra.GroupID // any of these; nil: all, and what belongs to no group
	Code   string       // an event code, or the start of codes: "certificate" or "certificate."
	Object string       // ID of what it is about, or of what is related
	Actor  string       // ID of who did it, or the name of an actor without ID
	Since  time.Time
	Until  time.Time // not included
	Text   string    // part of the message or the actor's name
	Page
}

// Audit lists the audit log, newest first, or oldest first when Page.Sort is
// "-".
func (tx *Tx) Audit(f AuditFilter) ([]*ra.AuditEntry, string, error) {
	w := &where{}
	within(w, "group_id", f.Groups)
	if err := errors.Join(tx.auditCode(w, f.Code), tx.auditSpan(w, f.Since, f.Until)); err != nil {
		return nil, "", err
	}
	if f.Object != "" {
		w.conditions = append(w.conditions, condition{text: "(object = ? OR related = ? AND related <> '')", args: []any{f.Object, f.Object}, column: "object"})
	}
	w.equal("actor_id", f.Actor)
	w.contains(f.Text, "search")
	if err := tx.narrow(w, f.Page, "audit", f.Text); err != nil {
		return nil, "", err
	}
	return find[ra.AuditEntry, auditRow](tx, "audit", w, f.Page, sorting{"": {"seq", true}})
}

// auditCode asks for a code, or for all that begin with it: there are a hundred
// codes, and it skips from one to the next in the index.
func (tx *Tx) auditCode(w *where, code string) error {
	if exact := strings.Contains(strings.TrimSuffix(code, "."), "."); exact || code == "" {
		w.equal("code", code)
		return nil
	}
	found := []string{}
	for last := ""; ; {
		var next []string
		if err := tx.x.SelectContext(tx.ctx, &next, "SELECT code FROM audit WHERE code > $1 ORDER BY code LIMIT 1", last); err != nil {
			return err
		}
		if len(next) == 0 {
			w.in("code", found)
			return nil
		}
		if last = next[0]; strings.HasPrefix(last, code) {
			found = append(found, last)
		}
	}
}

// auditSpan asks for a time from one instant to before another; a zero one is no
// limit. The hours that entries are of tell which stretch of the log it is.
func (tx *Tx) auditSpan(w *where, since, until time.Time) error {
	if since.IsZero() && until.IsZero() {
		return nil
	}
	low, high := int64(0), int64(math.MaxInt64)
	if !since.IsZero() {
		low = max(millis(since), 0)
		w.add("at >= ?", low)
	}
	if !until.IsZero() {
		high = millis(until) - 1
		w.add("at <= ?", high)
	}
	var first, last int64
	err := tx.x.QueryRowContext(tx.ctx, `SELECT first, coalesce((SELECT min(seq) FROM audit_hours WHERE seq > last), $3) FROM (
			SELECT coalesce(min(seq), 1) AS first, coalesce(max(seq), 0) AS last FROM audit_hours WHERE hour BETWEEN $1 AND $2) AS hours`,
		low/hour, high/hour, int64(math.MaxInt64)).Scan(&first, &last)
	w.span("seq", first, last-1)
	return err
}
