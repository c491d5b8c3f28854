package console

import (
	"net/http"

	"chancery/internal/ra"
	"chancery/internal/store"
)

type obligationLine struct {
	ra.ObligationRow
	URL           string
	AuthorityLink link
	DeviceLink    link
	IsLate        bool
}

type obligationsView struct {
	Filter filter
	Lines  []obligationLine
	Pager  pager
	CLI    []string
}

var obligationsPage = view[obligationsView]("obligations")

func (v *visit) obligationLines(list []ra.ObligationRow) []obligationLine {
	out := make([]obligationLine, len(list))
	for i, o := range list {
		at, under := "/"+o.Kind+"s/", ""
		switch o.Kind {
		case "pass":
			at = "/passes/"
		case "directory":
			at = "/directories/"
		case "publication", "key_delivery": // which go by their certificates
			at = "/certificates/"
		case "danger":
			under = "/show"
		case "ca_import":
			at, under = "/authorities/", "/import"
		case "posture":
			at, under = "/authorities/", "/guard"
		}
		out[i] = obligationLine{o, at + o.ID + under, v.authorityLink(o.Authority), v.deviceLink(o.Device), o.Late(v.Now())}
	}
	return out
}

func (v *visit) obligations() error {
	f := store.ObligationFilter{Authority: ra.AuthorityID(v.query("authority")), Action: ra.Action(v.query("action")), LateOnly: v.query("late") == "1", Page: v.page()}
	f.Sort = ""
	list, next, err := v.Lifecycle.FindObligations(v.ctx(), v.actor, f)
	if err != nil {
		return err
	}
	authorities, err := v.authorityOptions()
	if err != nil {
		return err
	}
	var actions []option
	for _, a := range []ra.Action{ra.ActionApprove, ra.ActionIssue, ra.ActionFetch, ra.ActionRenew, ra.ActionAwait, ra.ActionExpire, ra.ActionRetire, ra.ActionRevoke, ra.ActionDeliver, ra.ActionSync, ra.ActionPublish, ra.ActionWithdraw, ra.ActionHandOver, ra.ActionTakeBack, ra.ActionImport, ra.ActionEvaluate, ra.ActionMend} {
		actions = append(actions, option{Value: string(a), Label: actionWords(a)})
	}
	data := obligationsView{Filter: v.filter("", choice{"late", "Lateness", []option{{Value: "1", Label: "Late only"}}}, choice{"action", "Next", actions}, choice{"authority", "Authority", authorities}),
		Lines: v.obligationLines(list), Pager: v.pager(next, len(list)), CLI: []string{"chancery obligation list", "chancery obligation list --late"}}
	return obligationsPage.show(v, http.StatusOK, data)
}
