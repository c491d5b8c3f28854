package lifecycle_test

import (
	"testing"

	"chancery/internal/authority"
	"chancery/internal/ra"
)

// TestPublished: what an authority publishes is told as it is, and looking at it
// makes nothing.
func TestPublished(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		tpl := w.template(w.inner, onDevice())
		look := func() []string {
			w.t.Helper()
			var states []string
			for _, p := range must(w.Published(ctx, w.owner, w.inner))(w.t) {
				if p.Issuer == nil || p.Address != p.Lists[0].Address {
					w.t.Errorf("%+v", p)
				}
				for _, l := range p.Lists {
					state := l.Name
					switch {
					case l.Number == 0:
						state += " none"
					case l.Stale():
						state += " stale"
					default:
						state += " made"
					}
					if l.OnDemand {
						state += " on demand"
					}
					if (l.Bytes > 0) != (l.Number > 0) || l.NextUpdate.Before(l.ThisUpdate) || l.Address == "" {
						w.t.Errorf("%+v", l)
					}
					states = append(states, state)
				}
			}
			return states
		}
		same := func(when string, want ...string) {
			w.t.Helper()
			got := look()
			if len(got) < len(want) {
				w.t.Fatalf("%s: %q", when, got)
			}
			for i := range want {
				if got[i] != want[i] {
					w.t.Errorf("%s: got %q, want %q", when, got, want)
				}
			}
		}
		same("at first", " none")
		same("after a look", " none")
		if err := w.PublishDue(ctx); err != nil {
			w.t.Fatal(err)
		}
		same("published", " made")
		crl := must(w.CRL(ctx, hashOf(must(w.Published(ctx, w.owner, w.inner))(w.t)[0].Issuer)))(w.t)
		if l := must(w.Published(ctx, w.owner, w.inner))(w.t)[0].Lists[0]; l.Bytes != int64(len(crl.DER)) || l.Number != crl.Number || !l.NextUpdate.Equal(crl.NextUpdate) || l.DER != nil {
			w.t.Errorf("%+v of %d bytes", l, len(crl.DER))
		}
		w.shards(w.inner, 16)
		if err := w.PublishDue(ctx); err != nil {
			w.t.Fatal(err)
		}
		same("divided", " made on demand", "16-0 made", "16-1 made", "16-2 made", "16-3 made")
		bad := w.issue(tpl)
		must(w.Revoke(ctx, w.owner, bad.ID, ra.SupersededReason, ""))(w.t)
		stale := 0
		for _, state := range look() {
			if state == " stale on demand" || len(state) > 6 && state[len(state)-6:] == " stale" {
				stale++
			}
		}
		if stale != 2 {
			w.t.Errorf("%d lists lack a revocation, want the complete one and one part: %q", stale, look())
		}
		_, err := w.Published(ctx, w.owner, w.outer)
		wantError(w.t, err, ra.NotFound)
		_, err = w.Published(ctx, actor("stranger", ra.RoleOwner, w.other), w.inner)
		wantError(w.t, err, ra.NotFound)
		if _, err := w.authorities.Update(ctx, w.owner, w.inner, authority.Input{Disabled: ptr(true)}); err != nil {
			w.t.Fatal(err)
		}
		if n := len(look()); n < 17 {
			w.t.Errorf("switched off, %d lists are told", n)
		}
	})
}
