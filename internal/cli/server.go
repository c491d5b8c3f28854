package cli

import (
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"chancery/internal/api/resource"
	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/setting"
)

func (p *Program) serve() *cobra.Command {
	check := false
	var c *cobra.Command
	c = p.alone("serve", "Run the server", "  chancery serve\n  chancery serve --data /var/lib/chancery --listen 0.0.0.0:8600 --check", cobra.NoArgs, func(cmd *cobra.Command, _ []string) error {
		effective, err := p.configure(c.Flags())
		if err != nil {
			return err
		}
		if check {
			for _, e := range effective {
				fmt.Fprintln(p.Stdout, e)
			}
			return nil
		}
		return p.Serve(cmd.Context())
	})
	c.Long = "Run the server until it is stopped. Each setting comes from its flag, else from\nthe environment (CHANCERY_LISTEN for --listen), else from the file that --config\nnames, else from its default."
	setting.Flags(p.Config, c.Flags())
	c.Flags().BoolVar(&check, "check", false, "print the effective configuration and where each value came from, and end")
	return c
}

func (p *Program) quickstart() *cobra.Command {
	end := false
	var c *cobra.Command
	c = p.alone("quickstart", "From nothing to a first certificate on this machine", "  chancery quickstart\n  chancery quickstart --exit", cobra.NoArgs, func(cmd *cobra.Command, _ []string) error {
		if _, err := p.configure(c.Flags()); err != nil {
			return err
		}
		return p.Quickstart(cmd.Context(), end)
	})
	setting.Flags(p.Config, c.Flags())
	c.Flags().BoolVar(&end, "exit", false, "end after the certificate instead of leaving the console up")
	return c
}

func (p *Program) status() *cobra.Command {
	return p.verb("status", "Tell version, counts and health of the server", "", cobra.NoArgs, func(s *session, _ []string) error {
		st, err := s.c.Status(s.ctx)
		if err != nil {
			return err
		}
		me, err := s.c.Me(s.ctx)
		if err != nil {
			return err
		}
		database := st.Database
		if !st.Healthy {
			database += ", does not answer"
		}
		return s.facts(st, fact{"server", s.c.Base}, fact{"version", st.Version}, fact{"database", database}, fact{"you are", me.Name + " (" + me.Kind + "), " + s.roles(me.Grants)},
			fact{"certificates", counts(st.Certificates)}, fact{"devices", counts(st.Devices)}, fact{"requests", counts(st.Requests)}, fact{"late", fmt.Sprint(st.Late)})
	})
}

// counts writes a summary: 3 expired, 12 valid.
func counts(m map[string]int64) string {
	out := ""
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if out != "" {
			out += ", "
		}
		out += fmt.Sprintf("%d %s", m[key], key)
	}
	if out == "" {
		return "none"
	}
	return out
}

func (p *Program) doctor() *cobra.Command {
	return p.alone("doctor", "Look for what is wrong or soon will be, with what to do about it", "  chancery doctor\n  chancery doctor --data /var/lib/chancery -o json", cobra.NoArgs, func(cmd *cobra.Command, _ []string) error {
		s, err := p.connect(cmd)
		if err == nil {
			var h resource.Health
			if h, err = s.c.Doctor(s.ctx); err == nil {
				err = s.close()
			}
			if err == nil {
				return s.steps(resource.TestReport{OK: h.OK, Steps: h.Checks})
			}
		}
		// That nothing answers is what the doctor was asked about.
		if ra.KindOf(err) == ra.Denied || ra.KindOf(err) == ra.Unsigned || codeOf(err) == codeUsage {
			return err
		}
		e := ra.AsError(err)
		if s == nil {
			s = &session{Program: p, ctx: cmd.Context(), cmd: cmd}
		}
		return s.steps(resource.TestReport{Steps: []resource.Step{{Name: "server", State: string(ca.StepFailed), Detail: e.Message, Remedy: e.Remedy}}})
	})
}
