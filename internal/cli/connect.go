package cli

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"chancery/internal/api/client"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/setting"
)

// session is one command at work: where it talks to and how it answers.
type session struct {
	*Program
	ctx   context.Context // of the one command
	cmd   *cobra.Command
	c     *client.Client
	close func() error
	names names
}

// replyWithin bounds one call; a test of an authority may take long.
const replyWithin = 15 * time.Minute

// connect decides where a command talks to: --server, then --context, then the
// folder of --data, then the selected context, then the data folder that
// configuration names.
func (p *Program) connect(cmd *cobra.Command) (*session, error) {
	switch p.flags.output {
	case "table", "json", "yaml":
	default:
		return nil, wrongCall("The output "+p.flags.output+" is not known.", "Use -o table, json or yaml.")
	}
	s := &session{Program: p, ctx: cmd.Context(), cmd: cmd, close: func() error { return nil }}
	if server := p.or(p.flags.server, "SERVER"); server != "" {
		return s, s.remote(server)
	}
	book, err := p.loadContexts()
	if err != nil {
		return nil, err
	}
	name := p.or(p.flags.context, "CONTEXT")
	if name == "" && p.flags.data == "" {
		name = book.Current
	}
	if name == "" {
		return s, s.local()
	}
	known, ok := book.Contexts[name]
	if !ok {
		return nil, ra.Errorf(ra.NotFound, "There is no context %q.", name).WithRemedy("See chancery context list, or sign in with chancery login URL.")
	}
	s.c = &client.Client{HTTP: httpClient(), Base: known.Server, Token: secret.New(known.Token)}
	return s, nil
}

// or gives a flag, or else the environment variable that stands for it.
func (p *Program) or(flag, variable string) string {
	if flag != "" {
		return flag
	}
	v, _ := p.LookupEnv("CHANCERY_" + variable)
	return v
}

func httpClient() *http.Client {
	return &http.Client{Timeout: replyWithin, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// remote talks to a named server, with the token of a file or the one that a
// context remembers for that server.
func (s *session) remote(server string) error {
	base, err := serverAddress(server)
	if err != nil {
		return err
	}
	s.c = &client.Client{HTTP: httpClient(), Base: base}
	if path := s.or(s.flags.tokenFile, "TOKEN_FILE"); path != "" {
		s.c.Token, err = s.secretFile(path, "token")
		return err
	}
	book, err := s.loadContexts()
	if err != nil {
		return err
	}
	for _, known := range book.Contexts {
		if known.Server == base {
			s.c.Token = secret.New(known.Token)
			return nil
		}
	}
	return ra.Errorf(ra.Unsigned, "There is no token for %s.", base).WithRemedy("Sign in with chancery login %s, or name a file with --token-file.", base)
}

// serverAddress reads the address of a server. Plain HTTP would show the token
// to everybody in between, so it is for this machine only.
func serverAddress(text string) (string, error) {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return "", ra.Errorf(ra.Invalid, "The address of the server is not understood.").WithField("server").WithRemedy("Write it as https://HOST or https://HOST:PORT.")
	}
	host := u.Hostname()
	if u.Scheme == "http" && host != "localhost" && host != "127.0.0.1" && host != "::1" {
		return "", ra.Errorf(ra.Invalid, "A token is not sent to another machine in clear.").WithField("server").WithRemedy("Use https://%s.", u.Host)
	}
	return u.Scheme + "://" + u.Host, nil
}

// local talks to the data folder on this machine.
func (s *session) local() error {
	if _, err := s.configure(nil); err != nil {
		return err
	}
	h, base, done, err := s.Local(s.ctx)
	if err != nil {
		return err
	}
	s.c, s.close = &client.Client{HTTP: h, Base: base}, done
	return nil
}

// configure fills the server's configuration from file, environment and flags.
// flags are those of a command that has them all; other commands know --data.
func (p *Program) configure(flags *pflag.FlagSet) ([]setting.Effective, error) {
	if flags == nil {
		flags = pflag.NewFlagSet("", pflag.ContinueOnError)
		setting.Flags(p.Config, flags)
	}
	if p.flags.data != "" && !flags.Changed("data") {
		if err := flags.Set("data", p.flags.data); err != nil {
			return nil, err
		}
	}
	return setting.Configure(p.Config, setting.Sources{File: p.or(p.flags.config, "CONFIG"), Prefix: "CHANCERY_", LookupEnv: p.serverEnv, Flags: flags, Stdin: p.Stdin})
}

// serverEnv hides the variables that are the command line's own.
func (p *Program) serverEnv(name string) (string, bool) {
	switch name {
	case "CHANCERY_SERVER", "CHANCERY_TOKEN_FILE", "CHANCERY_CONTEXT", "CHANCERY_CONFIG":
		return "", false
	}
	return p.LookupEnv(name)
}

// maxSecret bounds a secret from a file, in bytes.
const maxSecret = 64 << 10

// secretFile reads a secret from a file; "-" is standard input.
func (p *Program) secretFile(path, what string) (secret.Text, error) {
	var b []byte
	var err error
	if path == "-" {
		b, err = p.stdin()
	} else {
		b, err = readFile(path, maxSecret)
	}
	if err != nil {
		return secret.Text{}, err
	}
	text := strings.TrimRight(string(b), "\r\n")
	if text == "" {
		return secret.Text{}, ra.Errorf(ra.Invalid, "There is no %s to read: the file is empty.", what).WithRemedy("Write it into the file, or pass it on standard input.")
	}
	return secret.New(text), nil
}

// askSecret reads a secret from a file when one is named, else from a prompt,
// else from standard input.
func (p *Program) askSecret(path, what string) (secret.Text, error) {
	if path == "" && p.Terminal {
		text, err := p.ReadPassword(strings.ToUpper(what[:1]) + what[1:] + ": ")
		if err != nil {
			return secret.Text{}, err
		}
		if text = strings.TrimSpace(text); text == "" {
			return secret.Text{}, wrongCall("There is no "+what+".", "Type it at the prompt, or pass it on standard input.")
		}
		return secret.New(text), nil
	}
	if path == "" {
		path = "-"
	}
	return p.secretFile(path, what)
}

// stdin reads standard input, which one thing only may do.
func (p *Program) stdin() ([]byte, error) {
	if p.taken {
		return nil, wrongCall("Standard input can be read for one thing only.", "Put the others into files.")
	}
	p.taken = true
	return io.ReadAll(io.LimitReader(p.Stdin, maxDocuments+1))
}

// readFile reads a file of at most a size.
func readFile(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, ra.Errorf(ra.Invalid, "The file %s cannot be read.", path).WithRemedy("Check that it exists and that you may read it.").WithCause(err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, ra.Errorf(ra.Invalid, "The file %s cannot be read.", path).WithRemedy("Check that it is a file and that you may read it.").WithCause(err)
	}
	if int64(len(b)) > most {
		return nil, ra.Errorf(ra.TooLarge, "The file %s is larger than %d KiB.", path, most>>10).WithRemedy("Check that it is the right file.")
	}
	return b, nil
}

// input reads a file, or standard input for "-".
func (p *Program) input(path string, most int64) ([]byte, error) {
	if path == "-" {
		return p.stdin()
	}
	return readFile(path, most)
}
