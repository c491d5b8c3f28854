package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

// authorityLists shows where relying parties find what an authority revoked.
func (p *Program) authorityLists() *cobra.Command {
	return p.verb("lists AUTHORITY", "Show the revocation lists that are signed here", "  chancery authority lists \"Issuing CA\"", cobra.ExactArgs(1), func(s *session, args []string) error {
		id, err := s.authorityID(args[0])
		if err != nil {
			return err
		}
		all, err := s.c.AuthorityLists(s.ctx, id)
		if err != nil {
			return err
		}
		if s.flags.output != "table" {
			return s.print(all)
		}
		for n, i := range all.Issuers {
			if n > 0 {
				fmt.Fprintln(s.Stdout)
			}
			fmt.Fprintf(s.Stdout, "%s\nOCSP %s\n", printable(i.Subject), i.OCSP)
			var rows [][]string
			for _, l := range i.Lists {
				part, number := "all", ""
				if l.Parts > 1 {
					part = fmt.Sprintf("%d of %d", l.Part, l.Parts)
				}
				if l.Number > 0 {
					number = fmt.Sprint(l.Number)
				}
				rows = append(rows, []string{part, l.State, number, when(l.ThisUpdate), when(l.NextUpdate), fmt.Sprint(l.Bytes), l.Address})
			}
			if err := s.table([]string{"PART", "STATE", "NUMBER", "MADE", "NEXT", "BYTES", "ADDRESS"}, rows, "No list was made yet."); err != nil {
				return err
			}
		}
		return nil
	})
}
