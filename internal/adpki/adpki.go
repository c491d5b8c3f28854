// Package adpki reads what a forest says about its certification authorities:
// the Public Key Services objects of the configuration naming context of Active
// Directory (MS-CRTD, MS-WCCE §2.2.2.11).
//
// Read asks a Searcher, which a connection to the directory satisfies, and gives
// a Snapshot: templates with their flags in words, enrollment services, the
// NTAuth store, issuance policies, everybody's access lists, the privileged
// accounts' certificate mappings, and names for all the SIDs in them. A part
// that cannot be read does not spoil the rest; it is a Gap with its reason,
// for "there is nothing" and "we were not allowed to look" must not look alike.
//
// A template answers what it requires, who may enrol or change it, and whether
// our own account may. What is dangerous about all this is the question of the
// package guard.
//
// Nothing here writes to the directory, and nothing here knows LDAP.
package adpki

import (
	"context"
	"time"

	"chancery/internal/wire/secdesc"
)

// Scope is how deep a search looks.
type Scope uint8

// The scopes, with LDAP's numbers.
const (
	Base    Scope = iota // the entry itself
	One                  // its children
	Subtree              // itself and all below
)

// Query is one search.
type Query struct {
	Base       string // distinguished name; empty: the root of the server
	Scope      Scope
	Filter     string // RFC 4515
	Attributes []string
	// Security asks for owner, group and access list in nTSecurityDescriptor:
	// control 1.2.840.113556.1.4.801 with the flags 7, for without it those who
	// may not read the audit list get no descriptor at all.
	Security bool
}

// Entry is one found entry.
type Entry struct {
	DN     string
	Values map[string][][]byte // by attribute name, in whatever case
}

// Searcher searches the directory. It gives all pages of the answer, an
// *ra.Error of kind ra.NotFound when there is no such base, and follows no
// referrals. It need not be safe for concurrent use.
type Searcher interface {
	Search(context.Context, Query) ([]Entry, error)
}

// Object is what all directory objects here have.
type Object struct {
	DN   string
	GUID string // of the object, which survives a move
	Name string // its cn
	// Security is the owner and the access list, or nil with the reason in
	// Hidden.
	Security *secdesc.Descriptor
	Hidden   string
	// Print is a hash of everything that was read of the object; another one
	// means that the object changed.
	Print string
}

// Snapshot is the state of the forest's public key services at one time.
type Snapshot struct {
	Taken         time.Time
	Configuration string // the configuration naming context
	Domain        string // naming context of the domain that answered

	Templates  []Template
	Services   []Service
	NTAuth     *NTAuth // nil when there is none, or see Gaps
	Policies   []Policy
	Containers []Object // Public Key Services and the containers in it
	Hosts      []Host   // the computers the services run on
	Privileged []Privileged
	Names      map[string]Principal // by SID, of everybody named in an access list
	Account    Account              // ours
	Gaps       []Gap
}

// Part is one part of a Snapshot.
type Part string

// The parts that can be missing.
const (
	PartTemplates  Part = "templates"
	PartServices   Part = "enrollment services"
	PartNTAuth     Part = "NTAuth store"
	PartPolicies   Part = "object identifiers"
	PartContainers Part = "containers"
	PartHosts      Part = "computers of the authorities"
	PartPrivileged Part = "privileged accounts"
	PartNames      Part = "names"
	PartAccount    Part = "service account"
)

// Gap is something that could not be read: a whole part, or one object of it.
type Gap struct {
	Part   Part
	Object string // its distinguished name; empty: the whole part
	Why    string
}

// Gap gives the reason a whole part is missing.
func (s *Snapshot) Gap(p Part) (why string, missing bool) {
	for _, g := range s.Gaps {
		if g.Part == p && g.Object == "" {
			return g.Why, true
		}
	}
	return "", false
}

// Template finds a template by its cn.
func (s *Snapshot) Template(name string) (*Template, bool) {
	for i := range s.Templates {
		if s.Templates[i].Name == name {
			return &s.Templates[i], true
		}
	}
	return nil, false
}

// PublishedBy names the services that issue from a template.
func (s *Snapshot) PublishedBy(template string) []string {
	var names []string
	for _, service := range s.Services {
		if service.Offers(template) {
			names = append(names, service.Name)
		}
	}
	return names
}
