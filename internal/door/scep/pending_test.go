package scep_test

import (
	"testing"
	"time"

	"chancery/internal/ca/scripted"
	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/testpeer"
	"chancery/internal/wire/scepmsg"
)

// TestApproval: a request waits for people, is asked after in both ways, and
// ends in a certificate or a refusal.
func TestApproval(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		template := w.template(func(x *ra.Template) { x.Spec.Approvals = 1 })
		e := w.endpoint("door", template, nil)
		ask := func(t *testing.T) (*client, *answer) {
			d := w.device()
			c := w.client(t, e, d, ecKey(t))
			c.challenge = w.challenge(e, d)
			reply := c.send(t, c.request(t))
			reply.pending(t)
			if len(reply.raw) == 0 || reply.Message.FailInfo != scepmsg.NoFailInfo {
				t.Errorf("got %s", reply)
			}
			return c, reply
		}
		t.Run("approved, polled", func(t *testing.T) {
			c, reply := ask(t)
			c.poll(t, reply.sent.TransactionID).pending(t)
			w.decide(c.device, true)
			c.poll(t, reply.sent.TransactionID).granted(t)
		})
		t.Run("approved, repeated", func(t *testing.T) {
			c, reply := ask(t)
			r := c.request(t)
			r.TransactionID = reply.sent.TransactionID
			c.send(t, r).pending(t)
			w.decide(c.device, true)
			c.send(t, r).granted(t)
			c.sendRaw(t, reply.sent).granted(t)
			if n := len(w.certificates(c.device)); n != 1 {
				t.Errorf("there are %d certificates, want 1", n)
			}
		})
		t.Run("denied", func(t *testing.T) {
			c, reply := ask(t)
			w.decide(c.device, false)
			c.poll(t, reply.sent.TransactionID).refused(t, scepmsg.BadRequest)
			c.sendRaw(t, reply.sent).refused(t, scepmsg.BadRequest)
			w.refusedFor(t, "is denied")
		})
		t.Run("a stranger polls", func(t *testing.T) {
			c, reply := ask(t)
			stranger := w.client(t, e, c.device, ecKey(t))
			stranger.poll(t, reply.sent.TransactionID).refused(t, scepmsg.BadRequest)
			w.decide(c.device, true)
			stranger.poll(t, reply.sent.TransactionID).refused(t, scepmsg.BadRequest)
		})
		t.Run("nothing to poll for", func(t *testing.T) {
			c := w.client(t, e, w.device(), ecKey(t))
			c.poll(t, "never heard of").refused(t, scepmsg.BadCertID)
		})
		t.Run("renewal", func(t *testing.T) {
			c, reply := ask(t)
			w.decide(c.device, true)
			c.cert, c.challenge = c.poll(t, reply.sent.TransactionID).granted(t), ""
			reply = c.send(t, c.renewal(t, scepmsg.RenewalReq, ecKey(t)))
			reply.pending(t)
			w.decide(c.device, true)
			c.poll(t, reply.sent.TransactionID).granted(t)
		})
	})
}

// TestAuthorityTrouble: while the authority does not answer the client waits;
// when it refuses the client is refused, and its challenge is good again.
func TestAuthorityTrouble(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		a := w.newAuthority("scripted", scripted.SettingsJSON)
		e := w.endpoint("door", w.template(func(x *ra.Template) { x.AuthorityID = a.ID }), nil)
		ask := func(t *testing.T, act scripted.Act) (*client, *answer) {
			d := w.device()
			c := w.client(t, e, d, ecKey(t))
			c.challenge = w.challenge(e, d)
			w.scripted.Plan(act)
			return c, c.send(t, c.request(t))
		}
		resume := func(t *testing.T, c *client) {
			t.Helper()
			w.clock.advance(time.Hour)
			if err := w.enroll.Work(t.Context(), enroll.IssueJob{Request: w.requests(c.device)[0].ID}); err != nil {
				t.Fatal(err)
			}
		}
		for name, act := range map[string]scripted.Act{"line cut": scripted.CutBefore, "answer lost": scripted.LoseAnswer, "answers later": scripted.Pend(1)} {
			t.Run(name, func(t *testing.T) {
				c, reply := ask(t, act)
				reply.pending(t)
				c.poll(t, reply.sent.TransactionID).pending(t)
				resume(t, c)
				c.poll(t, reply.sent.TransactionID).granted(t)
				c.sendRaw(t, reply.sent).granted(t)
				if ids := w.scripted.Doubles(); len(ids) > 0 {
					t.Errorf("issued more than once: %v", ids)
				}
			})
		}
		t.Run("refused", func(t *testing.T) {
			c, reply := ask(t, scripted.Refuse)
			reply.refused(t, scepmsg.BadRequest)
			c.sendRaw(t, reply.sent).granted(t) // the authority has changed its mind
		})
	})
}
