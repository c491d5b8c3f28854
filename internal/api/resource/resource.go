// Package resource holds the things the REST API speaks of, in the form they
// have on the wire: JSON with lower-case names, times in RFC 3339 and UTC,
// references by ID, and whatever is not set left out. Server and client share
// them, so that neither can drift from the other.
//
// A name that ends in Input is what somebody sends: every field is a pointer,
// and in a change a field that is left out stays as it is. One that ends in
// Query narrows a list. Secrets are only ever sent, never answered, except for
// the few that are shown once when they are made.
package resource

import (
	"time"

	"chancery/internal/ra"
)

// Page is one page of a list. Pages are cut by key, so they stay right while
// things come and go.
type Page[T any] struct {
	Items []T    `json:"items" nullable:"false"`
	Next  string `json:"next,omitempty" doc:"Cursor of the next page, for after; absent on the last one."`
}

// PageQuery says which page of a list is wanted.
type PageQuery struct {
	Limit int    `query:"limit" minimum:"1" maximum:"1000" doc:"Items on the page, 50 when left out."`
	After string `query:"after" maxLength:"2000" doc:"The next cursor of the page before."`
	Sort  string `query:"sort" maxLength:"40" doc:"What the list is ordered by; a leading - turns it round."`
}

// Times is when something was made and last changed.
type Times struct {
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

func timesOf(t ra.Times) Times { return Times{t.CreatedAt.UTC(), t.UpdatedAt.UTC()} }

// Actor is who did something.
type Actor struct {
	Kind   string `json:"kind" doc:"admin, token, device, local or system."`
	ID     string `json:"id,omitempty"`
	Name   string `json:"name"`
	Via    string `json:"via,omitempty" doc:"The door it came through: console, api, cli, scep, job."`
	Remote string `json:"remote,omitempty" doc:"Network address, when there was one."`
}

// OfActor gives an actor without the rights it had.
func OfActor(a ra.Actor) Actor {
	return Actor{Kind: string(a.Kind), ID: a.ID, Name: a.Name, Via: a.Via, Remote: a.Remote}
}

// Obligation is what something that somebody waits for owes.
type Obligation struct {
	Action    string    `json:"next_action,omitempty" doc:"approve, issue, fetch, renew, await, expire, retire, revoke, deliver, sync, publish, withdraw, hand_over, take_back, import, evaluate or mend; absent when nobody waits."`
	At        time.Time `json:"next_action_at,omitzero"`
	Deadline  time.Time `json:"deadline_at,omitzero" doc:"After this it is late."`
	Attempts  int       `json:"attempts,omitempty"`
	LastError string    `json:"last_error,omitempty"`
	Escalated time.Time `json:"escalated_at,omitzero" doc:"When people were told that it is late."`
}

func obligationOf(o ra.Obligation) Obligation {
	return Obligation{Action: string(o.Action), At: utc(o.At), Deadline: utc(o.Deadline), Attempts: o.Attempts, LastError: o.LastError, Escalated: utc(o.Escalated)}
}

// utc keeps the zero time zero, whatever its location.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC()
}

// Grant gives a role in an organization group and everything below it.
type Grant struct {
	Role  string `json:"role" enum:"owner,manager,operator,approver,auditor,viewer"`
	Group string `json:"group,omitempty" doc:"Organization group; left out, the whole installation."`
}

// OfGrants gives grants in wire form, never nil.
func OfGrants(list []ra.Grant) []Grant {
	out := make([]Grant, len(list))
	for i, g := range list {
		out[i] = Grant{Role: string(g.Role), Group: string(g.Group)}
	}
	return out
}

// Grants gives grants as nouns.
func Grants(list []Grant) []ra.Grant {
	out := make([]ra.Grant, len(list))
	for i, g := range list {
		out[i] = ra.Grant{Role: ra.Role(g.Role), Group: ra.GroupID(g.Group)}
	}
	return out
}

// Attempt is how one item of an act on many went.
type Attempt struct {
	ID      string   `json:"id"`
	Title   string   `json:"title"`
	Outcome string   `json:"outcome" enum:"would_change,changed,unchanged,failed"`
	Problem *Problem `json:"problem,omitempty"`
}

// Problem is what went wrong (application/problem+json, RFC 9457). Kind is the
// stable word to decide by; message and remedy are for people.
type Problem struct {
	Title     string         `json:"title"`
	Status    int            `json:"status"`
	Kind      string         `json:"kind" doc:"not_found, denied, unauthenticated, invalid, refused_by_ca, unreachable, conflict, too_large, busy or internal."`
	Message   string         `json:"message" doc:"One sentence for people."`
	Remedy    string         `json:"remedy,omitempty" doc:"What can be done about it."`
	Field     string         `json:"field,omitempty" doc:"The input at fault."`
	Errors    []FieldProblem `json:"errors,omitempty" doc:"Every bad field, when there are several."`
	Reference string         `json:"reference,omitempty" doc:"Under this the server's log has the cause of an internal error."`
}

// FieldProblem is one bad field.
type FieldProblem struct {
	Field   string `json:"field"`
	Message string `json:"message"`
	Remedy  string `json:"remedy,omitempty"`
}

// Err gives the problem as the error it was on the other side.
func (p *Problem) Err() *ra.Error {
	e := &ra.Error{Kind: ra.Kind(p.Kind), Message: p.Message, Remedy: p.Remedy, Field: p.Field}
	for _, f := range p.Errors {
		e.Details = append(e.Details, &ra.Error{Kind: e.Kind, Field: f.Field, Message: f.Message, Remedy: f.Remedy})
	}
	if p.Reference != "" {
		e.Message += " (reference " + p.Reference + ")"
	}
	return e
}
