package console

import (
	"encoding/csv"
	"net/http"
	"strings"
	"time"
)

// csv sends a table page by page. write adds the rows of one page and gives the
// cursor of the next. A failure after the first byte cuts the connection, so
// that nobody takes half a file for a whole one.
func (v *visit) csv(name string, head []string, write func(*csv.Writer) (next string, err error)) error {
	v.startCSV(name)
	out := csv.NewWriter(v.w)
	err := out.Write(head)
	for next := "more"; err == nil && next != ""; {
		if next, err = write(out); err == nil {
			out.Flush()
			err = out.Error()
		}
	}
	if err != nil {
		return v.cut(err)
	}
	return nil
}

func (v *visit) startCSV(name string) {
	v.written = true
	v.w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	v.w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
}

func (v *visit) cut(err error) error {
	v.Log.Error("export was cut off", "route", v.route.pattern, "error", err)
	panic(http.ErrAbortHandler)
}

// cells makes texts safe for spreadsheets, which take what begins with one of
// these signs for a formula.
func cells(values ...string) []string {
	for i, s := range values {
		if s != "" && strings.ContainsAny(s[:1], "=+-@\t\r") {
			values[i] = "'" + s
		}
	}
	return values
}

func day(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
