package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"chancery/internal/api/resource"
	"chancery/internal/sceppolicy"
	"chancery/internal/setting"
)

func (p *Program) endpoints() *cobra.Command {
	var q resource.EndpointQuery
	list := p.list("List SCEP endpoints", "", func(f *pflag.FlagSet) {
		f.StringVar(&q.Text, "text", "", "part of the name")
		f.StringVar(&q.Group, "group", "", "this group and everything below it")
		f.StringVar(&q.Template, "template", "", "what it enrols with")
	}, func(s *session, l *listing) (err error) {
		if q.Group, err = s.groupID(q.Group); err != nil {
			return err
		}
		if q.Template, err = s.templateID(q.Template); err != nil {
			return err
		}
		return show(s, l, func(page resource.PageQuery) (resource.Page[resource.Endpoint], error) {
			q.PageQuery = page
			return s.c.Endpoints(s.ctx, q)
		}, []column[resource.Endpoint]{{"NAME", func(e resource.Endpoint) string { return e.Name }}, {"PATH", func(e resource.Endpoint) string { return e.Path }},
			{"TEMPLATE", func(e resource.Endpoint) string { return s.label("template", e.TemplateID) }}, {"GROUP", func(e resource.Endpoint) string { return s.groupName(e.GroupID) }},
			{"DISABLED", func(e resource.Endpoint) string { return yes(e.Disabled) }}, {"ID", func(e resource.Endpoint) string { return e.ID }}},
			"There is no SCEP endpoint. Open one with: chancery endpoint create NAME --template TEMPLATE")
	})
	display := p.verb("show ENDPOINT", "Show a SCEP endpoint", "", cobra.ExactArgs(1), func(s *session, args []string) error {
		id, err := s.endpointID(args[0])
		if err != nil {
			return err
		}
		e, err := s.c.Endpoint(s.ctx, id)
		if err != nil {
			return err
		}
		lines := []fact{{"name", e.Name}, {"id", e.ID}, {"path", e.Path}, {"template", s.label("template", e.TemplateID)}, {"group", s.groupName(e.GroupID)},
			{"disabled", yes(e.Disabled)}, {"created", when(e.CreatedAt)}, {"changed", when(e.UpdatedAt)}}
		before, after := &sceppolicy.Endpoint{}, &sceppolicy.Endpoint{}
		if err := setting.Load(after, e.Settings); err != nil {
			return err
		}
		for _, c := range setting.Diff(before, after) {
			if !c.Secret {
				lines = append(lines, fact{strings.ToLower(c.Label), brief(c.After)})
			}
		}
		return s.facts(e, lines...)
	})
	var fill, refill func(*session) (resource.EndpointInput, error)
	create := p.verb("create NAME", "Open a SCEP endpoint", "  chancery endpoint create vpn --template VPN", cobra.ExactArgs(1), func(s *session, args []string) error {
		in, err := fill(s)
		if err != nil {
			return err
		}
		in.Name = &args[0]
		e, err := s.c.CreateEndpoint(s.ctx, in)
		if err != nil {
			return err
		}
		return s.say(e, "Opened SCEP endpoint %s at %s (%s).", e.Name, e.Path, e.ID)
	})
	fill = p.endpointFlags(create)
	update := p.verb("update ENDPOINT", "Change a SCEP endpoint", "  chancery endpoint update vpn --challenge-life 2h", cobra.ExactArgs(1), func(s *session, args []string) error {
		in, err := refill(s)
		if err != nil {
			return err
		}
		id, err := s.endpointID(args[0])
		if err != nil {
			return err
		}
		e, err := s.c.UpdateEndpoint(s.ctx, id, in)
		if err != nil {
			return err
		}
		return s.say(e, "Changed SCEP endpoint %s.", e.Name)
	})
	refill = p.endpointFlags(update)
	return noun("endpoint", "SCEP endpoints: where devices enrol", list, display, create, update, p.enrolAsDevice(),
		p.delete("delete ENDPOINT", "Close a SCEP endpoint and void its challenges", "SCEP endpoint", (*session).endpointID, func(s *session, id string) error { return s.c.DeleteEndpoint(s.ctx, id) }))
}

func (p *Program) endpointFlags(c *cobra.Command) func(*session) (resource.EndpointInput, error) {
	var group, template, name string
	var disabled bool
	f := c.Flags()
	setting.Flags(&sceppolicy.Endpoint{}, f)
	f.StringVar(&template, "template", "", "what it enrols with")
	f.StringVar(&group, "group", "", "organization group; the template's when left out")
	f.BoolVar(&disabled, "disabled", false, "it answers nobody")
	if c.Name() == "update" {
		f.StringVar(&name, "name", "", "another name")
	}
	return func(s *session) (in resource.EndpointInput, err error) {
		in = resource.EndpointInput{Name: given(f, "name", name), Disabled: given(f, "disabled", disabled)}
		if in.GroupID, err = reference(f, "group", group, s.groupID); err != nil {
			return in, err
		}
		if in.TemplateID, err = reference(f, "template", template, s.templateID); err != nil {
			return in, err
		}
		in.Settings, err = setting.FlagsJSON(&sceppolicy.Endpoint{}, f, s.Stdin)
		return in, err
	}
}

func (p *Program) challenges() *cobra.Command {
	var in resource.ChallengeInput
	create := p.verb("create", "Make a one-time challenge; its text is shown once", "  chancery challenge create --endpoint vpn --device \"Ada's iPhone\"", cobra.NoArgs, func(s *session, _ []string) (err error) {
		if in.EndpointID == "" || in.DeviceID == "" {
			return wrongCall("A challenge is for one endpoint and one device.", "Name them with --endpoint and --device.")
		}
		if in.EndpointID, err = s.endpointID(in.EndpointID); err != nil {
			return err
		}
		if in.DeviceID, err = s.deviceID(in.DeviceID); err != nil {
			return err
		}
		c, err := s.c.CreateChallenge(s.ctx, in)
		if err != nil {
			return err
		}
		return s.facts(c, fact{"challenge", c.Challenge}, fact{"path", c.Path}, fact{"id", c.ID}, fact{"expires", when(c.ExpiresAt)}, fact{"uses", fmt.Sprint(c.MaxUses)})
	})
	f := create.Flags()
	f.StringVar(&in.EndpointID, "endpoint", "", "at which endpoint")
	f.StringVar(&in.DeviceID, "device", "", "for which device")
	f.StringVar(&in.Life, "life", "", "such as 90m or 24h; the endpoint's when left out")
	f.IntVar(&in.Uses, "uses", 0, "how often it may be used; the endpoint's when left out")
	var q resource.ChallengeQuery
	list := p.list("List a device's challenges", "  chancery challenge list --device \"Ada's iPhone\"", func(f *pflag.FlagSet) {
		f.StringVar(&q.Device, "device", "", "whose challenges")
		f.StringVar(&q.Endpoint, "endpoint", "", "at which endpoint")
		f.BoolVar(&q.Open, "open", false, "only those neither spent nor expired")
	}, func(s *session, l *listing) (err error) {
		if q.Device == "" {
			return wrongCall("Whose challenges is not said.", "Name the device with --device.")
		}
		if q.Device, err = s.deviceID(q.Device); err != nil {
			return err
		}
		if q.Endpoint, err = s.endpointID(q.Endpoint); err != nil {
			return err
		}
		return show(s, l, func(page resource.PageQuery) (resource.Page[resource.Challenge], error) {
			q.PageQuery = page
			return s.c.Challenges(s.ctx, q)
		}, []column[resource.Challenge]{{"ID", func(c resource.Challenge) string { return c.ID }}, {"ENDPOINT", func(c resource.Challenge) string { return s.label("endpoint", c.EndpointID) }},
			{"USED", func(c resource.Challenge) string { return fmt.Sprintf("%d of %d", c.Uses, c.MaxUses) }}, {"EXPIRES", func(c resource.Challenge) string { return when(c.ExpiresAt) }},
			{"MADE BY", func(c resource.Challenge) string { return c.CreatedBy }}},
			"The device has no challenge. Make one with: chancery challenge create --endpoint ENDPOINT --device DEVICE")
	})
	return noun("challenge", "Challenges: what lets one device enrol once", create, list,
		p.delete("delete ID", "Void a challenge", "challenge", func(_ *session, id string) (string, error) { return id, nil }, func(s *session, id string) error { return s.c.DeleteChallenge(s.ctx, id) }))
}
