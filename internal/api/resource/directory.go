package resource

import (
	"encoding/json"
	"time"

	"chancery/internal/ra"
)

// Directory is a directory server whose users are taken over. Secrets in its
// settings are {"set": true}.
type Directory struct {
	ID          string          `json:"id"`
	GroupID     string          `json:"group_id" doc:"Where its users belong."`
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Settings    json.RawMessage `json:"settings"`
	Disabled    bool            `json:"disabled,omitempty"`
	Status      *DirectoryState `json:"status,omitempty" doc:"Only when one directory is shown."`
	Times
}

// DirectoryState is how far a directory is taken over.
type DirectoryState struct {
	SyncedAt  time.Time `json:"synced_at,omitzero" doc:"When a run last went through."`
	Users     int       `json:"users" doc:"How many users the directory had then."`
	NextAt    time.Time `json:"next_at,omitzero" doc:"When the next run is due."`
	Failures  int       `json:"failures" doc:"Runs since then that did not go through."`
	LastError string    `json:"last_error,omitempty"`
}

// OfDirectory gives a directory in wire form.
func OfDirectory(d *ra.Directory) Directory {
	return Directory{ID: string(d.ID), GroupID: string(d.GroupID), Name: d.Name, Description: d.Description, Settings: raw(d.Settings), Disabled: d.Disabled, Times: timesOf(d.Times)}
}

// OfDirectoryState gives how far a directory is taken over in wire form.
func OfDirectoryState(s *ra.DirectoryState) *DirectoryState {
	return &DirectoryState{SyncedAt: s.SyncedAt, Users: s.Users, NextAt: s.At, Failures: s.Attempts, LastError: s.LastError}
}

// DirectoryInput is what somebody says about a directory.
type DirectoryInput struct {
	GroupID     *string         `json:"group_id,omitempty" doc:"Required when the directory is made."`
	Name        *string         `json:"name,omitempty" doc:"Required when the directory is made."`
	Description *string         `json:"description,omitempty"`
	Settings    json.RawMessage `json:"settings,omitempty" doc:"See /directories/form; in a change, only what changes."`
	Disabled    *bool           `json:"disabled,omitempty"`
}

// DirectoryQuery narrows a list of directories.
type DirectoryQuery struct {
	Group string `query:"group_id" doc:"This group and everything below it."`
	Text  string `query:"text" doc:"Part of the name."`
	PageQuery
}

// DirectoryTest asks to test settings that are not stored.
type DirectoryTest struct {
	GroupID  string          `json:"group_id,omitempty" doc:"Where it shall belong; needed for a new one."`
	ID       string          `json:"id,omitempty" doc:"The stored directory whose secrets are kept."`
	Settings json.RawMessage `json:"settings,omitempty"`
}

// SyncOrder asks for users to be taken over now.
type SyncOrder struct {
	Preview bool `json:"preview,omitempty" doc:"Only count what would change."`
	Full    bool `json:"full,omitempty" doc:"Read everybody, not only who changed."`
	Allow   int  `json:"allow,omitempty" minimum:"0" doc:"How many users may be disabled although they are many: the number that a held run named."`
}

// Sync is a run that takes users over, in the background.
type Sync struct {
	ID          string        `json:"id"`
	DirectoryID string        `json:"directory_id"`
	State       string        `json:"state" enum:"waiting,running,done,held,failed" doc:"held: too many users would be disabled, and nobody was."`
	OrderBy     string        `json:"ordered_by"`
	Preview     bool          `json:"preview,omitempty"`
	Full        bool          `json:"full,omitempty"`
	Allow       int           `json:"allow,omitempty"`
	Server      string        `json:"server,omitempty"`
	Phase       string        `json:"phase,omitempty" doc:"What it is doing."`
	Total       int           `json:"total" doc:"Users in the directory."`
	Read        int           `json:"read" doc:"Looked at so far."`
	Added       int           `json:"added"`
	Changed     int           `json:"changed"`
	Disabled    int           `json:"disabled"`
	Enabled     int           `json:"enabled"`
	Skipped     int           `json:"skipped" doc:"Could not be taken over."`
	Problems    []SyncProblem `json:"problems" nullable:"false" doc:"The first hundred."`
	Notes       []string      `json:"notes,omitempty"`
	Message     string        `json:"message,omitempty"`
	Remedy      string        `json:"remedy,omitempty"`
	Created     time.Time     `json:"created_at"`
	Started     time.Time     `json:"started_at,omitzero"`
	Ended       time.Time     `json:"ended_at,omitzero"`
}

// SyncProblem is a user, or a value of one, that could not be taken over.
type SyncProblem struct {
	User    string `json:"user"`
	Message string `json:"message"`
	Remedy  string `json:"remedy,omitempty"`
}

// OfSync gives a run in wire form.
func OfSync(s *ra.Sync) Sync {
	out := Sync{ID: string(s.ID), DirectoryID: string(s.Directory), State: string(s.State), OrderBy: s.By.Name, Preview: s.Preview, Full: s.Full, Allow: s.Allow,
		Server: s.Server, Phase: s.Phase, Total: s.Total, Read: s.Read, Added: s.Added, Changed: s.Changed, Disabled: s.Disable, Enabled: s.Enabled, Skipped: s.Skipped,
		Problems: []SyncProblem{}, Notes: s.Notes, Message: s.Message, Remedy: s.Remedy, Created: s.CreatedAt, Started: s.StartedAt, Ended: s.EndedAt}
	for _, p := range s.Problems {
		out.Problems = append(out.Problems, SyncProblem(p))
	}
	return out
}

// Publication is how it stands with a certificate in its user's directory entry.
type Publication struct {
	DirectoryID string `json:"directory_id"`
	Published   bool   `json:"published" doc:"The directory has it."`
	Obligation
}

// OfPublication gives a publication in wire form.
func OfPublication(p *ra.Publication) *Publication {
	return &Publication{DirectoryID: string(p.Directory), Published: p.Published, Obligation: obligationOf(p.Obligation)}
}
