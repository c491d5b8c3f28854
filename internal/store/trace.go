package store

import "chancery/internal/ra"

// Message is what a first SCEP request could have left behind if it was seen
// before, by it or by its key.
type Message struct {
	Fingerprint string // of the certificate that signed it
	Key         string // the idempotency key it makes
	Endpoint    ra.EndpointID
	Transaction string
}

// Traces says which of them there are.
type Traces struct {
	Signer      bool `db:"signer"`   // a certificate with the fingerprint
	Request     bool `db:"request"`  // a request with the idempotency key
	Transaction bool `db:"exchange"` // a request with the transaction
}

// Traces looks for what is known of a message, in one query: nothing at all, in
// most cases.
func (tx *Tx) Traces(m Message) (t Traces, err error) {
	err = tx.x.GetContext(tx.ctx, &t, `SELECT EXISTS (SELECT 1 FROM certificates WHERE fingerprint = $1) AS signer,
		EXISTS (SELECT 1 FROM requests WHERE idempotency_key = $2) AS request,
		EXISTS (SELECT 1 FROM requests WHERE endpoint_id = $3 AND transaction_id = $4) AS exchange`,
		m.Fingerprint, m.Key, string(m.Endpoint), m.Transaction)
	return t, fit(err)
}

// KeyUsed tells whether there is a certificate for a public key, or a request
// that may lead to one, by the hex SHA-256 of the key.
func (tx *Tx) KeyUsed(spkiHash string) (used bool, err error) {
	err = tx.x.GetContext(tx.ctx, &used, `SELECT EXISTS (SELECT 1 FROM certificates WHERE spki_hash = $1)
		OR EXISTS (SELECT 1 FROM requests WHERE spki_hash = $1 AND next_action <> '')`, spkiHash)
	return used, fit(err)
}

// MoveRequest stores what the life of a request changes: its state, handle,
// certificate and obligation. It is UpdateRequest for a request of which nothing
// else was touched, and spares the indexes of what stays.
func (tx *Tx) MoveRequest(r *ra.Request) error {
	r.UpdatedAt = tx.Now
	row := toRequest(r)
	if err := tx.leaving("requests", row.ID); err != nil {
		return err
	}
	res, err := tx.x.ExecContext(tx.ctx, `UPDATE requests SET state = $1, handle = $2, certificate_id = $3, reason = $4, submitted_at = $5, next_action = $6,
		next_action_at = $7, deadline_at = $8, attempts = $9, last_error = $10, escalated_at = $11, updated_at = $12 WHERE id = $13`,
		row.State, row.Handle, row.CertificateID, row.Reason, row.SubmittedAt, row.NextAction, row.NextActionAt, row.DeadlineAt, row.Attempts, row.LastError,
		row.EscalatedAt, row.UpdatedAt, row.ID)
	if err != nil {
		return tx.conflict("requests", err)
	}
	if err := one("requests", res); err != nil {
		return err
	}
	tx.arrived(&row)
	return nil
}
