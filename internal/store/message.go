package store

import (
	"database/sql"
	"errors"
	"time"

	"chancery/internal/ra"
)

// PutMessage remembers which request a SCEP message, by its hash, led to at an
// endpoint. The first answer stays.
func (tx *Tx) PutMessage(endpoint ra.EndpointID, hash string, request ra.RequestID) error {
	_, err := tx.exec("INSERT INTO messages (endpoint_id, message_hash, request_id, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT (endpoint_id, message_hash) DO NOTHING",
		string(endpoint), hash, string(request), millis(tx.Now))
	return err
}

// Message gives the request a SCEP message led to at an endpoint.
func (tx *Tx) Message(endpoint ra.EndpointID, hash string) (ra.RequestID, error) {
	var id ra.RequestID
	err := tx.x.GetContext(tx.ctx, &id, "SELECT request_id FROM messages WHERE endpoint_id = $1 AND message_hash = $2", string(endpoint), hash)
	if errors.Is(err, sql.ErrNoRows) {
		return "", notFound("messages")
	}
	return id, fit(err)
}

// SweepMessages forgets messages that came before an instant and tells how
// many.
func (tx *Tx) SweepMessages(before time.Time) (int64, error) {
	return tx.exec("DELETE FROM messages WHERE created_at < $1", millis(before))
}
