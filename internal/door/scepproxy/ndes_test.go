package scepproxy_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"chancery/internal/authority"
	"chancery/internal/ca/ndes"
	played "chancery/internal/doubles/ndes"
	"chancery/internal/enroll"
	"chancery/internal/pass"
	"chancery/internal/pass/passtest"
	"chancery/internal/ra"
	"chancery/internal/wire/cms"
	"chancery/internal/wire/scepmsg"
)

// TestManyAtNDES has 200 devices enrol through the door at a server that knows
// five challenges at once: all get their certificates, none of the challenges is
// wasted, and the server never has to say that it is full.
func TestManyAtNDES(t *testing.T) {
	const password = "Correct-horse 7"
	server := must(played.New(played.Config{Accounts: []played.Account{{User: "enroller", Password: password}}}))(t)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	w := one(t, ndes.Kind())
	w.auth.Dial = (&net.Dialer{}).DialContext
	name, title := "NDES", "Wi-Fi"
	settings := map[string]any{"url": server.URL() + "/certsrv/mscep/mscep.dll", "fingerprint": fmt.Sprintf("%x", sha256.Sum256(server.Root().Raw)),
		"user": `CORP\enroller`, "password": password, "login": "ntlm", "floor": "compat"}
	w.authority = must(w.auth.Create(t.Context(), admin, "ndes", authority.Input{GroupID: &w.group, Name: &name, Settings: must(json.Marshal(settings))(t)}))(t)
	spec := ra.TemplateSpec{Subject: "CN={DeviceUid},O=Example", KeyType: "rsa-2048", KeyPlace: ra.KeyOnDevice, Usage: "both", Validity: 90, AutoRenew: true}
	w.template = must(w.enroll.CreateTemplate(t.Context(), admin, enroll.TemplateInput{GroupID: &w.group, AuthorityID: &w.authority.ID, Name: &title, Spec: &spec}))(t)

	devices := make([]*ra.Device, 200)
	for i := range devices {
		devices[i] = w.device()
	}
	var all sync.WaitGroup
	for _, d := range devices {
		all.Go(func() {
			p, err := w.passes.Create(t.Context(), admin, pass.CreateInput{Template: w.template.ID, Device: d.ID, Model: ra.PassProxy})
			if err != nil {
				t.Error(err)
				return
			}
			v, err := w.passes.Parameters(t.Context(), admin, p.ID)
			if err != nil {
				t.Errorf("%s: %v", d.Name, err)
				return
			}
			c := &client{w: w, pass: p, device: d, url: v.URL}
			certs, err := scepmsg.ParseCACert(c.get("operation=GetCACert").body, cms.Limits{})
			if err != nil {
				t.Errorf("%s: %v", d.Name, err)
				return
			}
			c.Device = passtest.NewDevice(time.Now(), deviceKeys[0](), scepmsg.ChooseRA(certs), v.Subject, v.Challenge.Reveal())
			r := c.post(c.Message(nil))
			m, err := scepmsg.Parse(r.body, scepmsg.Options{})
			if err != nil || m.Status != scepmsg.Success {
				t.Errorf("%s: HTTP %d, %v: %+v", d.Name, r.status, err, m)
			}
		})
	}
	all.Wait()
	if n := len(server.Issued()); n != len(devices) || len(server.Refused()) != 0 {
		t.Errorf("%d certificates, refused: %+v", n, server.Refused())
	}
	if c := server.Counts(); c.CacheFull != 0 || c.Burnt != 0 || c.Minted != len(devices) || c.Used != len(devices) || c.Outstanding != 0 {
		t.Errorf("the server counts %+v", c)
	}
	if out, waiting, err := w.auth.Slots(w.authority.ID).Out(t.Context()); err != nil || out != 0 || waiting != 0 {
		t.Errorf("%d challenges are out, %d wait (%v)", out, waiting, err)
	}
}
