package store

import "chancery/internal/ra"

type authorityRow struct {
	ID            string  `db:"id"`
	GroupID       string  `db:"group_id"`
	Name          string  `db:"name"`
	NameFolded    string  `db:"name_folded"`
	Description   string  `db:"description"`
	Kind          string  `db:"kind"`
	Settings      string  `db:"settings"`
	RatePerSecond float64 `db:"rate_per_second"`
	MaxInFlight   int64   `db:"max_in_flight"`
	Disabled      bool    `db:"disabled"`
	timesRow
}

func toAuthority(a *ra.Authority) authorityRow {
	return authorityRow{
		ID: string(a.ID), GroupID: string(a.GroupID), Name: a.Name, NameFolded: ra.Fold(a.Name), Description: a.Description, Kind: a.Kind,
		Settings: string(a.Settings), RatePerSecond: a.RatePerSecond, MaxInFlight: int64(a.MaxInFlight), Disabled: a.Disabled,
		timesRow: toTimes(a.Times),
	}
}

func (r *authorityRow) noun() (*ra.Authority, error) {
	return &ra.Authority{
		ID: ra.AuthorityID(r.ID), GroupID: ra.GroupID(r.GroupID), Name: r.Name, Description: r.Description, Kind: r.Kind,
		Settings: []byte(r.Settings), RatePerSecond: r.RatePerSecond, MaxInFlight: int(r.MaxInFlight), Disabled: r.Disabled,
		Times: r.timesRow.noun(),
	}, nil
}

// CreateAuthority stores a new authority. A taken name is a Conflict.
func (tx *Tx) CreateAuthority(a *ra.Authority) error {
	a.CreatedAt, a.UpdatedAt = tx.Now, tx.Now
	row := toAuthority(a)
	return tx.insert("authorities", &row)
}

// UpdateAuthority stores every field of a.
func (tx *Tx) UpdateAuthority(a *ra.Authority) error {
	loaded := a.UpdatedAt
	a.UpdatedAt = tx.after(loaded)
	row := toAuthority(a)
	return tx.replace("authorities", row.ID, loaded, &row)
}

// DeleteAuthority deletes an authority that no template, request or
// certificate names, with its issuers, CRLs, journal and posture; else it is a
// Conflict. Its secrets are the caller's to delete.
func (tx *Tx) DeleteAuthority(id ra.AuthorityID) error {
	for _, table := range []string{"crl_lists", "issuers", "journal", "limits", "slots", "outages", "experience", "forecasts"} {
		if _, err := tx.exec("DELETE FROM "+table+" WHERE authority_id = $1", string(id)); err != nil {
			return err
		}
	}
	if err := tx.DeletePosture(id); err != nil {
		return err
	}
	if err := tx.forgetImports(id); err != nil {
		return err
	}
	return tx.remove("authorities", string(id))
}

// Authority loads an authority.
func (tx *Tx) Authority(id ra.AuthorityID) (*ra.Authority, error) {
	return tx.authority("id = $1", string(id))
}

// AuthorityByName loads the authority with a name, in any case.
func (tx *Tx) AuthorityByName(name string) (*ra.Authority, error) {
	return tx.authority("name_folded = $1", ra.Fold(name))
}

func (tx *Tx) authority(where string, args ...any) (*ra.Authority, error) {
	var row authorityRow
	if err := tx.look("authorities", &row, where, args...); err != nil {
		return nil, err
	}
	return row.noun()
}

// AuthorityFilter narrows a list of authorities; empty fields do not.
type AuthorityFilter struct {
	Groups []ra.GroupID // any of these; nil: all
	Kind   string
	Text   string // part of the name
	Page
}

// FindAuthorities lists authorities by name, or as Page.Sort says: "name" or
// "created".
func (tx *Tx) FindAuthorities(f AuthorityFilter) ([]*ra.Authority, string, error) {
	w := &where{}
	within(w, "group_id", f.Groups)
	w.equal("kind", f.Kind)
	w.contains(f.Text, "name_folded")
	return find[ra.Authority, authorityRow](tx, "authorities", w, f.Page, byName)
}

// AllAuthorities lists every authority by age.
func (tx *Tx) AllAuthorities() ([]*ra.Authority, error) {
	var rows []*authorityRow
	if err := tx.x.SelectContext(tx.ctx, &rows, "SELECT * FROM authorities ORDER BY id"); err != nil {
		return nil, err
	}
	return nouns[ra.Authority](rows)
}
