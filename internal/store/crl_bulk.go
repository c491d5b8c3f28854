package store

import (
	"time"

	"chancery/internal/ra"
)

// BulkID names a bulk revocation.
type BulkID string

// BulkPrefix begins every BulkID.
const BulkPrefix = "blk"

// Bulk is the revocation of everything that a filter found when it was ordered,
// done bit by bit.
type Bulk struct {
	ID      BulkID              `json:"-"`
	By      ra.Actor            `json:"by"`
	Filter  CertificateFilter   `json:"filter"` // Groups are those in which it was allowed
	Reason  ra.RevocationReason `json:"reason"`
	Comment string              `json:"comment"`
	Total   int64               `json:"total"` // found when it was ordered
	Revoked int64               `json:"revoked"`
	Skipped int64               `json:"skipped"` // had changed meanwhile
	Failed  int64               `json:"failed"`
	// Failures are the first of those that failed, and why.
	Failures []BulkFailure `json:"failures"`
	After    string        `json:"after"` // the cursor of what comes next
	EndedAt  time.Time     `json:"ended_at"`
	ra.Times `json:"-"`
}

// BulkFailure is a certificate that could not be revoked.
type BulkFailure struct {
	Certificate ra.CertificateID `json:"certificate"`
	Subject     string           `json:"subject"`
	Message     string           `json:"message"`
	Remedy      string           `json:"remedy"`
}

type bulkRow struct {
	ID    string `db:"id"`
	Value string `db:"value"`
	timesRow
}

func (r *bulkRow) noun() (*Bulk, error) {
	b := &Bulk{ID: BulkID(r.ID), Times: r.timesRow.noun()}
	return b, parse(r.Value, b)
}

func toBulk(b *Bulk) bulkRow {
	return bulkRow{ID: string(b.ID), Value: text(b), timesRow: toTimes(b.Times)}
}

// CreateBulk stores a new bulk revocation.
func (tx *Tx) CreateBulk(b *Bulk) error {
	b.CreatedAt, b.UpdatedAt = tx.Now, tx.Now
	row := toBulk(b)
	return tx.insert("bulks", &row)
}

// UpdateBulk stores how far a bulk revocation has come.
func (tx *Tx) UpdateBulk(b *Bulk) error {
	b.UpdatedAt = tx.Now
	row := toBulk(b)
	return tx.update("bulks", &row)
}

// Bulk loads a bulk revocation.
func (tx *Tx) Bulk(id BulkID) (*Bulk, error) {
	var row bulkRow
	if err := tx.get("bulks", &row, "id = $1", string(id)); err != nil {
		return nil, err
	}
	return row.noun()
}

// Bulks lists bulk revocations, newest first.
func (tx *Tx) Bulks(p Page) ([]*Bulk, string, error) {
	return find[Bulk, bulkRow](tx, "bulks", &where{}, p, sorting{"": {"id", true}})
}
