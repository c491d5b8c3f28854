package cli

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"chancery/internal/api/resource"
)

// readRoles reads role flags: owner, or viewer@Acme/Sales.
func (s *session) readRoles(texts []string) ([]resource.Grant, error) {
	out := []resource.Grant{}
	for _, t := range texts {
		role, group, _ := strings.Cut(t, "@")
		id, err := s.groupID(group)
		if err != nil {
			return nil, err
		}
		out = append(out, resource.Grant{Role: role, Group: id})
	}
	return out, nil
}

const roleHelp = "ROLE for the whole installation or ROLE@GROUP, repeated: owner, manager, operator, approver, auditor or viewer"

func (p *Program) admins() *cobra.Command {
	var q resource.AdminQuery
	list := p.list("List administrators", "", func(f *pflag.FlagSet) { f.StringVar(&q.Text, "text", "", "part of the sign-in name") }, func(s *session, l *listing) error {
		return show(s, l, func(page resource.PageQuery) (resource.Page[resource.Admin], error) {
			q.PageQuery = page
			return s.c.Admins(s.ctx, q)
		}, []column[resource.Admin]{{"NAME", func(a resource.Admin) string { return a.Name }}, {"DISPLAY NAME", func(a resource.Admin) string { return a.DisplayName }},
			{"ROLES", func(a resource.Admin) string { return s.roles(a.Grants) }}, {"PASSWORD", func(a resource.Admin) string { return yes(a.HasPassword) }},
			{"DISABLED", func(a resource.Admin) string { return yes(a.Disabled) }}, {"ID", func(a resource.Admin) string { return a.ID }}},
			"There is no administrator. Add one with: chancery admin add NAME --role owner")
	})
	return noun("admin", "Administrators: who may sign in", list, p.addAdmin(), p.updateAdmin(), p.switchAdmin("disable", "Keep an administrator out", true),
		p.switchAdmin("enable", "Let an administrator in again", false), p.setPassword(), p.adminLink(),
		p.delete("delete ADMIN", "Delete an administrator", "administrator", (*session).adminID, func(s *session, id string) error { return s.c.DeleteAdmin(s.ctx, id) }))
}

func (p *Program) addAdmin() *cobra.Command {
	var displayName, email string
	var roles []string
	c := p.verb("add NAME", "Add an administrator", "  chancery admin add grace --role manager@Acme --email grace@acme.example\n  chancery admin link grace", cobra.ExactArgs(1), func(s *session, args []string) error {
		grants, err := s.readRoles(roles)
		if err != nil {
			return err
		}
		a, err := s.c.CreateAdmin(s.ctx, resource.AdminInput{Name: &args[0], DisplayName: &displayName, Email: &email, Grants: &grants})
		if err != nil {
			return err
		}
		return s.say(a, "Added administrator %s (%s). To let them in: chancery admin link %s", a.Name, a.ID, a.Name)
	})
	c.Flags().StringVar(&displayName, "display-name", "", "name as people write it")
	c.Flags().StringVar(&email, "email", "", "mail address")
	c.Flags().StringSliceVar(&roles, "role", nil, roleHelp)
	return c
}

func (p *Program) updateAdmin() *cobra.Command {
	var name, displayName, email string
	var roles []string
	var c *cobra.Command
	c = p.verb("update ADMIN", "Change an administrator", "  chancery admin update grace --role operator@Acme --role auditor", cobra.ExactArgs(1), func(s *session, args []string) error {
		id, err := s.adminID(args[0])
		if err != nil {
			return err
		}
		f := c.Flags()
		in := resource.AdminInput{Name: given(f, "name", name), DisplayName: given(f, "display-name", displayName), Email: given(f, "email", email)}
		if f.Changed("role") {
			grants, err := s.readRoles(roles)
			if err != nil {
				return err
			}
			in.Grants = &grants
		}
		a, err := s.c.UpdateAdmin(s.ctx, id, in)
		if err != nil {
			return err
		}
		return s.say(a, "Changed administrator %s.", a.Name)
	})
	c.Flags().StringVar(&name, "name", "", "another sign-in name")
	c.Flags().StringVar(&displayName, "display-name", "", "name as people write it")
	c.Flags().StringVar(&email, "email", "", "mail address")
	c.Flags().StringSliceVar(&roles, "role", nil, roleHelp+"; replaces all of them")
	return c
}

func (p *Program) switchAdmin(name, about string, disabled bool) *cobra.Command {
	return p.verb(name+" ADMIN", about, "", cobra.ExactArgs(1), func(s *session, args []string) error {
		id, err := s.adminID(args[0])
		if err != nil {
			return err
		}
		a, err := s.c.UpdateAdmin(s.ctx, id, resource.AdminInput{Disabled: &disabled})
		if err != nil {
			return err
		}
		return s.say(a, "Administrator %s is %sd.", a.Name, name)
	})
}

func (p *Program) setPassword() *cobra.Command {
	path := ""
	c := p.verb("set-password ADMIN", "Set an administrator's password", "  chancery admin set-password grace\n  chancery admin set-password grace < password.txt", cobra.ExactArgs(1), func(s *session, args []string) error {
		id, err := s.adminID(args[0])
		if err != nil {
			return err
		}
		password, err := s.askSecret(path, "password")
		if err != nil {
			return err
		}
		a, err := s.c.SetPassword(s.ctx, id, password.Reveal())
		if err != nil {
			return err
		}
		return s.say(a, "The password of %s is set.", a.Name)
	})
	c.Long = "The password is read from a prompt, from --password-file, or from standard input."
	c.Flags().StringVar(&path, "password-file", "", `file with the password, "-" for standard input`)
	return c
}

func (p *Program) adminLink() *cobra.Command {
	life := ""
	c := p.verb("link ADMIN", "Make a link that signs an administrator in once", "  chancery admin link grace --life 24h", cobra.ExactArgs(1), func(s *session, args []string) error {
		id, err := s.adminID(args[0])
		if err != nil {
			return err
		}
		link, err := s.c.CreateLink(s.ctx, id, life)
		if err != nil {
			return err
		}
		return s.facts(link, fact{"sign in once with", link.Link}, fact{"until", when(link.ExpiresAt)})
	})
	c.Flags().StringVar(&life, "life", "", "how long it can be used, up to 7d; 15m when left out")
	return c
}

func (p *Program) tokens() *cobra.Command {
	list := p.list("List API tokens", "", func(*pflag.FlagSet) {}, func(s *session, l *listing) error {
		return show(s, l, func(page resource.PageQuery) (resource.Page[resource.Token], error) { return s.c.Tokens(s.ctx, page) },
			[]column[resource.Token]{{"NAME", func(t resource.Token) string { return t.Name }}, {"ROLES", func(t resource.Token) string { return s.roles(t.Grants) }},
				{"MADE BY", func(t resource.Token) string { return t.CreatedBy }}, {"MADE", func(t resource.Token) string { return day(t.CreatedAt) }},
				{"EXPIRES", func(t resource.Token) string { return day(t.ExpiresAt) }}, {"LAST USED", func(t resource.Token) string { return when(t.LastUsedAt) }}, {"ID", func(t resource.Token) string { return t.ID }}},
			"There is no API token. Make one with: chancery token create NAME --role viewer")
	})
	var in resource.TokenInput
	var roles []string
	create := p.verb("create NAME", "Make an API token; its text is shown once", "  chancery token create inventory --role viewer@Acme --life 90d", cobra.ExactArgs(1), func(s *session, args []string) (err error) {
		in.Name = args[0]
		if in.Grants, err = s.readRoles(roles); err != nil {
			return err
		}
		t, err := s.c.CreateToken(s.ctx, in)
		if err != nil {
			return err
		}
		return s.facts(t, fact{"token", t.Token}, fact{"id", t.ID}, fact{"roles", s.roles(t.Grants)}, fact{"expires", when(t.ExpiresAt)})
	})
	create.Flags().StringSliceVar(&roles, "role", nil, roleHelp)
	create.Flags().StringVar(&in.Life, "life", "", "such as 90d; until it is deleted when left out")
	return noun("token", "API tokens: keys for programs", list, create,
		p.delete("delete TOKEN", "Revoke an API token", "API token", (*session).tokenID, func(s *session, id string) error { return s.c.DeleteToken(s.ctx, id) }))
}
