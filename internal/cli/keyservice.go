package cli

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"chancery/internal/api/resource"
	"chancery/internal/keypolicy"
	"chancery/internal/ra"
)

// keyServices are where keys made here may go.
func (p *Program) keyServices() *cobra.Command {
	var q resource.KeyServiceQuery
	list := p.list("List key services", "", func(f *pflag.FlagSet) {
		f.StringVar(&q.Text, "text", "", "part of the name")
		f.StringVar(&q.Group, "group", "", "this group and everything below it")
	}, func(s *session, l *listing) (err error) {
		if q.Group, err = s.groupID(q.Group); err != nil {
			return err
		}
		return show(s, l, func(page resource.PageQuery) (resource.Page[resource.KeyService], error) {
			q.PageQuery = page
			return s.c.KeyServices(s.ctx, q)
		}, []column[resource.KeyService]{{"NAME", func(k resource.KeyService) string { return k.Name }}, {"GROUP", func(k resource.KeyService) string { return s.groupName(k.GroupID) }},
			{"DISABLED", func(k resource.KeyService) string { return yes(k.Disabled) }}, {"ID", func(k resource.KeyService) string { return k.ID }}},
			"There is no key service. Define one with: chancery key-service add --name NAME --group GROUP --url URL --recipient-file FILE --secret-file FILE")
	})
	return noun("key-service", "Key services: web services that are given keys made here", list, p.showKeyService(), p.addKeyService(), p.updateKeyService(), p.testKeyService(),
		p.delete("delete KEY-SERVICE", "Delete a key service that no template names", "key service", (*session).keyServiceID, func(s *session, id string) error { return s.c.DeleteKeyService(s.ctx, id) }))
}

func (s *session) keyServiceID(ref string) (string, error) {
	if isID(ref, ra.KeyServicePrefix) {
		return ref, nil
	}
	page, err := s.c.KeyServices(s.ctx, resource.KeyServiceQuery{Text: ref, PageQuery: resource.PageQuery{Limit: search}})
	if err != nil {
		return "", err
	}
	return pick("key service", ref, page.Items, func(k resource.KeyService) bool { return same(k.Name, ref) }, func(k resource.KeyService) string { return k.ID })
}

// keyServiceOf finds the key service that a template in a document names.
func (s *session) keyServiceOf(spec *ra.TemplateSpec) (ra.KeyServiceID, error) {
	ref := string(spec.Publish.KeyService)
	if ref == "" {
		return "", nil
	}
	id, err := s.keyServiceID(ref)
	return ra.KeyServiceID(id), err
}

func keyServiceFlags(c *cobra.Command) {
	definedFlags(c, &keypolicy.Settings{}, "organization group whose templates may name it, and those of groups below", "send it nothing")
}

func (s *session) keyServiceInput(c *cobra.Command) (resource.KeyServiceInput, error) {
	in, err := s.defined(c, &keypolicy.Settings{})
	return resource.KeyServiceInput(in), err
}

func (p *Program) addKeyService() *cobra.Command {
	var c *cobra.Command
	test := false
	c = p.verb("add", "Define a key service", "  chancery key-service add --name Gateway --group Acme --url https://keys.example.com/chancery --recipient-file recipient.pem --secret-file secret",
		cobra.NoArgs, func(s *session, _ []string) error {
			in, err := s.keyServiceInput(c)
			if err != nil {
				return err
			}
			if test {
				t := resource.KeyServiceTest{Settings: in.Settings}
				if in.GroupID != nil {
					t.GroupID = *in.GroupID
				}
				return s.tested(s.c.TestKeyServiceSettings(s.ctx, t))
			}
			k, err := s.c.CreateKeyService(s.ctx, in)
			if err != nil {
				return err
			}
			return s.say(k, "Defined key service %s (%s). A template names it by this ID.", k.Name, k.ID)
		})
	keyServiceFlags(c)
	c.Flags().BoolVar(&test, "test-only", false, "test the settings and store nothing")
	return c
}

func (p *Program) updateKeyService() *cobra.Command {
	var c *cobra.Command
	c = p.verb("update KEY-SERVICE", "Change a key service; what waits for it is sent at once", "  chancery key-service update Gateway --second-secret-file new", cobra.ExactArgs(1), func(s *session, args []string) error {
		in, err := s.keyServiceInput(c)
		if err != nil {
			return err
		}
		id, err := s.keyServiceID(args[0])
		if err != nil {
			return err
		}
		k, err := s.c.UpdateKeyService(s.ctx, id, in)
		if err != nil {
			return err
		}
		return s.say(k, "Changed key service %s.", k.Name)
	})
	keyServiceFlags(c)
	return c
}

func (p *Program) showKeyService() *cobra.Command {
	return p.verb("show KEY-SERVICE", "Show a key service", "", cobra.ExactArgs(1), func(s *session, args []string) error {
		id, err := s.keyServiceID(args[0])
		if err != nil {
			return err
		}
		k, err := s.c.KeyService(s.ctx, id)
		if err != nil {
			return err
		}
		lines := []fact{{"name", k.Name}, {"id", k.ID}, {"group", s.groupName(k.GroupID)}, {"description", k.Description}, {"disabled", yes(k.Disabled)}, {"created", when(k.CreatedAt)}, {"changed", when(k.UpdatedAt)}}
		settings, err := settingFacts(&keypolicy.Settings{}, &keypolicy.Settings{}, k.Settings)
		if err != nil {
			return err
		}
		return s.facts(k, append(lines, settings...)...)
	})
}

func (p *Program) testKeyService() *cobra.Command {
	return p.testing("test KEY-SERVICE", "Send a key service a signed message without a key", "  chancery key-service test Gateway", (*session).keyServiceID,
		func(s *session, id string) (resource.TestReport, error) { return s.c.TestKeyService(s.ctx, id) })
}

// keyPlace tells how far the key of a certificate is delivered.
func keyPlace(d *resource.KeyDelivery) string {
	out := d.KeyServiceID + d.DirectoryID // it is one of them
	if d.Delivered {
		out += " has it"
	} else {
		out += " does not have it"
	}
	if d.Action != "" {
		out += ", next " + d.Action
	}
	return strings.TrimSpace(out + " " + d.LastError)
}
