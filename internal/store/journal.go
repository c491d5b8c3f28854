package store

import (
	"database/sql"
	"errors"

	"chancery/internal/ra"
)

// PutJournal stores a value under an authority's key unless the key is taken,
// and gives what is stored now.
func (tx *Tx) PutJournal(authority ra.AuthorityID, key string, value []byte) ([]byte, error) {
	_, err := tx.exec("INSERT INTO journal (authority_id, entry_key, value, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT (authority_id, entry_key) DO NOTHING",
		string(authority), key, blob(value), millis(tx.Now))
	if err != nil {
		return nil, err
	}
	return tx.Journal(authority, key)
}

// AddJournal stores a value under an authority's key; a key that is taken is a
// Conflict.
func (tx *Tx) AddJournal(authority ra.AuthorityID, key string, value []byte) error {
	_, err := tx.exec("INSERT INTO journal (authority_id, entry_key, value, created_at) VALUES ($1, $2, $3, $4)",
		string(authority), key, blob(value), millis(tx.Now))
	return tx.conflict("journal", err)
}

// Journal gives the value under an authority's key.
func (tx *Tx) Journal(authority ra.AuthorityID, key string) ([]byte, error) {
	var value []byte
	err := tx.x.GetContext(tx.ctx, &value, "SELECT value FROM journal WHERE authority_id = $1 AND entry_key = $2", string(authority), key)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, notFound("journal")
	}
	return value, fit(err)
}
