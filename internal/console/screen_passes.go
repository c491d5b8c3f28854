package console

import (
	"encoding/csv"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"chancery/internal/access"
	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// passLine is a pass in a list.
type passLine struct {
	*ra.Pass
	Device    link
	Template  link
	Authority link
	Late      bool
}

func (v *visit) passLines(list []*ra.Pass) []passLine {
	out := make([]passLine, len(list))
	for i, p := range list {
		out[i] = passLine{p, v.deviceLink(p.DeviceID), v.templateLink(p.TemplateID), v.authorityLink(p.AuthorityID), p.Late(v.Now())}
	}
	return out
}

type passesView struct {
	Filter  filter
	Lines   []passLine
	Pager   pager
	CSV     string
	MayAsk  bool
	Servers bool // there is an authority with a SCEP server
	MayAdd  bool // such an authority
	Moving  bool
	Late    int // passes past their deadline, of the first hundred
	CLI     []string
}

func (d passesView) refreshAfter() int {
	if d.Moving {
		return 5
	}
	return 0
}

var passesPage = view[passesView]("passes")

var modelTitles = map[ra.PassModel]string{ra.PassProxy: "Proxy", ra.PassDelegate: "Delegate"}

// passTone is the tone of a state of a pass; an issued one is only at the
// beginning.
var passTone = map[ra.PassState]string{ra.PassIssued: "calm", ra.PassClaimed: "busy", ra.PassPending: "busy", ra.PassDone: "good", ra.PassFailed: "bad", ra.PassExpired: "off", ra.PassRevoked: "bad"}

func passBadge(s ra.PassState) badge { return badge{passTone[s], badgeOf(string(s)).Word} }

// passFilter reads the filter of an address.
func (v *visit) passFilter() store.PassSearch {
	f := store.PassSearch{Text: v.query("q"), Model: ra.PassModel(v.query("model"))}
	f.Template, f.Device, f.Authority, f.LateOnly = ra.TemplateID(v.query("template")), ra.DeviceID(v.query("device")), ra.AuthorityID(v.query("authority")), v.query("late") != ""
	if s := v.query("state"); s != "" {
		f.States = []ra.PassState{ra.PassState(s)}
	}
	return f
}

func (v *visit) passes() error {
	f := v.passFilter()
	f.Page = v.page()
	f.Sort = ""
	list, next, err := v.Passes.Search(v.ctx(), v.actor, f)
	if err != nil {
		return err
	}
	servers, err := v.forwarders()
	if err != nil {
		return err
	}
	templates, err := v.templateOptions(func(t *ra.Template) bool { return servers[t.AuthorityID] })
	if err != nil {
		return err
	}
	var authorities []option
	for id := range servers {
		authorities = append(authorities, option{Value: string(id), Label: v.authorityLink(id).Title})
	}
	slices.SortFunc(authorities, func(a, b option) int { return strings.Compare(ra.Fold(a.Label), ra.Fold(b.Label)) })
	models := []option{{Value: string(ra.PassProxy), Label: modelTitles[ra.PassProxy]}, {Value: string(ra.PassDelegate), Label: modelTitles[ra.PassDelegate]}}
	q := v.r.URL.Query()
	q.Del("after")
	data := passesView{Filter: v.filter("Subject, transaction or ID", choice{"state", "State", stateOptions(ra.PassStates)}, choice{"model", "Model", models}, choice{"template", "Template", templates}, choice{"authority", "Authority", authorities}),
		Lines: v.passLines(list), Pager: v.pager(next, len(list)), CSV: address("/passes.csv", q), MayAsk: v.mayAnywhere(access.Request), Servers: len(servers) > 0, MayAdd: v.mayAnywhere(access.EditAuthorities),
		CLI: []string{"chancery pass list", "chancery pass create --template TEMPLATE --device DEVICE"}}
	data.Filter.Active = data.Filter.Active || f.Device != "" || f.LateOnly
	late := store.PassSearch{}
	late.LateOnly, late.Page = true, store.Page{Limit: 100}
	overdue, _, err := v.Passes.Search(v.ctx(), v.actor, late)
	if err != nil {
		return err
	}
	data.Late = len(overdue)
	for _, p := range list {
		data.Moving = data.Moving || passMoves(p)
	}
	return passesPage.show(v, http.StatusOK, data)
}

// passMoves reports whether a pass goes on while it is looked at.
func passMoves(p *ra.Pass) bool {
	return p.State == ra.PassClaimed || p.State == ra.PassPending || p.State == ra.PassIssued && !p.RevealedAt.IsZero()
}

// forwarders tells which authorities the visitor sees have a SCEP server that
// devices may enrol at.
func (v *visit) forwarders() (map[ra.AuthorityID]bool, error) {
	list, _, err := v.Authorities.Find(v.ctx(), v.actor, store.AuthorityFilter{Page: pick})
	if err != nil {
		return nil, err
	}
	out := map[ra.AuthorityID]bool{}
	for _, a := range list {
		// One that cannot be opened says so on its own page.
		if o, err := v.Authorities.Open(v.ctx(), a.ID); err == nil {
			if _, ok := o.Connector.(ca.Forwarder); ok {
				out[a.ID] = true
			}
		}
	}
	return out, nil
}

func (v *visit) passesCSV() error {
	f := v.passFilter()
	f.Limit = store.MaxPage
	head := []string{"id", "state", "model", "subject", "device_id", "device", "template_id", "authority_id", "group_id", "transaction_id", "messages", "pki_status", "fail_info", "certificate_id", "created_at", "expires_at", "reason"}
	return v.csv("passes.csv", head, func(out *csv.Writer) (string, error) {
		list, next, err := v.Passes.Search(v.ctx(), v.actor, f)
		if err != nil {
			return "", err
		}
		for _, p := range list {
			if err := out.Write(cells(string(p.ID), string(p.State), string(p.Model), p.Subject, string(p.DeviceID), v.deviceLink(p.DeviceID).Title, string(p.TemplateID), string(p.AuthorityID), string(p.GroupID),
				p.TransactionID, strconv.Itoa(p.Messages), p.PKIStatus, p.FailInfo, string(p.CertificateID), day(p.CreatedAt), day(p.ExpiresAt), p.Reason)); err != nil {
				return "", err
			}
		}
		f.After = next
		return next, nil
	})
}
