package signin

import (
	"testing"
	"time"

	"chancery/internal/access"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/store"
)

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
