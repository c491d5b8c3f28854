package signin

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/secret"
)

func TestThrottledSignIn(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		w.admin("jane", ra.Grant{Role: ra.RoleViewer})
		try := func(name, password, remote string) error {
			_, err := w.SignIn(ctx, name, secret.New(password), remote)
			return err
		}
		for i := range freeByName {
			wantKind(w.t, "wrong", try("jane", "wrong password", "192.0.2.1"), ra.Unsigned)
			if i == 1 { // a success in between starts anew
				wantKind(w.t, "right", try("jane", good, "192.0.2.1"), "")
			}
		}
		wantKind(w.t, "two more wrong", try("jane", "wrong password", "192.0.2.1"), ra.Unsigned)
		wantKind(w.t, "two more wrong", try("jane", "wrong password", "192.0.2.1"), ra.Unsigned)
		before := len(w.entries())
		err := try("JANE", good, "198.51.100.7")
		wantKind(w.t, "right but too early", err, ra.Busy)
		if wait := ra.AsError(err).Retry; wait <= 0 || wait > 2*time.Second {
			w.t.Errorf("the wait is %s, want about a second", wait)
		}
		same(w.t, "audit entries of a throttled attempt", len(w.entries())-before, 0)
		wantKind(w.t, "another name", try("bob", good, "192.0.2.1"), ra.Unsigned)
		w.clock.Advance(time.Second)
		wantKind(w.t, "after the wait", try("jane", good, "198.51.100.7"), "")

		// A stranger who never stops: the wait has an end and there is a way in.
		for range 100 {
			w.clock.Advance(longestWait)
			wantKind(w.t, "a stranger", try("jane", "wrong password", "203.0.113.9"), ra.Unsigned)
		}
		wantKind(w.t, "at once", try("jane", good, "192.0.2.1"), ra.Busy)
		w.clock.Advance(longestWait)
		wantKind(w.t, "after the longest wait", try("jane", good, "192.0.2.1"), "")
	})
}

func TestThrottle(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	t.Run("by address", func(t *testing.T) {
		var th throttle
		for i := range freeByRemote {
			if err := th.admit(start, byName(strings.Repeat("x", i)), byRemote("192.0.2.1:5")); err != nil {
				t.Fatalf("attempt %d: %v", i, err)
			}
		}
		wantKind(t, "one more", th.admit(start, byName("other"), byRemote("192.0.2.1:99")), ra.Busy)
		wantKind(t, "another address", th.admit(start, byName("other"), byRemote("192.0.2.2")), "")
	})
	t.Run("waits double up to the longest", func(t *testing.T) {
		var th throttle
		now, k := start, byName("jane")
		var waits []time.Duration
		for range freeByName + 12 {
			if err := th.admit(now, k); err != nil {
				t.Fatal(err)
			}
			waits = append(waits, th.tries[k.text].until.Sub(now))
			now = th.tries[k.text].until
		}
		want := []time.Duration{0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 300}
		for i := range want {
			want[i] *= time.Second
		}
		same(t, "waits", waits, want)
		if err := th.admit(now.Add(forgetAfter+time.Second), k); err != nil || th.tries[k.text].failed != 1 {
			t.Errorf("long after: %v, %+v, want it forgotten", err, th.tries[k.text])
		}
	})
	t.Run("many at once", func(t *testing.T) {
		var th throttle
		var wg sync.WaitGroup
		in := make(chan bool, 100)
		for range 100 {
			wg.Go(func() {
				if th.admit(start, byName("jane")) == nil {
					in <- true
				}
			})
		}
		wg.Wait()
		same(t, "attempts let in", len(in), freeByName)
	})
	t.Run("bounded", func(t *testing.T) {
		var th throttle
		victim := byName("jane")
		for th.admit(start, victim) == nil {
		}
		want := *th.tries[victim.text]
		for i := range maxTracked + 200 {
			if err := th.admit(start, byName(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
		same(t, "tracked", len(th.tries), maxTracked)
		if got := th.tries[victim.text]; got == nil || *got != want {
			t.Errorf("who has to wait is %+v after a flood of names, want %+v", got, want)
		}
	})
	t.Run("addresses", func(t *testing.T) {
		for a, b := range map[string]string{
			"2001:db8:1:2::1": "[2001:db8:1:2:ffff::9]:443", "::ffff:192.0.2.1": "192.0.2.1", "192.0.2.1:80": "192.0.2.1", "fe80::1%eth0": "fe80::2", "pipe": "pipe",
		} {
			if byRemote(a) != byRemote(b) {
				t.Errorf("%s and %s are counted apart", a, b)
			}
		}
		if byRemote("2001:db8:1:2::1") == byRemote("2001:db8:1:3::1") || byRemote("192.0.2.1") == byRemote("192.0.2.2") {
			t.Error("neighbours are counted together")
		}
	})
}
