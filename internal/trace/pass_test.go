package trace_test

import (
	"testing"
	"time"

	"chancery/internal/pass"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/trace"
)

// TestPassResults: what stands on top of a pass's trace, by its state and the
// hops it left.
func TestPassResults(t *testing.T) {
	each(t, func(w *world) {
		template := w.template("ndes", `{"url": "https://ndes.example.test/certsrv/mscep/mscep.dll", "user": "x", "password": "y"}`, ra.TemplateSpec{Subject: "CN={DeviceUid}", KeyType: "rsa-2048", KeyPlace: ra.KeyOnDevice})
		ok := func(step string) ra.Hop { return ra.Hop{Step: step, Result: ra.HopOK} }
		fails := func(step, message string) ra.Hop {
			return ra.Hop{Step: step, Result: ra.HopFailed, Message: message, Remedy: "Mend it."}
		}
		waits := ra.Hop{Step: pass.StepForwarded, Result: ra.HopWaiting, Message: "Another message is under way.", Remedy: "The device tries again by itself."}
		for _, c := range []struct {
			name   string
			state  ra.PassState
			hops   []ra.Hop // a second each
			result trace.Result
			step   string // of the problem; empty: none
		}{
			{"new", ra.PassIssued, nil, trace.Waiting, ""},
			{"under way", ra.PassClaimed, []ra.Hop{ok(pass.StepMessage), ok(pass.StepForwarded)}, trace.Waiting, ""},
			{"held up", ra.PassClaimed, []ra.Hop{ok(pass.StepMessage), waits}, trace.Waiting, pass.StepForwarded},
			{"refused", ra.PassIssued, []ra.Hop{ok(pass.StepMessage), fails(pass.StepForwarded, "No.")}, trace.Failed, pass.StepForwarded},
			{"refused, then passed on", ra.PassClaimed, []ra.Hop{fails(pass.StepCertForwarded, "No."), ok(pass.StepMessage), ok(pass.StepForwarded)}, trace.Waiting, pass.StepCertForwarded},
			{"pending, and a stranger came", ra.PassPending, []ra.Hop{ok(pass.StepForwarded), {Step: pass.StepReply, Result: ra.HopWaiting, Message: "Later."}, fails(pass.StepForwarded, "Another key.")}, trace.Waiting, pass.StepForwarded},
			{"nothing came of it", ra.PassFailed, []ra.Hop{ok(pass.StepMessage), waits}, trace.Failed, "pass.failed"},
			{"the server refused", ra.PassFailed, []ra.Hop{ok(pass.StepMessage), ok(pass.StepForwarded), fails(pass.StepReply, "badRequest")}, trace.Failed, pass.StepReply},
			{"never used", ra.PassExpired, nil, trace.Failed, "pass.expired"},
			{"revoked", ra.PassRevoked, []ra.Hop{fails(pass.StepForwarded, "No.")}, trace.Failed, "pass.revoked"},
			{"done", ra.PassDone, []ra.Hop{ok(pass.StepMessage), ok(pass.StepReply), ok(pass.StepReturned), fails(pass.StepForwarded, "It was used.")}, trace.Done, ""},
			{"done, and of another device", ra.PassDone, []ra.Hop{ok(pass.StepReply), fails(pass.StepLearnt, "It is another device's.")}, trace.Done, pass.StepLearnt},
		} {
			p := must(w.passes.Create(w.t.Context(), admin, pass.CreateInput{Template: template.ID, Device: w.device.ID, Model: ra.PassProxy}))(w.t)
			w.write(func(tx *store.Tx) error {
				for i := range c.hops {
					h := &c.hops[i]
					h.Owner, h.Position, h.At = string(p.ID), i+1, tx.Now.Add(time.Duration(i-len(c.hops))*time.Second)
				}
				if err := tx.AddHops(c.hops...); err != nil {
					return err
				}
				if p.State, p.SignerHash, p.Hops = c.state, "00", len(c.hops); c.state.Ended() {
					p.Obligation = ra.Obligation{}
				}
				return tx.UpdatePass(p)
			})
			got := w.show(string(p.ID))
			step := ""
			if got.Problem != nil {
				if step = got.Problem.Step; got.Problem.Message == "" && step != "pass.failed" || got.Problem.Remedy == "" {
					w.t.Errorf("%s: the problem says nothing: %+v", c.name, got.Problem)
				}
			}
			if got.Result != c.result || step != c.step {
				w.t.Errorf("%s: %s with the problem %q, want %s with %q", c.name, got.Result, step, c.result, c.step)
			}
		}
	})
}
