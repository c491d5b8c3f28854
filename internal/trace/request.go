package trace

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"chancery/internal/audit"
	"chancery/internal/pass"
	"chancery/internal/ra"
	"chancery/internal/store"
)

func microseconds(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

// few bounds how much of each sort is looked at for one request.
const few = 100

// ofRequest tells a request by what is kept about it, in the order of time; what
// is still to come stands at the end.
func ofRequest(tx *store.Tx, r *ra.Request) (*Trace, error) {
	t := &Trace{Request: r, Result: Waiting}
	for _, add := range []func(*store.Tx, *ra.Request) ([]Line, error){challengeLines, refusalLines, ownLines, hopLines, certificateLines} {
		lines, err := add(tx, r)
		if err != nil {
			return nil, err
		}
		t.Lines = append(t.Lines, lines...)
	}
	slices.SortStableFunc(t.Lines, func(a, b Line) int { return a.At.Compare(b.At) })
	t.Lines = append(t.Lines, ahead(r)...)
	switch r.State {
	case ra.Issued:
		t.Result = Done
		return t, nil
	case ra.DeniedState, ra.Failed, ra.Cancelled:
		t.Result = Failed
	}
	t.lastFailure()
	return t, nil
}

// challengeLines are about the challenge that the request spent.
func challengeLines(tx *store.Tx, r *ra.Request) ([]Line, error) {
	if r.EndpointID == "" || r.DeviceID == "" {
		return nil, nil
	}
	list, _, err := tx.FindChallenges(store.ChallengeFilter{Device: r.DeviceID, Endpoint: r.EndpointID, Page: store.Page{Limit: few}})
	if err != nil {
		return nil, err
	}
	for _, c := range list {
		if c.RequestID == r.ID {
			return []Line{
				{Step: "challenge.created", Title: "Make a challenge for the device", Who: Chancery, State: pass.StepDone, At: c.CreatedAt, Message: "Made by " + c.CreatedBy + ".",
					Fields: map[string]string{"challenge": string(c.ID), "until": c.ExpiresAt.UTC().Format(time.RFC3339)}},
				{Step: "challenge.used", Title: "Use the challenge", Who: Device, State: pass.StepDone, At: r.CreatedAt, Fields: map[string]string{"challenge": string(c.ID)}},
			}, nil
		}
	}
	return nil, nil
}

// refusalLines are messages of the device, or of this transaction, that the door
// refused before there was this request.
func refusalLines(tx *store.Tx, r *ra.Request) ([]Line, error) {
	if r.EndpointID == "" {
		return nil, nil
	}
	entries, _, err := tx.Audit(store.AuditFilter{Code: audit.RequestRefused, Object: string(r.EndpointID), Since: r.CreatedAt.Add(-7 * 24 * time.Hour), Page: store.Page{Limit: few}})
	if err != nil {
		return nil, err
	}
	var out []Line
	for _, e := range entries {
		var d struct {
			Reason      string `json:"reason"`
			Remedy      string `json:"remedy"`
			FailInfo    string `json:"fail_info"`
			Type        string `json:"type"`
			Transaction string `json:"transaction"`
		}
		if json.Unmarshal(e.Details, &d) != nil {
			continue
		}
		ours := r.TransactionID != "" && d.Transaction == r.TransactionID
		if !ours && (r.DeviceID == "" || e.Related != string(r.DeviceID) || e.At.After(r.CreatedAt)) {
			continue
		}
		out = append(out, Line{Step: e.Code, Title: "Check the message", Who: Chancery, State: pass.StepFails, At: e.At, Message: d.Reason, Remedy: d.Remedy,
			Fields: some("type", d.Type, "transaction", d.Transaction, "fail_info", d.FailInfo, "remote", e.Actor.Remote)})
	}
	return out, nil
}

// some makes fields of those that have a value, name and value by turns.
func some(pairs ...string) map[string]string {
	out := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			out[pairs[i]] = pairs[i+1]
		}
	}
	return out
}

// ownLines are what the request's row, the decisions and the record say.
func ownLines(tx *store.Tx, r *ra.Request) ([]Line, error) {
	asker := Person
	if r.AskedBy.Kind == ra.ActorDevice {
		asker = Device
	} else if r.AskedBy.Kind == ra.ActorSystem {
		asker = Chancery
	}
	out := []Line{{Step: "request.submitted", Title: "Ask for the certificate", Who: asker, State: pass.StepDone, At: r.CreatedAt, Message: "Asked by " + r.AskedBy.Name + " over " + r.Door + ".",
		Fields: some("subject", r.Subject, "key_made_at", string(r.KeyPlace), "transaction", r.TransactionID, "remote", r.AskedBy.Remote, "renews", string(r.Renews))}}
	votes, err := tx.Approvals(r.ID)
	if err != nil {
		return nil, err
	}
	for _, v := range votes {
		l := Line{Step: "request.approved", Title: "Approve it", Who: Person, State: pass.StepDone, At: v.At, Message: strings.TrimSpace("By " + v.By.Name + ". " + v.Comment)}
		if !v.Approve {
			l.Step, l.Title, l.State = "request.denied", "Deny it", pass.StepFails
			l.Remedy = "Ask again with what was missing, or talk to who decided."
		}
		out = append(out, l)
	}
	if !r.SubmittedAt.IsZero() {
		out = append(out, Line{Step: "request.sent", Title: "Send it to the authority", Who: Chancery, State: pass.StepDone, At: r.SubmittedAt, Fields: some("handle", r.Handle)})
	}
	entries, _, err := tx.Audit(store.AuditFilter{Object: string(r.ID), Page: store.Page{Limit: few}})
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		switch e.Code {
		case audit.RequestPending:
			state := pass.StepDone
			if r.State == ra.PendingAtCA {
				state = pass.StepWaits
			}
			out = append(out, Line{Step: e.Code, Title: "Decide later", Who: Authority, State: state, At: e.At, Message: e.Message})
		case audit.RequestCancelled:
			out = append(out, Line{Step: e.Code, Title: "Cancel the request", Who: Person, State: pass.StepFails, At: e.At, Message: e.Message, Remedy: "Ask again if it is still wanted."})
		case audit.RequestFailed:
			out = append(out, Line{Step: e.Code, Title: "Answer with a certificate", Who: Authority, State: pass.StepFails, At: e.At, Message: cmp.Or(r.Reason, e.Message), Remedy: "Mend that, and ask again."})
		case audit.RequestDenied:
			if len(votes) == 0 {
				out = append(out, Line{Step: e.Code, Title: "Answer with a certificate", Who: Authority, State: pass.StepFails, At: e.At, Message: cmp.Or(r.Reason, e.Message), Remedy: "Ask the authority's administrator, then ask again."})
			}
		case audit.RequestOverdue:
			out = append(out, Line{Step: e.Code, Title: "Tell people that it is late", Who: Chancery, State: pass.StepDone, At: e.At, Message: e.Message})
		}
	}
	return out, nil
}

// ahead is what is still to come, with what went wrong lately.
func ahead(r *ra.Request) []Line {
	issued := Line{Step: "certificate.issued", Title: "Answer with the certificate", Who: Authority, State: pass.StepNotReached}
	switch r.State {
	case ra.AwaitingApproval:
		return []Line{{Step: "request.approved", Title: "Approve it", Who: Person, State: pass.StepWaits, Remedy: "Somebody else than who asked decides."}, issued}
	case ra.Requested, ra.Approved:
		l := Line{Step: "request.sent", Title: "Send it to the authority", Who: Chancery, State: pass.StepWaits}
		if r.LastError != "" {
			l.State, l.Message, l.At, l.Times = pass.StepFails, r.LastError, r.UpdatedAt, r.Attempts
			l.Remedy = "It is tried again by itself; test the connection of the authority."
		}
		return []Line{l, issued}
	case ra.Submitted, ra.PendingAtCA:
		issued.State = pass.StepWaits
		if r.LastError != "" {
			issued.State, issued.Message, issued.At, issued.Times = pass.StepFails, r.LastError, r.UpdatedAt, r.Attempts
			issued.Remedy = "It is asked for again by itself; test the connection of the authority."
		}
		return []Line{issued}
	}
	return nil
}

// hopLines are hops that were stored for the request.
func hopLines(tx *store.Tx, r *ra.Request) ([]Line, error) {
	hops, err := tx.Hops(string(r.ID))
	var out []Line
	for _, h := range hops {
		out = append(out, ofHop(h))
	}
	return out, err
}

// certificateLines are what came of the request.
func certificateLines(tx *store.Tx, r *ra.Request) ([]Line, error) {
	if r.CertificateID == "" {
		return nil, nil
	}
	c, err := tx.Certificate(r.CertificateID)
	if ra.KindOf(err) == ra.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	answered := Line{Step: "certificate.issued", Title: "Answer with the certificate", Who: Authority, State: pass.StepDone, At: c.CreatedAt,
		Fields: some("certificate", string(c.ID), "serial", c.Serial, "not_after", c.NotAfter.UTC().Format(time.RFC3339))}
	if !r.SubmittedAt.IsZero() {
		answered.Took = max(c.CreatedAt.Sub(r.SubmittedAt), 0)
	}
	out := []Line{answered}
	if c.RenewedBy != "" {
		l := Line{Step: "certificate.renewed", Title: "Replace the certificate by a newer one", Who: Chancery, State: pass.StepDone, At: c.UpdatedAt, Fields: some("certificate", string(c.RenewedBy))}
		next, err := tx.Certificate(c.RenewedBy)
		if err != nil && ra.KindOf(err) != ra.NotFound {
			return nil, err
		}
		if err == nil {
			l.At = next.CreatedAt
		}
		out = append(out, l)
	}
	if !c.RevokedAt.IsZero() {
		l := Line{Step: "certificate.revoked", Title: "Revoke the certificate", Who: Chancery, State: pass.StepDone, At: c.RevokedAt, Message: c.Reason.String()}
		if c.State == ra.OnHold {
			l.Step, l.Title = "certificate.held", "Put the certificate on hold"
		}
		out = append(out, l)
	}
	return out, nil
}
