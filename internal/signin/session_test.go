package signin

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/secret"
)

// browser keeps one cookie, like a browser does.
type browser struct {
	w       *world
	handler http.Handler
	cookie  *http.Cookie
}

// get asks for a path and gives the status.
func (b *browser) get(path string) int {
	r := httptest.NewRequestWithContext(b.w.t.Context(), "GET", path, nil)
	if b.cookie != nil {
		r.AddCookie(b.cookie)
	}
	rec := httptest.NewRecorder()
	b.handler.ServeHTTP(rec, r)
	for _, c := range rec.Result().Cookies() {
		b.cookie = c
	}
	return rec.Code
}

// console is a console of four pages.
func (w *world) console() http.Handler {
	m := w.Sessions()
	mux := http.NewServeMux()
	answer := func(rw http.ResponseWriter, err error) {
		status := map[ra.Kind]int{"": 200, ra.Unsigned: 401}[ra.KindOf(err)]
		if status == 0 {
			w.t.Error(err)
			status = 500
		}
		rw.WriteHeader(status)
	}
	mux.HandleFunc("/begin", func(rw http.ResponseWriter, r *http.Request) { m.Put(r.Context(), "x", "y"); answer(rw, nil) })
	mux.HandleFunc("/in", func(rw http.ResponseWriter, r *http.Request) {
		a, err := w.SignIn(r.Context(), "jane", secret.New(r.URL.Query().Get("p")), "192.0.2.1")
		if err == nil {
			err = w.StartSession(r.Context(), m, a)
		}
		answer(rw, err)
	})
	mux.HandleFunc("/me", func(rw http.ResponseWriter, r *http.Request) {
		actor, err := w.SessionActor(r.Context(), m, "192.0.2.1")
		if err == nil && actor.Name != "jane" {
			w.t.Errorf("the session is that of %q", actor.Name)
		}
		answer(rw, err)
	})
	mux.HandleFunc("/change", func(rw http.ResponseWriter, r *http.Request) {
		actor, err := w.SessionActor(r.Context(), m, "192.0.2.1")
		if err == nil {
			var a *ra.Admin
			if a, err = w.ChangePassword(r.Context(), actor, secret.New(good), secret.New("another long password")); err == nil {
				err = w.StartSession(r.Context(), m, a)
			}
		}
		answer(rw, err)
	})
	mux.HandleFunc("/out", func(rw http.ResponseWriter, r *http.Request) { answer(rw, w.EndSession(r.Context(), m, "192.0.2.1")) })
	return m.LoadAndSave(mux)
}

func TestSession(t *testing.T) {
	each(t, func(w *world) {
		jane := w.admin("jane", ra.Grant{Role: ra.RoleViewer})
		one, two := &browser{w: w, handler: w.console()}, &browser{w: w, handler: w.console()}
		const in = "/in?p=four+random+words,+once"
		same(w.t, "nobody", one.get("/me"), 401)
		one.get("/begin")
		before := one.cookie.Value
		same(w.t, "wrong password", one.get("/in?p=x"), 401)
		same(w.t, "still nobody", one.get("/me"), 401)
		same(w.t, "sign in", one.get(in), 200)
		if one.cookie.Value == before {
			w.t.Error("the session kept its token over the sign-in")
		}
		same(w.t, "me", one.get("/me"), 200)
		stolen := &browser{w: w, handler: one.handler, cookie: &http.Cookie{Name: one.cookie.Name, Value: before}}
		same(w.t, "the token of before", stolen.get("/me"), 401)

		same(w.t, "another browser", two.get(in), 200)
		same(w.t, "a new password", one.get("/change"), 200)
		same(w.t, "this session", one.get("/me"), 200)
		same(w.t, "the other session", two.get("/me"), 401)
		copied := *one.cookie
		same(w.t, "sign out", one.get("/out"), 200)
		same(w.t, "audit", w.last(), "admin.signed_out jane ok")
		same(w.t, "afterwards", one.get("/me"), 401)
		one.cookie = &copied
		same(w.t, "with the old cookie", one.get("/me"), 401)
		same(w.t, "sign out as nobody", one.get("/out"), 200)

		same(w.t, "again", two.get("/in?p=another+long+password"), 200)
		must(w.UpdateAdmin(w.t.Context(), w.owner, jane.ID, AdminInput{Disabled: ptr(true)}))(w.t)
		same(w.t, "disabled", two.get("/me"), 401)
		w.silent(good)
	})
}

func TestSessionEnds(t *testing.T) {
	each(t, func(w *world) {
		w.admin("jane", ra.Grant{Role: ra.RoleViewer})
		b := &browser{w: w, handler: w.console()}
		w.clock.ms.Store(time.Now().UnixMilli()) // the session library has the system's clock
		same(w.t, "sign in", b.get("/in?p=four+random+words,+once"), 200)
		w.clock.Advance(SessionIdle - time.Minute)
		same(w.t, "within the idle time", b.get("/me"), 200)
		w.clock.Advance(2 * time.Minute)
		same(w.t, "idle for too long", b.get("/me"), 401)
	})
}

func TestCookie(t *testing.T) {
	for url, want := range map[string]struct {
		name   string
		secure bool
	}{
		"http://localhost:8080": {"chancery", false}, "https://pki.acme.example": {"__Host-chancery", true}, "HTTPS://pki.acme.example:8443": {"__Host-chancery", true}, "": {"chancery", false},
	} {
		testCookie(t, url, want.name, want.secure)
	}
}

func testCookie(t *testing.T, url, name string, secure bool) {
	t.Helper()
	each(t, func(w *world) {
		w.PublicURL = url
		w.admin("jane", ra.Grant{Role: ra.RoleViewer})
		b := &browser{w: w, handler: w.console()}
		same(w.t, "sign in", b.get("/in?p=four+random+words,+once"), 200)
		c := b.cookie
		if c.Name != name || c.Secure != secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
			w.t.Errorf("%s: cookie is %+v", url, c)
		}
		m := w.Sessions()
		if m.IdleTimeout != 12*time.Hour || m.Lifetime != 7*24*time.Hour {
			w.t.Errorf("idle %s, life %s", m.IdleTimeout, m.Lifetime)
		}
	})
}
