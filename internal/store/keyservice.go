package store

import "chancery/internal/ra"

type keyServiceRow struct {
	ID          string `db:"id"`
	GroupID     string `db:"group_id"`
	Name        string `db:"name"`
	NameFolded  string `db:"name_folded"`
	Description string `db:"description"`
	Settings    string `db:"settings"`
	Disabled    bool   `db:"disabled"`
	timesRow
}

func toKeyService(k *ra.KeyService) keyServiceRow {
	return keyServiceRow{ID: string(k.ID), GroupID: string(k.GroupID), Name: k.Name, NameFolded: ra.Fold(k.Name), Description: k.Description,
		Settings: string(k.Settings), Disabled: k.Disabled, timesRow: toTimes(k.Times)}
}

func (r *keyServiceRow) noun() (*ra.KeyService, error) {
	return &ra.KeyService{ID: ra.KeyServiceID(r.ID), GroupID: ra.GroupID(r.GroupID), Name: r.Name, Description: r.Description,
		Settings: []byte(r.Settings), Disabled: r.Disabled, Times: r.timesRow.noun()}, nil
}

// CreateKeyService stores a new key service. A taken name is a Conflict.
func (tx *Tx) CreateKeyService(k *ra.KeyService) error {
	k.CreatedAt, k.UpdatedAt = tx.Now, tx.Now
	row := toKeyService(k)
	return tx.insert("key_services", &row)
}

// UpdateKeyService stores every field of k.
func (tx *Tx) UpdateKeyService(k *ra.KeyService) error {
	loaded := k.UpdatedAt
	k.UpdatedAt = tx.after(loaded)
	row := toKeyService(k)
	return tx.replace("key_services", row.ID, loaded, &row)
}

// DeleteKeyService deletes a key service. Its secrets, and whether anything
// waits for it, are the caller's matter.
func (tx *Tx) DeleteKeyService(id ra.KeyServiceID) error {
	return tx.remove("key_services", string(id))
}

// KeyService loads a key service. In a Write it stays as it is until the end.
func (tx *Tx) KeyService(id ra.KeyServiceID) (*ra.KeyService, error) {
	var row keyServiceRow
	if err := tx.get("key_services", &row, "id = $1", string(id)); err != nil {
		return nil, err
	}
	return row.noun()
}

// KeyServiceFilter narrows a list of key services; empty fields do not.
type KeyServiceFilter struct {
	Groups []ra.GroupID // any of these; nil: all
	Text   string       // part of the name
	Page
}

// FindKeyServices lists key services by name, or as Page.Sort says: "name" or
// "created".
func (tx *Tx) FindKeyServices(f KeyServiceFilter) ([]*ra.KeyService, string, error) {
	w := &where{}
	within(w, "group_id", f.Groups)
	w.contains(f.Text, "name_folded")
	return find[ra.KeyService, keyServiceRow](tx, "key_services", w, f.Page, byName)
}
