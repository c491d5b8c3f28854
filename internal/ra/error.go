package ra

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind is the stable word for what went wrong. Every edge has one total table
// from Kind to its own language (HTTP status, SCEP failInfo, exit code).
type Kind string

// The kinds. A new one needs a line in every edge table; tests name those
// missing.
const (
	NotFound    Kind = "not_found"
	Denied      Kind = "denied"
	Unsigned    Kind = "unauthenticated"
	Invalid     Kind = "invalid"
	RefusedByCA Kind = "refused_by_ca"
	Unreachable Kind = "unreachable"
	Conflict    Kind = "conflict"
	TooLarge    Kind = "too_large"
	Busy        Kind = "busy"
	Internal    Kind = "internal"
)

// Kinds lists every kind, for the tests that walk the edge tables.
var Kinds = []Kind{NotFound, Denied, Unsigned, Invalid, RefusedByCA, Unreachable, Conflict, TooLarge, Busy, Internal}

// Never, as Error.Retry, ends a job: trying again cannot help.
const Never time.Duration = -1

// Error is the one error type that crosses packages. Message and Remedy may be
// shown to whoever met it; Err is for logs and audit only.
type Error struct {
	Kind    Kind
	Message string        // one sentence the person may read
	Remedy  string        // what they can do about it; empty when there is nothing
	Field   string        // the setting or input at fault, in its wire name
	Retry   time.Duration // how long a job waits; Never ends it; zero means the usual backoff
	Err     error         // the cause: logs and audit only
	Details []*Error      // every bad field, when there are several
}

// Error gives message, field details and cause: the form for logs.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Message)
	for _, d := range e.Details {
		b.WriteString("; " + d.Field + ": " + d.Message)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Say gives what people may read: message and remedy in one text.
func (e *Error) Say() string {
	if e.Remedy == "" {
		return e.Message
	}
	return e.Message + " " + e.Remedy
}

// Is reports whether target is an *Error of the same kind with no message of
// its own, so that errors.Is(err, &ra.Error{Kind: ra.NotFound}) asks by kind.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Message == "" && t.Kind == e.Kind
}

// Errorf makes an error of a kind with a message for people.
func Errorf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// WithRemedy, WithField, WithCause and WithRetry fill the named field and
// return e, so that an error reads as one sentence where it is made.
func (e *Error) WithRemedy(format string, args ...any) *Error {
	e.Remedy = fmt.Sprintf(format, args...)
	return e
}

// WithField names the setting or input at fault.
func (e *Error) WithField(name string) *Error { e.Field = name; return e }

// WithCause keeps the cause for logs.
func (e *Error) WithCause(err error) *Error { e.Err = err; return e }

// WithRetry says how long a job waits before it tries again.
func (e *Error) WithRetry(d time.Duration) *Error { e.Retry = d; return e }

// KindOf gives the kind of err; an error that is not an *Error is Internal,
// and nil is the empty kind.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// AsError gives err as an *Error. An error of another type becomes an internal
// one with a fixed sentence, its text kept as the cause only.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{
		Kind:    Internal,
		Message: "Something went wrong inside Chancery.",
		Remedy:  "Look up the reference in the server's log, or run chancery doctor.",
		Err:     err,
	}
}

// Problems gathers the bad fields of one input so that all are reported at
// once. The zero value is ready.
type Problems struct{ list []*Error }

// Add records a bad field with what to do about it.
func (p *Problems) Add(field, message, remedy string) {
	p.list = append(p.list, &Error{Kind: Invalid, Field: field, Message: message, Remedy: remedy})
}

// Merge takes over the problems of err under a prefix; an error that is not
// about a field becomes one about the prefix itself.
func (p *Problems) Merge(prefix string, err error) {
	if err == nil {
		return
	}
	e := AsError(err)
	if len(e.Details) == 0 {
		c := *e
		c.Field = join(prefix, c.Field)
		p.list = append(p.list, &c)
		return
	}
	for _, d := range e.Details {
		c := *d
		c.Field = join(prefix, c.Field)
		p.list = append(p.list, &c)
	}
}

// Err is nil without problems, the single problem, or one Invalid error that
// carries them all.
func (p *Problems) Err() error {
	switch len(p.list) {
	case 0:
		return nil
	case 1:
		return p.list[0]
	}
	return &Error{
		Kind:    Invalid,
		Message: fmt.Sprintf("%d fields need attention.", len(p.list)),
		Remedy:  "Correct the fields named below and send it again; nothing was changed.",
		Details: p.list,
	}
}

func join(prefix, field string) string {
	switch {
	case prefix == "":
		return field
	case field == "":
		return prefix
	}
	return prefix + "." + field
}
