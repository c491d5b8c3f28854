// Package console is the administrators' face of Chancery: pages drawn on the
// server from html/template files that are parsed at start. A request comes in
// through the guards (security headers, cross-origin check, a net for panics),
// is matched against the one table in routes.go, and reaches a screen: a method
// of visit in a screen_*.go file, with a view of the same subject in view/.
//
// Screens hold no rules. They ask a capability (inventory, enroll, lifecycle,
// pass, trace, authority, signin, audit, doctor) with the actor of the visit, and that capability
// decides; the permission in the route table only hides what would be refused.
// Every page works without script; static/console.js makes some of them nicer.
// Whatever goes wrong is an *ra.Error shown with its remedy beside the field it
// is about, or, when it is internal, a reference that the log knows too.
package console

import (
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"

	"chancery/internal/audit"
	"chancery/internal/authority"
	"chancery/internal/caimport"
	"chancery/internal/directory"
	"chancery/internal/doctor"
	"chancery/internal/enroll"
	"chancery/internal/inventory"
	"chancery/internal/keydelivery"
	"chancery/internal/keyring"
	"chancery/internal/lifecycle"
	"chancery/internal/pass"
	"chancery/internal/posture"
	"chancery/internal/signin"
	"chancery/internal/store"
	"chancery/internal/trace"
)

// Console is what the pages need. Fill the fields, then call Handler.
type Console struct {
	Inventory   *inventory.Service
	Authorities *authority.Service
	Enroll      *enroll.Service
	Lifecycle   *lifecycle.Service
	Passes      *pass.Service
	Traces      *trace.Service
	Directories *directory.Service
	Keys        *keydelivery.Service
	Postures    *posture.Service
	Imports     *caimport.Service
	Signin      *signin.Service
	Audit       audit.Log
	Doctor      *doctor.Service
	Keyring     *keyring.Service
	DB          *store.DB // for the status page only
	Now         func() time.Time
	Log         *slog.Logger
	PublicURL   string // how devices reach this server, for addresses to copy
	Version     string // shown on the status page
}

// site is a console whose views are parsed and whose routes stand.
type site struct {
	*Console
	views    map[string]*page
	assets   assets
	routes   map[string]*route // by pattern
	sessions *scs.SessionManager
	handler  http.Handler
}

// Handler gives the console, to be mounted at "/". It panics when a view does
// not parse: that is a mistake in the program, found at its first start.
func (c *Console) Handler() http.Handler { return c.site().handler }

func (c *Console) site() *site {
	s := &site{Console: c, routes: map[string]*route{}, assets: loadAssets(), sessions: c.Signin.Sessions()}
	s.views = parseViews(c.Now, s.assets)
	mux := http.NewServeMux()
	for i := range routes {
		r := &routes[i]
		s.routes[r.pattern] = r
		mux.Handle(r.pattern, s.screen(r))
	}
	mux.HandleFunc("GET /static/{file}", s.assets.serve)
	mux.Handle("/", s.screen(&route{pattern: "/", do: (*visit).nowhere}))
	s.handler = s.guard(mux)
	return s
}

// address is the public URL of a path.
func (s *site) address(path string) string { return strings.TrimRight(s.PublicURL, "/") + path }
