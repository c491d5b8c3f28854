package authority_test

import (
	"context"
	"testing"
	"time"

	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/ca/scripted"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/setting"
	"chancery/internal/store"
)

// slowKind is the scripted authority behind a line on which connecting takes
// until the test says so: Connect tells asked, and waits for answer.
type slowKind struct {
	script *scripted.Authority
	asked  chan struct{}
	answer chan error
}

type slowSettings struct {
	kind     *slowKind
	Server   string
	Password secret.Text
}

func (s *slowSettings) Describe(f *setting.Form) {
	f.URL(&s.Server, "server", "Server address").Required()
	f.Secret(&s.Password, "password", "Password").Required()
}

func (s *slowSettings) Connect(ctx context.Context, env ca.Env) (ca.Connector, error) {
	select {
	case s.kind.asked <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case err := <-s.kind.answer:
		if err != nil {
			return nil, err
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	inner := s.kind.script.Kind().New()
	if err := setting.FromJSON(inner, []byte(scripted.SettingsJSON)); err != nil {
		return nil, err
	}
	return inner.Connect(ctx, env)
}

// slow adds the kind "slow" to the world, with an authority of it.
func (w *world) slow() (*slowKind, *ra.Authority) {
	w.t.Helper()
	k := &slowKind{script: w.script, asked: make(chan struct{}), answer: make(chan error)}
	kind := w.script.Kind()
	kind.ID, kind.New = "slow", func() ca.Settings { return &slowSettings{kind: k} }
	w.Kinds = append(w.Kinds, kind)
	made := make(chan *ra.Authority, 1)
	go func() {
		defer close(made)
		a, err := w.Create(w.t.Context(), w.owner, "slow", authority.Input{GroupID: &w.acme.ID, Name: ptr("Slow"), Settings: []byte(settings)})
		if err != nil {
			w.t.Error(err)
			return
		}
		made <- a
	}()
	// Once to see whether it works, and once to learn the chain.
	for range 2 {
		<-k.asked
		k.answer <- nil
	}
	a := <-made
	if a == nil {
		w.t.FailNow()
	}
	return k, a
}

// update starts a change and gives where its end is told.
func (w *world) update(a *ra.Authority, in authority.Input) <-chan error {
	end := make(chan error, 1)
	go func() {
		_, err := w.Update(w.t.Context(), w.owner, a.ID, in)
		end <- err
	}()
	return end
}

// TestSlowAuthorityHoldsNothing: while an authority is slow to answer a change
// of its settings, everybody else writes and reads; nothing of the change is
// there before the answer, all of it after, and nothing after a refusal.
func TestSlowAuthorityHoldsNothing(t *testing.T) {
	each(t, func(w *world) {
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
		defer cancel()
		k, a := w.slow()
		end := w.update(a, authority.Input{Description: ptr("new"), RatePerSecond: ptr(3.0), Settings: []byte(`{"password": "canary-slow-password"}`)})
		<-k.asked
		other, err := w.Create(ctx, w.owner, "scripted", authority.Input{GroupID: &w.acme.ID, Name: ptr("Other"), Settings: []byte(settings)})
		if err != nil {
			w.t.Fatalf("a write while an authority does not answer: %v", err)
		}
		if _, err := w.Update(ctx, w.owner, other.ID, authority.Input{Description: ptr("written meanwhile")}); err != nil {
			w.t.Fatal(err)
		}
		if got := must(w.Get(ctx, w.owner, a.ID))(w.t); got.Description != "" || got.RatePerSecond != 0 || !got.UpdatedAt.Equal(a.UpdatedAt) {
			w.t.Errorf("stored before the authority answered: %+v", got)
		}
		k.answer <- nil
		<-k.asked // what a change is followed by: the chain is looked up again
		k.answer <- nil
		if err := <-end; err != nil {
			w.t.Fatal(err)
		}
		if got := must(w.Get(ctx, w.owner, a.ID))(w.t); got.Description != "new" || got.RatePerSecond != 3 {
			w.t.Errorf("%+v", got)
		}

		end = w.update(a, authority.Input{Description: ptr("refused")})
		<-k.asked
		k.answer <- ra.Errorf(ra.Invalid, "The server is not there.").WithRemedy("Look at the address.").WithField("server")
		if e := wantError(w.t, <-end, ra.Invalid); e.Field != "settings.server" {
			w.t.Errorf("%+v", e)
		}
		if got := must(w.Get(ctx, w.owner, a.ID))(w.t); got.Description != "new" {
			w.t.Errorf("%+v", got)
		}
		if list := w.audited("authority.changed", string(a.ID)); len(list) != 1 {
			w.t.Errorf("%d entries for one change", len(list))
		}
		w.nowhere("canary-slow-password")
	})
}

// TestChangedWhileConnecting: a change made while another one waits for the
// authority is neither lost nor undone; a change for one version is refused.
func TestChangedWhileConnecting(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		k, a := w.slow()
		touch := func(name string) {
			w.t.Helper()
			if err := w.DB.Write(ctx, func(tx *store.Tx) error {
				now, err := tx.Authority(a.ID)
				if err != nil {
					return err
				}
				now.Name = name
				return tx.UpdateAuthority(now)
			}); err != nil {
				w.t.Fatal(err)
			}
		}

		end := w.update(a, authority.Input{Description: ptr("mine")})
		<-k.asked
		touch("Theirs")
		k.answer <- nil
		for range 2 { // again with what they stored, and for the chain
			<-k.asked
			k.answer <- nil
		}
		if err := <-end; err != nil {
			t.Fatal(err)
		}
		seen := must(w.Get(ctx, w.owner, a.ID))(w.t)
		if seen.Name != "Theirs" || seen.Description != "mine" {
			w.t.Errorf("%+v", seen)
		}

		end = w.update(a, authority.Input{Description: ptr("late"), Seen: seen.UpdatedAt})
		<-k.asked
		touch("Theirs again")
		k.answer <- nil
		wantError(w.t, <-end, ra.Conflict)
		_, err := w.Update(ctx, w.owner, a.ID, authority.Input{Description: ptr("later"), Seen: seen.UpdatedAt})
		wantError(w.t, err, ra.Conflict)

		// Whoever is overtaken again and again gives up instead of going on for ever.
		end = w.update(a, authority.Input{Description: ptr("hopeless")})
		for _, name := range []string{"A", "B", "C"} {
			<-k.asked
			touch(name)
			k.answer <- nil
		}
		wantError(w.t, <-end, ra.Conflict)
		if got := must(w.Get(ctx, w.owner, a.ID))(w.t); got.Name != "C" || got.Description != "mine" {
			w.t.Errorf("%+v", got)
		}

		// Deleted meanwhile: nothing comes back.
		end = w.update(a, authority.Input{Description: ptr("ghost")})
		<-k.asked
		if err := w.Delete(ctx, w.owner, a.ID); err != nil {
			w.t.Fatal(err)
		}
		k.answer <- nil
		if err := <-end; ra.KindOf(err) != ra.NotFound {
			w.t.Errorf("%v", err)
		}
	})
}
