// Package report turns measurements into a page of Markdown: the goals with
// what was measured beside them, then one table per case, then the notes that
// say what a figure means and what was not equal. Nothing is left out of it: a
// goal that was missed is printed as MISS, and a case that broke is printed
// with its error. The same measurements give the same page.
package report

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// Report is one run of the benchmark.
type Report struct {
	Title    string
	Facts    [][2]string // of machine and programs, in order
	Goals    []Goal
	Sections []*Section
}

// Bound says on which side of its target a figure has to be.
type Bound string

// The bounds.
const (
	AtLeast Bound = ">="
	Below   Bound = "<"
	AtMost  Bound = "<="
)

// Goal is a target with what was measured.
type Goal struct {
	Name  string
	Bound Bound
	Want  float64
	Unit  string // printed behind both figures: "x", " ms", " %"
	Got   float64
	Err   error // the figure could not be had
}

// Met tells whether the goal was reached. The rounded figure that is printed
// decides nothing.
func (g Goal) Met() bool {
	switch {
	case g.Err != nil || math.IsNaN(g.Got):
		return false
	case g.Bound == AtLeast:
		return g.Got >= g.Want
	case g.Bound == Below:
		return g.Got < g.Want
	}
	return g.Got <= g.Want
}

func (g Goal) row() []string {
	got, verdict := Number(g.Got)+g.Unit, "MISS"
	if g.Err != nil {
		got = "error: " + g.Err.Error()
	}
	if g.Met() {
		verdict = "PASS"
	}
	return []string{g.Name, string(g.Bound) + " " + strconv.FormatFloat(g.Want, 'f', -1, 64) + g.Unit, got, verdict}
}

// Section is one case: a table with what there is to say about it.
type Section struct {
	Title   string
	Columns []string
	Rows    [][]string
	Notes   []string
	Err     error // why the case ended early
}

// Section begins a case.
func (r *Report) Section(title string, columns ...string) *Section {
	s := &Section{Title: title, Columns: columns}
	r.Sections = append(r.Sections, s)
	return s
}

// Goal notes a target with its figure.
func (r *Report) Goal(name string, got float64, bound Bound, want float64, unit string) {
	r.Goals = append(r.Goals, Goal{Name: name, Bound: bound, Want: want, Unit: unit, Got: got})
}

// Failed notes a case that broke, so that its goals do not go missing in
// silence.
func (r *Report) Failed(name string, err error) {
	r.Goals = append(r.Goals, Goal{Name: name, Bound: AtLeast, Want: 1, Unit: " whole run", Err: err})
}

// Missed counts the goals that were not reached.
func (r *Report) Missed() (n int) {
	for _, g := range r.Goals {
		if !g.Met() {
			n++
		}
	}
	return n
}

// Row adds a line: a name and its figures, already written.
func (s *Section) Row(cells ...string) { s.Rows = append(s.Rows, cells) }

// Note adds a remark below the table.
func (s *Section) Note(format string, args ...any) {
	s.Notes = append(s.Notes, fmt.Sprintf(format, args...))
}

// Write prints the page.
func (r *Report) Write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n", r.Title)
	table(&b, []string{"what", "is"}, pairs(r.Facts))
	if len(r.Goals) > 0 {
		b.WriteString("\n## Goals\n\n")
		rows := make([][]string, len(r.Goals))
		for i, g := range r.Goals {
			rows[i] = g.row()
		}
		table(&b, []string{"goal", "wanted", "measured", "verdict"}, rows)
	}
	for _, s := range r.Sections {
		fmt.Fprintf(&b, "\n## %s\n\n", s.Title)
		if len(s.Rows) > 0 {
			table(&b, s.Columns, s.Rows)
			b.WriteString("\n")
		}
		if s.Err != nil {
			fmt.Fprintf(&b, "The case ended early: %s\n\n", cell(s.Err.Error()))
		}
		for _, n := range s.Notes {
			fmt.Fprintf(&b, "- %s\n", n)
		}
	}
	_, err := io.WriteString(w, strings.TrimRight(b.String(), "\n")+"\n")
	return err
}

func pairs(facts [][2]string) [][]string {
	rows := make([][]string, len(facts))
	for i, f := range facts {
		rows[i] = f[:]
	}
	return rows
}

// table writes rows in columns of one width each, so that the page reads as
// well in a terminal. Columns of figures stand to the right.
func table(b *strings.Builder, head []string, rows [][]string) {
	widths, right := make([]int, len(head)), make([]bool, len(head))
	for i := range head {
		right[i] = figures(rows, i)
	}
	all := append([][]string{head}, rows...)
	for _, row := range all {
		for i := range head {
			if i < len(row) {
				widths[i] = max(widths[i], len([]rune(cell(row[i]))), 3)
			}
		}
	}
	line := func(row []string) {
		for i, width := range widths {
			text := ""
			if i < len(row) {
				text = cell(row[i])
			}
			gap := strings.Repeat(" ", width-len([]rune(text)))
			if right[i] {
				text, gap = gap+text, ""
			}
			b.WriteString("| " + text + gap + " ")
		}
		b.WriteString("|\n")
	}
	line(head)
	for i, width := range widths {
		if right[i] {
			b.WriteString("| " + strings.Repeat("-", width-1) + ": ")
		} else {
			b.WriteString("| " + strings.Repeat("-", width) + " ")
		}
	}
	b.WriteString("|\n")
	for _, row := range rows {
		line(row)
	}
}

// figures tells whether a column holds numbers, with or without a unit, and
// nothing else.
func figures(rows [][]string, column int) bool {
	any := false
	for _, row := range rows {
		if column >= len(row) || row[column] == "" {
			continue
		}
		number, _, _ := strings.Cut(row[column], " ")
		if _, err := strconv.ParseFloat(number, 64); err != nil && number != "-" {
			return false
		}
		any = true
	}
	return any
}

// cell keeps a text within its cell.
func cell(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "|", `\|`)
}

// Number writes a figure with three digits that count.
func Number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "-"
	case a >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}
