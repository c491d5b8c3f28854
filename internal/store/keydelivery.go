package store

import (
	"time"

	"chancery/internal/ra"
)

type keyDeliveryRow struct {
	ID            string `db:"id"`
	CertificateID string `db:"certificate_id"`
	GroupID       string `db:"group_id"`
	AuthorityID   string `db:"authority_id"`
	DeviceID      string `db:"device_id"`
	UserID        string `db:"user_id"`
	Subject       string `db:"subject"`
	DirectoryID   string `db:"directory_id"`
	ObjectGUID    string `db:"object_guid"`
	Attribute     string `db:"attribute"`
	Digest        string `db:"digest"`
	ServiceID     string `db:"service_id"`
	Delivered     bool   `db:"delivered"`
	obligationRow
	timesRow
}

func toKeyDelivery(d *ra.KeyDelivery) keyDeliveryRow {
	return keyDeliveryRow{ID: string(d.ID), CertificateID: string(d.Certificate), GroupID: string(d.GroupID), AuthorityID: string(d.AuthorityID),
		DeviceID: string(d.DeviceID), UserID: string(d.UserID), Subject: d.Subject, DirectoryID: string(d.Directory), ObjectGUID: d.ObjectGUID,
		Attribute: d.Attribute, Digest: d.Digest, ServiceID: string(d.Service), Delivered: d.Delivered, obligationRow: toObligation(d.Obligation), timesRow: toTimes(d.Times)}
}

func (r *keyDeliveryRow) noun() (*ra.KeyDelivery, error) {
	return &ra.KeyDelivery{ID: ra.KeyDeliveryID(r.ID), Certificate: ra.CertificateID(r.CertificateID), GroupID: ra.GroupID(r.GroupID),
		AuthorityID: ra.AuthorityID(r.AuthorityID), DeviceID: ra.DeviceID(r.DeviceID), UserID: ra.UserID(r.UserID), Subject: r.Subject,
		Directory: ra.DirectoryID(r.DirectoryID), ObjectGUID: r.ObjectGUID, Attribute: r.Attribute, Digest: r.Digest, Service: ra.KeyServiceID(r.ServiceID),
		Delivered: r.Delivered, Obligation: r.obligationRow.noun(), Times: r.timesRow.noun()}, nil
}

// KeyReceiver is where keys go: a directory or a key service.
type KeyReceiver struct {
	Directory ra.DirectoryID  `json:"directory,omitempty" db:"directory_id"`
	Service   ra.KeyServiceID `json:"service,omitempty" db:"service_id"`
}

// CreateKeyDelivery stores that a key has to be delivered.
func (tx *Tx) CreateKeyDelivery(d *ra.KeyDelivery) error {
	d.CreatedAt, d.UpdatedAt = tx.Now, tx.Now
	row := toKeyDelivery(d)
	return tx.insert("key_deliveries", &row)
}

// UpdateKeyDelivery stores every field of d.
func (tx *Tx) UpdateKeyDelivery(d *ra.KeyDelivery) error {
	d.UpdatedAt = tx.Now
	row := toKeyDelivery(d)
	return tx.update("key_deliveries", &row)
}

// KeyDeliveryOf loads the delivery of the key of a certificate.
func (tx *Tx) KeyDeliveryOf(id ra.CertificateID) (*ra.KeyDelivery, error) {
	var row keyDeliveryRow
	if err := tx.get("key_deliveries", &row, "certificate_id = $1", string(id)); err != nil {
		return nil, err
	}
	return row.noun()
}

// DueKeyDeliveries lists what is due of a receiver, what waits longest first, at
// most so many.
func (tx *Tx) DueKeyDeliveries(to KeyReceiver, most int) ([]*ra.KeyDelivery, error) {
	var rows []*keyDeliveryRow
	err := tx.x.SelectContext(tx.ctx, &rows, `SELECT * FROM key_deliveries WHERE next_action <> '' AND directory_id = $1 AND service_id = $2 AND next_action_at <= $3
		ORDER BY next_action_at, id LIMIT $4`, string(to.Directory), string(to.Service), millis(tx.Now), most)
	if err != nil {
		return nil, fit(err)
	}
	return nouns[ra.KeyDelivery](rows)
}

// KeyReceivers lists where something is due to go.
func (tx *Tx) KeyReceivers() ([]KeyReceiver, error) {
	var list []KeyReceiver
	err := tx.x.SelectContext(tx.ctx, &list, "SELECT DISTINCT directory_id, service_id FROM key_deliveries WHERE next_action <> '' AND next_action_at <= $1 ORDER BY directory_id, service_id", millis(tx.Now))
	return list, fit(err)
}

// OverdueKeyDeliveries lists those past their deadline whom nobody was told of
// yet, at most so many.
func (tx *Tx) OverdueKeyDeliveries(most int) ([]*ra.KeyDelivery, error) {
	var rows []*keyDeliveryRow
	err := tx.x.SelectContext(tx.ctx, &rows, "SELECT * FROM key_deliveries WHERE next_action <> '' AND deadline_at > 0 AND deadline_at < $1 AND escalated_at = 0 ORDER BY id LIMIT $2", millis(tx.Now), most)
	if err != nil {
		return nil, fit(err)
	}
	return nouns[ra.KeyDelivery](rows)
}

// PostponeKeyDeliveries puts everything off that is due of a receiver.
func (tx *Tx) PostponeKeyDeliveries(to KeyReceiver, until time.Time, why string) error {
	_, err := tx.exec(`UPDATE key_deliveries SET attempts = attempts + 1, last_error = $1, next_action_at = $2, updated_at = $3
		WHERE directory_id = $4 AND service_id = $5 AND next_action <> '' AND next_action_at <= $3`, why, millis(until), millis(tx.Now), string(to.Directory), string(to.Service))
	return err
}

// HastenKeyDeliveries makes everything due now that waits for a receiver.
func (tx *Tx) HastenKeyDeliveries(to KeyReceiver) error {
	_, err := tx.exec("UPDATE key_deliveries SET next_action_at = $1, updated_at = $1 WHERE directory_id = $2 AND service_id = $3 AND next_action <> '' AND next_action_at > $1",
		millis(tx.Now), string(to.Directory), string(to.Service))
	return err
}

// KeysWait reports whether anything waits for a receiver.
func (tx *Tx) KeysWait(to KeyReceiver) (wait bool, err error) {
	err = tx.x.GetContext(tx.ctx, &wait, "SELECT EXISTS (SELECT 1 FROM key_deliveries WHERE next_action <> '' AND directory_id = $1 AND service_id = $2)", string(to.Directory), string(to.Service))
	return wait, fit(err)
}
