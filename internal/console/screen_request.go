package console

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/wire/pkixmsg"
)

// difference is one line of what is asked for beside what would be issued.
type difference struct {
	Field   string
	Present []string // in the certificate that is replaced
	Asked   []string // in the CSR
	Issued  []string
	Differs bool
}

type requestView struct {
	Request     *ra.Request
	Late        bool
	Life        []station
	Votes       []*ra.Approval
	Needed      int
	Fill        *enroll.Fill
	Differences []difference
	HasCSR      bool
	HasPresent  bool
	Events      []*ra.AuditEntry
	Device      link
	User        link
	Group       link
	Template    link
	Authority   link
	Endpoint    link
	Certificate link
	Renews      link
	MayDecide   bool
	Own         bool // the visitor asked for it and cannot decide
	MayCancel   bool
	Decision    form
	CLI         []string
}

func (d requestView) refreshAfter() int {
	if moving(d.Request.State) {
		return 3
	}
	return 0
}

var requestPage = view[requestView]("request")

func (v *visit) request() error { return v.showRequest(nil, nil) }

func (v *visit) showRequest(posted url.Values, wrong error) error {
	r, votes, err := v.Enroll.Request(v.ctx(), v.actor, id[ra.RequestID](v))
	if err != nil {
		return err
	}
	events, err := v.Audit.About(v.ctx(), string(r.ID), 50)
	if err != nil {
		return err
	}
	data := requestView{Request: r, Late: r.Late(v.Now()), Votes: votes, Events: events, Life: requestLife(r, votes, events),
		Device: v.deviceLink(r.DeviceID), User: v.userLink(r.UserID), Group: v.groupLink(r.GroupID), Template: v.templateLink(r.TemplateID),
		Authority: v.authorityLink(r.AuthorityID), Endpoint: v.endpointLink(r.EndpointID),
		Certificate: linked("Issued certificate", "/certificates/", string(r.CertificateID)), Renews: linked(string(r.Renews), "/certificates/", string(r.Renews)),
		CLI: []string{"chancery request show " + string(r.ID)}}
	if t, err := v.Enroll.Template(v.ctx(), v.actor, r.TemplateID); err == nil {
		data.Needed = t.Spec.Approvals
	}
	if err := v.compare(&data); err != nil {
		return err
	}
	if r.State == ra.AwaitingApproval && v.may(access.Approve, r.GroupID) {
		data.Own = r.AskedBy.Kind == v.actor.Kind && r.AskedBy.ID == v.actor.ID
		data.MayDecide = !data.Own
		data.Decision = v.plainForm(&commentForm{}, posted, wrong)
		data.CLI = append(data.CLI, "chancery request approve "+string(r.ID), "chancery request deny "+string(r.ID)+" --comment REASON")
	}
	if slices.Contains([]ra.RequestState{ra.AwaitingApproval, ra.Approved, ra.PendingAtCA}, r.State) && v.may(access.Request, r.GroupID) {
		data.MayCancel = true
		data.CLI = append(data.CLI, "chancery request cancel "+string(r.ID))
	}
	return requestPage.show(v, statusOf(wrong), data)
}

// requestLife draws the states a request went through and those ahead.
func requestLife(r *ra.Request, votes []*ra.Approval, events []*ra.AuditEntry) []station {
	line := []station{{Title: "Requested", At: r.CreatedAt, By: actorWords(r.AskedBy), Tone: "calm"}}
	for _, a := range votes {
		s := station{Title: "Approved", At: a.At, By: a.By.Name, Note: clip(a.Comment, 80), Tone: "good"}
		if !a.Approve {
			s.Title, s.Tone = "Denied", "bad"
		}
		line = append(line, s)
	}
	if r.State == ra.AwaitingApproval {
		return append(line, station{Title: "Waits for approval", At: r.Deadline, Note: "Ends then without a decision", Tone: "warn", Ahead: true}, station{Title: "Issued", Ahead: true})
	}
	if !r.SubmittedAt.IsZero() {
		line = append(line, station{Title: "Sent to the authority", At: r.SubmittedAt, Tone: "calm"})
	}
	switch r.State {
	case ra.Issued:
		line = append(line, station{Title: "Issued", At: r.UpdatedAt, Tone: "good", URL: "/certificates/" + string(r.CertificateID)})
	case ra.Failed:
		line = append(line, station{Title: "Failed", At: r.UpdatedAt, Tone: "bad"})
	case ra.DeniedState:
		if len(votes) == 0 {
			line = append(line, station{Title: "Denied", At: r.UpdatedAt, Tone: "bad"})
		}
	case ra.Cancelled:
		line = append(line, station{Title: "Cancelled", At: r.UpdatedAt, By: by(events, audit.RequestCancelled), Tone: "calm"})
	case ra.PendingAtCA:
		line = append(line, station{Title: "Pending at the authority", At: r.At, Note: "Asked again then", Ahead: true}, station{Title: "Issued", Ahead: true})
	default:
		line = append(line, station{Title: "Issued", Ahead: true})
	}
	return line
}

// compare sets what is asked for, what would be issued and what is replaced
// side by side.
func (v *visit) compare(d *requestView) error {
	d.Fill = &enroll.Fill{}
	if err := json.Unmarshal(d.Request.Fill, d.Fill); err != nil {
		return err
	}
	f := d.Fill
	lines := []difference{
		{Field: "Subject", Issued: []string{f.Subject}},
		{Field: "Alternative names", Issued: nameWords(f.SANs)},
		{Field: "Key", Issued: []string{f.KeyType}},
		{Field: "Extended key usage", Issued: purposeWords(f.EKUs)},
	}
	if f.SID != "" {
		lines = append(lines, difference{Field: "Security identifier", Issued: []string{f.SID}})
	}
	if len(d.Request.SealedCSR) > 0 && f.KeyPlace == ra.KeyOnDevice {
		der, err := v.Enroll.CSR(d.Request)
		if err != nil {
			return err
		}
		csr, err := pkixmsg.ParseCSR(der)
		if err != nil {
			return err
		}
		d.HasCSR = true
		lines[0].Asked, lines[1].Asked = []string{csr.Subject.String()}, nameWords(csr.SANs)
		lines[2].Asked, lines[3].Asked = []string{string(csr.Key.Type)}, purposeWords(csr.ExtKeyUsages)
	}
	if c, err := v.Lifecycle.Certificate(v.ctx(), v.actor, d.Request.Renews); err == nil {
		p, err := describeCertificate(c.DER)
		if err != nil {
			return err
		}
		d.HasPresent = true
		lines[0].Present, lines[1].Present, lines[2].Present = []string{p.Subject}, p.Names, []string{p.Key}
		for _, e := range p.Extensions {
			if e.OID == pkixmsg.OIDExtKeyUsage {
				lines[3].Present = e.Values
			}
		}
	}
	for i := range lines {
		l := &lines[i]
		l.Differs = d.HasPresent && !same(l.Present, l.Issued) || d.HasCSR && len(l.Asked) > 0 && !same(l.Asked, l.Issued)
	}
	d.Differences = lines
	return nil
}

func same(a, b []string) bool { return strings.Join(a, "\n") == strings.Join(b, "\n") }

func (v *visit) decide() error {
	r, _, err := v.Enroll.Request(v.ctx(), v.actor, id[ra.RequestID](v))
	if err != nil {
		return err
	}
	posted, err := v.form()
	if err != nil {
		return err
	}
	var f commentForm
	if err := setting.FromForm(&f, posted); err != nil {
		return v.showRequest(posted, err)
	}
	approve := posted.Get("decision") == "approve"
	if !approve && posted.Get("decision") != "deny" {
		return v.showRequest(posted, ra.Errorf(ra.Invalid, "There was no decision.").WithRemedy("Approve or deny the request."))
	}
	r, err = v.Enroll.Decide(v.ctx(), v.actor, r.ID, approve, f.Comment)
	if err != nil {
		return v.showRequest(posted, err)
	}
	notice := "The request is denied."
	if approve {
		notice = "Your approval is recorded."
	}
	return v.done("/requests/"+string(r.ID), notice)
}

func (v *visit) cancelRequestPage() error { return v.askCancel(nil) }

func (v *visit) askCancel(wrong error) error {
	r, _, err := v.Enroll.Request(v.ctx(), v.actor, id[ra.RequestID](v))
	if err != nil {
		return err
	}
	return v.confirm(confirmView{Title: "Cancel the request", About: r.Subject, Effect: []string{"It ends here and no certificate is issued for it.", "A key that was made for it is destroyed."},
		Form: form{Cancel: "/requests/" + string(r.ID), Danger: true}, CLI: []string{"chancery request cancel " + string(r.ID)}}, nil, nil, wrong)
}

func (v *visit) cancelRequest() error {
	r, _, err := v.Enroll.Request(v.ctx(), v.actor, id[ra.RequestID](v))
	if err != nil {
		return err
	}
	if _, err := v.Enroll.Cancel(v.ctx(), v.actor, r.ID); err != nil {
		return v.askCancel(err)
	}
	return v.done("/requests/"+string(r.ID), "The request is cancelled.")
}

type previewLine struct{ Label, Value string }

// previewView is what a template gives for a chosen holder.
type previewView struct {
	Subject    string
	Names      []string
	Extensions []enroll.PreviewExtension
	Values     []previewLine
	Warnings   []string
	Tests      []enroll.TestResult
	Tree       *pkixmsg.Node
}

func newPreview(p *enroll.Preview) *previewView {
	out := &previewView{Subject: p.Fill.Subject, Names: nameWords(p.Fill.SANs), Extensions: p.Extensions, Warnings: p.Fill.Warnings, Tests: p.Tests, Tree: p.Tree}
	for name, value := range p.Fill.Values {
		out.Values = append(out.Values, previewLine{"{" + name + "}", value})
	}
	slices.SortFunc(out.Values, func(a, b previewLine) int { return strings.Compare(a.Label, b.Label) })
	return out
}
