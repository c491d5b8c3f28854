package caimport_test

import (
	"crypto/x509"
	"testing"

	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/caimport"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/wire/pkixmsg"
)

// TestMatch: whom a certificate is given to, and whom not.
func TestMatch(t *testing.T) {
	each(t, func(w *world) {
		t := w.t.(*testing.T)
		const sid, machineSID = "S-1-5-21-1-2-3-1104", "S-1-5-21-1-2-3-2201"
		anna := w.user("anna", "anna@corp.example", sid, w.unit)
		bert := w.user("bert", "Bert@Corp.Example", "S-1-5-21-1-2-3-1105", w.acme)
		svc := w.user("svc-ndes", "svc@corp.example", "S-1-5-21-1-2-3-1106", w.acme)
		w.user("twin", "twin@corp.example", "", w.acme)
		w.user("twin", "twin@corp.example", "", w.unit)
		w.user("carl", "carl@corp.example", "S-1-5-21-1-2-3-1107", w.other)
		w.write(func(tx *store.Tx) error { // accounts are those of a directory
			d := &ra.Directory{ID: "dir_1", GroupID: w.acme.ID, Name: "Corp", Settings: []byte("{}")}
			if err := tx.CreateDirectory(d, &ra.DirectoryState{ID: d.ID}); err != nil {
				return err
			}
			for i, u := range []*ra.User{bert, svc} {
				u.Directory, u.ObjectGUID = d.ID, string(rune('a'+i))
				if err := tx.UpdateUser(u); err != nil {
					return err
				}
			}
			return nil
		})
		pc := w.device("PC01", "UDID-1", w.unit, anna.ID)
		phone := w.device("Phone", "udid-2", w.acme, "")
		annas := w.device("anna", "udid-3", w.acme, bert.ID)
		w.device("PC02", "udid-4", w.acme, "")
		w.device("pc02", "udid-5", w.unit, "")
		w.device("PC09", "udid-9", w.other, "")
		gone := w.device("PC03", "udid-6", w.acme, "")
		gone.State = ra.DeviceUnenrolled
		w.write(func(tx *store.Tx) error { return tx.UpdateDevice(gone) })

		upn := func(v string) pkixmsg.GeneralName { return pkixmsg.GeneralName{Type: pkixmsg.UPN, Value: v} }
		dns := func(v string) pkixmsg.GeneralName { return pkixmsg.GeneralName{Type: pkixmsg.DNS, Value: v} }
		mail := func(v string) pkixmsg.GeneralName { return pkixmsg.GeneralName{Type: pkixmsg.Email, Value: v} }
		with := func(id string, more ...pkixmsg.GeneralName) func(*x509.Certificate) {
			return func(c *x509.Certificate) {
				c.ExtraExtensions = append(c.ExtraExtensions, plain(t, must(pkixmsg.SIDExtension(id))(t)))
				if len(more) > 0 {
					names(t, more...)(c)
				}
			}
		}
		for name, x := range map[string]struct {
			cn        string
			more      func(*x509.Certificate)
			requester string
			ours      bool
			device    *ra.Device
			user      *ra.User
			group     *ra.Group
		}{
			"SID":                            {cn: "somebody", more: with(sid, upn("bert@corp.example")), user: anna, group: w.unit},
			"SID as URI":                     {cn: "somebody", more: names(t, must(pkixmsg.SIDURI(sid))(t)), user: anna, group: w.unit},
			"SID nobody has, then UPN":       {cn: "somebody", more: with("S-1-5-21-9-9-9-1", upn("BERT@corp.example")), user: bert, group: w.acme},
			"UPN in another case":            {cn: "x", more: names(t, upn("ANNA@CORP.example")), user: anna, group: w.unit},
			"mail":                           {cn: "x", more: names(t, mail("anna@corp.example")), user: anna, group: w.unit},
			"UPN of two":                     {cn: "x", more: names(t, upn("twin@corp.example")), group: w.acme},
			"UPN of another organization":    {cn: "x", more: names(t, upn("carl@corp.example")), group: w.acme},
			"who asked":                      {cn: "bert Doe", requester: `CORP\bert`, user: bert, group: w.acme},
			"who asked for somebody else":    {cn: "iPad 7", requester: `CORP\svc-ndes`, group: w.acme},
			"who asked, in our account":      {cn: "bert", requester: `CORP\bert`, ours: true, group: w.acme},
			"who asked, of no directory":     {cn: "anna Doe", requester: `CORP\carl`, group: w.acme},
			"who asked, beside a UPN":        {cn: "bert", more: names(t, upn("nobody@corp.example")), requester: `CORP\bert`, group: w.acme},
			"DNS name":                       {cn: "", more: names(t, dns("pc01.corp.example")), device: pc, user: anna, group: w.unit},
			"common name":                    {cn: "PC01.corp.example", device: pc, user: anna, group: w.unit},
			"platform ID":                    {cn: "udid-1", device: pc, user: anna, group: w.unit},
			"serial number":                  {cn: "sn-UDID-2", device: phone, group: w.acme},
			"machine account":                {cn: "", more: with(machineSID, dns("pc01.corp.example")), requester: `CORP\PC01$`, device: pc, user: anna, group: w.unit},
			"machine's UPN":                  {cn: "x", more: names(t, upn("PHONE$@corp.example")), device: phone, group: w.acme},
			"device and its user":            {cn: "PC01", more: names(t, upn("anna@corp.example")), device: pc, user: anna, group: w.unit},
			"a person called like a device":  {cn: "anna", more: names(t, upn("anna@corp.example")), user: anna, group: w.unit},
			"a device called like a person":  {cn: "anna", device: annas, user: bert, group: w.acme},
			"device of one, user of another": {cn: "x", more: names(t, dns("pc01.corp.example"), upn("bert@corp.example")), device: pc, user: bert, group: w.unit},
			"name of two devices":            {cn: "PC02", group: w.acme},
			"names of two devices":           {cn: "PC01", more: names(t, dns("phone.corp.example")), group: w.acme},
			"wildcard":                       {cn: "*.corp.example", more: names(t, dns("*.corp.example")), group: w.acme},
			"device of another organization": {cn: "PC09", group: w.acme},
			"device that has left":           {cn: "PC03", group: w.acme},
			"nobody":                         {cn: "web.corp.example", more: names(t, dns("web.corp.example")), requester: `CORP\bert`, group: w.acme},
		} {
			t.Run(name, func(t *testing.T) {
				der := w.cert(x.cn, x.more)
				w.book.Enter(ca.Listed{DER: der, Requester: x.requester, ByUs: x.ours})
				w.setUp(nil)
				run := w.imported(caimport.Order{})
				var device ra.DeviceID
				var user ra.UserID
				if x.device != nil {
					device = x.device.ID
				}
				if x.user != nil {
					user = x.user.ID
				}
				if c := w.row(der); c.DeviceID != device || c.UserID != user || c.GroupID != x.group.ID {
					t.Errorf("device %q, user %q, group %q; want %q, %q, %q", c.DeviceID, c.UserID, c.GroupID, device, user, x.group.ID)
				}
				if known := x.device != nil || x.user != nil; (run.Matched == 1) != known || run.Templates[0].Matched != run.Matched {
					t.Errorf("%+v", run)
				}
			})
		}
	})
}

// TestMatchBelow: an import into a group gives nothing to users and devices above
// it.
func TestMatchBelow(t *testing.T) {
	alone(t, func(w *world) {
		anna := w.user("anna", "anna@corp.example", "", w.acme)
		w.device("PC01", "udid-1", w.acme, anna.ID)
		der := w.cert("PC01", names(w.t, pkixmsg.GeneralName{Type: pkixmsg.UPN, Value: "anna@corp.example"}))
		w.book.Enter(ca.Listed{DER: der})
		w.setUp(func(in *caimport.Input) { in.GroupID = &w.unit.ID })
		w.imported(caimport.Order{})
		if c := w.row(der); c.DeviceID != "" || c.UserID != "" || c.GroupID != w.unit.ID {
			w.t.Errorf("%+v", c)
		}
	})
}

// TestPasses: a pass that waits for its certificate learns of it, by its key or its
// marker, also where it leads to another authority that stands for the same CA; it
// is no import then. A pass at another CA does not.
func TestPasses(t *testing.T) {
	each(t, func(w *world) {
		t, ctx := w.t, w.t.Context()
		ndes, foreign := w.define("NDES", "scripted"), w.define("Other CA", "scripted")
		w.write(func(tx *store.Tx) error {
			return authority.PutChain(tx, ndes.ID, []*x509.Certificate{w.root()})
		})
		const marker = "sceprenew-01234567-89ab-cdef-0123-456789abcdef"
		keys := map[string]signer{"key": newKey(t), "marker": newKey(t), "revoked": newKey(t), "foreign": newKey(t)}
		passes, certs := map[string]*ra.Pass{}, map[string][]byte{}
		for name, a := range map[string]*ra.Authority{"key": ndes, "marker": ndes, "revoked": ndes, "foreign": foreign} {
			in := templateInput(w, a.ID)
			in.Name, in.Spec.Options = ptr("Template of "+name), map[string]any{"profile": "device"}
			tpl := must(w.enroll.CreateTemplate(ctx, w.owner, in))(t)
			p := &ra.Pass{ID: ra.NewID[ra.PassID](ra.PassPrefix, w.clock.Now()), GroupID: w.acme.ID, AuthorityID: a.ID, TemplateID: tpl.ID, DeviceID: w.device("D-"+name, "uid-"+name, w.acme, "").ID,
				Model: ra.PassDelegate, State: ra.PassClaimed, ExpiresAt: w.clock.Now().Add(day), Obligation: ra.Obligation{Action: ra.ActionAwait, At: w.clock.Now().Add(day)}}
			cn := name
			if p.SignerHash = authority.Hash(must(x509.MarshalPKIXPublicKey(keys[name].Public()))(t)); name == "marker" {
				p.SignerHash, p.Marker, cn = "", marker, marker
			}
			w.write(func(tx *store.Tx) error { return tx.CreatePass(p) })
			passes[name] = p
			certs[name] = must(w.script.Certify(x509.Certificate{Subject: pkixName(cn)}, keys[name].Public()))(t)
			l := ca.Listed{DER: certs[name]}
			if name == "revoked" {
				l.State, l.RevokedAt, l.Reason = ra.Revoked, w.clock.Now(), ra.KeyCompromise
			}
			w.book.Enter(l)
		}
		w.setUp(nil)
		if run := w.imported(caimport.Order{Preview: true}); run.Added != 4 || w.count() != 0 {
			t.Errorf("preview: %+v", run)
		}
		if run := w.imported(caimport.Order{}); run.Added != 4 || run.Matched != 3 || run.Strange != 0 {
			t.Errorf("%+v", run)
		}
		for name, p := range passes {
			got, c := must(w.Passes.Get(ctx, w.owner, p.ID))(t), w.row(certs[name])
			_, err := w.From(ctx, w.owner, c.ID)
			if name == "foreign" {
				if got.CertificateID != "" || c.DeviceID != "" || c.AuthorityID != w.authority.ID || err != nil {
					t.Errorf("%s: %+v %+v %v", name, got, c, err)
				}
				continue
			}
			state := ra.Valid
			if name == "revoked" {
				state = ra.Revoked
			}
			if got.State != ra.PassDone || !got.Confirmed || got.CertificateID != c.ID || c.DeviceID != p.DeviceID || c.TemplateID != p.TemplateID || c.AuthorityID != ndes.ID || c.State != state || ra.KindOf(err) != ra.NotFound {
				t.Errorf("%s: %+v %+v %v", name, got, c, err)
			}
		}
		if run := w.imported(caimport.Order{Full: true}); run.Known != 4 || run.Added != 0 || run.Changed != 0 {
			t.Errorf("again: %+v", run)
		}
	})
}
