package signin

import (
	"sync"
	"testing"
	"time"

	"chancery/internal/access"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/store"
)

func TestLinkLetsOneIn(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		jane := w.admin("jane", ra.Grant{Role: ra.RoleViewer})
		text := must(w.CreateLink(ctx, w.owner, jane.ID, 0))(w.t)
		same(w.t, "audit", w.last(), "link.created local ok")
		var wg sync.WaitGroup
		var mu sync.Mutex
		in, out := 0, 0
		for range 16 {
			wg.Go(func() {
				a, err := w.UseLink(ctx, text, "192.0.2.1")
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil && a.ID == jane.ID:
					in++
				case ra.KindOf(err) == ra.Unsigned:
					out++
				default:
					w.t.Errorf("got %v, %v", a, err)
				}
			})
		}
		wg.Wait()
		if in != 1 || out != 15 {
			w.t.Errorf("%d got in and %d were refused, want 1 and 15", in, out)
		}
		same(w.t, "audit", w.last(), "admin.signed_in jane ok")
		w.silent(text.Reveal())
	})
}

func TestLinkEnds(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		jane := w.admin("jane", ra.Grant{Role: ra.RoleViewer})
		text := must(w.CreateLink(ctx, w.owner, jane.ID, 0))(w.t)
		w.clock.Advance(LinkLife - time.Second)
		_, err := w.UseLink(ctx, text, "")
		wantKind(w.t, "just before its end", err, "")
		text = must(w.CreateLink(ctx, w.owner, jane.ID, time.Hour))(w.t)
		w.clock.Advance(time.Hour)
		_, err = w.UseLink(ctx, text, "")
		wantKind(w.t, "at its end", err, ra.Unsigned)
		for _, life := range []time.Duration{-1, time.Second, MaxLinkLife + 1} {
			_, err = w.CreateLink(ctx, w.owner, jane.ID, life)
			wantKind(w.t, "a life of "+life.String(), err, ra.Invalid)
		}
		_, err = w.UseLink(ctx, secret.New("guess"), "")
		wantKind(w.t, "a guess", err, ra.Unsigned)
		_, err = w.UseLink(ctx, secret.Text{}, "")
		wantKind(w.t, "nothing", err, ra.Unsigned)

		text = must(w.CreateLink(ctx, w.owner, jane.ID, 0))(w.t)
		must(w.UpdateAdmin(ctx, w.owner, jane.ID, AdminInput{Disabled: ptr(true)}))(w.t)
		_, err = w.UseLink(ctx, text, "")
		wantKind(w.t, "of somebody disabled", err, ra.Unsigned)
		same(w.t, "audit", w.last(), "admin.sign_in_refused jane refused")
		_, err = w.CreateLink(ctx, w.owner, jane.ID, 0)
		wantKind(w.t, "a new one for somebody disabled", err, ra.Conflict)

		bob := w.admin("bob", ra.Grant{Role: ra.RoleViewer})
		text = must(w.CreateLink(ctx, w.owner, bob.ID, 0))(w.t)
		if err := w.DeleteAdmin(ctx, w.owner, bob.ID); err != nil {
			w.t.Fatal(err)
		}
		_, err = w.UseLink(ctx, text, "")
		wantKind(w.t, "of somebody deleted", err, ra.Unsigned)

		// A link for another purpose with the same secret is of no use here.
		other := secret.New("other")
		err = w.DB.Write(ctx, func(tx *store.Tx) error {
			return tx.CreateLink(store.Link{Hash: secret.Hash(linkLabel, other), Purpose: "download", Subject: string(jane.ID), ExpiresAt: tx.Now.Add(time.Hour)})
		})
		if err != nil {
			w.t.Fatal(err)
		}
		_, err = w.UseLink(ctx, other, "")
		wantKind(w.t, "for another purpose", err, ra.Unsigned)
	})
}

func TestToken(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		made, text, err := w.CreateToken(ctx, w.owner, TokenInput{Name: " ci ", Grants: []ra.Grant{{Role: ra.RoleOperator, Group: w.a.ID, Path: "/og_b/"}}, Life: 24 * time.Hour})
		if err != nil {
			w.t.Fatal(err)
		}
		if len(text.Reveal()) != len(TokenPrefix)+43 || made.Name != "ci" || made.CreatedBy != "local" || !made.ExpiresAt.Equal(w.clock.Now().Add(24*time.Hour)) {
			w.t.Errorf("made %+v with a text of %d characters", made, len(text.Reveal()))
		}
		stored := must(w.Token(ctx, w.owner, made.ID))(w.t)
		same(w.t, "stored hash", stored.Hash, secret.Hash(tokenLabel, text))
		actor := must(w.Authenticate(ctx, text, "192.0.2.1"))(w.t)
		if actor.Kind != ra.ActorToken || actor.ID != string(made.ID) || actor.Via != "api" || actor.Remote != "192.0.2.1" ||
			access.Check(actor, access.EditDevices, w.a.Path) != nil || access.Check(actor, access.See, w.b.Path) == nil {
			w.t.Errorf("actor is %+v", actor)
		}
		used := w.clock.Now()
		w.clock.Advance(30 * time.Second)
		must(w.Authenticate(ctx, text, ""))(w.t)
		if got := must(w.Token(ctx, w.owner, made.ID))(w.t); !got.LastUsedAt.Equal(used) {
			w.t.Errorf("last use %s, want %s: uses are noted to the minute", got.LastUsedAt, used)
		}
		w.clock.Advance(31 * time.Second)
		must(w.Authenticate(ctx, text, ""))(w.t)
		if got := must(w.Token(ctx, w.owner, made.ID))(w.t); !got.LastUsedAt.Equal(w.clock.Now()) {
			w.t.Errorf("last use %s, want %s", got.LastUsedAt, w.clock.Now())
		}
		for _, wrong := range []string{"", "chy_", text.Reveal()[4:], text.Reveal() + "x", "chy_\x00"} {
			_, err := w.Authenticate(ctx, secret.New(wrong), "")
			wantKind(w.t, "a wrong token", err, ra.Unsigned)
		}
		w.clock.Advance(24 * time.Hour)
		_, err = w.Authenticate(ctx, text, "")
		wantKind(w.t, "past its end", err, ra.Unsigned)

		made, text, err = w.CreateToken(ctx, w.owner, TokenInput{Name: "forever", Grants: []ra.Grant{{Role: ra.RoleViewer}}})
		if err != nil {
			w.t.Fatal(err)
		}
		w.clock.Advance(50 * 365 * 24 * time.Hour)
		must(w.Authenticate(ctx, text, ""))(w.t)
		list, _, err := w.FindTokens(ctx, as(ra.RoleOwner, w.a), store.Page{})
		if err != nil || len(list) != 1 || list[0].Name != "ci" {
			w.t.Errorf("an owner of A sees %v, %v, want the token for A", list, err)
		}
		if err := w.RevokeToken(ctx, w.owner, made.ID); err != nil {
			w.t.Fatal(err)
		}
		same(w.t, "audit", w.last(), "token.deleted local ok")
		_, err = w.Authenticate(ctx, text, "")
		wantKind(w.t, "revoked", err, ra.Unsigned)
		w.silent(text.Reveal())

		for name, in := range map[string]TokenInput{
			"no name": {Grants: []ra.Grant{{Role: ra.RoleViewer}}}, "no grants": {Name: "x"}, "short life": {Name: "x", Grants: []ra.Grant{{Role: ra.RoleViewer}}, Life: time.Second},
			"long life": {Name: "x", Grants: []ra.Grant{{Role: ra.RoleViewer}}, Life: MaxTokenLife + 1}, "negative life": {Name: "x", Grants: []ra.Grant{{Role: ra.RoleViewer}}, Life: -time.Hour},
		} {
			_, _, err := w.CreateToken(ctx, w.owner, in)
			wantKind(w.t, name, err, ra.Invalid)
		}
	})
}
