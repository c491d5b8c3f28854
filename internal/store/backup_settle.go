package store

// Settled tells what Settle put an end to, in numbers of rows.
type Settled struct {
	Challenges int64 `json:"challenges"` // open ones, which may have been used since
	Links      int64 `json:"links"`      // unused sign-in and download links
	Sessions   int64 `json:"sessions"`
	CRLs       int64 `json:"crls"` // lists that get a number above every published one
}

// Settle makes a database that was put back from an earlier state safe to use:
// what works once and may have been used since works no more, and every
// revocation list goes on above all numbers that can have been published.
//
// CRL numbers go on from the milliseconds of Tx.Now: no list was ever signed a
// thousand times a second, so none has had that number (RFC 5280 §5.2.3).
func (tx *Tx) Settle() (Settled, error) {
	var s Settled
	now := millis(tx.Now)
	for _, step := range []struct {
		n    *int64
		q    string
		args []any
	}{
		{&s.Challenges, "UPDATE challenges SET expires_at = $1, updated_at = $1 WHERE uses < max_uses AND expires_at > $1", []any{now}},
		{&s.Links, "UPDATE links SET used_at = $1 WHERE used_at = 0 AND expires_at > $1", []any{now}},
		{&s.Sessions, "DELETE FROM sessions", nil},
		{&s.CRLs, "UPDATE crl_lists SET number = CASE WHEN number < $1 THEN $1 ELSE number + 1 END, wanted = wanted + 1", []any{now}},
	} {
		var err error
		if *step.n, err = tx.exec(step.q, step.args...); err != nil {
			return s, err
		}
	}
	return s, nil
}
