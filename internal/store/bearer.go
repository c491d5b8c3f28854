package store

import (
	"database/sql"
	"errors"
	"time"

	"chancery/internal/ra"
)

// PutBearer remembers by which mark a door will know whoever asked for a
// request at an endpoint, when no row tells: a SCEP client that polls with a
// key that is neither the one to be certified nor an old one. The first stays.
func (tx *Tx) PutBearer(endpoint ra.EndpointID, mark string, request ra.RequestID) error {
	_, err := tx.exec("INSERT INTO bearers (endpoint_id, mark, request_id, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT (endpoint_id, mark) DO NOTHING",
		string(endpoint), mark, string(request), millis(tx.Now))
	return err
}

// Bearer gives the request a mark stands for at an endpoint.
func (tx *Tx) Bearer(endpoint ra.EndpointID, mark string) (ra.RequestID, error) {
	var id ra.RequestID
	err := tx.x.GetContext(tx.ctx, &id, "SELECT request_id FROM bearers WHERE endpoint_id = $1 AND mark = $2", string(endpoint), mark)
	if errors.Is(err, sql.ErrNoRows) {
		return "", notFound("bearers")
	}
	return id, fit(err)
}

// SweepBearers forgets marks made before an instant and tells how many.
func (tx *Tx) SweepBearers(before time.Time) (int64, error) {
	return tx.exec("DELETE FROM bearers WHERE created_at < $1", millis(before))
}
