package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func (p *Program) export() *cobra.Command {
	c := p.verb("export [KIND...]", "Write how things are as documents for apply", "  chancery export > everything.yaml\n  chancery export template endpoint > templates.yaml\n  chancery export | chancery apply --diff -f -", cobra.ArbitraryArgs,
		func(s *session, args []string) error {
			kinds, err := readKinds(args)
			if err != nil {
				return err
			}
			l, err := s.survey(closure(kinds))
			if err != nil {
				return err
			}
			l.docs = slices.DeleteFunc(l.docs, func(d document) bool { return !kinds[d.text("kind")] })
			if s.flags.output == "json" {
				return s.print(l.docs)
			}
			for i, d := range l.docs {
				b, err := d.asYAML()
				if err != nil {
					return err
				}
				if i > 0 {
					b = append([]byte("---\n"), b...)
				}
				if _, err := s.Stdout.Write(b); err != nil {
					return err
				}
			}
			return nil
		})
	c.Long = "Write how things are as YAML documents, or as a JSON list with -o json. Without a\nKIND everything is written: group, directory, key-service, authority, template, import,\nendpoint, user, device and administrator. References are names. Secrets stay where they are: {set: true}\nkeeps them when the document is applied."
	return c
}

// readKinds reads kinds of documents, in the singular or the plural; none means
// all.
func readKinds(args []string) (map[string]bool, error) {
	out := map[string]bool{}
	if len(args) == 0 {
		args = documentKinds
	}
	for _, a := range args {
		kind := strings.TrimSuffix(a, "s")
		switch a {
		case "authorities":
			kind = "authority"
		case "directories":
			kind = "directory"
		case "admin", "admins":
			kind = "administrator"
		}
		if !slices.Contains(documentKinds, kind) {
			return nil, wrongCall("There is no kind of document "+a+".", "Use any of "+strings.Join(documentKinds, ", ")+".")
		}
		out[kind] = true
	}
	return out, nil
}
