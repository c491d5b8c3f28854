package caimport_test

import (
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"chancery/internal/audit"
	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/caimport"
	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// TestFollow: what the authority revokes, holds and releases is that here, too,
// but what was held here is released by nobody else.
func TestFollow(t *testing.T) {
	each(t, func(w *world) {
		t, ctx := w.t, w.t.Context()
		list := map[string][]byte{}
		numbers := map[string]int64{}
		for _, name := range []string{"revoked", "held", "released", "ours", "both", "gone"} {
			list[name] = w.cert(name, nil)
			numbers[name] = w.book.Enter(ca.Listed{DER: list[name]})
		}
		w.clock.Advance(2 * time.Hour)
		w.setUp(nil)
		w.imported(caimport.Order{})
		must(w.lifecycle.Revoke(ctx, w.owner, w.row(list["ours"]).ID, ra.CertificateHold, ""))(t)
		must(w.lifecycle.Revoke(ctx, w.owner, w.row(list["gone"]).ID, ra.KeyCompromise, ""))(t)
		w.clock.Advance(2 * time.Hour)
		at := w.clock.Now().Add(-time.Hour).Truncate(time.Second)
		hold := func(l *ca.Listed) { l.State, l.RevokedAt = ra.OnHold, at }
		w.book.Alter(numbers["revoked"], func(l *ca.Listed) { l.State, l.RevokedAt, l.Reason = ra.Revoked, at, ra.CessationOfOperation })
		w.book.Alter(numbers["held"], hold)
		w.book.Alter(numbers["released"], hold)
		w.book.Alter(numbers["both"], hold)
		if run := w.imported(caimport.Order{Preview: true, Full: true}); run.Changed != 4 || run.Strange != 2 || w.row(list["held"]).State != ra.Valid || len(w.open()) != 0 {
			t.Errorf("preview: %+v", run)
		}
		if run := w.imported(caimport.Order{}); run.Changed != 4 || run.Strange != 0 {
			t.Errorf("%+v", run)
		}
		if c := w.row(list["revoked"]); c.State != ra.Revoked || !c.RevokedAt.Equal(at) || c.Reason != ra.CessationOfOperation || c.Action != ra.ActionNone {
			t.Errorf("revoked: %+v", c)
		}
		if c := w.row(list["held"]); c.State != ra.OnHold || !c.RevokedAt.Equal(at) || c.Action != ra.ActionExpire {
			t.Errorf("held: %+v", c)
		}
		if said := w.told(audit.CertificateRevoked); len(said) != 2 || !slices.Contains(said, "Revoked at the authority: CN=revoked") {
			t.Errorf("%q", said)
		}

		// One is released there; one that is held by both is still held by us.
		must(w.lifecycle.Revoke(ctx, w.owner, w.row(list["both"]).ID, ra.RemoveFromCRL, ""))(t)
		must(w.lifecycle.Revoke(ctx, w.owner, w.row(list["both"]).ID, ra.CertificateHold, ""))(t)
		w.clock.Advance(2 * time.Hour)
		w.book.Alter(numbers["released"], func(l *ca.Listed) { l.State, l.RevokedAt = ra.Valid, time.Time{} })
		w.book.Alter(numbers["both"], func(l *ca.Listed) { l.State, l.RevokedAt = ra.Valid, time.Time{} })
		run := w.imported(caimport.Order{Full: true})
		if c := w.row(list["released"]); run.Changed != 1 || c.State != ra.Valid || c.Action != ra.ActionExpire {
			t.Errorf("%+v, %+v", run, c)
		}
		open := []string{"not_revoked CN=ours", "not_revoked CN=both", "not_revoked CN=gone"}
		got := w.open()
		slices.Sort(open)
		slices.Sort(got)
		w.same("differences", got, open)
		if w.row(list["ours"]).State != ra.OnHold || w.row(list["gone"]).State != ra.Revoked {
			t.Error("what was decided here is undone")
		}
		if run := w.imported(caimport.Order{Full: true}); run.Strange != 0 || len(w.open()) != 3 {
			t.Errorf("found twice: %+v", run)
		}

		// They agree again, and then they do not; what a person has settled stays so.
		for _, d := range must2(w.Differences(ctx, w.owner, store.DifferenceFilter{Text: "cn=BOTH"}))(t) {
			must(w.Settle(ctx, w.owner, d.ID, "Anna knows of it."))(t)
		}
		revoke := func(l *ca.Listed) { l.State, l.RevokedAt, l.Reason = ra.Revoked, at, ra.KeyCompromise }
		w.book.Alter(numbers["gone"], revoke)
		must(w.lifecycle.Revoke(ctx, w.owner, w.row(list["ours"]).ID, ra.RemoveFromCRL, ""))(t)
		w.clock.Advance(2 * time.Hour)
		w.imported(caimport.Order{Full: true})
		w.same("they agree", w.open(), []string(nil))
		for _, d := range must2(w.Differences(ctx, w.owner, store.DifferenceFilter{Open: ptr(false), Text: "gone"}))(t) {
			if d.SettledBy != "system" || d.SettledAt.IsZero() || d.Comment == "" {
				t.Errorf("%+v", d)
			}
		}
		w.book.Alter(numbers["gone"], func(l *ca.Listed) { l.State = ra.Valid })
		w.clock.Advance(2 * time.Hour)
		if run := w.imported(caimport.Order{Full: true}); run.Strange != 1 {
			t.Errorf("%+v", run)
		}
		w.same("they do not", w.open(), []string{"not_revoked CN=gone"})
	})
}

func must2[T any](v T, _ string, err error) func(testing.TB) T { return must(v, err) }

// TestUnderWay: what was changed here a moment ago is not undone by a list that
// was made before.
func TestUnderWay(t *testing.T) {
	alone(t, func(w *world) {
		t, ctx := w.t, w.t.Context()
		a, b := w.cert("a", nil), w.cert("b", nil)
		w.book.Enter(ca.Listed{DER: a}, ca.Listed{DER: b})
		w.setUp(nil)
		w.imported(caimport.Order{})
		w.clock.Advance(2 * time.Hour)
		held := w.clock.Now().Add(-30 * time.Minute)
		w.book.Alter(2, func(l *ca.Listed) { l.State, l.RevokedAt = ra.OnHold, held })
		w.book.OnPortion(func() {
			w.book.OnPortion(nil)
			must(w.lifecycle.Revoke(ctx, w.owner, w.row(a).ID, ra.KeyCompromise, ""))(t)
			must(w.lifecycle.Revoke(ctx, w.owner, w.row(b).ID, ra.CertificateHold, ""))(t)
			must(w.lifecycle.Revoke(ctx, w.owner, w.row(b).ID, ra.RemoveFromCRL, ""))(t)
		})
		if run := w.imported(caimport.Order{Full: true}); run.Changed != 0 || run.Strange != 0 || !run.Next.Equal(held.Truncate(time.Millisecond)) {
			t.Errorf("%+v", run)
		}
		if w.row(a).State != ra.Revoked || w.row(b).State != ra.Valid || len(w.open()) != 0 {
			t.Errorf("%s, %s, %v", w.row(a).State, w.row(b).State, w.open())
		}
	})
}

// TestDifferences: what the authority issued under our account, and what carries
// the number of a request of ours, is told apart.
func TestDifferences(t *testing.T) {
	each(t, func(w *world) {
		t, ctx := w.t, w.t.Context()
		tpl, d := w.template("T", nil), w.device("PC01", "uid-1", w.acme, "")
		key, other := newKey(t), newKey(t)
		ask := func(k signer) *ra.Request {
			return must(w.enroll.Submit(ctx, w.owner, enroll.Ask{Template: tpl.ID, Device: d.ID, CSR: csr(t, k), Door: "api"}))(t)
		}
		open, cancelled := ask(key), ask(other)
		must(w.enroll.Cancel(ctx, w.owner, cancelled.ID))(t)
		of := func(k signer, cn string) []byte {
			return must(w.script.Certify(x509.Certificate{Subject: pkixName(cn)}, k.Public()))(t)
		}
		w.clock.Advance(2 * time.Hour)
		waits, ended, ghost, ours, madeUp, guessed := of(key, "waits"), of(other, "ended"), w.cert("ghost", nil), w.cert("ours", nil), w.cert("made up", nil), w.cert("guessed", nil)
		w.book.Enter(ca.Listed{DER: waits, Request: open.ID}, ca.Listed{DER: ended, Request: cancelled.ID, Requester: `CORP\svc`, Template: "T"}, ca.Listed{DER: ghost, Request: "req_ghost", ByUs: true},
			ca.Listed{DER: ours, ByUs: true}, ca.Listed{DER: madeUp, Request: "req_none"}, ca.Listed{DER: guessed, Request: open.ID})
		w.setUp(nil)
		if run := w.imported(caimport.Order{Preview: true}); run.Strange != 3 || run.Added != 5 || len(w.open()) != 0 {
			t.Errorf("preview: %+v", run)
		}
		run := w.imported(caimport.Order{})
		if run.Added != 5 || run.Skipped != 1 || run.Strange != 3 || !strings.Contains(run.Problems[0].Message, string(open.ID)) || !run.Next.Equal(open.CreatedAt) {
			t.Errorf("%+v", run)
		}
		w.same("differences", slices.Sorted(slices.Values(w.open())), []string{"ended CN=ended", "no_request CN=ghost", "not_ours CN=ours"})
		diff := must2(w.Differences(ctx, w.owner, store.DifferenceFilter{Kind: ra.DiffEnded}))(t)[0]
		if diff.Request != cancelled.ID || diff.Requester != `CORP\svc` || diff.Template != "T" || diff.Number != 2 || diff.Certificate != w.row(ended).ID || diff.FoundAt.IsZero() || diff.GroupID != w.acme.ID || diff.Authority != w.authority.ID {
			t.Errorf("%+v", diff)
		}
		if n := must(w.CountDifferences(ctx, w.owner, store.DifferenceFilter{Authority: w.authority.ID, Open: ptr(true)}))(t); n != 3 {
			t.Errorf("%d open", n)
		}
		if len(w.told(audit.DifferenceFound)) != 3 {
			t.Errorf("told of %q", w.told(audit.DifferenceFound))
		}
		for _, kind := range caimport.Kinds {
			if title, meaning, remedy := caimport.Words(kind); title == "" || meaning == "" || remedy == "" {
				t.Errorf("%s has no words", kind)
			}
		}

		// The request under way is settled by itself, and what comes of it is known.
		if err := w.enroll.Work(ctx, enroll.IssueJob{Request: open.ID}); err != nil {
			t.Fatal(err)
		}
		issued := w.script.Issued(string(open.ID))
		if len(issued) != 1 {
			t.Fatalf("issued %d times", len(issued))
		}
		w.book.Alter(1, func(l *ca.Listed) { l.DER = issued[0].Raw })
		w.clock.Advance(2 * time.Hour)
		if run := w.imported(caimport.Order{}); run.Known == 0 || run.Skipped != 0 || run.Strange != 0 {
			t.Errorf("%+v", run)
		}

		// Settling needs a comment, once, and the right to.
		_, err := w.Settle(ctx, w.owner, diff.ID, " ")
		w.kind("no comment", err, ra.Invalid)
		_, err = w.Settle(ctx, w.manager, diff.ID, "I know it.")
		w.kind("of another group", err, ra.NotFound)
		settled := must(w.Settle(ctx, w.owner, diff.ID, "Anna has it."))(t)
		if settled.SettledBy != "owner" || settled.Comment != "Anna has it." || !settled.SettledAt.Equal(w.clock.Now()) {
			t.Errorf("%+v", settled)
		}
		_, err = w.Settle(ctx, w.owner, diff.ID, "Anna has it.")
		w.kind("twice", err, ra.Conflict)
		if got := must(w.Difference(ctx, w.owner, diff.ID))(t); got.SettledBy != "owner" {
			t.Errorf("%+v", got)
		}
		if len(w.told(audit.DifferenceSettled)) != 1 {
			t.Error("nobody was told")
		}
	})
}

// TestElsewhere: an authority says nothing about certificates outside of its own
// group, whatever CA signed them.
func TestElsewhere(t *testing.T) {
	alone(t, func(w *world) {
		t, ctx := w.t, w.t.Context()
		der := w.cert("theirs", nil)
		w.book.Enter(ca.Listed{DER: der})
		w.setUp(nil)
		w.imported(caimport.Order{})
		evil := must(w.Authorities.Create(ctx, w.stranger, "scripted-listing", authorityInput(w.other.ID, "Evil CA")))(t)
		must(w.Set(ctx, w.stranger, evil.ID, caimport.Input{GroupID: &w.other.ID}))(t)
		w.clock.Advance(2 * time.Hour)
		w.book.Alter(1, func(l *ca.Listed) { l.State, l.RevokedAt = ra.Revoked, w.clock.Now() })
		run := must(w.Import(ctx, w.stranger, evil.ID, caimport.Order{}))(t)
		if err := w.Work(ctx, caimport.RunJob{Authority: evil.ID}); err != nil {
			t.Fatal(err)
		}
		run = must(w.Run(ctx, w.stranger, run.ID))(t)
		if run.State != ra.ImportDone || run.Skipped != 1 || run.Changed != 0 || w.row(der).State != ra.Valid {
			t.Errorf("%+v; %s", run, w.row(der).State)
		}
		_, err := w.Run(ctx, w.owner, run.ID)
		if err != nil {
			t.Error(err)
		}
		_, err = w.Run(ctx, w.manager, run.ID)
		w.kind("a run of others", err, ra.NotFound)
	})
}

func authorityInput(group ra.GroupID, name string) authority.Input {
	return authority.Input{GroupID: &group, Name: &name, Settings: []byte(`{"server": "https://ca.example.test", "password": "correct-horse-battery-staple"}`)}
}

// TestAdoptLater: what was taken over before a template adopted it, or before its
// user was known, gets both with the next run.
func TestAdoptLater(t *testing.T) {
	each(t, func(w *world) {
		t := w.t
		der := w.cert("PC01", nil)
		w.book.Enter(ca.Listed{DER: der, Template: "Machine"})
		w.setUp(nil)
		w.imported(caimport.Order{})
		d, tpl := w.device("PC01", "uid-1", w.unit, ""), w.template("Machines", nil)
		w.setUp(func(in *caimport.Input) { in.Adopt = map[string]ra.TemplateID{"Machine": tpl.ID} })
		run := w.imported(caimport.Order{})
		if c := w.row(der); !run.Full || run.Changed != 1 || c.TemplateID != tpl.ID || c.DeviceID != d.ID || c.GroupID != w.unit.ID || c.Action != ra.ActionAwait {
			t.Errorf("%+v %+v", run, c)
		}
		if run := w.imported(caimport.Order{Full: true}); run.Changed != 0 {
			t.Errorf("again: %+v", run)
		}
		if err := w.enroll.DeleteTemplate(t.Context(), w.owner, tpl.ID); ra.KindOf(err) != ra.Conflict {
			t.Errorf("a template that is in use was deleted: %v", err)
		}
		if err := w.DB.Write(t.Context(), func(tx *store.Tx) error {
			return errors.Join(tx.DeleteCAImport(w.authority.ID), tx.DeleteTemplate(tpl.ID))
		}); ra.KindOf(err) != ra.Conflict {
			t.Errorf("a template that certificates have was deleted: %v", err)
		}
	})
}
