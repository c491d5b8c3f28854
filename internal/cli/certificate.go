package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"chancery/internal/api/resource"
	"chancery/internal/ra"
)

func (p *Program) certificates() *cobra.Command {
	var q resource.CertificateFilter
	var within string
	filter := func(f *pflag.FlagSet) { certificateFilter(f, &q, &within) }
	list := p.list("List certificates", "  chancery certificate list --expires-within 30d\n  chancery certificate list --state valid --device \"Ada's iPhone\" -o json", filter, func(s *session, l *listing) error {
		if err := s.readFilter(&q, within); err != nil {
			return err
		}
		return show(s, l, func(page resource.PageQuery) (resource.Page[resource.Certificate], error) {
			return s.c.Certificates(s.ctx, resource.CertificateQuery{CertificateFilter: q, PageQuery: page})
		}, []column[resource.Certificate]{{"ID", func(c resource.Certificate) string { return c.ID }}, {"STATE", func(c resource.Certificate) string { return c.State }},
			{"SUBJECT", func(c resource.Certificate) string { return c.Subject }}, {"DEVICE", func(c resource.Certificate) string { return s.label("device", c.DeviceID) }},
			{"EXPIRES", func(c resource.Certificate) string { return day(c.NotAfter) }}, {"NEXT", func(c resource.Certificate) string { return next(c.Obligation) }},
			{"SERIAL", func(c resource.Certificate) string { return c.Serial }}},
			"There is no such certificate. Ask for one with: chancery request create --template TEMPLATE --device DEVICE")
	})
	out := p.verb("export", "Write certificates as CSV", "  chancery certificate export --expires-within 90d > soon.csv", cobra.NoArgs, func(s *session, _ []string) error {
		if err := s.readFilter(&q, within); err != nil {
			return err
		}
		return s.c.ExportCertificates(s.ctx, resource.CertificateQuery{CertificateFilter: q}, s.Stdout)
	})
	filter(out.Flags())
	c := noun("certificate", "Certificates: what was issued", list, p.showCertificate(), p.downloadCertificate(), p.renewCertificate(), p.revokeCertificate(),
		p.holdCertificate(), p.unholdCertificate(), p.takeKey(), out)
	c.Aliases = []string{"cert", "certificates"}
	return c
}

func certificateFilter(f *pflag.FlagSet, q *resource.CertificateFilter, within *string) {
	f.StringSliceVar(&q.States, "state", nil, "valid, superseded, on_hold, revoked or expired")
	f.StringVar(&q.Text, "text", "", "part of the subject or of a name, a serial number, or a fingerprint")
	f.StringVar(&q.Group, "group", "", "this group and everything below it")
	f.StringVar(&q.Authority, "authority", "", "who issued")
	f.StringVar(&q.Template, "template", "", "issued with")
	f.StringVar(&q.Device, "device", "", "whose")
	f.StringVar(&q.User, "user", "", "whose")
	f.StringVar(&q.SPKIHash, "spki-hash", "", "SHA-256 of the public key, hex")
	f.StringVar(&q.Serial, "serial", "", "serial number, hex")
	f.StringVar(within, "expires-within", "", "valid now, and no longer after this time, such as 30d")
	f.TimeVar(&q.ExpiresBefore, "expires-before", time.Time{}, []string{time.DateOnly, time.RFC3339}, "such as 2027-01-31")
	f.TimeVar(&q.ExpiresAfter, "expires-after", time.Time{}, []string{time.DateOnly, time.RFC3339}, "such as 2027-01-31")
	f.BoolVar(&q.OwnToo, "own", false, "also the server's own")
	f.StringVar(&q.Imported, "imported", "", "only those taken over from an authority's records; false: only those issued through this server")
	f.Lookup("imported").NoOptDefVal = "true"
}

// readFilter completes a filter: names become IDs, a span becomes two times.
func (s *session) readFilter(q *resource.CertificateFilter, within string) error {
	if within != "" {
		span, err := readSpan("--expires-within", within)
		if err != nil {
			return err
		}
		now := s.Now()
		q.ExpiresAfter, q.ExpiresBefore = now, now.Add(span)
	}
	return s.resolve(&q.Group, &q.Authority, &q.Template, &q.Device, &q.User)
}

func (p *Program) showCertificate() *cobra.Command {
	return p.verb("show CERTIFICATE", "Show a certificate with its life line", "  chancery certificate show crt_…\n  chancery certificate show 5a:10:… (a serial number or fingerprint)", cobra.ExactArgs(1), func(s *session, args []string) error {
		id, err := s.certificateID(args[0])
		if err != nil {
			return err
		}
		c, err := s.c.Certificate(s.ctx, id)
		if err != nil {
			return err
		}
		if err := s.facts(c, s.certificateFacts(c)...); err != nil || s.flags.output != "table" || len(c.History) == 0 {
			return err
		}
		rows := [][]string{}
		for _, e := range c.History {
			rows = append(rows, []string{when(e.At), e.Code, e.Actor.Name, e.Message})
		}
		fmt.Fprintln(s.Stdout)
		return s.table([]string{"WHEN", "WHAT", "WHO", ""}, rows, "")
	})
}

func (s *session) certificateFacts(c resource.Certificate) []fact {
	lines := []fact{{"certificate", c.ID}, {"state", c.State}, {"subject", c.Subject}, {"alternative names", strings.Join(c.SANs, ", ")}}
	if c.Facts != nil {
		lines = append(lines, fact{"issuer", c.Facts.Issuer}, fact{"key usage", strings.Join(c.Facts.KeyUsage, ", ")}, fact{"extended key usage", strings.Join(c.Facts.EKUs, ", ")},
			fact{"signature", c.Facts.SignatureAlgorithm})
	}
	if p := c.Publication; p != nil {
		lines = append(lines, fact{"directory entry", directoryEntry(p)})
	}
	if d := c.KeyDelivery; d != nil {
		lines = append(lines, fact{"key delivery", keyPlace(d)})
	}
	if i := c.ImportedFrom; i != nil {
		lines = append(lines, fact{"imported", fmt.Sprintf("from %s, request %d there, on %s", s.label("authority", i.AuthorityID), i.Number, when(i.At))}, fact{"requester there", i.Requester},
			fact{"template there", i.Template})
	}
	waits := ""
	if c.KeyWaiting {
		waits = "waits to be taken: chancery certificate key " + c.ID
	}
	return append(lines, fact{"valid", when(c.NotBefore) + " to " + when(c.NotAfter)}, fact{"serial", c.Serial}, fact{"SHA-256", c.Fingerprint}, fact{"key", c.KeyType + " made at " + c.KeyPlace},
		fact{"private key", waits}, fact{"authority", s.label("authority", c.AuthorityID)}, fact{"template", s.label("template", c.TemplateID)}, fact{"device", s.label("device", c.DeviceID)},
		fact{"user", s.label("user", c.UserID)}, fact{"group", s.groupName(c.GroupID)}, fact{"request", c.RequestID}, fact{"renews", c.Renews}, fact{"renewed by", c.RenewedBy},
		fact{"revoked", strings.TrimSpace(when(c.RevokedAt) + " " + c.Reason)}, fact{"next", next(c.Obligation)}, fact{"last error", c.LastError})
}

func (p *Program) downloadCertificate() *cobra.Command {
	var format, path string
	c := p.verb("download CERTIFICATE", "Download a certificate", "  chancery certificate download crt_… --format chain > chain.pem", cobra.ExactArgs(1), func(s *session, args []string) error {
		id, err := s.certificateID(args[0])
		if err != nil {
			return err
		}
		b, err := s.c.DownloadCertificate(s.ctx, id, format)
		if err != nil {
			return err
		}
		if path != "" {
			return writeNew(path, b, 0o644)
		}
		_, err = s.Stdout.Write(b)
		return err
	})
	c.Flags().StringVar(&format, "format", "pem", "pem, der, chain (PEM with what is above it) or p7b")
	c.Flags().StringVar(&path, "out", "", "file to write, which must not exist; standard output when left out")
	return c
}

// writeNew writes a file that must not exist yet.
func writeNew(path string, b []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return ra.Errorf(ra.Conflict, "The file %s is there already.", path).WithRemedy("Choose another name, or move it away.")
	}
	if err == nil {
		_, err = f.Write(b)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return ra.Errorf(ra.Invalid, "The file %s cannot be written.", path).WithRemedy("Check that the folder exists and that you may write to it.").WithCause(err)
	}
	return nil
}

func (p *Program) renewCertificate() *cobra.Command {
	wait := false
	var device deviceRenewal
	c := p.verb("renew CERTIFICATE", "Renew a certificate", "  chancery certificate renew crt_… --wait\n  chancery certificate renew crt_… --key device.key    (the key is on this machine, as a device has it)", cobra.ExactArgs(1), func(s *session, args []string) error {
		id, err := s.certificateID(args[0])
		if err != nil {
			return err
		}
		if device.key != "" {
			c, err := s.c.Certificate(s.ctx, id)
			if err != nil {
				return err
			}
			return s.renewAsDevice(c, device)
		}
		r, err := s.c.RenewCertificate(s.ctx, id, wait)
		if err != nil {
			return err
		}
		return s.outcome(r)
	})
	f := c.Flags()
	f.BoolVar(&wait, "wait", false, "wait for the authority's answer")
	f.StringVar(&device.key, "key", "", "PEM file with the certificate's private key: renew as its device does, over SCEP, with a new key")
	f.StringVar(&device.certificate, "cert", "", "with --key: file for the new certificate; cert.pem beside the key when left out")
	f.StringVar(&device.url, "scep-url", "", "with --key: SCEP address; where the certificate was enrolled when left out")
	return c
}

func (p *Program) revokeCertificate() *cobra.Command {
	var in resource.BulkRevokeInput
	var q resource.CertificateFilter
	var within string
	var c *cobra.Command
	c = p.verb("revoke [CERTIFICATE...]", "Revoke certificates", "  chancery certificate revoke crt_… --reason keyCompromise\n  chancery certificate revoke --device \"Ada's iPhone\" --state valid --dry-run", cobra.ArbitraryArgs,
		func(s *session, args []string) error {
			filtered := false
			picks := pflag.NewFlagSet("", pflag.ContinueOnError)
			certificateFilter(picks, &resource.CertificateFilter{}, new(string))
			picks.VisitAll(func(f *pflag.Flag) { filtered = filtered || c.Flags().Changed(f.Name) })
			if filtered == (len(args) > 0) {
				return wrongCall("Which certificates are meant is not clear.", "Name certificates, or give a filter such as --device, but not both.")
			}
			for _, ref := range args {
				id, err := s.certificateID(ref)
				if err != nil {
					return err
				}
				in.IDs = append(in.IDs, id)
			}
			if filtered {
				if err := s.readFilter(&q, within); err != nil {
					return err
				}
				in.Filter = &q
			}
			return s.revoke(in)
		})
	f := c.Flags()
	certificateFilter(f, &q, &within)
	f.StringVar(&in.Reason, "reason", "", "unspecified, keyCompromise, affiliationChanged, superseded, cessationOfOperation, privilegeWithdrawn, ...")
	f.StringVar(&in.Comment, "comment", "", "for the record")
	f.BoolVar(&in.DryRun, "dry-run", false, "only tell what would be revoked")
	return c
}

// revoke looks first and asks, then revokes exactly what was looked at.
func (s *session) revoke(in resource.BulkRevokeInput) error {
	look := in
	look.DryRun = true
	plan, err := s.c.RevokeCertificates(s.ctx, look)
	if err != nil {
		return err
	}
	if in.DryRun || plan.Changed == 0 {
		return s.revoked(plan)
	}
	what := fmt.Sprintf("%d certificates", plan.Changed)
	if plan.Changed == 1 {
		what = "the certificate of " + plan.Items[0].Title
	}
	if err := s.confirm("Revoke %s for good?", what); err != nil {
		return err
	}
	in.Filter, in.IDs = nil, nil
	for _, item := range plan.Items {
		in.IDs = append(in.IDs, item.ID)
	}
	done, err := s.c.RevokeCertificates(s.ctx, in)
	if err != nil {
		return err
	}
	return s.revoked(done)
}

func (s *session) revoked(r resource.BulkResult) error {
	if s.flags.output != "table" {
		if err := s.print(r); err != nil {
			return err
		}
	} else {
		words := map[string]string{"changed": "revoked", "would_change": "would be revoked", "unchanged": "unchanged", "failed": "FAILED"}
		rows := [][]string{}
		for _, item := range r.Items {
			why := ""
			if item.Problem != nil {
				why = item.Problem.Message + " " + item.Problem.Remedy
			}
			rows = append(rows, []string{item.ID, words[item.Outcome], item.Title, why})
		}
		if err := s.table([]string{"ID", "OUTCOME", "SUBJECT", ""}, rows, "No certificate fits."); err != nil {
			return err
		}
	}
	if r.Failed > 0 {
		return &exit{codeFindings}
	}
	return nil
}

func (p *Program) holdCertificate() *cobra.Command {
	comment := ""
	c := p.verb("hold CERTIFICATE", "Put a certificate on hold", "", cobra.ExactArgs(1), func(s *session, args []string) error {
		id, err := s.certificateID(args[0])
		if err != nil {
			return err
		}
		c, err := s.c.HoldCertificate(s.ctx, id, comment)
		if err != nil {
			return err
		}
		return s.say(c, "Certificate %s is on hold.", c.ID)
	})
	c.Flags().StringVar(&comment, "comment", "", "for the record")
	return c
}

func (p *Program) unholdCertificate() *cobra.Command {
	comment := ""
	c := p.verb("unhold CERTIFICATE", "Take a certificate off hold", "", cobra.ExactArgs(1), func(s *session, args []string) error {
		id, err := s.certificateID(args[0])
		if err != nil {
			return err
		}
		c, err := s.c.UnholdCertificate(s.ctx, id, comment)
		if err != nil {
			return err
		}
		return s.say(c, "Certificate %s is %s.", c.ID, c.State)
	})
	c.Flags().StringVar(&comment, "comment", "", "for the record")
	return c
}

func (p *Program) takeKey() *cobra.Command {
	var path, password, encoding string
	c := p.verb("key CERTIFICATE", "Take the key made here with its certificate as PKCS #12, once", "  chancery certificate key crt_… --out ada.p12", cobra.ExactArgs(1), func(s *session, args []string) error {
		id, err := s.certificateID(args[0])
		if err != nil {
			return err
		}
		in := resource.KeyInput{Encoding: encoding}
		if password != "" {
			text, err := s.secretFile(password, "password")
			if err != nil {
				return err
			}
			in.Password = text.Reveal()
		}
		if path == "" {
			path = id + ".p12"
		}
		// The key leaves the server once: the file is made before it is asked
		// for, so that a full disk does not lose it.
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return writeNew(path, nil, 0o600)
		}
		file, err := s.c.TakeKey(s.ctx, id, in)
		if err != nil {
			return errors.Join(err, f.Close(), os.Remove(path))
		}
		_, err = f.Write(file.PKCS12)
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			return err
		}
		fmt.Fprintf(s.Stdout, "Wrote %s.\n", path)
		if file.Password != "" {
			fmt.Fprintf(s.Stdout, "Password: %s\n", file.Password)
		}
		return nil
	})
	c.Long = "The key is handed out once and is gone from the server afterwards. Without\n--password-file a password is made and printed."
	c.Flags().StringVar(&path, "out", "", "file to write, which must not exist; CERTIFICATE.p12 when left out")
	c.Flags().StringVar(&password, "password-file", "", `file with the password, "-" for standard input`)
	c.Flags().StringVar(&encoding, "encoding", "", "modern (AES), or legacy (3DES) for Apple and older Windows")
	return c
}
