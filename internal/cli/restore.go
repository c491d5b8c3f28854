package cli

import (
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// RestoreOrder says what is put back.
type RestoreOrder struct {
	From    string // file, "-" for In, or empty when the database is back already
	In      io.Reader
	Replace bool
}

func (p *Program) restore() *cobra.Command {
	replace := false
	var server *pflag.FlagSet
	c := p.alone("restore [FILE]", "Put a backup back, or settle a database that was put back", "  chancery restore monday.backup --data /var/lib/chancery --master-key master.key\n  chancery restore --database postgres://chancery@db/chancery      after pg_restore", cobra.MaximumNArgs(1),
		func(c *cobra.Command, args []string) error {
			s := &session{Program: p, ctx: c.Context(), cmd: c}
			if _, err := p.configure(server); err != nil {
				return err
			}
			o := RestoreOrder{Replace: replace}
			switch {
			case len(args) == 0:
				if err := s.confirm("End every open challenge, link and session, because the database was put back?"); err != nil {
					return err
				}
			case args[0] == "-":
				o.In = p.Stdin
				fallthrough
			default:
				o.From = args[0]
				if replace {
					if err := s.confirm("Put the backup %s in the place of the present database?", args[0]); err != nil {
						return err
					}
				}
			}
			done, err := p.Restore(c.Context(), o)
			if err != nil {
				return err
			}
			return s.tell(done, false)
		})
	c.Long = "Put a backup back into a data folder that holds no database, while no server\nruns on it: checksum, schema, master key and audit log are checked first.\n\nAfterwards, and without FILE for a database that came back by other means,\neverything that works once and may have been used since is ended, revocation\nlists go on above every number that was published, and requests that were under\nway are looked up before anything is issued again."
	c.Flags().BoolVar(&replace, "replace", false, "move a database that is there aside")
	server = p.databaseFlags(c)
	return c
}
