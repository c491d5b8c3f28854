package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"chancery/internal/api/resource"
)

func (p *Program) forecast() *cobra.Command {
	return p.verb("forecast AUTHORITY", "Show what the coming days ask of an authority", "  chancery authority forecast \"Issuing CA\"", cobra.ExactArgs(1), func(s *session, args []string) error {
		id, err := s.authorityID(args[0])
		if err != nil {
			return err
		}
		f, err := s.c.AuthorityForecast(s.ctx, id)
		if err != nil {
			return err
		}
		if s.flags.output != "table" {
			if err := s.print(f); err != nil {
				return err
			}
		} else if err := s.sayForecast(f); err != nil {
			return err
		}
		if f.Missed > 0 {
			return &exit{codeFindings}
		}
		return nil
	})
}

// sayForecast prints the figures and the days on which something happens.
func (s *session) sayForecast(f resource.Forecast) error {
	if f.MadeAt == nil {
		_, err := fmt.Fprintln(s.Stdout, "There is no forecast yet; the running server makes one within the hour.")
		return err
	}
	able := "not known yet"
	if f.RenewalsPerDay > 0 {
		able = fmt.Sprintf("%d renewals a day beside %d others", f.RenewalsPerDay, f.NewPerDay)
	}
	if _, err := fmt.Fprintf(s.Stdout, "Made at   %s\nDue now   %d\nCan do    %s\nCalls     %.0f ms each, %.1f %% not answered\n\n", when(*f.MadeAt), f.Backlog, able, f.CallMS, 100*f.FailureShare); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(s.Stdout, "%-10s  %9s  %9s  %9s  %9s\n", "DAY", "DUE", "DEVICES", "DONE", "TOO LATE"); err != nil {
		return err
	}
	for _, d := range f.Days {
		if d.Due+d.Devices+d.Done+d.Missed == 0 {
			continue
		}
		if _, err := fmt.Fprintf(s.Stdout, "%-10s  %9d  %9d  %9d  %9d\n", d.Date, d.Due, d.Devices, d.Done, d.Missed); err != nil {
			return err
		}
	}
	if f.Message != "" {
		_, err := fmt.Fprintf(s.Stdout, "\n%s\nhint: %s\n", f.Message, f.Remedy)
		return err
	}
	return nil
}
