package store

import (
	"context"
	"strings"
	"time"

	"chancery/internal/ra"
)

// CertificateStatus is what relying parties want to know of a certificate.
type CertificateStatus struct {
	IssuerHash string
	Serial     string
	State      ra.CertificateState
	RevokedAt  time.Time
	Reason     ra.RevocationReason
}

// CertificateStatuses gives the status of the certificates with these serial
// numbers, of any issuer, as it is now; numbers nobody issued are left out. It
// takes as many as there are, but is meant for a few dozen. It is one statement
// and needs no transaction.
func (db *DB) CertificateStatuses(ctx context.Context, serials []string) ([]CertificateStatus, error) {
	return statuses(ctx, db.read, serials)
}

func statuses(ctx context.Context, from session, serials []string) ([]CertificateStatus, error) {
	if len(serials) == 0 {
		return nil, nil
	}
	// Statements of a few lengths are prepared once; the last number fills them up.
	n := 1
	for n < len(serials) {
		n *= 4
	}
	asked := make([]string, n)
	for i := range asked {
		asked[i] = serials[min(i, len(serials)-1)]
	}
	args := make([]any, n)
	for i, serial := range asked {
		args[i] = serial
	}
	q := numbered("SELECT issuer_hash, serial, state, revoked_at, reason FROM certificates WHERE serial IN (?" + strings.Repeat(", ?", n-1) + ")")
	rows, err := from.QueryContext(ctx, q, args...)
	if err != nil {
		return nil, fit(err)
	}
	defer rows.Close()
	var out []CertificateStatus
	for rows.Next() {
		var s CertificateStatus
		var at, reason int64
		if err := rows.Scan(&s.IssuerHash, &s.Serial, &s.State, &at, &reason); err != nil {
			return nil, err
		}
		s.RevokedAt, s.Reason = instant(at), ra.RevocationReason(reason)
		out = append(out, s)
	}
	return out, rows.Err()
}

// UpdateCertificateState stores what a revocation changes of c: state, time,
// reason and obligation. It is UpdateCertificate that spares most indexes.
func (tx *Tx) UpdateCertificateState(c *ra.Certificate) error {
	c.UpdatedAt = tx.Now
	row := toCertificate(c)
	if err := tx.leaving("certificates", row.ID); err != nil {
		return err
	}
	n, err := tx.exec(`UPDATE certificates SET state = $1, revoked_at = $2, reason = $3, next_action = $4, next_action_at = $5, deadline_at = $6,
		attempts = $7, last_error = $8, escalated_at = $9, updated_at = $10 WHERE id = $11`,
		row.State, row.RevokedAt, row.Reason, row.NextAction, row.NextActionAt, row.DeadlineAt, row.Attempts, row.LastError, row.EscalatedAt, row.UpdatedAt, row.ID)
	if err != nil {
		return tx.conflict("certificates", err)
	}
	if n == 0 {
		return notFound("certificates")
	}
	tx.arrived(&row)
	return nil
}
