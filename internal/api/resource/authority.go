package resource

import (
	"encoding/json"

	"chancery/internal/ra"
)

// Authority is a certificate authority somebody defined. Secrets in its
// settings are {"set": true}.
type Authority struct {
	ID            string          `json:"id"`
	GroupID       string          `json:"group_id"`
	Name          string          `json:"name"`
	Description   string          `json:"description,omitempty"`
	Kind          string          `json:"kind"`
	Settings      json.RawMessage `json:"settings"`
	RatePerSecond float64         `json:"rate_per_second,omitempty" doc:"0: no limit."`
	MaxInFlight   int             `json:"max_in_flight,omitempty" doc:"0: the default."`
	Disabled      bool            `json:"disabled,omitempty"`
	Abilities     []string        `json:"abilities,omitempty" doc:"What it can do as it is set up; only when one authority is shown."`
	Times
}

// OfAuthority gives an authority in wire form.
func OfAuthority(a *ra.Authority) Authority {
	return Authority{ID: string(a.ID), GroupID: string(a.GroupID), Name: a.Name, Description: a.Description, Kind: a.Kind, Settings: raw(a.Settings),
		RatePerSecond: a.RatePerSecond, MaxInFlight: a.MaxInFlight, Disabled: a.Disabled, Times: timesOf(a.Times)}
}

func raw(b []byte) json.RawMessage {
	if len(b) == 0 {
		return json.RawMessage("{}")
	}
	return b
}

// AuthorityInput is what somebody says about an authority.
type AuthorityInput struct {
	Kind          *string         `json:"kind,omitempty" doc:"One of /authorities/kinds; only when the authority is made."`
	GroupID       *string         `json:"group_id,omitempty"`
	Name          *string         `json:"name,omitempty"`
	Description   *string         `json:"description,omitempty"`
	Settings      json.RawMessage `json:"settings,omitempty" doc:"The kind's own settings; in a change, only what changes."`
	RatePerSecond *float64        `json:"rate_per_second,omitempty"`
	MaxInFlight   *int            `json:"max_in_flight,omitempty"`
	Disabled      *bool           `json:"disabled,omitempty"`
}

// AuthorityQuery narrows a list of authorities.
type AuthorityQuery struct {
	Group string `query:"group_id" doc:"This group and everything below it."`
	Kind  string `query:"kind"`
	Text  string `query:"text" doc:"Part of the name."`
	PageQuery
}

// AuthorityTest asks to test settings that are not stored.
type AuthorityTest struct {
	Kind     string          `json:"kind"`
	GroupID  string          `json:"group_id,omitempty" doc:"Where it shall belong; needed for a new one."`
	ID       string          `json:"id,omitempty" doc:"The stored authority whose secrets are kept."`
	Settings json.RawMessage `json:"settings,omitempty"`
}

// Step is one step of a test.
type Step struct {
	Name   string `json:"name"`
	State  string `json:"state" enum:"ok,warning,failed,skipped"`
	Detail string `json:"detail,omitempty"`
	Remedy string `json:"remedy,omitempty"`
	TookMS int64  `json:"took_ms,omitempty"`
}

// TestReport is how a test went. A failed step is not an error of the call.
type TestReport struct {
	OK    bool   `json:"ok"`
	Steps []Step `json:"steps" nullable:"false"`
}

// CatalogEntry is one choice the authority offers.
type CatalogEntry struct {
	ID        string         `json:"id"`
	Title     string         `json:"title"`
	Note      string         `json:"note,omitempty"`
	KeyTypes  []string       `json:"key_types,omitempty" doc:"Dictated by the profile; absent: free."`
	Fields    []CatalogField `json:"fields,omitempty" doc:"What a request must bring besides the CSR."`
	Requires  []string       `json:"requires,omitempty" doc:"What it asks of requests, in words."`
	Obstacles []string       `json:"obstacles,omitempty" doc:"Why it cannot be chosen now; absent: it can."`
}

// CatalogField is one field a profile asks for.
type CatalogField struct {
	Name      string `json:"name"`
	Label     string `json:"label"`
	Required  bool   `json:"required,omitempty"`
	MaxLength int    `json:"max_length,omitempty"`
}

// CSR is a certificate request of an authority's own.
type CSR struct {
	PEM string `json:"pem"`
}

// Chain is certificates in PEM, the one that matters first.
type Chain struct {
	PEM string `json:"pem" doc:"Certificates, the issued one first and those above it behind."`
}

// Kind is one sort of authority.
type Kind struct {
	ID        string         `json:"id"`
	Title     string         `json:"title"`
	Help      string         `json:"help"`
	KeyPlaces []string       `json:"key_places" nullable:"false"`
	KeyTypes  []string       `json:"key_types,omitempty" doc:"Absent: the authority's profile dictates."`
	Revoke    bool           `json:"revoke"`
	Hold      bool           `json:"hold"`
	Renew     bool           `json:"renew"`
	Pending   bool           `json:"pending" doc:"It may answer later."`
	Sure      bool           `json:"sure" doc:"A lost answer is found again."`
	Ports     string         `json:"ports,omitempty"`
	Limits    string         `json:"limits,omitempty"`
	Settings  []Field        `json:"settings" nullable:"false" doc:"The form of the authority's settings."`
	Options   []Field        `json:"options,omitempty" doc:"The form of the settings a template adds."`
	Schema    map[string]any `json:"schema" doc:"JSON schema of settings."`
}

// Field describes one setting to whoever draws a form.
type Field struct {
	Name        string     `json:"name"`
	Flag        string     `json:"flag" doc:"The command line's name for it."`
	Label       string     `json:"label"`
	Help        string     `json:"help,omitempty"`
	Section     string     `json:"section,omitempty"`
	SectionHelp string     `json:"section_help,omitempty"`
	Type        string     `json:"type"`
	Required    bool       `json:"required,omitempty"`
	Default     string     `json:"default,omitempty"`
	Options     []Option   `json:"options,omitempty"`
	Lookup      string     `json:"lookup,omitempty" doc:"Catalog of the authority that offers values."`
	Min         string     `json:"min,omitempty"`
	Max         string     `json:"max,omitempty"`
	MaxLength   int        `json:"max_length,omitempty"`
	Pattern     string     `json:"pattern,omitempty"`
	PatternHint string     `json:"pattern_hint,omitempty"`
	Placeholder string     `json:"placeholder,omitempty"`
	When        *Condition `json:"when,omitempty"`
	Advanced    bool       `json:"advanced,omitempty"`
	Secret      bool       `json:"secret,omitempty"`
}

// Option is one value of a choice.
type Option struct {
	Value string `json:"value"`
	Label string `json:"label,omitempty"`
	Help  string `json:"help,omitempty"`
}

// Condition makes a field matter only while another has one of some values.
type Condition struct {
	Field  string   `json:"field"`
	Values []string `json:"values"`
}
