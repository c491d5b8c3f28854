package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"chancery/internal/ra"
)

// millis and instant turn a time into the integer a row keeps and back. The
// zero time is 0.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func instant(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// text gives v as JSON for a TEXT column; rows hold only types that marshal.
func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("store: %T does not marshal: %v", v, err))
	}
	return string(b)
}

// parse reads the JSON of a TEXT column.
func parse(s string, v any) error {
	if s == "" {
		return nil
	}
	return json.Unmarshal([]byte(s), v)
}

// blob gives b for a column that is never NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// some gives what such a column holds; nothing is nil, whatever the engine says.
func some(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

// insert stores a row; a taken name or identity is a Conflict.
func (tx *Tx) insert(table string, row any) error {
	if err := tx.configChanged(table); err != nil {
		return err
	}
	s := shapeOf(row)
	if _, err := tx.x.ExecContext(tx.ctx, s.texts(table).insert, s.values(row)...); err != nil {
		return tx.conflict(table, err)
	}
	if r, ok := row.(searched); ok {
		tx.notice(r)
	}
	tx.arrived(row)
	return nil
}

// update stores every column of a row under its id; a missing row is NotFound.
func (tx *Tx) update(table string, row any) error {
	if err := tx.configChanged(table); err != nil {
		return err
	}
	if r, ok := row.(counted); ok {
		if err := tx.leaving(table, r.identity()); err != nil {
			return err
		}
	}
	s := shapeOf(row)
	res, err := tx.x.ExecContext(tx.ctx, s.texts(table).update, s.changed(row)...)
	if err != nil {
		return tx.conflict(table, err)
	}
	if err := one(table, res); err != nil {
		return err
	}
	if r, ok := row.(renamed); ok {
		tx.notice(r)
	}
	tx.arrived(row)
	return nil
}

// remove deletes a row by id; a row that others point at is a Conflict.
func (tx *Tx) remove(table, id string) error {
	if err := tx.configChanged(table); err != nil {
		return err
	}
	if _, ok := sumOf[table]; ok {
		if err := tx.leaving(table, id); err != nil {
			return err
		}
	}
	res, err := tx.x.ExecContext(tx.ctx, "DELETE FROM "+table+" WHERE id = $1", id)
	if err != nil {
		return tx.conflict(table, err)
	}
	return one(table, res)
}

// replace is update for a row loaded with look: one that changed since loaded,
// its UpdatedAt then, is a stale Conflict. A noun that was never loaded has no
// such instant and replaces what is there.
func (tx *Tx) replace(table, id string, loaded time.Time, row any) error {
	if !loaded.IsZero() {
		n, err := tx.exec("UPDATE "+table+" SET updated_at = updated_at WHERE id = $1 AND updated_at = $2", id, millis(loaded))
		if err != nil {
			return err
		}
		var there bool
		if n == 0 {
			if err := tx.x.GetContext(tx.ctx, &there, "SELECT count(*) > 0 FROM "+table+" WHERE id = $1", id); err != nil {
				return fit(err)
			}
		}
		if there {
			return ra.Errorf(ra.Conflict, "Somebody else changed this %s meanwhile.", noun[table]).
				WithRemedy("Load it again and repeat the change.").WithCause(stale)
		}
	}
	return tx.update(table, row)
}

// after gives Tx.Now, or the next millisecond after loaded: every replacement
// of a row must be seen by the next.
func (tx *Tx) after(loaded time.Time) time.Time {
	if next := loaded.Add(time.Millisecond); next.After(tx.Now) {
		return next
	}
	return tx.Now
}

// get loads one row; inside Write the row is locked until the end.
func (tx *Tx) get(table string, row any, where string, args ...any) error {
	return tx.load(table, row, tx.e.lockRow, where, args...)
}

// look loads one row that many read and few change, without a lock.
func (tx *Tx) look(table string, row any, where string, args ...any) error {
	return tx.load(table, row, "", where, args...)
}

// keep loads one row that must stay as it is until the end; others may do the
// same.
func (tx *Tx) keep(table string, row any, where string, args ...any) error {
	return tx.load(table, row, tx.e.keepRow, where, args...)
}

func (tx *Tx) load(table string, row any, lock, where string, args ...any) error {
	s := shapeOf(row)
	q := "SELECT " + s.list + " FROM " + table + " WHERE " + where
	if tx.lck {
		q += lock
	}
	err := tx.x.QueryRowContext(tx.ctx, q, args...).Scan(s.targets(row)...)
	if errors.Is(err, sql.ErrNoRows) {
		return notFound(table)
	}
	if err == nil && (lock != "" || !tx.e.remote) { // SQLite has one writer: nobody else changes what it loaded
		tx.loaded(row)
	}
	return fit(err)
}

// exec runs a statement and gives how many rows it changed.
func (tx *Tx) exec(q string, args ...any) (int64, error) {
	res, err := tx.x.ExecContext(tx.ctx, q, args...)
	if err != nil {
		return 0, fit(err)
	}
	return res.RowsAffected()
}

// alone waits until no other transaction holds a lock, and holds it.
func (tx *Tx) alone(lock int64) error {
	if tx.e.alone == "" {
		return nil
	}
	_, err := tx.exec(tx.e.alone, lock)
	return err
}

func one(table string, res sql.Result) error {
	n, err := res.RowsAffected()
	if err != nil {
		return err
	}
	if n == 0 {
		return notFound(table)
	}
	return nil
}

// noun is how people call a row of a table.
var noun = map[string]string{
	"groups": "organization group", "users": "user", "devices": "device", "authorities": "authority",
	"templates": "template", "endpoints": "SCEP endpoint", "challenges": "challenge", "requests": "request",
	"approvals": "approval", "certificates": "certificate", "admins": "administrator", "passkeys": "passkey",
	"tokens": "API token", "links": "link", "sessions": "session", "journal": "journal entry",
	"issuers": "issuer", "crl_lists": "CRL", "bulks": "bulk revocation", "sealed": "secret", "bearers": "mark of an asker", "passes": "pass", "directories": "directory", "directory_states": "directory", "syncs": "run", "publications": "publication", "key_services": "key service", "key_deliveries": "key delivery", "ca_imports": "import", "ca_import_runs": "run", "imported_certificates": "import", "ca_differences": "difference", "postures": "evaluation", "dangers": "danger", "pass_answers": "message", "limits": "limit", "outages": "outage", "audit": "audit entry", "facts": "fact",
}

func notFound(table string) error {
	return ra.Errorf(ra.NotFound, "There is no such %s.", noun[table]).
		WithRemedy("Check the ID or name; it may have been deleted.")
}

func (tx *Tx) conflict(table string, err error) error {
	if err == nil {
		return nil
	}
	if _, taken := unique(err); taken {
		return ra.Errorf(ra.Conflict, "Another %s with this name or identity exists already.", noun[table]).
			WithRemedy("Choose another name, or change the one that exists.").WithCause(err)
	}
	if referenced(err) {
		return ra.Errorf(ra.Conflict, "This %s is linked to something that still needs it, or names something that does not exist.", noun[table]).
			WithRemedy("Remove what uses it first, and check the IDs.").WithCause(err)
	}
	return fit(err)
}

// fit turns the database's refusal of a text into an Invalid.
func fit(err error) error {
	if unfit(err) {
		return ra.Errorf(ra.Invalid, "A text holds a character that cannot be stored.").
			WithRemedy("Remove control characters from the text and try again.").WithCause(err)
	}
	return err
}
