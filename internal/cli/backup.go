package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"chancery/internal/setting"
)

// BackupOrder says where a backup goes.
type BackupOrder struct {
	To       string    // file or folder; empty: Out
	Out      io.Writer // of a backup to standard output
	Force    bool
	Progress func(done, all int)
}

// Done is what came of either: a document for programs and lines for people.
type Done struct {
	Document any
	Lines    []string
}

func (p *Program) backup() *cobra.Command {
	force := false
	var server *pflag.FlagSet
	c := p.alone("backup FILE|FOLDER|-", "Make a backup of the database on this machine", "  chancery backup /var/backups\n  chancery backup monday.backup --data /var/lib/chancery\n  chancery backup - | age -r age1... > monday.backup.age", cobra.ExactArgs(1),
		func(c *cobra.Command, args []string) error {
			s := &session{Program: p, ctx: c.Context(), cmd: c}
			if _, err := p.configure(server); err != nil {
				return err
			}
			o := BackupOrder{To: args[0], Force: force}
			if args[0] == "-" {
				o.To, o.Out = "", p.Stdout
			}
			if p.Terminal {
				o.Progress = p.progress()
			}
			done, err := p.Backup(c.Context(), o)
			if err != nil {
				return err
			}
			return s.tell(done, o.Out != nil)
		})
	c.Long = "Make a backup of the database on this machine, whether or not the server runs:\nas it is at one instant, checked, with its checksum. The file holds no master\nkey: keep a copy of that in another place. For PostgreSQL it says what to run."
	c.Flags().BoolVar(&force, "force", false, "replace a file that is there")
	server = p.databaseFlags(c)
	return c
}

// databaseFlags adds the flags of the server that say where the database and
// its key are, and gives the set to configure from.
func (p *Program) databaseFlags(c *cobra.Command) *pflag.FlagSet {
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	setting.Flags(p.Config, all)
	for _, name := range []string{"database", "master-key"} {
		if f := all.Lookup(name); f != nil {
			c.Flags().AddFlag(f)
		}
	}
	return all
}

// tell prints what was done: on standard error when standard output carries
// something else.
func (s *session) tell(d Done, aside bool) error {
	if s.flags.output != "table" && !aside {
		return s.print(d.Document)
	}
	out := s.Stdout
	if aside {
		out = s.Stderr
	}
	for _, line := range d.Lines {
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	return nil
}

// progress shows on standard error how far a copy is, each second.
func (p *Program) progress() func(done, all int) {
	last := p.Now()
	return func(done, all int) {
		if now := p.Now(); now.Sub(last) >= time.Second && all > 0 {
			last = now
			fmt.Fprintf(p.Stderr, "copied %d %%\n", done*100/all)
		}
	}
}
