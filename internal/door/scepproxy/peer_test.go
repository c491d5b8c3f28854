package scepproxy_test

import (
	"crypto/x509"
	"encoding/json"
	"net"
	"testing"

	"chancery/internal/authority"
	cascep "chancery/internal/ca/scep"
	"chancery/internal/enroll"
	"chancery/internal/pass"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/testpeer"
)

// behind makes a world whose templates lead to a real SCEP server.
func behind(t *testing.T, settings map[string]any) *world {
	t.Helper()
	w := one(t, cascep.Kind())
	w.auth.Dial = (&net.Dialer{}).DialContext
	name := "real"
	w.authority = must(w.auth.Create(t.Context(), admin, "scep", authority.Input{GroupID: &w.group, Name: &name, Settings: must(json.Marshal(settings))(t)}))(t)
	title := "Real"
	spec := ra.TemplateSpec{Subject: "CN={DeviceUid},O=Example", KeyType: "rsa-2048", KeyPlace: ra.KeyOnDevice, Usage: "both", Validity: 90, AutoRenew: true}
	w.template = must(w.enroll.CreateTemplate(t.Context(), admin, enroll.TemplateInput{GroupID: &w.group, AuthorityID: &w.authority.ID, Name: &title, Spec: &spec}))(t)
	return w
}

// order gives a pass's parameters as a real client takes them.
func (w *world) order(d *ra.Device, p *ra.Pass) (testpeer.SCEPRequest, *client) {
	w.t.Helper()
	v := must(w.passes.Parameters(w.t.Context(), admin, p.ID))(w.t)
	return testpeer.SCEPRequest{CommonName: d.PlatformID, Organization: "Example", Challenge: v.Challenge.Reveal()}, &client{w: w, pass: v.Pass, device: d, url: v.URL}
}

// enrolled wants the certificate that a client has to be in the inventory, by way
// of its pass.
func (c *client) enrolled(got *x509.Certificate) *ra.Pass {
	c.w.t.Helper()
	p := c.is(ra.PassDone)
	var row *ra.Certificate
	must(0, c.w.db.Read(c.w.t.Context(), func(tx *store.Tx) (err error) { row, err = tx.Certificate(p.CertificateID); return err }))(c.w.t)
	if row.Fingerprint != authority.Hash(got.Raw) || row.DeviceID != c.device.ID {
		c.w.t.Errorf("in the inventory is %s for %s", row.Fingerprint, row.DeviceID)
	}
	for _, s := range pass.Steps(c.now()) {
		if s.State == pass.StepFails || s.Number >= 15 && s.Number <= 18 && s.State != pass.StepDone {
			c.w.t.Errorf("step %d is %s: %s", s.Number, s.State, s.Message)
		}
	}
	return p
}

// TestMicroMDM has scepclient enrol through the door at scepserver, both of
// micromdm/scep, and renew with the certificate it got.
func TestMicroMDM(t *testing.T) {
	s := testpeer.StartSCEPServer(t, testpeer.SCEPServerOptions{Challenge: "correct-horse-battery"})
	w := behind(t, map[string]any{"url": s.URL, "floor": "legacy", "legacy_accepted": true, "challenge_type": "static", "challenge": "correct-horse-battery"})
	d := w.device()
	order, c := w.order(d, must(w.passes.Create(t.Context(), admin, pass.CreateInput{Template: w.template.ID, Device: d.ID, Model: ra.PassProxy}))(t))
	first, err := testpeer.NewSCEPClient(t, c.url).Enrol(order)
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, first.Output, w.log)
	}
	p := c.enrolled(first.Certificate)
	if err := first.Certificate.CheckSignatureFrom(s.CA); err != nil {
		t.Error(err)
	}
	_, again := w.order(d, must(w.passes.Renew(t.Context(), admin, p.CertificateID))(t))
	second, err := testpeer.NewSCEPClient(t, again.url).Renew(first)
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, second.Output, w.log)
	}
	again.enrolled(second.Certificate)
	if second.Certificate.SerialNumber.Cmp(first.Certificate.SerialNumber) == 0 {
		t.Error("the certificate was not renewed")
	}
	// Another device cannot use an address that was used.
	if r, err := testpeer.NewSCEPClient(t, again.url).Enrol(order); err == nil {
		t.Errorf("a used address enrolled again: %s", r.Output)
	}
}

// TestStepCA has certmonger enrol through the door at step-ca, with GET requests
// of more than 3,700 characters, and once more with a further pass.
func TestStepCA(t *testing.T) {
	s := testpeer.StartStepCA(t, testpeer.StepCAOptions{Challenge: "correct-horse-battery", IncludeRoot: true})
	w := behind(t, map[string]any{"url": s.URL, "floor": "compat", "challenge_type": "static", "challenge": "correct-horse-battery"})
	peer := testpeer.StartCertmonger(t)
	d := w.device()
	order, c := w.order(d, must(w.passes.Create(t.Context(), admin, pass.CreateInput{Template: w.template.ID, Device: d.ID, Model: ra.PassProxy}))(t))
	enrol := func(name string, c *client) *ra.Pass {
		t.Helper()
		if err := peer.AddSCEP(name, c.url, nil); err != nil {
			t.Fatalf("%v\n%s\n%s", err, peer.Log(), w.log)
		}
		got, err := peer.Enrol(name, order)
		if err != nil {
			t.Fatalf("%v\n%s\n%s", err, peer.Log(), w.log)
		}
		if err := got.Certificate.CheckSignatureFrom(s.Issuing); err != nil {
			t.Error(err)
		}
		return c.enrolled(got.Certificate)
	}
	p := enrol("first", c)
	order, c = w.order(d, must(w.passes.Renew(t.Context(), admin, p.CertificateID))(t))
	renewed := enrol("second", c)
	must(0, w.db.Read(t.Context(), func(tx *store.Tx) error {
		old, err := tx.Certificate(p.CertificateID)
		if err == nil && (old.State != ra.Superseded || old.RenewedBy != renewed.CertificateID) {
			t.Errorf("the old certificate is %s", old.State)
		}
		return err
	}))(t)
}
