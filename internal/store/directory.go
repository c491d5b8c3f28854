package store

import (
	"time"

	"chancery/internal/ra"
)

type directoryRow struct {
	ID          string `db:"id"`
	GroupID     string `db:"group_id"`
	Name        string `db:"name"`
	NameFolded  string `db:"name_folded"`
	Description string `db:"description"`
	Settings    string `db:"settings"`
	Disabled    bool   `db:"disabled"`
	timesRow
}

func toDirectory(d *ra.Directory) directoryRow {
	return directoryRow{ID: string(d.ID), GroupID: string(d.GroupID), Name: d.Name, NameFolded: ra.Fold(d.Name), Description: d.Description,
		Settings: string(d.Settings), Disabled: d.Disabled, timesRow: toTimes(d.Times)}
}

func (r *directoryRow) noun() (*ra.Directory, error) {
	return &ra.Directory{ID: ra.DirectoryID(r.ID), GroupID: ra.GroupID(r.GroupID), Name: r.Name, Description: r.Description,
		Settings: []byte(r.Settings), Disabled: r.Disabled, Times: r.timesRow.noun()}, nil
}

type directoryStateRow struct {
	ID         string `db:"id"`
	Invocation string `db:"invocation"`
	USN        int64  `db:"usn"`
	Basis      string `db:"basis"`
	SyncedAt   int64  `db:"synced_at"`
	Users      int64  `db:"users"`
	obligationRow
}

// CreateDirectory stores a new directory with where it stands. A taken name is
// a Conflict.
func (tx *Tx) CreateDirectory(d *ra.Directory, s *ra.DirectoryState) error {
	d.CreatedAt, d.UpdatedAt = tx.Now, tx.Now
	row, state := toDirectory(d), toDirectoryState(s)
	if err := tx.insert("directories", &row); err != nil {
		return err
	}
	return tx.insert("directory_states", &state)
}

// UpdateDirectory stores every field of d.
func (tx *Tx) UpdateDirectory(d *ra.Directory) error {
	loaded := d.UpdatedAt
	d.UpdatedAt = tx.after(loaded)
	row := toDirectory(d)
	return tx.replace("directories", row.ID, loaded, &row)
}

// DeleteDirectory deletes a directory with its runs and where it stood. One that
// certificates were published to is a Conflict. Its users are entered here from
// then on. Its secrets are the caller's to delete.
func (tx *Tx) DeleteDirectory(id ra.DirectoryID) error {
	for _, q := range []string{"DELETE FROM syncs WHERE directory_id = $1", "DELETE FROM directory_states WHERE id = $1",
		"DELETE FROM publications WHERE directory_id = $1 AND next_action = '' AND NOT published"} {
		if _, err := tx.exec(q, string(id)); err != nil {
			return err
		}
	}
	if _, err := tx.exec("UPDATE users SET directory_id = '', object_guid = '', absence = '' WHERE directory_id = $1 AND directory_id <> ''", string(id)); err != nil {
		return err
	}
	return tx.remove("directories", string(id))
}

// Directory loads a directory.
func (tx *Tx) Directory(id ra.DirectoryID) (*ra.Directory, error) {
	var row directoryRow
	if err := tx.look("directories", &row, "id = $1", string(id)); err != nil {
		return nil, err
	}
	return row.noun()
}

// Directory gives a directory.
func (c *Config) Directory(id ra.DirectoryID) (*ra.Directory, error) {
	return Keep(c, "directory", string(id), func(tx *Tx) (*ra.Directory, error) { return tx.Directory(id) })
}

// DirectoryFilter narrows a list of directories; empty fields do not.
type DirectoryFilter struct {
	Groups []ra.GroupID // any of these; nil: all
	Text   string       // part of the name
	Page
}

// FindDirectories lists directories by name, or as Page.Sort says: "name" or
// "created".
func (tx *Tx) FindDirectories(f DirectoryFilter) ([]*ra.Directory, string, error) {
	w := &where{}
	within(w, "group_id", f.Groups)
	w.contains(f.Text, "name_folded")
	return find[ra.Directory, directoryRow](tx, "directories", w, f.Page, byName)
}

func toDirectoryState(s *ra.DirectoryState) directoryStateRow {
	return directoryStateRow{ID: string(s.ID), Invocation: s.Invocation, USN: s.USN, Basis: s.Basis, SyncedAt: millis(s.SyncedAt), Users: int64(s.Users),
		obligationRow: toObligation(s.Obligation)}
}

func (r *directoryStateRow) noun() (*ra.DirectoryState, error) {
	return &ra.DirectoryState{ID: ra.DirectoryID(r.ID), Invocation: r.Invocation, USN: r.USN, Basis: r.Basis, SyncedAt: instant(r.SyncedAt), Users: int(r.Users),
		Obligation: r.obligationRow.noun()}, nil
}

// DirectoryState loads how far a directory is taken over.
func (tx *Tx) DirectoryState(id ra.DirectoryID) (*ra.DirectoryState, error) {
	var row directoryStateRow
	if err := tx.get("directory_states", &row, "id = $1", string(id)); err != nil {
		return nil, err
	}
	return row.noun()
}

// UpdateDirectoryState stores every field of s.
func (tx *Tx) UpdateDirectoryState(s *ra.DirectoryState) error {
	row := toDirectoryState(s)
	return tx.update("directory_states", &row)
}

// DueDirectories lists the directories whose next action is due.
func (tx *Tx) DueDirectories() ([]ra.DirectoryID, error) {
	var ids []ra.DirectoryID
	err := tx.x.SelectContext(tx.ctx, &ids, "SELECT id FROM directory_states WHERE next_action <> '' AND next_action_at <= $1 ORDER BY next_action_at, id", millis(tx.Now))
	return ids, fit(err)
}

// OverdueDirectories lists the directories past their deadline whom nobody was
// told of yet.
func (tx *Tx) OverdueDirectories() ([]ra.DirectoryID, error) {
	var ids []ra.DirectoryID
	err := tx.x.SelectContext(tx.ctx, &ids, "SELECT id FROM directory_states WHERE next_action <> '' AND deadline_at > 0 AND deadline_at < $1 AND escalated_at = 0 ORDER BY id", millis(tx.Now))
	return ids, fit(err)
}

type syncRow struct {
	ID          string `db:"id"`
	DirectoryID string `db:"directory_id"`
	State       string `db:"state"`
	Value       string `db:"value"`
	timesRow
}

func toSync(s *ra.Sync) syncRow {
	return syncRow{ID: string(s.ID), DirectoryID: string(s.Directory), State: string(s.State), Value: text(s), timesRow: toTimes(s.Times)}
}

func (r *syncRow) noun() (*ra.Sync, error) {
	s := &ra.Sync{ID: ra.SyncID(r.ID), Directory: ra.DirectoryID(r.DirectoryID), State: ra.SyncState(r.State), Times: r.timesRow.noun()}
	return s, parse(r.Value, s)
}

// CreateSync stores a new run.
func (tx *Tx) CreateSync(s *ra.Sync) error {
	s.CreatedAt, s.UpdatedAt = tx.Now, tx.Now
	row := toSync(s)
	return tx.insert("syncs", &row)
}

// UpdateSync stores how far a run has come.
func (tx *Tx) UpdateSync(s *ra.Sync) error {
	s.UpdatedAt = tx.Now
	row := toSync(s)
	return tx.update("syncs", &row)
}

// Sync loads a run.
func (tx *Tx) Sync(id ra.SyncID) (*ra.Sync, error) {
	var row syncRow
	if err := tx.get("syncs", &row, "id = $1", string(id)); err != nil {
		return nil, err
	}
	return row.noun()
}

// FindSyncs lists the runs of a directory, newest first.
func (tx *Tx) FindSyncs(directory ra.DirectoryID, p Page) ([]*ra.Sync, string, error) {
	w := &where{}
	w.equal("directory_id", string(directory))
	return find[ra.Sync, syncRow](tx, "syncs", w, p, sorting{"": {"id", true}})
}

// OpenSyncs lists the runs that wait or run, oldest first; of one directory, or
// of all with an empty one.
func (tx *Tx) OpenSyncs(directory ra.DirectoryID) ([]*ra.Sync, error) {
	var rows []*syncRow
	err := tx.x.SelectContext(tx.ctx, &rows, "SELECT * FROM syncs WHERE state IN ('waiting', 'running') AND ($1 = '' OR directory_id = $1) ORDER BY id", string(directory))
	if err != nil {
		return nil, fit(err)
	}
	return nouns[ra.Sync](rows)
}

// TidySyncs deletes runs that ended before an instant, at most so many.
func (tx *Tx) TidySyncs(before time.Time, most int) (int64, error) {
	return tx.exec("DELETE FROM syncs WHERE id IN (SELECT id FROM syncs WHERE state NOT IN ('waiting', 'running') AND updated_at < $1 ORDER BY id LIMIT $2)", millis(before), most)
}

// DirectoryUser is what a run has to know of a user who comes from a directory.
type DirectoryUser struct {
	ID         ra.UserID  `db:"id"`
	ObjectGUID string     `db:"object_guid"`
	Absence    ra.Absence `db:"absence"`
	Disabled   bool       `db:"disabled"`
}

// DirectoryUsers lists everybody who comes from a directory.
func (tx *Tx) DirectoryUsers(id ra.DirectoryID) ([]DirectoryUser, error) {
	var list []DirectoryUser
	err := tx.x.SelectContext(tx.ctx, &list, "SELECT id, object_guid, absence, disabled FROM users WHERE directory_id = $1 AND directory_id <> ''", string(id))
	return list, fit(err)
}

// UserByObject loads the user of an object of a directory.
func (tx *Tx) UserByObject(directory ra.DirectoryID, guid string) (*ra.User, error) {
	return tx.user("directory_id = $1 AND object_guid = $2 AND directory_id <> ''", string(directory), guid)
}
