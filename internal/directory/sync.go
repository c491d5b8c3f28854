package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"chancery/internal/audit"
	"chancery/internal/dirpolicy"
	"chancery/internal/inventory"
	"chancery/internal/ldapdir"
	"chancery/internal/ra"
	"chancery/internal/store"
)

const (
	// batch is how many users share a transaction.
	batch = 100
	// askedAtOnce is how many users are asked for by GUID in one search.
	askedAtOnce = 50
	// mostProblems is how many problems of a run are kept with their reasons.
	mostProblems = 100
	// fewDisabled is how many users a run disables without asking, whatever
	// part of all that is.
	fewDisabled = 5
)

// The labels of the steps of a run, in order.
const (
	StepSyncRead  = "directory.sync.read"  // connected, nothing taken over
	StepSyncApply = "directory.sync.apply" // before each batch is stored
	StepSyncEnd   = "directory.sync.end"   // all is stored but that the run went through
)

// Steps lists the labels, for tests that stop the process at each.
var Steps = []string{StepSyncRead, StepSyncApply, StepSyncEnd, StepPublishTell, StepPublishNote}

func (s *Service) step(label string) {
	if s.Step != nil {
		s.Step(label)
	}
}

// held is why a run disables nobody.
var held = errors.New("too many users would be disabled")

// taking is one run at work.
type taking struct {
	*Service
	run   *ra.Sync
	d     *ra.Directory
	v     *dirpolicy.Settings
	state *ra.DirectoryState
	actor ra.Actor

	conn       *ldapdir.Conn
	base       string
	invocation string
	usn        int64

	present map[string]bool     // who is there, by GUID: whether disabled
	groups  map[string][]string // the names of kept groups, by GUID
	linked  map[string]store.DirectoryUser
	seen    map[string]bool // read in this run
}

// carryOut does what a run is for. It may begin again at any time: whatever was
// taken over already does not change again.
func (s *Service) carryOut(ctx context.Context, run *ra.Sync) error {
	w := &taking{Service: s, run: run, actor: ra.System("directory"), seen: map[string]bool{}}
	defer func() {
		if w.conn != nil {
			w.conn.Close()
		}
	}()
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if w.d, err = tx.Directory(run.Directory); err != nil {
			return err
		}
		if w.v, err = s.settings(tx, w.d); err != nil {
			return err
		}
		w.state, err = tx.DirectoryState(w.d.ID)
		return err
	})
	if err != nil {
		return err
	}
	if w.d.Disabled {
		return ra.Errorf(ra.Conflict, "The directory is switched off.").WithRemedy("Switch it on first.")
	}
	for _, step := range []struct {
		words string
		do    func(context.Context) error
	}{
		{"Connecting", w.connect},
		{"Listing who is there", w.list},
		{"Looking at who would be disabled", w.guard},
		{"Reading users", w.read},
		{"Disabling who is not there any more", w.retire},
		{"Finishing", w.finish},
	} {
		if err := w.phase(ctx, step.words); err != nil {
			return err
		}
		if err := step.do(ctx); err != nil {
			return err
		}
	}
	return nil
}

// phase notes how far the run has come.
func (w *taking) phase(ctx context.Context, words string) error {
	w.run.Phase = words
	return w.DB.Write(ctx, func(tx *store.Tx) error { return tx.UpdateSync(w.run) })
}

// connect logs in, and notes the number of the last change before anything is
// read: what changes while we read is read again by the next run.
func (w *taking) connect(ctx context.Context) error {
	o, err := w.options(w.v)
	if err != nil {
		return err
	}
	if w.conn, err = ldapdir.Open(ctx, o); err != nil {
		return err
	}
	root, err := w.conn.Root(ctx)
	if err != nil {
		return err
	}
	w.run.Server, w.usn = w.conn.Server(), root.USN
	if w.invocation, err = w.conn.Invocation(ctx, root); err != nil {
		return err
	}
	if w.base = w.v.Base; w.base == "" {
		w.base = root.Domain
	}
	if known := w.state.Invocation == w.invocation && w.state.Basis == w.v.Basis(w.base) && w.state.USN > 0; !known && !w.run.Full {
		w.run.Full = true
		if !w.state.SyncedAt.IsZero() {
			w.note("Everybody is read: the settings changed, or another domain controller answers.")
		}
	}
	w.step(StepSyncRead)
	return nil
}

func (w *taking) note(text string) {
	if !slices.Contains(w.run.Notes, text) {
		w.run.Notes = append(w.run.Notes, text)
	}
}

func (w *taking) filter(more string) string { return w.v.Within(more) }

// search goes through what a filter finds, page by page.
func (w *taking) search(ctx context.Context, filter string, attributes []string, page func([]*ldapdir.Entry) error) error {
	_, err := w.conn.Search(ctx, ldapdir.Query{Base: w.base, Scope: ldapdir.Subtree, Filter: filter, Attributes: attributes}, page)
	return err
}

// list learns who is there now, in which of the kept groups they are, and who
// was taken over before.
func (w *taking) list(ctx context.Context) error {
	w.present, w.groups, w.linked = map[string]bool{}, map[string][]string{}, map[string]store.DirectoryUser{}
	if err := w.search(ctx, w.filter(""), []string{"objectGUID", "userAccountControl"}, func(page []*ldapdir.Entry) error {
		for _, e := range page {
			guid, err := ldapdir.GUID(e.Bytes("objectGUID"))
			if err != nil {
				return unreadable(e, err)
			}
			w.present[guid] = disabledThere(e)
		}
		return nil
	}); err != nil {
		return err
	}
	w.run.Total = len(w.present)
	for _, dn := range w.v.Groups {
		if err := w.members(ctx, dn); err != nil {
			return err
		}
	}
	return w.DB.Read(ctx, func(tx *store.Tx) error {
		known, err := tx.DirectoryUsers(w.d.ID)
		for _, u := range known {
			w.linked[u.ObjectGUID] = u
		}
		return err
	})
}

// members learns who is in a group, directly or not.
func (w *taking) members(ctx context.Context, dn string) error {
	group, err := w.conn.Read(ctx, dn, "cn")
	if err != nil {
		return err
	}
	return w.search(ctx, w.filter(dirpolicy.InGroup(group.DN)), []string{"objectGUID"}, func(page []*ldapdir.Entry) error {
		for _, e := range page {
			if guid, err := ldapdir.GUID(e.Bytes("objectGUID")); err == nil {
				w.groups[guid] = append(w.groups[guid], group.Text("cn"))
			}
		}
		return nil
	})
}

// leaving lists who would be disabled: taken over, in use here, and disabled or
// gone there.
func (w *taking) leaving() (disabled, gone []store.DirectoryUser) {
	for guid, u := range w.linked {
		off, there := w.present[guid]
		switch {
		case !there && (!u.Disabled || u.Absence == ra.DisabledOff):
			gone = append(gone, u)
		case there && off && !u.Disabled:
			disabled = append(disabled, u)
		}
	}
	byID := func(a, b store.DirectoryUser) int { return strings.Compare(string(a.ID), string(b.ID)) }
	slices.SortFunc(gone, byID)
	slices.SortFunc(disabled, byID)
	return disabled, gone
}

// guard stops a run that would disable more users than the settings, or a
// person, allow.
func (w *taking) guard(context.Context) error {
	disabled, gone := w.leaving()
	active := 0
	for _, u := range w.linked {
		if !u.Disabled {
			active++
		}
	}
	losing := len(disabled)
	for _, u := range gone {
		if !u.Disabled {
			losing++
		}
	}
	if w.run.Disable = losing; losing <= fewDisabled || losing <= w.run.Allow || losing*100 <= active*w.v.MaxDisable {
		return nil
	}
	why := fmt.Sprintf("%d of %d users would be disabled, which is more than %d %%.", losing, active, w.v.MaxDisable)
	if w.run.Preview {
		w.note(why + " A run stops there until somebody confirms it.")
		return nil
	}
	return ra.Errorf(ra.Conflict, "%s Nothing was changed.", why).
		WithRemedy("Check base, group and filter, and what the account may read. If it is meant, confirm it: take over again and allow %d users to be disabled.", losing).WithCause(held)
}

// read takes over who is new, who changed since the last run, and whose groups
// did; all of them in a full run.
func (w *taking) read(ctx context.Context) error {
	w.run.Disable = 0 // from here on they are counted as it happens
	filter := w.filter("")
	if !w.run.Full {
		filter = w.filter(fmt.Sprintf("(uSNChanged>=%d)", w.state.USN+1))
	}
	if err := w.search(ctx, filter, wanted(w.v), func(page []*ldapdir.Entry) error { return w.apply(ctx, page) }); err != nil {
		return err
	}
	missing, err := w.unread(ctx)
	if err != nil {
		return err
	}
	for guids := range slices.Chunk(missing, askedAtOnce) {
		if err := w.search(ctx, w.filter(ldapdir.ByGUID(guids...)), wanted(w.v), func(page []*ldapdir.Entry) error { return w.apply(ctx, page) }); err != nil {
			return err
		}
	}
	return nil
}

// unread lists who has to be read although nothing about them changed: who came
// into view, or is back, or is in other groups than before. Groups are no part
// of a user's own entry, so that it does not show there.
func (w *taking) unread(ctx context.Context) (list []string, err error) {
	for guid, off := range w.present {
		u, known := w.linked[guid]
		if !w.seen[guid] && (!known || u.Absence == ra.Gone || off && !u.Disabled || !off && u.Absence == ra.DisabledOff) {
			list = append(list, guid)
			w.seen[guid] = true
		}
	}
	if len(w.v.Groups) > 0 {
		err = w.DB.Read(ctx, func(tx *store.Tx) error {
			for guid := range w.present {
				if w.seen[guid] {
					continue
				}
				u, err := tx.UserByObject(w.d.ID, guid)
				if err != nil && ra.KindOf(err) != ra.NotFound {
					return err
				}
				if err != nil || u.Attributes[dirpolicy.GroupsKey] != strings.Join(w.groups[guid], "; ") {
					list = append(list, guid)
				}
			}
			return nil
		})
	}
	slices.Sort(list)
	return list, err
}

// apply takes over one page of entries, or only counts what that would change.
func (w *taking) apply(ctx context.Context, page []*ldapdir.Entry) error {
	for entries := range slices.Chunk(page, batch) {
		var people []*person
		var problems []ra.SyncProblem
		for _, e := range entries {
			p, err := readPerson(w.v, e, w.groups)
			if err != nil {
				problems = append(problems, problem(e.DN, err))
				continue
			}
			people = append(people, p)
			w.seen[p.guid] = true
		}
		w.step(StepSyncApply)
		before := *w.run
		work := func(tx *store.Tx) error {
			*w.run = before // this function may run again
			w.run.Problems = slices.Clone(before.Problems)
			w.run.Read += len(entries)
			for _, p := range problems {
				w.skip(p)
			}
			for _, p := range people {
				if err := w.applyOne(tx, p); err != nil {
					return err
				}
			}
			if w.run.Preview {
				return nil
			}
			return tx.UpdateSync(w.run)
		}
		within := w.DB.Write
		if w.run.Preview {
			within = w.DB.Read
		}
		if err := within(ctx, work); err != nil {
			return err
		}
	}
	if w.run.Preview {
		return w.phase(ctx, w.run.Phase)
	}
	return nil
}

func (w *taking) applyOne(tx *store.Tx, p *person) error {
	out, save, err := w.plan(tx, w.actor, w.d, p)
	if err == nil && save != nil && !w.run.Preview {
		err = save()
	}
	switch ra.KindOf(err) {
	case "":
	case ra.Conflict, ra.Invalid:
		w.skip(problem(p.name, err))
		return nil
	default:
		return err
	}
	for _, p := range out.problems {
		w.report(p)
	}
	count := func(n *int, yes bool) {
		if yes {
			*n++
		}
	}
	count(&w.run.Added, out.added)
	count(&w.run.Changed, out.changed)
	count(&w.run.Disable, out.disabled)
	count(&w.run.Enabled, out.enabled)
	return nil
}

func problem(user string, err error) ra.SyncProblem {
	e := ra.AsError(err)
	return ra.SyncProblem{User: user, Message: e.Message, Remedy: e.Remedy}
}

// skip notes a user who could not be taken over.
func (w *taking) skip(p ra.SyncProblem) {
	w.run.Skipped++
	w.report(p)
}

func (w *taking) report(p ra.SyncProblem) {
	if len(w.run.Problems) < mostProblems {
		w.run.Problems = append(w.run.Problems, p)
	}
}

// retire disables who is not there any more. Nobody else is: whoever is disabled
// there was read.
func (w *taking) retire(ctx context.Context) error {
	_, gone := w.leaving()
	for users := range slices.Chunk(gone, batch) {
		if w.run.Preview {
			for _, u := range users {
				if !u.Disabled {
					w.run.Disable++
				}
			}
			continue
		}
		w.step(StepSyncApply)
		before := *w.run
		if err := w.DB.Write(ctx, func(tx *store.Tx) error {
			*w.run = before
			for _, g := range users {
				u, err := tx.User(g.ID)
				if err != nil && ra.KindOf(err) != ra.NotFound {
					return err
				}
				if err != nil || u.Directory != w.d.ID {
					continue
				}
				former := *u
				u.Disabled, u.Absence = true, ra.Gone
				if err := inventory.SaveUser(tx, w.actor, &former, u); err != nil {
					return err
				}
				if !former.Disabled {
					w.run.Disable++
				}
			}
			return tx.UpdateSync(w.run)
		}); err != nil {
			return err
		}
	}
	return nil
}

// finish notes that the run went through. When somebody could not be taken over,
// the next run reads what changed since the one before this once more.
func (w *taking) finish(ctx context.Context) error {
	w.step(StepSyncEnd)
	return w.DB.Write(ctx, func(tx *store.Tx) error {
		run := *w.run
		run.State, run.Phase, run.EndedAt = ra.SyncDone, "", tx.Now
		run.Message = summary(&run)
		if run.Preview {
			return tx.UpdateSync(&run)
		}
		state, err := tx.DirectoryState(w.d.ID)
		if err != nil {
			return err
		}
		if run.Skipped == 0 {
			state.Invocation, state.USN, state.Basis = w.invocation, w.usn, w.v.Basis(w.base)
		}
		state.SyncedAt, state.Users = tx.Now, run.Total
		if state.Action != ra.ActionNone {
			state.Obligation = ra.Obligation{Action: ra.ActionSync, At: tx.Now.Add(w.v.Interval), Deadline: tx.Now.Add(patience(w.v))}
		}
		if err := errors.Join(tx.UpdateDirectoryState(state), tx.UpdateSync(&run)); err != nil {
			return err
		}
		if run.Added+run.Changed+run.Disable+run.Enabled+run.Skipped == 0 && run.By.Kind == ra.ActorSystem {
			return nil // nothing happened, and nobody asked
		}
		return audit.Record(tx, audit.Entry{Code: audit.DirectorySynced, Actor: run.By, Group: w.d.GroupID, Object: string(w.d.ID), Related: string(run.ID), Message: "Users of " + w.d.Name + " taken over: " + run.Message,
			Details: map[string]any{"total": run.Total, "added": run.Added, "changed": run.Changed, "disabled": run.Disable, "enabled": run.Enabled, "skipped": run.Skipped}})
	})
}

// summary says in a line what a run did, or would do.
func summary(r *ra.Sync) string {
	parts := []string{fmt.Sprintf("%d users in the directory", r.Total)}
	for _, c := range []struct {
		n     int
		words string
	}{{r.Added, "new"}, {r.Changed, "changed"}, {r.Disable, "disabled"}, {r.Enabled, "enabled again"}, {r.Skipped, "skipped"}} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.words))
		}
	}
	if len(parts) == 1 {
		parts = append(parts, "nothing changed")
	}
	return strings.Join(parts, ", ") + "."
}

// retryAfter is the wait after the n-th failed run: 5 minutes doubling, at most
// the interval.
func retryAfter(n int, interval time.Duration) time.Duration {
	return min(5*time.Minute<<min(max(n-1, 0), 10), interval)
}
