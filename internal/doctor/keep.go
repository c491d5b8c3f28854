package doctor

import (
	"fmt"
	"slices"
	"time"

	"chancery/internal/backup"
	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// damage has the database look through itself.
func (x *examination) damage() {
	const name = "database file"
	if x.DB.Engine() != "sqlite" {
		x.say(name, ca.StepSkipped, "The database server looks after its files itself.", "")
		return
	}
	begin := time.Now()
	if err := x.DB.Check(x.ctx); err != nil {
		x.broken(name, "", err)
		return
	}
	x.say(name, ca.StepOK, fmt.Sprintf("Read through in %s, without damage.", time.Since(begin).Round(time.Millisecond)), "")
}

// gapShown is how long after a database was put back people are told of what it
// cannot know.
const gapShown = 30 * 24 * time.Hour

// restored tells of a database that was put back from an earlier state.
func (x *examination) restored() {
	const name = "restored database"
	var r backup.Restored
	err := x.DB.Read(x.ctx, func(tx *store.Tx) (err error) {
		r, err = backup.Last(tx)
		return err
	})
	switch {
	case ra.KindOf(err) == ra.NotFound:
	case err != nil:
		x.broken(name, "", err)
	case x.Now().Sub(r.At) < gapShown:
		x.say(name, ca.StepWarning, fmt.Sprintf("It was put back on %s as it was at %s. What was issued or revoked in between is not known here: OCSP says unknown to such certificates, and revocations of that time are undone.", moment(r.At), moment(r.From)),
			"Have the devices that enrolled in between enrol again, revoke again what was revoked, and look through chancery token list and chancery admin list for what had been removed.")
	default:
		x.say(name, ca.StepOK, fmt.Sprintf("It was put back on %s as it was at %s.", moment(r.At), moment(r.From)), "")
	}
}

// also adds what the running server itself found. It reports whether that was
// something about the clock.
func (x *examination) also() (clock bool) {
	if x.Also == nil {
		return false
	}
	found := x.Also(x.ctx)
	x.found = append(x.found, found...)
	return slices.ContainsFunc(found, func(f Finding) bool { return f.Name == "clock" })
}
