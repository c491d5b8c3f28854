package store

import (
	"time"

	"chancery/internal/ra"
)

type importRow struct {
	ID        string `db:"id"`
	GroupID   string `db:"group_id"`
	Scope     string `db:"scope"`
	Adopt     string `db:"adopt"`
	Every     int64  `db:"every"`
	Position  int64  `db:"position"`
	Begun     int64  `db:"begun"`
	Basis     string `db:"basis"`
	Since     int64  `db:"since"`
	FullAt    int64  `db:"full_at"`
	Imported  int64  `db:"imported"`
	EndedAt   int64  `db:"ended_at"`
	UpdatedBy string `db:"updated_by"`
	obligationRow
	timesRow
}

func toImport(i *ra.CAImport) importRow {
	return importRow{ID: string(i.Authority), GroupID: string(i.GroupID), Scope: string(i.Scope), Adopt: text(i.Adopt), Every: i.Every.Milliseconds(),
		Position: i.Position, Begun: millis(i.Begun), Basis: i.Basis, Since: millis(i.Since), FullAt: millis(i.FullAt), Imported: int64(i.Imported), EndedAt: millis(i.EndedAt), UpdatedBy: text(i.UpdatedBy),
		obligationRow: toObligation(i.Obligation), timesRow: toTimes(i.Times)}
}

func (r *importRow) noun() (*ra.CAImport, error) {
	i := &ra.CAImport{Authority: ra.AuthorityID(r.ID), GroupID: ra.GroupID(r.GroupID), Scope: ra.ImportScope(r.Scope), Every: time.Duration(r.Every) * time.Millisecond,
		Position: r.Position, Begun: instant(r.Begun), Basis: r.Basis, Since: instant(r.Since), FullAt: instant(r.FullAt), Imported: int(r.Imported), EndedAt: instant(r.EndedAt),
		Obligation: r.obligationRow.noun(), Times: r.timesRow.noun()}
	if err := parse(r.UpdatedBy, &i.UpdatedBy); err != nil {
		return nil, err
	}
	return i, parse(r.Adopt, &i.Adopt)
}

// CreateCAImport stores how an authority's certificates are taken over. A second
// one for the same authority is a Conflict.
func (tx *Tx) CreateCAImport(i *ra.CAImport) error {
	i.CreatedAt, i.UpdatedAt = tx.Now, tx.Now
	row := toImport(i)
	return tx.insert("ca_imports", &row)
}

// UpdateCAImport stores every field of i, which people have changed.
func (tx *Tx) UpdateCAImport(i *ra.CAImport) error {
	loaded := i.UpdatedAt
	i.UpdatedAt = tx.after(loaded)
	row := toImport(i)
	return tx.replace("ca_imports", row.ID, loaded, &row)
}

// MoveCAImport stores how far an import has come and when it is due. For people
// it is as they left it.
func (tx *Tx) MoveCAImport(i *ra.CAImport) error {
	row := toImport(i)
	return tx.update("ca_imports", &row)
}

// DeleteCAImport forgets how an authority's certificates are taken over. Runs,
// certificates and differences stay.
func (tx *Tx) DeleteCAImport(id ra.AuthorityID) error { return tx.remove("ca_imports", string(id)) }

// forgetImports deletes what there is of an authority's imports besides
// certificates.
func (tx *Tx) forgetImports(id ra.AuthorityID) error {
	for _, q := range []string{"DELETE FROM ca_imports WHERE id = $1", "DELETE FROM ca_import_runs WHERE authority_id = $1"} {
		if _, err := tx.exec(q, string(id)); err != nil {
			return err
		}
	}
	return nil
}

// CAImport loads how an authority's certificates are taken over.
func (tx *Tx) CAImport(id ra.AuthorityID) (*ra.CAImport, error) {
	var row importRow
	if err := tx.get("ca_imports", &row, "id = $1", string(id)); err != nil {
		return nil, err
	}
	return row.noun()
}

// DueCAImports lists the authorities whose next import is due. Those that are
// switched off are not.
func (tx *Tx) DueCAImports() ([]ra.AuthorityID, error) {
	var ids []ra.AuthorityID
	err := tx.x.SelectContext(tx.ctx, &ids, `SELECT i.id FROM ca_imports AS i JOIN authorities AS a ON a.id = i.id
		WHERE i.next_action <> '' AND i.next_action_at <= $1 AND NOT a.disabled ORDER BY i.next_action_at, i.id`, millis(tx.Now))
	return ids, fit(err)
}

// OverdueCAImports lists the authorities whose import is past its deadline, and
// nobody was told yet.
func (tx *Tx) OverdueCAImports() ([]ra.AuthorityID, error) {
	var ids []ra.AuthorityID
	err := tx.x.SelectContext(tx.ctx, &ids, `SELECT i.id FROM ca_imports AS i JOIN authorities AS a ON a.id = i.id
		WHERE i.next_action <> '' AND i.deadline_at > 0 AND i.deadline_at < $1 AND i.escalated_at = 0 AND NOT a.disabled ORDER BY i.id`, millis(tx.Now))
	return ids, fit(err)
}

type importRunRow struct {
	ID          string `db:"id"`
	AuthorityID string `db:"authority_id"`
	State       string `db:"state"`
	Value       string `db:"value"`
	timesRow
}

func toImportRun(r *ra.CAImportRun) importRunRow {
	return importRunRow{ID: string(r.ID), AuthorityID: string(r.Authority), State: string(r.State), Value: text(r), timesRow: toTimes(r.Times)}
}

func (r *importRunRow) noun() (*ra.CAImportRun, error) {
	n := &ra.CAImportRun{ID: ra.CAImportRunID(r.ID), Authority: ra.AuthorityID(r.AuthorityID), State: ra.CAImportState(r.State), Times: r.timesRow.noun()}
	return n, parse(r.Value, n)
}

// CreateCAImportRun stores a new run.
func (tx *Tx) CreateCAImportRun(r *ra.CAImportRun) error {
	r.CreatedAt, r.UpdatedAt = tx.Now, tx.Now
	row := toImportRun(r)
	return tx.insert("ca_import_runs", &row)
}

// UpdateCAImportRun stores how far a run has come.
func (tx *Tx) UpdateCAImportRun(r *ra.CAImportRun) error {
	r.UpdatedAt = tx.Now
	row := toImportRun(r)
	return tx.update("ca_import_runs", &row)
}

// CAImportRun loads a run.
func (tx *Tx) CAImportRun(id ra.CAImportRunID) (*ra.CAImportRun, error) {
	var row importRunRow
	if err := tx.get("ca_import_runs", &row, "id = $1", string(id)); err != nil {
		return nil, err
	}
	return row.noun()
}

// FindCAImportRuns lists the runs of an authority, newest first.
func (tx *Tx) FindCAImportRuns(id ra.AuthorityID, p Page) ([]*ra.CAImportRun, string, error) {
	w := &where{}
	w.equal("authority_id", string(id))
	return find[ra.CAImportRun, importRunRow](tx, "ca_import_runs", w, p, sorting{"": {"id", true}})
}

// OpenCAImportRuns lists the runs that wait or run, oldest first; of one
// authority, or of all with an empty one.
func (tx *Tx) OpenCAImportRuns(id ra.AuthorityID) ([]*ra.CAImportRun, error) {
	var rows []*importRunRow
	err := tx.x.SelectContext(tx.ctx, &rows, "SELECT * FROM ca_import_runs WHERE state IN ('waiting', 'running') AND ($1 = '' OR authority_id = $1) ORDER BY id", string(id))
	if err != nil {
		return nil, fit(err)
	}
	return nouns[ra.CAImportRun](rows)
}

// TidyCAImportRuns deletes runs that ended before an instant and that no
// certificate came from, at most so many.
func (tx *Tx) TidyCAImportRuns(before time.Time, most int) (int64, error) {
	return tx.exec(`DELETE FROM ca_import_runs WHERE id IN (SELECT r.id FROM ca_import_runs AS r WHERE r.state NOT IN ('waiting', 'running') AND r.updated_at < $1
		AND NOT EXISTS (SELECT 1 FROM imported_certificates AS i WHERE i.run_id = r.id) ORDER BY r.id LIMIT $2)`, millis(before), most)
}
