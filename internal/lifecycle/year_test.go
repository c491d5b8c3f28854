package lifecycle_test

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"chancery/internal/audit"
	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/ca/scripted"
	"chancery/internal/enroll"
	"chancery/internal/lifecycle"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/testpeer"
)

// far is an authority that can be cut off.
type far struct {
	ca.Settings
	cut *atomic.Bool
}

func (f *far) Connect(ctx context.Context, env ca.Env) (ca.Connector, error) {
	c, err := f.Settings.Connect(ctx, env)
	if err != nil {
		return nil, err
	}
	return &farConnector{c.(*scripted.Connector), f.cut}, nil
}

type farConnector struct {
	*scripted.Connector
	cut *atomic.Bool
}

func (c *farConnector) reach() error {
	if c.cut.Load() {
		return ra.Errorf(ra.Unreachable, "There is no way to the authority.").WithRemedy("Mend the line.")
	}
	return nil
}

func (c *farConnector) Issue(ctx context.Context, r ca.Request) (ca.Reply, error) {
	if err := c.reach(); err != nil {
		return ca.Reply{}, err
	}
	return c.Connector.Issue(ctx, r)
}

func (c *farConnector) Find(ctx context.Context, r ca.Request) (ca.Reply, bool, error) {
	if err := c.reach(); err != nil {
		return ca.Reply{}, false, err
	}
	return c.Connector.Find(ctx, r)
}

// habit is what a device does about its certificate.
type habit int

const (
	served    habit = iota // the key is made here, the server renews
	good                   // renews a day after it may
	traveller              // likewise, but is away for five weeks first
	mute                   // never renews
	unmanaged              // nobody is to renew
)

// year is a simulated year.
type year struct {
	*world
	step   time.Duration
	cut    *atomic.Bool
	habits map[ra.CertificateID]habit     // of the certificates in use
	renews map[ra.CertificateID]time.Time // when a device begins to
	kills  int
	down   int  // outages
	full   bool // with so many certificates that every outage shows
}

var errKilled = errors.New("killed")

// TestYear lives through a year: storms, holidays, devices that never renew,
// outages of three days, an authority that takes two requests a second, and
// nodes that are killed at work. Nobody's certificate ends without people
// having heard of it two weeks before, nothing is issued twice, nothing lies
// about without a next action, and nobody is told of what goes well.
func TestYear(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			w := newWorldAt(t, "sqlite:"+filepath.Join(dir, "chancery.db"), &clock{bubble: true})
			live(w, 12*time.Hour, 1, authority.Input{RatePerSecond: ptr(2.0)})
		})
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		live(newWorld(t, testpeer.Postgres(t)), 24*time.Hour, 20, authority.Input{MaxInFlight: ptr(2)})
	})
}

func live(w *world, step time.Duration, part int, slow authority.Input) {
	y := &year{world: w, step: step, full: part == 1, cut: &atomic.Bool{}, habits: map[ra.CertificateID]habit{}, renews: map[ra.CertificateID]time.Time{}}
	kind := w.script.Kind()
	inner := kind.New
	kind.ID, kind.New = "far", func() ca.Settings { return &far{inner(), y.cut} }
	w.kinds = append(w.kinds, kind)
	w.authorities.Kinds = w.kinds
	distant := w.authority("far", "Distant CA", scripted.SettingsJSON)
	lazy := w.authority("scripted", "Slow CA", scripted.SettingsJSON)
	must(w.authorities.Update(w.t.Context(), w.owner, lazy, slow))(w.t)

	for _, k := range []struct {
		authority ra.AuthorityID
		place     ra.KeyPlace
		habit     habit
		days      int
		before    int
		n         int
	}{
		{distant, ra.KeyHere, served, 180, 30, 200}, {distant, ra.KeyHere, served, 365, 10, 60}, {lazy, ra.KeyHere, served, 90, 30, 60}, {lazy, ra.KeyHere, served, 20, 7, 12},
		{distant, ra.KeyOnDevice, good, 180, 30, 80}, {lazy, ra.KeyOnDevice, good, 90, 25, 20}, {distant, ra.KeyOnDevice, traveller, 180, 30, 40},
		{distant, ra.KeyOnDevice, mute, 180, 30, 40}, {lazy, ra.KeyOnDevice, mute, 60, 10, 20}, {lazy, ra.KeyOnDevice, mute, 20, 7, 10}, {distant, ra.KeyHere, unmanaged, 120, 30, 40},
	} {
		spec := onDevice()
		spec.KeyPlace, spec.Validity, spec.RenewBefore, spec.AutoRenew = k.place, ra.Days(k.days), ra.Days(k.before), k.habit != unmanaged
		y.begin(w.template(k.authority, spec), k.habit, max(k.n/part, 1))
	}
	for day := range 365 {
		switch day {
		case 90, 149, 299: // the line breaks for three days, in the middle of the storms, too
			y.cut.Store(true)
			y.down++
		case 93, 152, 302:
			y.cut.Store(false)
		}
		if err := y.PlanAll(context.Background(), lifecycle.ForecastJob{}); err != nil {
			w.t.Fatalf("forecast: %v", err)
		}
		for range 24 * time.Hour / y.step {
			w.clock.Advance(y.step)
			y.visit(distant)
			y.devices()
			y.serve(day)
		}
	}
	y.judge()
}

// visit is what goes on at an authority besides, so that no outage passes
// without anybody having needed it.
func (y *year) visit(id ra.AuthorityID) {
	y.t.Helper()
	o, err := y.authorities.Open(context.Background(), id)
	if err != nil {
		y.t.Fatal(err)
	}
	err = o.Do(context.Background(), func(c ca.Connector) error { return c.(*farConnector).reach() })
	if err != nil && !y.cut.Load() && ra.KindOf(err) != ra.Unreachable {
		y.t.Fatalf("an authority that is there: %v", err)
	}
}

// begin gives n certificates, half of them issued on one day and the others
// over the time before.
func (y *year) begin(t *ra.Template, h habit, n int) {
	y.t.Helper()
	first := y.issue(t)
	y.habits[first.ID] = h
	for _, c := range y.many(first, n-1, func(i int, c *ra.Certificate) {
		if i%2 == 1 {
			age := c.Lifetime() / 2 * time.Duration(i) / time.Duration(n)
			c.NotBefore, c.NotAfter = c.NotBefore.Add(-age), c.NotAfter.Add(-age)
		}
		c.Obligation = enroll.Duty(c, &t.Spec)
	}) {
		y.habits[c.ID] = h
	}
}

// devices lets every device do what it does about its certificate.
func (y *year) devices() {
	for id, h := range y.habits {
		if h != good && h != traveller || y.clock.Now().Before(y.renews[id]) {
			continue
		}
		c := y.certificate(id)
		begins := c.NotAfter.Add(-29 * day)
		if h == traveller {
			begins = begins.Add(22 * day) // the rest of the five weeks was before
		}
		if y.renews[id] = begins; y.clock.Now().Before(begins) {
			continue
		}
		if c.State == ra.Superseded { // what it asked for before was answered later
			delete(y.habits, id)
			y.habits[c.RenewedBy] = h
			continue
		}
		ask := enroll.Ask{Template: c.TemplateID, Device: c.DeviceID, Renews: c.ID, CSR: y.csr(), Key: "device/" + string(c.ID), Door: "scep", Wait: true}
		r, err := y.enroll.Submit(y.t.Context(), y.owner, ask)
		if err != nil {
			y.t.Fatalf("a device renews: %v", err)
		}
		if r.State == ra.Issued {
			delete(y.habits, id)
			y.habits[r.CertificateID] = h
		}
	}
}

// serve does the server's work until nothing is left to do now. Now and then a
// node is killed in the middle of it and another takes over.
func (y *year) serve(day int) {
	y.t.Helper()
	ctx := context.Background()
	kill := y.kills < day/25
	for range 100 {
		if err := errors.Join(y.Sweep(ctx, lifecycle.SweepJob{}), y.enroll.Plan(ctx, enroll.PlanJob{})); err != nil {
			y.t.Fatalf("sweep and plan: %v", err)
		}
		jobs := y.takeJobs()
		if len(jobs) == 0 {
			return
		}
		for _, j := range jobs {
			if kill && j.kind == "lifecycle.act" {
				kill = false
				y.kill()
			}
			y.do(ctx, j)
		}
	}
	y.t.Fatal("there is no end to what is handed out at one instant")
}

// kill has the node killed at the next step of a request.
func (y *year) kill() {
	label := enroll.Steps[1+y.kills%4]
	y.kills++
	y.enroll.Step = func(step string) {
		if step == label {
			panic(errKilled)
		}
	}
}

type queued struct{ kind, args string }

// takeJobs empties the queue, whatever time its jobs are meant for.
func (y *year) takeJobs() (list []queued) {
	y.t.Helper()
	rows, err := y.db.Pool().Query("DELETE FROM river_job WHERE kind IN ('enroll.issue', 'lifecycle.act') RETURNING kind, args")
	if err != nil {
		y.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var q queued
		if err := rows.Scan(&q.kind, &q.args); err != nil {
			y.t.Fatal(err)
		}
		list = append(list, q)
	}
	if err := rows.Err(); err != nil {
		y.t.Fatal(err)
	}
	return list
}

// do runs a job as a worker would. When the node is killed over it, another
// one starts on the same database.
func (y *year) do(ctx context.Context, q queued) {
	defer func() {
		if v := recover(); v != nil {
			if v != errKilled {
				panic(v)
			}
			y.db.Close()
			y.node = y.start()
		}
	}()
	var err error
	if q.kind == "enroll.issue" {
		var j enroll.IssueJob
		err = errors.Join(json.Unmarshal([]byte(q.args), &j), y.enroll.Work(ctx, j))
	} else {
		var j lifecycle.ActJob
		err = errors.Join(json.Unmarshal([]byte(q.args), &j), y.Act(ctx, j))
	}
	if err != nil {
		y.t.Fatalf("%s %s: %v", q.kind, q.args, err)
	}
}

// judge looks back on the year.
func (y *year) judge() {
	y.t.Helper()
	told := map[string]time.Time{}
	y.each(audit.CertificateOverdue, func(e *ra.AuditEntry) {
		if _, twice := told[e.Object]; twice {
			y.t.Errorf("people were told twice of %s", e.Object)
		}
		told[e.Object] = e.At
	})
	all, successors, ended := y.all(), map[ra.CertificateID]int{}, map[habit]int{}
	habits := map[ra.CertificateID]habit{}
	for id, h := range y.habits {
		for ; id != ""; id = all[id].Renews {
			habits[id] = h
		}
	}
	for id, c := range all {
		if c.Renews != "" {
			successors[c.Renews]++
		}
		h, managed := habits[id]
		at, alarmed := told[string(id)]
		inUse := c.State == ra.Valid || c.State == ra.Superseded
		switch {
		case inUse && (c.Action == ra.ActionNone || c.At.IsZero() || c.Deadline.IsZero()):
			y.t.Errorf("%s is %s without a next action: %+v", id, c.State, c.Obligation)
		case c.State == ra.Valid && !c.NotAfter.Add(y.step).After(y.clock.Now()):
			y.t.Errorf("%s ended on %s and is %s", id, c.NotAfter, c.State)
		case c.State == ra.Expired && c.RenewedBy == "":
			ended[h]++
			notice := 14 * day
			if c.Lifetime() < 45*day {
				notice = c.Lifetime()/3 - y.step
			}
			if !alarmed || c.NotAfter.Sub(at) < notice {
				y.t.Errorf("%s of a life of %s ended on %s, people heard of it on %s", id, c.Lifetime(), c.NotAfter, at)
			}
			if h == served || h == good || h == traveller {
				y.t.Errorf("%s (habit %d) ended without a successor: %s", id, h, c.LastError)
			}
		case alarmed && managed && (h == served || h == good):
			y.t.Errorf("people were told of %s (habit %d), which is in order: %s", id, h, c.LastError)
		}
	}
	for id, n := range successors {
		if n > 1 {
			y.t.Errorf("%s was renewed %d times", id, n)
		}
	}
	if twice := y.script.Doubles(); len(twice) > 0 {
		y.t.Errorf("issued twice: %v", twice)
	}
	if len(ended) != 2 || ended[mute] == 0 || ended[unmanaged] == 0 {
		y.t.Errorf("ended without a successor, by habit: %v", ended)
	}
	downs, ups := 0, 0
	y.each(audit.AuthorityDown, func(*ra.AuditEntry) { downs++ })
	y.each(audit.AuthorityUp, func(*ra.AuditEntry) { ups++ })
	if downs != ups || downs == 0 || downs != y.down && y.full {
		y.t.Errorf("%d outages, told of %d and of the end of %d", y.down, downs, ups)
	}
	y.read(func(tx *store.Tx) error {
		open, _, err := tx.FindRequests(store.RequestFilter{States: []ra.RequestState{ra.Requested, ra.Approved, ra.Submitted, ra.PendingAtCA}, Page: store.Page{Limit: 1000}})
		for _, r := range open {
			if y.clock.Now().Sub(r.CreatedAt) > day {
				y.t.Errorf("request %s of %s is %s still: %s", r.ID, r.CreatedAt, r.State, r.LastError)
			}
		}
		failed, _, err2 := tx.FindRequests(store.RequestFilter{States: []ra.RequestState{ra.Failed, ra.Cancelled, ra.DeniedState}, Page: store.Page{Limit: 10}})
		if len(failed) > 0 {
			y.t.Errorf("requests were given up, the first: %+v", failed[0])
		}
		return errors.Join(err, err2)
	})
	y.t.Logf("%d certificates, %d issued, %d alarms, %d killed nodes, ended %v", len(all), y.script.Total(), len(told), y.kills, ended)
}

// all gives every certificate.
func (y *year) all() map[ra.CertificateID]*ra.Certificate {
	y.t.Helper()
	out := map[ra.CertificateID]*ra.Certificate{}
	y.read(func(tx *store.Tx) error {
		for page := (store.Page{Limit: 200}); ; {
			list, next, err := tx.FindCertificates(store.CertificateFilter{Page: page})
			for _, c := range list {
				out[c.ID] = c
			}
			if err != nil || next == "" {
				return err
			}
			page.After = next
		}
	})
	return out
}

// each goes through the audit entries of a code.
func (y *year) each(code string, f func(*ra.AuditEntry)) {
	y.t.Helper()
	y.read(func(tx *store.Tx) error {
		for page := (store.Page{Limit: 200}); ; {
			list, next, err := tx.Audit(store.AuditFilter{Code: code, Page: page})
			for _, e := range slices.Backward(list) {
				f(e)
			}
			if err != nil || next == "" {
				return err
			}
			page.After = next
		}
	})
}
