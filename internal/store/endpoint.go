package store

import "chancery/internal/ra"

type endpointRow struct {
	ID         string `db:"id"`
	GroupID    string `db:"group_id"`
	TemplateID string `db:"template_id"`
	Name       string `db:"name"`
	Settings   string `db:"settings"`
	Disabled   bool   `db:"disabled"`
	timesRow
}

func toEndpoint(e *ra.Endpoint) endpointRow {
	return endpointRow{ID: string(e.ID), GroupID: string(e.GroupID), TemplateID: string(e.TemplateID), Name: e.Name,
		Settings: string(e.Settings), Disabled: e.Disabled, timesRow: toTimes(e.Times)}
}

func (r *endpointRow) noun() (*ra.Endpoint, error) {
	return &ra.Endpoint{ID: ra.EndpointID(r.ID), GroupID: ra.GroupID(r.GroupID), TemplateID: ra.TemplateID(r.TemplateID), Name: r.Name,
		Settings: []byte(r.Settings), Disabled: r.Disabled, Times: r.timesRow.noun()}, nil
}

// CreateEndpoint stores a new endpoint. A taken name is a Conflict.
func (tx *Tx) CreateEndpoint(e *ra.Endpoint) error {
	e.CreatedAt, e.UpdatedAt = tx.Now, tx.Now
	row := toEndpoint(e)
	return tx.insert("endpoints", &row)
}

// UpdateEndpoint stores every field of e.
func (tx *Tx) UpdateEndpoint(e *ra.Endpoint) error {
	loaded := e.UpdatedAt
	e.UpdatedAt = tx.after(loaded)
	row := toEndpoint(e)
	return tx.replace("endpoints", row.ID, loaded, &row)
}

// DeleteEndpoint deletes an endpoint with its challenges and the memory of the
// messages it answered.
func (tx *Tx) DeleteEndpoint(id ra.EndpointID) error {
	for _, table := range []string{"challenges", "bearers"} {
		if _, err := tx.exec("DELETE FROM "+table+" WHERE endpoint_id = $1", string(id)); err != nil {
			return err
		}
	}
	return tx.remove("endpoints", string(id))
}

// Endpoint loads an endpoint.
func (tx *Tx) Endpoint(id ra.EndpointID) (*ra.Endpoint, error) {
	return tx.endpoint("id = $1", string(id))
}

// EndpointByName loads the endpoint of a path segment, exactly as written.
func (tx *Tx) EndpointByName(name string) (*ra.Endpoint, error) {
	return tx.endpoint("name = $1", name)
}

func (tx *Tx) endpoint(where string, args ...any) (*ra.Endpoint, error) {
	var row endpointRow
	if err := tx.look("endpoints", &row, where, args...); err != nil {
		return nil, err
	}
	return row.noun()
}

// EndpointFilter narrows a list of endpoints; empty fields do not.
type EndpointFilter struct {
	Groups   []ra.GroupID // any of these; nil: all
	Template ra.TemplateID
	Text     string // part of the name
	Page
}

// FindEndpoints lists endpoints by name, or as Page.Sort says: "name" or
// "created".
func (tx *Tx) FindEndpoints(f EndpointFilter) ([]*ra.Endpoint, string, error) {
	w := &where{}
	within(w, "group_id", f.Groups)
	w.equal("template_id", string(f.Template))
	w.contains(f.Text, "name")
	return find[ra.Endpoint, endpointRow](tx, "endpoints", w, f.Page, sorting{"": {"name", false}, "name": {"name", false}, "created": {"id", false}})
}
