package directory

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"chancery/internal/dirpolicy"
	"chancery/internal/inventory"
	"chancery/internal/ldapdir"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/wire/secdesc"
)

// person is a user as the directory has them.
type person struct {
	guid       string
	name       string // sAMAccountName, which is unique in a domain
	email, upn string
	sid        string
	first      string
	last       string
	display    string
	dn         string
	attributes map[string]string // by our keys; all keys of the settings are there
	disabled   bool
}

// accountDisable is the bit of userAccountControl that says so (MS-ADTS
// 2.2.16).
const accountDisable = 0x2

// disabledThere reads userAccountControl; an account that does not show it is
// not in use.
func disabledThere(e *ldapdir.Entry) bool {
	flags, ok := e.Number("userAccountControl")
	return !ok || flags&accountDisable != 0
}

// wanted lists what is read of each user.
func wanted(v *dirpolicy.Settings) []string {
	list := []string{"objectGUID", "objectSid", "sAMAccountName", "mail", "userPrincipalName", "givenName", "sn", "displayName", "userAccountControl"}
	for _, name := range v.Kept() {
		if !slices.ContainsFunc(list, func(known string) bool { return strings.EqualFold(known, name) }) {
			list = append(list, name)
		}
	}
	return list
}

// readPerson reads an entry. groups are those the user is in, when they are
// kept.
func readPerson(v *dirpolicy.Settings, e *ldapdir.Entry, groups map[string][]string) (*person, error) {
	guid, err := ldapdir.GUID(e.Bytes("objectGUID"))
	if err != nil {
		return nil, unreadable(e, err)
	}
	sid, err := secdesc.ParseSID(e.Bytes("objectSid"))
	if err != nil {
		return nil, unreadable(e, err)
	}
	p := &person{guid: guid, sid: sid, name: e.Text("sAMAccountName"), email: e.Text("mail"), upn: e.Text("userPrincipalName"), first: e.Text("givenName"),
		last: e.Text("sn"), display: e.Text("displayName"), dn: e.DN, attributes: map[string]string{}, disabled: disabledThere(e)}
	for key, name := range v.Kept() {
		p.attributes[key] = strings.Join(e.Texts(name), "; ")
	}
	p.attributes[dirpolicy.GroupsKey] = strings.Join(groups[guid], "; ") // empty when none are kept: what was kept before is no longer true
	return p, nil
}

func unreadable(e *ldapdir.Entry, err error) error {
	return ra.Errorf(ra.Invalid, "The entry %.200s has no GUID or SID that can be read.", e.DN).
		WithRemedy("Give the account of the directory the right to read all properties of the users.").WithCause(err)
}

// outcome is what taking over one person comes to.
type outcome struct {
	added, changed, disabled, enabled bool
	problems                          []ra.SyncProblem
}

// plan finds the user that p is, or makes a new one, and takes p into it.
// Nothing is stored but by store, which is nil when there is nothing to do. A
// value that is not allowed here is left empty and reported.
func (s *Service) plan(tx *store.Tx, actor ra.Actor, d *ra.Directory, p *person) (out outcome, save func() error, err error) {
	before, displaced, err := s.match(tx, d, p)
	if err != nil {
		return out, nil, err
	}
	u := inventory.NewUser(tx)
	group := d.GroupID
	if before != nil {
		copied := *before
		u, group = &copied, before.GroupID
	}
	off, absence := p.disabled, ra.Present
	if p.disabled {
		absence = ra.DisabledOff
	}
	if before != nil && before.Disabled && before.Absence == ra.Present { // by somebody here, who alone takes that back
		off, absence = true, ra.Present
	}
	u.Directory, u.ObjectGUID, u.Absence = d.ID, p.guid, absence
	in := inventory.UserInput{GroupID: &group, Name: &p.name, Email: &p.email, UPN: &p.upn, SID: &p.sid, FirstName: &p.first, LastName: &p.last,
		DisplayName: &p.display, DN: &p.dn, Disabled: &off, Attributes: merged(u.Attributes, p.attributes)}
	err = inventory.PlanUser(tx, actor, u, in)
	if ra.KindOf(err) == ra.Invalid {
		out.problems = blank(&in, p, err)
		err = inventory.PlanUser(tx, actor, u, in)
	}
	if err != nil {
		return out, nil, err
	}
	switch {
	case before == nil:
		out.added = true
	case !inventory.UserDiffers(before, u):
		return out, nil, nil
	default:
		out.changed = true
		out.disabled, out.enabled = u.Disabled && !before.Disabled, !u.Disabled && before.Disabled
	}
	return out, func() error {
		if displaced != nil {
			former := *displaced
			displaced.Name = elsewhere(displaced)
			if err := inventory.SaveUser(tx, actor, &former, displaced); err != nil {
				return err
			}
		}
		return inventory.SaveUser(tx, actor, before, u)
	}, nil
}

// match finds who p is here: the user of the same object, or one of the same
// name in the directory's group who was entered here. A user of another object
// who has the name is displaced: in the domain it belongs to p, so that one was
// deleted, or renamed and is yet to be read.
func (s *Service) match(tx *store.Tx, d *ra.Directory, p *person) (u, displaced *ra.User, err error) {
	u, err = tx.UserByObject(d.ID, p.guid)
	if err != nil && ra.KindOf(err) != ra.NotFound {
		return nil, nil, err
	}
	group := d.GroupID
	if u != nil {
		group = u.GroupID
	}
	holder, err := tx.UserByName(group, p.name)
	switch {
	case ra.KindOf(err) == ra.NotFound:
		return u, nil, nil
	case err != nil:
		return nil, nil, err
	case u != nil && holder.ID == u.ID:
		return u, nil, nil
	case holder.Directory == d.ID:
		return u, holder, nil
	case u == nil && holder.Directory == "":
		return holder, nil, nil
	}
	return nil, nil, ra.Errorf(ra.Conflict, "Another user of the group has the name %q already.", holder.Name).
		WithRemedy("Rename or delete that one, or take the directory over into another group.")
}

// elsewhere is the name of a user whose own has gone to somebody else.
func elsewhere(u *ra.User) string {
	const most = 180
	name := []rune(u.Name)
	return fmt.Sprintf("%s (%s)", string(name[:min(len(name), most)]), u.ObjectGUID[:8])
}

// merged gives a user's attributes with those of the directory.
func merged(old, from map[string]string) map[string]string {
	out := maps.Clone(old)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, from)
	return out
}

// blank empties what is at fault in an input and says so.
func blank(in *inventory.UserInput, p *person, fault error) (problems []ra.SyncProblem) {
	e := ra.AsError(fault)
	faults := e.Details
	if len(faults) == 0 {
		faults = []*ra.Error{e}
	}
	fields := map[string]**string{"email": &in.Email, "upn": &in.UPN, "first_name": &in.FirstName, "last_name": &in.LastName, "display_name": &in.DisplayName, "dn": &in.DN}
	empty := ""
	for _, f := range faults {
		if field, ok := fields[f.Field]; ok {
			*field = &empty
		} else if key, ok := strings.CutPrefix(f.Field, "attributes."); ok {
			delete(in.Attributes, key)
		}
		problems = append(problems, ra.SyncProblem{User: p.name, Message: f.Field + ": " + f.Message, Remedy: "Correct it in the directory; until then it is left empty here."})
	}
	return problems
}
