// Package api is the REST door: what the console shows and the command line
// does, for programs. A request comes in, becomes an explicit ra.Actor, is
// checked against the schema of its operation, and ends in one call of a
// capability, which decides whether the actor may. Nothing is decided here.
//
// routes.go lists every operation. From the same list come the OpenAPI 3.1
// document at /api/openapi.json and the reference page at /api/docs; the
// schemas of authority and endpoint settings are those of package setting.
//
// Whoever calls brings a bearer token, or comes in through a listener that the
// server itself trusts (Trusted). Cookies are never looked at, so there is
// nothing a foreign page could make a browser do here. Whatever goes wrong is
// answered as application/problem+json in one shape (problem.go); an internal
// error shows a reference and nothing else.
package api

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

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

// Server is the API. Fill the fields, then ask for its Handler.
type Server struct {
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
	DB          *store.DB
	Now         func() time.Time
	Log         *slog.Logger
	Version     string

	failures limiter
}

// The limits of one request.
const (
	maxBody    = 1 << 20
	maxImport  = 64 << 20
	timeout    = 100 * time.Second // longer than any call to an authority
	longer     = 10 * time.Minute  // imports and exports
	bodyWithin = 30 * time.Second
)

// Handler serves everything below /api/.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	doc := s.register(mux)
	spec := sync.OnceValues(func() ([]byte, error) { return json.MarshalIndent(doc, "", "  ") })
	mux.HandleFunc("GET /api/openapi.json", func(w http.ResponseWriter, r *http.Request) {
		b, err := spec()
		if err != nil {
			s.fail(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "application/openapi+json")
		w.Write(b)
	})
	page := sync.OnceValues(func() ([]byte, error) { return reference(doc, s.routes()) })
	mux.HandleFunc("GET /api/docs", func(w http.ResponseWriter, r *http.Request) {
		b, err := page()
		if err != nil {
			s.fail(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		w.Write(b)
	})
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) { s.fail(w, r, noSuchAddress()) })
	return s.guard(mux)
}

// register puts the operations on a mux and gives the document about them.
func (s *Server) register(mux *http.ServeMux) *huma.OpenAPI {
	config := huma.DefaultConfig("Chancery", s.Version)
	config.Info.Description = "Certificates for devices, users and services. Every call needs a bearer token; its roles decide what it may see and do."
	config.CreateHooks, config.DocsPath, config.OpenAPIPath, config.SchemasPath = nil, "", "", ""
	config.RejectUnknownQueryParameters = true
	config.Transformers = []huma.Transformer{s.ownShape}
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer", Description: "An API token, made with chancery token create."}}
	config.Security = []map[string][]string{{"token": {}}}
	a := humago.New(mux, config)
	problem := problemSchema(a.OpenAPI().Components.Schemas)
	for _, r := range s.routes() {
		op := r.operation()
		op.Responses = map[string]*huma.Response{"default": {Description: "What went wrong.",
			Content: map[string]*huma.MediaType{problemType: {Schema: problem}}}}
		r.bind(s, a, op)
	}
	s.describeSettings(a.OpenAPI().Components.Schemas.Map())
	return a.OpenAPI()
}

// guard is what holds for every answer: nothing is cached or sniffed, no
// request lives forever, and a handler that panics takes only itself along.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				s.Log.Error("API handler panicked", "panic", p, "path", r.URL.Path, "stack", string(debug.Stack()))
				s.fail(w, r, errPanic)
			}
		}()
		next.ServeHTTP(w, r)
	})
}
