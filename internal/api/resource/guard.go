package resource

import (
	"time"

	"chancery/internal/ra"
)

// Guard is what the guard last found of an authority and its templates.
type Guard struct {
	AuthorityID string    `json:"authority_id"`
	DirectoryID string    `json:"directory_id,omitempty" doc:"Where templates and rights are read; absent: none is set."`
	Account     string    `json:"account,omitempty" doc:"Whom requests come from."`
	EvaluatedAt time.Time `json:"evaluated_at,omitzero" doc:"Absent: never."`
	EvaluatedBy string    `json:"evaluated_by,omitempty"`
	Open        int       `json:"open" doc:"Dangers that nobody has signed off."`
	Findings    []Finding `json:"findings" nullable:"false"`
	Dangers     []Danger  `json:"dangers" nullable:"false" doc:"Those that are there, also when the last look could not see them."`
	Obligation
}

// Finding is one condition on one object.
type Finding struct {
	Condition string      `json:"condition" doc:"ESC1 to ESC16; AGENT: the enrollment agent's certificate ends; NTAUTH: the domain does not take the authority's certificates for logons."`
	Name      string      `json:"name" doc:"Stable name of the condition on the object."`
	State     string      `json:"state" enum:"found,not found,could not be read,cannot be seen from here"`
	Severity  string      `json:"severity,omitempty" enum:"danger,warning,advice"`
	Object    string      `json:"object,omitempty"`
	Template  string      `json:"template,omitempty"`
	Who       []Principal `json:"who,omitempty" doc:"Who could use it."`
	Sentence  string      `json:"sentence"`
	Remedy    string      `json:"remedy,omitempty"`
	Script    string      `json:"script,omitempty" doc:"PowerShell for an administrator to read, then run."`
	Hash      string      `json:"hash,omitempty" doc:"Of what was judged; a sign-off names it."`
}

// Principal is an account or group of a directory.
type Principal struct {
	SID  string `json:"sid"`
	Name string `json:"name"`
}

// Danger is a dangerous finding until it is mended.
type Danger struct {
	ID          string    `json:"id"`
	AuthorityID string    `json:"authority_id"`
	Open        bool      `json:"open" doc:"Nobody has signed it off as it is now."`
	Finding     Finding   `json:"finding"`
	FoundAt     time.Time `json:"found_at"`
	SeenAt      time.Time `json:"seen_at" doc:"When it was seen last."`
	SignOff     *SignOff  `json:"sign_off,omitempty" doc:"The last one, also when it has lapsed."`
	Obligation
}

// SignOff is one person's word that a danger may stay.
type SignOff struct {
	By       string    `json:"by"`
	Why      string    `json:"why"`
	At       time.Time `json:"at"`
	LapsedAt time.Time `json:"lapsed_at,omitzero" doc:"When what was signed off changed; absent: it counts."`
}

// SignOffInput signs a danger off.
type SignOffInput struct {
	Hash string `json:"hash" maxLength:"100" doc:"The finding's, as you saw it."`
	Why  string `json:"why" maxLength:"8000" doc:"Why it may stay: 10 to 2000 characters."`
}

// ScriptQuery asks for a script.
type ScriptQuery struct {
	Template string `query:"template" required:"true" maxLength:"300" doc:"Name of the authority's own template: its cn."`
	Revoke   bool   `query:"revoke" doc:"With the right to revoke."`
}

// Script is a script for an administrator.
type Script struct {
	PowerShell string `json:"powershell"`
}

// OfFinding gives a finding in wire form.
func OfFinding(f ra.Finding) Finding {
	out := Finding{Condition: f.Condition, Name: f.Key, State: f.State, Severity: f.Severity, Object: f.Object, Template: f.Template, Sentence: f.Sentence, Remedy: f.Remedy,
		Script: f.Script, Hash: f.Hash}
	for _, p := range f.Who {
		out.Who = append(out.Who, Principal(p))
	}
	return out
}

// OfDanger gives a danger in wire form.
func OfDanger(d *ra.Danger) Danger {
	out := Danger{ID: string(d.ID), AuthorityID: string(d.AuthorityID), Open: d.Open(), Finding: OfFinding(d.Finding), FoundAt: utc(d.CreatedAt), SeenAt: utc(d.Seen),
		Obligation: obligationOf(d.Obligation)}
	if s := d.SignOff; !s.At.IsZero() {
		out.SignOff = &SignOff{By: s.By, Why: s.Why, At: utc(s.At), LapsedAt: utc(s.Ended)}
	}
	return out
}

// OfPosture gives what was found in wire form.
func OfPosture(p *ra.Posture, dangers []*ra.Danger) Guard {
	out := Guard{AuthorityID: string(p.ID), DirectoryID: string(p.Report.Directory), Account: p.Report.Account, EvaluatedAt: utc(p.Evaluated), EvaluatedBy: p.Report.By,
		Findings: []Finding{}, Dangers: []Danger{}, Obligation: obligationOf(p.Obligation)}
	for _, f := range p.Report.Findings {
		out.Findings = append(out.Findings, OfFinding(f))
	}
	for _, d := range dangers {
		out.Dangers = append(out.Dangers, OfDanger(d))
		if d.Open() {
			out.Open++
		}
	}
	return out
}
