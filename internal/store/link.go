package store

import (
	"database/sql"
	"errors"
	"time"

	"chancery/internal/ra"
)

// Link is a one-time link. Its secret is known only to who has it.
type Link struct {
	Hash      string // of the secret
	Purpose   string // what it opens; a link is of no use for anything else
	Subject   string // whom or what it is for
	ExpiresAt time.Time
}

// CreateLink stores a new link.
func (tx *Tx) CreateLink(l Link) error {
	_, err := tx.exec("INSERT INTO links (hash, purpose, subject, expires_at, used_at, created_at) VALUES ($1, $2, $3, $4, 0, $5)",
		l.Hash, l.Purpose, l.Subject, millis(l.ExpiresAt), millis(tx.Now))
	return tx.conflict("links", err)
}

// UseLink spends a link and gives its subject. However many try at once, one
// succeeds; a link that is unknown, spent, expired or for another purpose is
// NotFound.
func (tx *Tx) UseLink(hash, purpose string) (subject string, err error) {
	err = tx.x.GetContext(tx.ctx, &subject, "UPDATE links SET used_at = $3 WHERE hash = $1 AND purpose = $2 AND used_at = 0 AND expires_at > $3 RETURNING subject",
		hash, purpose, millis(tx.Now))
	if errors.Is(err, sql.ErrNoRows) {
		return "", ra.Errorf(ra.NotFound, "This link is not valid: it was used already or has expired.").
			WithRemedy("Ask for a new link.")
	}
	return subject, fit(err)
}

// DeleteLinks deletes the links for a purpose and subject, used or not, and
// tells how many.
func (tx *Tx) DeleteLinks(purpose, subject string) (int64, error) {
	return tx.exec("DELETE FROM links WHERE purpose = $1 AND subject = $2", purpose, subject)
}

// SweepLinks deletes links that expired before an instant and tells how many.
func (tx *Tx) SweepLinks(before time.Time) (int64, error) {
	return tx.exec("DELETE FROM links WHERE expires_at < $1", millis(before))
}
