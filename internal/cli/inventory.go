package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"chancery/internal/api/client"
	"chancery/internal/api/resource"
)

// list makes a list command; run gets the common flags.
func (p *Program) list(about, example string, flags func(*pflag.FlagSet), run func(*session, *listing) error) *cobra.Command {
	l := &listing{}
	c := p.verb("list", about, example, cobra.NoArgs, func(s *session, _ []string) error { return run(s, l) })
	c.Aliases = []string{"ls"}
	c.Flags().IntVar(&l.limit, "limit", 100, "how many at most; 0 for all")
	c.Flags().StringVar(&l.sort, "sort", "", "what to order by; a leading - turns it round")
	flags(c.Flags())
	return c
}

// delete makes a delete command that asks first.
func (p *Program) delete(use, about, what string, find func(*session, string) (string, error), remove func(*session, string) error) *cobra.Command {
	c := p.verb(use, about, "", cobra.ExactArgs(1), func(s *session, args []string) error {
		id, err := find(s, args[0])
		if err != nil {
			return err
		}
		if err := s.confirm("Delete %s %q?", what, args[0]); err != nil {
			return err
		}
		if err := remove(s, id); err != nil {
			return err
		}
		return s.say(nil, "Deleted %s %s.", what, args[0])
	})
	c.Aliases = []string{"rm"}
	return c
}

// given gives a pointer to a flag's value when the flag was used.
func given[T any](fs *pflag.FlagSet, name string, value T) *T {
	if f := fs.Lookup(name); f == nil || !f.Changed {
		return nil
	}
	return &value
}

// reference is a flag that names a thing: resolved when it was used.
func reference(fs *pflag.FlagSet, name, ref string, find func(string) (string, error)) (*string, error) {
	if given(fs, name, ref) == nil {
		return nil, nil
	}
	id, err := find(ref)
	return &id, err
}

func (p *Program) groups() *cobra.Command {
	var q resource.GroupQuery
	list := p.list("List organization groups", "", func(f *pflag.FlagSet) {
		f.StringVar(&q.Text, "text", "", "part of the name")
		f.StringVar(&q.Under, "under", "", "this group and everything below it")
	}, func(s *session, l *listing) (err error) {
		if q.Under, err = s.groupID(q.Under); err != nil {
			return err
		}
		return show(s, l, func(page resource.PageQuery) (resource.Page[resource.Group], error) {
			q.PageQuery = page
			return s.c.Groups(s.ctx, q)
		}, []column[resource.Group]{{"GROUP", func(g resource.Group) string { return s.groupName(g.ID) }}, {"ORGANIZATION", func(g resource.Group) string { return g.Organization }},
			{"REALM", func(g resource.Group) string { return g.Realm }}, {"CONTACT", func(g resource.Group) string { return g.Contact }}, {"ID", func(g resource.Group) string { return g.ID }}},
			"There is no organization group. Make one with: chancery group create NAME")
	})
	display := p.verb("show GROUP", "Show an organization group", "", cobra.ExactArgs(1), func(s *session, args []string) error {
		id, err := s.groupID(args[0])
		if err != nil {
			return err
		}
		g, err := s.c.Group(s.ctx, id)
		if err != nil {
			return err
		}
		return s.facts(g, fact{"group", s.groupName(g.ID)}, fact{"id", g.ID}, fact{"organization", g.Organization}, fact{"country", g.Country}, fact{"realm", g.Realm},
			fact{"mail domain", g.EmailDomain}, fact{"contact", g.Contact}, fact{"created", when(g.CreatedAt)}, fact{"changed", when(g.UpdatedAt)})
	})
	var in resource.GroupInput
	flags := func(c *cobra.Command) func(*session) error {
		var parent, name, organization, country, realm, domain, contact string
		f := c.Flags()
		f.StringVar(&parent, "parent", "", "group it belongs to; empty for an organization of its own")
		if c.Name() == "update" {
			f.StringVar(&name, "name", "", "another name")
		}
		f.StringVar(&organization, "organization", "", "{Organization}, inherited when empty")
		f.StringVar(&country, "country", "", "{Country}, two letters")
		f.StringVar(&realm, "realm", "", "{Realm}: Kerberos realm or UPN suffix")
		f.StringVar(&domain, "email-domain", "", "{EmailDomain} where a user has none")
		f.StringVar(&contact, "contact", "", "who hears when something needs people")
		return func(s *session) (err error) {
			in = resource.GroupInput{Name: given(f, "name", name), Organization: given(f, "organization", organization), Country: given(f, "country", country),
				Realm: given(f, "realm", realm), EmailDomain: given(f, "email-domain", domain), Contact: given(f, "contact", contact)}
			in.ParentID, err = reference(f, "parent", parent, s.groupID)
			return err
		}
	}
	var fill func(*session) error
	create := p.verb("create NAME", "Make an organization group", "  chancery group create Acme --organization \"Acme Inc\" --country DE\n  chancery group create Sales --parent Acme", cobra.ExactArgs(1),
		func(s *session, args []string) error {
			if err := fill(s); err != nil {
				return err
			}
			in.Name = &args[0]
			g, err := s.c.CreateGroup(s.ctx, in)
			if err != nil {
				return err
			}
			return s.say(g, "Made group %s (%s).", g.Name, g.ID)
		})
	fill = flags(create)
	var refill func(*session) error
	update := p.verb("update GROUP", "Change an organization group", "", cobra.ExactArgs(1), func(s *session, args []string) error {
		if err := refill(s); err != nil {
			return err
		}
		id, err := s.groupID(args[0])
		if err != nil {
			return err
		}
		g, err := s.c.UpdateGroup(s.ctx, id, in)
		if err != nil {
			return err
		}
		return s.say(g, "Changed group %s.", g.Name)
	})
	refill = flags(update)
	return noun("group", "Organization groups: who and what belongs together", list, display, create, update,
		p.delete("delete GROUP", "Delete an organization group that holds nothing", "group", (*session).groupID, func(s *session, id string) error { return s.c.DeleteGroup(s.ctx, id) }))
}

func (p *Program) users() *cobra.Command {
	var q resource.UserQuery
	filter := func(f *pflag.FlagSet) {
		f.StringVar(&q.Text, "text", "", "part of a name, the mail address or the UPN")
		f.StringVar(&q.Group, "group", "", "this group and everything below it")
	}
	list := p.list("List users", "", filter, func(s *session, l *listing) (err error) {
		if q.Group, err = s.groupID(q.Group); err != nil {
			return err
		}
		return show(s, l, func(page resource.PageQuery) (resource.Page[resource.User], error) {
			q.PageQuery = page
			return s.c.Users(s.ctx, q)
		}, []column[resource.User]{{"NAME", func(u resource.User) string { return u.Name }}, {"DISPLAY NAME", func(u resource.User) string { return u.DisplayName }},
			{"EMAIL", func(u resource.User) string { return u.Email }}, {"GROUP", func(u resource.User) string { return s.groupName(u.GroupID) }},
			{"DISABLED", func(u resource.User) string { return yes(u.Disabled) }}, {"ID", func(u resource.User) string { return u.ID }}},
			"There is no user. Add one with: chancery user create NAME --group GROUP, or many with: chancery user import FILE")
	})
	display := p.verb("show USER", "Show a user", "", cobra.ExactArgs(1), func(s *session, args []string) error {
		id, err := s.userID(args[0])
		if err != nil {
			return err
		}
		u, err := s.c.User(s.ctx, id)
		if err != nil {
			return err
		}
		return s.facts(u, fact{"name", u.Name}, fact{"id", u.ID}, fact{"group", s.groupName(u.GroupID)}, fact{"display name", u.DisplayName}, fact{"first name", u.FirstName},
			fact{"last name", u.LastName}, fact{"email", u.Email}, fact{"UPN", u.UPN}, fact{"SID", u.SID}, fact{"DN", u.DN}, fact{"attributes", pairs(u.Attributes)},
			fact{"disabled", yes(u.Disabled)}, fact{"created", when(u.CreatedAt)}, fact{"changed", when(u.UpdatedAt)})
	})
	flags := func(c *cobra.Command) func(*session) (resource.UserInput, error) {
		var group, name, email, upn, sid, first, last, displayName, dn string
		var attributes map[string]string
		var disabled bool
		f := c.Flags()
		f.StringVar(&group, "group", "", "organization group")
		if c.Name() == "update" {
			f.StringVar(&name, "name", "", "another name")
		}
		f.StringVar(&email, "email", "", "mail address")
		f.StringVar(&upn, "upn", "", "user principal name")
		f.StringVar(&sid, "sid", "", "objectSid of the directory")
		f.StringVar(&first, "first-name", "", "given name")
		f.StringVar(&last, "last-name", "", "family name")
		f.StringVar(&displayName, "display-name", "", "name as people write it")
		f.StringVar(&dn, "dn", "", "distinguished name in the directory")
		f.StringToStringVar(&attributes, "attribute", nil, "KEY=VALUE, repeated; replaces all of them")
		f.BoolVar(&disabled, "disabled", false, "the user gets no certificates")
		return func(s *session) (in resource.UserInput, err error) {
			in = resource.UserInput{Name: given(f, "name", name), Email: given(f, "email", email), UPN: given(f, "upn", upn), SID: given(f, "sid", sid),
				FirstName: given(f, "first-name", first), LastName: given(f, "last-name", last), DisplayName: given(f, "display-name", displayName),
				DN: given(f, "dn", dn), Attributes: attributes, Disabled: given(f, "disabled", disabled)}
			in.GroupID, err = reference(f, "group", group, s.groupID)
			return in, err
		}
	}
	var fill, refill func(*session) (resource.UserInput, error)
	create := p.verb("create NAME", "Add a user", "  chancery user create ada --group Acme --email ada@acme.example", cobra.ExactArgs(1), func(s *session, args []string) error {
		in, err := fill(s)
		if err != nil {
			return err
		}
		in.Name = &args[0]
		u, err := s.c.CreateUser(s.ctx, in)
		if err != nil {
			return err
		}
		return s.say(u, "Added user %s (%s).", u.Name, u.ID)
	})
	fill = flags(create)
	update := p.verb("update USER", "Change a user", "", cobra.ExactArgs(1), func(s *session, args []string) error {
		in, err := refill(s)
		if err != nil {
			return err
		}
		id, err := s.userID(args[0])
		if err != nil {
			return err
		}
		u, err := s.c.UpdateUser(s.ctx, id, in)
		if err != nil {
			return err
		}
		return s.say(u, "Changed user %s.", u.Name)
	})
	refill = flags(update)
	out := p.verb("export", "Write users as CSV", "  chancery user export > users.csv", cobra.NoArgs, func(s *session, _ []string) (err error) {
		if q.Group, err = s.groupID(q.Group); err != nil {
			return err
		}
		return s.c.ExportUsers(s.ctx, q, s.Stdout)
	})
	filter(out.Flags())
	return noun("user", "Users: whose devices get certificates", list, display, create, update,
		p.delete("delete USER", "Delete a user without certificates in use", "user", (*session).userID, func(s *session, id string) error { return s.c.DeleteUser(s.ctx, id) }),
		p.take("Take users in from CSV", "  chancery user import users.csv --group Acme --dry-run", (*client.Client).ImportUsers), out)
}

// pairs writes attributes: a=1, b=2.
func pairs(m map[string]string) string {
	var out []string
	for _, key := range slices.Sorted(maps.Keys(m)) {
		out = append(out, key+"="+m[key])
	}
	return strings.Join(out, ", ")
}

// maxImport bounds a CSV file, in bytes; the server has the same limit.
const maxImport = 64 << 20

// importer is one of the client's imports.
type importer func(c *client.Client, ctx context.Context, from io.Reader, o client.Import) (resource.ImportReport, error)

// take makes an import command.
func (p *Program) take(about, example string, run importer) *cobra.Command {
	var o client.Import
	c := p.verb("import FILE", about, example, cobra.ExactArgs(1), func(s *session, args []string) (err error) {
		if o.Group, err = s.groupID(o.Group); err != nil {
			return err
		}
		var from io.Reader = s.Stdin
		if args[0] != "-" {
			b, err := readFile(args[0], maxImport)
			if err != nil {
				return err
			}
			from = bytes.NewReader(b)
		}
		r, err := run(s.c, s.ctx, from, o)
		if err != nil {
			return err
		}
		return s.imported(r, o.DryRun)
	})
	c.Flags().StringVar(&o.Group, "group", "", "for rows without a group of their own")
	c.Flags().StringSliceVar(&o.Columns, "column", nil, "HEADING:field for a heading that is called differently, HEADING:- to leave it out")
	c.Flags().BoolVar(&o.DryRun, "dry-run", false, "only tell what would happen")
	return c
}

// imported tells what became of the rows; refused ones are findings.
func (s *session) imported(r resource.ImportReport, dry bool) error {
	if s.flags.output != "table" {
		if err := s.print(r); err != nil {
			return err
		}
	} else {
		would := ""
		if dry {
			would = "would be "
		}
		fmt.Fprintf(s.Stdout, "%d rows: %d %screated, %d %schanged, %d unchanged, %d refused.\n", r.Rows, r.Created, would, r.Updated, would, r.Unchanged, r.Failed)
		for _, f := range r.Faults {
			fmt.Fprintf(s.Stdout, "  line %d (%s): %s %s\n", f.Line, printable(f.Key), printable(f.Message), f.Remedy)
		}
	}
	if r.Failed > 0 {
		return &exit{codeFindings}
	}
	return nil
}
