package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"chancery/internal/api/client"
	"chancery/internal/ra"
)

// contextBook is the file of known servers.
type contextBook struct {
	Current  string                 `json:"current,omitempty"`
	Contexts map[string]contextPage `json:"contexts"`
}

type contextPage struct {
	Server string `json:"server"`
	Token  string `json:"token"`
}

func (p *Program) loadContexts() (*contextBook, error) {
	book := &contextBook{Contexts: map[string]contextPage{}}
	b, err := os.ReadFile(p.Contexts)
	if errors.Is(err, fs.ErrNotExist) {
		return book, nil
	}
	if err == nil {
		err = json.Unmarshal(b, book)
	}
	if err != nil {
		return nil, ra.Errorf(ra.Invalid, "The file of contexts %s cannot be read.", p.Contexts).WithRemedy("Delete it and sign in again.").WithCause(err)
	}
	if book.Contexts == nil {
		book.Contexts = map[string]contextPage{}
	}
	return book, nil
}

// saveContexts replaces the file as a whole; only its owner may read it.
func (p *Program) saveContexts(book *contextBook) error {
	b, err := json.MarshalIndent(book, "", "  ")
	if err != nil {
		return err
	}
	failed := func(err error) error {
		return ra.Errorf(ra.Invalid, "The file of contexts %s cannot be written.", p.Contexts).WithRemedy("Check that you may write to its folder.").WithCause(err)
	}
	if err := os.MkdirAll(filepath.Dir(p.Contexts), 0o700); err != nil {
		return failed(err)
	}
	f, err := os.CreateTemp(filepath.Dir(p.Contexts), ".contexts-*") // made with mode 0600
	if err != nil {
		return failed(err)
	}
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), p.Contexts)
	}
	if err != nil {
		return failed(errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

func (p *Program) login() *cobra.Command {
	var name string
	c := p.alone("login URL", "Sign in to a server with an API token",
		"  chancery login https://pki.example.org\n  chancery login https://pki.example.org --name work < token.txt", cobra.ExactArgs(1),
		func(c *cobra.Command, args []string) error {
			base, err := serverAddress(args[0])
			if err != nil {
				return err
			}
			token, err := p.askSecret(p.or(p.flags.tokenFile, "TOKEN_FILE"), "token")
			if err != nil {
				return err
			}
			me, err := (&client.Client{HTTP: httpClient(), Base: base, Token: token}).Me(c.Context())
			if err != nil {
				return err
			}
			book, err := p.loadContexts()
			if err != nil {
				return err
			}
			if name == "" {
				u, err := url.Parse(base)
				if err != nil {
					return err
				}
				name = u.Host
			}
			book.Contexts[name], book.Current = contextPage{Server: base, Token: token.Reveal()}, name
			if err := p.saveContexts(book); err != nil {
				return err
			}
			_, err = fmt.Fprintf(p.Stdout, "Signed in to %s as %s; the context %q is selected.\n", base, me.Name, name)
			return err
		})
	c.Long = "Sign in to a server with an API token, which is read from a prompt, from\n--token-file, or from standard input, and remembered in a file that only you\ncan read. Someone with the right to makes it: chancery token create NAME."
	c.Flags().StringVar(&name, "name", "", "what to call it; the host when left out")
	return c
}

func (p *Program) contexts() *cobra.Command {
	list := p.alone("list", "List the servers that login remembered", "", cobra.NoArgs, func(*cobra.Command, []string) error {
		book, err := p.loadContexts()
		if err != nil {
			return err
		}
		rows := [][]string{}
		for _, name := range slices.Sorted(maps.Keys(book.Contexts)) {
			mark := ""
			if name == book.Current {
				mark = "*"
			}
			rows = append(rows, []string{mark, name, book.Contexts[name].Server})
		}
		return p.table([]string{"", "NAME", "SERVER"}, rows, "No server is remembered, so commands work on the data folder here. Sign in with: chancery login URL")
	})
	pick := p.alone("select NAME", "Work with a remembered server from now on", "", cobra.ExactArgs(1), func(_ *cobra.Command, args []string) error {
		return p.changeContexts(args[0], func(book *contextBook) { book.Current = args[0] })
	})
	local := p.alone("local", "Work on the data folder here from now on", "", cobra.NoArgs, func(*cobra.Command, []string) error {
		return p.changeContexts("", func(book *contextBook) { book.Current = "" })
	})
	remove := p.alone("remove NAME", "Forget a server and its token", "", cobra.ExactArgs(1), func(_ *cobra.Command, args []string) error {
		return p.changeContexts(args[0], func(book *contextBook) {
			delete(book.Contexts, args[0])
			if book.Current == args[0] {
				book.Current = ""
			}
		})
	})
	return noun("context", "Choose between servers", list, pick, local, remove)
}

func (p *Program) changeContexts(name string, change func(*contextBook)) error {
	book, err := p.loadContexts()
	if err != nil {
		return err
	}
	if _, ok := book.Contexts[name]; !ok && name != "" {
		return ra.Errorf(ra.NotFound, "There is no context %q.", name).WithRemedy("See chancery context list.")
	}
	change(book)
	return p.saveContexts(book)
}
