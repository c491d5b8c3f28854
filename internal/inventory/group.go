package inventory

import (
	"context"
	"strings"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// GroupInput is what somebody says about an organization group. In an update
// nil fields stay as they are. An empty setting is inherited from the parent.
type GroupInput struct {
	ParentID     *ra.GroupID // empty: an organization, the root of a tree
	Name         *string
	Organization *string
	Country      *string
	Realm        *string
	EmailDomain  *string
	Contact      *string
}

// CreateGroup makes an organization group. One without a parent, an
// organization, needs the right in the whole installation.
func (s *Service) CreateGroup(ctx context.Context, actor ra.Actor, in GroupInput) (*ra.Group, error) {
	return write(ctx, s.DB, func(tx *store.Tx) (*ra.Group, error) {
		g := &ra.Group{ID: ra.NewID[ra.GroupID](ra.GroupPrefix, tx.Now)}
		if err := applyGroup(g, in); err != nil {
			return nil, err
		}
		if err := checkBelow(tx, actor, g.ParentID); err != nil {
			return nil, err
		}
		if err := tx.CreateGroup(g); err != nil {
			return nil, err
		}
		return g, audit.Record(tx, audit.Entry{Code: audit.GroupCreated, Actor: actor, Group: g.ID, Object: string(g.ID), Related: string(g.ParentID),
			Message: "Organization group " + g.Name + " created."})
	})
}

// UpdateGroup changes an organization group. Moving it takes the right at both
// places; into another organization it moves only while it holds no users and
// no devices, because those never change their organization.
func (s *Service) UpdateGroup(ctx context.Context, actor ra.Actor, id ra.GroupID, in GroupInput) (*ra.Group, error) {
	return write(ctx, s.DB, func(tx *store.Tx) (*ra.Group, error) {
		if err := access.CheckGroup(tx, actor, access.EditGroups, id); err != nil {
			return nil, err
		}
		g, err := tx.Group(id)
		if err != nil {
			return nil, err
		}
		before := *g
		if err := applyGroup(g, in); err != nil {
			return nil, err
		}
		if g.ParentID != before.ParentID {
			if err := checkMove(tx, actor, &before, g.ParentID); err != nil {
				return nil, err
			}
		}
		c := groupChanges(&before, g)
		if len(c) == 0 {
			return g, nil
		}
		if err := tx.UpdateGroup(g); err != nil {
			return nil, err
		}
		return g, audit.Record(tx, audit.Entry{Code: audit.GroupChanged, Actor: actor, Group: g.ID, Object: string(g.ID), Related: string(g.ParentID),
			Message: "Organization group " + g.Name + " changed.", Details: map[string]any{"changes": c}})
	})
}

// DeleteGroup deletes an organization group that holds nothing; else it is a
// Conflict that tells what is inside.
func (s *Service) DeleteGroup(ctx context.Context, actor ra.Actor, id ra.GroupID) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		if err := access.CheckGroup(tx, actor, access.EditGroups, id); err != nil {
			return err
		}
		g, err := tx.Group(id)
		if err != nil {
			return err
		}
		inside, err := contents(tx, g)
		if err != nil {
			return err
		}
		if len(inside) > 0 {
			return ra.Errorf(ra.Conflict, "Organization group %q still holds %s.", g.Name, strings.Join(inside, ", ")).
				WithRemedy("Move or delete what is inside first. A group that requests or certificates belong to stays, for the record.")
		}
		if err := tx.DeleteGroup(id); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.GroupDeleted, Actor: actor, Group: g.ParentID, Object: string(id),
			Message: "Organization group " + g.Name + " deleted."})
	})
}

// Group gives one organization group.
func (s *Service) Group(ctx context.Context, actor ra.Actor, id ra.GroupID) (*ra.Group, error) {
	return read(ctx, s.DB, func(tx *store.Tx) (*ra.Group, error) {
		if err := access.CheckGroup(tx, actor, access.See, id); err != nil {
			return nil, err
		}
		return tx.Group(id)
	})
}

// checkBelow: may the actor place a group under this parent?
func checkBelow(tx *store.Tx, actor ra.Actor, parent ra.GroupID) error {
	if parent == "" {
		return access.Check(actor, access.EditGroups, "")
	}
	return access.CheckGroup(tx, actor, access.EditGroups, parent)
}

func checkMove(tx *store.Tx, actor ra.Actor, g *ra.Group, parent ra.GroupID) error {
	for _, p := range []ra.GroupID{g.ParentID, parent} {
		if err := checkBelow(tx, actor, p); err != nil {
			return err
		}
	}
	from, err := organization(tx, g.ID)
	if err != nil {
		return err
	}
	to := g.ID // it becomes an organization itself
	if parent != "" {
		if to, err = organization(tx, parent); err != nil {
			return err
		}
	}
	if from == to {
		return nil
	}
	under, err := tx.GroupsUnder(g.Path)
	if err != nil {
		return err
	}
	one := store.Page{Limit: 1}
	users, _, err := tx.FindUsers(store.UserFilter{Groups: under, Page: one})
	if err != nil {
		return err
	}
	devices, _, err := tx.FindDevices(store.DeviceFilter{Groups: under, Page: one})
	if err != nil {
		return err
	}
	if len(users)+len(devices) > 0 {
		return ra.Errorf(ra.Conflict, "Users and devices cannot move to another organization with their group %q.", g.Name).WithField("parent_id").
			WithRemedy("Choose a parent in the same organization, or create them anew in the other one.")
	}
	return nil
}

func applyGroup(g *ra.Group, in GroupInput) error {
	set(&g.ParentID, in.ParentID)
	setText(&g.Name, in.Name)
	setText(&g.Settings.Organization, in.Organization)
	setText(&g.Settings.Country, in.Country)
	setText(&g.Settings.Realm, in.Realm)
	setText(&g.Settings.EmailDomain, in.EmailDomain)
	setText(&g.Settings.Contact, in.Contact)
	g.Settings.Country = strings.ToUpper(g.Settings.Country)
	var p ra.Problems
	checkName(&p, "name", g.Name, "Give the group the name people know it by.")
	checkText(&p, "organization", g.Settings.Organization, maxName)
	if c := g.Settings.Country; c != "" && !countryForm.MatchString(c) {
		p.Add("country", "A country is two letters.", "Use the code of ISO 3166, such as DE, or leave it empty.")
	}
	checkText(&p, "realm", g.Settings.Realm, maxName)
	if d := g.Settings.EmailDomain; d != "" && (len(d) > maxAddress || !domainForm.MatchString(d)) {
		p.Add("email_domain", "This is not a mail domain.", "Write the part of an address after the @, or leave it empty.")
	}
	checkText(&p, "contact", g.Settings.Contact, maxName)
	return p.Err()
}

func groupChanges(before, after *ra.Group) audit.Changes {
	c := audit.Changes{}
	c.Add("parent_id", before.ParentID, after.ParentID)
	c.Add("name", before.Name, after.Name)
	c.Add("organization", before.Settings.Organization, after.Settings.Organization)
	c.Add("country", before.Settings.Country, after.Settings.Country)
	c.Add("realm", before.Settings.Realm, after.Settings.Realm)
	c.Add("email_domain", before.Settings.EmailDomain, after.Settings.EmailDomain)
	c.Add("contact", before.Settings.Contact, after.Settings.Contact)
	return c
}
