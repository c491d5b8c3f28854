package enroll

import (
	"slices"
	"testing"
	"time"

	"chancery/internal/ra"
)

// TestMove: every move in the table is made, every other one is refused and
// changes nothing.
func TestMove(t *testing.T) {
	states := append([]ra.RequestState{""}, ra.RequestStates...)
	for _, from := range states {
		for _, to := range states {
			r := &ra.Request{State: from, Obligation: ra.Obligation{Action: ra.ActionIssue, At: time.Now(), LastError: "x", Attempts: 2}}
			before := r.Obligation
			err := move(r, to)
			if slices.Contains(moves[from], to) {
				if err != nil || r.State != to {
					t.Errorf("%s to %s: %v", from, to, err)
				}
				if Ended(to) != (r.Action == ra.ActionNone) {
					t.Errorf("%s to %s: next action %q", from, to, r.Action)
				}
				if r.LastError != "x" || r.Attempts != 2 {
					t.Errorf("%s to %s: the last error is lost", from, to)
				}
				continue
			}
			if e := ra.AsError(err); err == nil || e.Kind != ra.Conflict || e.Remedy == "" || r.State != from || r.Obligation != before {
				t.Errorf("%s to %s: error %v, state %s", from, to, err, r.State)
			}
		}
	}
	for _, s := range ra.RequestStates {
		if _, ok := moves[s]; !ok {
			t.Errorf("the table lacks %s", s)
		}
	}
}

// TestMovesReachAnEnd: from every state some end can be reached.
func TestMovesReachAnEnd(t *testing.T) {
	var ends func(s ra.RequestState, seen []ra.RequestState) bool
	ends = func(s ra.RequestState, seen []ra.RequestState) bool {
		if Ended(s) {
			return true
		}
		return slices.ContainsFunc(moves[s], func(to ra.RequestState) bool { return !slices.Contains(seen, to) && ends(to, append(seen, s)) })
	}
	for _, s := range ra.RequestStates {
		if !ends(s, nil) {
			t.Errorf("no end can be reached from %s", s)
		}
	}
}

func TestFair(t *testing.T) {
	requests := func(names string) (list []ra.RequestID) {
		for _, name := range names {
			list = append(list, ra.RequestID(name))
		}
		return list
	}
	for _, c := range []struct{ fresh, renewals, want string }{
		{"", "", ""}, {"abcd", "", "abcd"}, {"", "xyz", "xyz"}, {"ab", "xyz", "abxyz"}, {"abcdefgh", "xyz", "abcxdefyghz"}, {"abcdefghijk", "x", "abcxdefghijk"},
	} {
		got := ""
		for _, id := range fair(requests(c.fresh), requests(c.renewals)) {
			got += string(id)
		}
		if got != c.want {
			t.Errorf("%s and %s: %q, want %q", c.fresh, c.renewals, got, c.want)
		}
	}
}

func TestBackoff(t *testing.T) {
	last := time.Duration(0)
	for n := range 40 {
		d := backoff(n)
		if d < 10*time.Second || d > time.Hour || d < last {
			t.Errorf("after %d attempts: %s", n, d)
		}
		last = d
	}
	if last != time.Hour {
		t.Errorf("the longest wait is %s", last)
	}
}

func TestDuty(t *testing.T) {
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	c := &ra.Certificate{NotBefore: start, NotAfter: start.Add(90 * day), KeyPlace: ra.KeyHere}
	for name, k := range map[string]struct {
		place           ra.KeyPlace
		spec            ra.TemplateSpec
		action          ra.Action
		earliest, until time.Duration // before the end
		deadline        time.Duration
	}{
		"renewed here":     {ra.KeyHere, ra.TemplateSpec{AutoRenew: true, RenewBefore: 30}, ra.ActionRenew, 30 * day, 28*day + 12*time.Hour, 15 * day},
		"by the device":    {ra.KeyOnDevice, ra.TemplateSpec{AutoRenew: true, RenewBefore: 30}, ra.ActionAwait, 30 * day, 28*day + 12*time.Hour, 15 * day},
		"key at the CA":    {ra.KeyAtCA, ra.TemplateSpec{AutoRenew: true, RenewBefore: 30}, ra.ActionRenew, 30 * day, 28*day + 12*time.Hour, 15 * day},
		"too short a life": {ra.KeyHere, ra.TemplateSpec{AutoRenew: true, RenewBefore: 120}, ra.ActionRenew, 30 * day, 28*day + 12*time.Hour, 15 * day},
		"late":             {ra.KeyHere, ra.TemplateSpec{AutoRenew: true, RenewBefore: 10}, ra.ActionRenew, 22*day + 12*time.Hour, 21 * day, 15 * day},
		"nobody renews":    {ra.KeyHere, ra.TemplateSpec{}, ra.ActionExpire, 15 * day, 15 * day, 15 * day},
	} {
		t.Run(name, func(t *testing.T) {
			c.KeyPlace = k.place
			o := Duty(c, &k.spec)
			before := c.NotAfter.Sub(o.At)
			if o.Action != k.action || before > k.earliest || before < k.until || c.NotAfter.Sub(o.Deadline) != k.deadline {
				t.Errorf("%s, %s before the end, deadline %s before the end", o.Action, before, c.NotAfter.Sub(o.Deadline))
			}
		})
	}
}
