package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// database tells whether the database answers at all.
func (x *examination) database() bool {
	const name = "database"
	begin := time.Now()
	if err := x.DB.Ping(x.ctx); err != nil {
		x.broken(name, "", err)
		return false
	}
	x.say(name, ca.StepOK, fmt.Sprintf("%s answered in %s.", x.DB.Engine(), time.Since(begin).Round(10*time.Microsecond)), "")
	return true
}

func (x *examination) masterKey() {
	const name = "master key"
	info, err := os.Stat(x.MasterKey)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		x.say(name, ca.StepFailed, "The master key file cannot be found any more.", "Put it back from its copy before the server is started again: without it no secret opens.")
	case err != nil:
		x.broken(name, "", err)
	case info.Mode().Perm()&0o077 != 0:
		x.say(name, ca.StepFailed, fmt.Sprintf("Other accounts can read the master key file (mode %04o).", info.Mode().Perm()), "Run chmod 600 on it; when others may have read it, replace the secrets it protects.")
	default:
		x.say(name, ca.StepOK, "Only its owner can read the master key file.", "")
	}
}

// How much room the data folder needs, in bytes: below fullSoon there is time
// to act, below full a write may fail at any moment.
const (
	fullSoon = 1 << 30
	full     = 64 << 20
)

func (x *examination) diskSpace() {
	const name = "disk space"
	free, known, err := freeSpace(x.Data)
	switch {
	case err != nil:
		x.broken(name, "", err)
	case !known:
		x.say(name, ca.StepSkipped, "This system does not tell how much room the data folder has.", "")
	default:
		state, remedy := room(free)
		x.say(name, state, fmt.Sprintf("%d MiB free in the data folder.", free>>20), remedy)
	}
}

// room judges the free bytes of the data folder.
func room(free uint64) (state ca.StepState, remedy string) {
	const more = "Make room on that disk, or move the data folder to a larger one."
	switch {
	case free < full:
		return ca.StepFailed, more
	case free < fullSoon:
		return ca.StepWarning, more
	}
	return ca.StepOK, ""
}

func (x *examination) auditLog() {
	const name = "audit log"
	r, err := x.Audit.Verify(x.ctx, x.actor)
	switch {
	case err != nil:
		x.broken(name, "", err)
	case r.Broken != 0 || r.Problem != "":
		x.say(name, ca.StepFailed, fmt.Sprintf("Entry %d: %s", r.Broken, r.Problem), "Somebody changed the record in the database. Keep a copy of it, and compare with a backup.")
	default:
		x.say(name, ca.StepOK, fmt.Sprintf("%d entries, unbroken.", r.Entries), "")
	}
}

// clock compares with the last audit entry, of which only the time is told:
// time only ever goes on.
func (x *examination) clock() {
	const name = "clock"
	var last []*ra.AuditEntry
	err := x.DB.Read(x.ctx, func(tx *store.Tx) (err error) {
		last, _, err = tx.Audit(store.AuditFilter{Page: store.Page{Limit: 1}})
		return err
	})
	now := x.Now()
	switch {
	case err != nil:
		x.broken(name, "", err)
	case now.Year() < 2025:
		x.say(name, ca.StepFailed, "The clock says "+moment(now)+".", "Set it and keep it right with NTP: certificates would begin in the past.")
	case len(last) > 0 && last[0].At.After(now.Add(time.Minute)):
		x.say(name, ca.StepFailed, "The clock is behind the last audit entry, "+moment(last[0].At)+".", "Set it right, and keep it so with NTP.")
	default:
		x.say(name, ca.StepOK, moment(now)+".", "")
	}
}

func moment(t time.Time) string { return t.UTC().Format(time.RFC3339) }
