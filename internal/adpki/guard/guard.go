// Package guard looks for the known ways by which somebody without rights
// becomes anybody through a certification authority: ESC1 to ESC16, the names
// the field gave them.
//
// In go a snapshot of the directory (package adpki), what the authority told of
// itself, and whom this forest trusts or knows to be many. Out come findings:
// each condition says at least one thing, be it "not found", "could not be read"
// and why, or "cannot be seen from here", for a guard that is silent about what
// it did not see is worse than none. A finding names the object, who could use
// it, what to do, and a script for an administrator; the script names objects by
// GUID and people by SID, so that no text of the directory is ever run.
//
// What a forest decides to live with is signed off by name. A sign-off holds for
// one finding and ends by itself when what was signed off changes.
//
// Nothing here asks or changes anything.
package guard

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"chancery/internal/adpki"
	"chancery/internal/wire/secdesc"
)

// Fact is something the authority was asked; Why says why there is no answer.
type Fact[T any] struct {
	Value T
	Known bool
	Why   string
}

// Known is a fact with an answer, Unknown one without.
func Known[T any](v T) Fact[T]          { return Fact[T]{Value: v, Known: true} }
func Unknown[T any](why string) Fact[T] { return Fact[T]{Why: why} }

// Authority is what an authority tells of itself (MS-CSRA §3.1.4.2.14 and
// §3.1.4.1.9), and what its web pages look like.
type Authority struct {
	Name               string // as its certificate says
	Host               string
	EditFlags          Fact[uint32]
	InterfaceFlags     Fact[uint32]
	DisabledExtensions Fact[[]string]
	Security           Fact[*secdesc.Descriptor]
	Web                Fact[[]WebPage]
}

// WebPage is one address of web enrollment that answered.
type WebPage struct {
	URL     string
	Windows bool // it offers NTLM or Negotiate, so that a login can be relayed
	// Binding says whether a login that is not bound to the TLS channel is
	// refused (extended protection).
	Binding Fact[bool]
}

// Trust is what the forest's administrators say about its groups, by SID.
type Trust struct {
	Admins []string // may change public key services, such as the group of their administrators
	Large  []string // have so many members that they are everybody
}

// Input is what Evaluate judges.
type Input struct {
	Directory *adpki.Snapshot
	Authority Authority
	Trust     Trust
}

// State is how a condition was found.
type State string

// The states.
const (
	Found      State = "found"
	NotFound   State = "not found"
	Unreadable State = "could not be read"
	Unseen     State = "cannot be seen from here"
)

// Severity is how bad a found condition is.
type Severity string

// The severities. Danger stops the use of a template until somebody signs it
// off; Warning is for few people or needs more than the condition; Advice is
// what is so by design or by default.
const (
	Danger  Severity = "danger"
	Warning Severity = "warning"
	Advice  Severity = "advice"
)

// Finding is one condition on one object.
type Finding struct {
	ID       string // ESC1 to ESC16
	Key      string // stable name of this condition on this object
	State    State
	Severity Severity // empty unless found
	Object   string   // what people call it
	Template string   // cn, when it is about a template
	Who      []adpki.Principal
	Sentence string
	Remedy   string
	Script   string // PowerShell for an administrator; empty when there is nothing to run
	Hash     string // of what was judged; another one ends a sign-off
}

// check is one condition.
type check struct {
	id    string
	title string // for the sentence that it was not found
	run   func(*view) []Finding
}

// checks are all conditions, in the order of their numbers.
var checks = []check{
	{"ESC1", "an issuing template that lets everybody choose the name they log on with", supplySubject},
	{"ESC2", "an issuing template for any purpose that everybody may use", anyPurpose},
	{"ESC3", "an issuing template that makes everybody an enrollment agent", makesAgents},
	{"ESC4", "an issuing template that somebody who is no administrator may change", templateWriters},
	{"ESC5", "another public key object that somebody who is no administrator may change", objectWriters},
	{"ESC6", "an authority that takes names from request attributes", attributeNames},
	{"ESC7", "an authority managed by somebody who is no administrator", managers},
	{"ESC8", "web enrollment whose login can be relayed", webPages},
	{"ESC9", "an issuing template whose certificates log on without a SID", templateWithoutSID},
	{"ESC10", "weak mapping of certificates on domain controllers", weakControllers},
	{"ESC11", "an authority that takes requests in clear", clearRequests},
	{"ESC12", "an authority's key within reach of a shell", keyInReach},
	{"ESC13", "an issuing template whose certificates put their holder into a group", policyGroups},
	{"ESC14", "a privileged account with weak or writable certificate mappings", mappings},
	{"ESC15", "an old issuing template that takes key purposes from the request", oldTemplates},
	{"ESC16", "an authority that leaves the SID out of all certificates", authorityWithoutSID},
}

// Evaluate runs all checks. The findings are in the order of the conditions,
// then of the objects.
func Evaluate(in Input) []Finding {
	v := &view{in}
	var all []Finding
	for _, c := range checks {
		found := c.run(v)
		if len(found) == 0 {
			found = []Finding{{Key: c.id, State: NotFound, Sentence: "Not found: " + c.title + "."}}
		}
		for i := range found {
			found[i].ID = c.id
		}
		all = append(all, found...)
	}
	return all
}

// hash binds a finding to what was judged.
func hash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return base64.RawURLEncoding.EncodeToString(sum[:18])
}

// seal fills Key and Hash of a finding on an object: id tells conditions on one
// object apart, print is what the object was.
func (f Finding) seal(id, kind, object, print string) Finding {
	f.State = Found
	f.Key = fmt.Sprintf("%s:%s:%s", id, kind, strings.ToLower(object))
	who := make([]string, len(f.Who))
	for i, p := range f.Who {
		who[i] = p.SID
	}
	slices.Sort(who)
	f.Hash = hash(f.Key, string(f.Severity), print, strings.Join(who, ","))
	return f
}
