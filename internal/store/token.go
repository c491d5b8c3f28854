package store

import (
	"time"

	"chancery/internal/ra"
)

type tokenRow struct {
	ID         string `db:"id"`
	Name       string `db:"name"`
	Hash       string `db:"hash"`
	Grants     string `db:"grants"`
	CreatedBy  string `db:"created_by"`
	Person     string `db:"person"`
	ExpiresAt  int64  `db:"expires_at"`
	LastUsedAt int64  `db:"last_used_at"`
	timesRow
}

func toToken(t *ra.Token) tokenRow {
	return tokenRow{ID: string(t.ID), Name: t.Name, Hash: t.Hash, Grants: text(t.Grants), CreatedBy: t.CreatedBy, Person: string(t.Person),
		ExpiresAt: millis(t.ExpiresAt), LastUsedAt: millis(t.LastUsedAt), timesRow: toTimes(t.Times)}
}

func (r *tokenRow) noun() (*ra.Token, error) {
	t := &ra.Token{ID: ra.TokenID(r.ID), Name: r.Name, Hash: r.Hash, CreatedBy: r.CreatedBy, Person: ra.AdminID(r.Person), ExpiresAt: instant(r.ExpiresAt),
		LastUsedAt: instant(r.LastUsedAt), Times: r.timesRow.noun()}
	return t, parse(r.Grants, &t.Grants)
}

// CreateToken stores a new token.
func (tx *Tx) CreateToken(t *ra.Token) error {
	t.CreatedAt, t.UpdatedAt = tx.Now, tx.Now
	row := toToken(t)
	return tx.insert("tokens", &row)
}

// UpdateToken stores every field of t.
func (tx *Tx) UpdateToken(t *ra.Token) error {
	t.UpdatedAt = tx.Now
	row := toToken(t)
	return tx.update("tokens", &row)
}

// TouchToken notes that a token is used now. To spare writes it keeps a last
// use of less than a minute ago.
func (tx *Tx) TouchToken(id ra.TokenID) error {
	_, err := tx.exec("UPDATE tokens SET last_used_at = $2 WHERE id = $1 AND last_used_at <= $3",
		string(id), millis(tx.Now), millis(tx.Now.Add(-time.Minute)))
	return err
}

// DeleteToken deletes a token.
func (tx *Tx) DeleteToken(id ra.TokenID) error { return tx.remove("tokens", string(id)) }

// Token loads a token.
func (tx *Tx) Token(id ra.TokenID) (*ra.Token, error) { return tx.token("id = $1", string(id)) }

// TokenByHash loads the token whose key has a hash.
func (tx *Tx) TokenByHash(hash string) (*ra.Token, error) { return tx.token("hash = $1", hash) }

func (tx *Tx) token(where string, args ...any) (*ra.Token, error) {
	var row tokenRow
	if err := tx.get("tokens", &row, where, args...); err != nil {
		return nil, err
	}
	return row.noun()
}

// FindTokens lists tokens, newest first.
func (tx *Tx) FindTokens(p Page) ([]*ra.Token, string, error) {
	return find[ra.Token, tokenRow](tx, "tokens", &where{}, p, sorting{"": {"id", true}})
}
