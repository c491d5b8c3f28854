package store

import (
	"time"

	"chancery/internal/ra"
)

// CRL is one revocation list of an issuer key: what is wanted of it, what was
// made of that, and the list itself. The complete list has no name; the others
// hold the certificates whose serial numbers end in two digits from Low to High.
type CRL struct {
	IssuerHash  string         // SHA-256 of the issuer's public key, hex
	Name        string         // "" for the complete list
	AuthorityID ra.AuthorityID // who signs it
	Low, High   string         // two hex digits each, "00" and "ff" for the complete list
	Points      []string       // every address certificates name it by; a complete list has none
	Number      int64          // RFC 5280 §5.2.3; 0 until the first is made
	Wanted      int64          // grows with every change of what belongs on it
	Made        int64          // Wanted as it was when the list was gathered
	ThisUpdate  time.Time
	NextUpdate  time.Time
	DER         []byte // only from CRL
}

// Stale reports whether something changed since the list was gathered.
func (c CRL) Stale() bool { return c.Made < c.Wanted }

type crlRow struct {
	IssuerHash  string `db:"issuer_hash"`
	Name        string `db:"name"`
	AuthorityID string `db:"authority_id"`
	Low         string `db:"low"`
	High        string `db:"high"`
	Points      string `db:"points"`
	Number      int64  `db:"number"`
	Wanted      int64  `db:"wanted"`
	Made        int64  `db:"made"`
	ThisUpdate  int64  `db:"this_update"`
	NextUpdate  int64  `db:"next_update"`
}

func (r crlRow) crl() (CRL, error) {
	c := CRL{IssuerHash: r.IssuerHash, Name: r.Name, AuthorityID: ra.AuthorityID(r.AuthorityID), Low: r.Low, High: r.High,
		Number: r.Number, Wanted: r.Wanted, Made: r.Made, ThisUpdate: instant(r.ThisUpdate), NextUpdate: instant(r.NextUpdate)}
	return c, parse(r.Points, &c.Points)
}

// issuerKey is what is locked of an issuer: always the same one of its
// certificates.
type issuerKey struct {
	SPKIHash string `db:"spki_hash"`
}

const oneIssuer = "spki_hash = $1 ORDER BY authority_id, fingerprint LIMIT 1"

// DefineCRL makes a list known, or gives a known one other points: it is stale
// then. Nothing revoked meanwhile is missed: whoever revokes holds the issuer
// (MarkCRLStale), so the definition waits for them, and they for it.
func (tx *Tx) DefineCRL(c CRL) error {
	var issuer issuerKey
	if err := tx.get("issuers", &issuer, oneIssuer, c.IssuerHash); err != nil {
		return err
	}
	points := c.Points
	if points == nil {
		points = []string{}
	}
	_, err := tx.exec(`INSERT INTO crl_lists (issuer_hash, name, authority_id, low, high, points, number, wanted, made, this_update, next_update)
		VALUES ($1, $2, $3, $4, $5, $6, 0, 1, 0, 0, 0)
		ON CONFLICT (issuer_hash, name) DO UPDATE SET points = excluded.points, wanted = crl_lists.wanted + 1 WHERE crl_lists.points <> excluded.points`,
		c.IssuerHash, c.Name, string(c.AuthorityID), c.Low, c.High, text(points))
	return tx.conflict("crl_lists", err)
}

// PutCRL stores a list that was signed after the one with the number before.
// It is a Conflict when that is not the present one any more, or when the number
// is not greater (RFC 5280 §5.2.3). Only Number, Made, the times and the DER of c
// are stored.
func (tx *Tx) PutCRL(c CRL, before int64) error {
	n, err := tx.exec("UPDATE crl_lists SET number = $1, made = $2, this_update = $3, next_update = $4 WHERE issuer_hash = $5 AND name = $6 AND number = $7 AND number < $1",
		c.Number, c.Made, millis(c.ThisUpdate), millis(c.NextUpdate), c.IssuerHash, c.Name, before)
	if err != nil {
		return err
	}
	if n == 0 {
		return ra.Errorf(ra.Conflict, "A CRL with this number or a later one exists already.").
			WithRemedy("Nothing needs to be done: the newer one is published.")
	}
	_, err = tx.exec(`INSERT INTO crl_bodies (issuer_hash, name, der) VALUES ($1, $2, $3)
		ON CONFLICT (issuer_hash, name) DO UPDATE SET der = excluded.der`, c.IssuerHash, c.Name, blob(c.DER))
	return err
}

// CRL loads a list of an issuer key.
func (tx *Tx) CRL(issuerHash, name string) (CRL, error) {
	c, err := tx.CRLState(issuerHash, name)
	if err != nil || c.Number == 0 {
		return c, err
	}
	var bodies [][]byte
	if err := tx.x.SelectContext(tx.ctx, &bodies, "SELECT der FROM crl_bodies WHERE issuer_hash = $1 AND name = $2", issuerHash, name); err != nil {
		return CRL{}, err
	}
	if len(bodies) > 0 {
		c.DER = bodies[0]
	}
	return c, nil
}

// CRLState is CRL without the list itself.
func (tx *Tx) CRLState(issuerHash, name string) (CRL, error) {
	var row crlRow
	if err := tx.look("crl_lists", &row, "issuer_hash = $1 AND name = $2", issuerHash, name); err != nil {
		return CRL{}, err
	}
	return row.crl()
}

// AllCRLs lists the state of every list, the one that ends first on top.
func (tx *Tx) AllCRLs() ([]CRL, error) {
	return tx.crls("ORDER BY next_update, issuer_hash, name")
}

// CRLsOf lists the state of an issuer's lists, the complete one first.
func (tx *Tx) CRLsOf(issuerHash string) ([]CRL, error) {
	return tx.crls("WHERE issuer_hash = $1 ORDER BY name", issuerHash)
}

func (tx *Tx) crls(tail string, args ...any) ([]CRL, error) {
	var rows []crlRow
	if err := tx.x.SelectContext(tx.ctx, &rows, "SELECT * FROM crl_lists "+tail, args...); err != nil {
		return nil, err
	}
	out := make([]CRL, len(rows))
	for i, r := range rows {
		var err error
		if out[i], err = r.crl(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// MarkCRLStale notes that the lists a certificate belongs on lack it, or name it
// in vain: the complete one, and those for the end of its serial number. An
// issuer whose lists are made elsewhere has none here.
func (tx *Tx) MarkCRLStale(issuerHash, serial string) error {
	var issuer issuerKey
	if err := tx.keep("issuers", &issuer, oneIssuer, issuerHash); ra.KindOf(err) == ra.NotFound {
		return nil
	} else if err != nil {
		return err
	}
	_, err := tx.exec("UPDATE crl_lists SET wanted = wanted + 1 WHERE issuer_hash = $1 AND low <= $2 AND high >= $2", issuerHash, Ending(serial))
	return err
}

// Ending gives the last two digits of a serial number, by which the lists of an
// issuer are divided.
func Ending(serial string) string {
	padded := "00" + serial
	return padded[len(padded)-2:]
}

// RevokedEntry is one line of a CRL.
type RevokedEntry struct {
	Serial    string
	RevokedAt time.Time
	Reason    ra.RevocationReason
}

// RevokedBy lists what a CRL of an issuer must name: revoked or held, not past
// its end, and with a serial number that ends in two digits from low to high.
func (tx *Tx) RevokedBy(issuerHash, low, high string) ([]RevokedEntry, error) {
	// The sum keeps SQLite from walking all issuers' certificates by not_after.
	q, args := "SELECT serial, revoked_at, reason FROM certificates WHERE issuer_hash = $1 AND state IN ('revoked', 'on_hold') AND not_after + 0 >= $2", []any{issuerHash, millis(tx.Now)}
	if low > "00" || high < "ff" {
		q, args = q+" AND substr('00' || serial, length(serial) + 1, 2) BETWEEN $3 AND $4", append(args, low, high)
	}
	rows, err := tx.x.QueryContext(tx.long(), q, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []RevokedEntry
	for rows.Next() {
		var e RevokedEntry
		var at, reason int64
		if err := rows.Scan(&e.Serial, &at, &reason); err != nil {
			return nil, err
		}
		e.RevokedAt, e.Reason = instant(at), ra.RevocationReason(reason)
		out = append(out, e)
	}
	return out, rows.Err()
}
