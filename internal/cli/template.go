package cli

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"chancery/internal/api/resource"
)

func (p *Program) templates() *cobra.Command {
	var q resource.TemplateQuery
	list := p.list("List certificate templates", "", func(f *pflag.FlagSet) {
		f.StringVar(&q.Text, "text", "", "part of the name")
		f.StringVar(&q.Group, "group", "", "this group and everything below it")
		f.StringVar(&q.Authority, "authority", "", "who issues")
	}, func(s *session, l *listing) (err error) {
		if q.Group, err = s.groupID(q.Group); err != nil {
			return err
		}
		if q.Authority, err = s.authorityID(q.Authority); err != nil {
			return err
		}
		return show(s, l, func(page resource.PageQuery) (resource.Page[resource.Template], error) {
			q.PageQuery = page
			return s.c.Templates(s.ctx, q)
		}, []column[resource.Template]{{"NAME", func(t resource.Template) string { return t.Name }}, {"AUTHORITY", func(t resource.Template) string { return s.label("authority", t.AuthorityID) }},
			{"GROUP", func(t resource.Template) string { return s.groupName(t.GroupID) }}, {"SUBJECT", func(t resource.Template) string { return t.Spec.Subject }},
			{"KEY", func(t resource.Template) string { return t.Spec.KeyType + " at " + string(t.Spec.KeyPlace) }},
			{"REVISION", func(t resource.Template) string { return fmt.Sprint(t.Revision) }}, {"DISABLED", func(t resource.Template) string { return yes(t.Disabled) }},
			{"ID", func(t resource.Template) string { return t.ID }}},
			"There is no template. Define one with: chancery template create -f FILE")
	})
	display := p.verb("show TEMPLATE", "Show a template", "  chancery template show VPN -o yaml", cobra.ExactArgs(1), func(s *session, args []string) error {
		t, err := s.template(args[0])
		if err != nil {
			return err
		}
		return s.showTemplate(t)
	})
	file := ""
	create := p.verb("create", "Define a template from a document", "  chancery template create -f vpn.yaml\n\n  # vpn.yaml\n  name: VPN\n  group: Acme\n  authority: Issuing CA\n  spec:\n    subject: CN={EnrollmentUser},O={Organization}\n    sans: [{type: email, value: \"{EmailAddress}\"}]\n    key_type: p-256\n    ekus: [clientAuth]\n    auto_renew: true", cobra.NoArgs,
		func(s *session, _ []string) error {
			in, err := s.templateFile(file)
			if err != nil {
				return err
			}
			t, err := s.c.CreateTemplate(s.ctx, in)
			if err != nil {
				return err
			}
			return s.say(t, "Defined template %s (%s).", t.Name, t.ID)
		})
	create.Flags().StringVarP(&file, "file", "f", "", `YAML or JSON document, "-" for standard input`)
	return noun("template", "Templates: what certificates say and how they live", list, display, create, p.updateTemplate(), p.previewTemplate(), p.testTemplate(), p.lookupValues(),
		p.delete("delete TEMPLATE", "Delete a template that was never used", "template", (*session).templateID, func(s *session, id string) error { return s.c.DeleteTemplate(s.ctx, id) }))
}

func (s *session) template(ref string) (t resource.Template, err error) {
	id, err := s.templateID(ref)
	if err != nil {
		return t, err
	}
	return s.c.Template(s.ctx, id)
}

func (s *session) showTemplate(t resource.Template) error {
	var sans []string
	for _, san := range t.Spec.SANs {
		sans = append(sans, san.Type+":"+san.Value)
	}
	spec := t.Spec
	days := func(n int) string {
		if n == 0 {
			return ""
		}
		return fmt.Sprintf("%d days", n)
	}
	return s.facts(t, fact{"name", t.Name}, fact{"id", t.ID}, fact{"description", t.Description}, fact{"group", s.groupName(t.GroupID)}, fact{"authority", s.label("authority", t.AuthorityID)},
		fact{"issuing template", spec.IssuingTemplate}, fact{"subject", spec.Subject}, fact{"alternative names", strings.Join(sans, ", ")}, fact{"key", spec.KeyType + " made at " + string(spec.KeyPlace)},
		fact{"usage", spec.Usage}, fact{"extended key usage", strings.Join(spec.EKUs, ", ")}, fact{"validity", days(int(spec.Validity))}, fact{"renewed by itself", yes(spec.AutoRenew)},
		fact{"renewed before expiry", days(int(spec.RenewBefore))}, fact{"approvals", amount(float64(spec.Approvals), "people")}, fact{"revoked on", strings.Join(spec.RevokeOn, ", ")},
		fact{"revision", fmt.Sprint(t.Revision)}, fact{"disabled", yes(t.Disabled)}, fact{"created", when(t.CreatedAt)}, fact{"changed", when(t.UpdatedAt)})
}

// templateFile reads a template document; references are names.
func (s *session) templateFile(path string) (in resource.TemplateInput, err error) {
	if path == "" {
		return in, wrongCall("The template is in no file.", "Name it with -f FILE, or pass it on standard input with -f -.")
	}
	raw, err := s.input(path, maxDocuments)
	if err != nil {
		return in, err
	}
	docs, err := readDocuments(raw)
	if err != nil {
		return in, err
	}
	if len(docs) != 1 {
		return in, wrongCall(fmt.Sprintf("There are %d documents in the file.", len(docs)), "Use one for a template, or chancery apply for many.")
	}
	d := docs[0]
	if d["kind"] == nil {
		d["kind"] = "template"
	}
	if d["kind"] != "template" {
		return in, wrongCall(fmt.Sprintf("The document is of kind %v.", d["kind"]), "Use chancery apply for it.")
	}
	var t templateDoc
	if err := strict(d, &t); err != nil {
		return in, err
	}
	raw, err = json.Marshal(d)
	if err != nil {
		return in, err
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return in, err
	}
	refer := func(to **string, ref string, find func(string) (string, error)) {
		if ref == "" || err != nil {
			return
		}
		var id string
		id, err = find(ref)
		*to = &id
	}
	refer(&in.GroupID, t.Group, s.groupID)
	refer(&in.AuthorityID, t.Authority, s.authorityID)
	if t.Spec != nil && err == nil {
		in.Spec.Publish.KeyService, err = s.keyServiceOf(t.Spec)
	}
	return in, err
}

func (p *Program) updateTemplate() *cobra.Command {
	var file, name, description string
	var disabled bool
	var c *cobra.Command
	c = p.verb("update TEMPLATE", "Change a template", "  chancery template update VPN -f vpn.yaml\n  chancery template update VPN --disabled", cobra.ExactArgs(1), func(s *session, args []string) error {
		id, err := s.templateID(args[0])
		if err != nil {
			return err
		}
		var in resource.TemplateInput
		if file != "" {
			if in, err = s.templateFile(file); err != nil {
				return err
			}
		}
		f := c.Flags()
		if v := given(f, "name", name); v != nil {
			in.Name = v
		}
		if v := given(f, "description", description); v != nil {
			in.Description = v
		}
		if v := given(f, "disabled", disabled); v != nil {
			in.Disabled = v
		}
		t, err := s.c.UpdateTemplate(s.ctx, id, in)
		if err != nil {
			return err
		}
		return s.say(t, "Changed template %s, now revision %d.", t.Name, t.Revision)
	})
	c.Flags().StringVarP(&file, "file", "f", "", `YAML or JSON document whose spec replaces the present one, "-" for standard input`)
	c.Flags().StringVar(&name, "name", "", "another name")
	c.Flags().StringVar(&description, "description", "", "what it is for")
	c.Flags().BoolVar(&disabled, "disabled", false, "nothing can be asked for with it")
	return c
}

func (p *Program) previewTemplate() *cobra.Command {
	var device, user, file string
	c := p.verb("preview [TEMPLATE]", "Look at what a template gives for a device or user", "  chancery template preview VPN --device \"Ada's iPhone\"\n  chancery template preview -f vpn.yaml --user ada", cobra.MaximumNArgs(1),
		func(s *session, args []string) (err error) {
			var in resource.PreviewInput
			if in.DeviceID, err = s.deviceID(device); err != nil {
				return err
			}
			if in.UserID, err = s.userID(user); err != nil {
				return err
			}
			if file != "" {
				t, err := s.templateFile(file)
				if err != nil {
					return err
				}
				in.Template = &t
			}
			var r resource.Preview
			switch {
			case len(args) == 1:
				id, err := s.templateID(args[0])
				if err != nil {
					return err
				}
				if r, err = s.c.PreviewTemplate(s.ctx, id, in); err != nil {
					return err
				}
			case file != "":
				if r, err = s.c.PreviewUnsavedTemplate(s.ctx, in); err != nil {
					return err
				}
			default:
				return wrongCall("There is no template to look at.", "Name a stored one, or a document with -f.")
			}
			return s.showPreview(r)
		})
	c.Flags().StringVar(&device, "device", "", "for which device")
	c.Flags().StringVar(&user, "user", "", "for which user; the device's when left out")
	c.Flags().StringVarP(&file, "file", "f", "", `document to look at before it is saved, "-" for standard input`)
	return c
}

func (s *session) showPreview(r resource.Preview) error {
	if s.flags.output != "table" {
		return s.print(r)
	}
	var fill struct {
		Subject  string   `json:"subject"`
		KeyType  string   `json:"key_type"`
		KeyPlace string   `json:"key_place"`
		Validity int      `json:"validity_days"`
		Warnings []string `json:"warnings"`
	}
	if err := json.Unmarshal(r.Fill, &fill); err != nil {
		return err
	}
	lines := []fact{{"subject", fill.Subject}, {"key", fill.KeyType + " made at " + fill.KeyPlace}, {"validity", amount(float64(fill.Validity), "days")}}
	for _, e := range r.Extensions {
		lines = append(lines, fact{e.Name, e.Value})
	}
	for _, w := range fill.Warnings {
		lines = append(lines, fact{"warning", w})
	}
	if err := s.facts(r, lines...); err != nil {
		return err
	}
	return s.testResults(r.Tests)
}

// testResults prints a template's tests; a failed one is a finding.
func (s *session) testResults(list []resource.TestResult) error {
	failed := false
	for _, r := range list {
		word := "passed"
		if !r.Passed {
			word, failed = "FAILED", true
		}
		fmt.Fprintf(s.Stdout, "test %s: %s (%s)\n", printable(r.Name), word, printable(r.Got))
	}
	if failed {
		return &exit{codeFindings}
	}
	return nil
}

func (p *Program) testTemplate() *cobra.Command {
	return p.verb("test TEMPLATE", "Run a template's own tests", "", cobra.ExactArgs(1), func(s *session, args []string) error {
		id, err := s.templateID(args[0])
		if err != nil {
			return err
		}
		r, err := s.c.RunTemplateTests(s.ctx, id)
		if err != nil {
			return err
		}
		if s.flags.output != "table" {
			return s.print(r.Items)
		}
		if len(r.Items) == 0 {
			return s.say(nil, "The template has no tests. Add some under spec.tests of its document.")
		}
		return s.testResults(r.Items)
	})
}

func (p *Program) lookupValues() *cobra.Command {
	return p.verb("lookup-values", "List the names that texts in templates may use", "", cobra.NoArgs, func(s *session, _ []string) error {
		return show(s, &listing{}, func(resource.PageQuery) (resource.Page[resource.LookupValue], error) { return s.c.LookupValues(s.ctx) },
			[]column[resource.LookupValue]{{"NAME", func(v resource.LookupValue) string { return "{" + v.Name + "}" }}, {"OF", func(v resource.LookupValue) string { return v.Entity }},
				{"MEANING", func(v resource.LookupValue) string { return v.Help }}}, "There are none.")
	})
}
