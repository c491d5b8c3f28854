package resource

import (
	"encoding/json"
	"time"

	"chancery/internal/ra"
)

// Request is one wish for one certificate.
type Request struct {
	ID               string          `json:"id"`
	GroupID          string          `json:"group_id"`
	AuthorityID      string          `json:"authority_id"`
	TemplateID       string          `json:"template_id"`
	TemplateRevision int             `json:"template_revision"`
	DeviceID         string          `json:"device_id,omitempty"`
	UserID           string          `json:"user_id,omitempty"`
	Renews           string          `json:"renews,omitempty" doc:"The certificate this one replaces."`
	Door             string          `json:"door"`
	EndpointID       string          `json:"endpoint_id,omitempty"`
	TransactionID    string          `json:"transaction_id,omitempty"`
	KeyPlace         string          `json:"key_place"`
	Subject          string          `json:"subject"`
	State            string          `json:"state"`
	CertificateID    string          `json:"certificate_id,omitempty"`
	Reason           string          `json:"reason,omitempty" doc:"Why it was denied, failed or cancelled."`
	AskedBy          Actor           `json:"asked_by"`
	SubmittedAt      time.Time       `json:"submitted_at,omitzero"`
	Fill             json.RawMessage `json:"fill,omitempty" doc:"What the certificate will say; only when one request is shown."`
	CSR              string          `json:"csr,omitempty" doc:"PEM; only when one request is shown."`
	Certificate      string          `json:"certificate,omitempty" doc:"PEM, what was issued; only when one request is shown."`
	Approvals        []Approval      `json:"approvals,omitempty" doc:"Only when one request is shown."`
	Obligation
	Times
}

// Approval is one decision on a request.
type Approval struct {
	By      Actor     `json:"by"`
	Approve bool      `json:"approve"`
	Comment string    `json:"comment,omitempty"`
	At      time.Time `json:"at"`
}

// OfRequest gives a request in wire form, as lists show it.
func OfRequest(r *ra.Request) Request {
	return Request{ID: string(r.ID), GroupID: string(r.GroupID), AuthorityID: string(r.AuthorityID), TemplateID: string(r.TemplateID), TemplateRevision: r.TemplateRev,
		DeviceID: string(r.DeviceID), UserID: string(r.UserID), Renews: string(r.Renews), Door: r.Door, EndpointID: string(r.EndpointID),
		TransactionID: r.TransactionID, KeyPlace: string(r.KeyPlace), Subject: r.Subject, State: string(r.State), CertificateID: string(r.CertificateID),
		Reason: r.Reason, AskedBy: OfActor(r.AskedBy), SubmittedAt: utc(r.SubmittedAt), Obligation: obligationOf(r.Obligation), Times: timesOf(r.Times)}
}

// OfWholeRequest adds what only the page of one request shows. csr is DER, or
// nil when nobody shall see it; issued is nil until there is a certificate.
func OfWholeRequest(r *ra.Request, votes []*ra.Approval, csr []byte, issued *ra.Certificate) Request {
	out := OfRequest(r)
	out.Fill = r.Fill
	if len(csr) > 0 {
		out.CSR = PEM("CERTIFICATE REQUEST", csr)
	}
	if issued != nil {
		out.Certificate = PEM("CERTIFICATE", issued.DER)
	}
	for _, v := range votes {
		out.Approvals = append(out.Approvals, Approval{OfActor(v.By), v.Approve, v.Comment, v.At.UTC()})
	}
	return out
}

// RequestInput asks for a certificate.
type RequestInput struct {
	TemplateID string `json:"template_id"`
	DeviceID   string `json:"device_id,omitempty" doc:"Left out for a user's own certificate."`
	UserID     string `json:"user_id,omitempty" doc:"Left out: the device's user."`
	CSR        string `json:"csr,omitempty" doc:"PKCS#10 in PEM; left out when the template has the key made here or by the authority."`
	Renews     string `json:"renews,omitempty" doc:"The certificate to be replaced."`
	Wait       bool   `json:"wait,omitempty" doc:"Ask the authority now and answer with the outcome."`
}

// Decision is a comment on an approval or denial.
type Decision struct {
	Comment string `json:"comment,omitempty" maxLength:"2000"`
}

// RequestQuery narrows a list of requests.
type RequestQuery struct {
	Group     string   `query:"group_id" doc:"This group and everything below it."`
	States    []string `query:"state" doc:"One or more, separated by commas."`
	Authority string   `query:"authority_id"`
	Template  string   `query:"template_id"`
	Device    string   `query:"device_id"`
	User      string   `query:"user_id"`
	Text      string   `query:"text" doc:"Part of the subject, transaction ID or request ID."`
	PageQuery
}

// Waiting is one thing that somebody waits for.
type Waiting struct {
	Kind        string `json:"kind" enum:"request,certificate,pass,directory,publication,key_delivery" doc:"A publication and a key delivery go by the ID of their certificate."`
	ID          string `json:"id"`
	Title       string `json:"title"`
	GroupID     string `json:"group_id"`
	AuthorityID string `json:"authority_id"`
	DeviceID    string `json:"device_id,omitempty"`
	Late        bool   `json:"late,omitempty"`
	Obligation
}

// OfWaiting gives an obligation in wire form; late is judged at now.
func OfWaiting(r ra.ObligationRow, now time.Time) Waiting {
	return Waiting{Kind: r.Kind, ID: r.ID, Title: r.Title, GroupID: string(r.GroupID), AuthorityID: string(r.Authority), DeviceID: string(r.Device),
		Late: r.Late(now), Obligation: obligationOf(r.Obligation)}
}

// ObligationQuery narrows the list of what waits.
type ObligationQuery struct {
	Group     string    `query:"group_id" doc:"This group and everything below it."`
	Authority string    `query:"authority_id"`
	Action    string    `query:"action" enum:"approve,issue,fetch,renew,await,expire,retire,revoke,deliver,sync,publish,withdraw,hand_over,take_back,evaluate,mend"`
	Late      bool      `query:"late" doc:"Only what is past its deadline."`
	DueBefore time.Time `query:"due_before"`
	PageQuery
}

// CalendarDay counts the certificates of one authority that end on one day.
type CalendarDay struct {
	Date        string `json:"date" doc:"In UTC, such as 2027-01-31."`
	AuthorityID string `json:"authority_id"`
	Action      string `json:"next_action,omitempty" doc:"What happens to them before."`
	Count       int64  `json:"count"`
}

// Calendar tells what ends when.
type Calendar struct {
	Days []CalendarDay `json:"days" nullable:"false"`
}
