package store

import (
	"slices"
	"strings"

	"chancery/internal/ra"
)

// Issuer is a certificate of an authority: its issuing one, one above that, or
// one that was in use before.
type Issuer struct {
	AuthorityID ra.AuthorityID
	Fingerprint string // SHA-256 of DER, hex
	SPKIHash    string // SHA-256 of the public key, hex
	Position    int    // 0 is the issuing certificate, former ones come last
	DER         []byte
}

type issuerRow struct {
	AuthorityID string `db:"authority_id"`
	Fingerprint string `db:"fingerprint"`
	SPKIHash    string `db:"spki_hash"`
	Position    int64  `db:"position"`
	DER         []byte `db:"der"`
	CreatedAt   int64  `db:"created_at"`
}

func (r issuerRow) issuer() Issuer {
	return Issuer{ra.AuthorityID(r.AuthorityID), r.Fingerprint, r.SPKIHash, int(r.Position), r.DER}
}

// PutIssuers stores an authority's chain, the issuing certificate first; the
// order counts, not the Position. Former certificates stay behind it. Storing
// the chain it has already writes nothing.
func (tx *Tx) PutIssuers(authority ra.AuthorityID, chain []Issuer) error {
	former, err := tx.Issuers(authority)
	if err != nil {
		return err
	}
	same := func(a, b Issuer) bool { return a.Fingerprint == b.Fingerprint }
	if len(former) >= len(chain) && slices.EqualFunc(chain, former[:len(chain)], same) {
		return nil
	}
	all := slices.Clone(chain)
	for _, i := range former {
		if !slices.ContainsFunc(chain, func(c Issuer) bool { return same(c, i) }) {
			all = append(all, i)
		}
	}
	if err := tx.configChanged("issuers"); err != nil {
		return err
	}
	for position, c := range all {
		_, err := tx.exec(`INSERT INTO issuers (authority_id, fingerprint, spki_hash, position, der, created_at) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (authority_id, fingerprint) DO UPDATE SET position = excluded.position`,
			string(authority), c.Fingerprint, c.SPKIHash, position, blob(c.DER), millis(tx.Now))
		if err != nil {
			return tx.conflict("issuers", err)
		}
	}
	return nil
}

// Issuers lists an authority's certificates, the issuing one first.
func (tx *Tx) Issuers(authority ra.AuthorityID) ([]Issuer, error) {
	var rows []issuerRow
	if err := tx.x.SelectContext(tx.ctx, &rows, "SELECT * FROM issuers WHERE authority_id = $1 ORDER BY position, fingerprint", string(authority)); err != nil {
		return nil, fit(err)
	}
	out := make([]Issuer, len(rows))
	for i, r := range rows {
		out[i] = r.issuer()
	}
	return out, nil
}

// IssuerByHash loads the certificate of an issuer's key, hex SHA-256; among
// several the one that is most in use.
func (tx *Tx) IssuerByHash(spkiHash string) (Issuer, error) {
	var row issuerRow
	err := tx.look("issuers", &row, "spki_hash = $1 ORDER BY position, created_at DESC, fingerprint LIMIT 1", spkiHash)
	return row.issuer(), err
}

// IssuerByPrefix loads the certificate of an issuer's key by the first digits
// of its hex SHA-256, at least 16 of them, as addresses of CRLs have them.
func (tx *Tx) IssuerByPrefix(prefix string) (Issuer, error) {
	if len(prefix) < 16 || len(prefix) > 64 || strings.Trim(prefix, "0123456789abcdef") != "" {
		return Issuer{}, notFound("issuers")
	}
	var row issuerRow
	err := tx.look("issuers", &row, "spki_hash >= $1 AND spki_hash <= $2 ORDER BY position, created_at DESC, fingerprint LIMIT 1",
		prefix, prefix+strings.Repeat("f", 64-len(prefix)))
	return row.issuer(), err
}
