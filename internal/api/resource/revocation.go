package resource

import "time"

// RevocationOrder revokes everything that a filter finds now.
type RevocationOrder struct {
	Filter  CertificateFilter `json:"filter" doc:"Without states: everything in use."`
	Reason  string            `json:"reason,omitempty" doc:"As for one certificate; not certificateHold."`
	Comment string            `json:"comment,omitempty" maxLength:"512"`
	DryRun  bool              `json:"dry_run,omitempty" doc:"Only count; the answer has no ID."`
}

// Revocation is the revocation of many certificates, done in the background.
type Revocation struct {
	ID       string              `json:"id,omitempty"`
	State    string              `json:"state" enum:"planned,running,done"`
	OrderBy  string              `json:"ordered_by"`
	Reason   string              `json:"reason"`
	Comment  string              `json:"comment,omitempty"`
	Total    int64               `json:"total" doc:"How many were found when it was ordered."`
	Revoked  int64               `json:"revoked"`
	Skipped  int64               `json:"skipped" doc:"Revoked, ended or gone before their turn."`
	Failed   int64               `json:"failed"`
	Failures []RevocationFailure `json:"failures" nullable:"false" doc:"The first two hundred."`
	Created  time.Time           `json:"created_at,omitzero"`
	Ended    time.Time           `json:"ended_at,omitzero"`
}

// RevocationFailure is a certificate that could not be revoked.
type RevocationFailure struct {
	ID      string `json:"id"`
	Title   string `json:"title"`
	Message string `json:"message"`
	Remedy  string `json:"remedy,omitempty"`
}
