package authority_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/ca/scripted"
	"chancery/internal/ra"
	"chancery/internal/seal"
	"chancery/internal/store"
)

// counter is a CA that counts: when calls begin, how many are open.
type counter struct {
	mu     sync.Mutex
	begun  []time.Time
	inside int
	most   int
}

func (c *counter) enter() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun = append(c.begun, time.Now())
	c.inside++
	c.most = max(c.most, c.inside)
}

func (c *counter) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inside--
}

// call is a call that takes a while.
func (c *counter) call(took time.Duration) func(ca.Connector) error {
	return func(ca.Connector) error {
		c.enter()
		defer c.leave()
		time.Sleep(took)
		return nil
	}
}

func (w *world) limited(rate float64, inFlight int) *ra.Authority {
	w.t.Helper()
	return must(w.Create(w.t.Context(), w.owner, "scripted", authority.Input{GroupID: &w.acme.ID, Name: ptr("Limited"), Settings: []byte(settings), RatePerSecond: &rate, MaxInFlight: &inFlight}))(w.t)
}

// node is another server on the world's database, whose clock is wrong.
func (w *world) node(address string, wrong time.Duration) *authority.Service {
	w.t.Helper()
	now := func() time.Time { return time.Now().Add(wrong) }
	db := must(store.Open(w.t.Context(), address, now))(w.t)
	w.t.Cleanup(func() { db.Close() })
	return &authority.Service{DB: db, Box: w.Box, Kinds: w.Kinds, Now: now, Log: w.Log, PublicURL: w.PublicURL}
}

func TestLimits(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		a := w.limited(0, 2)
		o := must(w.Open(ctx, a.ID))(w.t)
		var c counter
		var wg sync.WaitGroup
		for range 12 {
			wg.Go(func() {
				if err := o.Do(ctx, c.call(5*time.Millisecond)); err != nil {
					w.t.Errorf("%v", err)
				}
			})
		}
		wg.Wait()
		if c.most != 2 {
			w.t.Errorf("%d at once, the limit is 2", c.most)
		}
		own := errors.New("own")
		if err := o.Do(ctx, func(ca.Connector) error { return own }); err != own {
			w.t.Errorf("%v", err)
		}
		// The limits outlive a change of something else and a restart, and
		// follow their own.
		must(w.Update(ctx, w.owner, a.ID, authority.Input{Description: ptr("x"), RatePerSecond: ptr(0.001)}))(w.t)
		o = must(w.Open(ctx, a.ID))(w.t)
		if err := o.Do(ctx, func(ca.Connector) error { return nil }); err != nil {
			w.t.Errorf("the first call: %v", err)
		}
		asked := false
		began := time.Now()
		err := o.Do(ctx, func(ca.Connector) error { asked = true; return nil })
		if e := wantError(w.t, err, ra.Busy); asked || e.Retry <= 0 || time.Since(began) > 10*time.Second {
			w.t.Errorf("asked %v after %s, %+v", asked, time.Since(began), e)
		}
		must(w.Update(ctx, w.owner, a.ID, authority.Input{Description: ptr("y")}))(w.t)
		err = must(w.Open(ctx, a.ID))(w.t).Do(ctx, func(ca.Connector) error { return nil })
		wantError(w.t, err, ra.Busy)
		again := &authority.Service{DB: w.DB, Box: w.Box, Kinds: w.Kinds, Now: w.Now, Log: w.Log}
		err = must(again.Open(ctx, a.ID))(w.t).Do(ctx, func(ca.Connector) error { return nil })
		wantError(w.t, err, ra.Busy)
		// A limit that is raised does not wait for the one there was.
		must(w.Update(ctx, w.owner, a.ID, authority.Input{RatePerSecond: ptr(50.0)}))(w.t)
		passing, stop := make(chan struct{}), make(chan struct{})
		go func() { // time passes for the one node of SQLite
			defer close(passing)
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
					w.clock.Advance(10 * time.Millisecond)
				}
			}
		}()
		if err := must(w.Open(ctx, a.ID))(w.t).Do(ctx, func(ca.Connector) error { return nil }); err != nil {
			w.t.Errorf("after the limit was raised: %v", err)
		}
		close(stop)
		<-passing
		ended, cancel := context.WithCancel(ctx)
		cancel()
		wantError(w.t, must(w.Open(ctx, a.ID))(w.t).Do(ended, func(ca.Connector) error { return nil }), ra.Busy)
	})
}

// TestNoLimitAsksNobody: without limits of its own an authority is called
// without a question to the database.
func TestNoLimitAsksNobody(t *testing.T) {
	each(t, func(w *world) {
		o := must(w.Open(w.t.Context(), w.limited(0, 0).ID))(w.t)
		if err := w.DB.Close(); err != nil {
			w.t.Fatal(err)
		}
		for range 20 {
			if err := o.Do(w.t.Context(), func(ca.Connector) error { return nil }); err != nil {
				w.t.Fatal(err)
			}
		}
	})
}

// TestRateOverNodes: three nodes whose clocks differ by hours keep one rate,
// as the CA sees it.
func TestRateOverNodes(t *testing.T) {
	each(t, func(w *world) {
		if w.DB.Engine() != "postgres" {
			return
		}
		const rate, calls = 25.0, 90
		a := w.limited(rate, 0)
		var c counter
		var wg sync.WaitGroup
		for i := range 3 {
			n := w.node(w.address, time.Duration(i-1)*5*time.Hour)
			o := must(n.Open(w.t.Context(), a.ID))(w.t)
			for range calls / 3 {
				wg.Go(func() {
					for {
						err := o.Do(w.t.Context(), c.call(0))
						if err == nil {
							return
						}
						if ra.KindOf(err) != ra.Busy {
							w.t.Errorf("%v", err)
							return
						}
					}
				})
			}
		}
		wg.Wait()
		if len(c.begun) != calls {
			w.t.Fatalf("%d calls, want %d", len(c.begun), calls)
		}
		slices.SortFunc(c.begun, time.Time.Compare)
		// A call may be seen late on a busy machine, and the next one in time.
		const late = time.Second
		for i := range c.begun {
			for j := i + 1; j < len(c.begun); j++ {
				window := c.begun[j].Sub(c.begun[i])
				if most := (window+late).Seconds()*rate + 1; float64(j-i) > most {
					w.t.Fatalf("%d calls began within %s of the first, at %g a second that is %.0f at most", j-i, window, rate, most)
				}
			}
		}
		w.t.Logf("%d calls in %s", calls, c.begun[calls-1].Sub(c.begun[0]))
	})
}

// TestInFlightOverNodes: three nodes never have more calls open together than
// the limit allows, one of them killed while it holds places included. Those
// come back when their lease ends, and not before.
func TestInFlightOverNodes(t *testing.T) {
	each(t, func(w *world) {
		if w.DB.Engine() != "postgres" {
			return
		}
		a := w.limited(0, 3)
		nodes := []*authority.Service{w.node(w.address, 0), w.node(w.address, 3*time.Hour), w.node(w.address, -7*time.Hour)}
		killed := must(nodes[2].Open(w.t.Context(), a.ID))(w.t)
		const lasts = 1500 * time.Millisecond
		short, cancel := context.WithTimeout(w.t.Context(), lasts)
		defer cancel()
		var dying, entered sync.WaitGroup
		took := time.Now()
		die := make(chan struct{})
		for range 2 {
			entered.Add(1)
			dying.Go(func() {
				if err := killed.Do(short, func(ca.Connector) error { entered.Done(); <-die; return nil }); err != nil {
					w.t.Errorf("%v", err)
				}
			})
		}
		entered.Wait()
		nodes[2].DB.Close() // nothing it does reaches the database any more
		close(die)
		dying.Wait()

		var c counter
		var second time.Time // when two of the others' calls were open at once
		var wg sync.WaitGroup
		stop := make(chan struct{})
		var once sync.Once
		for _, n := range nodes[:2] {
			o := must(n.Open(w.t.Context(), a.ID))(w.t)
			for range 4 {
				wg.Go(func() {
					for {
						err := o.Do(w.t.Context(), func(ca.Connector) error {
							c.enter()
							defer c.leave()
							time.Sleep(10 * time.Millisecond)
							c.mu.Lock()
							defer c.mu.Unlock()
							if c.inside > 1 && second.IsZero() {
								second = time.Now()
							}
							if c.inside == 3 {
								once.Do(func() { close(stop) })
							}
							return nil
						})
						if err != nil && ra.KindOf(err) != ra.Busy {
							w.t.Errorf("%v", err)
						}
						select {
						case <-stop:
							return
						case <-w.t.Context().Done():
							return
						default:
						}
					}
				})
			}
		}
		wg.Wait()
		if c.most != 3 {
			w.t.Errorf("%d open at once, the limit is 3", c.most)
		}
		if held := second.Sub(took); held < lasts {
			w.t.Errorf("the places of the killed node were given to others after %s, its calls could last %s", held, lasts)
		}
	})
}

// TestUrgentFirst: at one call a second, those somebody waits for go before
// the background, which keeps every fourth.
func TestUrgentFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, in := range map[string]authority.Input{"by rate": {RatePerSecond: ptr(1.0)}, "by places": {MaxInFlight: ptr(1)}} {
			db := must(store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "chancery.db"), time.Now))(t)
			script := must(scripted.New(time.Now))(t)
			s := &authority.Service{DB: db, Box: must(seal.Create(filepath.Join(t.TempDir(), "master.key")))(t), Now: time.Now, Kinds: []ca.Kind{script.Kind()}, Log: slog.New(slog.DiscardHandler)}
			owner := actor("owner", ra.RoleOwner, nil)
			g := &ra.Group{ID: "og_1", Name: "Acme", Path: "/og_1/"}
			if err := db.Write(t.Context(), func(tx *store.Tx) error { return tx.CreateGroup(g) }); err != nil {
				t.Fatal(err)
			}
			in.GroupID, in.Name, in.Settings = &g.ID, ptr("CA"), []byte(settings)
			a := must(s.Create(t.Context(), owner, "scripted", in))(t)
			o := must(s.Open(t.Context(), a.ID))(t)
			order := ""
			call := func(ctx context.Context, mark string) {
				if err := o.Do(ctx, func(ca.Connector) error { order += mark; time.Sleep(100 * time.Millisecond); return nil }); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() { call(authority.InBackground(t.Context()), "c") })
			}
			synctest.Wait()
			for range 5 {
				wg.Go(func() { call(t.Context(), "u") })
			}
			wg.Wait()
			synctest.Wait()
			db.Close()
			if order != "cuuucuu" {
				t.Errorf("%s: %s", name, order)
			}
		}
	})
}

func TestBudget(t *testing.T) {
	each(t, func(w *world) {
		a := w.create("scripted", "CA", settings)
		for _, c := range []struct {
			rate     float64
			inFlight int
			calls    int
			gap      time.Duration
		}{{0, 0, 2000, 0}, {0, 2, 8, 0}, {2, 50, 10, 500 * time.Millisecond}, {0.1, 0, 1, 10 * time.Second}, {1000, 2, 8, time.Millisecond}} {
			must(w.Update(w.t.Context(), w.owner, a.ID, authority.Input{RatePerSecond: &c.rate, MaxInFlight: &c.inFlight}))(w.t)
			got := must(must(w.Open(w.t.Context(), a.ID))(w.t).Budget(w.t.Context(), 5*time.Second))(w.t)
			if got.Calls != c.calls || got.Gap != c.gap {
				w.t.Errorf("%+v: %+v", c, got)
			}
		}
	})
}
