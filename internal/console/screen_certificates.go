package console

import (
	"encoding/csv"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"chancery/internal/access"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// certificateLine is a certificate in a list.
type certificateLine struct {
	*ra.Certificate
	Device    link
	User      link
	Template  link
	Authority link
	Late      bool
}

func (v *visit) certificateLines(list []*ra.Certificate) []certificateLine {
	out := make([]certificateLine, len(list))
	for i, c := range list {
		out[i] = certificateLine{Certificate: c, Device: v.deviceLink(c.DeviceID), User: v.userLink(c.UserID), Template: v.templateLink(c.TemplateID),
			Authority: v.authorityLink(c.AuthorityID), Late: c.Late(v.Now())}
	}
	return out
}

type certificatesView struct {
	Filter    filter
	Span      string // in words, when the list is narrowed to a time
	Subject   heading
	Expires   heading
	Issued    heading
	Lines     []certificateLine
	Pager     pager
	Counts    []countLink
	CSV       string
	MayRevoke bool
	MayAsk    bool
	Query     string // of the filter, for bulk actions
	CLI       []string
}

// countLink is a number that opens the list behind it.
type countLink struct {
	State string
	N     int64
	URL   string
}

var certificatesPage = view[certificatesView]("certificates")

// certificateFilter reads the filter of an address; what is not understood
// narrows nothing.
func (v *visit) certificateFilter(q url.Values) (store.CertificateFilter, string) {
	f := store.CertificateFilter{Text: strings.TrimSpace(q.Get("q")), Authority: ra.AuthorityID(q.Get("authority")), Template: ra.TemplateID(q.Get("template")),
		Device: ra.DeviceID(q.Get("device")), User: ra.UserID(q.Get("user")), OwnToo: q.Get("own") == "1"}
	if s := q.Get("state"); s != "" {
		f.States = []ra.CertificateState{ra.CertificateState(s)}
	}
	if imported, err := strconv.ParseBool(q.Get("imported")); err == nil {
		f.Imported = &imported
	}
	span := ""
	if days, err := strconv.Atoi(q.Get("expires")); err == nil && days > 0 && days < 36500 {
		f.ExpiresAfter, f.ExpiresBefore = v.Now(), v.Now().AddDate(0, 0, days)
		if len(f.States) == 0 {
			f.States = []ra.CertificateState{ra.Valid, ra.OnHold}
		}
	}
	from, err1 := time.Parse(time.RFC3339, q.Get("from"))
	to, err2 := time.Parse(time.RFC3339, q.Get("to"))
	if err1 == nil && err2 == nil {
		f.ExpiresAfter, f.ExpiresBefore = from, to
		span = "Certificates that end between " + from.UTC().Format("2006-01-02 15:04") + " and " + to.UTC().Format("2006-01-02 15:04") + " UTC"
		if len(f.States) == 0 {
			f.States = []ra.CertificateState{ra.Valid, ra.OnHold}
		}
	}
	return f, span
}

func (v *visit) certificates() error {
	f, span := v.certificateFilter(v.r.URL.Query())
	f.Page = v.page()
	list, next, err := v.Lifecycle.FindCertificates(v.ctx(), v.actor, f)
	if err != nil {
		return err
	}
	authorities, err := v.authorityOptions()
	if err != nil {
		return err
	}
	templates, err := v.templateOptions(nil)
	if err != nil {
		return err
	}
	counts, err := v.Lifecycle.CountCertificates(v.ctx(), v.actor, store.CertificateFilter{})
	if err != nil {
		return err
	}
	q := v.r.URL.Query()
	for _, name := range []string{"after", "sort"} {
		q.Del(name)
	}
	issued := v.sortable("Issued", "created", "-created")
	issued.Class = "opt"
	data := certificatesView{
		Filter: v.filter("Subject, serial or fingerprint", choice{"state", "State", stateOptions(ra.CertificateStates)}, choice{"authority", "Authority", authorities},
			choice{"template", "Template", templates},
			choice{"expires", "Expires in", []option{{Value: "7", Label: "7 days"}, {Value: "30", Label: "30 days"}, {Value: "90", Label: "90 days"}}},
			choice{"imported", "Origin", []option{{Value: "true", Label: "Imported"}, {Value: "false", Label: "Issued here"}}},
			choice{"own", "Server's", []option{{Value: "1", Label: "Shown"}}}),
		Span: span, Subject: v.sortable("Subject", "subject", "-created"), Expires: v.sortable("Expires", "expires", "-created"), Issued: issued,
		Lines: v.certificateLines(list), Pager: v.pager(next, len(list)), CSV: address("/certificates.csv", q), Query: q.Encode(),
		MayRevoke: v.mayAnywhere(access.Revoke), MayAsk: v.mayAnywhere(access.Request), CLI: []string{"chancery certificate list"},
	}
	data.Filter.Active = data.Filter.Active || span != "" || f.Device != "" || f.User != ""
	for _, s := range ra.CertificateStates {
		for _, c := range counts {
			if c.Key == string(s) {
				data.Counts = append(data.Counts, countLink{c.Key, c.N, "/certificates?state=" + c.Key})
			}
		}
	}
	return certificatesPage.show(v, http.StatusOK, data)
}

// certificatesCSV writes every page of the list as CSV. What goes wrong after
// the first line cannot be told any more: the connection is cut.
func (v *visit) certificatesCSV() error {
	f, _ := v.certificateFilter(v.r.URL.Query())
	f.Page = store.Page{Limit: store.MaxPage}
	return v.csv("certificates.csv", []string{"id", "state", "subject", "alternative_names", "serial", "sha256", "key_type", "issued_at", "not_before", "not_after", "revoked_at", "reason", "authority", "template", "device", "user"},
		func(out *csv.Writer) (next string, err error) {
			list, next, err := v.Lifecycle.FindCertificates(v.ctx(), v.actor, f)
			if err != nil {
				return "", err
			}
			f.After = next
			for _, l := range v.certificateLines(list) {
				reason := ""
				if l.State == ra.Revoked || l.State == ra.OnHold {
					reason = l.Reason.String()
				}
				if err := out.Write(cells(string(l.ID), string(l.State), l.Subject, strings.Join(l.SANs, " "), l.Serial, l.Fingerprint, l.KeyType, day(l.CreatedAt), day(l.NotBefore),
					day(l.NotAfter), day(l.RevokedAt), reason, l.Authority.Title, l.Template.Title, l.Device.Title, l.User.Title)); err != nil {
					return "", err
				}
			}
			return next, nil
		})
}
