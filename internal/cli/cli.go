// Package cli is the command line: noun, then verb. Every command is a call or
// two of api/client and a table, so whatever it does, a program can do.
//
// Where it talks to is decided in one place (connect.go): a server named by
// --server or by a context that login stored, or else the data folder on this
// machine, without a login. What it prints is a table for people, or the API's
// own JSON or YAML with -o. What goes wrong takes two lines, error and hint,
// and an exit code by kind (exit.go). Secrets come from files, standard input
// or a prompt, never from an argument.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chancery/internal/ra"
	"chancery/internal/setting"
)

// Program is the command line as a value. The fields say what it reaches of
// the world and of the program's other halves.
type Program struct {
	Version string
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	// LookupEnv is os.LookupEnv or a stand-in.
	LookupEnv func(string) (string, bool)
	// Contexts is the path of the file that remembers servers and tokens.
	Contexts string
	Now      func() time.Time
	// Terminal reports whether a person can be asked; ReadPassword then asks
	// for a secret without showing it.
	Terminal     bool
	ReadPassword func(prompt string) (string, error)

	// Config describes the configuration of the server; it is filled before
	// Serve, Quickstart and Local are called.
	Config setting.Describer
	// Serve runs the server until the context ends.
	Serve func(ctx context.Context) error
	// Quickstart runs the quick start; with exit it ends by itself.
	Quickstart func(ctx context.Context, exit bool) error
	// Backup and Restore save and put back the database that the configuration
	// names.
	Backup  func(ctx context.Context, o BackupOrder) (Done, error)
	Restore func(ctx context.Context, o RestoreOrder) (Done, error)
	// Local reaches the API on this machine without a login: an HTTP client,
	// the base address, and what ends it.
	Local func(ctx context.Context) (*http.Client, string, func() error, error)

	flags struct {
		server, tokenFile, context, data, config, output string
		yes                                              bool
	}
	root  *cobra.Command
	ran   error // what a command itself returned, as opposed to a wrong call
	taken bool  // standard input has been read
}

// Run runs one command line, without the program's name, and gives the exit
// code.
func (p *Program) Run(ctx context.Context, args []string) int {
	p.root = p.command()
	p.root.SetArgs(args)
	p.ran = nil
	err := p.root.ExecuteContext(ctx)
	if err == nil {
		return codeOK
	}
	var quiet *exit
	if errors.As(err, &quiet) {
		return quiet.code
	}
	if p.ran == nil {
		err = usage(err)
	}
	p.complain(err)
	return codeOf(err)
}

// command builds the tree of commands.
func (p *Program) command() *cobra.Command {
	root := &cobra.Command{
		Use: "chancery", Short: "A registration authority for the certificates of devices, users and services",
		Long: "Chancery asks certificate authorities for certificates, hands them to devices,\nrenews them in time, and keeps the record.",
		Example: "  chancery quickstart                        a certificate in a minute, on this machine\n" +
			"  chancery serve                             run the server\n" +
			"  chancery login https://pki.example.org     work with a server elsewhere\n" +
			"  chancery certificate list --state valid    what is in use\n" +
			"  chancery doctor                            what is wrong, and what to do",
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: false},
	}
	root.SetIn(p.Stdin)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	root.SetUsageTemplate(usageTemplate)
	root.SetHelpTemplate("{{with or .Long .Short}}{{. | trimTrailingWhitespaces}}\n\n{{end}}{{.UsageString}}")
	f := root.PersistentFlags()
	f.StringVar(&p.flags.server, "server", "", "address of a server elsewhere (CHANCERY_SERVER)")
	f.StringVar(&p.flags.tokenFile, "token-file", "", `file with the token for --server, "-" for standard input (CHANCERY_TOKEN_FILE)`)
	f.StringVar(&p.flags.context, "context", "", "server remembered by login (CHANCERY_CONTEXT)")
	f.StringVar(&p.flags.data, "data", "", "data folder on this machine (CHANCERY_DATA)")
	f.StringVar(&p.flags.config, "config", "", "configuration file of the server on this machine (CHANCERY_CONFIG)")
	f.StringVarP(&p.flags.output, "output", "o", "table", "table, json or yaml")
	f.BoolVarP(&p.flags.yes, "yes", "y", false, "do not ask before something is lost")
	root.AddGroup(&cobra.Group{ID: groupThings, Title: "Things:"}, &cobra.Group{ID: groupServer, Title: "Server:"}, &cobra.Group{ID: groupDocuments, Title: "Documents:"})
	for _, c := range []*cobra.Command{p.certificates(), p.requests(), p.devices(), p.users(), p.groups(), p.directories(), p.authorities(), p.keyServices(), p.templates(), p.endpoints(),
		p.challenges(), p.passes(), p.traces(), p.revocations(), p.differences(), p.obligations(), p.audits(), p.admins(), p.tokens()} {
		c.GroupID = groupThings
		root.AddCommand(c)
	}
	for _, c := range []*cobra.Command{p.serve(), p.quickstart(), p.doctor(), p.status(), p.backup(), p.restore(), p.masterKeys(), p.login(), p.contexts(), p.version()} {
		c.GroupID = groupServer
		root.AddCommand(c)
	}
	for _, c := range []*cobra.Command{p.apply(), p.export()} {
		c.GroupID = groupDocuments
		root.AddCommand(c)
	}
	return root
}

const (
	groupThings    = "things"
	groupServer    = "server"
	groupDocuments = "documents"
)

// noun is a command that only holds verbs.
func noun(name, about string, verbs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: name, Short: about, RunE: func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return fmt.Errorf("unknown command %q for %q", args[0], c.CommandPath())
		}
		return c.Help()
	}}
	c.AddCommand(verbs...)
	return c
}

// verb makes a command that works with a server.
func (p *Program) verb(use, about, example string, args cobra.PositionalArgs, run func(*session, []string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: about, Example: example, Args: counted(args), RunE: func(c *cobra.Command, args []string) error {
		p.ran = func() error {
			s, err := p.connect(c)
			if err != nil {
				return err
			}
			return errors.Join(run(s, args), s.close())
		}()
		return p.ran
	}}
}

// alone makes a command that needs no server.
func (p *Program) alone(use, about, example string, args cobra.PositionalArgs, run func(*cobra.Command, []string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: about, Example: example, Args: counted(args), RunE: func(c *cobra.Command, args []string) error {
		p.ran = run(c, args)
		return p.ran
	}}
}

// counted says how a command is called when there are too few or too many
// arguments.
func counted(args cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, given []string) error {
		if args == nil || args(c, given) == nil {
			return nil
		}
		_, names, _ := strings.Cut(c.Use, " ")
		if names == "" {
			return wrongCall(fmt.Sprintf("%s takes no %q.", c.CommandPath(), given[0]), "Leave it out.")
		}
		return wrongCall("This is not all that has to be said, or too much.", "Write: "+c.CommandPath()+" "+names)
	}
}

func (p *Program) version() *cobra.Command {
	return p.alone("version", "Print the version", "", cobra.NoArgs, func(*cobra.Command, []string) error {
		_, err := fmt.Fprintln(p.Stdout, p.Version)
		return err
	})
}

// complain prints an error as two lines: what is wrong, and what to do.
func (p *Program) complain(err error) {
	e := ra.AsError(err)
	message := e.Message
	if e.Kind == ra.Invalid && e.Field != "" && !strings.Contains(message, e.Field) {
		message = strings.TrimSuffix(message, ".") + " (" + e.Field + ")."
	}
	fmt.Fprintf(p.Stderr, "error: %s\n", message)
	if e.Kind == ra.Internal && e.Err != nil {
		fmt.Fprintf(p.Stderr, "  %v\n", e.Err)
	}
	for _, d := range e.Details {
		fmt.Fprintf(p.Stderr, "  %s: %s", d.Field, d.Message)
		if d.Remedy != "" {
			fmt.Fprintf(p.Stderr, " %s", d.Remedy)
		}
		fmt.Fprintln(p.Stderr)
	}
	if e.Remedy != "" {
		fmt.Fprintf(p.Stderr, "hint: %s\n", e.Remedy)
	}
}

const usageTemplate = `{{if .HasExample}}Examples:
{{.Example}}

{{end}}Usage:{{if .Runnable}}{{if not .HasAvailableSubCommands}}
  {{.UseLine}}{{end}}{{end}}{{if .HasAvailableSubCommands}}
  {{.CommandPath}} COMMAND{{end}}{{if gt (len .Aliases) 0}}

Also called:
  {{.NameAndAliases}}{{end}}{{if .HasAvailableSubCommands}}{{$cmds := .Commands}}{{if eq (len .Groups) 0}}

Commands:{{range $cmds}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{else}}{{range $group := .Groups}}

{{.Title}}{{range $cmds}}{{if and (eq .GroupID $group.ID) .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}

Other:{{range $cmds}}{{if and (eq .GroupID "") (or .IsAvailableCommand (eq .Name "help"))}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableInheritedFlags}}

Everywhere:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if not .HasParent}}

` + exitHelp + `{{end}}{{if .HasAvailableSubCommands}}

"{{.CommandPath}} COMMAND --help" tells more about a command.{{end}}
`
