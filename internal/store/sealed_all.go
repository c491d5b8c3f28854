package store

import (
	"fmt"
	"strings"

	"chancery/internal/ra"
)

// SealedValue is one value sealed by a master key, wherever it is stored.
type SealedValue struct {
	Row string // position, for SealedAfter and ReplaceSealed
	Box []byte

	owner, field string
	place        string
}

// Sealing gives what the value is bound to: table, row and field.
func (v SealedValue) Sealing() (table, row, field string) {
	switch v.place {
	case "sealed":
		prefix, _, _ := strings.Cut(v.owner, "_")
		return sealedTables[prefix], v.owner, v.field
	case "requests":
		return "requests", v.owner, "csr"
	case "passes":
		return "passes", v.owner, "token"
	case "scep_slots":
		return "scep_slots", v.owner + "/" + v.field, "challenge"
	}
	return "journal", v.owner, v.field
}

// sealedTables are the tables of the owners in table sealed, by the prefix of
// their IDs.
var sealedTables = map[string]string{
	ra.AuthorityPrefix: "authorities", ra.EndpointPrefix: "endpoints", ra.RequestPrefix: "requests", ra.CertificatePrefix: "certificates",
	ra.DirectoryPrefix: "directories", ra.KeyServicePrefix: "key_services", ra.KeyDeliveryPrefix: "key_deliveries",
}

// sealedPlaces are the columns that hold sealed values: the table with the
// expressions for the owner, the field and the value.
var sealedPlaces = map[string][3]string{
	"sealed":   {"owner", "field", "box"},
	"journal":  {"authority_id", "entry_key", "value"},
	"requests": {"id", "idempotency_key", "csr"}, // any second column will do
	"passes":   {"id", "device_id", "box"},

	"scep_slots": {"authority_id", "id", "box"},
}

// SealedPlaces names the places where sealed values are kept, in the order in
// which they are sealed anew.
func SealedPlaces() []string {
	return []string{"sealed", "journal", "requests", "passes", "scep_slots"}
}

// SealedAfter gives the next values of a place in the order of their rows: at
// most scan of them are looked at, and those are given that are sealed by one
// of the keys with the given first bytes. The last row looked at is empty at
// the end of the place.
func (tx *Tx) SealedAfter(place, after string, prefixes [][]byte, scan int) (list []SealedValue, last string, err error) {
	c := sealedPlaces[place]
	owner, field, _ := strings.Cut(after, "\x1f")
	var rows []struct {
		Owner string `db:"o"`
		Field string `db:"f"`
		Box   []byte `db:"b"`
	}
	q := fmt.Sprintf("SELECT %[2]s AS o, %[3]s AS f, %[4]s AS b FROM %[1]s WHERE (%[2]s, %[3]s) > ($1, $2) ORDER BY %[2]s, %[3]s LIMIT $3", place, c[0], c[1], c[2])
	if err := tx.x.SelectContext(tx.ctx, &rows, q, owner, field, scan); err != nil {
		return nil, "", fit(err)
	}
	for _, r := range rows {
		last = r.Owner + "\x1f" + r.Field
		for _, p := range prefixes {
			if len(r.Box) > len(p) && string(r.Box[:len(p)]) == string(p) {
				list = append(list, SealedValue{Row: last, Box: r.Box, owner: r.Owner, field: r.Field, place: place})
			}
		}
	}
	if len(rows) < scan {
		last = ""
	}
	return list, last, nil
}

// ReplaceSealed stores a value sealed anew, unless it has changed meanwhile,
// and tells whether it did.
func (tx *Tx) ReplaceSealed(v SealedValue, box []byte) (bool, error) {
	c := sealedPlaces[v.place]
	q := fmt.Sprintf("UPDATE %s SET %[4]s = $1 WHERE %[2]s = $2 AND %[3]s = $3 AND %[4]s = $4", v.place, c[0], c[1], c[2])
	n, err := tx.exec(q, blob(box), v.owner, v.field, blob(v.Box))
	return n == 1, err
}

// CountSealed counts the values sealed by the key with the given first bytes.
func (tx *Tx) CountSealed(prefix []byte) (total int64, err error) {
	for _, place := range SealedPlaces() {
		var n int64
		q := fmt.Sprintf("SELECT count(*) FROM %s WHERE substr(%s, 1, %d) = $1", place, sealedPlaces[place][2], len(prefix))
		if err := tx.x.GetContext(tx.ctx, &n, q, blob(prefix)); err != nil {
			return 0, fit(err)
		}
		total += n
	}
	return total, nil
}
