package console

import (
	"net/http"
	"net/url"
	"slices"

	"chancery/internal/access"
	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/store"
)

// maxBulk is how many certificates one bulk action touches, and shown how many
// stand for those of a larger one.
const (
	maxBulk = 500
	shown   = 20
)

// bulkLine is one certificate of a bulk action: what would happen to it, or
// what did.
type bulkLine struct {
	*ra.Certificate
	Skip string // why it is left alone; empty: it is revoked
	Done bool
	Bad  *trouble
}

type bulkView struct {
	Lines   []bulkLine
	Revoked int
	Skipped int
	Failed  int
	More    bool   // more match than one action touches
	All     int    // how many match then; they are revoked in the background
	Filter  string // what they match
	Done    bool
	Form    form
	CLI     []string
}

var bulkPage = view[bulkView]("certificates_revoke")

// chosen gives the certificates of a bulk action: those ticked, or all in use
// that match the filter.
func (v *visit) chosen(posted url.Values) (list []*ra.Certificate, more bool, err error) {
	if posted.Get("which") == "all" {
		q, err := url.ParseQuery(posted.Get("filter"))
		if err != nil {
			return nil, false, ra.Errorf(ra.Invalid, "The filter cannot be read.").WithRemedy("Go back to the list and choose again.").WithCause(err)
		}
		f, _ := v.certificateFilter(q)
		if len(f.States) == 0 {
			f.States = []ra.CertificateState{ra.Valid, ra.Superseded, ra.OnHold}
		}
		f.Page = store.Page{Limit: maxBulk}
		list, next, err := v.Lifecycle.FindCertificates(v.ctx(), v.actor, f)
		return list, next != "", err
	}
	ids := slices.Compact(slices.Sorted(slices.Values(posted["id"])))
	if len(ids) > maxBulk {
		ids, more = ids[:maxBulk], true
	}
	for _, id := range ids {
		c, err := v.Lifecycle.Certificate(v.ctx(), v.actor, ra.CertificateID(id))
		if ra.KindOf(err) == ra.NotFound {
			continue
		}
		if err != nil {
			return nil, false, err
		}
		list = append(list, c)
	}
	return list, more, nil
}

// skip says why a certificate would not be revoked.
func (v *visit) skip(c *ra.Certificate) string {
	kind, ok := v.kindOf(c.AuthorityID)
	switch {
	case c.State == ra.Revoked:
		return "It is revoked already."
	case c.State == ra.Expired:
		return "It has expired."
	case !ok || !kind.Traits.Revoke:
		return "Its authority cannot be told to revoke."
	case !v.may(access.Revoke, c.GroupID):
		return "You may not revoke in its group."
	}
	return ""
}

func (v *visit) bulkRevokePage() error {
	posted, err := v.form()
	if err != nil {
		return err
	}
	f := &revokeForm{}
	setting.Defaults(f)
	return v.askBulk(f, posted, nil, nil)
}

func (v *visit) askBulk(f *revokeForm, posted, typed url.Values, wrong error) error {
	list, more, err := v.chosen(posted)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return v.done(address("/certificates", url.Values{}), "Tick the certificates you mean first.")
	}
	data := bulkView{More: more, Form: v.plainForm(f, typed, wrong), CLI: []string{"chancery certificate revoke --device DEVICE --reason keyCompromise --dry-run"}}
	if more && posted.Get("which") == "all" {
		total, err := v.Lifecycle.PlanBulk(v.ctx(), v.actor, v.bulkFilter(posted))
		if err != nil {
			return err
		}
		data.All, data.Filter, list = int(total), posted.Get("filter"), list[:shown]
	}
	for _, c := range list {
		l := bulkLine{Certificate: c, Skip: v.skip(c)}
		if l.Skip == "" {
			data.Revoked++
		} else {
			data.Skipped++
		}
		data.Lines = append(data.Lines, l)
	}
	return bulkPage.show(v, statusOf(wrong), data)
}

func (v *visit) bulkRevoke() error {
	posted, err := v.form()
	if err != nil {
		return err
	}
	f := &revokeForm{}
	setting.Defaults(f)
	if err := setting.FromForm(f, posted); err != nil {
		return v.askBulk(f, posted, posted, err)
	}
	reason, err := ra.ParseReason(f.Reason)
	if err != nil {
		return v.askBulk(f, posted, posted, err)
	}
	list, _, err := v.chosen(posted)
	if err != nil {
		return err
	}
	data := bulkView{Done: true}
	for _, c := range list {
		l := bulkLine{Certificate: c, Skip: v.skip(c)}
		if l.Skip != "" {
			data.Skipped++
			data.Lines = append(data.Lines, l)
			continue
		}
		changed, err := v.Lifecycle.Revoke(v.ctx(), v.actor, c.ID, reason, f.Comment)
		if err != nil {
			data.Failed++
			l.Bad = v.trouble(err)
		} else {
			data.Revoked++
			l.Certificate, l.Done = changed, true
		}
		data.Lines = append(data.Lines, l)
	}
	return bulkPage.show(v, http.StatusOK, data)
}
