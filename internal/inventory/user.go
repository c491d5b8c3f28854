package inventory

import (
	"context"
	"maps"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// UserInput is what somebody says about a user. In an update nil fields stay
// as they are; Attributes replaces all of them.
type UserInput struct {
	GroupID     *ra.GroupID
	Name        *string
	Email       *string
	UPN         *string
	SID         *string
	FirstName   *string
	LastName    *string
	DisplayName *string
	DN          *string
	Attributes  map[string]string
	Disabled    *bool
}

// CreateUser adds a user. A name taken in the group is a Conflict.
func (s *Service) CreateUser(ctx context.Context, actor ra.Actor, in UserInput) (*ra.User, error) {
	return write(ctx, s.DB, func(tx *store.Tx) (*ra.User, error) {
		u := newUser(tx)
		if err := planUser(tx, actor, u, in); err != nil {
			return nil, err
		}
		return u, createUser(tx, actor, u)
	})
}

// UpdateUser changes a user. A user with devices stays in the organization.
func (s *Service) UpdateUser(ctx context.Context, actor ra.Actor, id ra.UserID, in UserInput) (*ra.User, error) {
	return write(ctx, s.DB, func(tx *store.Tx) (*ra.User, error) {
		u, err := tx.User(id)
		if err != nil {
			return nil, err
		}
		before := *u
		if err := planUser(tx, actor, u, in); err != nil {
			return nil, err
		}
		_, err = updateUser(tx, actor, &before, u)
		return u, err
	})
}

// DeleteUser deletes a user nobody relies on any more: one with certificates
// in use is a Conflict. Devices of the user are nobody's then.
func (s *Service) DeleteUser(ctx context.Context, actor ra.Actor, id ra.UserID) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		u, err := tx.User(id)
		if err != nil {
			return err
		}
		if err := access.CheckGroup(tx, actor, access.EditDevices, u.GroupID); err != nil {
			return err
		}
		used, err := inUse(tx, store.CertificateFilter{User: id}, store.RequestFilter{User: id})
		if err != nil {
			return err
		}
		if used != "" {
			return ra.Errorf(ra.Conflict, "User %q still has %s.", u.Name, used).
				WithRemedy("Unenrol the user's devices first, or disable the user instead.")
		}
		if err := tx.DeleteUser(id); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.UserDeleted, Actor: actor, Group: u.GroupID, Object: string(id), Message: "User " + u.Name + " deleted."})
	})
}

// User gives one user.
func (s *Service) User(ctx context.Context, actor ra.Actor, id ra.UserID) (*ra.User, error) {
	return read(ctx, s.DB, func(tx *store.Tx) (*ra.User, error) {
		u, err := tx.User(id)
		if err != nil {
			return nil, err
		}
		return u, access.CheckGroup(tx, actor, access.See, u.GroupID)
	})
}

// FindUsers lists the users the actor may see. Groups, when given, are meant
// with everything below them.
func (s *Service) FindUsers(ctx context.Context, actor ra.Actor, f store.UserFilter) (list []*ra.User, next string, err error) {
	asked := f.Groups
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if f.Groups, err = access.Within(tx, actor, access.See, asked); err != nil {
			return err
		}
		list, next, err = tx.FindUsers(f)
		return err
	})
	return list, next, err
}

func newUser(tx *store.Tx) *ra.User {
	return &ra.User{ID: ra.NewID[ra.UserID](ra.UserPrefix, tx.Now), Attributes: map[string]string{}}
}

// planUser takes an input into u, new or loaded, and checks the actor's rights
// and everything that could make storing it fail.
func planUser(tx *store.Tx, actor ra.Actor, u *ra.User, in UserInput) error {
	from := u.GroupID
	if from != "" {
		if err := access.CheckGroup(tx, actor, access.EditDevices, from); err != nil {
			return err
		}
	}
	if err := applyUser(u, in); err != nil {
		return err
	}
	if u.GroupID == from {
		return nil
	}
	if err := access.CheckGroup(tx, actor, access.EditDevices, u.GroupID); err != nil {
		return err
	}
	if from == "" {
		return nil
	}
	return checkUserMove(tx, u, from)
}

func applyUser(u *ra.User, in UserInput) error {
	set(&u.GroupID, in.GroupID)
	setText(&u.Name, in.Name)
	setText(&u.Email, in.Email)
	setText(&u.UPN, in.UPN)
	setText(&u.SID, in.SID)
	setText(&u.FirstName, in.FirstName)
	setText(&u.LastName, in.LastName)
	setText(&u.DisplayName, in.DisplayName)
	setText(&u.DN, in.DN)
	set(&u.Disabled, in.Disabled)
	if in.Attributes != nil {
		u.Attributes = filled(in.Attributes)
	}
	var p ra.Problems
	if u.GroupID == "" {
		p.Add("group_id", "A user belongs to an organization group.", "Name the group.")
	}
	checkName(&p, "name", u.Name, "Give the user name the person enrols with.")
	checkAddress(&p, "email", u.Email, "a mail address")
	checkAddress(&p, "upn", u.UPN, "a user principal name")
	checkSID(&p, u.SID)
	checkText(&p, "first_name", u.FirstName, maxName)
	checkText(&p, "last_name", u.LastName, maxName)
	checkText(&p, "display_name", u.DisplayName, maxName)
	checkText(&p, "dn", u.DN, maxText)
	checkAttributes(&p, u.Attributes)
	return p.Err()
}

// checkUserMove: devices and their user are in one organization.
func checkUserMove(tx *store.Tx, u *ra.User, from ra.GroupID) error {
	old, err := organization(tx, from)
	if err != nil {
		return err
	}
	now, err := organization(tx, u.GroupID)
	if err != nil || now == old {
		return err
	}
	devices, _, err := tx.FindDevices(store.DeviceFilter{User: u.ID, Page: store.Page{Limit: 1}})
	if err != nil {
		return err
	}
	if len(devices) > 0 {
		return ra.Errorf(ra.Conflict, "User %q has devices in the present organization.", u.Name).WithField("group_id").
			WithRemedy("Assign those devices to somebody else first.")
	}
	return nil
}

func createUser(tx *store.Tx, actor ra.Actor, u *ra.User) error {
	if err := tx.CreateUser(u); err != nil {
		return err
	}
	return audit.Record(tx, audit.Entry{Code: audit.UserCreated, Actor: actor, Group: u.GroupID, Object: string(u.ID), Message: "User " + u.Name + " created."})
}

// updateUser stores what differs and tells whether anything does.
func updateUser(tx *store.Tx, actor ra.Actor, before, u *ra.User) (bool, error) {
	c := userChanges(before, u)
	if len(c) == 0 {
		return false, nil
	}
	if err := tx.UpdateUser(u); err != nil {
		return false, err
	}
	return true, audit.Record(tx, audit.Entry{Code: audit.UserChanged, Actor: actor, Group: u.GroupID, Object: string(u.ID),
		Message: "User " + u.Name + " changed.", Details: map[string]any{"changes": c}})
}

func userChanges(before, after *ra.User) audit.Changes {
	c := audit.Changes{}
	c.Add("group_id", before.GroupID, after.GroupID)
	c.Add("name", before.Name, after.Name)
	c.Add("email", before.Email, after.Email)
	c.Add("upn", before.UPN, after.UPN)
	c.Add("sid", before.SID, after.SID)
	c.Add("first_name", before.FirstName, after.FirstName)
	c.Add("last_name", before.LastName, after.LastName)
	c.Add("display_name", before.DisplayName, after.DisplayName)
	c.Add("dn", before.DN, after.DN)
	c.Add("disabled", before.Disabled, after.Disabled)
	c.Add("directory_id", before.Directory, after.Directory)
	c.Add("absence", before.Absence, after.Absence)
	attributeChanges(&c, before.Attributes, after.Attributes)
	return c
}

func attributeChanges(c *audit.Changes, before, after map[string]string) {
	if !maps.Equal(before, after) {
		*c = append(*c, audit.Change{Field: "attributes", Before: before, After: after})
	}
}
