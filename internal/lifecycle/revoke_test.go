package lifecycle_test

import (
	"crypto/x509"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"chancery/internal/authority"
	"chancery/internal/lifecycle"
	"chancery/internal/ra"
	"chancery/internal/store"
)

func TestRevoke(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		for name, id := range map[string]ra.AuthorityID{"embedded": w.inner, "scripted": w.outer} {
			tpl := w.template(id, onDevice())
			for _, reason := range ra.Reasons {
				if reason == ra.CertificateHold {
					continue
				}
				c := w.issue(tpl)
				got := must(w.Revoke(ctx, actor("op", ra.RoleOperator, w.acme), c.ID, reason, "lost"))(w.t)
				if got.State != ra.Revoked || got.Reason != reason || !got.RevokedAt.Equal(w.clock.Now()) || got.Action != ra.ActionNone {
					w.t.Errorf("%s, %s: %+v", name, reason, got)
				}
				if name == "scripted" {
					if at, revoked := w.script.Revoked(must(x509.ParseCertificate(c.DER))(w.t)); !revoked || at != reason {
						w.t.Errorf("%s: the authority has %v, %v", reason, at, revoked)
					}
				}
				// Again, with another reason: nothing changes.
				w.clock.Advance(time.Minute)
				again := must(w.Revoke(ctx, w.owner, c.ID, ra.KeyCompromise, ""))(w.t)
				if again.Reason != reason || !again.RevokedAt.Equal(got.RevokedAt) || w.audited("certificate.revoked", string(c.ID)) != 1 {
					w.t.Errorf("%s: revoked twice: %+v", name, again)
				}
				_, err := w.Revoke(ctx, w.owner, c.ID, ra.RemoveFromCRL, "")
				wantError(w.t, err, ra.Conflict)
				_, err = w.Revoke(ctx, w.owner, c.ID, ra.CertificateHold, "")
				wantError(w.t, err, ra.Conflict)
			}
		}
	})
}

func TestRevokeRefuses(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		c := w.issue(w.template(w.inner, onDevice()))
		for name, k := range map[string]struct {
			actor  ra.Actor
			reason ra.RevocationReason
			text   string
			kind   ra.Kind
		}{
			"may only look":         {actor("v", ra.RoleViewer, w.acme), ra.Unspecified, "", ra.Denied},
			"approver":              {actor("a", ra.RoleApprover, w.acme), ra.Unspecified, "", ra.Denied},
			"another organization":  {actor("o", ra.RoleOwner, w.other), ra.Unspecified, "", ra.NotFound},
			"nobody":                {ra.Actor{}, ra.Unspecified, "", ra.NotFound},
			"no such reason":        {w.owner, 7, "", ra.Invalid},
			"no such reason either": {w.owner, 99, "", ra.Invalid},
			"long comment":          {w.owner, ra.Unspecified, strings.Repeat("x", 513), ra.Invalid},
			"not on hold":           {w.owner, ra.RemoveFromCRL, "", ra.Conflict},
		} {
			_, err := w.Revoke(ctx, k.actor, c.ID, k.reason, k.text)
			if ra.KindOf(err) != k.kind {
				w.t.Errorf("%s: %v", name, err)
			}
		}
		_, err := w.Revoke(ctx, w.owner, "crt_x", ra.Unspecified, "")
		wantError(w.t, err, ra.NotFound)
		// An authority that cannot be told.
		plain := w.issue(w.template(w.bare, onDevice()))
		_, err = w.Revoke(ctx, w.owner, plain.ID, ra.Unspecified, "")
		if e := wantError(w.t, err, ra.Invalid); !has(e.Remedy, "at the authority itself") {
			w.t.Errorf("%+v", e)
		}
		if got := w.certificate(plain.ID); got.State != ra.Valid {
			w.t.Errorf("%+v", got)
		}
		w.clock.Advance(91 * day)
		w.work()
		_, err = w.Revoke(ctx, w.owner, c.ID, ra.Unspecified, "")
		wantError(w.t, err, ra.Conflict)
	})
}

func TestHold(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		for _, id := range []ra.AuthorityID{w.inner, w.outer} {
			tpl := w.template(id, onDevice())
			c := w.issue(tpl)
			held := must(w.Revoke(ctx, w.owner, c.ID, ra.CertificateHold, ""))(w.t)
			if held.State != ra.OnHold || held.Reason != ra.CertificateHold || held.RevokedAt.IsZero() || held.Action != ra.ActionExpire {
				w.t.Errorf("%+v", held)
			}
			if again := must(w.Revoke(ctx, w.owner, c.ID, ra.CertificateHold, ""))(w.t); !again.UpdatedAt.Equal(held.UpdatedAt) || w.audited("certificate.held", string(c.ID)) != 1 {
				w.t.Errorf("%+v", again)
			}
			w.clock.Advance(time.Hour)
			free := must(w.Revoke(ctx, w.owner, c.ID, ra.RemoveFromCRL, ""))(w.t)
			if free.State != ra.Valid || free.Reason != ra.Unspecified || !free.RevokedAt.IsZero() || free.Action != ra.ActionAwait {
				w.t.Errorf("%+v", free)
			}
			must(w.Revoke(ctx, w.owner, c.ID, ra.CertificateHold, ""))(w.t)
			at := w.certificate(c.ID).RevokedAt
			w.clock.Advance(time.Hour)
			gone := must(w.Revoke(ctx, w.owner, c.ID, ra.KeyCompromise, ""))(w.t)
			if gone.State != ra.Revoked || gone.Reason != ra.KeyCompromise || !gone.RevokedAt.Equal(at) || gone.Action != ra.ActionNone {
				w.t.Errorf("%+v", gone)
			}
		}
	})
}

// TestHoldKeepsThePromise: what a replaced certificate was to come to is not
// forgotten over a hold.
func TestHoldKeepsThePromise(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		spec := here()
		spec.RevokeReplaced, spec.Grace = true, 72
		c := w.issue(w.template(w.inner, spec))
		must(w.Renew(ctx, w.owner, c.ID, true))(w.t)
		if got := w.certificate(c.ID); got.State != ra.Superseded || got.Action != ra.ActionRetire {
			w.t.Fatalf("%+v", got)
		}
		must(w.Revoke(ctx, w.owner, c.ID, ra.CertificateHold, ""))(w.t)
		free := must(w.Revoke(ctx, w.owner, c.ID, ra.RemoveFromCRL, ""))(w.t)
		if free.State != ra.Superseded || free.Action != ra.ActionRetire {
			w.t.Errorf("%+v", free)
		}
		w.pass(4*day, 12*time.Hour)
		if got := w.certificate(c.ID); got.State != ra.Revoked || got.Reason != ra.SupersededReason {
			w.t.Errorf("%+v", got)
		}
	})
}

// TestRevokeWhileTheAuthorityIsAway: the revocation counts here at once, the
// authority hears of it when it is back, and people hear when that takes long.
func TestRevokeWhileTheAuthorityIsAway(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		for name, away := range map[string]func(bool){
			"switched off": func(off bool) {
				must(w.authorities.Update(ctx, w.owner, w.outer, authority.Input{Disabled: &off}))(w.t)
			},
			"cannot be opened": func(broken bool) { w.breakSeal(w.outer, broken) },
		} {
			c := w.issue(w.template(w.outer, onDevice()))
			away(true)
			got := must(w.Revoke(ctx, w.owner, c.ID, ra.KeyCompromise, ""))(w.t)
			leaf := must(x509.ParseCertificate(c.DER))(w.t)
			if got.State != ra.Revoked {
				w.t.Errorf("%s: %+v", name, got)
			}
			_, known := w.script.Revoked(leaf)
			if name == "switched off" {
				// It issues nothing, but hears of revocations.
				if !known || got.Action != ra.ActionNone {
					w.t.Errorf("%s: %+v", name, got)
				}
				away(false)
				continue
			}
			if known || got.Action != ra.ActionRevoke || got.LastError == "" || !got.At.After(w.clock.Now()) {
				w.t.Errorf("%s: %+v", name, got)
			}
			w.pass(3*time.Hour, 10*time.Minute)
			if n := w.audited("certificate.overdue", string(c.ID)); n != 1 {
				w.t.Errorf("%s: said to be overdue %d times", name, n)
			}
			away(false)
			w.pass(7*time.Hour, time.Hour)
			if reason, known := w.script.Revoked(leaf); !known || reason != ra.KeyCompromise || w.certificate(c.ID).Action != ra.ActionNone {
				w.t.Errorf("%s: the authority has not heard: %+v", name, w.certificate(c.ID))
			}
		}
	})
}

// breakSeal makes an authority's settings unreadable, or readable again.
func (w *world) breakSeal(id ra.AuthorityID, broken bool) {
	w.t.Helper()
	err := w.db.Write(w.t.Context(), func(tx *store.Tx) error {
		boxes, err := tx.Sealed(string(id))
		if err != nil {
			return err
		}
		box := slices.Clone(boxes["password"])
		box[len(box)-1] ^= 0xff
		if err := tx.PutSealed(string(id), "password", box); err != nil {
			return err
		}
		a, err := tx.Authority(id) // so that every node opens it anew
		if err != nil {
			return err
		}
		return tx.UpdateAuthority(a)
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// TestConfirmGivesUpAtTheEnd: an authority that never answers is not asked
// about a certificate that has expired.
// TestChangesCross: a hold is lifted while the authority is still being told of
// it, so it hears of both in the wrong order. It is told once more.
func TestChangesCross(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		c := w.issue(w.template(w.outer, onDevice()))
		leaf := must(x509.ParseCertificate(c.DER))(w.t)
		crossed := false
		w.Step = func(label string) {
			if label == lifecycle.StepRevokeTell && !crossed {
				crossed = true
				must(w.Revoke(ctx, w.owner, c.ID, ra.RemoveFromCRL, ""))(w.t)
			}
		}
		must(w.Revoke(ctx, w.owner, c.ID, ra.CertificateHold, ""))(w.t)
		got := w.certificate(c.ID)
		if _, held := w.script.Revoked(leaf); !held || got.State != ra.Valid || got.Action != ra.ActionRevoke {
			w.t.Fatalf("after both: held %v, %+v", held, got)
		}
		w.pass(10*time.Minute, time.Minute)
		got = w.certificate(c.ID)
		if _, held := w.script.Revoked(leaf); held || got.State != ra.Valid || got.Action == ra.ActionRevoke || got.Late(w.clock.Now()) {
			w.t.Errorf("in the end: held %v, %+v", held, got)
		}
	})
}

// A hold whose process died arrives last, after it was lifted, and the one who
// lifted it first thinks that all is well: who lifted it again does not.
func TestChangesCrossTwice(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		c := w.issue(w.template(w.outer, onDevice()))
		leaf := must(x509.ParseCertificate(c.DER))(w.t)
		must(w.Revoke(ctx, w.owner, c.ID, ra.CertificateHold, ""))(w.t)
		dying, again := w.start(), w.start()
		called, arrive, lifted, confirm := make(chan bool), make(chan bool), make(chan bool), make(chan bool)
		dying.Step = func(label string) {
			switch label {
			case lifecycle.StepRevokeTell:
				close(called)
				<-arrive
			case lifecycle.StepRevokeConfirm:
				runtime.Goexit()
			}
		}
		again.Step = func(label string) {
			if label == lifecycle.StepRevokeConfirm {
				close(lifted)
				<-confirm
			}
		}
		var both sync.WaitGroup
		w.Step = func(label string) {
			if label == lifecycle.StepRevokeConfirm {
				both.Go(func() { dying.Revoke(ctx, w.owner, c.ID, ra.CertificateHold, "") })
				<-called
				both.Go(func() {
					if _, err := again.Revoke(ctx, w.owner, c.ID, ra.RemoveFromCRL, ""); err != nil {
						w.t.Error(err)
					}
				})
				<-lifted
			}
		}
		must(w.Revoke(ctx, w.owner, c.ID, ra.RemoveFromCRL, ""))(w.t)
		w.Step = nil
		close(confirm)
		close(arrive)
		both.Wait()
		got := w.certificate(c.ID)
		if _, held := w.script.Revoked(leaf); !held || got.State != ra.Valid {
			w.t.Fatalf("when the hold has arrived: held %v, %s", held, got.State)
		}
		w.pass(10*time.Minute, time.Minute)
		got = w.certificate(c.ID)
		if _, held := w.script.Revoked(leaf); held || got.State != ra.Valid || got.Action == ra.ActionRevoke || got.Late(w.clock.Now()) {
			w.t.Errorf("in the end: held %v, %s, %+v", held, got.State, got.Obligation)
		}
	})
}

func TestConfirmGivesUpAtTheEnd(t *testing.T) {
	each(t, func(w *world) {
		c := w.issue(w.template(w.outer, onDevice()))
		w.breakSeal(w.outer, true)
		must(w.Revoke(w.t.Context(), w.owner, c.ID, ra.KeyCompromise, ""))(w.t)
		w.pass(91*day, 2*day)
		if got := w.certificate(c.ID); got.State != ra.Revoked || got.Action != ra.ActionNone {
			w.t.Errorf("%+v", got)
		}
	})
}

func TestRevokeAtOnce(t *testing.T) {
	each(t, func(w *world) {
		c := w.issue(w.template(w.outer, onDevice()))
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				if _, err := w.Revoke(w.t.Context(), w.owner, c.ID, ra.Reasons[i%5], ""); err != nil {
					w.t.Errorf("%v", err)
				}
			})
		}
		wg.Wait()
		got := w.certificate(c.ID)
		reason, _ := w.script.Revoked(must(x509.ParseCertificate(c.DER))(w.t))
		if got.State != ra.Revoked || got.Action != ra.ActionNone || got.Reason != reason || w.audited("certificate.revoked", string(c.ID)) != 1 {
			w.t.Errorf("here %s, there %s, audited %d times", got.Reason, reason, w.audited("certificate.revoked", string(c.ID)))
		}
	})
}

// TestRevokeForDevice: an event revokes what its templates say, in the
// transaction of the event.
func TestRevokeForDevice(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		spec := onDevice()
		spec.RevokeOn = []string{"unenrolment", "deletion"}
		gone, kept := w.issue(w.template(w.outer, spec)), w.issue(w.template(w.outer, onDevice()))
		spec.RevokeOn = []string{"deletion"}
		later := w.issue(w.template(w.inner, spec))
		held := w.issue(w.template(w.inner, ra.TemplateSpec{Subject: "CN={DeviceUid}", KeyType: "p-256", RevokeOn: []string{"unenrolment"}}))
		must(w.Revoke(ctx, w.owner, held.ID, ra.CertificateHold, ""))(w.t)

		rollback := w.db.Write(ctx, func(tx *store.Tx) error {
			if err := lifecycle.RevokeForDevice(tx, w.owner, w.phone.ID, "unenrolment"); err != nil {
				return err
			}
			return ra.Errorf(ra.Conflict, "no")
		})
		if ra.KindOf(rollback) != ra.Conflict || w.certificate(gone.ID).State != ra.Valid {
			w.t.Errorf("%v, %s", rollback, w.certificate(gone.ID).State)
		}
		must(w.inv.UnenrolDevice(ctx, w.owner, w.phone.ID))(w.t)
		if c := w.certificate(gone.ID); c.State != ra.Revoked || c.Reason != ra.CessationOfOperation || c.Action != ra.ActionRevoke || c.At.After(w.clock.Now()) {
			w.t.Errorf("%+v", c)
		}
		if c := w.certificate(held.ID); c.State != ra.Revoked {
			w.t.Errorf("%+v", c)
		}
		for _, c := range []*ra.Certificate{kept, later} {
			if got := w.certificate(c.ID); got.State != ra.Valid {
				w.t.Errorf("%+v", got)
			}
		}
		w.work()
		if _, revoked := w.script.Revoked(must(x509.ParseCertificate(gone.DER))(w.t)); !revoked || w.certificate(gone.ID).Action != ra.ActionNone {
			w.t.Error("the authority has not heard")
		}
		if err := w.db.Write(ctx, func(tx *store.Tx) error { return lifecycle.RevokeForDevice(tx, w.owner, w.phone.ID, "deletion") }); err != nil {
			w.t.Error(err)
		}
		if w.certificate(later.ID).State != ra.Revoked || w.audited("certificate.revoked", string(gone.ID)) != 1 {
			w.t.Error("deletion revokes what deletion names, once")
		}
	})
}
