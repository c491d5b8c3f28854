package console

import (
	"net/http"
	"strings"
	"time"

	"chancery/internal/access"
	"chancery/internal/pass"
	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/trace"
)

type passView struct {
	Pass        *ra.Pass
	Model       string
	Badge       badge
	Late        bool
	Next        string // what happens next; empty: nothing
	Life        []station
	Trace       traceView
	Events      []*ra.AuditEntry
	Device      link
	User        link
	Group       link
	Template    link
	Authority   link
	Certificate link
	Renews      link
	MayReveal   bool
	MayRevoke   bool
	MayRenew    bool
	CLI         []string
}

func (d passView) refreshAfter() int {
	if passMoves(d.Pass) {
		return 3
	}
	return 0
}

// passNext says what happens next to a pass.
var passNext = map[ra.Action]string{ra.ActionDeliver: "Its parameters are brought to the device", ra.ActionAwait: "The device comes"}

var passPage = view[passView]("pass")

func (v *visit) loadPass() (*ra.Pass, error) {
	return v.Passes.Get(v.ctx(), v.actor, id[ra.PassID](v))
}

func passURL(p *ra.Pass) string { return "/passes/" + string(p.ID) }

func (v *visit) pass() error {
	p, err := v.loadPass()
	if err != nil {
		return err
	}
	t, err := v.Traces.Show(v.ctx(), v.actor, string(p.ID))
	if err != nil {
		return err
	}
	p = t.Pass
	events, err := v.Audit.About(v.ctx(), string(p.ID), 50)
	if err != nil {
		return err
	}
	data := passView{Pass: p, Model: modelTitles[p.Model], Badge: passBadge(p.State), Late: p.Late(v.Now()), Next: passNext[p.Action], Life: passLife(t), Trace: newTrace(t), Events: events,
		Device: v.deviceLink(p.DeviceID), User: v.userLink(p.UserID), Group: v.groupLink(p.GroupID), Template: v.templateLink(p.TemplateID), Authority: v.authorityLink(p.AuthorityID),
		Certificate: linked("The certificate", "/certificates/", string(p.CertificateID)), Renews: linked(string(p.Renews), "/certificates/", string(p.Renews)),
		CLI: []string{"chancery pass show " + string(p.ID), "chancery trace show " + string(p.ID)}}
	if v.may(access.EditDevices, p.GroupID) {
		data.MayReveal, data.MayRevoke = p.State == ra.PassIssued, !p.State.Ended()
	}
	data.MayRenew = p.CertificateID != "" && v.may(access.Request, p.GroupID)
	if data.MayReveal {
		data.CLI = append(data.CLI, "chancery pass parameters "+string(p.ID))
	}
	if data.MayRevoke {
		data.CLI = append(data.CLI, "chancery pass revoke "+string(p.ID))
	}
	return passPage.show(v, http.StatusOK, data)
}

// passLife draws the stops of a pass and those ahead.
func passLife(t *trace.Trace) []station {
	p := t.Pass
	at := func(step string) time.Time {
		for _, l := range t.Lines {
			if l.Step == step {
				return l.At
			}
		}
		return time.Time{}
	}
	line := []station{{Title: "Made", At: p.CreatedAt, By: actorWords(p.CreatedBy), Tone: "calm"}}
	switch {
	case !p.RevealedAt.IsZero():
		s := station{Title: "Parameters given", At: p.RevealedAt, Tone: "calm"}
		if !p.ChallengeUntil.IsZero() {
			s.Note = "Challenge until " + p.ChallengeUntil.UTC().Format("15:04") + " UTC"
		}
		line = append(line, s)
	case p.State == ra.PassIssued:
		line = append(line, station{Title: "Waits for its parameters", At: p.At, Note: "To be brought to the device", Ahead: true})
	}
	if sent := at(pass.StepMessage); !sent.IsZero() {
		line = append(line, station{Title: "Device came", At: sent, Tone: "calm"})
	}
	switch p.State {
	case ra.PassDone:
		s := station{Title: "Certificate given", At: at(pass.StepReply), Tone: "good"}
		if p.CertificateID != "" {
			s.URL = "/certificates/" + string(p.CertificateID)
		}
		line = append(line, s)
		if p.Confirmed {
			line = append(line, station{Title: "Confirmed", At: at(pass.StepInstalled), Note: "Seen on the device or at the authority", Tone: "good"})
		} else {
			line = append(line, station{Title: "Confirmed", Note: "When it is seen elsewhere", Ahead: true})
		}
	case ra.PassFailed:
		line = append(line, station{Title: "Failed", At: p.UpdatedAt, Tone: "bad"})
	case ra.PassExpired:
		line = append(line, station{Title: "Expired", At: p.ExpiresAt, Tone: "bad"})
	case ra.PassRevoked:
		line = append(line, station{Title: "Revoked", At: p.UpdatedAt, Note: clip(p.Reason, 80), Tone: "bad"})
	case ra.PassPending:
		line = append(line, station{Title: "Pending at the server", At: p.Deadline, Note: "Given up then", Ahead: true})
	default:
		line = append(line, station{Title: "Certificate", Ahead: true}, station{Title: "Expires", At: p.ExpiresAt, Ahead: true})
	}
	return line
}

// reasonForm says why a pass is voided.
type reasonForm struct{ Reason string }

// Describe names the field.
func (f *reasonForm) Describe(s *setting.Form) {
	s.Multiline(&f.Reason, "reason", "Reason").MaxLength(1000).Help("Kept in the audit log and in the trace.")
}

func (v *visit) revokePassPage() error { return v.askRevokePass(nil, nil) }

func (v *visit) askRevokePass(posted map[string][]string, wrong error) error {
	p, err := v.loadPass()
	if err != nil {
		return err
	}
	return v.confirm(confirmView{Title: "Revoke the pass", About: p.Subject, Effect: []string{"The device can no longer enrol with it; what it has stays as it is.", "A challenge that was fetched for it stays known to the server until it is too old."},
		Form: form{Cancel: passURL(p), Danger: true}, CLI: []string{"chancery pass revoke " + string(p.ID) + " --reason REASON"}}, &reasonForm{}, posted, wrong)
}

func (v *visit) revokePass() error {
	p, err := v.loadPass()
	if err != nil {
		return err
	}
	posted, err := v.form()
	if err != nil {
		return err
	}
	var f reasonForm
	if err := setting.FromForm(&f, posted); err != nil {
		return v.askRevokePass(posted, err)
	}
	if _, err := v.Passes.Revoke(v.ctx(), v.actor, p.ID, strings.TrimSpace(f.Reason)); err != nil {
		return v.askRevokePass(posted, err)
	}
	return v.done(passURL(p), "The pass is revoked.")
}

func (v *visit) passByCertificatePage() error { return v.askPassByCertificate(nil) }

// askPassByCertificate asks before a pass is made that replaces a certificate.
func (v *visit) askPassByCertificate(wrong error) error {
	c, err := v.loadCertificate()
	if err != nil {
		return err
	}
	return v.confirm(confirmView{Title: "Make a pass to renew it", About: c.Subject,
		Effect: []string{"A new pass is made for the device and template of this certificate.", "The device enrols anew when it is given the parameters of the pass; the present certificate stays until then."},
		Form:   form{Cancel: certificateURL(c), Submit: "Make the pass"}, CLI: []string{"chancery pass renew " + string(c.ID)}}, nil, nil, wrong)
}

func (v *visit) passByCertificate() error {
	c, err := v.loadCertificate()
	if err != nil {
		return err
	}
	p, err := v.Passes.RenewAsked(v.ctx(), v.actor, c.ID)
	if err != nil {
		return v.askPassByCertificate(err)
	}
	return v.done(passURL(p), "The pass is made. Give its parameters to the device when it is about to enrol.")
}

// tracePageView is the trace of a request.
type tracePageView struct {
	Title string
	About link
	State ra.RequestState
	Trace traceView
	CLI   []string
}

func (d tracePageView) refreshAfter() int {
	if moving(d.State) {
		return 3
	}
	return 0
}

var tracePage = view[tracePageView]("trace")

// trace shows the trace of a request; that of a pass is on the page of the pass.
func (v *visit) trace() error {
	t, err := v.Traces.Show(v.ctx(), v.actor, v.r.PathValue("id"))
	if err != nil {
		return err
	}
	if t.Pass != nil {
		return v.redirect(passURL(t.Pass) + "#trace")
	}
	r := t.Request
	data := tracePageView{Title: r.Subject, About: link{"Request", "/requests/" + string(r.ID)}, State: r.State, Trace: newTrace(t), CLI: []string{"chancery trace show " + string(r.ID)}}
	if data.Title == "" {
		data.Title = string(r.ID)
	}
	return tracePage.show(v, http.StatusOK, data)
}
