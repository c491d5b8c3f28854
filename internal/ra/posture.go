package ra

import (
	"strings"
	"time"
)

// Posture is what was last found of the ways in which somebody without rights
// could become anybody through an authority.
type Posture struct {
	ID        AuthorityID
	Version   time.Time // the authority's UpdatedAt when it was last looked at; another one is due at once
	Evaluated time.Time // when it was last looked at; zero: never
	Report    PostureReport
	Obligation
}

// PostureReport is what an evaluation says.
type PostureReport struct {
	Directory DirectoryID       `json:"directory,omitempty"` // where templates were read; empty: none is set
	Account   string            `json:"account,omitempty"`   // whom requests come from, as the directory calls it
	By        string            `json:"by"`                  // who had it done
	Findings  []Finding         `json:"findings"`
	Templates []IssuingTemplate `json:"templates,omitempty"` // of the directory
	ReadAt    time.Time         `json:"read_at,omitzero"`    // when Templates were read
}

// Template finds a template by its name, in any case, or its object identifier.
func (r *PostureReport) Template(name string) (*IssuingTemplate, bool) {
	for i := range r.Templates {
		if t := &r.Templates[i]; strings.EqualFold(t.Name, name) || t.OID != "" && t.OID == name {
			return t, true
		}
	}
	return nil, false
}

// IssuingTemplate is a template of the authority itself, as pickers show it.
type IssuingTemplate struct {
	Name       string   `json:"name"`
	Title      string   `json:"title"`
	OID        string   `json:"oid,omitempty"`
	Issued     bool     `json:"issued"` // this authority issues from it
	Requires   []string `json:"requires,omitempty"`
	Impossible []string `json:"impossible,omitempty"` // why requests from here cannot meet it
	Enroll     string   `json:"enroll"`               // whether our account may: yes, no, unknown
	Purposes   []string `json:"purposes,omitempty"`
}

// The states of findings.
const (
	FindingFound      = "found"
	FindingNotFound   = "not found"
	FindingUnreadable = "could not be read"
	FindingUnseen     = "cannot be seen from here"
)

// The severities of what was found.
const (
	SeverityDanger  = "danger"
	SeverityWarning = "warning"
	SeverityAdvice  = "advice"
)

// Finding is one condition on one object.
type Finding struct {
	Condition string      `json:"condition"` // ESC1 to ESC16, AGENT, NTAUTH
	Key       string      `json:"key"`       // stable name of the condition on the object
	State     string      `json:"state"`
	Severity  string      `json:"severity,omitempty"`
	Object    string      `json:"object,omitempty"`
	Template  string      `json:"template,omitempty"`
	Authority bool        `json:"authority,omitempty"` // it is about the authority itself
	Who       []Principal `json:"who,omitempty"`
	Sentence  string      `json:"sentence"`
	Remedy    string      `json:"remedy,omitempty"`
	Script    string      `json:"script,omitempty"` // for an administrator to read, then run
	Hash      string      `json:"hash,omitempty"`   // of what was judged; another one ends a sign-off
}

// Dangerous reports whether it was found and is a danger.
func (f *Finding) Dangerous() bool { return f.State == FindingFound && f.Severity == SeverityDanger }

// Principal is an account or a group of a directory.
type Principal struct {
	SID  string `json:"sid"`
	Name string `json:"name"`
}

// Danger is a dangerous finding until it is mended. It waits for people: somebody
// mends it, or signs it off.
type Danger struct {
	ID          DangerID
	AuthorityID AuthorityID
	Finding     Finding   // as it was seen last
	Seen        time.Time // when that was
	SignOff     SignOff   // the last one, even if it has lapsed
	Obligation
	Times
}

// SignOff is one person's word that a danger may stay.
type SignOff struct {
	Hash  string    `json:"hash,omitempty"`
	By    string    `json:"by,omitempty"`
	Admin AdminID   `json:"admin,omitempty"` // who that is, when it is somebody of ours
	Why   string    `json:"why,omitempty"`
	At    time.Time `json:"at,omitzero"`
	Ended time.Time `json:"ended,omitzero"` // when what was signed off changed; zero: it counts
}

// Open reports whether nobody has signed the danger off as it is now.
func (d *Danger) Open() bool {
	return d.SignOff.At.IsZero() || !d.SignOff.Ended.IsZero() || d.SignOff.Hash != d.Finding.Hash
}

// Lapsed reports whether somebody had signed it off before it changed.
func (d *Danger) Lapsed() bool { return !d.SignOff.At.IsZero() && d.Open() }

// Stops reports whether the danger, while it is open, keeps a template of the
// authority from being used anew: one that is about it, or about the authority
// that issues from it.
func (d *Danger) Stops(template string) bool {
	return d.Open() && (d.Finding.Authority || d.Finding.Template != "" && strings.EqualFold(d.Finding.Template, template))
}
