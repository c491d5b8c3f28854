package store

import (
	"database/sql"
	"errors"
)

// PutSealed stores the sealed form of a secret field of an owner, a row's ID,
// over what was there.
func (tx *Tx) PutSealed(owner, field string, box []byte) error {
	_, err := tx.exec("INSERT INTO sealed (owner, field, box) VALUES ($1, $2, $3) ON CONFLICT (owner, field) DO UPDATE SET box = excluded.box",
		owner, field, blob(box))
	return err
}

// Sealed gives the sealed fields of an owner; there may be none.
func (tx *Tx) Sealed(owner string) (map[string][]byte, error) {
	var rows []struct {
		Field string `db:"field"`
		Box   []byte `db:"box"`
	}
	if err := tx.x.SelectContext(tx.ctx, &rows, "SELECT field, box FROM sealed WHERE owner = $1", owner); err != nil {
		return nil, fit(err)
	}
	out := make(map[string][]byte, len(rows))
	for _, r := range rows {
		out[r.Field] = r.Box
	}
	return out, nil
}

// DeleteSealed deletes a sealed field of an owner, or all with an empty field.
// It is no error when there was nothing.
func (tx *Tx) DeleteSealed(owner, field string) error {
	_, err := tx.exec("DELETE FROM sealed WHERE owner = $1 AND ($2 = '' OR field = $2)", owner, field)
	return err
}

// AnySealed gives a sealed value, whichever; NotFound when there is none.
func (tx *Tx) AnySealed() ([]byte, error) {
	var box []byte
	err := tx.x.GetContext(tx.ctx, &box, "SELECT box FROM sealed LIMIT 1")
	if errors.Is(err, sql.ErrNoRows) {
		return nil, notFound("sealed")
	}
	return box, fit(err)
}

// SealedOwners lists everybody who has a sealed field.
func (tx *Tx) SealedOwners() ([]string, error) {
	var owners []string
	err := tx.x.SelectContext(tx.ctx, &owners, "SELECT DISTINCT owner FROM sealed ORDER BY owner")
	return owners, err
}
