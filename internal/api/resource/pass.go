package resource

import (
	"encoding/json"
	"time"

	"chancery/internal/ra"
)

// Pass lets one device enrol once at a SCEP server that is not ours.
type Pass struct {
	ID               string          `json:"id"`
	GroupID          string          `json:"group_id"`
	AuthorityID      string          `json:"authority_id"`
	TemplateID       string          `json:"template_id"`
	TemplateRevision int             `json:"template_revision"`
	DeviceID         string          `json:"device_id"`
	UserID           string          `json:"user_id,omitempty"`
	Model            string          `json:"model" enum:"proxy,delegate" doc:"proxy: the device talks to this server; delegate: to the SCEP server itself."`
	State            string          `json:"state" enum:"issued,claimed,pending,done,failed,expired,revoked"`
	Subject          string          `json:"subject"`
	Marker           string          `json:"marker,omitempty" doc:"The text in the subject by which the certificate is known again."`
	TransactionID    string          `json:"transaction_id,omitempty" doc:"That the first message bound it to."`
	SignerHash       string          `json:"signer_hash,omitempty" doc:"SHA-256 of the public key that signed the first message."`
	Messages         int             `json:"messages" doc:"Passed on so far."`
	MaxMessages      int             `json:"max_messages"`
	Failures         int             `json:"failures,omitempty"`
	PKIStatus        string          `json:"pki_status,omitempty" doc:"Of the server's last answer."`
	FailInfo         string          `json:"fail_info,omitempty"`
	CertificateID    string          `json:"certificate_id,omitempty" doc:"What it led to, once that is known."`
	Confirmed        bool            `json:"confirmed,omitempty" doc:"The certificate was seen elsewhere than in the answer."`
	Renews           string          `json:"renews,omitempty" doc:"The certificate the new one replaces."`
	RenewAt          time.Time       `json:"renew_at,omitzero" doc:"When a further pass is made for the device."`
	Challenges       int             `json:"challenges,omitempty" doc:"How many were fetched for it."`
	RevealedAt       time.Time       `json:"revealed_at,omitzero" doc:"When its parameters were shown last."`
	ChallengeUntil   time.Time       `json:"challenge_until,omitzero" doc:"When the challenge is too old."`
	ExpiresAt        time.Time       `json:"expires_at"`
	Reason           string          `json:"reason,omitempty" doc:"Why it ended, when not in success."`
	CreatedBy        Actor           `json:"created_by"`
	Fill             json.RawMessage `json:"fill,omitempty" doc:"What the certificate shall say; only when one pass is shown."`
	Obligation
	Times
}

// OfPass gives a pass in wire form, as lists show it.
func OfPass(p *ra.Pass) Pass {
	return Pass{ID: string(p.ID), GroupID: string(p.GroupID), AuthorityID: string(p.AuthorityID), TemplateID: string(p.TemplateID), TemplateRevision: p.TemplateRev,
		DeviceID: string(p.DeviceID), UserID: string(p.UserID), Model: string(p.Model), State: string(p.State), Subject: p.Subject, Marker: p.Marker,
		TransactionID: p.TransactionID, SignerHash: p.SignerHash, Messages: p.Messages, MaxMessages: p.MaxMessages, Failures: p.Failures, PKIStatus: p.PKIStatus,
		FailInfo: p.FailInfo, CertificateID: string(p.CertificateID), Confirmed: p.Confirmed, Renews: string(p.Renews), RenewAt: utc(p.RenewAt), Challenges: p.Challenges,
		RevealedAt: utc(p.RevealedAt), ChallengeUntil: utc(p.ChallengeUntil), ExpiresAt: utc(p.ExpiresAt), Reason: p.Reason, CreatedBy: OfActor(p.CreatedBy),
		Obligation: obligationOf(p.Obligation), Times: timesOf(p.Times)}
}

// OfWholePass adds what only the page of one pass shows.
func OfWholePass(p *ra.Pass) Pass {
	out := OfPass(p)
	out.Fill = p.Fill
	return out
}

// PassInput asks for a pass.
type PassInput struct {
	TemplateID string `json:"template_id"`
	DeviceID   string `json:"device_id"`
	UserID     string `json:"user_id,omitempty" doc:"Left out: the device's user."`
	Model      string `json:"model,omitempty" enum:"proxy,delegate" doc:"Left out: proxy."`
	Life       string `json:"life,omitempty" doc:"A time span from 10m to 30d; left out: 7d."`
	Renews     string `json:"renews,omitempty" doc:"The certificate to be replaced."`
}

// PassFilter narrows the passes.
type PassFilter struct {
	Group     string   `query:"group_id" doc:"This group and everything below it."`
	States    []string `query:"state" doc:"One or more, separated by commas."`
	Model     string   `query:"model" enum:"proxy,delegate"`
	Authority string   `query:"authority_id"`
	Template  string   `query:"template_id"`
	Device    string   `query:"device_id"`
	Text      string   `query:"text" doc:"Part of the subject, transaction ID or pass ID."`
	Late      bool     `query:"late" doc:"Only those past their deadline."`
}

// PassQuery narrows a list of passes.
type PassQuery struct {
	PassFilter
	PageQuery
}

// PassReason says why a pass is voided.
type PassReason struct {
	Reason string `json:"reason,omitempty" maxLength:"1000"`
}

// PassParameters is what a SCEP client must be told.
type PassParameters struct {
	PassID         string    `json:"pass_id"`
	DeviceID       string    `json:"device_id"`
	Model          string    `json:"model"`
	URL            string    `json:"url" doc:"Of the SCEP service; that of a proxy holds a secret token."`
	Challenge      string    `json:"challenge,omitempty" doc:"Absent where the server wants none."`
	ChallengeUntil time.Time `json:"challenge_until,omitzero" doc:"When it is too old; absent: never."`
	ExpiresAt      time.Time `json:"expires_at"`
	Subject        string    `json:"subject"`
	SANs           []string  `json:"sans" nullable:"false" doc:"Such as dns:www.example.com."`
	KeyType        string    `json:"key_type"`
	KeyUsage       []string  `json:"key_usage" nullable:"false"`
	EKUs           []string  `json:"ekus" nullable:"false"`
	Retries        int       `json:"retries" doc:"While the request is pending."`
	RetrySeconds   int       `json:"retry_seconds" doc:"Between them."`
	CAFingerprint  string    `json:"ca_fingerprint,omitempty" doc:"Absent while it is not known."`
	CAThumbprint   string    `json:"ca_thumbprint,omitempty" doc:"SHA-1 of the topmost certificate, which Windows wants."`
	CAIdentifier   string    `json:"ca_identifier,omitempty" doc:"What GetCACert is to be asked with."`
}

// LearnInput is a certificate that was seen outside of the proxy.
type LearnInput struct {
	Certificate   string `json:"certificate" doc:"PEM."`
	AuthorityID   string `json:"authority_id,omitempty" doc:"Left out: any."`
	DeviceID      string `json:"device_id,omitempty" doc:"Where it was seen."`
	TransactionID string `json:"transaction_id,omitempty" doc:"Of SCEP, where the authority keeps it."`
}

// Learnt tells which pass a certificate came from.
type Learnt struct {
	Pass        Pass        `json:"pass"`
	Certificate Certificate `json:"certificate"`
}

// AuthorityChallenges is the account of the challenges of an authority's server.
type AuthorityChallenges struct {
	Out      int `json:"out" doc:"Fetched and, as far as is known, not used yet."`
	Waiting  int `json:"waiting" doc:"Devices that wait for one."`
	Capacity int `json:"capacity" doc:"How many may be out at once; 0: the server makes none one by one."`
}

// ServerCertificates is what a SCEP server shows beside what is kept of it.
type ServerCertificates struct {
	Changed      bool                `json:"changed" doc:"Devices are not given them until somebody accepts them."`
	Certificates []ServerCertificate `json:"certificates" nullable:"false"`
}

// ServerCertificate is one certificate of a SCEP server.
type ServerCertificate struct {
	Subject     string    `json:"subject"`
	Fingerprint string    `json:"fingerprint" doc:"SHA-256."`
	NotAfter    time.Time `json:"not_after"`
	CA          bool      `json:"ca"`
	Kept        bool      `json:"kept" doc:"It is kept as the authority's."`
	Shown       bool      `json:"shown" doc:"The server shows it now."`
}

// AcceptInput names the certificates that somebody has looked at.
type AcceptInput struct {
	Fingerprints []string `json:"fingerprints" nullable:"false" minItems:"1" maxItems:"50" doc:"Of all the certificates that the server shows."`
}
