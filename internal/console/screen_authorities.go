package console

import (
	"net/http"
	"strings"

	"chancery/internal/access"
	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/store"
)

type authorityLine struct {
	*ra.Authority
	KindTitle string
	Group     link
	Health    health
	InUse     int64
}

// health is how an authority is doing, as far as it can be told without asking
// it: nothing is sent to it by looking at a list.
type health struct {
	State string // ok, warning, failed, disabled
	Text  string
}

type authoritiesView struct {
	Lines   []authorityLine
	Filter  filter
	Pager   pager
	Kinds   []kindLine
	MayEdit bool
	CLI     []string
}

// kindLine is one kind of authority in the comparison.
type kindLine struct {
	ca.Kind
	Places []string
	Keys   string
}

var authoritiesPage = view[authoritiesView]("authorities")

func (v *visit) authorities() error {
	list, next, err := v.Authorities.Find(v.ctx(), v.actor, store.AuthorityFilter{Text: v.query("q"), Page: v.page()})
	if err != nil {
		return err
	}
	data := authoritiesView{Filter: v.filter("Name"), Pager: v.pager(next, len(list)), Kinds: v.kinds(), MayEdit: v.mayAnywhere(access.EditAuthorities), CLI: []string{"chancery authority list", "chancery authority kinds"}}
	for _, a := range list {
		line := authorityLine{Authority: a, KindTitle: a.Kind, Group: v.groupLink(a.GroupID)}
		if k, err := v.Authorities.Kind(a.Kind); err == nil {
			line.KindTitle = k.Title
		}
		line.Health = v.health(a)
		counts, err := v.Lifecycle.CountCertificates(v.ctx(), v.actor, store.CertificateFilter{Authority: a.ID, States: []ra.CertificateState{ra.Valid}})
		if err != nil {
			return err
		}
		for _, c := range counts {
			line.InUse += c.N
		}
		data.Lines = append(data.Lines, line)
	}
	return authoritiesPage.show(v, http.StatusOK, data)
}

// kinds lists the kinds with what each can do at best.
func (v *visit) kinds() []kindLine {
	var out []kindLine
	for _, k := range v.Authorities.Kinds {
		line := kindLine{Kind: k, Keys: "as its profile says"}
		for _, p := range k.Traits.KeyPlaces {
			line.Places = append(line.Places, map[ra.KeyPlace]string{ra.KeyOnDevice: "device", ra.KeyHere: "here", ra.KeyAtCA: "authority"}[p])
		}
		if n := len(k.Traits.KeyTypes); n > 0 {
			line.Keys = keyTypeWords(k.Traits.KeyTypes[0])
			for _, t := range k.Traits.KeyTypes[1:] {
				line.Keys += ", " + keyTypeWords(t)
			}
		}
		out = append(out, line)
	}
	return out
}

// health is what the doctor sees at a glance.
func (v *visit) health(a *ra.Authority) health {
	f := v.Doctor.Authority(v.ctx(), v.actor, a)
	if f.State == ca.StepSkipped {
		return health{"disabled", f.Detail}
	}
	return health{string(f.State), strings.TrimSpace(f.Detail + " " + f.Remedy)}
}
