package api

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"chancery/internal/access"
	"chancery/internal/api/resource"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// route is one operation as routes.go lists it.
type route struct {
	ID     string // operation ID: verb and noun
	Method string
	Path   string            // below /api/v1
	Needs  access.Permission // what the capability will ask for; for the reader
	About  string            // one line
	Status int               // of success, when it is not 200 or 204
	Long   bool              // a file goes in or out: larger, longer
	bind   func(*Server, huma.API, huma.Operation)
}

const prefix = "/api/v1"

func (r route) operation() huma.Operation {
	op := huma.Operation{OperationID: r.ID, Method: r.Method, Path: prefix + r.Path, Summary: r.About, Tags: []string{tag(r.Path)},
		DefaultStatus: r.Status, MaxBodyBytes: maxBody, BodyReadTimeout: bodyWithin}
	if r.Needs != "" {
		op.Description = "Needs the permission " + string(r.Needs) + " in the organization group."
	}
	if r.Long {
		op.MaxBodyBytes, op.BodyReadTimeout = maxImport, longer
		op.Metadata = map[string]any{needs: r.Needs}
	}
	return op
}

// needs is what the metadata of an operation with a large body has its permission
// under.
const needs = "needs"

// mayBring reports with a Denied error when an actor could not do anywhere what
// an operation with a large body is for, so that the body is not read in vain.
func mayBring(op *huma.Operation, actor ra.Actor) error {
	p, _ := op.Metadata[needs].(access.Permission)
	if p == "" || op.RequestBody == nil || access.May(actor, p) {
		return nil
	}
	return access.Check(actor, p, "")
}

// tag groups operations by the first word of their path.
func tag(path string) string {
	word, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return word
}

// handle joins a handler to its operation: deadline, actor, and errors in our
// shape. A handler is told whose call it is and what came in.
func handle[I, O any](f func(*Server, context.Context, ra.Actor, *I) (*O, error)) func(*Server, huma.API, huma.Operation) {
	return func(s *Server, a huma.API, op huma.Operation) {
		limit := timeout
		if op.MaxBodyBytes == maxImport {
			limit = longer
		}
		op.Middlewares = append(op.Middlewares, s.signIn(limit))
		huma.Register(a, op, func(ctx context.Context, in *I) (*O, error) {
			out, err := f(s, ctx, ctx.Value(actorKey{}).(ra.Actor), in)
			if err != nil {
				return nil, s.problemOf(ctx, op.OperationID, err)
			}
			return out, nil
		})
	}
}

// signIn names the actor before anything of the request is read.
func (s *Server) signIn(limit time.Duration) func(huma.Context, func(huma.Context)) {
	return func(c huma.Context, next func(huma.Context)) {
		ctx, cancel := context.WithTimeout(c.Context(), limit)
		defer cancel()
		actor, err := s.actor(ctx, c.Header("Authorization"), c.RemoteAddr())
		if err == nil {
			err = mayBring(c.Operation(), actor)
		}
		if err != nil {
			p := s.problemOf(ctx, c.Operation().OperationID, err)
			for name, values := range p.headers {
				c.SetHeader(name, values[0])
			}
			c.SetHeader("Content-Type", problemType)
			c.SetStatus(p.Status)
			if err := json.NewEncoder(c.BodyWriter()).Encode(p); err != nil {
				s.Log.Debug("answer not taken", "error", err)
			}
			return
		}
		if limit == longer { // than the server has patience for, usually
			_, w := humago.Unwrap(c)
			conn := http.NewResponseController(w)
			_ = conn.SetWriteDeadline(time.Now().Add(limit)) // not every connection has one
			defer func() { _ = conn.SetWriteDeadline(time.Time{}) }()
		}
		if c.Operation().RequestBody == nil {
			// A body that nobody reads, as the {} of some clients, would keep the
			// server from noticing that the client has gone away.
			_, _ = io.CopyN(io.Discard, c.BodyReader(), maxUnread)
		}
		next(huma.WithValue(huma.WithContext(c, ctx), actorKey{}, actor))
	}
}

// maxUnread is how much of a body is read where none is wanted, in bytes.
const maxUnread = 1 << 10

// The shapes most operations share.
type (
	// ByID names one thing.
	ByID struct {
		ID string `path:"id" maxLength:"100"`
	}
	none        struct{}
	body[T any] struct{ Body T }
	// posted is what is sent about one thing.
	posted[T any] struct {
		ByID
		Body T
	}
	// tagged is one thing with the tag of its version.
	tagged[T any] struct {
		ETag string `header:"ETag" doc:"Version, for If-Match of a change."`
		Body T
	}
	// change is a change of one thing.
	change[T any] struct {
		ByID
		IfMatch string `header:"If-Match" doc:"Change it only if this is still its ETag." maxLength:"100"`
		Body    T
	}
)

// etag names a version by the instant of its last change.
func etag(updated time.Time) string {
	return `"` + strconv.FormatInt(updated.UnixMilli(), 36) + `"`
}

// ifMatch refuses a change of another version than the caller saw (RFC 9110
// §13.1.1).
func ifMatch(want string, updated time.Time) error {
	if want == "" || want == "*" || slices.Contains(strings.Split(strings.ReplaceAll(want, " ", ""), ","), etag(updated)) {
		return nil
	}
	p := problemFor(ra.Errorf(ra.Conflict, "Somebody else changed this meanwhile.").WithField("If-Match").WithRemedy("Load it again and repeat the change."))
	setStatus(p, http.StatusPreconditionFailed)
	return &problem{Problem: *p}
}

// pageOf gives the page a query asks for.
func pageOf(q resource.PageQuery) store.Page {
	return store.Page{Limit: q.Limit, After: q.After, Sort: q.Sort}
}

// listed turns nouns into one page of an answer.
func listed[N, R any](list []N, next string, err error, of func(N) R) (*body[resource.Page[R]], error) {
	if err != nil {
		return nil, err
	}
	out := &body[resource.Page[R]]{resource.Page[R]{Items: make([]R, len(list)), Next: next}}
	for i, n := range list {
		out.Body.Items[i] = of(n)
	}
	return out, nil
}

// one answers with a noun and its version.
func one[N, R any](n N, err error, of func(N) R, updated func(N) time.Time) (*tagged[R], error) {
	if err != nil {
		return nil, err
	}
	return &tagged[R]{ETag: etag(updated(n)), Body: of(n)}, nil
}

// within narrows an actor to one organization group and what is below it, for
// lists: the capability then shows what both the caller and the filter allow.
// A group the caller may not see is NotFound.
func (s *Server) within(ctx context.Context, actor ra.Actor, group string) (ra.Actor, error) {
	if group == "" {
		return actor, nil
	}
	g, err := s.Inventory.Group(ctx, actor, ra.GroupID(group))
	if err != nil {
		return actor, err
	}
	narrow := actor
	narrow.Grants = nil
	for _, grant := range actor.Grants {
		switch {
		case grant.Group == "" || grant.Path != "" && strings.HasPrefix(g.Path, grant.Path):
			narrow.Grants = append(narrow.Grants, ra.Grant{Role: grant.Role, Group: g.ID, Path: g.Path})
		case grant.Path != "" && strings.HasPrefix(grant.Path, g.Path):
			narrow.Grants = append(narrow.Grants, grant)
		}
	}
	return narrow, nil
}
