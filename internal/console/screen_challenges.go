package console

import (
	"net/http"
	"net/url"
	"time"

	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/store"
)

// challengeForm asks for a challenge.
type challengeForm struct {
	Endpoint string
	Life     time.Duration
	Uses     int
}

// Describe names the fields.
func (f *challengeForm) Describe(s *setting.Form) {
	s.Choice(&f.Endpoint, "endpoint", "SCEP endpoint").Required().Lookup("endpoints")
	s.Duration(&f.Life, "life", "Life").Between(time.Minute, 90*24*time.Hour).Help("Such as 1h or 7d. Left empty, the endpoint's own.")
	s.Int(&f.Uses, "uses", "Uses").Between(1, 10).Help("Left empty, the endpoint's own.")
}

// challengeView shows a challenge once.
type challengeView struct {
	Device    *ra.Device
	Challenge *ra.Challenge
	Text      string
	Address   string
	Examples  []example
}

// example is how one client uses the challenge.
type example struct {
	Title string
	Lines string
	Note  string
}

var (
	challengePage = view[challengeView]("challenge")
)

func (v *visit) newChallengePage() error { return v.askChallenge(nil, nil) }

func (v *visit) askChallenge(posted url.Values, wrong error) error {
	d, err := v.loadDevice()
	if err != nil {
		return err
	}
	list, _, err := v.Enroll.FindEndpoints(v.ctx(), v.actor, store.EndpointFilter{Page: pick})
	if err != nil {
		return err
	}
	options := []option{}
	for _, e := range list {
		if !e.Disabled {
			options = append(options, option{Value: string(e.ID), Label: e.Name + ", template " + v.templateLink(e.TemplateID).Title})
		}
	}
	f := &challengeForm{}
	if len(options) == 1 {
		f.Endpoint = options[0].Value
	}
	p := v.sort(wrong, fieldNames(f))
	sets := draw(f, drawing{values: posted, bad: p.byField, options: map[string][]option{"endpoint": options}, change: func(in *input) {
		if in.Name == "uses" && in.Value == "0" || in.Name == "life" && in.Value == "0s" {
			in.Value = ""
		}
		if in.Name == "endpoint" && len(options) == 0 {
			in.Help = "There is no SCEP endpoint yet. Open one first, under SCEP endpoints."
		}
	}})
	return editPage.show(v, statusOf(wrong), editView{Title: "Challenge for " + d.Name, Crumb: link{d.Name, "/devices/" + string(d.ID)},
		Form: form{Action: v.r.URL.Path, Sets: sets, Problem: p.summary, Submit: "Make the challenge", Cancel: "/devices/" + string(d.ID)},
		CLI:  []string{"chancery challenge create --device " + string(d.ID) + " --endpoint NAME"}})
}

func (v *visit) newChallenge() error {
	d, err := v.loadDevice()
	if err != nil {
		return err
	}
	posted, err := v.form()
	if err != nil {
		return err
	}
	var f challengeForm
	if err := setting.FromForm(&f, posted); err != nil {
		return v.askChallenge(posted, err)
	}
	c, text, err := v.Enroll.CreateChallenge(v.ctx(), v.actor, enroll.ChallengeInput{Endpoint: ra.EndpointID(f.Endpoint), Device: d.ID, Life: f.Life, Uses: f.Uses})
	if err != nil {
		return v.askChallenge(posted, err)
	}
	path, err := v.Enroll.ChallengePath(v.ctx(), c.EndpointID, text)
	if err != nil {
		return err
	}
	at := v.address(path.Reveal())
	return challengePage.show(v, http.StatusOK, challengeView{Device: d, Challenge: c, Text: text.Reveal(), Address: at, Examples: examples(at)})
}

// examples tell common clients how to enrol. The challenge goes into a file
// first, so that it is in no list of processes.
func examples(at string) []example {
	return []example{
		{"Is the server reachable?", "curl '" + at + "?operation=GetCACaps'", "Lists what the endpoint can do; needs no challenge."},
		{"certmonger (Red Hat, Debian)", "getcert add-scep-ca -c chancery -u " + at + "\ngetcert request -c chancery -k /etc/ssl/device.key -f /etc/ssl/device.crt -L \"$(cat challenge)\"", "Write the challenge into the file challenge first."},
		{"strongSwan pki", "pki --gen --type rsa --size 2048 > device.der\npki --scepca --url " + at + " --caout ca\npki --scep --url " + at + " --in device.der --password \"$(cat challenge)\" --cacert-enc ca-ra.der --cacert-sig ca.der > device.crt", "The names of the files that scepca writes depend on the chain."},
	}
}

func (v *visit) deleteChallenge() error {
	d, err := v.loadDevice()
	if err != nil {
		return err
	}
	if err := v.Enroll.DeleteChallenge(v.ctx(), v.actor, ra.ChallengeID(v.r.PathValue("challenge"))); err != nil {
		return err
	}
	return v.done("/devices/"+string(d.ID), "The challenge is void.")
}
