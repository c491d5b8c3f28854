package store

import (
	"time"

	"chancery/internal/ra"
)

type publicationRow struct {
	ID            string `db:"id"`
	CertificateID string `db:"certificate_id"`
	DirectoryID   string `db:"directory_id"`
	GroupID       string `db:"group_id"`
	AuthorityID   string `db:"authority_id"`
	DeviceID      string `db:"device_id"`
	UserID        string `db:"user_id"`
	ObjectGUID    string `db:"object_guid"`
	Subject       string `db:"subject"`
	Published     bool   `db:"published"`
	obligationRow
	timesRow
}

func toPublication(p *ra.Publication) publicationRow {
	return publicationRow{ID: string(p.ID), CertificateID: string(p.Certificate), DirectoryID: string(p.Directory), GroupID: string(p.GroupID),
		AuthorityID: string(p.AuthorityID), DeviceID: string(p.DeviceID), UserID: string(p.UserID), ObjectGUID: p.ObjectGUID, Subject: p.Subject,
		Published: p.Published, obligationRow: toObligation(p.Obligation), timesRow: toTimes(p.Times)}
}

func (r *publicationRow) noun() (*ra.Publication, error) {
	return &ra.Publication{ID: ra.PublicationID(r.ID), Certificate: ra.CertificateID(r.CertificateID), Directory: ra.DirectoryID(r.DirectoryID),
		GroupID: ra.GroupID(r.GroupID), AuthorityID: ra.AuthorityID(r.AuthorityID), DeviceID: ra.DeviceID(r.DeviceID), UserID: ra.UserID(r.UserID),
		ObjectGUID: r.ObjectGUID, Subject: r.Subject, Published: r.Published, Obligation: r.obligationRow.noun(), Times: r.timesRow.noun()}, nil
}

// CreatePublication stores what a new certificate owes its user's entry.
func (tx *Tx) CreatePublication(p *ra.Publication) error {
	p.CreatedAt, p.UpdatedAt = tx.Now, tx.Now
	row := toPublication(p)
	return tx.insert("publications", &row)
}

// UpdatePublication stores every field of p.
func (tx *Tx) UpdatePublication(p *ra.Publication) error {
	p.UpdatedAt = tx.Now
	row := toPublication(p)
	return tx.update("publications", &row)
}

// PublicationOf loads the publication of a certificate.
func (tx *Tx) PublicationOf(id ra.CertificateID) (*ra.Publication, error) {
	var row publicationRow
	if err := tx.get("publications", &row, "certificate_id = $1", string(id)); err != nil {
		return nil, err
	}
	return row.noun()
}

// DuePublications lists what is due of a directory, what waits longest first,
// at most so many.
func (tx *Tx) DuePublications(directory ra.DirectoryID, most int) ([]*ra.Publication, error) {
	var rows []*publicationRow
	err := tx.x.SelectContext(tx.ctx, &rows, "SELECT * FROM publications WHERE next_action <> '' AND directory_id = $1 AND next_action_at <= $2 ORDER BY next_action_at, id LIMIT $3",
		string(directory), millis(tx.Now), most)
	if err != nil {
		return nil, fit(err)
	}
	return nouns[ra.Publication](rows)
}

// PublishingDirectories lists the directories that have publications due.
func (tx *Tx) PublishingDirectories() ([]ra.DirectoryID, error) {
	var ids []ra.DirectoryID
	err := tx.x.SelectContext(tx.ctx, &ids, "SELECT DISTINCT directory_id FROM publications WHERE next_action <> '' AND next_action_at <= $1", millis(tx.Now))
	return ids, fit(err)
}

// OverduePublications lists those past their deadline whom nobody was told of
// yet, at most so many.
func (tx *Tx) OverduePublications(most int) ([]*ra.Publication, error) {
	var rows []*publicationRow
	err := tx.x.SelectContext(tx.ctx, &rows, "SELECT * FROM publications WHERE next_action <> '' AND deadline_at > 0 AND deadline_at < $1 AND escalated_at = 0 ORDER BY id LIMIT $2", millis(tx.Now), most)
	if err != nil {
		return nil, fit(err)
	}
	return nouns[ra.Publication](rows)
}

// PostponePublications puts everything off that is due of a directory.
func (tx *Tx) PostponePublications(directory ra.DirectoryID, until time.Time, why string) error {
	_, err := tx.exec("UPDATE publications SET attempts = attempts + 1, last_error = $1, next_action_at = $2, updated_at = $3 WHERE directory_id = $4 AND next_action <> '' AND next_action_at <= $3",
		why, millis(until), millis(tx.Now), string(directory))
	return err
}
