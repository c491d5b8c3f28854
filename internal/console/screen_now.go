package console

import (
	"net/http"
	"time"

	"chancery/internal/access"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// nowView is the first page: what breaks next.
type nowView struct {
	Late       []obligationLine
	MoreLate   bool
	Waiting    []requestLine
	Strips     []strip
	Highest    int  // what the highest bar stands for
	Lined      bool // a strip shows what its authority can do
	From, To   time.Time
	Attention  int
	Renewed    int
	Recent     []*ra.AuditEntry
	RecentCert []certificateLine
	Health     []check
	Start      []startStep // what a new installation does first; empty later
	MayAudit   bool
	CLI        []string
}

// startStep is a step of a new installation.
type startStep struct {
	Title, Text, URL string
	Done             bool
}

var nowPage = view[nowView]("now")

func (v *visit) now() error {
	now := v.Now()
	data := nowView{From: now, To: now.AddDate(0, 0, chartDays), MayAudit: v.mayAnywhere(access.SeeAudit), CLI: []string{"chancery status", "chancery obligation list --late"}}
	late, next, err := v.Lifecycle.FindObligations(v.ctx(), v.actor, store.ObligationFilter{LateOnly: true, Page: store.Page{Limit: 8}})
	if err != nil {
		return err
	}
	data.Late, data.MoreLate = v.obligationLines(late), next != ""
	waiting, _, err := v.Enroll.FindRequests(v.ctx(), v.actor, store.RequestFilter{States: []ra.RequestState{ra.AwaitingApproval}, Page: store.Page{Limit: 8}})
	if err != nil {
		return err
	}
	data.Waiting = v.requestLines(waiting)
	buckets, err := v.Lifecycle.Calendar(v.ctx(), v.actor, chartDays)
	if err != nil {
		return err
	}
	data.Strips, data.Highest = v.chart(buckets, now)
	for _, s := range data.Strips {
		data.Lined = data.Lined || s.Line > 0
		data.Attention += s.Attention
		data.Renewed += s.Ends - s.Attention
	}
	if data.MayAudit {
		recent, _, err := v.Audit.Find(v.ctx(), v.actor, store.AuditFilter{Page: store.Page{Limit: manyEvents}})
		if err != nil {
			return err
		}
		data.Recent = notable(recent, 8)
	} else {
		recent, _, err := v.Lifecycle.FindCertificates(v.ctx(), v.actor, store.CertificateFilter{Page: store.Page{Limit: 8}})
		if err != nil {
			return err
		}
		data.RecentCert = v.certificateLines(recent)
	}
	if data.Health, err = v.checks(); err != nil {
		return err
	}
	if data.Start, err = v.firstSteps(); err != nil {
		return err
	}
	return nowPage.show(v, http.StatusOK, data)
}

// firstSteps leads through a new installation until the first certificate.
func (v *visit) firstSteps() ([]startStep, error) {
	one := store.Page{Limit: 1}
	certificates, _, err := v.Lifecycle.FindCertificates(v.ctx(), v.actor, store.CertificateFilter{Page: one})
	if err != nil || len(certificates) > 0 {
		return nil, err
	}
	authorities, _, err := v.Authorities.Find(v.ctx(), v.actor, store.AuthorityFilter{Page: one})
	if err != nil {
		return nil, err
	}
	templates, _, err := v.Enroll.FindTemplates(v.ctx(), v.actor, store.TemplateFilter{Page: one})
	if err != nil {
		return nil, err
	}
	devices, _, err := v.Inventory.FindDevices(v.ctx(), v.actor, store.DeviceFilter{Page: one})
	if err != nil {
		return nil, err
	}
	return []startStep{
		{"Have an authority", "The embedded CA issues at once; your own can be added beside it.", "/authorities", len(authorities) > 0},
		{"Define a template", "What the certificate says, with a preview for a real device.", "/templates/new", len(templates) > 0},
		{"Add a device", "By hand, or all of them as CSV.", "/devices/new", len(devices) > 0},
		{"Ask for the first certificate", "With a key made here, or a request the device made.", "/requests/new", false},
	}, nil
}
