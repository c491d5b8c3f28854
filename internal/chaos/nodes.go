package chaos

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"chancery/internal/api/resource"
)

// Database is a PostgreSQL server that can be taken down and brought back at
// the same address.
type Database interface {
	Database() string
	Stop()
	Kill()
	Start()
}

// RunNodes lets three servers share one database under a load of clients that
// go to the next node whenever one does not answer. Every node is restarted in
// good order and killed, and the database is stopped and killed under it. An
// error means that the harness could not go on; what is wrong with the servers
// is in the report.
func RunNodes(ctx context.Context, database Database, seed uint64) (*Report, error) {
	report := newReport("three nodes", seed)
	w, err := found(database.Database(), 3, seed, report)
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
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	defer w.parked.set(true, true)
	if err := w.session(ctx); err != nil {
		return report, err
	}
	if err := w.populate(ctx, &all); err != nil {
		return report, err
	}
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"rolling restart", func() error { return w.each(w.restart) }},
		{"kill each", func() error {
			return w.each(func(n *node) error {
				n.kill()
				w.jump(3 * time.Minute)
				return w.restart(n)
			})
		}},
		{"database restarted", func() error { return w.outage(database, database.Stop) }},
		{"database killed", func() error { return w.outage(database, database.Kill) }},
		{"settle", func() error { return w.settle(ctx) }},
		{"planners", w.planners},
	} {
		report.now(fmt.Sprintf("seed %d, %s", seed, step.name))
		if err := step.do(); err != nil {
			return report, fmt.Errorf("%s: %w", step.name, err)
		}
		report.killed(step.name)
	}
	return report, nil
}

// work waits until so many more enrolments were done, whoever did them.
func (w *World) work(n int) error {
	done := func() int {
		w.report.mu.Lock()
		defer w.report.mu.Unlock()
		return w.report.enrolled + w.report.renewed
	}
	from := done()
	for end := time.Now().Add(restLimit); done() < from+n; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			w.unrest()
			return fmt.Errorf("only %d of %d enrolments within %s\n%s", done()-from, n, restLimit, w.nodes[0].tail())
		}
	}
	return nil
}

// each does something to one node after the other, with enrolments in between.
func (w *World) each(do func(*node) error) error {
	for _, n := range w.nodes {
		if err := w.work(4); err != nil {
			return err
		}
		if err := do(n); err != nil {
			return err
		}
	}
	return w.work(4)
}

// outage takes the database away for a while. The servers stay up, and work
// again when it is back.
func (w *World) outage(database Database, end func()) error {
	if err := w.work(4); err != nil {
		return err
	}
	end()
	time.Sleep(w.dice.span(200*time.Millisecond, time.Second)) // the length of the outage
	database.Start()
	w.jump(3 * time.Minute)
	if err := w.work(4); err != nil {
		return err
	}
	for i, n := range w.nodes {
		if !n.running() {
			return fmt.Errorf("node %d ended with the database\n%s", i+1, n.tail())
		}
	}
	return nil
}

// session signs in at the second node with a link made at the first, is known
// at all of them, and cannot use the link again at the third.
func (w *World) session(ctx context.Context) error {
	api := w.nodes[0].owner()
	admins, err := api.Admins(ctx, resource.AdminQuery{})
	if err != nil {
		return err
	}
	link, err := api.CreateLink(ctx, admins.Items[0].ID, "")
	if err != nil {
		return err
	}
	_, token, _ := strings.Cut(link.Link, "?t=")
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	visit := func(n *node, jar http.CookieJar, method, path string, form url.Values) (int, string, error) {
		web := n.web()
		web.Jar = jar
		web.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		request, err := http.NewRequestWithContext(ctx, method, publicURL+path, strings.NewReader(form.Encode()))
		if err != nil {
			return 0, "", err
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Origin", publicURL)
		response, err := web.Do(request)
		if err != nil {
			return 0, "", err
		}
		defer response.Body.Close()
		b, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
		return response.StatusCode, string(b), err
	}
	enter := func(n *node, jar http.CookieJar) (int, error) {
		code, _, err := visit(n, jar, http.MethodPost, "/sign-in/link", url.Values{"t": {token}})
		return code, err
	}
	if code, err := enter(w.nodes[1], jar); err != nil || code != http.StatusSeeOther {
		return fmt.Errorf("signing in at the second node: HTTP %d, %v", code, err)
	}
	for i, n := range w.nodes {
		if code, _, err := visit(n, jar, http.MethodGet, "/devices", nil); err != nil || code != http.StatusOK {
			w.flaw("session", "signed in at node 2, the console of node %d answers HTTP %d, %v", i+1, code, err)
		}
	}
	stranger, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	if _, err := enter(w.nodes[2], stranger); err != nil {
		return err
	}
	if code, _, err := visit(w.nodes[2], stranger, http.MethodGet, "/devices", nil); err != nil || code == http.StatusOK {
		w.flaw("session", "a link that was used at node 2 signs in at node 3 again: HTTP %d, %v", code, err)
	}
	return nil
}

// run is one attempt at a periodic job.
type attempt struct {
	kind, by string
	from, to time.Time
}

// planners proves from the job table that of each periodic job at most one ran
// at any time, on whichever node, and that it ran after everything that was done
// to the nodes.
func (w *World) planners() error {
	began := time.Now()
	for end := began.Add(restLimit); ; time.Sleep(200 * time.Millisecond) {
		all, err := w.attempts()
		if err != nil {
			return err
		}
		if slices.ContainsFunc(all, func(a attempt) bool { return a.kind == "enroll.plan" && a.from.After(began) }) {
			return w.alone(all)
		}
		if time.Now().After(end) {
			w.flaw("stuck", "nobody plans any more; the last was %+v", all[len(all)-1])
			return nil
		}
	}
}

func (w *World) attempts() (all []attempt, err error) {
	rows, err := w.db.Pool().QueryContext(context.Background(), `SELECT kind, attempted_by[array_upper(attempted_by, 1)], attempted_at, finalized_at FROM river_job
		WHERE kind IN ('enroll.plan', 'lifecycle.sweep') AND state = 'completed' ORDER BY kind, attempted_at`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var a attempt
		if err := rows.Scan(&a.kind, &a.by, &a.from, &a.to); err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, rows.Err()
}

func (w *World) alone(all []attempt) error {
	workers := map[string]bool{}
	for i, a := range all {
		workers[a.by] = true
		if i > 0 && all[i-1].kind == a.kind && a.from.Before(all[i-1].to) {
			w.flaw("double", "%s ran at %s on %s and until %s on %s", a.kind, a.from, a.by, all[i-1].to, all[i-1].by)
		}
	}
	if len(all) < 4 || len(workers) < 2 {
		w.flaw("stuck", "%d plans and sweeps on %d nodes", len(all), len(workers))
	}
	return nil
}
