package enroll_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net"
	"strings"
	"testing"
	"time"

	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/ca/adcs"
	played "chancery/internal/doubles/adcs"
	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/wire/pkixmsg"
)

// microsoft plays an AD CS of whose directory the world's users are, and adds an
// authority that leads there.
func (w *world) microsoft(t *testing.T) (*played.CA, ra.AuthorityID) {
	cfg := played.Config{Now: w.clock.Now, Templates: played.DefaultTemplates(), Accounts: []played.Account{
		{User: "svc-ra", Password: "Correct-horse 7", Rights: played.Everybody | played.Officer},
		{User: w.ada.Name, UPN: w.ada.UPN, SID: w.ada.SID},
	}}
	for i := range cfg.Templates {
		cfg.Templates[i].KeyBits = 256
	}
	d := played.Start(t, cfg)
	w.authorities.Kinds = append(w.authorities.Kinds, adcs.Kind())
	w.authorities.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		to := d.MapperAddress()
		if port, ok := strings.CutPrefix(address, "ca1.corp.example:"); ok && port != "135" {
			to = net.JoinHostPort("127.0.0.1", port)
		}
		return (&net.Dialer{}).DialContext(ctx, network, to)
	}
	return d, w.authority("adcs", "Corp CA", `{"server": "ca1.corp.example", "user": "CORP\\svc-ra", "password": "Correct-horse 7", "login": "ntlm"}`)
}

// here is a template of the CA's for keys that are made here.
func here(issuing, requester string) ra.TemplateSpec {
	s := vpn()
	s.IssuingTemplate = issuing
	if requester != "" {
		s.Options = map[string]any{ca.RequesterOption: requester}
	}
	return s
}

// TestMicrosoft goes through what a Microsoft CA can be asked: with names and SID in
// the request, by a manager, on behalf of the user by an agent whose certificate
// came the same way; an answer that is lost on the wire is found again.
func TestMicrosoft(t *testing.T) {
	each(t, func(w *world) {
		d, id := w.microsoft(w.t)
		ask := func(spec ra.TemplateSpec) *ra.Request {
			w.t.Helper()
			return w.submit(w.owner, enroll.Ask{Template: w.template(id, spec).ID, Device: w.phone.ID, Wait: true})
		}
		spec := here("WebServer", "")
		spec.SID = true
		r := ask(spec)
		if r.State != ra.Issued {
			w.t.Fatalf("%+v", r)
		}
		leaf := w.verify(w.certificate(r.CertificateID))
		got := ""
		for _, e := range leaf.Extensions {
			if e.Id.String() == pkixmsg.OIDSecurityIdentifier {
				got = must(pkixmsg.ParseSIDExtension(e.Value))(w.t)
			}
		}
		if got != w.ada.SID || w.certificate(r.CertificateID).SANs[0] != "upn:"+w.ada.UPN {
			w.t.Errorf("security identifier %q, names %q", got, w.certificate(r.CertificateID).SANs)
		}

		d.SetFault(played.Fault{At: played.Request, Act: played.CutAfter})
		if r = ask(here("WebServer", "")); r.State != ra.Submitted || len(d.Issued()) != 2 {
			w.t.Fatalf("after its answer was lost: %+v, %d issued", r, len(d.Issued()))
		}
		w.settle(w.node)
		if r = w.request(r.ID); r.State != ra.Issued || len(d.Issued()) != 2 || !w.verify(w.certificate(r.CertificateID)).Equal(d.Issued()[1]) {
			w.t.Errorf("found again: %+v, %d issued", r, len(d.Issued()))
		}

		if r = ask(here("Manual", "")); r.State != ra.PendingAtCA || r.Handle == "" {
			w.t.Fatalf("%+v", r)
		}
		rows := d.Requests()
		if err := d.Approve(rows[len(rows)-1].ID); err != nil {
			w.t.Fatal(err)
		}
		w.clock.Advance(11 * time.Minute)
		w.settle(w.node)
		if r = w.request(r.ID); r.State != ra.Issued {
			w.t.Errorf("%+v", r)
		}
		w.behalf(d, id, ask)
	})
}

// behalf makes an enrollment agent of a certificate that comes from the CA, and asks
// on behalf of the user.
func (w *world) behalf(d *played.CA, id ra.AuthorityID, ask func(ra.TemplateSpec) *ra.Request) {
	w.t.Helper()
	ctx := w.t.Context()
	agent := ask(here("EnrollmentAgent", ""))
	file := must(w.TakeKey(ctx, w.owner, agent.CertificateID, secret.New("pfx password"), ""))(w.t)
	settings := must(json.Marshal(map[string]any{"agent": "file", "agent_file": base64.StdEncoding.EncodeToString(file.PKCS12.Reveal()), "agent_password": file.Password.Reveal()}))(w.t)
	must(w.authorities.Update(ctx, w.owner, id, authority.Input{Settings: settings}))(w.t)

	r := ask(here("MobileUser", `CORP\{EnrollmentUser}`))
	if r.State != ra.Issued {
		w.t.Fatalf("%+v", r)
	}
	rows := d.Requests()
	if last := rows[len(rows)-1]; last.Requester != `CORP\ada` || last.Caller != `CORP\svc-ra` {
		w.t.Errorf("asked for %s by %s", last.Requester, last.Caller)
	}
	if !strings.Contains(w.log.String(), "enrollment agent signed") {
		w.t.Error("the use of the agent's key was not logged")
	}
	name := "by the device"
	spec := here("MobileUser", `CORP\{DeviceReportedName}`)
	_, err := w.CreateTemplate(ctx, w.owner, enroll.TemplateInput{GroupID: &w.acme.ID, AuthorityID: &id, Name: &name, Spec: &spec})
	if e := wantError(w.t, err, ra.Invalid); e.Field != "spec.options.requester_name" {
		w.t.Errorf("field %q: %v", e.Field, err)
	}
	w.noSecrets("Correct-horse 7", file.Password.Reveal())
}
