package resource

import (
	"encoding/json"
	"slices"
	"time"

	"chancery/internal/ra"
)

// Certificate is one issued certificate. issuer_hash and serial are its
// identity.
type Certificate struct {
	ID          string    `json:"id"`
	GroupID     string    `json:"group_id"`
	AuthorityID string    `json:"authority_id"`
	TemplateID  string    `json:"template_id,omitempty"`
	DeviceID    string    `json:"device_id,omitempty"`
	UserID      string    `json:"user_id,omitempty"`
	RequestID   string    `json:"request_id,omitempty"`
	Purpose     string    `json:"purpose,omitempty" doc:"scep_ra or ocsp for the server's own."`
	IssuerHash  string    `json:"issuer_hash"`
	Serial      string    `json:"serial"`
	Subject     string    `json:"subject"`
	SANs        []string  `json:"sans,omitempty"`
	KeyType     string    `json:"key_type"`
	KeyPlace    string    `json:"key_place,omitempty"`
	Fingerprint string    `json:"fingerprint"`
	SPKIHash    string    `json:"spki_hash"`
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	State       string    `json:"state"`
	Renews      string    `json:"renews,omitempty"`
	RenewedBy   string    `json:"renewed_by,omitempty"`
	RevokedAt   time.Time `json:"revoked_at,omitzero"`
	Reason      string    `json:"reason,omitempty" doc:"CRLReason of RFC 5280, when it is revoked or on hold."`
	Facts       *Facts    `json:"facts,omitempty" doc:"Only when one certificate is shown."`
	History     []Event   `json:"history,omitempty" doc:"Its life line, oldest first; only when one certificate is shown."`
	KeyWaiting  bool      `json:"key_waiting,omitempty" doc:"Its key waits here to be taken; only when one certificate is shown."`
	PEM         string    `json:"pem,omitempty" doc:"Only when one certificate is shown."`

	Publication *Publication `json:"publication,omitempty" doc:"How it stands with its user's directory entry; only when one certificate is shown that belongs there."`
	KeyDelivery *KeyDelivery `json:"key_delivery,omitempty" doc:"How it stands with its key and where that goes; only when one certificate is shown whose key goes somewhere."`

	ImportedFrom *ImportedFrom `json:"imported_from,omitempty" doc:"Where it was taken over from; only when one certificate is shown that was not issued through this server."`
	Obligation
	Times
}

// OfCertificate gives a certificate in wire form, as lists show it.
func OfCertificate(c *ra.Certificate) Certificate {
	out := Certificate{ID: string(c.ID), GroupID: string(c.GroupID), AuthorityID: string(c.AuthorityID), TemplateID: string(c.TemplateID), DeviceID: string(c.DeviceID),
		UserID: string(c.UserID), RequestID: string(c.RequestID), Purpose: string(c.Purpose), IssuerHash: c.IssuerHash, Serial: c.Serial, Subject: c.Subject,
		SANs: slices.Clone(c.SANs), KeyType: c.KeyType, KeyPlace: string(c.KeyPlace), Fingerprint: c.Fingerprint, SPKIHash: c.SPKIHash, NotBefore: c.NotBefore.UTC(),
		NotAfter: c.NotAfter.UTC(), State: string(c.State), Renews: string(c.Renews), RenewedBy: string(c.RenewedBy), RevokedAt: utc(c.RevokedAt),
		Obligation: obligationOf(c.Obligation), Times: timesOf(c.Times)}
	if c.State == ra.Revoked || c.State == ra.OnHold {
		out.Reason = c.Reason.String()
	}
	return out
}

// Facts is what the certificate itself says, beyond the row.
type Facts struct {
	Issuer             string      `json:"issuer"`
	SignatureAlgorithm string      `json:"signature_algorithm"`
	KeyUsage           []string    `json:"key_usage,omitempty"`
	EKUs               []string    `json:"ekus,omitempty"`
	CRLs               []string    `json:"crls,omitempty" doc:"Where its revocation lists are."`
	OCSP               []string    `json:"ocsp,omitempty"`
	IssuerURLs         []string    `json:"issuer_urls,omitempty" doc:"Where its issuer's certificate is."`
	Extensions         []Extension `json:"extensions" nullable:"false"`
}

// CertificateFilter says which certificates are meant.
type CertificateFilter struct {
	Group         string    `query:"group_id" json:"group_id,omitempty" doc:"This group and everything below it."`
	States        []string  `query:"state" json:"state,omitempty" doc:"valid, superseded, on_hold, revoked, expired; several separated by commas."`
	Authority     string    `query:"authority_id" json:"authority_id,omitempty"`
	Template      string    `query:"template_id" json:"template_id,omitempty"`
	Device        string    `query:"device_id" json:"device_id,omitempty"`
	User          string    `query:"user_id" json:"user_id,omitempty"`
	SPKIHash      string    `query:"spki_hash" json:"spki_hash,omitempty" doc:"SHA-256 of the public key, hex."`
	Serial        string    `query:"serial" json:"serial,omitempty" doc:"Hex, lower case, without leading zeros."`
	ExpiresBefore time.Time `query:"expires_before" json:"expires_before,omitzero"`
	ExpiresAfter  time.Time `query:"expires_after" json:"expires_after,omitzero"`
	OwnToo        bool      `query:"own" json:"own,omitempty" doc:"Also the server's own (SCEP RA, OCSP signer)."`
	Imported      string    `query:"imported" json:"imported,omitempty" enum:"true,false" doc:"true: only those taken over from an authority's records; false: only those issued through this server."`
	Text          string    `query:"text" json:"text,omitempty" doc:"Part of the subject or of a SAN, a serial, or a fingerprint."`
}

// CertificateQuery narrows a list of certificates.
type CertificateQuery struct {
	CertificateFilter
	PageQuery
}

// RevokeInput says why a certificate is revoked.
type RevokeInput struct {
	Reason  string `json:"reason,omitempty" doc:"unspecified, keyCompromise, cACompromise, affiliationChanged, superseded, cessationOfOperation, privilegeWithdrawn or aACompromise."`
	Comment string `json:"comment,omitempty" maxLength:"512"`
}

// BulkRevokeInput says which certificates are revoked, and why. Either IDs or a
// filter; all of them are looked at before the first is revoked.
type BulkRevokeInput struct {
	IDs     []string           `json:"ids,omitempty" maxItems:"1000"`
	Filter  *CertificateFilter `json:"filter,omitempty"`
	Reason  string             `json:"reason,omitempty"`
	Comment string             `json:"comment,omitempty" maxLength:"512"`
	DryRun  bool               `json:"dry_run,omitempty" doc:"Only tell what would happen."`
}

// BulkResult is how an act on many went.
type BulkResult struct {
	DryRun  bool      `json:"dry_run,omitempty"`
	Changed int       `json:"changed"`
	Failed  int       `json:"failed"`
	Items   []Attempt `json:"items" nullable:"false"`
}

// CommentInput is a comment on a hold or its end.
type CommentInput struct {
	Comment string `json:"comment,omitempty" maxLength:"512"`
}

// RenewInput says how a certificate is renewed.
type RenewInput struct {
	Wait bool `json:"wait,omitempty" doc:"Ask the authority now and answer with the outcome."`
}

// KeyInput says how a key is handed out.
type KeyInput struct {
	Password string `json:"password,omitempty" writeOnly:"true" doc:"Of the PKCS#12, 8 to 256 characters; left out, one is made."`
	Encoding string `json:"encoding,omitempty" enum:"modern,legacy" doc:"modern (AES) or legacy (3DES, for Apple and older Windows)."`
}

// KeyFile is a key with its certificate and chain, handed out once.
type KeyFile struct {
	PKCS12   []byte `json:"pkcs12" doc:"Base64."`
	Password string `json:"password,omitempty" doc:"The password that was made; absent when one was given."`
}

// Event is one line of the audit log.
type Event struct {
	Seq      int64           `json:"seq"`
	At       time.Time       `json:"at"`
	Code     string          `json:"code" doc:"Stable, such as certificate.issued."`
	Actor    Actor           `json:"actor"`
	GroupID  string          `json:"group_id,omitempty"`
	Object   string          `json:"object,omitempty" doc:"ID of what it is about."`
	Related  string          `json:"related,omitempty"`
	Result   string          `json:"result" doc:"ok, refused or failed."`
	Message  string          `json:"message"`
	Details  json.RawMessage `json:"details,omitempty"`
	Hash     string          `json:"hash,omitempty"`
	PrevHash string          `json:"prev_hash,omitempty"`
}

// OfEvent gives an audit entry in wire form.
func OfEvent(e *ra.AuditEntry) Event {
	return Event{Seq: e.Seq, At: e.At.UTC(), Code: e.Code, Actor: OfActor(e.Actor), GroupID: string(e.GroupID), Object: e.Object, Related: e.Related,
		Result: e.Result, Message: e.Message, Details: raw(e.Details), Hash: e.Hash, PrevHash: e.PrevHash}
}

// AuditQuery narrows the audit log.
type AuditQuery struct {
	Group  string    `query:"group_id" doc:"This group and everything below it."`
	Code   string    `query:"code" doc:"A code, or the start of codes: certificate."`
	Object string    `query:"object" doc:"ID of what it is about, or of what is related."`
	Actor  string    `query:"actor" doc:"ID of who did it, or the name of one without."`
	Since  time.Time `query:"since"`
	Until  time.Time `query:"until" doc:"Not included."`
	Text   string    `query:"text" doc:"Part of the message or the actor's name."`
	PageQuery
}

// AuditReport is what a check of the audit log found.
type AuditReport struct {
	OK      bool   `json:"ok"`
	Entries int64  `json:"entries"`
	Head    string `json:"head" doc:"Hash of the last entry, to be compared with a copy kept elsewhere."`
	Broken  int64  `json:"broken,omitempty" doc:"Number of the first entry that is not right."`
	Problem string `json:"problem,omitempty"`
}
