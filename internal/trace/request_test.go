package trace_test

import (
	"strings"
	"testing"
	"time"

	"chancery/internal/audit"
	"chancery/internal/enroll"
	"chancery/internal/pass"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/trace"
)

// said writes the lines of a trace in short.
func said(t *trace.Trace) string {
	var out []string
	for _, l := range t.Lines {
		out = append(out, l.Step+" "+l.Who+" "+string(l.State))
	}
	return strings.Join(out, ", ")
}

// TestDeviceRequest: the trace of a request that came over SCEP begins with the
// challenge and with what the door refused before, and tells nothing of others.
func TestDeviceRequest(t *testing.T) {
	each(t, func(w *world) {
		template := w.template("embedded", "{}", ra.TemplateSpec{Subject: "CN={DeviceUid}", KeyType: "p-256", KeyPlace: ra.KeyOnDevice, Usage: "signing", Validity: 90})
		name := "door"
		endpoint := must(w.enroll.CreateEndpoint(w.t.Context(), admin, enroll.EndpointInput{TemplateID: &template.ID, Name: &name}))(w.t)
		now := w.clock.now()
		r := &ra.Request{ID: ra.NewID[ra.RequestID](ra.RequestPrefix, now), GroupID: w.group, AuthorityID: template.AuthorityID, TemplateID: template.ID, TemplateRev: 1, DeviceID: w.device.ID, Door: "scep",
			EndpointID: endpoint.ID, TransactionID: "Transaction/7", IdempotencyKey: "scep:7", KeyPlace: ra.KeyOnDevice, Subject: "CN=box-1", Fill: []byte("{}"), State: ra.Approved,
			AskedBy: ra.Actor{Kind: ra.ActorDevice, Name: "box", Via: "scep", Remote: "192.0.2.7"}, Obligation: ra.Obligation{Action: ra.ActionIssue, At: now, Deadline: now.Add(time.Hour)}}
		refusal := func(device, transaction, reason string) audit.Entry {
			return audit.Entry{Code: audit.RequestRefused, Actor: ra.Actor{Kind: ra.ActorDevice, Name: "box", Via: "scep", Remote: "192.0.2.7"}, Group: w.group, Object: string(endpoint.ID), Related: device, Result: "refused", Message: "Refused.",
				Details: map[string]any{"reason": reason, "remedy": "Set the clock.", "type": "PKCSReq", "transaction": transaction, "fail_info": "badTime"}}
		}
		w.write(func(tx *store.Tx) error {
			for _, e := range []audit.Entry{refusal("", "Transaction/7", "The clock is wrong."), refusal("", "another", "Not ours."), refusal("dev_other", "", "Not ours.")} {
				if err := audit.Record(tx, e); err != nil {
					return err
				}
			}
			return nil
		})
		w.write(func(tx *store.Tx) error {
			c := &ra.Challenge{ID: ra.NewID[ra.ChallengeID](ra.ChallengePrefix, now), Hash: "h", EndpointID: endpoint.ID, TemplateID: template.ID, DeviceID: w.device.ID, MaxUses: 1, Uses: 1, ExpiresAt: now.Add(time.Hour), RequestID: r.ID, CreatedBy: "admin"}
			if err := tx.CreateRequest(r); err != nil {
				return err
			}
			return tx.CreateChallenge(c)
		})
		for _, id := range []string{string(r.ID), "Transaction/7", string(w.device.ID)} {
			got := w.show(id)
			for _, l := range got.Lines {
				if l.Message == "Not ours." {
					w.t.Errorf("%s tells of others: %+v", id, l)
				}
			}
			lines := said(got)
			for _, want := range []string{"request.refused chancery failed", "challenge.created chancery done", "challenge.used device done", "request.submitted device done", "request.sent chancery waiting", "certificate.issued authority not_reached"} {
				if !strings.Contains(lines, want) {
					w.t.Errorf("%s: %q is not in %s", id, want, lines)
				}
			}
			if got.Result != trace.Waiting || got.Problem == nil || got.Problem.Message != "The clock is wrong." || got.Problem.Remedy != "Set the clock." || got.Problem.Fields["fail_info"] != "badTime" {
				w.t.Errorf("%s: %s %+v", id, got.Result, got.Problem)
			}
		}

		// It cannot be answered; then it is, with a further hop.
		w.write(func(tx *store.Tx) error {
			r.LastError, r.Attempts = "The authority does not answer.", 3
			return tx.UpdateRequest(r)
		})
		if p := w.show(string(r.ID)).Problem; p == nil || p.Message != "The authority does not answer." || p.Times != 3 || p.Remedy == "" {
			w.t.Errorf("%+v", p)
		}
		w.write(func(tx *store.Tx) error {
			r.State, r.LastError, r.Reason, r.SubmittedAt, r.Obligation = ra.Failed, "", "The authority said no. Ask its owner.", tx.Now, ra.Obligation{}
			if err := tx.UpdateRequest(r); err != nil {
				return err
			}
			if err := tx.AddHops(ra.Hop{Owner: string(r.ID), Position: 1, At: tx.Now, Step: "ra.upstream", Result: ra.HopInfo, Took: 1500, Message: "Asked elsewhere."}); err != nil {
				return err
			}
			return audit.Record(tx, audit.Entry{Code: audit.RequestFailed, Actor: admin, Group: w.group, Object: string(r.ID), Result: "failed", Message: "No certificate."})
		})
		got := w.show(string(r.ID))
		if got.Result != trace.Failed || got.Problem == nil || got.Problem.Message != "The authority said no. Ask its owner." || !strings.Contains(said(got), "ra.upstream chancery done") {
			w.t.Errorf("%s %+v: %s", got.Result, got.Problem, said(got))
		}
	})
}

// TestWhoMaySee: a trace is shown to those who may see its group, and for
// everybody else there is none, whatever leads to it.
func TestWhoMaySee(t *testing.T) {
	each(t, func(w *world) {
		template := w.template("ndes", `{"url": "https://ndes.example.test/certsrv/mscep/mscep.dll", "user": "x", "password": "y"}`, ra.TemplateSpec{Subject: "CN={DeviceUid}", KeyType: "rsa-2048", KeyPlace: ra.KeyOnDevice})
		p := must(w.passes.Create(w.t.Context(), admin, pass.CreateInput{Template: template.ID, Device: w.device.ID, Model: ra.PassProxy}))(w.t)
		w.write(func(tx *store.Tx) error {
			p.TransactionID, p.SignerHash, p.State = "T-1", "00", ra.PassClaimed
			return tx.UpdatePass(p)
		})
		other := ra.NewID[ra.GroupID](ra.GroupPrefix, w.clock.now())
		w.write(func(tx *store.Tx) error { return tx.CreateGroup(&ra.Group{ID: other, Name: "Other"}) })
		grants := func(g ra.GroupID) ra.Actor {
			return ra.Actor{Kind: ra.ActorAdmin, ID: "adm_2", Name: "other", Grants: []ra.Grant{{Role: ra.RoleViewer, Group: g, Path: "/" + string(g) + "/"}}}
		}
		for _, id := range []string{string(p.ID), string(w.device.ID), "T-1"} {
			if got := w.show(id); got.ID() != string(p.ID) {
				w.t.Errorf("%s leads to %s", id, got.ID())
			}
			if _, err := w.traces.Show(w.t.Context(), grants(other), id); ra.KindOf(err) != ra.NotFound {
				w.t.Errorf("%s for a stranger: %v", id, err)
			}
		}
		for _, id := range []string{"", "T-", "t-1", "pass_00000000000000000000000000", "req_00000000000000000000000000", "crt_00000000000000000000000000", "dev_00000000000000000000000000", "%"} {
			if _, err := w.traces.Show(w.t.Context(), admin, id); ra.KindOf(err) != ra.NotFound {
				w.t.Errorf("%q: %v", id, err)
			}
		}
	})
}
