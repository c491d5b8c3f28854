package console

import (
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"

	"chancery/internal/ra"
)

// Limits of what a form may send, in bytes.
const (
	maxForm   = 2 << 20
	maxUpload = 65 << 20 // a CSV file with its envelope
)

// policy lets pages use what this server sends and nothing else: no inline
// script or style, no frames, no foreign addresses.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types console"

// guard wraps everything: headers, then the cross-origin check, then the pages.
func (s *site) guard(next http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	if u, err := url.Parse(s.PublicURL); err == nil && u.Host != "" {
		// Behind a proxy the Host header may differ from the address people use.
		if err := cross.AddTrustedOrigin(u.Scheme + "://" + u.Host); err != nil {
			s.Log.Warn("public URL is no origin", "error", err)
		}
	}
	cross.SetDenyHandler(s.screen(&route{pattern: "cross-origin", open: true, do: func(*visit) error {
		return ra.Errorf(ra.Denied, "The request came from another site.").WithRemedy("Open the console in its own tab and try again.")
	}}))
	inner := s.sessions.LoadAndSave(cross.Handler(next))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), publickey-credentials-get=(self), publickey-credentials-create=(self)")
		if r.TLS != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		inner.ServeHTTP(w, r)
	})
}

// screen runs one route: who is it, may they, then the screen itself. What the
// screen returns as an error, and what it panics with, becomes a page.
func (s *site) screen(rt *route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := &visit{site: s, w: w, r: r, route: rt}
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler {
				panic(p)
			}
			s.Log.Error("panic in a screen", "route", rt.pattern, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			if !v.written {
				v.fault(fmt.Errorf("panic in %s: %v", rt.pattern, p))
			}
		}()
		w.Header().Set("Cache-Control", "no-store")
		limit := int64(maxForm)
		if rt.upload {
			limit = maxUpload
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		if err := v.run(); err != nil {
			v.answer(err)
		}
	})
}

func (v *visit) run() error {
	if err := v.identify(); err != nil {
		return err
	}
	if err := v.admits(v.route); err != nil {
		return err
	}
	return v.route.do(v)
}

// answer turns an error into a page; whoever is not signed in is taken to the
// sign-in page and back.
func (v *visit) answer(err error) {
	if ra.KindOf(err) == ra.Unsigned && v.admin == nil && !v.route.open {
		if v.r.Method == http.MethodGet {
			v.redirect("/sign-in?next=" + url.QueryEscape(v.r.URL.RequestURI()))
			return
		}
	}
	v.fault(err)
}
