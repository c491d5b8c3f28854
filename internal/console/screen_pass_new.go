package console

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"chancery/internal/enroll"
	"chancery/internal/pass"
	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/wire/pkixmsg"
)

// passForm asks for a pass.
type passForm struct {
	Device, Template, Model string
	Life                    time.Duration
}

// Describe names the fields.
func (f *passForm) Describe(s *setting.Form) {
	s.Text(&f.Device, "device", "Device").Required().MaxLength(300).Help("Name, platform ID or ID.")
	s.Choice(&f.Template, "template", "Template").Required().Lookup("templates").Help("Those of authorities that have a SCEP server of their own.")
	s.Choice(&f.Model, "model", "Model").Default(string(ra.PassProxy)).Options(
		setting.Option{Value: string(ra.PassProxy), Label: "Proxy: the device talks to Chancery only"}, setting.Option{Value: string(ra.PassDelegate), Label: "Delegate: the device talks to the SCEP server itself"}).
		Help("Through the proxy each step is seen, and the server needs no address on the internet. As a delegate Chancery only fetches the challenge, and learns of the certificate later.")
	s.Duration(&f.Life, "life", "Life").Default(7*24*time.Hour).Between(10*time.Minute, 30*24*time.Hour).
		Help("How long the device may take, such as 2h or 7d. The challenge is fetched only when the parameters are shown, and lives for minutes.")
}

type newPassView struct {
	Form    form
	Preview *previewView
	CLI     []string
}

var newPassPage = view[newPassView]("pass_new")

func (v *visit) newPassPage() error {
	f := &passForm{}
	setting.Defaults(f)
	f.Template = v.query("template")
	if d := v.query("device"); d != "" {
		f.Device = d
		if known, err := v.Inventory.Device(v.ctx(), v.actor, ra.DeviceID(d)); err == nil {
			if again, err := v.findDevice("device", known.Name); err == nil && again.ID == known.ID {
				f.Device = known.Name
			}
		}
	}
	return v.askPass(f, nil, nil, nil)
}

func (v *visit) askPass(f *passForm, posted url.Values, preview *previewView, wrong error) error {
	servers, err := v.forwarders()
	if err != nil {
		return err
	}
	templates, err := v.templateOptions(func(t *ra.Template) bool {
		return !t.Disabled && t.Spec.KeyPlace == ra.KeyOnDevice && servers[t.AuthorityID]
	})
	if err != nil {
		return err
	}
	if templates == nil {
		templates = []option{}
	}
	if f.Template == "" && len(templates) == 1 {
		f.Template = templates[0].Value
	}
	if d, err := v.findDevice("device", f.Device); posted == nil && err == nil && d != nil && f.Template != "" {
		// What cannot be filled yet says so when the form is sent.
		if p, err := v.Enroll.Preview(v.ctx(), v.actor, enroll.TemplateInput{}, ra.TemplateID(f.Template), d.ID, ""); err == nil {
			preview = newPreview(p)
		}
	}
	devices, err := v.deviceOptions()
	if err != nil {
		return err
	}
	// The capability speaks of what it was given, the form of what is typed.
	p := v.sort(renamed(wrong, map[string]string{"template_id": "template", "device_id": "device"}), fieldNames(f))
	sets := draw(f, drawing{values: posted, bad: p.byField, options: map[string][]option{"template": templates}, suggest: map[string][]option{"device": devices}, change: func(in *input) {
		if in.Name == "template" && len(templates) == 0 {
			in.Help = "There is no template that fits. It needs an authority of kind NDES or SCEP server, RSA keys made on the device, and no approvals."
		}
	}})
	return newPassPage.show(v, statusOf(wrong), newPassView{
		Form:    form{Action: "/passes/new", Sets: sets, Problem: p.summary, Submit: "Make the pass", Cancel: "/passes"},
		Preview: preview, CLI: []string{"chancery pass create --template TEMPLATE --device DEVICE --model proxy"}})
}

// renamed gives an error with other names of fields.
func renamed(err error, names map[string]string) error {
	if err == nil {
		return nil
	}
	e := *ra.AsError(err)
	name, ok := names[e.Field]
	if !ok {
		return err
	}
	e.Field = name
	return &e
}

func (v *visit) newPass() error {
	posted, err := v.form()
	if err != nil {
		return err
	}
	f := &passForm{}
	if err := setting.FromForm(f, posted); err != nil {
		return v.askPass(f, posted, nil, err)
	}
	d, err := v.findDevice("device", f.Device)
	if err != nil {
		return v.askPass(f, posted, nil, err)
	}
	in := pass.CreateInput{Template: ra.TemplateID(f.Template), Device: d.ID, Model: ra.PassModel(f.Model), Life: f.Life}
	if posted.Get("do") == "preview" {
		p, err := v.Enroll.Preview(v.ctx(), v.actor, enroll.TemplateInput{}, in.Template, in.Device, "")
		if err != nil {
			return v.askPass(f, posted, nil, err)
		}
		return v.askPass(f, posted, newPreview(p), nil)
	}
	p, err := v.Passes.Create(v.ctx(), v.actor, in)
	if err != nil {
		return v.askPass(f, posted, nil, err)
	}
	return v.done(passURL(p), "The pass is made. Show its parameters when the device is about to enrol.")
}

// passParametersView shows what a client needs, once.
type passParametersView struct {
	Pass       *ra.Pass
	Device     link
	Parameters *pass.Parameters
	Challenge  string
	Names      []string
	Usage      []string
	Purposes   []string
	Wait       string // between tries while the request is pending
	Examples   []example
}

var passParametersPage = view[passParametersView]("pass_parameters")

func (v *visit) passParametersPage() error { return v.askParameters(nil) }

func (v *visit) askParameters(wrong error) error {
	p, err := v.loadPass()
	if err != nil {
		return err
	}
	return v.confirm(confirmView{Title: "Show the parameters", About: p.Subject,
		Effect: []string{"A challenge is fetched from the server, where it makes them. It lives for minutes, and there are few: do this when the device is about to enrol.",
			"Who has them can enrol in place of the device. That they were shown is in the audit log."},
		Form: form{Cancel: passURL(p), Submit: "Show the parameters"}, CLI: []string{"chancery pass parameters " + string(p.ID)}}, nil, nil, wrong)
}

func (v *visit) passParameters() error {
	p, err := v.loadPass()
	if err != nil {
		return err
	}
	given, err := v.Passes.Parameters(v.ctx(), v.actor, p.ID)
	if err != nil {
		return v.askParameters(err)
	}
	data := passParametersView{Pass: given.Pass, Device: v.deviceLink(p.DeviceID), Parameters: given, Names: nameWords(given.SANs), Usage: pkixmsg.KeyUsageNames(given.KeyUsage),
		Purposes: purposeWords(given.EKUs), Examples: passExamples(given), Wait: spanWords(given.RetryDelay)}
	if given.RetryDelay < 2*time.Minute {
		data.Wait = plural(int(given.RetryDelay.Seconds()), "second")
	}
	if given.Challenge.IsSet() {
		data.Challenge = given.Challenge.Reveal()
	}
	return passParametersPage.show(v, http.StatusOK, data)
}

// passExamples tell common clients how to enrol. They read the challenge from a
// file, so that it is in no list of processes.
func passExamples(p *pass.Parameters) []example {
	bits := strings.TrimPrefix(p.KeyType, "rsa-")
	subject := "'" + strings.ReplaceAll(p.Subject, "'", `'\''`) + "'"
	return []example{
		{"certmonger (Red Hat, Debian)", "getcert add-scep-ca -c chancery -u " + p.URL + "\ngetcert request -c chancery -k /etc/ssl/device.key -f /etc/ssl/device.crt -G rsa -g " + bits + " -N " + subject + " -l challenge",
			"Write the challenge into the file challenge first."},
		{"strongSwan pki", "pki --gen --type rsa --size " + bits + " > device.der\npki --scepca --url " + p.URL + " --caout ca\npki --scep --url " + p.URL + " --in device.der --dn " + subject +
			" --password \"$(cat challenge)\" --cacert-enc ca-ra.der --cacert-sig ca.der > device.crt", "The names of the files that scepca writes depend on the chain."},
	}
}
