package store

import (
	"errors"
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
	first := head.Seq
	for _, e := range entries {
		e.Seq, e.PrevHash = head.Seq+1, head.Hash
		row := toAudit(e)
		row.Hash = row.digest()
		if err := tx.insert("audit", &row); errors.Is(err, &ra.Error{Kind: ra.Conflict}) {
			return ra.Errorf(ra.Internal, "The audit log does not end where it should, so nothing can be recorded.").
				WithRemedy("Somebody changed the database: have chancery doctor check the audit log, or restore a backup.").WithCause(err)
		} else if err != nil {
			return err
		}
		e.Hash = row.Hash
		head = auditHead{Seq: row.Seq, Hash: row.Hash, Count: head.Count + 1}
	}
	if err := tx.foldAudit(first, head.Seq); err != nil {
		return err
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
	if exact := strings.Contains(strings.TrimSuffix(f.Code, "."), "."); exact {
		w.equal("code", f.Code)
	} else if f.Code != "" {
		w.add("code LIKE ?"+escape, starting(f.Code))
	}
	if f.Object != "" {
		w.add("(object = ? OR related = ?)", f.Object, f.Object)
	}
	w.equal("actor_id", f.Actor)
	if !f.Since.IsZero() {
		w.add("at >= ?", millis(f.Since))
	}
	if !f.Until.IsZero() {
		w.add("at < ?", millis(f.Until))
	}
	w.contains(f.Text, "search")
	if err := tx.narrow(w, "audit", f.Text); err != nil {
		return nil, "", err
	}
	return find[ra.AuditEntry, auditRow](tx, "audit", w, f.Page, sorting{"": {"seq", true}})
}
