// Package audit writes the append-only record: who did what to which object,
// when, through which door, and how it ended. Every capability records inside
// the transaction that does the thing, so that there is no act without a line
// and no line without an act. Entries are chained by hash (package store), and
// details never hold a secret: settings come in as masked differences.
package audit

import (
	"encoding/json"
	"fmt"

	"chancery/internal/ra"
	"chancery/internal/store"
)

// The event codes. They are stable: people filter and alarm on them.
const (
	GroupCreated         = "group.created"
	GroupChanged         = "group.changed"
	GroupDeleted         = "group.deleted"
	UserCreated          = "user.created"
	UserChanged          = "user.changed"
	UserDeleted          = "user.deleted"
	DeviceCreated        = "device.created"
	DeviceChanged        = "device.changed"
	DeviceEnrolled       = "device.enrolled"
	DeviceUnenrolled     = "device.unenrolled"
	DeviceBlocked        = "device.blocked"
	DeviceDeleted        = "device.deleted"
	AuthorityCreated     = "authority.created"
	AuthorityChanged     = "authority.changed"
	AuthorityDeleted     = "authority.deleted"
	AuthorityTested      = "authority.tested"
	AuthorityDown        = "authority.down"     // it does not answer, told once
	AuthorityUp          = "authority.up"       // it answers again
	AuthorityCapacity    = "authority.capacity" // more renewals than it can do in time
	DirectoryCreated     = "directory.created"
	DirectoryChanged     = "directory.changed"
	DirectoryDeleted     = "directory.deleted"
	DirectoryTested      = "directory.tested"
	DirectorySynced      = "directory.synced"    // its users were taken over
	DirectoryHeld        = "directory.held"      // they were not: too many would be disabled
	DirectoryFailed      = "directory.failed"    // they were not: told once
	DirectoryOverdue     = "directory.overdue"   // for a long time
	PostureEvaluated     = "posture.evaluated"   // the guard looked at an authority
	PostureOverdue       = "posture.overdue"     // it could not for a long time
	ImportSet            = "ca_import.set"       // how an authority's certificates are taken over
	ImportRemoved        = "ca_import.removed"   // they are not any more
	ImportStarted        = "ca_import.started"   // a run that somebody ordered
	ImportEnded          = "ca_import.ended"     // a run went through
	ImportFailed         = "ca_import.failed"    // it did not: told once
	ImportCancelled      = "ca_import.cancelled" // somebody ended it
	ImportOverdue        = "ca_import.overdue"   // none went through for a long time
	CertificatesImported = "ca_import.added"     // certificates are in the inventory now
	ImportAdopted        = "ca_import.adopted"   // one that was there has a template or an owner now
	DifferenceFound      = "difference.found"    // an authority's records and ours do not agree
	DifferenceSettled    = "difference.settled"
	DangerFound          = "danger.found"
	DangerGone           = "danger.gone"
	DangerSigned         = "danger.signed_off"
	DangerReopened       = "danger.reopened" // the sign-off was taken back
	DangerLapsed         = "danger.lapsed"   // what was signed off changed
	DangerOverdue        = "danger.overdue"
	TemplateCreated      = "template.created"
	TemplateChanged      = "template.changed"
	TemplateDeleted      = "template.deleted"
	EndpointCreated      = "endpoint.created"
	EndpointChanged      = "endpoint.changed"
	EndpointDeleted      = "endpoint.deleted"
	ChallengeCreated     = "challenge.created"
	ChallengeDeleted     = "challenge.deleted"
	PassCreated          = "pass.created"
	PassRevealed         = "pass.revealed" // its parameters, with a challenge, were given away
	PassClaimed          = "pass.claimed"  // the first message was passed on
	PassDone             = "pass.done"
	PassConfirmed        = "pass.confirmed" // its certificate was seen elsewhere than in the answer
	PassFailed           = "pass.failed"
	PassExpired          = "pass.expired"
	PassRevoked          = "pass.revoked"
	PassOverdue          = "pass.overdue"
	RequestSubmitted     = "request.submitted"
	RequestApproved      = "request.approved"
	RequestDenied        = "request.denied"
	RequestPending       = "request.pending"
	RequestFailed        = "request.failed"
	RequestCancelled     = "request.cancelled"
	RequestRefused       = "request.refused" // at a door, before there was a request
	RequestOverdue       = "request.overdue"
	CertificateIssued    = "certificate.issued"
	CertificateRevoked   = "certificate.revoked"
	BulkOrdered          = "certificate.bulk_ordered" // a revocation of everything a filter finds
	BulkEnded            = "certificate.bulk_ended"
	CertificateHeld      = "certificate.held"
	CertificateUnheld    = "certificate.unheld"
	CertificateExpired   = "certificate.expired"
	CertificateRetired   = "certificate.retired"
	CertificateOverdue   = "certificate.overdue"
	CertificatePublished = "certificate.published" // in its user's directory entry
	CertificateWithdrawn = "certificate.withdrawn" // from there
	PublicationOverdue   = "publication.overdue"
	KeyDownloaded        = "key.downloaded"
	KeyDelivered         = "key.delivered" // to its user's directory entry or a key service
	KeyWithdrawn         = "key.withdrawn" // from the entry
	KeyDropped           = "key.dropped"   // it was not needed there any more
	KeyOverdue           = "key.overdue"
	KeyServiceCreated    = "key_service.created"
	KeyServiceChanged    = "key_service.changed"
	KeyServiceDeleted    = "key_service.deleted"
	KeyServiceTested     = "key_service.tested"
	KeyServiceGone       = "key_service.gone" // it said so, and was switched off
	CRLPublished         = "crl.published"
	AdminCreated         = "admin.created"
	AdminChanged         = "admin.changed"
	AdminDeleted         = "admin.deleted"
	AdminSignedIn        = "admin.signed_in"
	AdminSignInRefused   = "admin.sign_in_refused"
	AdminSignedOut       = "admin.signed_out"
	PasskeyAdded         = "passkey.added"
	PasskeyRemoved       = "passkey.removed"
	TokenCreated         = "token.created"
	TokenDeleted         = "token.deleted"
	LinkCreated          = "link.created"
	InstallationPrepared = "installation.prepared"
	MasterKeyOffered     = "master_key.offered"
	MasterKeyInUse       = "master_key.in_use"
	MasterKeyAlone       = "master_key.alone"
	MasterKeyDropped     = "master_key.dropped"
	InstallationRestored = "installation.restored"
	ClockTrusted         = "clock.trusted"
)

// Entry is what a capability says about one act. The zero Result is "ok".
type Entry struct {
	Code    string
	Actor   ra.Actor
	Group   ra.GroupID
	Object  string // ID of what it is about
	Related string // ID of the next most important thing
	Result  string // "ok", "refused", "failed"
	Message string // one sentence for people
	Details any    // marshals to JSON; never a secret
}

// Record appends an entry in the caller's transaction.
func Record(tx *store.Tx, e Entry) error {
	if e.Result == "" {
		e.Result = "ok"
	}
	details := []byte("{}")
	if e.Details != nil {
		var err error
		if details, err = json.Marshal(e.Details); err != nil {
			return fmt.Errorf("audit details of %s: %w", e.Code, err)
		}
	}
	return tx.Append(&ra.AuditEntry{At: tx.Now, Code: e.Code, Actor: e.Actor, GroupID: e.Group, Object: e.Object,
		Related: e.Related, Result: e.Result, Message: e.Message, Details: details})
}
