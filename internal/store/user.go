package store

import "chancery/internal/ra"

type userRow struct {
	ID          string `db:"id"`
	GroupID     string `db:"group_id"`
	Name        string `db:"name"`
	NameFolded  string `db:"name_folded"`
	Email       string `db:"email"`
	UPN         string `db:"upn"`
	SID         string `db:"sid"`
	FirstName   string `db:"first_name"`
	LastName    string `db:"last_name"`
	DisplayName string `db:"display_name"`
	DN          string `db:"dn"`
	Attributes  string `db:"attributes"`
	Disabled    bool   `db:"disabled"`
	Search      string `db:"search"`
	Directory   string `db:"directory_id"`
	ObjectGUID  string `db:"object_guid"`
	Absence     string `db:"absence"`
	timesRow
}

func toUser(u *ra.User) userRow {
	return userRow{
		ID: string(u.ID), GroupID: string(u.GroupID), Name: u.Name, NameFolded: ra.Fold(u.Name), Email: u.Email, UPN: u.UPN, SID: u.SID,
		FirstName: u.FirstName, LastName: u.LastName, DisplayName: u.DisplayName, DN: u.DN, Attributes: text(u.Attributes),
		Disabled: u.Disabled, Directory: string(u.Directory), ObjectGUID: u.ObjectGUID, Absence: string(u.Absence), timesRow: toTimes(u.Times),
		Search: ra.Fold(u.Name + "\n" + u.Email + "\n" + u.UPN + "\n" + u.DisplayName + "\n" + u.FirstName + " " + u.LastName),
	}
}

func (r *userRow) noun() (*ra.User, error) {
	u := &ra.User{
		ID: ra.UserID(r.ID), GroupID: ra.GroupID(r.GroupID), Name: r.Name, Email: r.Email, UPN: r.UPN, SID: r.SID,
		FirstName: r.FirstName, LastName: r.LastName, DisplayName: r.DisplayName, DN: r.DN, Disabled: r.Disabled, Directory: ra.DirectoryID(r.Directory),
		ObjectGUID: r.ObjectGUID, Absence: ra.Absence(r.Absence), Times: r.timesRow.noun(),
	}
	return u, parse(r.Attributes, &u.Attributes)
}

// CreateUser stores a new user. A name taken in the same group is a Conflict.
func (tx *Tx) CreateUser(u *ra.User) error {
	u.CreatedAt, u.UpdatedAt = tx.Now, tx.Now
	row := toUser(u)
	return tx.insert("users", &row)
}

// UpdateUser stores every field of u.
func (tx *Tx) UpdateUser(u *ra.User) error {
	u.UpdatedAt = tx.Now
	row := toUser(u)
	return tx.update("users", &row)
}

// DeleteUser deletes a user; devices assigned to the user are nobody's then.
func (tx *Tx) DeleteUser(id ra.UserID) error {
	if _, err := tx.exec("UPDATE devices SET user_id = '', updated_at = $2 WHERE user_id = $1 AND user_id <> ''", string(id), millis(tx.Now)); err != nil {
		return err
	}
	return tx.remove("users", string(id))
}

// User loads a user.
func (tx *Tx) User(id ra.UserID) (*ra.User, error) { return tx.user("id = $1", string(id)) }

// UserByName loads the user of a group with a name, in any case.
func (tx *Tx) UserByName(group ra.GroupID, name string) (*ra.User, error) {
	return tx.user("group_id = $1 AND name_folded = $2", string(group), ra.Fold(name))
}

func (tx *Tx) user(where string, args ...any) (*ra.User, error) {
	var row userRow
	if err := tx.get("users", &row, where, args...); err != nil {
		return nil, err
	}
	return row.noun()
}

// UserFilter narrows a list of users; empty fields do not.
type UserFilter struct {
	Groups []ra.GroupID // any of these; nil: all
	Text   string       // part of a name, the mail address or the UPN
	Page
}

// FindUsers lists users by name, or as Page.Sort says: "name" or "created".
func (tx *Tx) FindUsers(f UserFilter) ([]*ra.User, string, error) {
	w := &where{}
	if err := tx.scope(w, f.Groups); err != nil {
		return nil, "", err
	}
	w.contains(f.Text, "search")
	if err := tx.narrow(w, f.Page, "users", f.Text); err != nil {
		return nil, "", err
	}
	return find[ra.User, userRow](tx, "users", w, f.Page, byName)
}
