package caimport

import (
	"strings"

	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/wire/pkixmsg"
)

// said is what a certificate says of whom it is for.
type said struct {
	sid, upn, email string
	account         string   // of the person who asked, from the authority's words
	machine         string   // of the machine that asked, from there
	common          string   // the subject's common name
	hosts           []string // DNS names
}

// owner is whom a certificate was matched with.
type owner struct {
	device ra.DeviceID
	user   ra.UserID
	group  ra.GroupID
}

func (o owner) known() bool { return o.device != "" || o.user != "" }

const mostHosts = 20 // DNS names of a certificate that are looked up

// saidBy reads the names in a certificate. Texts that cannot be read name nobody.
func saidBy(it *item) *said {
	s := &said{}
	if name, err := pkixmsg.ParseNameDER(it.leaf.RawSubject); err == nil {
		if all := name.Values(pkixmsg.OIDCommonName); len(all) == 1 {
			s.common = clean(all[0], maxRequester)
		}
	}
	for _, e := range it.leaf.Extensions {
		switch e.Id.String() {
		case pkixmsg.OIDSecurityIdentifier:
			if sid, err := pkixmsg.ParseSIDExtension(e.Value); err == nil {
				s.sid = sid
			}
		case pkixmsg.OIDSubjectAltName:
			names, err := pkixmsg.ParseSubjectAltName(e.Value)
			if err != nil {
				continue
			}
			for _, n := range names {
				s.add(n)
			}
		}
	}
	if _, account, ok := strings.Cut(it.Requester, `\`); ok && !it.ByUs {
		if machine, ok := strings.CutSuffix(account, "$"); ok {
			s.machine = machine
		} else {
			s.account = account
		}
	}
	return s
}

func (s *said) add(n pkixmsg.GeneralName) {
	value := clean(n.Value, maxRequester)
	switch n.Type {
	case pkixmsg.UPN:
		if account, _, ok := strings.Cut(value, "$@"); ok {
			s.machine = account
		} else {
			s.upn = value
		}
	case pkixmsg.Email:
		s.email = value
	case pkixmsg.URI:
		if sid, ok := pkixmsg.ParseSIDURI(n.Value); ok && s.sid == "" {
			s.sid = sid
		}
	case pkixmsg.DNS:
		if len(s.hosts) < mostHosts {
			s.hosts = append(s.hosts, value)
		}
	}
}

// namesUser reports whether the certificate says for which user it is. Beside DNS
// names a SID is that of a machine's account.
func (s *said) namesUser() bool {
	return s.upn != "" || s.email != "" || s.sid != "" && len(s.hosts) == 0
}

// machines are the names by which a device may be known: DNS names, whole and
// their first label, the common name, and the account of a machine.
func (s *said) machines() []string {
	var out []string
	add := func(name string) {
		if name != "" && !strings.HasPrefix(name, "*") {
			out = append(out, name)
		}
	}
	for _, h := range s.hosts {
		add(h)
		label, _, _ := strings.Cut(h, ".")
		add(label)
	}
	add(s.machine)
	if s.common != "" {
		add(s.common)
		if label, rest, ok := strings.Cut(s.common, "."); ok && rest != "" && !strings.Contains(s.common, " ") {
			add(label)
		}
	}
	return out
}

// match finds the users and devices of those certificates that are new, or were
// taken over without any, all in a few looks.
func (w *taking) match(tx *store.Tx, items []*item) error {
	var n store.UserNames
	var machines []string
	some := func(list *[]string, name string) {
		if name != "" {
			*list = append(*list, name)
		}
	}
	for _, it := range items {
		s := it.said
		if s == nil {
			continue
		}
		some(&n.SIDs, s.sid)
		some(&n.UPNs, s.upn)
		some(&n.Emails, s.email)
		some(&n.Accounts, s.account)
		machines = append(machines, s.machines()...)
	}
	users, err := tx.NamedUsers(w.groups, n)
	if err != nil {
		return err
	}
	var devices []*store.NamedDevice
	if len(machines) > 0 {
		organization, err := tx.Organization(w.home.ID)
		if err != nil {
			return err
		}
		if devices, err = tx.NamedDevices(organization.ID, w.groups, machines); err != nil {
			return err
		}
	}
	people, things := peopleOf(users), thingsOf(devices)
	for _, it := range items {
		if it.said != nil {
			it.owner = ownerOf(it.said, people, things)
		}
	}
	return nil
}

// directory of names: who has one. A name that several have is nobody's.
type names[T any] map[string][]T

func (n names[T]) add(name string, id T) {
	if name != "" {
		n[name] = append(n[name], id)
	}
}

// people are users by each of their names, folded.
type people struct{ sid, upn, email, account names[*store.NamedUser] }

func peopleOf(users []*store.NamedUser) people {
	p := people{names[*store.NamedUser]{}, names[*store.NamedUser]{}, names[*store.NamedUser]{}, names[*store.NamedUser]{}}
	seen := map[ra.UserID]bool{}
	for _, u := range users {
		if seen[u.ID] {
			continue
		}
		seen[u.ID] = true
		p.sid.add(u.SID, u)
		p.upn.add(ra.Fold(u.UPN), u)
		p.email.add(ra.Fold(u.Email), u)
		if u.Directory != "" { // accounts are those of a directory
			p.account.add(u.NameFolded, u)
		}
	}
	return p
}

// thingsOf gives devices by each of their names, folded.
func thingsOf(devices []*store.NamedDevice) names[*store.NamedDevice] {
	out := names[*store.NamedDevice]{}
	seen := map[ra.DeviceID]bool{}
	for _, d := range devices {
		if seen[d.ID] {
			continue
		}
		seen[d.ID] = true
		all := map[string]bool{ra.Fold(d.PlatformID): true, d.NameFolded: true, ra.Fold(d.SerialNumber): true}
		for name := range all {
			out.add(name, d)
		}
	}
	return out
}

// ownerOf decides whom a certificate is for. What it says of a user counts in the
// order of how sure it is; who asked for it counts only where it says nothing else,
// for one account asks for many. Whatever is ambiguous is nobody's.
func ownerOf(s *said, p people, things names[*store.NamedDevice]) (o owner) {
	user, clear := s.user(p)
	device := s.device(things)
	if !clear {
		return owner{}
	}
	if device != nil && s.namesUser() && len(s.hosts) == 0 && (user == nil || device.UserID != user.ID) {
		device = nil // a person's certificate whose name happens to be that of somebody else's device
	}
	if device == nil && user == nil && len(s.hosts) == 0 && !s.namesUser() {
		user = s.asker(p)
	}
	if user != nil {
		o.user, o.group = user.ID, user.GroupID
	}
	if device != nil {
		if o.device, o.group = device.ID, device.GroupID; o.user == "" && !s.namesUser() {
			o.user = device.UserID
		}
	}
	return o
}

// user gives the user whom a certificate names. It is not clear which one when a
// name is that of several.
func (s *said) user(p people) (u *store.NamedUser, clear bool) {
	for _, by := range []struct {
		names names[*store.NamedUser]
		name  string
	}{{p.sid, s.sid}, {p.upn, ra.Fold(s.upn)}, {p.email, ra.Fold(s.email)}} {
		if by.name == "" {
			continue
		}
		switch list := by.names[by.name]; len(list) {
		case 0:
		case 1:
			return list[0], true
		default:
			return nil, false
		}
	}
	return nil, true
}

// asker gives the user of a directory who asked for a certificate, if it is
// called after nobody else.
func (s *said) asker(p people) *store.NamedUser {
	list := p.account[ra.Fold(s.account)]
	if len(list) != 1 {
		return nil
	}
	u, name := list[0], ra.Fold(s.common)
	for _, own := range []string{"", u.NameFolded, ra.Fold(u.DisplayName), ra.Fold(u.UPN), ra.Fold(u.Email)} {
		if name == own {
			return u
		}
	}
	return nil
}

// device gives the one device that the certificate's names are all of that are of
// any.
func (s *said) device(things names[*store.NamedDevice]) *store.NamedDevice {
	var one *store.NamedDevice
	for _, name := range s.machines() {
		for _, d := range things[ra.Fold(name)] {
			if one != nil && one.ID != d.ID {
				return nil
			}
			one = d
		}
	}
	return one
}
