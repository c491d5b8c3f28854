package doctor

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"chancery/internal/audit"
	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/ca/scripted"
	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// TestSound: where nothing is wrong, every check says so, and only Examine
// leaves traces.
func TestSound(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		must(w.Lifecycle.Own(context.Background(), w.inner.ID, ra.PurposeSCEPRA))(t)
		if err := w.Lifecycle.PublishDue(context.Background()); err != nil {
			t.Fatal(err)
		}
		before := w.audited(audit.AuthorityTested)
		glance := w.glance(w.owner)
		if n := w.audited(audit.AuthorityTested); n != before {
			t.Errorf("a glance tested %d authorities", n-before)
		}
		if has(glance, "audit log") {
			t.Error("a glance walked the audit log")
		}
		found := w.examine()
		if n := w.audited(audit.AuthorityTested); n != before+3 {
			t.Errorf("%d authorities tested, want 3", n-before)
		}
		for _, f := range append(glance, found...) {
			elsewhere := f.Name == "database file" && f.State == ca.StepSkipped // of a database server
			if f.State != ca.StepOK && !elsewhere || f.Remedy != "" || f.Detail == "" {
				t.Errorf("in a sound installation: %+v", f)
			}
		}
		for _, name := range []string{"database", "master key", "disk space", "audit log", "clock", "revocation lists", "signing certificates", "own certificates",
			"authority Inner CA", "authority Outer CA", "authority Away CA", "SCEP endpoints", Obligations} {
			if !has(found, name) {
				t.Errorf("%s was not looked at", name)
			}
		}
		want(t, found, "database", ca.StepOK, w.DB.Engine())
		want(t, found, "revocation lists", ca.StepOK, "4 current")
		if f := want(t, found, "authority Inner CA", ca.StepOK, "passed"); f.Object != string(w.inner.ID) {
			t.Errorf("it leads to %q", f.Object)
		}
	})
}

func (w *world) audited(code string) int {
	w.t.Helper()
	list, _, err := w.Audit.Find(context.Background(), w.owner, store.AuditFilter{Code: code, Page: store.Page{Limit: 100}})
	if err != nil {
		w.t.Fatal(err)
	}
	return len(list)
}

func TestMasterKey(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		chmod(t, w.MasterKey, 0o644)
		want(t, w.examine(), "master key", ca.StepFailed, "0644")
		want(t, w.glance(w.owner), "master key", ca.StepFailed, "0644")
		if err := os.Remove(w.MasterKey); err != nil {
			t.Fatal(err)
		}
		want(t, w.examine(), "master key", ca.StepFailed, "cannot be found")
	})
}

// TestReference: what is behind an internal error is told to the log alone,
// under the reference that is shown.
func TestReference(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Data += "/no-such-folder"
		f := want(t, w.examine(), "disk space", ca.StepFailed, "reference err_")
		_, reference, _ := strings.Cut(strings.TrimSuffix(f.Detail, ")."), "reference ")
		if log := w.log.String(); !strings.Contains(log, reference) || !strings.Contains(log, "no such file") {
			t.Errorf("the log does not have %s with its cause:\n%s", reference, log)
		}
		if strings.Contains(f.Detail+f.Remedy, "no such") {
			t.Errorf("the cause is shown: %+v", f)
		}
	})
}

func TestRoom(t *testing.T) {
	for free, state := range map[uint64]ca.StepState{0: ca.StepFailed, full - 1: ca.StepFailed, full: ca.StepWarning, fullSoon - 1: ca.StepWarning, fullSoon: ca.StepOK, 1 << 50: ca.StepOK} {
		if got, remedy := room(free); got != state || (remedy == "") != (state == ca.StepOK) {
			t.Errorf("%d bytes free: %s, %q, want %s", free, got, remedy, state)
		}
	}
}

func TestDatabaseGone(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		if err := w.DB.Close(); err != nil {
			t.Fatal(err)
		}
		found := w.examine()
		f := want(t, found, "database", ca.StepFailed, "reference err_")
		if strings.Contains(f.Detail, "closed") || !strings.Contains(w.log.String(), "closed") {
			t.Errorf("%+v\nlog: %s", f, &w.log)
		}
		want(t, found, "master key", ca.StepOK, "")
		if len(found) != 3 {
			t.Errorf("without a database:\n%s", text(found))
		}
	})
}

func TestAuditTampered(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.execute("UPDATE audit SET message = 'nothing happened' WHERE seq = 2")
		want(t, w.examine(), "audit log", ca.StepFailed, "Entry 2")
	})
}

func TestClock(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.advance(-2 * time.Hour)
		want(t, w.glance(w.owner), "clock", ca.StepFailed, "behind the last audit entry, 2026-03-01T12:00:00Z")
		w.ms.Store(time.Date(1970, 1, 1, 0, 0, 9, 0, time.UTC).UnixMilli())
		want(t, w.glance(w.owner), "clock", ca.StepFailed, "1970")
	})
}

// TestEnding: revocation lists, own and signing certificates are findings, one
// after the other, when nothing renews them.
func TestEnding(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		own := must(w.Lifecycle.Own(ctx, w.inner.ID, ra.PurposeSCEPRA))(t)[0].Row
		if err := w.Lifecycle.PublishDue(ctx); err != nil {
			t.Fatal(err)
		}
		w.ms.Store(own.NotAfter.Add(-own.Lifetime() / 4).UnixMilli())
		found := w.glance(w.owner)
		if f := want(t, found, "revocation lists", ca.StepFailed, ".crl of Inner CA, number "); f.Object != string(w.inner.ID) {
			t.Errorf("it leads to %q", f.Object)
		}
		want(t, found, "revocation lists", ca.StepFailed, "Away CA")
		want(t, found, "own certificates", ca.StepOK, "")
		if err := w.Lifecycle.PublishDue(ctx); err != nil {
			t.Fatal(err)
		}
		want(t, w.glance(w.owner), "revocation lists", ca.StepOK, "4 current")

		w.ms.Store(own.NotAfter.Add(-own.Lifetime() / 7).UnixMilli())
		found = w.glance(w.owner)
		if f := want(t, found, "own certificates", ca.StepWarning, "Inner CA"); f.Object != string(own.ID) {
			t.Errorf("it leads to %q", f.Object)
		}
		want(t, found, "signing certificates", ca.StepOK, "")
		want(t, found, Obligations, ca.StepFailed, "certificate "+string(own.ID)) // the same, as a promise

		chain := must(w.Authorities.Chain(ctx, w.away.ID))(t)
		w.ms.Store(chain[0].NotAfter.Add(-30 * day).UnixMilli())
		want(t, w.glance(w.owner), "signing certificates", ca.StepWarning, "Away CA ends on")
		w.ms.Store(chain[0].NotAfter.Add(time.Second).UnixMilli())
		if f := want(t, w.glance(w.owner), "signing certificates", ca.StepFailed, "Away CA ended on"); f.Object != string(w.away.ID) {
			t.Errorf("it leads to %q", f.Object)
		}
	})
}

func TestAuthorities(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		change := func(a *ra.Authority, in authority.Input) {
			t.Helper()
			if _, err := w.Authorities.Update(ctx, w.owner, a.ID, in); err != nil {
				t.Fatal(err)
			}
		}
		change(w.outer, authority.Input{Settings: []byte(`{"password": "wrong"}`)})
		off := true
		change(w.away, authority.Input{Disabled: &off})
		found := w.examine()
		if f := want(t, found, "authority Outer CA", ca.StepFailed, "Password: "); !strings.Contains(f.Remedy, "password") {
			t.Errorf("the remedy is not the step's: %+v", f)
		}
		want(t, found, "authority Away CA", ca.StepSkipped, "switched off")
		want(t, found, "authority Inner CA", ca.StepOK, "")

		// Known without a test: what cannot be opened, and what went wrong last.
		change(w.outer, authority.Input{Settings: []byte(scripted.SettingsJSON)})
		want(t, w.glance(w.owner), "authority Outer CA", ca.StepOK, "")
		danger := &ra.Danger{ID: "dng_one", AuthorityID: w.outer.ID, Finding: ra.Finding{Condition: "ESC1", Key: "one"}, Obligation: ra.Obligation{Action: ra.ActionMend, At: w.Now(), LastError: "Everybody may enrol."}}
		write := func(f func(tx *store.Tx) error) {
			t.Helper()
			if err := w.DB.Write(t.Context(), f); err != nil {
				t.Fatal(err)
			}
		}
		write(func(tx *store.Tx) error { return tx.CreateDanger(danger) })
		if f := want(t, w.glance(w.owner), "authority Outer CA", ca.StepWarning, "Nothing is late. 1 danger is open."); !strings.Contains(f.Remedy, "chancery authority guard") {
			t.Errorf("%+v", f)
		}
		write(func(tx *store.Tx) error { return tx.DeleteDanger(danger.ID) })
		w.script.Plan(scripted.CutBefore)
		if r := w.issue(w.outer); r.LastError == "" {
			t.Fatalf("the request went on: %+v", r)
		}
		want(t, w.glance(w.owner), "authority Outer CA", ca.StepWarning, "last attempt failed")
		want(t, w.examine(), "authority Outer CA", ca.StepWarning, "last attempt failed")
		w.execute("UPDATE authorities SET settings = 'x', updated_at = updated_at + 1")
		w.execute("UPDATE facts SET value = CAST(CAST(value AS BIGINT) + 1 AS TEXT) WHERE name = 'config.generation'") // a change by the program says so
		want(t, w.glance(w.owner), "authority Inner CA", ca.StepFailed, "")
		want(t, w.examine(), "authority Inner CA", ca.StepFailed, "")
	})
}

// TestMute: an authority that does not answer takes only its own time, and is
// told as what it is.
func TestMute(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.authority("mute", "Mute CA", scripted.SettingsJSON, w.acme)
		x := &examination{Service: w.Service, ctx: context.Background(), actor: w.owner}
		f := x.test(Finding{Name: "authority Mute CA"}, a.ID, 50*time.Millisecond)
		want(t, []Finding{f}, "authority Mute CA", ca.StepFailed, "did not end within 50ms")
	})
}

// TestDifferences: what an authority's records and ours do not agree on, and an
// import that fails, are findings for whoever sees them.
func TestDifferences(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := &ra.Certificate{ID: "crt_1", GroupID: w.acme.ID, AuthorityID: w.inner.ID, IssuerHash: "h", Serial: "1", Subject: "CN=x", Fingerprint: "f", NotBefore: start, NotAfter: start.Add(90 * day), State: ra.Valid,
			Obligation: ra.Obligation{Action: ra.ActionExpire, At: start.Add(80 * day)}}
		d := &ra.Difference{ID: "dif_1", Authority: w.inner.ID, GroupID: w.acme.ID, Kind: ra.DiffNotOurs, Certificate: c.ID, Serial: "1", Subject: "CN=x"}
		i := &ra.CAImport{Authority: w.outer.ID, GroupID: w.acme.ID, Scope: ra.ImportAll, Every: day, Obligation: ra.Obligation{Action: ra.ActionImport, At: start.Add(day), Attempts: 1, LastError: "It does not answer."}}
		for _, f := range []func(*store.Tx) error{func(tx *store.Tx) error { return tx.CreateCertificate(c) }, func(tx *store.Tx) error { return tx.CreateDifference(d) }, func(tx *store.Tx) error { return tx.CreateCAImport(i) }} {
			if err := w.DB.Write(t.Context(), f); err != nil {
				t.Fatal(err)
			}
		}
		want(t, w.glance(w.owner), "authority "+w.inner.Name, ca.StepWarning, "1 difference between its records and ours is open.")
		want(t, w.glance(w.owner), "authority "+w.outer.Name, ca.StepWarning, "It does not answer.")
		d.SettledAt = start
		if err := w.DB.Write(t.Context(), func(tx *store.Tx) error { return tx.UpdateDifference(d) }); err != nil {
			t.Fatal(err)
		}
		want(t, w.glance(w.owner), "authority "+w.inner.Name, ca.StepOK, "")
	})
}

func TestNoAuthority(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, a := range []*ra.Authority{w.inner, w.outer, w.away} {
			if err := w.Authorities.Delete(context.Background(), w.owner, a.ID); err != nil {
				t.Fatal(err)
			}
		}
		found := w.examine()
		want(t, found, "authorities", ca.StepWarning, "no authority")
		want(t, found, "revocation lists", ca.StepOK, "None is published")
	})
}

func TestLateObligation(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r := w.issue(w.inner)
		if r.State != ra.Issued {
			t.Fatalf("%+v", r)
		}
		w.advance(91 * day)
		found := w.glance(w.owner)
		want(t, found, Obligations, ca.StepFailed, "1 thing is past its deadline, first: certificate "+string(r.CertificateID))
		if f := want(t, found, "authority Inner CA", ca.StepWarning, "1 certificate ends soon, and nothing has replaced it."); strings.Contains(f.Detail, "late") || strings.Contains(f.Remedy, "Test") {
			t.Errorf("its holder is late, and not the authority: %+v", f)
		}
		if err := w.DB.Write(context.Background(), func(tx *store.Tx) error {
			c, err := tx.Certificate(r.CertificateID)
			if err != nil {
				return err
			}
			c.Action, c.LastError = ra.ActionRenew, "It did not answer."
			return tx.UpdateCertificate(c)
		}); err != nil {
			t.Fatal(err)
		}
		if f := want(t, w.glance(w.owner), "authority Inner CA", ca.StepWarning, "1 thing is late. The last attempt failed: It did not answer."); !strings.Contains(f.Remedy, "Test the authority") {
			t.Errorf("%+v", f)
		}
		want(t, w.glance(actor("stranger", ra.RoleOwner, w.other)), Obligations, ca.StepOK, "")
	})
}

func TestWeakEndpoint(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		id, name := w.template(w.inner, spec).ID, "old-printers"
		e := must(w.Enroll.CreateEndpoint(ctx, w.owner, enroll.EndpointInput{TemplateID: &id, Name: &name,
			Settings: []byte(`{"floor": "legacy", "legacy_until": "2026-06-30", "legacy_accepted": true, "static_on": true, "static": "a long shared challenge"}`)}))(t)
		found := w.glance(actor("viewer", ra.RoleViewer, w.acme))
		for _, part := range []string{"legacy floor is open until 2026-06-30", "static challenge"} {
			if f := want(t, found, "SCEP endpoints", ca.StepWarning, part); f.Object != string(e.ID) {
				t.Errorf("it leads to %q", f.Object)
			}
		}
		if strings.Contains(text(found), "a long shared challenge") {
			t.Error("the challenge is shown")
		}
		want(t, w.glance(actor("stranger", ra.RoleOwner, w.other)), "SCEP endpoints", ca.StepOK, "")
		off := true
		must(w.Enroll.UpdateEndpoint(ctx, w.owner, e.ID, enroll.EndpointInput{Disabled: &off}))(t)
		want(t, w.glance(w.owner), "SCEP endpoints", ca.StepOK, "")
	})
}

// TestScope: with less than the whole installation, only one's own groups show
// and nothing is tested.
func TestScope(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		if err := w.Lifecycle.PublishDue(ctx); err != nil {
			t.Fatal(err)
		}
		w.advance(365 * day)
		for _, a := range []ra.Actor{actor("viewer", ra.RoleViewer, w.acme), actor("lead", ra.RoleOwner, w.acme)} {
			found := w.glance(a)
			if !has(found, "authority Inner CA") || strings.Contains(text(found), "Away CA") {
				t.Errorf("%s sees\n%s", a.Name, text(found))
			}
			for _, name := range []string{"master key", "disk space", "audit log"} {
				if has(found, name) {
					t.Errorf("%s is told of the %s", a.Name, name)
				}
			}
			if _, err := w.Examine(ctx, a); ra.KindOf(err) != ra.Denied {
				t.Errorf("%s may examine: %v", a.Name, err)
			}
		}
		if _, err := w.Glance(ctx, ra.Actor{Kind: ra.ActorAdmin, Name: "nobody"}); ra.KindOf(err) != ra.Denied {
			t.Errorf("whoever may see nothing glances: %v", err)
		}
	})
}

func TestCancelled(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if found, err := w.Examine(ctx, w.owner); !errors.Is(err, context.Canceled) || found != nil {
			t.Errorf("%v, %v", found, err)
		}
		if w.log.Len() > 0 && strings.Contains(w.log.String(), "could not look") {
			t.Errorf("a call that was given up is in the log: %s", &w.log)
		}
	})
}

// TestNumber: more than a page is said to be.
func TestNumber(t *testing.T) {
	for want, got := range map[string]string{"1 a": number(1, "", "a", "b"), "2 b": number(2, "", "a", "b"), "100 b": number(100, "", "a", "b"), "More than 100 b": number(100, "next", "a", "b")} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
