package store

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"chancery/internal/ra"
)

// seenFact keeps the latest time at which a server of this database was at
// work and sure of its clock, in milliseconds.
const seenFact = "clock.seen"

// Seen gives the latest time that MarkSeen noted on this database; where it
// never did, the time of the last audit entry, and the zero time without one. An
// entry may have been written under a wrong clock, a mark was not.
func (tx *Tx) Seen() (time.Time, error) {
	value, err := tx.Fact(seenFact)
	if err != nil && !errors.Is(err, &ra.Error{Kind: ra.NotFound}) {
		return time.Time{}, err
	}
	var at int64
	if value != "" {
		at, err = strconv.ParseInt(value, 10, 64)
		return instant(at), err
	}
	err = tx.x.GetContext(tx.ctx, &at, "SELECT coalesce((SELECT at FROM audit ORDER BY seq DESC LIMIT 1), 0)")
	return instant(at), err
}

// MarkSeen notes that it is Tx.Now, unless a later time is noted already.
func (tx *Tx) MarkSeen() error {
	_, err := tx.exec(`INSERT INTO facts (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value
		WHERE length(facts.value) < length(excluded.value) OR length(facts.value) = length(excluded.value) AND facts.value < excluded.value`,
		seenFact, strconv.FormatInt(millis(tx.Now), 10))
	return err
}

// ForgetSeen takes the clock as it is now for right, after it had been ahead:
// Seen goes by it from now on.
func (tx *Tx) ForgetSeen() error { return tx.PutFact(seenFact, strconv.FormatInt(millis(tx.Now), 10)) }

// Check has the database look through itself for damage, as far as the engine
// can: SQLite reads the whole file, a database server is only asked for a sign
// of life. A damaged database is Unreachable.
func (db *DB) Check(ctx context.Context) error {
	if db.engine.name != sqliteEngine.name {
		return db.Ping(ctx)
	}
	var found []string
	if err := db.read.SelectContext(ctx, &found, "PRAGMA quick_check(1)"); err != nil {
		return faultOf(err)
	}
	if len(found) != 1 || found[0] != "ok" {
		return ra.Errorf(ra.Unreachable, "%s", faultDamaged.message).WithField("database").WithRemedy("%s", faultDamaged.remedy).
			WithCause(errors.New("quick_check did not answer ok"))
	}
	return nil
}

// probeFact is written and removed again by Probe.
const probeFact = "health.probe"

// probeRoom is how many bytes Probe asks room for on SQLite, where a full disk
// may still take a change of a row that is there.
const probeRoom = 16 << 10

// Probe tries whether the database takes what is written, notes the time
// (MarkSeen) when mark is set, and leaves nothing else behind. A database that
// does not is Unreachable and says why.
func (db *DB) Probe(ctx context.Context, mark bool) error {
	return db.Write(ctx, func(tx *Tx) error {
		if mark {
			if err := tx.MarkSeen(); err != nil {
				return err
			}
		}
		if db.engine.name != sqliteEngine.name {
			return tx.PutFact(probeFact, strconv.FormatInt(millis(tx.Now), 10))
		}
		if err := tx.PutFact(probeFact, strings.Repeat(".", probeRoom)); err != nil {
			return err
		}
		_, err := tx.exec("DELETE FROM facts WHERE name = $1", probeFact)
		return err
	})
}
