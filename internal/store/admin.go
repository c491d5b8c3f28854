package store

import "chancery/internal/ra"

type adminRow struct {
	ID           string `db:"id"`
	Name         string `db:"name"`
	NameFolded   string `db:"name_folded"`
	DisplayName  string `db:"display_name"`
	Email        string `db:"email"`
	PasswordHash string `db:"password_hash"`
	Disabled     bool   `db:"disabled"`
	Grants       string `db:"grants"`
	timesRow
}

func toAdmin(a *ra.Admin) adminRow {
	return adminRow{ID: string(a.ID), Name: a.Name, NameFolded: ra.Fold(a.Name), DisplayName: a.DisplayName, Email: a.Email,
		PasswordHash: a.PasswordHash, Disabled: a.Disabled, Grants: text(a.Grants), timesRow: toTimes(a.Times)}
}

func (r *adminRow) noun() (*ra.Admin, error) {
	a := &ra.Admin{ID: ra.AdminID(r.ID), Name: r.Name, DisplayName: r.DisplayName, Email: r.Email, PasswordHash: r.PasswordHash,
		Disabled: r.Disabled, Times: r.timesRow.noun()}
	return a, parse(r.Grants, &a.Grants)
}

// CreateAdmin stores a new administrator. A taken name is a Conflict.
func (tx *Tx) CreateAdmin(a *ra.Admin) error {
	a.CreatedAt, a.UpdatedAt = tx.Now, tx.Now
	row := toAdmin(a)
	return tx.insert("admins", &row)
}

// UpdateAdmin stores every field of a.
func (tx *Tx) UpdateAdmin(a *ra.Admin) error {
	a.UpdatedAt = tx.Now
	row := toAdmin(a)
	return tx.update("admins", &row)
}

// DeleteAdmin deletes an administrator and their passkeys.
func (tx *Tx) DeleteAdmin(id ra.AdminID) error {
	if _, err := tx.exec("DELETE FROM passkeys WHERE admin_id = $1", string(id)); err != nil {
		return err
	}
	return tx.remove("admins", string(id))
}

// Admin loads an administrator.
func (tx *Tx) Admin(id ra.AdminID) (*ra.Admin, error) { return tx.admin("id = $1", string(id)) }

// AdminByName loads the administrator with a sign-in name, in any case.
func (tx *Tx) AdminByName(name string) (*ra.Admin, error) {
	return tx.admin("name_folded = $1", ra.Fold(name))
}

func (tx *Tx) admin(where string, args ...any) (*ra.Admin, error) {
	var row adminRow
	if err := tx.get("admins", &row, where, args...); err != nil {
		return nil, err
	}
	return row.noun()
}

// AdminFilter narrows a list of administrators; empty fields do not.
type AdminFilter struct {
	Text string // part of the sign-in name
	Page
}

// FindAdmins lists administrators by name, or as Page.Sort says: "name" or
// "created".
func (tx *Tx) FindAdmins(f AdminFilter) ([]*ra.Admin, string, error) {
	w := &where{}
	w.contains(f.Text, "name_folded")
	return find[ra.Admin, adminRow](tx, "admins", w, f.Page, byName)
}

// CountAdmins counts administrators.
func (tx *Tx) CountAdmins() (int, error) {
	var n int
	err := tx.x.GetContext(tx.ctx, &n, "SELECT count(*) FROM admins")
	return n, err
}
