package console

import (
	"encoding/csv"
	"net/http"
	"net/url"
	"strconv"

	"chancery/internal/access"
	"chancery/internal/caimport"
	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/store"
)

// differenceLine is a difference in a list, with the words of its kind.
type differenceLine struct {
	*ra.Difference
	Title     string
	State     string
	Authority link
}

func (v *visit) differenceLines(list []*ra.Difference) []differenceLine {
	out := make([]differenceLine, len(list))
	for i, d := range list {
		title, _, _ := caimport.Words(d.Kind)
		out[i] = differenceLine{d, title, differenceState(d), v.authorityLink(d.Authority)}
	}
	return out
}

func differenceState(d *ra.Difference) string {
	if d.SettledAt.IsZero() {
		return "not settled"
	}
	return "settled"
}

// openDifferences counts those that nobody has settled, of one authority or of all.
func (v *visit) openDifferences(of ra.AuthorityID) (int, error) {
	return v.Imports.CountDifferences(v.ctx(), v.actor, store.DifferenceFilter{Authority: of, Open: new(true)})
}

// menuDifferences is openDifferences for the menu, which every page has: what goes
// wrong with it is no reason to show none.
func (v *visit) menuDifferences() int {
	n, err := v.openDifferences("")
	if err != nil {
		v.Log.Warn("differences cannot be counted", "error", err)
	}
	return n
}

type differencesView struct {
	Filter filter
	Found  heading
	Lines  []differenceLine
	Pager  pager
	CSV    string
	CLI    []string
}

var differencesPage = view[differencesView]("differences")

// differenceFilter reads the filter of an address.
func (v *visit) differenceFilter() store.DifferenceFilter {
	f := store.DifferenceFilter{Text: v.query("q"), Authority: ra.AuthorityID(v.query("authority")), Kind: ra.DifferenceKind(v.query("kind"))}
	if open, err := strconv.ParseBool(v.query("open")); err == nil {
		f.Open = &open
	}
	return f
}

func (v *visit) differences() error {
	f := v.differenceFilter()
	f.Page = v.page()
	list, next, err := v.Imports.Differences(v.ctx(), v.actor, f)
	if err != nil {
		return err
	}
	authorities, err := v.authorityOptions()
	if err != nil {
		return err
	}
	var kinds []option
	for _, k := range caimport.Kinds {
		title, _, _ := caimport.Words(k)
		kinds = append(kinds, option{Value: string(k), Label: title})
	}
	q := v.r.URL.Query()
	for _, name := range []string{"after", "sort"} {
		q.Del(name)
	}
	found := v.sortable("Found", "created", "-created")
	return differencesPage.show(v, http.StatusOK, differencesView{Filter: v.filter("Subject, requester or serial", choice{"open", "State", []option{{Value: "true", Label: "Not settled"}, {Value: "false", Label: "Settled"}}},
		choice{"kind", "Kind", kinds}, choice{"authority", "Authority", authorities}),
		Found: found, Lines: v.differenceLines(list), Pager: v.pager(next, len(list)), CSV: address("/differences.csv", q), CLI: []string{"chancery difference list --open", "chancery difference export"}})
}

func (v *visit) differencesCSV() error {
	f := v.differenceFilter()
	f.Page = store.Page{Limit: store.MaxPage}
	return v.csv("differences.csv", []string{"id", "kind", "state", "authority", "number", "serial", "subject", "requester", "template", "certificate", "request", "found_at", "settled_at", "settled_by", "comment"},
		func(out *csv.Writer) (next string, err error) {
			list, next, err := v.Imports.Differences(v.ctx(), v.actor, f)
			if err != nil {
				return "", err
			}
			f.After = next
			for _, d := range v.differenceLines(list) {
				if err := out.Write(cells(string(d.ID), string(d.Kind), d.State, d.Authority.Title, strconv.FormatInt(d.Number, 10), d.Serial, d.Subject, d.Requester, d.Template, string(d.Certificate),
					string(d.Request), day(d.FoundAt), day(d.SettledAt), d.SettledBy, d.Comment)); err != nil {
					return "", err
				}
			}
			return next, nil
		})
}

type differenceView struct {
	differenceLine
	Meaning, Remedy string
	Group           link
	Holds           *ra.Certificate // nil: it cannot be seen, or is gone
	Request         link
	MaySettle       bool
	MayRevoke       bool
	CLI             []string
}

var differencePage = view[differenceView]("difference")

func (v *visit) difference() error {
	d, err := v.Imports.Difference(v.ctx(), v.actor, id[ra.DifferenceID](v))
	if err != nil {
		return err
	}
	data := differenceView{differenceLine: v.differenceLines([]*ra.Difference{d})[0], Group: v.groupLink(d.GroupID), CLI: []string{"chancery difference show " + string(d.ID)}}
	_, data.Meaning, data.Remedy = caimport.Words(d.Kind)
	data.MaySettle = d.SettledAt.IsZero() && v.maySettle(d)
	if data.MaySettle {
		data.CLI = append(data.CLI, "chancery difference settle "+string(d.ID)+" --comment TEXT")
	}
	c, err := v.Lifecycle.Certificate(v.ctx(), v.actor, d.Certificate)
	if err != nil && ra.KindOf(err) != ra.NotFound {
		return err
	}
	if err == nil {
		data.Holds, data.MayRevoke = c, v.certificateActions(c).MayRevoke
	}
	if d.Request != "" {
		data.Request = link{Title: string(d.Request)}
		if _, _, err := v.Enroll.Request(v.ctx(), v.actor, d.Request); err == nil {
			data.Request.URL = "/requests/" + string(d.Request)
		}
	}
	return differencePage.show(v, http.StatusOK, data)
}

func (v *visit) maySettle(d *ra.Difference) bool { return v.may(access.EditAuthorities, d.GroupID) }

// settleForm is somebody's word on a difference.
type settleForm struct{ Comment string }

// Describe names the fields.
func (f *settleForm) Describe(s *setting.Form) {
	s.Multiline(&f.Comment, "comment", "Why it is known").Required().MaxLength(2000).Help("It is kept with your name, here and in the audit log.")
}

func (v *visit) settlePage() error { return v.askSettle(nil, nil) }

func (v *visit) askSettle(posted url.Values, wrong error) error {
	d, err := v.Imports.Difference(v.ctx(), v.actor, id[ra.DifferenceID](v))
	if err != nil {
		return err
	}
	title, meaning, _ := caimport.Words(d.Kind)
	at := "/differences/" + string(d.ID)
	return v.confirm(confirmView{Title: "Settle the difference", About: d.Subject, Effect: []string{title + ". " + meaning, "Nothing changes at the authority or about the certificate; nobody is told of it again."},
		Form: form{Submit: "Settle it", Cancel: at}, CLI: []string{"chancery difference settle " + string(d.ID) + " --comment TEXT"}}, &settleForm{}, posted, wrong)
}

func (v *visit) settle() error {
	posted, err := v.form()
	if err != nil {
		return err
	}
	d, err := v.Imports.Settle(v.ctx(), v.actor, id[ra.DifferenceID](v), posted.Get("comment"))
	if err != nil {
		return v.askSettle(posted, err)
	}
	return v.done("/differences/"+string(d.ID), "The difference is settled.")
}
