package signin

import (
	"sync"
	"testing"
	"time"

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

func TestLinkURL(t *testing.T) {
	for url, want := range map[string]string{
		"http://localhost:8080": "http://localhost:8080/sign-in/link?t=abc", "https://pki.acme.example/": "https://pki.acme.example/sign-in/link?t=abc",
	} {
		same(t, url, (&Service{PublicURL: url}).LinkURL(secret.New("abc")), want)
	}
}
