package store

import "chancery/internal/ra"

type obligationRow struct {
	NextAction   string `db:"next_action"`
	NextActionAt int64  `db:"next_action_at"`
	DeadlineAt   int64  `db:"deadline_at"`
	Attempts     int64  `db:"attempts"`
	LastError    string `db:"last_error"`
	EscalatedAt  int64  `db:"escalated_at"`
}

func toObligation(o ra.Obligation) obligationRow {
	return obligationRow{string(o.Action), millis(o.At), millis(o.Deadline), int64(o.Attempts), o.LastError, millis(o.Escalated)}
}

func (r obligationRow) noun() ra.Obligation {
	return ra.Obligation{Action: ra.Action(r.NextAction), At: instant(r.NextActionAt), Deadline: instant(r.DeadlineAt),
		Attempts: int(r.Attempts), LastError: r.LastError, Escalated: instant(r.EscalatedAt)}
}

type timesRow struct {
	CreatedAt int64 `db:"created_at"`
	UpdatedAt int64 `db:"updated_at"`
}

func toTimes(t ra.Times) timesRow { return timesRow{millis(t.CreatedAt), millis(t.UpdatedAt)} }

func (r timesRow) noun() ra.Times {
	return ra.Times{CreatedAt: instant(r.CreatedAt), UpdatedAt: instant(r.UpdatedAt)}
}

type requestRow struct {
	ID             string `db:"id"`
	GroupID        string `db:"group_id"`
	AuthorityID    string `db:"authority_id"`
	TemplateID     string `db:"template_id"`
	TemplateRev    int64  `db:"template_rev"`
	DeviceID       string `db:"device_id"`
	UserID         string `db:"user_id"`
	Renews         string `db:"renews"`
	Door           string `db:"door"`
	EndpointID     string `db:"endpoint_id"`
	TransactionID  string `db:"transaction_id"`
	IdempotencyKey string `db:"idempotency_key"`
	KeyPlace       string `db:"key_place"`
	CSR            []byte `db:"csr"`
	SPKIHash       string `db:"spki_hash"`
	Subject        string `db:"subject"`
	Search         string `db:"search"`
	Fill           string `db:"fill"`
	State          string `db:"state"`
	Handle         string `db:"handle"`
	CertificateID  string `db:"certificate_id"`
	Reason         string `db:"reason"`
	AskedBy        string `db:"asked_by"`
	SubmittedAt    int64  `db:"submitted_at"`
	obligationRow
	timesRow
}

func toRequest(r *ra.Request) requestRow {
	return requestRow{
		ID: string(r.ID), GroupID: string(r.GroupID), AuthorityID: string(r.AuthorityID), TemplateID: string(r.TemplateID),
		TemplateRev: int64(r.TemplateRev), DeviceID: string(r.DeviceID), UserID: string(r.UserID), Renews: string(r.Renews),
		Door: r.Door, EndpointID: string(r.EndpointID), TransactionID: r.TransactionID, IdempotencyKey: r.IdempotencyKey,
		KeyPlace: string(r.KeyPlace), CSR: blob(r.SealedCSR), SPKIHash: r.SPKIHash, Subject: r.Subject,
		Search: ra.Fold(r.Subject + "\n" + r.TransactionID), Fill: string(r.Fill), State: string(r.State),
		Handle: r.Handle, CertificateID: string(r.CertificateID), Reason: r.Reason, AskedBy: text(r.AskedBy),
		SubmittedAt: millis(r.SubmittedAt), obligationRow: toObligation(r.Obligation), timesRow: toTimes(r.Times),
	}
}

func (r *requestRow) noun() (*ra.Request, error) {
	n := &ra.Request{
		ID: ra.RequestID(r.ID), GroupID: ra.GroupID(r.GroupID), AuthorityID: ra.AuthorityID(r.AuthorityID),
		TemplateID: ra.TemplateID(r.TemplateID), TemplateRev: int(r.TemplateRev), DeviceID: ra.DeviceID(r.DeviceID),
		UserID: ra.UserID(r.UserID), Renews: ra.CertificateID(r.Renews), Door: r.Door, EndpointID: ra.EndpointID(r.EndpointID),
		TransactionID: r.TransactionID, IdempotencyKey: r.IdempotencyKey, KeyPlace: ra.KeyPlace(r.KeyPlace), SealedCSR: r.CSR,
		SPKIHash: r.SPKIHash, Subject: r.Subject, Fill: []byte(r.Fill), State: ra.RequestState(r.State), Handle: r.Handle,
		CertificateID: ra.CertificateID(r.CertificateID), Reason: r.Reason, SubmittedAt: instant(r.SubmittedAt),
		Obligation: r.obligationRow.noun(), Times: r.timesRow.noun(),
	}
	return n, parse(r.AskedBy, &n.AskedBy)
}

// CreateRequest stores a new request. A second request with the same
// idempotency key is a Conflict.
func (tx *Tx) CreateRequest(r *ra.Request) error {
	r.CreatedAt, r.UpdatedAt = tx.Now, tx.Now
	row := toRequest(r)
	return tx.insert("requests", &row)
}

// UpdateRequest stores every field of r.
func (tx *Tx) UpdateRequest(r *ra.Request) error {
	r.UpdatedAt = tx.Now
	row := toRequest(r)
	return tx.update("requests", &row)
}

// Request loads a request.
func (tx *Tx) Request(id ra.RequestID) (*ra.Request, error) { return tx.request("id = $1", string(id)) }

// RequestByKey loads the request with an idempotency key.
func (tx *Tx) RequestByKey(key string) (*ra.Request, error) {
	return tx.request("idempotency_key = $1", key)
}

// RequestByTransaction loads the newest request of a SCEP transaction.
func (tx *Tx) RequestByTransaction(endpoint ra.EndpointID, transaction string) (*ra.Request, error) {
	return tx.request("id = (SELECT max(id) FROM requests WHERE endpoint_id = $1 AND transaction_id = $2)", string(endpoint), transaction)
}

func (tx *Tx) request(where string, args ...any) (*ra.Request, error) {
	var row requestRow
	if err := tx.get("requests", &row, where, args...); err != nil {
		return nil, err
	}
	return row.noun()
}

// RequestFilter narrows a list of requests; empty fields do not.
type RequestFilter struct {
	Groups    []ra.GroupID // any of these; nil: all
	States    []ra.RequestState
	Authority ra.AuthorityID
	Template  ra.TemplateID
	Device    ra.DeviceID
	User      ra.UserID
	SPKIHash  string // of the key of those under way
	Text      string // part of the subject, transaction ID or request ID
	Page
}

// FindRequests lists requests, newest first.
func (tx *Tx) FindRequests(f RequestFilter) ([]*ra.Request, string, error) {
	w := &where{}
	if err := tx.scope(w, f.Groups); err != nil {
		return nil, "", err
	}
	among(w, "state", f.States)
	if err := tx.place(w, "requests", f.Authority, f.Template); err != nil {
		return nil, "", err
	}
	w.owner("device_id", string(f.Device))
	w.owner("user_id", string(f.User))
	if f.SPKIHash != "" {
		w.equal("spki_hash", f.SPKIHash)
		w.add("next_action <> ''")
	}
	w.contains(f.Text, "search", "id")
	if err := tx.narrow(w, f.Page, "requests", f.Text); err != nil {
		return nil, "", err
	}
	return find[ra.Request, requestRow](tx, "requests", w, f.Page, sorting{"": {"id", true}})
}

// OpenRequestsFor counts a device's unfinished requests for a template.
func (tx *Tx) OpenRequestsFor(device ra.DeviceID, template ra.TemplateID) (int, error) {
	var n int
	err := tx.x.GetContext(tx.ctx, &n, "SELECT count(*) FROM requests WHERE device_id = $1 AND device_id <> '' AND template_id = $2 AND next_action <> ''", string(device), string(template))
	return n, err
}

// RenewalRequest gives the unfinished request that renews a certificate.
func (tx *Tx) RenewalRequest(id ra.CertificateID) (*ra.Request, error) {
	return tx.request("renews = $1 AND renews <> '' AND next_action <> ''", string(id))
}

// Count is one line of a summary.
type Count struct {
	Key string `db:"k"`
	N   int64  `db:"n"`
}

// CountRequests counts requests by state.
func (tx *Tx) CountRequests(groups []ra.GroupID) ([]Count, error) {
	return tx.sumsByGroup("requests", groups)
}

func (tx *Tx) counts(table, column string, w *where) ([]Count, error) {
	var out []Count
	q, args := tx.statement(w, "SELECT "+column+" AS k, count(*) AS n FROM "+table)
	err := tx.x.SelectContext(tx.long(), &out, q+" GROUP BY "+column+" ORDER BY "+column, args...)
	return out, err
}
