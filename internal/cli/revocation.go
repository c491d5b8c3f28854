package cli

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"chancery/internal/api/resource"
)

// revocations are those of many certificates at once, done in the background.
func (p *Program) revocations() *cobra.Command {
	list := p.list("List the revocations of many", "  chancery revocation list", func(*pflag.FlagSet) {}, func(s *session, l *listing) error {
		return show(s, l, func(resource.PageQuery) (resource.Page[resource.Revocation], error) { return s.c.Revocations(s.ctx) },
			[]column[resource.Revocation]{{"ID", func(r resource.Revocation) string { return r.ID }}, {"STATE", func(r resource.Revocation) string { return r.State }},
				{"DONE", func(r resource.Revocation) string {
					return fmt.Sprintf("%d of %d", r.Revoked+r.Skipped+r.Failed, r.Total)
				}},
				{"FAILED", func(r resource.Revocation) string { return fmt.Sprint(r.Failed) }}, {"REASON", func(r resource.Revocation) string { return r.Reason }},
				{"BY", func(r resource.Revocation) string { return r.OrderBy }}, {"ORDERED", func(r resource.Revocation) string { return when(r.Created) }}},
			"Nobody has revoked many at once. Order it with: chancery revocation order --template TEMPLATE")
	})
	one := p.verb("show REVOCATION", "Tell how far a revocation of many has come", "  chancery revocation show blk_…", cobra.ExactArgs(1), func(s *session, args []string) error {
		r, err := s.c.Revocation(s.ctx, args[0])
		if err != nil {
			return err
		}
		return s.showRevocation(r)
	})
	c := noun("revocation", "Revocations of many certificates at once", list, one, p.orderRevocation())
	c.Aliases = []string{"revocations"}
	return c
}

func (p *Program) orderRevocation() *cobra.Command {
	var in resource.RevocationOrder
	var within string
	c := p.verb("order", "Revoke everything a filter finds, in the background", "  chancery revocation order --template \"User VPN\" --reason cessationOfOperation --dry-run", cobra.NoArgs, func(s *session, _ []string) error {
		if err := s.readFilter(&in.Filter, within); err != nil {
			return err
		}
		look := in
		look.DryRun = true
		plan, err := s.c.OrderRevocation(s.ctx, look)
		if err != nil {
			return err
		}
		if in.DryRun {
			return s.showRevocation(plan)
		}
		if err := s.confirm("Revoke %d certificates for good?", plan.Total); err != nil {
			return err
		}
		r, err := s.c.OrderRevocation(s.ctx, in)
		if err != nil {
			return err
		}
		return s.showRevocation(r)
	})
	f := c.Flags()
	certificateFilter(f, &in.Filter, &within)
	f.StringVar(&in.Reason, "reason", "", "unspecified, keyCompromise, affiliationChanged, superseded, cessationOfOperation, privilegeWithdrawn, ...")
	f.StringVar(&in.Comment, "comment", "", "for the record")
	f.BoolVar(&in.DryRun, "dry-run", false, "only count what would be revoked")
	return c
}

func (s *session) showRevocation(r resource.Revocation) error {
	lines := []fact{{"revocation", r.ID}, {"state", r.State}, {"found", fmt.Sprint(r.Total)}, {"revoked", fmt.Sprint(r.Revoked)}, {"left alone", fmt.Sprint(r.Skipped)},
		{"failed", fmt.Sprint(r.Failed)}, {"reason", r.Reason}, {"ordered by", r.OrderBy}}
	for _, f := range r.Failures {
		lines = append(lines, fact{"not revoked", f.ID + " " + f.Title + ": " + f.Message + " " + f.Remedy})
	}
	return s.facts(r, lines...)
}
