package backup

import (
	"encoding/json"
	"fmt"
	"time"

	"chancery/internal/audit"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// restoredFact keeps the last Restored of a database.
const restoredFact = "restore.last"

// Restored is the record of a database that was put back from an earlier state.
// What was issued, revoked or changed between From and At is not in it.
type Restored struct {
	From     time.Time     `json:"from"` // what was there is as of this instant
	At       time.Time     `json:"at"`
	Settled  store.Settled `json:"settled"`
	Answered int           `json:"answered"` // requests that were under way and whose certificate was found
	Ended    int           `json:"ended"`    // requests that were under way and may have been answered since
	Left     int           `json:"left"`     // requests that are looked up at their authority
}

// Settle finishes putting a database back, in the caller's transaction: what
// works once works no more, revocation lists go on above every number that can
// have been published (store.Tx.Settle), and the audit log and a fact say from
// when to when nothing is known. It gives r with Settled and At filled in.
// Doing it twice does no harm. The clock may not be before From: that is a
// Conflict, because numbers and times would come again.
func Settle(tx *store.Tx, actor ra.Actor, r Restored) (Restored, error) {
	if tx.Now.Before(r.From) {
		return r, ra.Errorf(ra.Conflict, "The clock says %s, and the backup is of %s.", tx.Now.Format(time.RFC3339), r.From.UTC().Format(time.RFC3339)).
			WithRemedy("Set the clock right first: what is signed now must not look older than what was signed before.")
	}
	var err error
	if r.Settled, err = tx.Settle(); err != nil {
		return r, err
	}
	r.At = tx.Now
	text, err := json.Marshal(r)
	if err != nil {
		return r, err
	}
	if err := tx.PutFact(restoredFact, string(text)); err != nil {
		return r, err
	}
	return r, audit.Record(tx, audit.Entry{Code: audit.InstallationRestored, Actor: actor,
		Message: fmt.Sprintf("The database was put back as it was at %s; what happened until now is not in it.", r.From.UTC().Format(time.RFC3339)), Details: r})
}

// Last gives the record of the last time the database was put back; NotFound
// when it never was.
func Last(tx *store.Tx) (r Restored, err error) {
	text, err := tx.Fact(restoredFact)
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal([]byte(text), &r)
}
