package enroll_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"chancery/internal/enroll"
	"chancery/internal/inventory"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/wire/pkixmsg"
)

func TestTemplates(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		manager := actor("m", ra.RoleManager, w.acme)
		in := func(change func(*enroll.TemplateInput)) enroll.TemplateInput {
			i := enroll.TemplateInput{GroupID: &w.acme.ID, AuthorityID: &w.inner, Name: ptr("Wi-Fi"), Spec: ptr(wifi())}
			change(&i)
			return i
		}
		fixture := func(want string) ra.TemplateTest {
			return ra.TemplateTest{Name: "a phone", Values: map[string]string{"DeviceUid": "U", "Organization": "O", "Country": "DE", "UserPrincipalName": "a@b"},
				Want: ra.TemplateWant{Subject: want, SANs: []string{"upn:a@b"}}}
		}
		for name, c := range map[string]struct {
			actor  ra.Actor
			change func(*enroll.TemplateInput)
			kind   ra.Kind
			field  string
		}{
			"no name":            {manager, func(i *enroll.TemplateInput) { i.Name = ptr(" ") }, ra.Invalid, "name"},
			"long name":          {manager, func(i *enroll.TemplateInput) { i.Name = ptr(strings.Repeat("x", 201)) }, ra.Invalid, "name"},
			"no group":           {manager, func(i *enroll.TemplateInput) { i.GroupID = nil }, ra.Invalid, "group_id"},
			"no authority":       {manager, func(i *enroll.TemplateInput) { i.AuthorityID = nil }, ra.Invalid, "authority_id"},
			"unknown authority":  {manager, func(i *enroll.TemplateInput) { i.AuthorityID = ptr(ra.AuthorityID("ca_x")) }, ra.NotFound, ""},
			"may only look":      {actor("v", ra.RoleViewer, w.acme), func(*enroll.TemplateInput) {}, ra.Denied, ""},
			"elsewhere":          {actor("o", ra.RoleManager, w.other), func(*enroll.TemplateInput) {}, ra.NotFound, ""},
			"foreign authority":  {actor("o", ra.RoleManager, w.other), func(i *enroll.TemplateInput) { i.GroupID = &w.other.ID }, ra.NotFound, ""},
			"bad field":          {manager, func(i *enroll.TemplateInput) { i.Spec.KeyType = "x" }, ra.Invalid, "spec.key_type"},
			"own test fails":     {manager, func(i *enroll.TemplateInput) { i.Spec.Tests = []ra.TemplateTest{fixture("CN=U")} }, ra.Invalid, "spec.tests[0]"},
			"nobody named at CA": {manager, func(i *enroll.TemplateInput) { i.Spec.Subject, i.Spec.SANs = "", nil }, ra.Invalid, "spec.subject"},
		} {
			i := in(c.change)
			_, err := w.CreateTemplate(ctx, c.actor, i)
			if e := wantError(w.t, err, c.kind); e.Field != c.field {
				w.t.Errorf("%s: field %q: %v", name, e.Field, err)
			}
		}
		tpl := must(w.CreateTemplate(ctx, manager, in(func(i *enroll.TemplateInput) { i.Spec.Tests = []ra.TemplateTest{fixture("CN=U,O=O,C=DE")} })))(w.t)
		if tpl.Revision != 1 || tpl.Spec.CSRPolicy != "match" || !slices.Equal(tpl.Spec.EKUs, []string{"1.3.6.1.5.5.7.3.2"}) {
			w.t.Errorf("%+v", tpl)
		}
		_, err := w.CreateTemplate(ctx, manager, in(func(*enroll.TemplateInput) {}))
		wantError(w.t, err, ra.Conflict)

		// A change that its tests catch is not saved; a name changes nothing that
		// is issued.
		bad := tpl.Spec
		bad.Subject = "CN={DeviceUid}"
		_, err = w.UpdateTemplate(ctx, manager, tpl.ID, enroll.TemplateInput{Spec: &bad})
		if e := wantError(w.t, err, ra.Invalid); !strings.Contains(e.Message, "a phone") {
			w.t.Errorf("%+v", e)
		}
		if got := must(w.Template(ctx, manager, tpl.ID))(w.t); got.Spec.Subject != tpl.Spec.Subject || got.Revision != 1 {
			w.t.Errorf("saved all the same: %+v", got)
		}
		if got := must(w.UpdateTemplate(ctx, manager, tpl.ID, enroll.TemplateInput{Name: ptr("Wi-Fi 2")}))(w.t); got.Revision != 1 || got.Name != "Wi-Fi 2" {
			w.t.Errorf("%+v", got)
		}
		next := tpl.Spec
		next.Validity = 30
		next.RenewBefore = 10
		if got := must(w.UpdateTemplate(ctx, manager, tpl.ID, enroll.TemplateInput{Spec: &next}))(w.t); got.Revision != 2 {
			w.t.Errorf("%+v", got)
		}
		var details struct{ Changes []struct{ Field string } }
		w.read(func(tx *store.Tx) error {
			list, _, err := tx.Audit(store.AuditFilter{Code: "template.changed", Object: string(tpl.ID)})
			if err != nil || len(list) != 2 {
				w.t.Fatalf("%d changes in the audit log, %v", len(list), err)
			}
			return json.Unmarshal(list[0].Details, &details)
		})
		if len(details.Changes) != 2 || details.Changes[0].Field != "spec.renew_before_days" || details.Changes[1].Field != "spec.validity_days" {
			w.t.Errorf("changes %+v", details.Changes)
		}
		// Who may not see it may neither change nor move it.
		_, err = w.UpdateTemplate(ctx, actor("o", ra.RoleOwner, w.other), tpl.ID, enroll.TemplateInput{Name: ptr("mine")})
		wantError(w.t, err, ra.NotFound)
		_, err = w.UpdateTemplate(ctx, manager, tpl.ID, enroll.TemplateInput{GroupID: &w.other.ID})
		wantError(w.t, err, ra.NotFound)
		_, err = w.Template(ctx, actor("o", ra.RoleOwner, w.other), tpl.ID)
		wantError(w.t, err, ra.NotFound)
		if list, _, err := w.FindTemplates(ctx, actor("o", ra.RoleOwner, w.other), store.TemplateFilter{}); err != nil || len(list) != 0 {
			w.t.Errorf("%d, %v", len(list), err)
		}

		// Used, it stays; unused, it goes.
		r := w.asked(tpl)
		if r.TemplateRev != 2 {
			w.t.Errorf("revision %d", r.TemplateRev)
		}
		if e := wantError(w.t, w.DeleteTemplate(ctx, manager, tpl.ID), ra.Conflict); !strings.Contains(e.Remedy, "Switch it off") {
			w.t.Errorf("%+v", e)
		}
		unused := w.template(w.inner, wifi())
		if err := w.DeleteTemplate(ctx, actor("op", ra.RoleOperator, w.acme), unused.ID); ra.KindOf(err) != ra.Denied {
			w.t.Errorf("%v", err)
		}
		if err := w.DeleteTemplate(ctx, manager, unused.ID); err != nil {
			w.t.Error(err)
		}
	})
}

// TestPreview: what is shown before saving is what the certificate says.
func TestPreview(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		must(w.inv.UpdateDevice(ctx, w.owner, w.phone.ID, inventory.DeviceInput{Platform: ptr(ra.Windows)}))(w.t)
		spec := vpn()
		spec.Subject, spec.SID, spec.SIDInURI, spec.EKUs = "CN={DisplayName},O={Organization}", true, true, nil
		must(w.inv.UpdateUser(ctx, w.owner, w.ada.ID, inventory.UserInput{DisplayName: ptr("Ada, née Byron")}))(w.t)
		in := enroll.TemplateInput{GroupID: &w.acme.ID, AuthorityID: &w.inner, Name: ptr("New"), Spec: &spec}
		viewer := actor("v", ra.RoleViewer, w.acme)
		p, err := w.Preview(ctx, viewer, in, "", w.phone.ID, "")
		if err != nil {
			w.t.Fatal(err)
		}
		if p.Fill.Subject != `CN=Ada\, née Byron,O=Berlin` || len(p.Fill.SANs) != 2 || p.Fill.SID != w.ada.SID || len(p.Fill.Warnings) != 1 || p.Tree == nil {
			w.t.Errorf("%+v", p.Fill)
		}
		shown, err := pkixmsg.ParseCSR(p.CSR)
		if err != nil || shown.CheckSignature() != nil || shown.Subject.String() != p.Fill.Subject {
			w.t.Errorf("%v, %v", shown, err)
		}
		names := map[string]string{}
		for _, e := range p.Extensions {
			names[e.Name] = e.Value
		}
		if names["keyUsage"] != "digitalSignature, keyAgreement" || !strings.Contains(names["subjectAltName"], "upn:ada@corp.example.org") || names["ntdsSecurityExtension"] != w.ada.SID {
			w.t.Errorf("extensions %q", names)
		}
		// Stored and issued: every extension shown is in the certificate, byte by byte.
		tpl := must(w.CreateTemplate(ctx, w.owner, in))(w.t)
		p, err = w.Preview(ctx, viewer, enroll.TemplateInput{}, tpl.ID, w.phone.ID, "")
		if err != nil {
			w.t.Fatal(err)
		}
		shown = must(pkixmsg.ParseCSR(p.CSR))(w.t)
		r := w.submit(w.owner, enroll.Ask{Template: tpl.ID, Device: w.phone.ID, Wait: true})
		leaf := must(x509.ParseCertificate(w.certificate(r.CertificateID).DER))(w.t)
		if !slices.Equal(leaf.RawSubject, shown.RawSubject) {
			w.t.Error("the certificate has another subject")
		}
		for _, e := range shown.Extensions {
			if !slices.ContainsFunc(leaf.Extensions, func(x pkix.Extension) bool {
				return x.Id.String() == e.OID && slices.Equal(x.Value, e.Value) && x.Critical == e.Critical
			}) {
				w.t.Errorf("the certificate lacks %s as shown", e.OID)
			}
		}
		// An unsaved change of a stored one.
		spec.Subject = "CN={Nope}"
		_, err = w.Preview(ctx, viewer, enroll.TemplateInput{Spec: &spec}, tpl.ID, w.phone.ID, "")
		if e := wantError(w.t, err, ra.Invalid); e.Field != "subject" {
			w.t.Errorf("%+v", e)
		}
		spec.Subject = "CN={MiddleName}"
		_, err = w.Preview(ctx, viewer, enroll.TemplateInput{Spec: &spec}, tpl.ID, w.phone.ID, "")
		if e := wantError(w.t, err, ra.Invalid); !strings.Contains(e.Message, "phone") || !strings.Contains(e.Message, "New") || !strings.Contains(e.Message, "{MiddleName}") {
			w.t.Errorf("%+v", e)
		}
		// Nobody learns from a preview what they may not see.
		spec.Subject = "CN={EmailAddress}"
		for name, c := range map[string]struct {
			actor  ra.Actor
			device ra.DeviceID
			user   ra.UserID
			kind   ra.Kind
		}{
			"foreign device":       {actor("o", ra.RoleOwner, w.other), w.phone.ID, "", ra.NotFound},
			"sibling's user":       {actor("b", ra.RoleManager, w.berlin), w.phone.ID, w.pia.ID, ra.NotFound},
			"other organization":   {w.owner, w.phone.ID, w.eve.ID, ra.Invalid},
			"no such device":       {viewer, "dev_x", "", ra.NotFound},
			"foreign user":         {actor("o", ra.RoleOwner, w.other), "", w.ada.ID, ra.NotFound},
			"nobody in particular": {ra.Actor{}, w.phone.ID, "", ra.NotFound},
		} {
			id := tpl.ID
			_, err := w.Preview(ctx, c.actor, enroll.TemplateInput{Spec: &spec, AuthorityID: &w.inner}, id, c.device, c.user)
			if ra.KindOf(err) != c.kind {
				w.t.Errorf("%s: %v", name, err)
			}
			if c.actor.ID != w.owner.ID {
				_, err = w.Preview(ctx, c.actor, enroll.TemplateInput{Spec: &spec, AuthorityID: &w.inner}, "", c.device, c.user)
				if ra.KindOf(err) != ra.NotFound {
					w.t.Errorf("%s, unsaved: %v", name, err)
				}
			}
		}
		if p, err := w.Preview(ctx, viewer, enroll.TemplateInput{Spec: &spec}, tpl.ID, "", w.pia.ID); err != nil || p.Fill.Subject != "CN=pia@example.org" {
			w.t.Errorf("for a user: %v, %v", p, err)
		}
	})
}
