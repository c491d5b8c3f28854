package enroll

import (
	"context"
	"regexp"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/ra"
	"chancery/internal/sceppolicy"
	"chancery/internal/secret"
	"chancery/internal/setting"
	"chancery/internal/store"
)

// EndpointInput is what somebody says about an endpoint. In an update nil
// fields stay as they are, and Settings may name only what changes.
type EndpointInput struct {
	GroupID    *ra.GroupID
	TemplateID *ra.TemplateID
	Name       *string
	Settings   []byte // JSON
	Disabled   *bool
}

var endpointName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

const endpoints = "endpoints"

// CreateEndpoint opens a SCEP address at /scep/{name}.
func (s *Service) CreateEndpoint(ctx context.Context, actor ra.Actor, in EndpointInput) (*ra.Endpoint, error) {
	e := &ra.Endpoint{ID: ra.NewID[ra.EndpointID](ra.EndpointPrefix, s.Now())}
	settings := &sceppolicy.Endpoint{}
	setting.Defaults(settings)
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		if err := s.applyEndpoint(tx, actor, e, settings, in); err != nil {
			return err
		}
		if err := tx.CreateEndpoint(e); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.EndpointCreated, Actor: actor, Group: e.GroupID, Object: string(e.ID), Related: string(e.TemplateID),
			Message: "SCEP endpoint " + e.Name + " opened."})
	})
	return e, err
}

// UpdateEndpoint changes an endpoint.
func (s *Service) UpdateEndpoint(ctx context.Context, actor ra.Actor, id ra.EndpointID, in EndpointInput) (e *ra.Endpoint, err error) {
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		if e, err = tx.Endpoint(id); err != nil {
			return err
		}
		if err := access.CheckGroup(tx, actor, access.EditTemplates, e.GroupID); err != nil {
			return err
		}
		before := *e
		old, err := s.endpointSettings(tx, e)
		if err != nil {
			return err
		}
		next, err := s.endpointSettings(tx, e)
		if err != nil {
			return err
		}
		if err := s.applyEndpoint(tx, actor, e, next, in); err != nil {
			return err
		}
		if err := tx.UpdateEndpoint(e); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.EndpointChanged, Actor: actor, Group: e.GroupID, Object: string(e.ID), Related: string(e.TemplateID),
			Message: "SCEP endpoint " + e.Name + " changed.", Details: map[string]any{"changes": endpointChanges(&before, e, old, next)}})
	})
	return e, err
}

func endpointChanges(before, after *ra.Endpoint, old, next *sceppolicy.Endpoint) audit.Changes {
	var out audit.Changes
	out.Add("group_id", before.GroupID, after.GroupID)
	out.Add("template_id", before.TemplateID, after.TemplateID)
	out.Add("name", before.Name, after.Name)
	out.Add("disabled", before.Disabled, after.Disabled)
	out.Settings(old, next)
	return out
}

// DeleteEndpoint closes a SCEP address and voids its open challenges.
func (s *Service) DeleteEndpoint(ctx context.Context, actor ra.Actor, id ra.EndpointID) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		e, err := tx.Endpoint(id)
		if err != nil {
			return err
		}
		if err := access.CheckGroup(tx, actor, access.EditTemplates, e.GroupID); err != nil {
			return err
		}
		if err := tx.DeleteSealed(string(id), ""); err != nil {
			return err
		}
		if err := tx.DeleteEndpoint(id); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.EndpointDeleted, Actor: actor, Group: e.GroupID, Object: string(id), Message: "SCEP endpoint " + e.Name + " closed."})
	})
}

// applyEndpoint takes an input into a row and its settings, checks them and
// the actor's rights on both ends, and stores the secrets.
func (s *Service) applyEndpoint(tx *store.Tx, actor ra.Actor, e *ra.Endpoint, settings *sceppolicy.Endpoint, in EndpointInput) error {
	set(&e.GroupID, in.GroupID)
	set(&e.TemplateID, in.TemplateID)
	set(&e.Name, in.Name)
	set(&e.Disabled, in.Disabled)
	var p ra.Problems
	if !endpointName.MatchString(e.Name) {
		p.Add("name", "The name becomes part of the address.", "Use 1 to 63 characters of a-z, 0-9 and hyphen.")
	}
	if e.TemplateID == "" {
		p.Add("template_id", "An endpoint enrols with one template.", "Name the template.")
	}
	raw := in.Settings
	if len(raw) == 0 {
		raw = []byte("{}")
	}
	p.Merge("settings", setting.FromJSON(settings, raw))
	if err := p.Err(); err != nil {
		return err
	}
	t, err := tx.Template(e.TemplateID)
	if err != nil {
		return err
	}
	if e.GroupID == "" {
		e.GroupID = t.GroupID
	}
	if err := access.CheckGroup(tx, actor, access.EditTemplates, e.GroupID); err != nil {
		return err
	}
	if err := access.CheckLent(tx, actor, t.GroupID); err != nil {
		return err
	}
	if t.Spec.KeyPlace != ra.KeyOnDevice {
		return ra.Errorf(ra.Invalid, "Template %q has its keys made elsewhere; SCEP clients make their own.", t.Name).WithField("template_id").
			WithRemedy("Use a template whose key is made on the device.")
	}
	if err := s.checkRA(tx, actor, e, settings, t.AuthorityID); err != nil {
		return err
	}
	if e.Settings, err = setting.ToJSON(settings); err != nil {
		return err
	}
	if !settings.Static.IsSet() {
		return tx.DeleteSealed(string(e.ID), "static")
	}
	box, err := s.Box.Seal(endpoints, string(e.ID), "static", []byte(settings.Static.Reveal()))
	if err != nil {
		return err
	}
	return tx.PutSealed(string(e.ID), "static", box)
}

func (s *Service) endpointSettings(tx *store.Tx, e *ra.Endpoint) (*sceppolicy.Endpoint, error) {
	v := &sceppolicy.Endpoint{}
	setting.Defaults(v)
	if err := setting.Load(v, e.Settings); err != nil {
		return nil, err
	}
	boxes, err := tx.Sealed(string(e.ID))
	if err != nil {
		return nil, err
	}
	if box, ok := boxes["static"]; ok {
		plain, err := s.Box.Open(endpoints, string(e.ID), "static", box)
		if err != nil {
			return nil, err
		}
		v.Static = secret.New(string(plain))
	}
	return v, nil
}

// Endpoint gives one endpoint by its ID.
func (s *Service) Endpoint(ctx context.Context, actor ra.Actor, id ra.EndpointID) (e *ra.Endpoint, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if e, err = tx.Endpoint(id); err != nil {
			return err
		}
		return access.CheckLent(tx, actor, e.GroupID)
	})
	return e, err
}

// FindEndpoints lists the endpoints the actor may see.
func (s *Service) FindEndpoints(ctx context.Context, actor ra.Actor, f store.EndpointFilter) (list []*ra.Endpoint, next string, err error) {
	asked := f.Groups
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if f.Groups, err = access.LentWithin(tx, actor, asked); err != nil {
			return err
		}
		list, next, err = tx.FindEndpoints(f)
		return err
	})
	return list, next, err
}

// OpenEndpoint gives an endpoint to the door that serves it. A closed or unknown
// one is NotFound.
func (s *Service) OpenEndpoint(ctx context.Context, name string) (p *Place, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		config, err := tx.Config()
		if err != nil {
			return err
		}
		e, err := config.EndpointByName(name)
		if err != nil {
			return err
		}
		if e.Disabled {
			return ra.Errorf(ra.NotFound, "The SCEP endpoint %q is switched off.", name).WithRemedy("Switch it on, or give the device another address.")
		}
		p, err = store.Keep(config, "place", string(e.ID), func(tx *store.Tx) (*Place, error) {
			t, err := config.Template(e.TemplateID)
			if err != nil {
				return nil, err
			}
			v, err := s.endpointSettings(tx, e)
			if err != nil {
				return nil, err
			}
			front, err := s.raOf(tx, e, ra.AuthorityID(v.RAAuthority), t.AuthorityID)
			return &Place{Endpoint: e, Settings: v, Template: t, RA: front}, err
		})
		return err
	})
	return p, err
}
