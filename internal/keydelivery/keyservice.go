package keydelivery

import (
	"context"
	"time"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/keypolicy"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/setting"
	"chancery/internal/store"
)

const services = "key_services"

// Input is what somebody says about a key service. In an update, nil fields stay
// as they are; Settings then may name only what changes.
type Input struct {
	GroupID     *ra.GroupID
	Name        *string
	Description *string
	Settings    []byte // JSON
	Disabled    *bool
	Seen        time.Time // unless zero: the version an update is made for; any other is a Conflict
}

// Create defines a key service.
func (s *Service) Create(ctx context.Context, actor ra.Actor, in Input) (*ra.KeyService, error) {
	k := &ra.KeyService{ID: ra.NewID[ra.KeyServiceID](ra.KeyServicePrefix, s.Now())}
	v := &keypolicy.Settings{}
	setting.Defaults(v)
	may := func(tx *store.Tx) error { return access.CheckGroup(tx, actor, access.EditAuthorities, k.GroupID) }
	if in.GroupID != nil { // whoever may not do this learns nothing else
		k.GroupID = *in.GroupID
		if err := s.DB.Read(ctx, may); err != nil {
			return nil, err
		}
	}
	if err := s.accept(k, v, in); err != nil {
		return nil, err
	}
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		if err := may(tx); err != nil {
			return err
		}
		if err := s.put(tx, k, v); err != nil {
			return err
		}
		if err := tx.CreateKeyService(k); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.KeyServiceCreated, Actor: actor, Group: k.GroupID, Object: string(k.ID), Message: "Key service " + k.Name + " defined."})
	})
	if err != nil {
		return nil, err
	}
	return k, nil
}

// Update changes a key service. Secrets that are not named stay as they are.
// What waits for it is due at once.
func (s *Service) Update(ctx context.Context, actor ra.Actor, id ra.KeyServiceID, in Input) (*ra.KeyService, error) {
	var k *ra.KeyService
	err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
		if k, err = editable(tx, actor, id); err != nil {
			return err
		}
		if !in.Seen.IsZero() && !in.Seen.Equal(k.UpdatedAt) {
			return ra.Errorf(ra.Conflict, "Somebody else changed the key service meanwhile.").WithRemedy("Look at it again and repeat the change.")
		}
		before := *k
		old, err := s.settings(tx, k)
		if err != nil {
			return err
		}
		v, err := s.settings(tx, k)
		if err != nil {
			return err
		}
		if err := s.accept(k, v, in); err != nil {
			return err
		}
		if k.GroupID != before.GroupID {
			if err := move(tx, actor, k); err != nil {
				return err
			}
		}
		if err := s.put(tx, k, v); err != nil {
			return err
		}
		if err := tx.UpdateKeyService(k); err != nil {
			return err
		}
		if err := tx.HastenKeyDeliveries(store.KeyReceiver{Service: id}); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.KeyServiceChanged, Actor: actor, Group: k.GroupID, Object: string(id), Message: "Key service " + k.Name + " changed.",
			Details: map[string]any{"changes": changes(&before, k, old, v)}})
	})
	if err != nil {
		return nil, err
	}
	return k, nil
}

// move checks that a key service may go to another group: the actor's rights
// there, and that its templates can still use it.
func move(tx *store.Tx, actor ra.Actor, k *ra.KeyService) error {
	if err := access.CheckGroup(tx, actor, access.EditAuthorities, k.GroupID); err != nil {
		return err
	}
	users, err := usersOf(tx, k.ID)
	if err != nil {
		return err
	}
	for _, t := range users {
		if ok, err := lends(tx, k.GroupID, t.GroupID); err != nil {
			return err
		} else if !ok {
			return ra.Errorf(ra.Conflict, "The template %q could not use the key service there.", t.Name).WithField("group_id").
				WithRemedy("Move it to a group above all of its templates.")
		}
	}
	return nil
}

// Delete removes a key service. One that a template names, or that keys wait
// for, is a Conflict.
func (s *Service) Delete(ctx context.Context, actor ra.Actor, id ra.KeyServiceID) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		k, err := editable(tx, actor, id)
		if err != nil {
			return err
		}
		users, err := usersOf(tx, id)
		if err != nil {
			return err
		}
		if len(users) > 0 {
			return ra.Errorf(ra.Conflict, "The template %q sends keys to %q.", users[0].Name, k.Name).WithRemedy("Change the template first.")
		}
		wait, err := tx.KeysWait(store.KeyReceiver{Service: id})
		if err != nil {
			return err
		}
		if wait {
			return ra.Errorf(ra.Conflict, "Keys wait to be brought to %q.", k.Name).WithRemedy("See what is in the way (chancery obligation list), or revoke the certificates.")
		}
		if err := tx.DeleteSealed(string(id), ""); err != nil {
			return err
		}
		if err := tx.DeleteKeyService(id); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.KeyServiceDeleted, Actor: actor, Group: k.GroupID, Object: string(id), Message: "Key service " + k.Name + " deleted."})
	})
}

// usersOf gives the templates that name a key service.
func usersOf(tx *store.Tx, id ra.KeyServiceID) (users []*ra.Template, err error) {
	for page := (store.Page{Limit: store.MaxPage}); ; {
		list, next, err := tx.FindTemplates(store.TemplateFilter{Page: page})
		if err != nil {
			return nil, err
		}
		for _, t := range list {
			if t.Spec.Publish.KeyService == id {
				users = append(users, t)
			}
		}
		if page.After = next; next == "" {
			return users, nil
		}
	}
}

// Get gives a key service.
func (s *Service) Get(ctx context.Context, actor ra.Actor, id ra.KeyServiceID) (k *ra.KeyService, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if k, err = tx.KeyService(id); err != nil {
			return err
		}
		return access.CheckLent(tx, actor, k.GroupID)
	})
	return k, err
}

// Find lists the key services the actor may see.
func (s *Service) Find(ctx context.Context, actor ra.Actor, f store.KeyServiceFilter) (list []*ra.KeyService, next string, err error) {
	asked := f.Groups
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if f.Groups, err = access.LentWithin(tx, actor, asked); err != nil {
			return err
		}
		list, next, err = tx.FindKeyServices(f)
		return err
	})
	return list, next, err
}

func editable(tx *store.Tx, actor ra.Actor, id ra.KeyServiceID) (*ra.KeyService, error) {
	k, err := tx.KeyService(id)
	if err != nil {
		return nil, err
	}
	return k, access.CheckGroup(tx, actor, access.EditAuthorities, k.GroupID)
}

// accept takes an input into a key service and its settings, and checks both.
func (s *Service) accept(k *ra.KeyService, v *keypolicy.Settings, in Input) error {
	set(&k.GroupID, in.GroupID)
	set(&k.Name, in.Name)
	set(&k.Description, in.Description)
	set(&k.Disabled, in.Disabled)
	var p ra.Problems
	if ra.Fold(k.Name) == "" || len(k.Name) > 200 {
		p.Add("name", "A key service needs a name of 1 to 200 characters.", "Give it the name people know it by.")
	}
	if k.GroupID == "" {
		p.Add("group_id", "A key service belongs to an organization group.", "Name the group.")
	}
	raw := in.Settings
	if len(raw) == 0 {
		raw = []byte("{}")
	}
	p.Merge("settings", setting.FromJSON(v, raw))
	return p.Err()
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// changes lists what was changed, as people read it.
func changes(before, after *ra.KeyService, old, next *keypolicy.Settings) audit.Changes {
	var out audit.Changes
	out.Add("group_id", before.GroupID, after.GroupID)
	out.Add("name", before.Name, after.Name)
	out.Add("description", before.Description, after.Description)
	out.Add("disabled", before.Disabled, after.Disabled)
	out.Settings(old, next)
	return out
}

// settings reads a key service's settings with its secrets unsealed.
func (s *Service) settings(tx *store.Tx, k *ra.KeyService) (*keypolicy.Settings, error) {
	v := &keypolicy.Settings{}
	setting.Defaults(v)
	if err := setting.Load(v, k.Settings); err != nil {
		return nil, err
	}
	boxes, err := tx.Sealed(string(k.ID))
	if err != nil {
		return nil, err
	}
	for _, f := range setting.Secrets(v) {
		if box, ok := boxes[f.Name]; ok {
			plain, err := s.Box.Open(services, string(k.ID), f.Name, box)
			if err != nil {
				return nil, err
			}
			*f.Value = secret.New(string(plain))
		}
	}
	return v, nil
}

// put stores settings into the row's JSON and the sealed table. The row itself
// is stored by the caller.
func (s *Service) put(tx *store.Tx, k *ra.KeyService, v *keypolicy.Settings) (err error) {
	if k.Settings, err = setting.ToJSON(v); err != nil {
		return err
	}
	for _, f := range setting.Secrets(v) {
		if !f.Value.IsSet() {
			if err := tx.DeleteSealed(string(k.ID), f.Name); err != nil {
				return err
			}
			continue
		}
		box, err := s.Box.Seal(services, string(k.ID), f.Name, []byte(f.Value.Reveal()))
		if err != nil {
			return err
		}
		if err := tx.PutSealed(string(k.ID), f.Name, box); err != nil {
			return err
		}
	}
	return nil
}
