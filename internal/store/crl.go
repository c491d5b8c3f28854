package store

import (
	"time"

	"chancery/internal/ra"
)

// CRL is the current revocation list of one issuer key.
type CRL struct {
	AuthorityID ra.AuthorityID
	IssuerHash  string // SHA-256 of the issuer's public key, hex
	Number      int64  // RFC 5280 §5.2.3
	ThisUpdate  time.Time
	NextUpdate  time.Time
	Stale       bool // something was revoked since
	DER         []byte
}

type crlRow struct {
	AuthorityID string `db:"authority_id"`
	IssuerHash  string `db:"issuer_hash"`
	Number      int64  `db:"number"`
	ThisUpdate  int64  `db:"this_update"`
	NextUpdate  int64  `db:"next_update"`
	Stale       bool   `db:"stale"`
	DER         []byte `db:"der"`
}

func (r crlRow) crl() CRL {
	return CRL{ra.AuthorityID(r.AuthorityID), r.IssuerHash, r.Number, instant(r.ThisUpdate), instant(r.NextUpdate), r.Stale, r.DER}
}

// PutCRL stores the list of an issuer over the former one. A number that is not
// greater than the former one's is a Conflict (RFC 5280 §5.2.3).
func (tx *Tx) PutCRL(c CRL) error {
	n, err := tx.exec(`INSERT INTO crls (authority_id, issuer_hash, number, this_update, next_update, stale, der) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (authority_id, issuer_hash) DO UPDATE SET number = excluded.number, this_update = excluded.this_update,
		next_update = excluded.next_update, stale = excluded.stale, der = excluded.der WHERE crls.number < excluded.number`,
		string(c.AuthorityID), c.IssuerHash, c.Number, millis(c.ThisUpdate), millis(c.NextUpdate), c.Stale, blob(c.DER))
	if err != nil {
		return tx.conflict("crls", err)
	}
	if n == 0 {
		return ra.Errorf(ra.Conflict, "A CRL with this number or a later one exists already.").
			WithRemedy("Nothing needs to be done: the newer one is published.")
	}
	return nil
}

// CRL loads the list of an issuer key.
func (tx *Tx) CRL(authority ra.AuthorityID, issuerHash string) (CRL, error) {
	var row crlRow
	err := tx.get("crls", &row, "authority_id = $1 AND issuer_hash = $2", string(authority), issuerHash)
	return row.crl(), err
}

// AllCRLs lists every CRL, the one that ends first on top.
func (tx *Tx) AllCRLs() ([]CRL, error) {
	var rows []crlRow
	if err := tx.x.SelectContext(tx.ctx, &rows, "SELECT * FROM crls ORDER BY next_update, authority_id, issuer_hash"); err != nil {
		return nil, err
	}
	out := make([]CRL, len(rows))
	for i, r := range rows {
		out[i] = r.crl()
	}
	return out, nil
}

// MarkCRLStale notes that the CRLs of an authority lack something.
func (tx *Tx) MarkCRLStale(authority ra.AuthorityID) error {
	_, err := tx.exec("UPDATE crls SET stale = TRUE WHERE authority_id = $1", string(authority))
	return err
}
