package chaos

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"chancery/internal/api/client"
	"chancery/internal/ca/scripted"
	"chancery/internal/enroll"
)

// Options say how much chaos there is.
type Options struct {
	Engine   string // a name for the report
	Database string // address of an empty PostgreSQL database; empty: SQLite
	Seed     uint64
	Rounds   int      // how many kills
	Batch    int      // kills between two ledgers
	Labels   []string // to kill at; nil means all
}

const (
	devicesAtEach = 3
	// lifeLimit is how long a round waits for its label after the server
	// listens; then the parent kills it.
	lifeLimit = 3 * time.Second
	// restLimit is how long a world may take to come to rest.
	restLimit = 90 * time.Second
)

// Run kills a server as often as told and draws up the ledger after each batch.
// An error means that the harness could not go on; what is wrong with the server
// is in the report.
func Run(ctx context.Context, o Options) (*Report, error) {
	report := newReport(o.Engine, o.Seed)
	w, err := found(o.Database, 1, o.Seed, report)
	if w != nil {
		defer w.close()
	}
	if err == nil {
		err = w.open(ctx)
	}
	if err != nil {
		return report, err
	}
	w.outside.Act = w.misbehave
	if o.Labels == nil {
		o.Labels = Labels()
	}
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	defer w.parked.set(true, true)
	if err := w.populate(ctx, &all); err != nil {
		return report, err
	}
	for round := range o.Rounds {
		if err := w.round(ctx, &all, o, round); err != nil {
			return report, fmt.Errorf("round %d: %w\n%s", round, err, w.nodes[0].tail())
		}
		if (round+1)%o.Batch != 0 && round+1 != o.Rounds {
			continue
		}
		if err := w.settle(ctx); err != nil {
			return report, err
		}
		if len(report.Flaws()) > 0 {
			break // what follows would only blur the picture
		}
	}
	return report, nil
}

// populate lets devices and operators loose at each place.
func (w *World) populate(ctx context.Context, all *sync.WaitGroup) error {
	for i, at := range w.places {
		for n := range devicesAtEach + 1 {
			d, err := w.newDevice(ctx, fmt.Sprintf("device-%d-%d", i, n), at)
			if err != nil {
				return err
			}
			if n < devicesAtEach {
				all.Go(func() { d.live(ctx) })
			} else {
				all.Go(func() { d.operate(ctx) })
			}
		}
	}
	return nil
}

func (w *World) newDevice(ctx context.Context, name string, at *place) (*device, error) {
	id, err := w.makeDevice(ctx, name)
	web, move := w.roam()
	number := 0
	for _, c := range name {
		number = number*31 + int(c)
	}
	d := &device{w: w, id: id, at: at, dice: w.dice.fork(number), web: web, move: move}
	owners, next := make([]*client.Client, len(w.nodes)), 0
	for i, n := range w.nodes {
		owners[i] = n.owner()
	}
	// What is made at one node is used at another.
	d.api = func() *client.Client { return owners[(next+1)%len(owners)] }
	d.move = func() { next++; move() }
	return d, err
}

// giveUpOn notes that a request is to be cancelled.
func (w *World) giveUpOn(request string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.given[request] = true
}

// misbehave is what the authority outside does. From the third time on, and to
// who asks about something cancelled, it answers as asked, so that everything
// comes to an end.
func (w *World) misbehave(operation, id string, nth int) scripted.Act {
	w.mu.Lock()
	given := w.given[id]
	w.mu.Unlock()
	if nth > 2 || operation == "chain" || given {
		return scripted.Grant
	}
	n := w.dice.below(100)
	switch {
	case n < 8:
		return scripted.LoseAnswer
	case n < 12:
		return scripted.CutBefore
	case n < 15:
		return scripted.TimeOut
	case n < 20:
		return scripted.Late(2 * callLimit)
	case n < 28:
		return scripted.Slow(callLimit / 4)
	case n < 33:
		return scripted.Twice
	case n < 48 && operation == "issue":
		return scripted.Pend(1 + w.dice.below(2))
	}
	return scripted.Grant
}

// round starts a server that is killed at a label, at a random moment, or while
// it starts, and moves the clock.
func (w *World) round(ctx context.Context, all *sync.WaitGroup, o Options, round int) error {
	n := w.nodes[0]
	n.kill() // what rested between two batches
	label, nth := "", 0
	if w.dice.below(8) > 0 {
		label, nth = o.Labels[round%len(o.Labels)], 1+w.dice.below(3)
	}
	w.report.now(fmt.Sprintf("seed %d, round %d, %q, time %d", o.Seed, round, label, nth))
	if strings.HasPrefix(label, "lifecycle.own.") {
		nth = 1
		if err := w.welcome(ctx, all, round); err != nil {
			return err
		}
	}
	w.parked.set(false, false)
	ready, err := n.launch(label, nth)
	if err != nil {
		return err
	}
	how := w.wait(n, ready, label, round)
	n.kill()
	if n.cmd.ProcessState.ExitCode() >= 0 {
		return fmt.Errorf("the server ended by itself, with code %d", n.cmd.ProcessState.ExitCode())
	}
	w.report.killed(how)
	w.tick(round)
	return nil
}

// wait waits for the end of a life and tells what ended it.
func (w *World) wait(n *node, ready <-chan string, label string, round int) (how string) {
	early := w.dice.span(0, 400*time.Millisecond)
	if label == "" && w.dice.chance(40) {
		select {
		case <-n.done:
		case <-time.After(early):
		}
		return "start"
	}
	select {
	case _, ok := <-ready:
		if !ok {
			<-n.done
			return label // on its way up already
		}
	case <-time.After(startTimeout):
		return "start"
	}
	limit := lifeLimit
	if label == "" {
		limit = early
	}
	if round%7 == 3 {
		w.jump(3 * time.Minute) // under the feet of who holds a lease
	}
	select {
	case <-n.done:
		return label
	case <-time.After(limit):
		return "random"
	}
}

// tick moves the clock between two lives: mostly past every lease, now and then
// so far that everything made here is to be renewed, and sometimes not at all.
func (w *World) tick(round int) {
	switch {
	case round%16 == 9:
		w.jump(26 * time.Hour)
	case w.dice.chance(65):
		w.jump(w.dice.span(121*time.Second, 400*time.Second))
	}
}

// jump moves the clock. The server takes a call about a revocation that got no
// answer for ended after two minutes, and an authority that carries it out later
// than that has no order left to be told in; so time stands still meanwhile.
func (w *World) jump(d time.Duration) {
	for w.outside.Under("revoke") > 0 {
		time.Sleep(10 * time.Millisecond)
	}
	w.page.jump(d)
}

// welcome makes somebody who sets up an authority of its own in this round.
func (w *World) welcome(ctx context.Context, all *sync.WaitGroup, round int) error {
	web, move := w.roam()
	owner := w.nodes[0].owner()
	d := &device{w: w, id: fmt.Sprintf("newcomer %d", round), dice: w.dice.fork(round), web: web, move: move, api: func() *client.Client { return owner }}
	w.parked.set(false, false)
	if w.parked.enter() {
		all.Go(func() { d.newcomer(ctx, fmt.Sprint(round)) })
	}
	return nil
}

// settle lets everybody finish what they do, gives the servers time until
// nothing is due, and draws up the ledger.
func (w *World) settle(ctx context.Context) error {
	w.report.now(w.report.round + ", at rest")
	w.parked.set(true, false)
	end := time.Now().Add(restLimit)
	for time.Now().Before(end) {
		w.jump(130 * time.Second)
		patience := 1500 * time.Millisecond
		if len(w.nodes) == 1 {
			// Each start plans and sweeps at once.
			if err := w.restart(w.nodes[0]); err != nil {
				return err
			}
		} else {
			patience = enroll.PlanEvery
		}
		for until := time.Now().Add(patience); time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
			if w.parked.busy() > 0 {
				continue
			}
			waiting, err := w.waiting()
			if err != nil {
				return err
			}
			if len(waiting) == 0 {
				return w.rest(ctx)
			}
		}
	}
	w.unrest()
	return nil
}

// restart ends a server in good order, if it runs, and starts it again.
func (w *World) restart(n *node) error {
	if err := n.stop(); err != nil {
		return err
	}
	if err := n.start("", 0); err != nil {
		return fmt.Errorf("%w\n%s", err, n.tail())
	}
	return nil
}

func (w *World) rest(ctx context.Context) error {
	if err := w.audit(ctx); err != nil {
		return err
	}
	w.report.mu.Lock()
	defer w.report.mu.Unlock()
	w.report.batches++
	w.report.hits = w.page.hits()
	return nil
}

// unrest says who waits for what in a world that does not come to rest.
func (w *World) unrest() {
	waiting, err := w.waiting()
	if err != nil {
		w.flaw("stuck", "the database cannot be read: %v", err)
	}
	for _, what := range waiting {
		w.flaw("stuck", "%s", what)
	}
	if n := w.parked.busy(); n > 0 {
		w.report.mu.Lock()
		errors := fmt.Sprint(w.report.errors)
		w.report.mu.Unlock()
		w.flaw("stuck", "%d clients are not done; the last trouble of each: %s", n, errors)
	}
}
