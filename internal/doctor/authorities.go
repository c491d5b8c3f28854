package doctor

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"chancery/internal/access"
	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// How the tests of authorities are bounded: a few at once, and each within a
// time that leaves room for the others.
const (
	testsAtOnce = 4
	testWithin  = time.Minute
)

// authorities looks at everything the actor may see of authorities: how they
// are doing, and what of theirs ends.
func (x *examination) authorities() {
	list, err := every(func(p store.Page) ([]*ra.Authority, string, error) {
		return x.Authorities.Find(x.ctx, x.actor, store.AuthorityFilter{Page: p})
	})
	if err != nil {
		x.broken("authorities", "", err)
		return
	}
	x.revocationLists(list)
	x.signingCertificates(list)
	x.ownCertificates(list)
	x.capacity(list)
	if len(list) == 0 {
		x.say("authorities", ca.StepWarning, "There is no authority.", "Define one: chancery authority add embedded --name NAME --group GROUP.")
	}
	found := make([]Finding, len(list))
	free := make(chan struct{}, testsAtOnce)
	var tests sync.WaitGroup
	for i, a := range list {
		free <- struct{}{}
		tests.Go(func() {
			defer func() { <-free }()
			found[i] = x.authority(a)
		})
	}
	tests.Wait()
	x.found = append(x.found, found...)
}

// authority is how one authority is doing. It is called by several goroutines
// and adds nothing itself.
func (x *examination) authority(a *ra.Authority) Finding {
	f := Finding{Name: "authority " + a.Name, Object: string(a.ID)}
	if a.Disabled {
		f.State, f.Detail = ca.StepSkipped, "It is switched off."
		return f
	}
	if !x.thorough {
		return x.known(f, a.ID)
	}
	if f = x.test(f, a.ID, testWithin); f.State == ca.StepOK {
		if known := x.known(f, a.ID); known.State != ca.StepOK {
			return known
		}
	}
	return f
}

// known tells what shows without asking the authority: whether its settings
// open, whether anything of it is late, how the last attempts went.
func (x *examination) known(f Finding, id ra.AuthorityID) Finding {
	if _, err := x.Authorities.Open(x.ctx, id); err != nil {
		return x.failure(f.Name, f.Object, err)
	}
	own, err := x.owed(id, ra.ActionIssue, ra.ActionFetch, ra.ActionRenew, ra.ActionRevoke, ra.ActionRetire, ra.ActionImport, ra.ActionEvaluate)
	if err != nil {
		return x.failure(f.Name, f.Object, err)
	}
	holders, err := x.owed(id, ra.ActionAwait, ra.ActionExpire)
	if err != nil {
		return x.failure(f.Name, f.Object, err)
	}
	mending, err := x.owed(id, ra.ActionMend)
	if err != nil {
		return x.failure(f.Name, f.Object, err)
	}
	differing, err := x.differing(id)
	if err != nil {
		return x.failure(f.Name, f.Object, err)
	}
	f.State, f.Detail = ca.StepOK, "Nothing is late."
	if own.late > 0 {
		f.State, f.Detail = ca.StepWarning, number(own.late, own.more, "thing is late.", "things are late.")
	}
	if own.lastError != "" {
		f.State = ca.StepWarning
		f.Detail += " The last attempt failed: " + own.lastError
	}
	if f.State != ca.StepOK {
		f.Remedy = "Test the authority: each step says what to do when it fails."
	}
	dangers := mending.all
	if holders.late > 0 {
		f.State = ca.StepWarning
		if own.late == 0 {
			f.Detail = strings.TrimPrefix(f.Detail, "Nothing is late.")
		}
		f.Detail = strings.TrimSpace(f.Detail + " " + number(holders.late, holders.more, "certificate ends soon, and nothing has replaced it.", "certificates end soon, and nothing has replaced them."))
		f.Remedy = strings.TrimSpace(f.Remedy + " Look at chancery obligation list --late --authority " + string(id) + ": each leads to its holder, who has to renew it.")
	}
	if dangers > 0 {
		f.State = ca.StepWarning
		f.Detail += " " + number(dangers, mending.more, "danger is open.", "dangers are open.")
		f.Remedy = strings.TrimSpace(f.Remedy + " The guard says how to mend what is dangerous: chancery authority guard " + string(id) + ".")
	}
	if differing > 0 {
		f.State = ca.StepWarning
		f.Detail += " " + number(differing, "", "difference between its records and ours is open.", "differences between its records and ours are open.")
		f.Remedy = strings.TrimSpace(f.Remedy + " Look at each difference, and settle it with a comment: each says what it means and what to do.")
	}
	return f
}

// owing is what waits of some actions.
type owing struct {
	all, late int
	more      string // not empty: there are more than these
	lastError string // of an attempt
}

// owed looks at what waits of an authority for some next actions, the first hundred
// of each.
func (x *examination) owed(id ra.AuthorityID, actions ...ra.Action) (o owing, err error) {
	for _, action := range actions {
		f := store.ObligationFilter{Authority: id, Action: action, Page: store.Page{Limit: 100}}
		waiting, next, err := x.Lifecycle.FindObligations(x.ctx, x.actor, f)
		if err != nil {
			return o, err
		}
		f.LateOnly = true
		late, further, err := x.Lifecycle.FindObligations(x.ctx, x.actor, f)
		if err != nil {
			return o, err
		}
		o.all, o.late = o.all+len(waiting), o.late+len(late)
		if o.more == "" {
			o.more = further
		}
		if action == ra.ActionMend && o.more == "" {
			o.more = next
		}
		for _, w := range append(late, waiting...) {
			if o.lastError == "" && w.Kind != "danger" {
				o.lastError = w.LastError
			}
		}
	}
	return o, nil
}

// differing counts the open differences between an authority's records and ours,
// among what the actor may see.
func (x *examination) differing(id ra.AuthorityID) (n int, err error) {
	open := true
	err = x.DB.Read(x.ctx, func(tx *store.Tx) error {
		groups, err := access.Scope(tx, x.actor, access.See)
		if err != nil {
			return err
		}
		n, err = tx.CountDifferences(store.DifferenceFilter{Groups: groups, Authority: id, Open: &open})
		return err
	})
	return n, err
}

// test gives the first failed step of an authority's test, or the first
// warning when none failed. It ends within a time.
func (x *examination) test(f Finding, id ra.AuthorityID, within time.Duration) Finding {
	ctx, cancel := context.WithTimeout(x.ctx, within)
	defer cancel()
	f.State, f.Detail = ca.StepOK, "Every step of its test passed."
	err := x.Authorities.Test(ctx, x.actor, id, func(step ca.Step) {
		worse := step.State == ca.StepFailed && f.State != ca.StepFailed || step.State == ca.StepWarning && f.State == ca.StepOK
		if worse {
			f.State, f.Detail, f.Remedy = step.State, step.Name+": "+step.Detail, step.Remedy
		}
	})
	switch {
	case err == nil:
		return f
	case ctx.Err() != nil: // a step that failed for it says more
		if f.State != ca.StepFailed {
			f.State, f.Detail, f.Remedy = ca.StepFailed, fmt.Sprintf("Its test did not end within %s.", within), "Look at the way to it, and at the load there."
		}
		return f
	}
	return x.failure(f.Name, f.Object, err)
}

// number counts in words: "1 thing", "7 things" or, where a page has a next
// one, "More than 100 things".
func number(n int, next, one, many string) string {
	switch {
	case next != "":
		return fmt.Sprintf("More than %d %s", n, many)
	case n == 1:
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
