package store

import "chancery/internal/ra"

type passkeyRow struct {
	ID         string `db:"id"`
	AdminID    string `db:"admin_id"`
	Name       string `db:"name"`
	Credential []byte `db:"credential"`
	timesRow
}

func toPasskey(p *ra.Passkey) passkeyRow {
	return passkeyRow{string(p.ID), string(p.AdminID), p.Name, blob(p.Credential), toTimes(p.Times)}
}

func (r *passkeyRow) noun() (*ra.Passkey, error) {
	return &ra.Passkey{ID: ra.PasskeyID(r.ID), AdminID: ra.AdminID(r.AdminID), Name: r.Name, Credential: r.Credential, Times: r.timesRow.noun()}, nil
}

// CreatePasskey stores a new passkey.
func (tx *Tx) CreatePasskey(p *ra.Passkey) error {
	p.CreatedAt, p.UpdatedAt = tx.Now, tx.Now
	row := toPasskey(p)
	return tx.insert("passkeys", &row)
}

// UpdatePasskey stores every field of p.
func (tx *Tx) UpdatePasskey(p *ra.Passkey) error {
	p.UpdatedAt = tx.Now
	row := toPasskey(p)
	return tx.update("passkeys", &row)
}

// DeletePasskey deletes a passkey.
func (tx *Tx) DeletePasskey(id ra.PasskeyID) error { return tx.remove("passkeys", string(id)) }

// Passkeys lists an administrator's passkeys by age.
func (tx *Tx) Passkeys(admin ra.AdminID) ([]*ra.Passkey, error) {
	var rows []*passkeyRow
	if err := tx.x.SelectContext(tx.ctx, &rows, "SELECT * FROM passkeys WHERE admin_id = $1 ORDER BY id", string(admin)); err != nil {
		return nil, fit(err)
	}
	return nouns[ra.Passkey](rows)
}
