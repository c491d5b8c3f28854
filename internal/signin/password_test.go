package signin

import (
	"strings"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/secret"
)

func TestPasswordPolicy(t *testing.T) {
	for p, want := range map[string]ra.Kind{
		good: "", "elevenchars": ra.Invalid, "twelve chars": "", "ääääöööüüüß": ra.Invalid, "ääääöööüüüßß": "", "": ra.Invalid,
		strings.Repeat("ab", 512): "", strings.Repeat("ab", 512) + "c": ra.Invalid, "Jane@Acme.Example": ra.Invalid, "password1234": ra.Invalid,
		"PasswordPassword!": ra.Invalid, "123456789012": ra.Invalid, "aaaaaaaaaaaaaa": ra.Invalid, "Welcome2026!": ra.Invalid, "qwertyuiop12": ra.Invalid,
		"Administrator1": ra.Invalid, "correcthorsebatterystaple": ra.Invalid, "correct cow battery staple": "",
	} {
		wantKind(t, "password of "+p[:min(len(p), 20)], checkPassword(secret.New(p), "jane@acme.example"), want)
	}
}

func TestPasswordHash(t *testing.T) {
	s := &Service{cost: cheap}
	stored := hashWith(cheap, secret.New(good))
	if !strings.HasPrefix(stored, "$argon2id$v=19$m=64,t=1,p=1$") || stored == hashWith(cheap, secret.New(good)) {
		t.Errorf("stored as %s, want the PHC form with a salt of its own", stored)
	}
	// A vector of the reference implementation: password, somesalt, t=2, m=64 MiB, p=1.
	const vector = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	for name, c := range map[string]struct {
		stored, password string
		want             bool
	}{
		"right": {stored, good, true}, "wrong": {stored, good + "x", false}, "empty": {stored, "", false}, "vector": {vector, "password", true}, "vector, wrong": {vector, "Password", false},
		"no hash": {"", good, false}, "no hash, no password": {"", "", false}, "too long": {stored, strings.Repeat("x", MaxPassword+1), false},
		"another algorithm": {strings.Replace(vector, "argon2id", "argon2i", 1), "password", false}, "another version": {strings.Replace(vector, "v=19", "v=16", 1), "password", false},
		"too expensive": {strings.Replace(vector, "m=65536", "m=4194304000", 1), "password", false}, "no passes": {strings.Replace(vector, "t=2", "t=0", 1), "password", false},
		"cut": {vector[:len(vector)-30], "password", false}, "trailing": {vector + "$", "password", false}, "parameters trailing": {strings.Replace(vector, "p=1", "p=1,x=2", 1), "password", false},
	} {
		got, err := s.verify(t.Context(), c.stored, secret.New(c.password))
		if err != nil || got != c.want {
			t.Errorf("%s: got %v, %v, want %v", name, got, err, c.want)
		}
	}
	if s.outdated(stored) || !s.outdated(vector) {
		t.Error("only another cost is outdated")
	}
}

// TestHashesWaitForEachOther: no more than a few run at once, and a caller that
// went away stops waiting.
func TestHashesWaitForEachOther(t *testing.T) {
	s := &Service{cost: cheap}
	var done []func()
	for {
		free, err := s.slot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if done = append(done, free); len(done) == cap(s.slots) {
			break
		}
	}
	gone := make(chan error, 1)
	go func() {
		_, err := s.verify(t.Context(), "", secret.New(good))
		gone <- err
	}()
	select {
	case err := <-gone:
		t.Errorf("another one ran beside %d: %v", len(done), err)
	case <-time.After(50 * time.Millisecond):
	}
	done[0]()
	if err := <-gone; err != nil {
		t.Error(err)
	}
}

func TestSignIn(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		jane := w.admin("Jane", ra.Grant{Role: ra.RoleViewer})
		try := func(name, password string) error {
			w.clock.Advance(time.Hour)
			a, err := w.SignIn(ctx, name, secret.New(password), "192.0.2.1:1234")
			if err == nil && a.ID != jane.ID {
				w.t.Errorf("%s got in as %s", name, a.Name)
			}
			return err
		}
		wantKind(w.t, "right", try(" jane", good), "")
		same(w.t, "audit", w.last(), "admin.signed_in Jane ok")
		wantKind(w.t, "wrong", try("jane", good+"x"), ra.Unsigned)
		same(w.t, "audit", w.last(), "admin.sign_in_refused Jane refused")
		wantKind(w.t, "unknown", try("my-secret-password", good), ra.Unsigned)
		same(w.t, "audit", w.last(), "admin.sign_in_refused unknown refused")
		wantKind(w.t, "empty", try("", ""), ra.Unsigned)
		wantKind(w.t, "odd bytes", try("a\x00\xff", good), ra.Unsigned)
		wantKind(w.t, "very long", try(strings.Repeat("x", 1<<20), strings.Repeat("x", 1<<20)), ra.Unsigned)
		must(w.UpdateAdmin(ctx, w.owner, jane.ID, AdminInput{Disabled: ptr(true)}))(w.t)
		wantKind(w.t, "disabled", try("jane", good), ra.Unsigned)
		must(w.UpdateAdmin(ctx, w.owner, jane.ID, AdminInput{Disabled: ptr(false), Password: ptr(secret.Text{})}))(w.t)
		wantKind(w.t, "no password", try("jane", ""), ra.Unsigned)
		w.silent(good, "my-secret-password")
	})
}

func TestCostFollowsTheTimes(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		jane := w.admin("jane", ra.Grant{Role: ra.RoleViewer})
		w.cost = cost{memory: 128, passes: 1, threads: 1}
		_, err := w.SignIn(ctx, "jane", secret.New("something else"), "")
		wantKind(w.t, "wrong", err, ra.Unsigned)
		got := must(w.Admin(ctx, w.owner, jane.ID))(w.t)
		same(w.t, "after a wrong password", got.PasswordHash, jane.PasswordHash)
		for range 2 {
			got = must(w.SignIn(ctx, "jane", secret.New(good), ""))(w.t)
			if !strings.HasPrefix(got.PasswordHash, "$argon2id$v=19$m=128,") {
				w.t.Errorf("after a sign-in: %s, want today's cost", got.PasswordHash)
			}
		}
	})
}

// TestUnknownNamesCostTheSame: who does not exist takes as long as who does.
func TestUnknownNamesCostTheSame(t *testing.T) {
	each(t, func(w *world) {
		w.cost = cost{memory: 8 << 10, passes: 3, threads: 1}
		w.admin("known", ra.Grant{Role: ra.RoleViewer})
		best := map[string]time.Duration{}
		for range 5 {
			for _, name := range []string{"known", "unknown"} {
				w.clock.Advance(time.Hour)
				start := time.Now()
				_, err := w.SignIn(w.t.Context(), name, secret.New("wrong password"), "")
				wantKind(w.t, name, err, ra.Unsigned)
				if took := time.Since(start); best[name] == 0 || took < best[name] {
					best[name] = took
				}
			}
		}
		if best["unknown"] < best["known"]/2 {
			w.t.Errorf("an unknown name takes %s, a known one %s", best["unknown"], best["known"])
		}
	})
}

func TestChangePassword(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		jane := w.admin("jane", ra.Grant{Role: ra.RoleViewer})
		me := w.actor(jane)
		const next = "another four random words"
		change := func(actor ra.Actor, present, next string) error {
			_, err := w.ChangePassword(ctx, actor, secret.New(present), secret.New(next))
			return err
		}
		wantKind(w.t, "wrong present one", change(me, "not this one at all", next), ra.Denied)
		wantKind(w.t, "weak", change(me, good, "password1234"), ra.Invalid)
		wantKind(w.t, "not a person", change(w.owner, good, next), ra.Denied)
		wantKind(w.t, "right", change(me, good, next), "")
		same(w.t, "audit", w.last(), "admin.changed jane ok")
		_, err := w.SignIn(ctx, "jane", secret.New(good), "")
		wantKind(w.t, "the old one", err, ra.Unsigned)
		_, err = w.SignIn(ctx, "jane", secret.New(next), "")
		wantKind(w.t, "the new one", err, "")
		must(w.UpdateAdmin(ctx, w.owner, jane.ID, AdminInput{Password: ptr(secret.Text{})}))(w.t)
		wantKind(w.t, "the first one", change(me, "", good), "")
		for range freeByName {
			wantKind(w.t, "guessing", change(me, "not this one at all", next), ra.Denied)
		}
		wantKind(w.t, "guessing on", change(me, good, next), ra.Busy)
		w.silent(good, next)
	})
}
