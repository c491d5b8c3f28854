package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"chancery/internal/api/resource"
)

func (p *Program) passes() *cobra.Command {
	var q resource.PassQuery
	filter := func(f *pflag.FlagSet) {
		f.StringSliceVar(&q.States, "state", nil, "issued, claimed, pending, done, failed, expired or revoked")
		f.StringVar(&q.Model, "model", "", "proxy or delegate")
		f.StringVar(&q.Text, "text", "", "part of the subject, transaction ID or pass ID")
		f.StringVar(&q.Group, "group", "", "this group and everything below it")
		f.StringVar(&q.Authority, "authority", "", "whose SCEP server")
		f.StringVar(&q.Template, "template", "", "made with")
		f.StringVar(&q.Device, "device", "", "for which device")
		f.BoolVar(&q.Late, "late", false, "only those past their deadline")
	}
	none := ""
	list := p.list("List passes", "  chancery pass list --state issued,pending", filter, func(s *session, l *listing) error {
		if err := s.resolve(&q.Group, &q.Authority, &q.Template, &q.Device, &none); err != nil {
			return err
		}
		return show(s, l, func(page resource.PageQuery) (resource.Page[resource.Pass], error) {
			q.PageQuery = page
			return s.c.Passes(s.ctx, q)
		}, []column[resource.Pass]{{"ID", func(r resource.Pass) string { return r.ID }}, {"STATE", func(r resource.Pass) string { return r.State }},
			{"MODEL", func(r resource.Pass) string { return r.Model }}, {"DEVICE", func(r resource.Pass) string { return s.label("device", r.DeviceID) }},
			{"SUBJECT", func(r resource.Pass) string { return r.Subject }}, {"TEMPLATE", func(r resource.Pass) string { return s.label("template", r.TemplateID) }},
			{"EXPIRES", func(r resource.Pass) string { return when(r.ExpiresAt) }}, {"NEXT", func(r resource.Pass) string { return next(r.Obligation) }}},
			"There is no such pass. Make one with: chancery pass create --template TEMPLATE --device DEVICE")
	})
	export := p.verb("export", "Write passes as CSV", "  chancery pass export > passes.csv", cobra.NoArgs, func(s *session, _ []string) error {
		if err := s.resolve(&q.Group, &q.Authority, &q.Template, &q.Device, &none); err != nil {
			return err
		}
		return s.c.ExportPasses(s.ctx, q, s.Stdout)
	})
	filter(export.Flags())
	display := p.verb("show PASS", "Show a pass", "", cobra.ExactArgs(1), func(s *session, args []string) error {
		r, err := s.c.Pass(s.ctx, args[0])
		if err != nil {
			return err
		}
		return s.showPass(r)
	})
	renew := p.verb("renew CERTIFICATE", "Make a pass by which the device of a certificate enrols anew", "", cobra.ExactArgs(1), func(s *session, args []string) error {
		id, err := s.certificateID(args[0])
		if err != nil {
			return err
		}
		r, err := s.c.RenewByPass(s.ctx, id)
		if err != nil {
			return err
		}
		return s.made(r)
	})
	return noun("pass", "Passes: what lets a device enrol once at a SCEP server elsewhere", list, display, p.createPass(), p.passParameters(), p.revokePass(), renew, p.learnPass(), export)
}

func (s *session) made(r resource.Pass) error {
	return s.say(r, "Made pass %s for %s, until %s.\nWhen the device is about to enrol: chancery pass parameters %s", r.ID, s.label("device", r.DeviceID), when(r.ExpiresAt), r.ID)
}

func (s *session) showPass(r resource.Pass) error {
	confirmed := ""
	if r.CertificateID != "" {
		confirmed = "not seen on the device yet"
		if r.Confirmed {
			confirmed = "yes"
		}
	}
	return s.facts(r, fact{"pass", r.ID}, fact{"state", r.State}, fact{"model", r.Model}, fact{"reason", r.Reason}, fact{"subject", r.Subject}, fact{"device", s.label("device", r.DeviceID)},
		fact{"user", s.label("user", r.UserID)}, fact{"template", s.label("template", r.TemplateID)}, fact{"authority", s.label("authority", r.AuthorityID)}, fact{"group", s.groupName(r.GroupID)},
		fact{"made by", r.CreatedBy.Name}, fact{"made", when(r.CreatedAt)}, fact{"expires", when(r.ExpiresAt)}, fact{"parameters given", when(r.RevealedAt)}, fact{"challenge until", when(r.ChallengeUntil)},
		fact{"messages", fmt.Sprintf("%d of %d", r.Messages, r.MaxMessages)}, fact{"last answer", strings.TrimSpace(r.PKIStatus + " " + r.FailInfo)}, fact{"transaction", r.TransactionID}, fact{"renews", r.Renews}, fact{"certificate", r.CertificateID},
		fact{"confirmed", confirmed}, fact{"enrols anew", when(r.RenewAt)}, fact{"next", next(r.Obligation)}, fact{"last error", r.LastError})
}

func (p *Program) createPass() *cobra.Command {
	var in resource.PassInput
	c := p.verb("create", "Make a pass for a device", "  chancery pass create --template \"NDES devices\" --device \"Ada's laptop\"\n  chancery pass create --template \"NDES devices\" --device laptop --model delegate --life 1d", cobra.NoArgs,
		func(s *session, _ []string) (err error) {
			if in.TemplateID == "" || in.DeviceID == "" {
				return wrongCall("A pass is for one device and one template.", "Name them with --template and --device.")
			}
			none := ""
			if err := s.resolve(&none, &none, &in.TemplateID, &in.DeviceID, &in.UserID); err != nil {
				return err
			}
			if in.Renews, err = s.certificateID(in.Renews); err != nil {
				return err
			}
			r, err := s.c.CreatePass(s.ctx, in)
			if err != nil {
				return err
			}
			return s.made(r)
		})
	f := c.Flags()
	f.StringVar(&in.TemplateID, "template", "", "what the certificate shall be like")
	f.StringVar(&in.DeviceID, "device", "", "for which device")
	f.StringVar(&in.UserID, "user", "", "for which user; the device's when left out")
	f.StringVar(&in.Model, "model", "proxy", "proxy: the device talks to this server; delegate: to the SCEP server itself")
	f.StringVar(&in.Life, "life", "", "such as 2h or 7d, from 10m to 30d; 7d when left out")
	f.StringVar(&in.Renews, "renews", "", "the certificate to be replaced")
	return c
}

// passParameters gives what a client needs. The challenge goes to a file when
// one is named, and to standard output otherwise, never into a command that is
// run.
func (p *Program) passParameters() *cobra.Command {
	var write, file string
	c := p.verb("parameters PASS", "Fetch the challenge and give what the device's SCEP client needs",
		"  chancery pass parameters pass_…\n  chancery pass parameters pass_… --challenge-file challenge --write certmonger", cobra.ExactArgs(1), func(s *session, args []string) error {
			if write != "" && commands[write] == nil {
				return wrongCall("Commands for "+write+" are not known.", "Use certmonger or strongswan.")
			}
			if write != "" && file == "" {
				return wrongCall("The commands read the challenge from a file.", "Name the file to be written with --challenge-file.")
			}
			r, err := s.c.PassParameters(s.ctx, args[0])
			if err != nil {
				return err
			}
			if file != "" && r.Challenge != "" {
				if err := writeNew(file, []byte(r.Challenge), 0o600); err != nil {
					return err
				}
				r.Challenge = ""
			}
			if write != "" {
				_, err := fmt.Fprint(s.Stdout, commands[write](r, file))
				return err
			}
			until := when(r.ChallengeUntil)
			if until != "" {
				until += " UTC, for " + r.ChallengeUntil.Sub(p.Now()).Round(time.Minute).String()
			}
			return s.facts(r, fact{"url", r.URL}, fact{"challenge", r.Challenge}, fact{"challenge until", until}, fact{"pass expires", when(r.ExpiresAt)}, fact{"subject", r.Subject},
				fact{"names", strings.Join(r.SANs, ", ")}, fact{"key", r.KeyType}, fact{"key usage", strings.Join(r.KeyUsage, ", ")}, fact{"purposes", strings.Join(r.EKUs, ", ")},
				fact{"while pending", fmt.Sprintf("%d tries, %s apart", r.Retries, time.Duration(r.RetrySeconds)*time.Second)}, fact{"CA fingerprint", r.CAFingerprint},
				fact{"CA thumbprint", r.CAThumbprint}, fact{"CA identifier", r.CAIdentifier})
		})
	f := c.Flags()
	f.StringVar(&file, "challenge-file", "", "write the challenge into this file, which must not exist, and do not show it")
	f.StringVar(&write, "write", "", "write commands for a client: certmonger or strongswan")
	return c
}

// commands write what a client is called with. They read the challenge from its
// file when they are run.
var commands = map[string]func(resource.PassParameters, string) string{
	"certmonger": func(r resource.PassParameters, file string) string {
		lines := []string{"getcert add-scep-ca -c chancery -u " + quoted(r.URL)}
		request := "getcert request -c chancery -k /etc/ssl/device.key -f /etc/ssl/device.crt -N " + quoted(r.Subject)
		if bits, ok := strings.CutPrefix(r.KeyType, "rsa-"); ok {
			request += " -G rsa -g " + bits
		}
		for _, n := range r.SANs {
			kind, value, _ := strings.Cut(n, ":")
			if flag := map[string]string{"dns": "-D", "email": "-E", "ip": "-A", "upn": "-K"}[kind]; flag != "" {
				request += " " + flag + " " + quoted(value)
			}
		}
		return strings.Join(append(lines, request+" -l "+quoted(file)), "\n") + "\n"
	},
	"strongswan": func(r resource.PassParameters, file string) string {
		request := "pki --scep --url " + quoted(r.URL) + " --in device.der --dn " + quoted(r.Subject)
		for _, n := range r.SANs {
			if _, value, ok := strings.Cut(n, ":"); ok {
				request += " --san " + quoted(value)
			}
		}
		return "pki --gen --type rsa --size " + strings.TrimPrefix(r.KeyType, "rsa-") + " > device.der\npki --scepca --url " + quoted(r.URL) + " --caout ca\n" +
			request + " --password \"$(cat " + quoted(file) + ")\" --cacert-enc ca-ra.der --cacert-sig ca.der > device.crt\n"
	},
}

// quoted writes a text as one word of a shell.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func (p *Program) revokePass() *cobra.Command {
	reason := ""
	c := p.verb("revoke PASS", "Void a pass", "  chancery pass revoke pass_… --reason \"The device is lost.\"", cobra.ExactArgs(1), func(s *session, args []string) error {
		if err := s.confirm("Void pass %s? The device can no longer enrol with it.", args[0]); err != nil {
			return err
		}
		r, err := s.c.RevokePass(s.ctx, args[0], reason)
		if err != nil {
			return err
		}
		return s.say(r, "Pass %s is %s.", r.ID, r.State)
	})
	c.Flags().StringVar(&reason, "reason", "", "for the record")
	return c
}

func (p *Program) learnPass() *cobra.Command {
	var in resource.LearnInput
	c := p.verb("learn FILE", "Tell of a certificate that was seen on a device or in an authority's database", "  chancery pass learn laptop.pem --device laptop", cobra.ExactArgs(1), func(s *session, args []string) (err error) {
		b, err := s.input(args[0], maxSecret)
		if err != nil {
			return err
		}
		in.Certificate = string(b)
		none := ""
		if err := s.resolve(&none, &in.AuthorityID, &none, &in.DeviceID, &none); err != nil {
			return err
		}
		r, err := s.c.LearnPass(s.ctx, in)
		if err != nil {
			return err
		}
		return s.say(r, "Certificate %s came from pass %s, which is %s.", r.Certificate.ID, r.Pass.ID, r.Pass.State)
	})
	f := c.Flags()
	f.StringVar(&in.AuthorityID, "authority", "", "who issued it; any when left out")
	f.StringVar(&in.DeviceID, "device", "", "where it was seen")
	f.StringVar(&in.TransactionID, "transaction", "", "of SCEP, where the authority keeps it")
	return c
}
