package console

import (
	"net/http"
	"strings"

	"chancery/internal/ra"
)

// statuses is the console's table from error kinds to HTTP.
var statuses = map[ra.Kind]int{
	ra.NotFound:    http.StatusNotFound,
	ra.Denied:      http.StatusForbidden,
	ra.Unsigned:    http.StatusUnauthorized,
	ra.Invalid:     http.StatusUnprocessableEntity,
	ra.RefusedByCA: http.StatusBadGateway,
	ra.Unreachable: http.StatusServiceUnavailable,
	ra.Conflict:    http.StatusConflict,
	ra.TooLarge:    http.StatusRequestEntityTooLarge,
	ra.Busy:        http.StatusTooManyRequests,
	ra.Internal:    http.StatusInternalServerError,
}

// faultTitles are the headings of error pages.
var faultTitles = map[ra.Kind]string{
	ra.NotFound:    "Not found",
	ra.Denied:      "Not allowed",
	ra.Unsigned:    "Please sign in",
	ra.Invalid:     "That cannot be used",
	ra.RefusedByCA: "The authority refused",
	ra.Unreachable: "Not reachable",
	ra.Conflict:    "Not possible now",
	ra.TooLarge:    "Too large",
	ra.Busy:        "Too many at once",
	ra.Internal:    "Something went wrong",
}

func statusOf(err error) int {
	if err == nil {
		return http.StatusOK
	}
	return statuses[ra.KindOf(err)]
}

// trouble is an error as a page shows it.
type trouble struct {
	Message   string
	Remedy    string
	Reference string // of an internal error, also in the log
	Field     string // ID of the input it is about, to link to
	More      []trouble
}

// trouble turns an error into what a person may see. An internal one is logged
// here under the reference that is shown.
func (v *visit) trouble(err error) *trouble {
	if err == nil {
		return nil
	}
	e := ra.AsError(err)
	t := &trouble{Message: e.Message, Remedy: e.Remedy}
	if e.Kind == ra.Internal {
		t.Reference = v.report(err)
	}
	return t
}

// report logs an internal error and gives its reference.
func (v *visit) report(err error) string {
	reference := ra.NewID[string]("err", v.Now())
	v.Log.Error("console request failed", "reference", reference, "route", v.route.pattern, "actor", v.actor.Name, "error", err)
	return reference
}

type faultView struct {
	Title   string
	Trouble *trouble
	SignIn  bool
}

var faultPage = view[faultView]("fault")

// fault answers with the page of an error.
func (v *visit) fault(err error) {
	kind := ra.KindOf(err)
	data := faultView{Title: faultTitles[kind], Trouble: v.trouble(err), SignIn: kind == ra.Unsigned}
	if err := faultPage.show(v, statuses[kind], data); err != nil {
		http.Error(v.w, "The page cannot be shown. Reference: "+v.report(err), http.StatusInternalServerError)
	}
}

// problems sorts the parts of an error to the inputs they are about.
type problems struct {
	byField map[string]*trouble
	rest    []trouble
	summary *trouble
}

// sort gives each input of known names its problem. A field such as
// "spec.sans[2]" or "attributes.key" belongs to the nearest known name.
func (v *visit) sort(err error, known map[string]bool) problems {
	p := problems{byField: map[string]*trouble{}}
	if err == nil {
		return p
	}
	e := ra.AsError(err)
	p.summary = v.trouble(err)
	list := e.Details
	if len(list) == 0 {
		list = []*ra.Error{e}
	}
	for _, d := range list {
		name := nearest(d.Field, known)
		if name == "" {
			if len(e.Details) > 0 {
				p.rest = append(p.rest, trouble{Message: d.Message, Remedy: d.Remedy})
			}
			continue
		}
		if p.byField[name] == nil {
			p.byField[name] = &trouble{Message: d.Message, Remedy: d.Remedy}
		} else {
			p.byField[name].More = append(p.byField[name].More, trouble{Message: d.Message, Remedy: d.Remedy})
		}
		p.rest = append(p.rest, trouble{Message: d.Message, Field: inputID(name)})
	}
	p.summary.More = p.rest
	return p
}

func nearest(field string, known map[string]bool) string {
	for field != "" {
		if known[field] {
			return field
		}
		cut := strings.LastIndexAny(field, ".[")
		if cut < 0 {
			return ""
		}
		field = field[:cut]
	}
	return ""
}
