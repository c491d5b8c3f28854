package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"chancery/internal/api/resource"
)

func (p *Program) requests() *cobra.Command {
	var q resource.RequestQuery
	list := p.list("List certificate requests", "  chancery request list --state awaiting_approval", func(f *pflag.FlagSet) {
		f.StringSliceVar(&q.States, "state", nil, "requested, awaiting_approval, approved, submitted, pending_at_ca, issued, denied, failed or cancelled")
		f.StringVar(&q.Text, "text", "", "part of the subject, transaction ID or request ID")
		f.StringVar(&q.Group, "group", "", "this group and everything below it")
		f.StringVar(&q.Authority, "authority", "", "who issues")
		f.StringVar(&q.Template, "template", "", "asked for with")
		f.StringVar(&q.Device, "device", "", "for which device")
		f.StringVar(&q.User, "user", "", "for which user")
	}, func(s *session, l *listing) error {
		if err := s.resolve(&q.Group, &q.Authority, &q.Template, &q.Device, &q.User); err != nil {
			return err
		}
		return show(s, l, func(page resource.PageQuery) (resource.Page[resource.Request], error) {
			q.PageQuery = page
			return s.c.Requests(s.ctx, q)
		}, []column[resource.Request]{{"ID", func(r resource.Request) string { return r.ID }}, {"STATE", func(r resource.Request) string { return r.State }},
			{"SUBJECT", func(r resource.Request) string { return r.Subject }}, {"TEMPLATE", func(r resource.Request) string { return s.label("template", r.TemplateID) }},
			{"ASKED BY", func(r resource.Request) string { return r.AskedBy.Name }}, {"ASKED", func(r resource.Request) string { return when(r.CreatedAt) }},
			{"NEXT", func(r resource.Request) string { return next(r.Obligation) }}},
			"There is no such request. Ask for a certificate with: chancery request create --template TEMPLATE --device DEVICE")
	})
	display := p.verb("show REQUEST", "Show a request", "", cobra.ExactArgs(1), func(s *session, args []string) error {
		r, err := s.c.Request(s.ctx, args[0])
		if err != nil {
			return err
		}
		return s.showRequest(r)
	})
	return noun("request", "Requests: wishes for certificates", list, display, p.createRequest(), p.decide("approve", "Approve a request", true), p.decide("deny", "Deny a request", false),
		p.verb("cancel REQUEST", "Cancel a request", "", cobra.ExactArgs(1), func(s *session, args []string) error {
			if err := s.confirm("Cancel request %s?", args[0]); err != nil {
				return err
			}
			r, err := s.c.CancelRequest(s.ctx, args[0])
			if err != nil {
				return err
			}
			return s.say(r, "Request %s is %s.", r.ID, r.State)
		}))
}

// resolve turns references of a filter into IDs.
func (s *session) resolve(group, authority, template, device, user *string) (err error) {
	for _, r := range []struct {
		ref  *string
		find func(string) (string, error)
	}{{group, s.groupID}, {authority, s.authorityID}, {template, s.templateID}, {device, s.deviceID}, {user, s.userID}} {
		if *r.ref, err = r.find(*r.ref); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) showRequest(r resource.Request) error {
	lines := []fact{{"request", r.ID}, {"state", r.State}, {"subject", r.Subject}, {"reason", r.Reason}, {"template", s.label("template", r.TemplateID)},
		{"authority", s.label("authority", r.AuthorityID)}, {"device", s.label("device", r.DeviceID)}, {"user", s.label("user", r.UserID)}, {"group", s.groupName(r.GroupID)},
		{"key made at", r.KeyPlace}, {"asked by", r.AskedBy.Name + " (" + r.Door + ")"}, {"asked", when(r.CreatedAt)}, {"renews", r.Renews}, {"certificate", r.CertificateID},
		{"next", next(r.Obligation)}, {"deadline", when(r.Deadline)}, {"last error", r.LastError}}
	for _, a := range r.Approvals {
		word := "approved"
		if !a.Approve {
			word = "denied"
		}
		lines = append(lines, fact{word + " by", strings.TrimSpace(a.By.Name + ", " + when(a.At) + " " + a.Comment)})
	}
	return s.facts(r, lines...)
}

func (p *Program) createRequest() *cobra.Command {
	var in resource.RequestInput
	var csr, key string
	var here bool
	c := p.verb("create", "Ask for a certificate", "  chancery request create --template VPN --device \"Ada's iPhone\" --csr phone.csr --wait\n  chancery request create --template Mail --user ada --key-here --wait", cobra.NoArgs,
		func(s *session, _ []string) (err error) {
			if in.TemplateID == "" {
				return wrongCall("With which template is not said.", "Name it with --template.")
			}
			if csr != "" && here {
				return wrongCall("A CSR comes with its own key.", "Leave out --csr or --key-here.")
			}
			none := ""
			if err := s.resolve(&none, &none, &in.TemplateID, &in.DeviceID, &in.UserID); err != nil {
				return err
			}
			if in.Renews, err = s.certificateID(in.Renews); err != nil {
				return err
			}
			if csr != "" {
				b, err := s.input(csr, maxSecret)
				if err != nil {
					return err
				}
				in.CSR = string(b)
			}
			r, err := s.c.CreateRequest(s.ctx, in, key)
			if err != nil {
				return err
			}
			return s.outcome(r)
		})
	f := c.Flags()
	f.StringVar(&in.TemplateID, "template", "", "what the certificate shall be like")
	f.StringVar(&in.DeviceID, "device", "", "for which device")
	f.StringVar(&in.UserID, "user", "", "for which user; the device's when left out")
	f.StringVar(&csr, "csr", "", `PKCS #10 file, "-" for standard input`)
	f.BoolVar(&here, "key-here", false, "have the key made by the server or the authority, as the template says")
	f.StringVar(&in.Renews, "renews", "", "the certificate to be replaced")
	f.BoolVar(&in.Wait, "wait", false, "wait for the authority's answer")
	f.StringVar(&key, "idempotency-key", "", "calls with the same key are the same request")
	return c
}

// outcome says where a request stands and what to do next.
func (s *session) outcome(r resource.Request) error {
	if s.flags.output != "table" {
		return s.print(r)
	}
	more := map[string]string{
		"issued":            "See it with: chancery certificate show " + r.CertificateID,
		"awaiting_approval": "Somebody else decides: chancery request approve " + r.ID,
		"pending_at_ca":     "The authority answers later; see chancery request show " + r.ID,
	}[r.State]
	if more == "" {
		more = "See chancery request show " + r.ID
	}
	switch {
	case r.Reason == r.LastError && r.Reason != "":
		more = r.Reason
	case r.Reason+r.LastError != "":
		more = strings.TrimSpace(r.Reason + " " + r.LastError)
	}
	_, err := fmt.Fprintf(s.Stdout, "Request %s is %s.\n%s\n", r.ID, strings.ReplaceAll(r.State, "_", " "), printable(more))
	return err
}

func (p *Program) decide(name, about string, approve bool) *cobra.Command {
	comment := ""
	c := p.verb(name+" REQUEST", about, "", cobra.ExactArgs(1), func(s *session, args []string) (err error) {
		var r resource.Request
		if approve {
			r, err = s.c.ApproveRequest(s.ctx, args[0], comment)
		} else {
			r, err = s.c.DenyRequest(s.ctx, args[0], comment)
		}
		if err != nil {
			return err
		}
		return s.outcome(r)
	})
	c.Flags().StringVar(&comment, "comment", "", "for the record")
	return c
}
