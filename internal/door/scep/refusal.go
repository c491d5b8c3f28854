package scep

import (
	"context"
	"errors"
	"sync"
	"time"

	"chancery/internal/audit"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/wire/scepmsg"
)

// verdict is what SCEP says for a kind of error.
type verdict struct {
	info scepmsg.FailInfo
	// later means that the device did nothing wrong: HTTP 503 makes it send the
	// same again, which finds what was begun. A CertRep would end its attempt.
	later bool
}

// verdicts is the whole table from kinds to failInfo. SCEP has one word for
// everything a client may not do; why is in the log and the audit only.
var verdicts = map[ra.Kind]verdict{
	ra.NotFound:    {info: scepmsg.BadCertID},
	ra.Denied:      {info: scepmsg.BadRequest},
	ra.Unsigned:    {info: scepmsg.BadMessageCheck},
	ra.Invalid:     {info: scepmsg.BadRequest},
	ra.RefusedByCA: {info: scepmsg.BadRequest},
	ra.Conflict:    {info: scepmsg.BadRequest},
	ra.TooLarge:    {info: scepmsg.BadRequest},
	ra.Unreachable: {info: scepmsg.BadRequest, later: true},
	ra.Busy:        {info: scepmsg.BadRequest, later: true},
	ra.Internal:    {info: scepmsg.BadRequest, later: true},
}

// fault is a refusal for which SCEP has a word of its own.
type fault struct {
	info scepmsg.FailInfo
	err  *ra.Error
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

// failInfo gives SCEP's word for an error, and whether it is to be said now.
func failInfo(err error) (info scepmsg.FailInfo, now bool) {
	var f *fault
	if errors.As(err, &f) {
		return f.info, true
	}
	v, ok := verdicts[ra.KindOf(err)]
	if !ok {
		v = verdicts[ra.Internal]
	}
	return v.info, !v.later
}

const (
	wrongWindow  = 15 * time.Minute
	maxWrong     = 5
	brokenWindow = time.Minute
	maxBroken    = 50
)

// strike remembers a wrong challenge against the address it came from. The
// same one again is no further guess: one device with an outdated profile must
// not lock out all that share its address.
func (x *exchange) strike() {
	if x.facts.challenge != wrongChallenge {
		return
	}
	password, _ := x.csr.ChallengePassword()
	x.wrong.add(x.Now(), wrongWindow, x.remote, []byte(password))
}

// note writes a refusal to the log and the audit record, with everything the
// client is not told.
func (x *exchange) note(ctx context.Context, cause error) {
	e := ra.AsError(cause)
	info, _ := failInfo(cause)
	details := map[string]any{"endpoint": x.endpoint.Name, "reason": e.Message, "remedy": e.Remedy, "fail_info": info.String()}
	args := []any{"endpoint", x.endpoint.Name, "remote", x.remote, "fail_info", info.String(), "reason", e.Message, "remedy", e.Remedy, "error", cause}
	related := ""
	if m := x.message; m != nil {
		details["type"], details["transaction"] = m.Type.String(), x.transaction()
		args = append(args, "type", m.Type.String(), "transaction", x.transaction())
	}
	if f := x.facts; f.signer != "" {
		details["signer"], details["challenge"], details["history"] = f.signer, f.challenge, f.history
		args = append(args, "signer", f.signer, "challenge", f.challenge, "history", f.history)
		if f.device != nil {
			related = string(f.device.ID)
		}
	}
	kind := info.String() + "|" + string(x.facts.signer) + "|" + string(x.facts.challenge) + "|" + string(e.Kind)
	write, unwritten := x.refusals.add(x.Now(), string(x.endpoint.ID)+"|"+x.remote+"|"+kind)
	if !write {
		x.Log.Debug("SCEP request refused", args...)
		return
	}
	if unwritten > 0 {
		details["more_since_last_entry"] = unwritten
		args = append(args, "more_since_last_entry", unwritten)
	}
	x.Log.Warn("SCEP request refused", args...)
	err := x.DB.Write(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		return audit.Record(tx, audit.Entry{Code: audit.RequestRefused, Actor: x.actor(), Group: x.endpoint.GroupID, Object: string(x.endpoint.ID),
			Related: related, Result: "refused", Message: "SCEP request refused at " + x.endpoint.Name + ".", Details: details})
	})
	if err != nil {
		x.Log.Error("refusal not recorded", "error", err)
	}
}

// refusals keeps garbage from filling the record: equal refusals from one
// address are counted, and of all together only so many are written a minute.
// What was counted is in the next entry that is written.
type refusals struct {
	mu      sync.Mutex
	since   map[string]time.Time // when an equal one was written
	missed  int
	minute  time.Time
	written int
}

const (
	refusalWindow  = time.Minute
	maxRefusals    = 1024 // kinds and addresses remembered
	refusalsMinute = 60
)

// add tells whether a refusal is to be written, and how many were not since the
// last that was.
func (r *refusals) add(now time.Time, key string) (write bool, unwritten int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.minute).Abs() >= time.Minute {
		r.minute, r.written = now, 0
		for k, at := range r.since {
			if now.Sub(at).Abs() >= refusalWindow {
				delete(r.since, k)
			}
		}
	}
	at, seen := r.since[key]
	if seen && now.Sub(at).Abs() < refusalWindow || len(r.since) >= maxRefusals || r.written >= refusalsMinute {
		r.missed++
		return false, 0
	}
	if r.since == nil {
		r.since = map[string]time.Time{}
	}
	r.since[key] = now
	r.written++
	unwritten, r.missed = r.missed, 0
	return true, unwritten
}
