package inventory

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"chancery/internal/ra"
)

// Limits on one CSV file.
const (
	MaxImportRows  = 100_000
	MaxImportBytes = 64 << 20
)

// attributePrefix begins the columns that hold one attribute each.
const attributePrefix = "attribute."

// layout is what a CSV file of one kind of noun may hold.
type layout struct {
	key    string   // the column that must be there
	fields []string // columns that are read and written
	report []string // columns that are only written: for the reader's eyes
}

// row is one line of a file: the fields that have a column, by name.
type row struct {
	line  int
	cells map[string]string
	fault *ra.Error // the line cannot be read
}

// text gives a cell, nil when there is no such column.
func (r row) text(field string) *string {
	if v, ok := r.cells[field]; ok {
		return &v
	}
	return nil
}

// attributes gives what a row says about attributes, on top of those there
// are; nil when it says nothing.
func (r row) attributes(present map[string]string) (map[string]string, error) {
	var out map[string]string
	if raw, ok := r.cells["attributes"]; ok {
		out = map[string]string{}
		if strings.TrimSpace(raw) != "" {
			if err := json.Unmarshal([]byte(raw), &out); err != nil {
				return nil, ra.Errorf(ra.Invalid, "The attributes are not a JSON object of texts.").WithField("attributes").
					WithRemedy(`Write them as {"key":"value"}, or use a column attribute.KEY for each.`)
			}
		}
	}
	for _, field := range slices.Sorted(maps.Keys(r.cells)) {
		key, ok := strings.CutPrefix(field, attributePrefix)
		if !ok {
			continue
		}
		if out == nil {
			out = maps.Clone(present)
		}
		if out == nil {
			out = map[string]string{}
		}
		out[key] = r.cells[field]
	}
	return out, nil
}

// reader reads a CSV file line by line.
type reader struct {
	csv    *csv.Reader
	fields []string // by column; empty: left out
}

// openCSV reads the heading. Fields may be separated by comma, semicolon or
// tab, whichever the heading has most of. columns gives headings that are
// called differently their field, or "-" to leave a column out.
func openCSV(from io.Reader, l layout, columns map[string]string) (*reader, error) {
	b := bufio.NewReaderSize(&bounded{from: from, left: MaxImportBytes}, 64<<10)
	if start, err := b.Peek(3); err == nil && bytes.Equal(start, []byte("\xef\xbb\xbf")) {
		_, _ = b.Discard(3) // the three bytes are in the buffer
	}
	r := &reader{csv: csv.NewReader(b)}
	r.csv.Comma = separator(b)
	r.csv.ReuseRecord = true
	heading, err := r.csv.Read()
	if errors.Is(err, io.EOF) {
		return nil, ra.Errorf(ra.Invalid, "The file is empty.").WithField("file").WithRemedy("Begin it with a line that names the columns: %s.", strings.Join(l.fields, ", "))
	}
	if err != nil {
		return nil, unreadable(err)
	}
	r.fields, err = l.read(heading, columns)
	return r, err
}

func separator(b *bufio.Reader) rune {
	start, _ := b.Peek(4096) // fewer bytes are a short file
	line, _, _ := bytes.Cut(start, []byte("\n"))
	best := ','
	for _, c := range ";\t" {
		if bytes.Count(line, []byte(string(c))) > bytes.Count(line, []byte(string(best))) {
			best = c
		}
	}
	return best
}

// read finds out the field of each column.
func (l layout) read(heading []string, columns map[string]string) ([]string, error) {
	renamed := map[string]string{}
	for from, to := range columns {
		renamed[plain(from)] = to
	}
	var p ra.Problems
	fields := make([]string, len(heading))
	for i, name := range heading {
		if to, ok := renamed[plain(name)]; ok {
			name = to
		}
		field, ok := l.field(name)
		switch {
		case !ok:
			p.Add("columns", fmt.Sprintf("The column %.80q is not known.", name), "Use "+strings.Join(l.fields, ", ")+" or attribute.KEY, or leave the column out.")
		case field != "" && slices.Contains(fields, field):
			p.Add("columns", fmt.Sprintf("There are two columns for %s.", field), "Leave one of them out.")
		default:
			fields[i] = field
		}
	}
	if !slices.Contains(fields, l.key) {
		p.Add("columns", fmt.Sprintf("There is no column %s.", l.key), "Every line needs it: it tells what is meant.")
	}
	return fields, p.Err()
}

// field finds the field a heading means; the empty field is to be left out.
func (l layout) field(name string) (string, bool) {
	name = strings.TrimSpace(name)
	if len(name) > len(attributePrefix) && strings.EqualFold(name[:len(attributePrefix)], attributePrefix) {
		return attributePrefix + name[len(attributePrefix):], true
	}
	name = plain(name)
	if name == "-" || slices.Contains(l.report, name) {
		return "", true
	}
	return name, slices.Contains(l.fields, name)
}

// plain is how headings are compared: "First Name" is first_name.
func plain(heading string) string {
	if name := ra.Fold(heading); name != "-" {
		return strings.NewReplacer(" ", "_", "-", "_").Replace(name)
	}
	return "-"
}

// next gives the next line, io.EOF after the last one.
func (r *reader) next() (row, error) {
	record, err := r.csv.Read()
	var bad *csv.ParseError
	if errors.As(err, &bad) {
		return row{line: bad.StartLine, fault: lineFault(bad, len(record), len(r.fields))}, nil
	}
	if err != nil {
		return row{}, err
	}
	line, _ := r.csv.FieldPos(0)
	out := row{line: line, cells: make(map[string]string, len(r.fields))}
	for i, field := range r.fields {
		if field != "" {
			out.cells[field] = unguard(record[i])
		}
		if !utf8.ValidString(record[i]) || strings.Contains(record[i], "\x00") {
			out.fault = ra.Errorf(ra.Invalid, "The line is not text in UTF-8.").WithRemedy("Save the file as UTF-8.")
		}
	}
	return out, nil
}

func lineFault(bad *csv.ParseError, got, want int) *ra.Error {
	if errors.Is(bad, csv.ErrFieldCount) {
		return ra.Errorf(ra.Invalid, "The line has %d fields, the heading has %d.", got, want).WithRemedy("Put fields that hold the separator in quotation marks.")
	}
	return ra.Errorf(ra.Invalid, "A quotation mark is out of place.").WithRemedy("Double the quotation marks inside a field, and close each field.")
}

func unreadable(err error) error {
	if ra.KindOf(err) != ra.Internal {
		return err
	}
	return ra.Errorf(ra.Invalid, "The heading of the file cannot be read.").WithField("file").
		WithRemedy("Send a CSV file in UTF-8 whose first line names the columns.").WithCause(err)
}

// bounded fails a read past the largest file.
type bounded struct {
	from io.Reader
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	if b.left -= n; b.left < 0 {
		return 0, ra.Errorf(ra.TooLarge, "The file is larger than %d MiB.", MaxImportBytes>>20).WithField("file").WithRemedy("Split it into smaller files.")
	}
	return n, err
}

// Spreadsheet programs run a cell that begins like a formula. guard writes such
// a cell with an apostrophe before it, unguard takes that away again.
const formula = "=+-@\t\r'"

func guard(cell string) string {
	if cell != "" && strings.Contains(formula, cell[:1]) {
		return "'" + cell
	}
	return cell
}

func unguard(cell string) string {
	if len(cell) > 1 && cell[0] == '\'' && strings.Contains(formula, cell[1:2]) {
		return cell[1:]
	}
	return cell
}
