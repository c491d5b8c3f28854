package store

import (
	"maps"
	"slices"

	"chancery/internal/ra"
)

type templateRow struct {
	ID          string `db:"id"`
	GroupID     string `db:"group_id"`
	AuthorityID string `db:"authority_id"`
	Name        string `db:"name"`
	NameFolded  string `db:"name_folded"`
	Description string `db:"description"`
	Spec        string `db:"spec"`
	Revision    int64  `db:"revision"`
	Disabled    bool   `db:"disabled"`
	timesRow
}

func toTemplate(t *ra.Template) templateRow {
	return templateRow{
		ID: string(t.ID), GroupID: string(t.GroupID), AuthorityID: string(t.AuthorityID), Name: t.Name, NameFolded: ra.Fold(t.Name),
		Description: t.Description, Spec: text(t.Spec), Revision: int64(t.Revision), Disabled: t.Disabled, timesRow: toTimes(t.Times),
	}
}

func (r *templateRow) noun() (*ra.Template, error) {
	t := &ra.Template{
		ID: ra.TemplateID(r.ID), GroupID: ra.GroupID(r.GroupID), AuthorityID: ra.AuthorityID(r.AuthorityID), Name: r.Name,
		Description: r.Description, Revision: int(r.Revision), Disabled: r.Disabled, Times: r.timesRow.noun(),
	}
	return t, parse(r.Spec, &t.Spec)
}

// CreateTemplate stores a new template. A taken name is a Conflict.
func (tx *Tx) CreateTemplate(t *ra.Template) error {
	t.CreatedAt, t.UpdatedAt = tx.Now, tx.Now
	row := toTemplate(t)
	return tx.insert("templates", &row)
}

// UpdateTemplate stores every field of t; Revision is the caller's to raise.
func (tx *Tx) UpdateTemplate(t *ra.Template) error {
	loaded := t.UpdatedAt
	t.UpdatedAt = tx.after(loaded)
	row := toTemplate(t)
	return tx.replace("templates", row.ID, loaded, &row)
}

// DeleteTemplate deletes a template that no endpoint, request, certificate or
// import names, else it is a Conflict.
func (tx *Tx) DeleteTemplate(id ra.TemplateID) error {
	t, err := tx.Template(id)
	if err != nil {
		return err
	}
	used, err := tx.imports(t)
	if err != nil {
		return err
	}
	if used {
		return ra.Errorf(ra.Conflict, "Certificates that were taken over from the authority's records have this template, or shall get it.").
			WithRemedy("Switch it off instead, and leave it out of the import.")
	}
	return tx.remove("templates", string(id))
}

// imports reports whether certificates that an import took over have a template,
// or shall get it.
func (tx *Tx) imports(t *ra.Template) (bool, error) {
	var used bool
	if err := tx.x.GetContext(tx.ctx, &used, "SELECT count(*) > 0 FROM (SELECT 1 FROM certificates WHERE authority_id = $1 AND template_id = $2 LIMIT 1) AS one", string(t.AuthorityID), string(t.ID)); err != nil || used {
		return used, fit(err)
	}
	i, err := tx.CAImport(t.AuthorityID)
	if ra.KindOf(err) == ra.NotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return slices.Contains(slices.Collect(maps.Values(i.Adopt)), t.ID), nil
}

// Template loads a template.
func (tx *Tx) Template(id ra.TemplateID) (*ra.Template, error) {
	return tx.template("id = $1", string(id))
}

// TemplateByName loads the template with a name, in any case.
func (tx *Tx) TemplateByName(name string) (*ra.Template, error) {
	return tx.template("name_folded = $1", ra.Fold(name))
}

func (tx *Tx) template(where string, args ...any) (*ra.Template, error) {
	var row templateRow
	if err := tx.look("templates", &row, where, args...); err != nil {
		return nil, err
	}
	return row.noun()
}

// TemplateFilter narrows a list of templates; empty fields do not.
type TemplateFilter struct {
	Groups    []ra.GroupID // any of these; nil: all
	Authority ra.AuthorityID
	Text      string // part of the name
	Page
}

// FindTemplates lists templates by name, or as Page.Sort says: "name" or
// "created".
func (tx *Tx) FindTemplates(f TemplateFilter) ([]*ra.Template, string, error) {
	w := &where{}
	within(w, "group_id", f.Groups)
	w.equal("authority_id", string(f.Authority))
	w.contains(f.Text, "name_folded")
	return find[ra.Template, templateRow](tx, "templates", w, f.Page, byName)
}
