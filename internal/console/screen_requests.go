package console

import (
	"net/http"
	"net/url"
	"slices"

	"chancery/internal/access"
	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/store"
)

// requestLine is a request in a list.
type requestLine struct {
	*ra.Request
	Device   link
	User     link
	Template link
	Late     bool
}

func (v *visit) requestLines(list []*ra.Request) []requestLine {
	out := make([]requestLine, len(list))
	for i, r := range list {
		out[i] = requestLine{r, v.deviceLink(r.DeviceID), v.userLink(r.UserID), v.templateLink(r.TemplateID), r.Late(v.Now())}
	}
	return out
}

type requestsView struct {
	Filter  filter
	Lines   []requestLine
	Pager   pager
	MayAsk  bool
	Waiting int // requests that wait for people
	Pending bool
	CLI     []string
}

func (d requestsView) refreshAfter() int {
	if d.Pending {
		return 5
	}
	return 0
}

var requestsPage = view[requestsView]("requests")

func (v *visit) requests() error {
	f := store.RequestFilter{Text: v.query("q"), Template: ra.TemplateID(v.query("template")), Device: ra.DeviceID(v.query("device")),
		Authority: ra.AuthorityID(v.query("authority")), Page: v.page()}
	f.Sort = ""
	if s := v.query("state"); s != "" {
		f.States = []ra.RequestState{ra.RequestState(s)}
	}
	list, next, err := v.Enroll.FindRequests(v.ctx(), v.actor, f)
	if err != nil {
		return err
	}
	waiting, _, err := v.Enroll.FindRequests(v.ctx(), v.actor, store.RequestFilter{States: []ra.RequestState{ra.AwaitingApproval}, Page: store.Page{Limit: 100}})
	if err != nil {
		return err
	}
	templates, err := v.templateOptions(nil)
	if err != nil {
		return err
	}
	data := requestsView{Filter: v.filter("Subject, transaction or ID", choice{"state", "State", stateOptions(ra.RequestStates)}, choice{"template", "Template", templates}),
		Lines: v.requestLines(list), Pager: v.pager(next, len(list)), MayAsk: v.mayAnywhere(access.Request), Waiting: len(waiting), CLI: []string{"chancery request list"}}
	data.Filter.Active = data.Filter.Active || f.Device != "" || f.Authority != ""
	data.Pending = slices.ContainsFunc(list, func(r *ra.Request) bool { return moving(r.State) })
	return requestsPage.show(v, http.StatusOK, data)
}

// moving reports whether a request goes on without anybody doing anything.
func moving(s ra.RequestState) bool {
	return s == ra.Requested || s == ra.Approved || s == ra.Submitted || s == ra.PendingAtCA
}

// askForm asks for a certificate.
type askForm struct {
	Template, Device, User, CSR string
}

// Describe names the fields.
func (f *askForm) Describe(s *setting.Form) {
	s.Choice(&f.Template, "template", "Template").Required().Lookup("templates")
	s.Text(&f.Device, "device", "Device").MaxLength(300).Help("Name, platform ID or ID. Leave it empty for a user's own certificate.")
	s.Text(&f.User, "user", "User").MaxLength(300).Help("Only when there is no device, or when it is not the device's own user.")
	s.Multiline(&f.CSR, "csr", "Certificate request").Placeholder("-----BEGIN CERTIFICATE REQUEST-----").
		Help("PKCS#10 as PEM. Leave it empty when the template's keys are made here.")
}

type newRequestView struct {
	Form    form
	Preview *previewView
	CLI     []string
}

var newRequestPage = view[newRequestView]("request_new")

func (v *visit) newRequestPage() error {
	f := &askForm{Template: v.query("template")}
	if d := v.query("device"); d != "" {
		f.Device = d
		if known, err := v.Inventory.Device(v.ctx(), v.actor, ra.DeviceID(d)); err == nil {
			if again, err := v.findDevice("device", known.Name); err == nil && again.ID == known.ID {
				f.Device = known.Name
			}
		}
	}
	return v.askNew(f, nil, nil, nil)
}

func (v *visit) askNew(f *askForm, posted url.Values, preview *previewView, wrong error) error {
	templates, err := v.templateOptions(func(t *ra.Template) bool { return !t.Disabled })
	if err != nil {
		return err
	}
	if templates == nil {
		templates = []option{}
	}
	devices, err := v.deviceOptions()
	if err != nil {
		return err
	}
	users, err := v.userOptions()
	if err != nil {
		return err
	}
	p := v.sort(wrong, map[string]bool{"template": true, "device": true, "user": true, "csr": true, "file": true})
	sets := draw(f, drawing{values: posted, bad: p.byField, options: map[string][]option{"template": templates}, suggest: map[string][]option{"device": devices, "user": users},
		change: func(in *input) {
			if in.Name == "csr" {
				in.Rows, in.Mono = 7, true
			}
		}})
	sets[0].Inputs = append(sets[0].Inputs, input{ID: inputID("file"), Name: "file", Label: "or a file with it", Kind: "file", Placeholder: ".csr,.pem,.p10,.der", Help: "PEM or DER.", Problem: p.byField["file"]})
	return newRequestPage.show(v, statusOf(wrong), newRequestView{
		Form:    form{Action: "/requests/new", Sets: sets, Problem: p.summary, Submit: "Ask for the certificate", Cancel: "/requests", Upload: true},
		Preview: preview, CLI: []string{"chancery request create --template TEMPLATE --device DEVICE --csr request.csr", "chancery request create --template TEMPLATE --device DEVICE --key-here"}})
}

func (v *visit) newRequest() error {
	posted, err := v.form()
	if err != nil {
		return err
	}
	f := &askForm{}
	if err := setting.FromForm(f, posted); err != nil {
		return v.askNew(f, posted, nil, err)
	}
	ask, err := v.readAsk(f)
	if err != nil {
		return v.askNew(f, posted, nil, err)
	}
	if posted.Get("do") == "preview" {
		p, err := v.Enroll.Preview(v.ctx(), v.actor, enroll.TemplateInput{}, ask.Template, ask.Device, ask.User)
		if err != nil {
			return v.askNew(f, posted, nil, err)
		}
		return v.askNew(f, posted, newPreview(p), nil)
	}
	r, err := v.Enroll.Submit(v.ctx(), v.actor, ask)
	if err != nil {
		return v.askNew(f, posted, nil, err)
	}
	if r.CertificateID != "" {
		return v.done("/certificates/"+string(r.CertificateID), "The certificate is issued.")
	}
	return v.done("/requests/"+string(r.ID), "The certificate is asked for.")
}

// readAsk turns what was typed into an Ask.
func (v *visit) readAsk(f *askForm) (enroll.Ask, error) {
	ask := enroll.Ask{Template: ra.TemplateID(f.Template), CSR: []byte(f.CSR), Door: "console", Wait: true}
	d, err := v.findDevice("device", f.Device)
	if err != nil {
		return ask, err
	}
	if d != nil {
		ask.Device = d.ID
	}
	u, err := v.findUser("user", f.User)
	if err != nil {
		return ask, err
	}
	if u != nil {
		ask.User = u.ID
	}
	if d == nil && u == nil {
		return ask, ra.Errorf(ra.Invalid, "A certificate is for a device or a user.").WithField("device").WithRemedy("Choose one of those suggested.")
	}
	file, err := v.content("file", maxForm)
	if err != nil {
		return ask, err
	}
	if file != nil && f.CSR != "" {
		return ask, ra.Errorf(ra.Invalid, "There are two certificate requests.").WithField("file").WithRemedy("Paste it or choose the file, not both.")
	}
	if file != nil {
		ask.CSR = file
	}
	return ask, nil
}
