package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"chancery/internal/api/resource"
	"chancery/internal/ra"
	"chancery/internal/secret"
)

const problemType = "application/problem+json"

// status is the HTTP status of every kind of error.
var status = map[ra.Kind]int{
	ra.NotFound:    http.StatusNotFound,
	ra.Denied:      http.StatusForbidden,
	ra.Unsigned:    http.StatusUnauthorized,
	ra.Invalid:     http.StatusUnprocessableEntity,
	ra.RefusedByCA: http.StatusBadGateway,
	ra.Unreachable: http.StatusGatewayTimeout,
	ra.Conflict:    http.StatusConflict,
	ra.TooLarge:    http.StatusRequestEntityTooLarge,
	ra.Busy:        http.StatusTooManyRequests,
	ra.Internal:    http.StatusInternalServerError,
}

var errPanic = errors.New("a handler panicked")

func noSuchAddress() error {
	return ra.Errorf(ra.NotFound, "There is nothing at this address.").WithRemedy("Look at /api/docs for what there is.")
}

// problem is an error on its way out.
type problem struct {
	resource.Problem
	headers http.Header
}

func (p *problem) Error() string             { return p.Message }
func (p *problem) GetStatus() int            { return p.Status }
func (p *problem) GetHeaders() http.Header   { return p.headers }
func (p *problem) ContentType(string) string { return problemType }

// MarshalJSON leaves the headers out.
func (p *problem) MarshalJSON() ([]byte, error) { return json.Marshal(p.Problem) }

// problemOf gives an error as the answer to it. Where it is an internal one,
// the log has all of it under the reference that the answer shows.
func (s *Server) problemOf(ctx context.Context, where string, err error) *problem {
	var ready *problem
	if errors.As(err, &ready) {
		return ready
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = ra.Errorf(ra.Busy, "This took too long and was given up.").WithRemedy("Try again; when it goes on, look at the load of the server.").WithCause(err)
	}
	e := ra.AsError(err)
	p := &problem{Problem: *problemFor(e), headers: http.Header{}}
	switch e.Kind {
	case ra.Internal:
		p.Reference = secret.Token("", 48).Reveal()
		s.Log.ErrorContext(ctx, "API call failed", "reference", p.Reference, "operation", where, "error", err)
	case ra.Unsigned:
		p.headers.Set("WWW-Authenticate", `Bearer realm="chancery"`)
	case ra.Busy:
		p.headers.Set("Retry-After", strconv.Itoa(max(1, int(e.Retry/time.Second))))
	}
	return p
}

// problemFor is the wire form of an error. The message of an internal one is
// not for the outside.
func problemFor(e *ra.Error) *resource.Problem {
	p := &resource.Problem{Kind: string(e.Kind), Message: e.Message, Remedy: e.Remedy, Field: e.Field}
	if e.Kind == ra.Internal {
		fixed := ra.AsError(errPanic)
		p.Message, p.Remedy, p.Field = fixed.Message, fixed.Remedy, ""
	} else {
		for _, d := range e.Details {
			p.Errors = append(p.Errors, resource.FieldProblem{Field: d.Field, Message: d.Message, Remedy: d.Remedy})
		}
	}
	setStatus(p, status[e.Kind])
	return p
}

func setStatus(p *resource.Problem, code int) { p.Status, p.Title = code, http.StatusText(code) }

// fail answers with an error where no operation is at hand.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := s.problemOf(r.Context(), r.Method+" "+r.URL.Path, err)
	for name, values := range p.headers {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", problemType)
	w.WriteHeader(p.Status)
	if err := json.NewEncoder(w).Encode(p); err != nil {
		s.Log.Debug("answer not taken", "error", err)
	}
}

// ownShape turns the framework's own errors into ours. What was sent is not
// repeated: it may hold a secret.
func (s *Server) ownShape(ctx huma.Context, _ string, v any) (any, error) {
	e, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	return s.fromFramework(ctx.Context(), ctx.Operation().OperationID, e), nil
}

func (s *Server) fromFramework(ctx context.Context, where string, e *huma.ErrorModel) *problem {
	if e.Status >= http.StatusInternalServerError {
		return s.problemOf(ctx, where, fmt.Errorf("%s: %v", e.Detail, e.Errors))
	}
	var list ra.Problems
	for _, d := range e.Errors {
		list.Add(fieldOf(d.Location), said(d.Message), "Look at /api/docs for what is expected there.")
	}
	err := list.Err()
	switch e.Status {
	case http.StatusRequestEntityTooLarge:
		err = ra.Errorf(ra.TooLarge, "The request is too large.").WithRemedy("Send at most 1 MiB; imports may have 64 MiB.")
	case http.StatusRequestTimeout:
		err = ra.Errorf(ra.Busy, "The request came too slowly.").WithRemedy("Send it again.")
	case http.StatusUnsupportedMediaType:
		err = ra.Errorf(ra.Invalid, "This content type is not understood here.").WithRemedy("Send application/json.")
	case http.StatusBadRequest:
		err = ra.Errorf(ra.Invalid, "The body is missing or not JSON.").WithRemedy("Send one JSON object with Content-Type: application/json.")
	default:
		if err == nil {
			err = ra.Errorf(ra.Invalid, "The request is not understood.").WithRemedy("Look at /api/docs for what is expected.")
		}
	}
	p := s.problemOf(ctx, where, err)
	setStatus(&p.Problem, e.Status)
	return p
}

// fieldOf turns "body.spec.key_type" into the field's own name.
func fieldOf(location string) string {
	for _, place := range []string{"body.", "query.", "path.", "header."} {
		if name, ok := strings.CutPrefix(location, place); ok {
			return name
		}
	}
	return location
}

// said makes a sentence of a framework's message.
func said(message string) string {
	if message == "" {
		return "This is not understood."
	}
	return strings.ToUpper(message[:1]) + strings.TrimSuffix(message[1:], ".") + "."
}

// problemSchema describes the answer to what goes wrong.
func problemSchema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[resource.Problem](), true, "Problem")
}
