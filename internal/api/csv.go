package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"chancery/internal/api/resource"
	"chancery/internal/inventory"
	"chancery/internal/ra"
)

// importInput is a CSV file and how to read it.
type importInput struct {
	Group   string   `query:"group_id" doc:"For rows without a group_id of their own."`
	Columns []string `query:"column" maxItems:"100" doc:"HEADING:field for a column that is called differently in the file, HEADING:- to leave it out; several separated by commas."`
	DryRun  bool     `query:"dry_run" doc:"Only tell what would happen."`
	RawBody []byte   `contentType:"text/csv"`
}

func (in *importInput) reader() io.Reader { return bytes.NewReader(in.RawBody) }

func (in *importInput) options() inventory.Import {
	o := inventory.Import{Group: ra.GroupID(in.Group), DryRun: in.DryRun, Columns: map[string]string{}}
	for _, c := range in.Columns {
		if i := strings.LastIndexByte(c, ':'); i >= 0 {
			o.Columns[c[:i]] = c[i+1:]
		}
	}
	return o
}

// taken is the answer to an import. What was stored before an error stays.
func taken(r *inventory.ImportResult, err error) (*body[resource.ImportReport], error) {
	if err != nil {
		e := *ra.AsError(err)
		if r != nil && r.Created+r.Updated > 0 {
			e.Remedy = strings.TrimSpace(fmt.Sprintf("%s %d rows before it are stored; importing the file again changes nothing about them.", e.Remedy, r.Created+r.Updated))
		}
		return nil, &e
	}
	out := &body[resource.ImportReport]{resource.ImportReport{Rows: r.Rows, Created: r.Created, Updated: r.Updated, Unchanged: r.Unchanged, Failed: r.Failed}}
	for _, f := range r.Faults {
		out.Body.Faults = append(out.Body.Faults, resource.ImportFault{Line: f.Line, Key: f.Key, Field: f.Err.Field, Message: f.Err.Message, Remedy: f.Err.Remedy})
	}
	return out, nil
}

// download is an answer that is written while it is made.
type download struct {
	Body func(huma.Context)
}

// csvFile answers with a CSV file. What goes wrong after the first byte cannot
// be told in the status any more: the connection is cut, so that nobody takes
// half a file for a whole one.
func (s *Server) csvFile(name string, write func(context.Context, io.Writer) error) *download {
	return &download{func(c huma.Context) {
		_, w := humago.Unwrap(c)
		w.Header().Set("Content-Type", "text/csv; charset=utf-8")
		w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
		if err := write(c.Context(), w); err != nil {
			s.Log.ErrorContext(c.Context(), "export was cut off", "file", name, "error", err)
			panic(http.ErrAbortHandler)
		}
	}}
}
