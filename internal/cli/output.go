package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"gopkg.in/yaml.v3"

	"chancery/internal/api/client"
	"chancery/internal/api/resource"
	"chancery/internal/ra"
)

// table prints rows under headings, or where there are none, what to do next.
func (p *Program) table(headings []string, rows [][]string, empty string) error {
	if len(rows) == 0 {
		_, err := fmt.Fprintln(p.Stdout, empty)
		return err
	}
	w := tabwriter.NewWriter(p.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(headings, "\t"))
	for _, r := range rows {
		for i, cell := range r {
			r[i] = printable(cell)
		}
		fmt.Fprintln(w, strings.TrimRight(strings.Join(r, "\t"), "\t"))
	}
	return w.Flush()
}

// printable keeps what came from devices from steering a terminal.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
	if s == "" {
		return "-"
	}
	return s
}

// print writes a value as JSON or YAML.
func (p *Program) print(v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if p.flags.output == "yaml" {
		if b, err = toYAML(b); err != nil {
			return err
		}
	} else {
		b = append(b, '\n')
	}
	_, err = p.Stdout.Write(b)
	return err
}

// toYAML writes JSON as YAML in the same order.
func toYAML(raw []byte) ([]byte, error) {
	var n yaml.Node
	if err := yaml.Unmarshal(raw, &n); err != nil {
		return nil, err
	}
	blockStyle(&n)
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(&n); err != nil {
		return nil, err
	}
	return b.Bytes(), e.Close()
}

func blockStyle(n *yaml.Node) {
	n.Style = 0
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
		if strings.Contains(n.Value, "\n") {
			n.Style = yaml.LiteralStyle
		} else if plain := (yaml.Node{Kind: yaml.ScalarNode, Value: n.Value}); plain.ShortTag() != "!!str" {
			n.Style = yaml.DoubleQuotedStyle
		}
	}
	for _, c := range n.Content {
		blockStyle(c)
	}
}

// column is one column of a list.
type column[T any] struct {
	title string
	text  func(T) string
}

// listing is the flags every list has.
type listing struct {
	limit int
	sort  string
}

func (l *listing) page(after string) resource.PageQuery {
	q := resource.PageQuery{After: after, Sort: l.sort, Limit: 500}
	if l.limit > 0 && l.limit < q.Limit {
		q.Limit = l.limit
	}
	return q
}

// show prints a list: as many items as were asked for.
func show[T any](s *session, l *listing, fetch func(resource.PageQuery) (resource.Page[T], error), columns []column[T], empty string) error {
	items := []T{}
	more := false
	for item, err := range client.All(func(after string) (resource.Page[T], error) { return fetch(l.page(after)) }) {
		if err != nil {
			return err
		}
		if l.limit > 0 && len(items) == l.limit {
			more = true
			break
		}
		items = append(items, item)
	}
	if more {
		defer fmt.Fprintf(s.Stderr, "Only the first %d are shown; --limit 0 shows all.\n", l.limit)
	}
	if s.flags.output != "table" {
		return s.print(items)
	}
	headings := make([]string, len(columns))
	for i, c := range columns {
		headings[i] = c.title
	}
	rows := make([][]string, len(items))
	for i, item := range items {
		for _, c := range columns {
			rows[i] = append(rows[i], c.text(item))
		}
	}
	return s.table(headings, rows, empty)
}

// fact is one line about a thing.
type fact struct{ name, value string }

// facts prints what there is to say about one thing; what is empty is left out.
func (s *session) facts(v any, lines ...fact) error {
	if s.flags.output != "table" {
		return s.print(v)
	}
	w := tabwriter.NewWriter(s.Stdout, 0, 0, 2, ' ', 0)
	for _, f := range lines {
		if f.value != "" {
			fmt.Fprintf(w, "%s\t%s\n", f.name, printable(f.value))
		}
	}
	return w.Flush()
}

// say prints a sentence about what was done; in JSON and YAML the thing itself
// is printed instead.
func (s *session) say(v any, format string, args ...any) error {
	if s.flags.output != "table" && v != nil {
		return s.print(v)
	}
	_, err := fmt.Fprintf(s.Stdout, format+"\n", args...)
	return err
}

// confirm asks before something is lost.
func (s *session) confirm(format string, args ...any) error {
	if s.flags.yes {
		return nil
	}
	question := fmt.Sprintf(format, args...)
	if !s.Terminal {
		return wrongCall(question+" Nobody is here to be asked.", "Add --yes to go on without being asked.")
	}
	fmt.Fprintf(s.Stderr, "%s [y/N] ", question)
	answer, err := readLine(s.Stdin)
	if err != nil {
		return err
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return ra.Errorf(ra.Conflict, "Nothing was done.").WithRemedy("Answer y to go on.")
	}
	return nil
}

// readLine reads one line and not a byte more.
func readLine(r io.Reader) (string, error) {
	var line []byte
	for b := make([]byte, 1); ; {
		n, err := r.Read(b)
		if n == 1 {
			if b[0] == '\n' || len(line) > 1000 {
				return string(line), nil
			}
			line = append(line, b[0])
		}
		if err == io.EOF {
			return string(line), nil
		}
		if err != nil {
			return "", err
		}
	}
}

// when writes a time for people, in UTC.
func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04")
}

// day writes a date.
func day(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}

// yes writes a switch, nothing for one that is off.
func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

// next says what happens next to something.
func next(o resource.Obligation) string {
	if o.Action == "" {
		return ""
	}
	return o.Action + " " + day(o.At)
}

// roles writes grants: owner, or viewer@Sales.
func (s *session) roles(grants []resource.Grant) string {
	var out []string
	for _, g := range grants {
		text := g.Role
		if g.Group != "" {
			text += "@" + s.groupName(g.Group)
		}
		out = append(out, text)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}
