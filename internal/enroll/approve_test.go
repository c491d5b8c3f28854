package enroll_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/store"
)

func (w *world) guarded(n int) *ra.Template {
	w.t.Helper()
	spec := vpn()
	spec.Approvals, spec.ApprovalExpiry = n, 24
	return w.template(w.outer, spec)
}

func TestApprovals(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		tpl := w.guarded(2)
		asker := actor("asker", ra.RoleManager, w.acme)
		anna, ben, far := actor("anna", ra.RoleApprover, w.acme), actor("ben", ra.RoleApprover, w.berlin), actor("far", ra.RoleApprover, w.paris)
		r := w.submit(asker, enroll.Ask{Template: tpl.ID, Device: w.phone.ID, Door: "api", Wait: true})
		if r.State != ra.AwaitingApproval || r.Action != ra.ActionApprove || r.At.Sub(w.clock.Now()) != 24*time.Hour || w.script.Total() != 0 {
			w.t.Fatalf("%+v", r)
		}
		_, err := w.Decide(ctx, asker, r.ID, true, "")
		if e := wantError(w.t, err, ra.Denied); !strings.Contains(e.Message, "cannot decide") {
			w.t.Errorf("%+v", e)
		}
		_, err = w.Decide(ctx, far, r.ID, true, "")
		wantError(w.t, err, ra.NotFound)
		_, err = w.Decide(ctx, actor("op", ra.RoleOperator, w.berlin), r.ID, true, "")
		wantError(w.t, err, ra.Denied)
		_, err = w.Decide(ctx, anna, r.ID, true, strings.Repeat("x", 2001))
		wantError(w.t, err, ra.Invalid)

		if r := must(w.Decide(ctx, anna, r.ID, true, "fine"))(w.t); r.State != ra.AwaitingApproval {
			w.t.Errorf("after one of two: %+v", r)
		}
		_, err = w.Decide(ctx, anna, r.ID, true, "")
		if e := wantError(w.t, err, ra.Conflict); !strings.Contains(e.Message, "already") {
			w.t.Errorf("%+v", e)
		}
		_, err = w.Decide(ctx, anna, r.ID, false, "changed my mind")
		wantError(w.t, err, ra.Conflict)
		w.clock.Advance(time.Minute)
		if r := must(w.Decide(ctx, ben, r.ID, true, ""))(w.t); r.State != ra.Issued {
			w.t.Errorf("after two of two: %+v", r)
		}
		_, err = w.Decide(ctx, w.owner, r.ID, true, "")
		wantError(w.t, err, ra.Conflict)
		w.settle(w.node)
		got, votes, err := w.Request(ctx, w.owner, r.ID)
		if err != nil || got.State != ra.Issued || len(votes) != 2 || votes[0].By.ID != anna.ID || votes[0].Comment != "fine" {
			w.t.Errorf("%+v, votes %+v, %v", got, votes, err)
		}
		if n := w.audited("request.approved", string(r.ID)); n != 2 {
			w.t.Errorf("%d approvals in the audit log", n)
		}
	})
}

func TestDenyCancelExpire(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		tpl := w.guarded(1)
		ask := func(key string) *ra.Request {
			return w.submit(actor("asker", ra.RoleOperator, w.berlin), enroll.Ask{Template: tpl.ID, Device: w.phone.ID, Key: key, Wait: true})
		}
		denied := ask("a")
		r := must(w.Decide(ctx, w.owner, denied.ID, false, "not him"))(w.t)
		if r.State != ra.DeniedState || r.Reason != "Denied by owner. not him" || r.Action != ra.ActionNone {
			w.t.Errorf("%+v", r)
		}
		if again := ask("a"); again.ID != denied.ID {
			w.t.Error("a no is forgotten when the same is asked again")
		}
		cancelled := ask("b")
		_, err := w.Cancel(ctx, actor("far", ra.RoleOperator, w.paris), cancelled.ID)
		wantError(w.t, err, ra.NotFound)
		_, err = w.Cancel(ctx, actor("v", ra.RoleViewer, w.berlin), cancelled.ID)
		wantError(w.t, err, ra.Denied)
		if r := must(w.Cancel(ctx, w.owner, cancelled.ID))(w.t); r.State != ra.Cancelled || r.Reason != "Cancelled by owner." {
			w.t.Errorf("%+v", r)
		}
		_, err = w.Cancel(ctx, w.owner, cancelled.ID)
		wantError(w.t, err, ra.Conflict)
		if again := ask("b"); again.ID == cancelled.ID {
			w.t.Error("a cancelled request keeps its key")
		}

		late := ask("c")
		w.clock.Advance(24 * time.Hour)
		_, err = w.Decide(ctx, w.owner, late.ID, true, "")
		if e := wantError(w.t, err, ra.Conflict); !strings.Contains(e.Message, "over") {
			w.t.Errorf("%+v", e)
		}
		w.work(w.t)
		if r := w.request(late.ID); r.State != ra.Cancelled || !strings.Contains(r.Reason, "in time") || w.audited("request.cancelled", string(late.ID)) != 1 {
			w.t.Errorf("%+v", r)
		}
		for _, r := range []*ra.Request{denied, cancelled, late} {
			if must(w.HasKey(ctx, r.ID))(w.t) {
				w.t.Errorf("the key of %s is still here", r.ID)
			}
		}
		if w.script.Total() != 0 {
			w.t.Error("something was issued")
		}
	})
}

// TestDecideAtOnce: people decide at the same moment; a request is
// approved once and issued once.
func TestDecideAtOnce(t *testing.T) {
	each(t, func(w *world) {
		r := w.submit(actor("asker", ra.RoleOperator, w.berlin), enroll.Ask{Template: w.guarded(2).ID, Device: w.phone.ID, Wait: true})
		var wg sync.WaitGroup
		for _, name := range []string{"a", "b", "c", "d"} {
			wg.Go(func() {
				if _, err := w.Decide(w.t.Context(), actor(name, ra.RoleApprover, w.acme), r.ID, true, ""); err != nil && ra.KindOf(err) != ra.Conflict {
					w.t.Errorf("%v", err)
				}
			})
		}
		wg.Wait()
		w.settle(w.node)
		_, votes, _ := w.Request(w.t.Context(), w.owner, r.ID)
		if w.script.Total() != 1 || len(votes) != 2 {
			w.t.Errorf("%d certificates, %d votes", w.script.Total(), len(votes))
		}
	})
}

// TestCancelWhileItIsIssued: the authority answers a request somebody cancelled
// while it was being asked. The certificate is recorded, and revoked.
func TestCancelWhileItIsIssued(t *testing.T) {
	each(t, func(w *world) {
		spec := vpn()
		tpl := w.template(w.outer, spec)
		w.script.Again = time.Minute
		for _, place := range []string{"pending", "in flight"} {
			w.script.Again = time.Minute
			w.script.Plan(pendOnce)
			r := w.submit(w.owner, enroll.Ask{Template: tpl.ID, Device: w.phone.ID, Wait: true})
			w.clock.Advance(2 * time.Minute)
			if place == "pending" {
				must(w.Cancel(w.t.Context(), w.owner, r.ID))(w.t)
				w.work(w.t)
				if got := w.request(r.ID); got.State != ra.Cancelled || got.CertificateID != "" || len(w.script.Issued(string(r.ID))) != 0 {
					w.t.Errorf("%+v", got)
				}
				continue
			}
			w.Step = func(label string) {
				if label == enroll.StepAnswer {
					w.Step = nil
					must(w.Cancel(w.t.Context(), w.owner, r.ID))(w.t)
				}
			}
			w.work(w.t)
			got := w.request(r.ID)
			if got.State != ra.Cancelled || got.CertificateID == "" {
				w.t.Fatalf("%+v", got)
			}
			c := w.certificate(got.CertificateID)
			if c.State != ra.Revoked || c.Action != ra.ActionRevoke || c.At.After(w.clock.Now()) || must(w.HasKey(w.t.Context(), r.ID))(w.t) {
				w.t.Errorf("%+v", c)
			}
		}
	})
}

// TestListsAreScoped: a list shows what the actor may see, narrowed by the
// groups asked for.
func TestListsAreScoped(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		tpl := w.template(w.outer, vpn())
		w.submit(w.owner, enroll.Ask{Template: tpl.ID, Device: w.phone.ID, Wait: true})
		w.submit(w.owner, enroll.Ask{Template: tpl.ID, Device: w.tablet.ID, Wait: true})
		for name, c := range map[string]struct {
			actor  ra.Actor
			groups []ra.GroupID
			n      int
			kind   ra.Kind
		}{
			"owner":                  {w.owner, nil, 2, ""},
			"owner, one branch":      {w.owner, []ra.GroupID{w.berlin.ID}, 1, ""},
			"owner, whole":           {w.owner, []ra.GroupID{w.acme.ID}, 2, ""},
			"branch":                 {actor("b", ra.RoleViewer, w.paris), nil, 1, ""},
			"branch, another branch": {actor("b", ra.RoleViewer, w.paris), []ra.GroupID{w.berlin.ID}, 0, ra.NotFound},
			"other organization":     {actor("o", ra.RoleOwner, w.other), nil, 0, ""},
			"nobody":                 {ra.Actor{}, nil, 0, ""},
		} {
			list, _, err := w.FindRequests(ctx, c.actor, store.RequestFilter{Groups: c.groups})
			if len(list) != c.n || ra.KindOf(err) != c.kind {
				w.t.Errorf("%s: %d requests, %v", name, len(list), err)
			}
			for _, r := range list {
				if _, _, err := w.Request(ctx, c.actor, r.ID); err != nil {
					w.t.Errorf("%s: listed and not shown: %v", name, err)
				}
			}
		}
		r := w.submit(w.owner, enroll.Ask{Template: tpl.ID, Device: w.phone.ID, Wait: true})
		_, _, err := w.Request(ctx, actor("o", ra.RoleOwner, w.other), r.ID)
		wantError(w.t, err, ra.NotFound)
	})
}

// TestOneselfThroughAToken: a token of the person who asked is no other person.
func TestOneselfThroughAToken(t *testing.T) {
	each(t, func(w *world) {
		tpl := w.guarded(1)
		asker := actor("asker", ra.RoleManager, w.acme)
		r := w.submit(asker, enroll.Ask{Template: tpl.ID, Device: w.phone.ID, Door: "api"})
		token := ra.Actor{Kind: ra.ActorToken, ID: "tok_1", Name: "ci", Person: ra.AdminID(asker.ID), Grants: asker.Grants}
		_, err := w.Decide(w.t.Context(), token, r.ID, true, "")
		wantError(w.t, err, ra.Denied)
		token.Person = "adm_another"
		if r = must(w.Decide(w.t.Context(), token, r.ID, true, ""))(w.t); r.State != ra.Issued {
			w.t.Errorf("another person's token: %s", r.State)
		}
	})
}

// TestWhatGroupsLend: who may see a group sees the templates of the groups
// above it, may use them, and may not change them; those beside it stay hidden.
func TestWhatGroupsLend(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		lent := w.guarded(1) // of the organization, above Berlin
		branch := actor("branch", ra.RoleManager, w.berlin)
		if _, err := w.Template(ctx, branch, lent.ID); err != nil {
			w.t.Errorf("a lent template is hidden: %v", err)
		}
		list, _, err := w.FindTemplates(ctx, branch, store.TemplateFilter{})
		if err != nil || !slices.ContainsFunc(list, func(t *ra.Template) bool { return t.ID == lent.ID }) {
			w.t.Errorf("a lent template is not listed: %v", err)
		}
		if _, err := w.Preview(ctx, branch, enroll.TemplateInput{}, lent.ID, w.phone.ID, ""); err != nil {
			w.t.Errorf("a lent template cannot be previewed: %v", err)
		}
		off := true
		_, err = w.UpdateTemplate(ctx, branch, lent.ID, enroll.TemplateInput{Disabled: &off})
		if k := ra.KindOf(err); k != ra.Denied && k != ra.NotFound {
			w.t.Errorf("a lent template was changed from below: %v", err)
		}
		foreign := actor("foreign", ra.RoleManager, w.other)
		if _, err := w.Template(ctx, foreign, lent.ID); ra.KindOf(err) != ra.NotFound {
			w.t.Errorf("another organization sees the template: %v", err)
		}
	})
}

// TestAskAgainAfterNobodyDecided: a request nobody decided about in time frees
// its idempotency key, so the same ask is a new request.
func TestAskAgainAfterNobodyDecided(t *testing.T) {
	each(t, func(w *world) {
		tpl := w.guarded(1)
		ask := enroll.Ask{Template: tpl.ID, Device: w.phone.ID, Door: "api", Key: "again"}
		first := w.submit(w.owner, ask)
		w.clock.Advance(25 * time.Hour)
		if err := w.Plan(w.t.Context(), enroll.PlanJob{}); err != nil {
			w.t.Fatal(err)
		}
		if r := w.request(first.ID); r.State != ra.Cancelled {
			w.t.Fatalf("after the deadline: %s", r.State)
		}
		if second := w.submit(w.owner, ask); second.ID == first.ID || second.State != ra.AwaitingApproval {
			w.t.Errorf("asked again: %s, %s", second.ID, second.State)
		}
	})
}
