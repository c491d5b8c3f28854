package caimport_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"chancery/internal/audit"
	"chancery/internal/ca"
	"chancery/internal/caimport"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// outcome is what a run did, without when.
func outcome(r *ra.CAImportRun) string {
	return fmt.Sprint(r.State, r.Full, r.Read, r.Known, r.Added, r.Skipped, r.Changed, r.Matched, r.Strange, r.Templates, r.Problems, r.Position, r.Message)
}

// TestCrash stops a run at every step, early and late, and lets another process go
// on: nothing is lost, nothing is there twice, and the counts are those of a run
// that nobody disturbed.
func TestCrash(t *testing.T) {
	each(t, func(w *world) {
		for n := range 180 {
			l := ca.Listed{DER: w.cert(fmt.Sprint("c", n), nil), Template: fmt.Sprint("T", n%3)}
			if n%50 == 0 {
				l.ByUs = true
			}
			if n%30 == 0 {
				l.DER = l.DER[:20]
			}
			w.book.Enter(l)
		}
		want := ""
		for _, label := range append([]string{""}, caimport.Steps...) {
			for _, nth := range []int{1, 2} {
				if nth > 1 && (label == "" || label == caimport.StepRead || label == caimport.StepEnd) {
					continue
				}
				w.forget()
				w.setUp(nil)
				run := must(w.Import(w.t.Context(), w.owner, w.authority.ID, caimport.Order{}))(w.t)
				if label != "" && !w.crashed(label, nth) {
					w.t.Errorf("%s %d was not reached", label, nth)
				}
				w.work()
				got := must(w.Run(w.t.Context(), w.owner, run.ID))(w.t)
				if want == "" {
					want = outcome(got)
				}
				i := must(w.Get(w.t.Context(), w.owner, w.authority.ID))(w.t)
				if outcome(got) != want || w.count() != int64(got.Added) || i.Imported != got.Added || len(w.open()) != got.Strange || got.Added != 174 {
					w.t.Errorf("%s %d:\n got %s, %d in the inventory, %d counted, %d differences\nwant %s", label, nth, outcome(got), w.count(), i.Imported, len(w.open()), want)
				}
			}
		}
	})
}

// forget empties what runs have made, behind the service's back.
func (w *world) forget() {
	w.t.Helper()
	for _, q := range []string{"DELETE FROM ca_differences", "DELETE FROM imported_certificates", "DELETE FROM certificates", "DELETE FROM tallies", "DELETE FROM ca_imports"} {
		if _, err := w.DB.Pool().ExecContext(context.Background(), q); err != nil {
			w.t.Fatal(err)
		}
	}
}

// crashed runs the job until a step is reached for the n-th time, where its process
// ends; false when it was not reached.
func (w *world) crashed(label string, n int) (reached bool) {
	w.Step = func(at string) {
		if at == label {
			if n--; n == 0 {
				reached = true
				runtime.Goexit()
			}
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() { w.Work(context.Background(), caimport.RunJob{Authority: w.authority.ID}) })
	wg.Wait()
	w.Step = nil
	return reached
}

// TestCancel: a run that waits ends at once, and one at work with its batch. What
// was taken over stays, and the next run goes on from there.
func TestCancel(t *testing.T) {
	each(t, func(w *world) {
		t, ctx := w.t, w.t.Context()
		for n := range 320 {
			w.book.Enter(ca.Listed{DER: w.cert(fmt.Sprint("c", n), nil)})
		}
		w.setUp(func(in *caimport.Input) { in.Every = ptr(time.Hour) })
		waiting := must(w.Import(ctx, w.owner, w.authority.ID, caimport.Order{}))(t)
		_, err := w.Cancel(ctx, actor("viewer", ra.RoleViewer, w.acme), waiting.ID)
		w.kind("who only sees", err, ra.Denied)
		if run := must(w.Cancel(ctx, w.owner, waiting.ID))(t); run.State != ra.ImportCanceled || run.EndedAt.IsZero() || run.Remedy == "" {
			t.Errorf("%+v", run)
		}
		_, err = w.Cancel(ctx, w.owner, waiting.ID)
		w.kind("twice", err, ra.Conflict)
		w.work()
		if w.count() != 0 {
			t.Error("it ran all the same")
		}
		run := must(w.Import(ctx, w.owner, w.authority.ID, caimport.Order{}))(t)
		portions := 0
		w.book.OnPortion(func() {
			if portions++; portions == 3 {
				must(w.Cancel(ctx, w.owner, run.ID))(t)
			}
		})
		w.work()
		w.book.OnPortion(nil)
		run = must(w.Run(ctx, w.owner, run.ID))(t)
		if run.State != ra.ImportCanceled || run.Read != 300 || w.count() != 300 {
			t.Errorf("%+v; %d", run, w.count())
		}
		i := must(w.Get(ctx, w.owner, w.authority.ID))(t)
		if i.Position != 300 || !i.Since.IsZero() || i.Imported != 300 {
			t.Errorf("%+v", i)
		}
		began := run.StartedAt
		w.clock.Advance(time.Minute)
		if run := w.imported(caimport.Order{}); run.Read != 20 || run.Added != 20 || w.book.Asked()[1].After != 300 {
			t.Errorf("%+v, asked for %+v", run, w.book.Asked())
		}
		if i := must(w.Get(ctx, w.owner, w.authority.ID))(t); !i.Since.Equal(began) || i.Position != 0 {
			t.Errorf("what changed since the first began: %+v", i)
		}
		if len(w.told(audit.ImportCancelled)) != 2 {
			t.Errorf("%q", w.told(audit.ImportCancelled))
		}
	})
}

// TestSilence: a run whose authority says nothing ends soon after it was cancelled.
func TestSilence(t *testing.T) {
	w := newWorld(t, "sqlite:"+t.TempDir()+"/db", false)
	w.book.Enter(ca.Listed{DER: w.cert("c", nil)})
	w.setUp(nil)
	run := must(w.Import(t.Context(), w.owner, w.authority.ID, caimport.Order{}))(t)
	w.book.OnPortion(func() {
		must(w.Cancel(t.Context(), w.owner, run.ID))(t)
		<-w.book.Ended()
	})
	w.work()
	if run = must(w.Run(t.Context(), w.owner, run.ID))(t); run.State != ra.ImportCanceled || w.count() != 0 {
		t.Errorf("%+v", run)
	}
}

// TestFails: a run that the authority cuts off keeps what it has; the schedule goes
// on after some minutes, then later and later; people hear of it once, and again
// when it lasts.
func TestFails(t *testing.T) {
	each(t, func(w *world) {
		t, ctx := w.t, w.t.Context()
		w.setUp(func(in *caimport.Input) { in.Every = ptr(time.Hour) })
		w.imported(caimport.Order{})
		for n := range 320 {
			w.book.Enter(ca.Listed{DER: w.cert(fmt.Sprint("c", n), nil)})
		}
		w.clock.Advance(time.Hour)
		away := ra.Errorf(ra.Unreachable, "The authority does not answer.").WithRemedy("Look at it.")
		latest := func() *ra.CAImportRun {
			t.Helper()
			return must2(w.Runs(ctx, w.owner, w.authority.ID, store.Page{}))(t)[0]
		}
		plan := func() {
			t.Helper()
			if err := w.Plan(ctx, caimport.PlanJob{}); err != nil {
				t.Fatal(err)
			}
			w.work()
		}
		for try, wait := range []time.Duration{5 * time.Minute, 10 * time.Minute, 20 * time.Minute} {
			w.book.Cut(100*(try+1), away)
			plan()
			run := latest()
			i := must(w.Get(ctx, w.owner, w.authority.ID))(t)
			if run.State != ra.ImportFailed || run.Message != away.Message || run.Remedy != away.Remedy || run.Added != 100 || run.Known != 100*try || i.Imported != 100*(try+1) ||
				!i.At.Equal(w.clock.Now().Add(wait)) || i.Attempts != try+1 || i.LastError != "The authority does not answer. Look at it." {
				t.Errorf("try %d: %+v, %+v", try, run, i)
			}
			plan()
			if n := len(must2(w.Runs(ctx, w.owner, w.authority.ID, store.Page{}))(t)); n != try+2 {
				t.Errorf("%d runs before it was due", n)
			}
			w.clock.Advance(wait)
		}
		if len(w.told(audit.ImportFailed)) != 1 {
			t.Errorf("told %d times", len(w.told(audit.ImportFailed)))
		}
		w.clock.Advance(day)
		w.book.Cut(0, away)
		plan()
		plan()
		if len(w.told(audit.ImportOverdue)) != 1 {
			t.Errorf("told of the delay: %q", w.told(audit.ImportOverdue))
		}
		var late []ra.ObligationRow
		w.read(func(tx *store.Tx) (err error) {
			late, _, err = tx.FindObligations(store.ObligationFilter{Action: ra.ActionImport, LateOnly: true})
			return err
		})
		if len(late) != 1 || late[0].Kind != "ca_import" || late[0].ID != string(w.authority.ID) || late[0].Title != "Corp CA" || late[0].GroupID != w.acme.ID || late[0].Authority != w.authority.ID {
			t.Errorf("%+v", late)
		}
		w.clock.Advance(time.Hour)
		plan()
		i := must(w.Get(ctx, w.owner, w.authority.ID))(t)
		if run := latest(); run.State != ra.ImportDone || run.Read != 320 || run.Added != 20 || i.LastError != "" || i.Attempts != 0 || !i.Escalated.IsZero() || i.Imported != 320 || w.count() != 320 {
			t.Errorf("%+v, %+v", run, i)
		}

		// One that is switched off is left alone, a job that was lost is put again, and
		// old runs are forgotten where no certificate came from them.
		must(w.Authorities.Update(ctx, w.owner, w.authority.ID, disabled(true)))(t)
		w.clock.Advance(3 * time.Hour)
		runs := len(must2(w.Runs(ctx, w.owner, w.authority.ID, store.Page{}))(t))
		plan()
		if n := len(must2(w.Runs(ctx, w.owner, w.authority.ID, store.Page{}))(t)); n != runs {
			t.Error("an authority that is switched off was asked")
		}
		_, err := w.Import(ctx, w.owner, w.authority.ID, caimport.Order{})
		w.kind("switched off", err, ra.Conflict)
		w.clock.Advance(31 * day)
		if err := w.Tidy(ctx, caimport.TidyJob{}); err != nil {
			t.Fatal(err)
		}
		if n := len(must2(w.Runs(ctx, w.owner, w.authority.ID, store.Page{}))(t)); n != 4 {
			t.Errorf("%d runs are remembered", n)
		}
	})
}
