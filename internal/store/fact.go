package store

import (
	"database/sql"
	"errors"
)

// Fact gives a fact about this installation.
func (tx *Tx) Fact(name string) (string, error) {
	var value string
	err := tx.x.GetContext(tx.ctx, &value, "SELECT value FROM facts WHERE name = $1", name)
	if errors.Is(err, sql.ErrNoRows) {
		return "", notFound("facts")
	}
	return value, fit(err)
}

// ClaimFact stores a fact about this installation unless it is known, and gives
// what is known now: of many that claim it at once, on any node, one wins.
func (tx *Tx) ClaimFact(name, value string) (string, error) {
	if _, err := tx.exec("INSERT INTO facts (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING", name, value); err != nil {
		return "", err
	}
	return tx.Fact(name)
}

// PutFact stores a fact about this installation over what was there.
func (tx *Tx) PutFact(name, value string) error {
	_, err := tx.exec("INSERT INTO facts (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, value)
	return err
}
