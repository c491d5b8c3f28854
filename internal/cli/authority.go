package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"chancery/internal/api/resource"
	"chancery/internal/ca"
	"chancery/internal/ca/all"
	"chancery/internal/setting"
)

func (p *Program) authorities() *cobra.Command {
	var q resource.AuthorityQuery
	list := p.list("List certificate authorities", "", func(f *pflag.FlagSet) {
		f.StringVar(&q.Text, "text", "", "part of the name")
		f.StringVar(&q.Kind, "kind", "", "kind of authority")
		f.StringVar(&q.Group, "group", "", "this group and everything below it")
	}, func(s *session, l *listing) (err error) {
		if q.Group, err = s.groupID(q.Group); err != nil {
			return err
		}
		return show(s, l, func(page resource.PageQuery) (resource.Page[resource.Authority], error) {
			q.PageQuery = page
			return s.c.Authorities(s.ctx, q)
		}, []column[resource.Authority]{{"NAME", func(a resource.Authority) string { return a.Name }}, {"KIND", func(a resource.Authority) string { return a.Kind }},
			{"GROUP", func(a resource.Authority) string { return s.groupName(a.GroupID) }}, {"DISABLED", func(a resource.Authority) string { return yes(a.Disabled) }},
			{"ID", func(a resource.Authority) string { return a.ID }}},
			"There is no authority. Define one with: chancery authority add KIND --name NAME --group GROUP")
	})
	kinds := p.verb("kinds", "List the kinds of authority", "", cobra.NoArgs, func(s *session, _ []string) error {
		return show(s, &listing{}, func(resource.PageQuery) (resource.Page[resource.Kind], error) { return s.c.AuthorityKinds(s.ctx) },
			[]column[resource.Kind]{{"KIND", func(k resource.Kind) string { return k.ID }}, {"TITLE", func(k resource.Kind) string { return k.Title }},
				{"KEYS MADE AT", func(k resource.Kind) string { return strings.Join(k.KeyPlaces, ", ") }}, {"REVOKES", func(k resource.Kind) string { return yes(k.Revoke) }},
				{"HELP", func(k resource.Kind) string { return k.Help }}}, "This program knows no kind of authority.")
	})
	add := noun("add", "Define an authority; the flags depend on the kind")
	add.Example = "  chancery authority add embedded --name \"Issuing CA\" --group Acme\n  chancery authority add KIND --help"
	update := p.verb("update AUTHORITY", "Change an authority", "  chancery authority update \"Issuing CA\" --disabled\n  chancery authority update embedded \"Issuing CA\" --crl-validity 3d", cobra.ExactArgs(1),
		nil)
	update.RunE = p.verb("", "", "", nil, func(s *session, args []string) error { return s.changeAuthority(update, args[0], nil) }).RunE
	authorityFlags(update, nil)
	for _, k := range all.Kinds() {
		add.AddCommand(p.addAuthority(k))
		update.AddCommand(p.updateAuthority(k))
	}
	return noun("authority", "Certificate authorities: who issues", list, p.showAuthority(), kinds, add, update, p.testAuthority(), p.authorityCatalog(), p.authorityCSR(), p.installAuthority(), p.renewAuthority(), p.authorityChain(), p.authorityLists(), p.authorityChallenges(), p.acceptCertificates(), p.forecast(), p.authorityGuard(), p.signOff(), p.reopenDanger(), p.authorityImport(),
		p.delete("delete AUTHORITY", "Delete an authority nothing refers to", "authority", (*session).authorityID, func(s *session, id string) error { return s.c.DeleteAuthority(s.ctx, id) }))
}

// authorityFlags are those that every kind has, and the kind's own.
func authorityFlags(c *cobra.Command, settings setting.Describer) {
	definedFlags(c, settings, "organization group it belongs to", "ask it for nothing")
	f := c.Flags()
	f.Float64("rate-per-second", 0, "requests a second at most; 0 for no limit")
	f.Int("max-in-flight", 0, "requests at the same time at most; 0 for the usual")
}

// authorityInput reads the flags of authorityFlags and the kind's own.
func (s *session) authorityInput(c *cobra.Command, settings setting.Describer) (in resource.AuthorityInput, err error) {
	d, err := s.defined(c, settings)
	if err != nil {
		return in, err
	}
	if settings != nil {
		if d.Settings, err = s.referred(d.Settings); err != nil {
			return in, err
		}
	}
	f := c.Flags()
	in = resource.AuthorityInput{GroupID: d.GroupID, Name: d.Name, Description: d.Description, Settings: d.Settings, Disabled: d.Disabled}
	if v, err := f.GetFloat64("rate-per-second"); err == nil {
		in.RatePerSecond = given(f, "rate-per-second", v)
	}
	if v, err := f.GetInt("max-in-flight"); err == nil {
		in.MaxInFlight = given(f, "max-in-flight", v)
	}
	return in, nil
}

func (p *Program) addAuthority(k ca.Kind) *cobra.Command {
	var c *cobra.Command
	test := false
	c = p.verb(k.ID, k.Title, "", cobra.NoArgs, func(s *session, _ []string) error {
		in, err := s.authorityInput(c, k.New())
		if err != nil {
			return err
		}
		if test {
			t := resource.AuthorityTest{Kind: k.ID, Settings: in.Settings}
			if in.GroupID != nil {
				t.GroupID = *in.GroupID
			}
			return s.tested(s.c.TestAuthoritySettings(s.ctx, t))
		}
		in.Kind = &k.ID
		a, err := s.c.CreateAuthority(s.ctx, in)
		if err != nil {
			return err
		}
		return s.say(a, "Defined authority %s (%s).", a.Name, a.ID)
	})
	c.Long = k.Title + ". " + k.Help
	authorityFlags(c, k.New())
	c.Flags().BoolVar(&test, "test-only", false, "test the settings and store nothing")
	return c
}

func (p *Program) updateAuthority(k ca.Kind) *cobra.Command {
	var c *cobra.Command
	c = p.verb(k.ID+" AUTHORITY", "Change one of kind "+k.Title, "", cobra.ExactArgs(1), func(s *session, args []string) error {
		return s.changeAuthority(c, args[0], k.New())
	})
	authorityFlags(c, k.New())
	return c
}

func (s *session) changeAuthority(c *cobra.Command, ref string, settings setting.Describer) error {
	in, err := s.authorityInput(c, settings)
	if err != nil {
		return err
	}
	id, err := s.authorityID(ref)
	if err != nil {
		return err
	}
	a, err := s.c.UpdateAuthority(s.ctx, id, in)
	if err != nil {
		return err
	}
	return s.say(a, "Changed authority %s.", a.Name)
}

func (p *Program) showAuthority() *cobra.Command {
	return p.verb("show AUTHORITY", "Show an authority", "", cobra.ExactArgs(1), func(s *session, args []string) error {
		id, err := s.authorityID(args[0])
		if err != nil {
			return err
		}
		a, err := s.c.Authority(s.ctx, id)
		if err != nil {
			return err
		}
		lines := []fact{{"name", a.Name}, {"id", a.ID}, {"kind", a.Kind}, {"group", s.groupName(a.GroupID)}, {"description", a.Description}, {"disabled", yes(a.Disabled)},
			{"rate limit", amount(a.RatePerSecond, "per second")}, {"in flight", amount(float64(a.MaxInFlight), "at most")}, {"can", strings.Join(a.Abilities, ", ")},
			{"created", when(a.CreatedAt)}, {"changed", when(a.UpdatedAt)}}
		settings, err := kindFacts(a.Kind, a.Settings)
		if err != nil {
			return err
		}
		for _, f := range settings {
			lines = append(lines, fact{f.name, s.named(f.value)})
		}
		return s.facts(a, lines...)
	})
}

func amount(n float64, unit string) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%g %s", n, unit)
}

// kindFacts shows the settings of a kind; none of one that this program does not
// know.
func kindFacts(kind string, raw []byte) ([]fact, error) {
	for _, k := range all.Kinds() {
		if k.ID == kind {
			return settingFacts(k.New(), k.New(), raw)
		}
	}
	return nil, nil
}

func brief(s string) string {
	if r := []rune(s); len(r) > 160 {
		return string(r[:159]) + "…"
	}
	return s
}

func (p *Program) testAuthority() *cobra.Command {
	return p.testing("test AUTHORITY", "Test the connection to an authority", "  chancery authority test \"Issuing CA\"", (*session).authorityID,
		func(s *session, id string) (resource.TestReport, error) { return s.c.TestAuthority(s.ctx, id) })
}

// steps prints how a test went; a failed step is a finding.
func (s *session) steps(r resource.TestReport) error {
	if s.flags.output != "table" {
		if err := s.print(r); err != nil {
			return err
		}
	} else if err := s.checks(r.Steps); err != nil {
		return err
	}
	if !r.OK {
		return &exit{codeFindings}
	}
	return nil
}

// checks prints one line per step, and what to do below those that need it.
func (s *session) checks(steps []resource.Step) error {
	wide := 0
	for _, step := range steps {
		wide = max(wide, len(step.Name))
	}
	for _, step := range steps {
		if _, err := fmt.Fprintf(s.Stdout, "%-8s %-*s  %s\n", step.State, wide, step.Name, printable(step.Detail)); err != nil {
			return err
		}
		if step.Remedy != "" {
			fmt.Fprintf(s.Stdout, "%-8s %-*s  hint: %s\n", "", wide, "", step.Remedy)
		}
	}
	return nil
}

func (p *Program) authorityCatalog() *cobra.Command {
	var chosen map[string]string
	c := p.verb("catalog AUTHORITY LOOKUP", "Ask an authority for its templates or profiles", "  chancery authority catalog \"Company CA\" templates", cobra.ExactArgs(2), func(s *session, args []string) error {
		id, err := s.authorityID(args[0])
		if err != nil {
			return err
		}
		return show(s, &listing{}, func(resource.PageQuery) (resource.Page[resource.CatalogEntry], error) {
			return s.c.AuthorityCatalog(s.ctx, id, args[1], chosen)
		},
			[]column[resource.CatalogEntry]{{"ID", func(e resource.CatalogEntry) string { return e.ID }}, {"TITLE", func(e resource.CatalogEntry) string { return e.Title }},
				{"KEY TYPES", func(e resource.CatalogEntry) string { return strings.Join(e.KeyTypes, ", ") }}, {"NOTE", func(e resource.CatalogEntry) string { return e.Note }}},
			"The authority offers nothing under this name.")
	})
	c.Flags().StringToStringVar(&chosen, "chosen", nil, "FIELD=VALUE of the form's other fields, where one list depends on another")
	return c
}

func (p *Program) authorityCSR() *cobra.Command {
	return p.verb("csr AUTHORITY", "Make a request for an embedded CA's own certificate", "  chancery authority csr \"Issuing CA\" > issuing.csr", cobra.ExactArgs(1), func(s *session, args []string) error {
		id, err := s.authorityID(args[0])
		if err != nil {
			return err
		}
		csr, err := s.c.AuthorityCSR(s.ctx, id)
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(s.Stdout, csr.PEM)
		return err
	})
}

func (p *Program) installAuthority() *cobra.Command {
	return p.verb("install AUTHORITY FILE", "Install the certificate a superior CA issued", "  chancery authority install \"Issuing CA\" chain.pem", cobra.ExactArgs(2), func(s *session, args []string) error {
		id, err := s.authorityID(args[0])
		if err != nil {
			return err
		}
		pem, err := s.input(args[1], maxSecret)
		if err != nil {
			return err
		}
		a, err := s.c.InstallAuthorityCertificate(s.ctx, id, string(pem))
		if err != nil {
			return err
		}
		return s.say(a, "Authority %s has its certificate.", a.Name)
	})
}

func (p *Program) renewAuthority() *cobra.Command {
	return p.verb("renew AUTHORITY", "Renew the signing certificate of an embedded CA", "  chancery authority renew \"Embedded CA\"", cobra.ExactArgs(1), func(s *session, args []string) error {
		id, err := s.authorityID(args[0])
		if err != nil {
			return err
		}
		a, err := s.c.RenewAuthority(s.ctx, id)
		if err != nil {
			return err
		}
		return s.say(a, "Authority %s signs with a new certificate and key.", a.Name)
	})
}

func (p *Program) authorityChain() *cobra.Command {
	return p.verb("chain AUTHORITY", "Print an authority's certificates as PEM", "", cobra.ExactArgs(1), func(s *session, args []string) error {
		id, err := s.authorityID(args[0])
		if err != nil {
			return err
		}
		chain, err := s.c.AuthorityChain(s.ctx, id)
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(s.Stdout, chain.PEM)
		return err
	})
}
