package store

// CRLSizes gives the bytes of each list of an issuer, by name; lists that were
// never made are left out.
func (tx *Tx) CRLSizes(issuerHash string) (map[string]int64, error) {
	var rows []struct {
		Name  string `db:"name"`
		Bytes int64  `db:"bytes"`
	}
	if err := tx.x.SelectContext(tx.ctx, &rows, "SELECT name, length(der) AS bytes FROM crl_bodies WHERE issuer_hash = $1", issuerHash); err != nil {
		return nil, fit(err)
	}
	out := make(map[string]int64, len(rows))
	for _, r := range rows {
		out[r.Name] = r.Bytes
	}
	return out, nil
}
