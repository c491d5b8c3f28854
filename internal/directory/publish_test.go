package directory_test

import (
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"

	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/ca/embedded"
	"chancery/internal/directory"
	"chancery/internal/dirpolicy"
	"chancery/internal/enroll"
	"chancery/internal/ldapdir"
	"chancery/internal/lifecycle"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/store"
	"chancery/internal/wire/pkixmsg"
	"chancery/internal/wire/secdesc"
)

// office issues certificates to the users of a world.
type office struct {
	*world
	enroll    *enroll.Service
	lifecycle *lifecycle.Service
	template  *ra.Template
	conn      *ldapdir.Conn
}

func newOffice(w *world) *office {
	w.t.Helper()
	o := &office{world: w}
	authorities := &authority.Service{DB: w.DB, Box: w.Box, Kinds: []ca.Kind{embedded.Kind()}, Now: w.clock.Now, Log: w.Log, PublicURL: "http://pki.example.test"}
	o.enroll = &enroll.Service{DB: w.DB, Box: w.Box, Authorities: authorities, Queue: w.Queue, Now: w.clock.Now, Log: w.Log, Directories: w.Service}
	o.lifecycle = &lifecycle.Service{DB: w.DB, Box: w.Box, Authorities: authorities, Enroll: o.enroll, Queue: w.Queue, Now: w.clock.Now, Log: w.Log}
	a, err := authorities.Create(w.t.Context(), w.owner, "embedded", authority.Input{GroupID: &w.group.ID, Name: ptr("CA"), Settings: []byte(`{}`)})
	if err != nil {
		w.t.Fatal(err)
	}
	spec := ra.TemplateSpec{Subject: "CN={EnrollmentUser}", SANs: []ra.SANSpec{{Type: "email", Value: "{EmailAddress}"}}, SID: true, KeyType: "p-256", KeyPlace: ra.KeyHere,
		Usage: "both", EKUs: []string{"clientAuth"}, Validity: 90, AutoRenew: true, RenewBefore: 30, Publish: ra.PublishSpec{Certificate: true}}
	if o.template, err = o.enroll.CreateTemplate(w.t.Context(), w.owner, enroll.TemplateInput{GroupID: &w.group.ID, AuthorityID: &a.ID, Name: ptr("Mail"), Spec: &spec}); err != nil {
		w.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(w.samba.CA)
	if o.conn, err = ldapdir.Open(w.t.Context(), ldapdir.Options{Servers: []string{w.samba.Host}, Roots: roots, User: "Administrator@corp.example", Password: secret.New(w.samba.Password), Dial: w.samba.Dial}); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(o.conn.Close)
	return o
}

// issue asks for a certificate of a user.
func (o *office) issue(short string) *ra.Certificate {
	o.t.Helper()
	r, err := o.enroll.Submit(o.t.Context(), o.owner, enroll.Ask{Template: o.template.ID, User: o.user(short).ID, Door: "api", Wait: true})
	if err != nil {
		o.t.Fatal(err)
	}
	return o.certificate(r.CertificateID)
}

func (o *office) certificate(id ra.CertificateID) (c *ra.Certificate) {
	o.t.Helper()
	if err := o.DB.Read(o.t.Context(), func(tx *store.Tx) (err error) {
		c, err = tx.Certificate(id)
		return err
	}); err != nil {
		o.t.Fatal(err)
	}
	return c
}

// publish does what is due.
func (o *office) publish(d *ra.Directory) {
	o.t.Helper()
	if err := o.WorkPublish(o.t.Context(), directory.PublishJob{Directory: d.ID}); err != nil {
		o.t.Fatal(err)
	}
}

// inEntry checks which certificates a user's entry has.
func (o *office) inEntry(short string, want ...*ra.Certificate) {
	o.t.Helper()
	e, err := o.conn.Read(o.t.Context(), o.dn(short), "userCertificate", "objectSid")
	if err != nil {
		o.t.Fatal(err)
	}
	got := e.All("userCertificate")
	ok := len(got) == len(want)
	for _, c := range want {
		ok = ok && slices.ContainsFunc(got, func(der []byte) bool { return string(der) == string(c.DER) })
	}
	if !ok {
		o.t.Errorf("the entry of %s has %d certificates, or others; want %d", short, len(got), len(want))
	}
}

// sidOf gives the security identifier in a certificate.
func sidOf(t *testing.T, c *ra.Certificate) string {
	t.Helper()
	cert, err := x509.ParseCertificate(c.DER)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range cert.Extensions {
		if e.Id.String() == pkixmsg.OIDSecurityIdentifier {
			sid, err := pkixmsg.ParseSIDExtension(e.Value)
			if err != nil {
				t.Fatal(err)
			}
			return sid
		}
	}
	return ""
}

func TestPublication(t *testing.T) {
	each(t, func(w *world) {
		ctx := t.Context()
		w.add("ann", "bob")
		o := newOffice(w)
		d := w.define(nil)
		w.sync(d, directory.Order{})

		// What the directory says by now is in the certificate.
		w.samba.Set(w.dn("ann"), "mail", "fresh@corp.example")
		first := o.issue("ann")
		if !slices.Contains(first.SANs, "email:fresh@corp.example") {
			t.Errorf("the names are %v", first.SANs)
		}
		e, err := o.conn.Read(ctx, w.dn("ann"), "objectSid")
		if err != nil {
			t.Fatal(err)
		}
		if sid, err := secdesc.ParseSID(e.Bytes("objectSid")); err != nil || sidOf(t, first) != sid {
			t.Errorf("the certificate has %q, the directory %q: %v", sidOf(t, first), sid, err)
		}
		o.inEntry("ann")
		w.clock.Advance(time.Minute)
		if err := w.Plan(ctx, directory.PlanJob{}); err != nil {
			t.Fatal(err)
		}
		o.publish(d)
		o.inEntry("ann", first)
		p, err := w.Publication(ctx, w.viewer, first.ID)
		if err != nil || !p.Published || p.Action != ra.ActionNone {
			t.Errorf("the publication: %+v, %v", p, err)
		}

		// A successor takes the place.
		renewal, err := o.lifecycle.Renew(ctx, w.owner, first.ID, true)
		if err != nil {
			t.Fatal(err)
		}
		second := o.certificate(renewal.CertificateID)
		o.publish(d)
		o.inEntry("ann", second)

		// On hold it is not there; then it is again; revoked it is gone.
		third := o.issue("ann")
		o.publish(d)
		o.inEntry("ann", second, third)
		revoke := func(id ra.CertificateID, reason ra.RevocationReason) {
			t.Helper()
			if _, err := o.lifecycle.Revoke(ctx, w.owner, id, reason, ""); err != nil {
				t.Fatal(err)
			}
		}
		revoke(third.ID, ra.CertificateHold)
		o.publish(d)
		o.inEntry("ann", second)
		revoke(third.ID, ra.RemoveFromCRL)
		o.publish(d)
		o.inEntry("ann", second, third)
		revoke(second.ID, ra.CessationOfOperation)
		revoke(third.ID, ra.KeyCompromise)
		o.publish(d)
		o.inEntry("ann")

		// Revoked before it was published it never stays there.
		fourth := o.issue("bob")
		revoke(fourth.ID, ra.KeyCompromise)
		o.publish(d)
		o.inEntry("bob")
		if got := w.trail("certificate.published"); len(got) != 4 {
			t.Errorf("%d publications are in the audit log", len(got))
		}

		// One that nobody can be found for is issued, and says so.
		refused(t, w.Delete(ctx, w.owner, d.ID), "")
		fifth := o.issue("bob")
		_, err = w.Publication(ctx, w.viewer, fifth.ID)
		refused(t, err, ra.NotFound)
	})
}

// TestPublicationFails: what cannot be published waits, says why, and is told
// when it is late.
func TestPublicationFails(t *testing.T) {
	each(t, func(w *world) {
		ctx := t.Context()
		w.add("ann")
		w.samba.AddUser(w.name("svc"), password)
		o := newOffice(w)
		d := w.define(nil)
		w.sync(d, directory.Order{})
		update := func(settings string) {
			t.Helper()
			if _, err := w.Update(ctx, w.owner, d.ID, directory.Input{Settings: []byte(settings)}); err != nil {
				t.Fatal(err)
			}
		}
		update(`{"user":"` + w.name("svc") + `@corp.example","password":"` + password + `"}`)
		c := o.issue("ann")
		waits := func(words string) *ra.Publication {
			t.Helper()
			o.publish(d)
			p, err := w.Publication(ctx, w.viewer, c.ID)
			if err != nil || p.Published || p.Action != ra.ActionPublish || p.Attempts == 0 || !p.At.After(w.clock.Now()) || !strings.Contains(p.LastError, words) {
				t.Errorf("the publication: %+v, %v; want ...%s...", p, err, words)
			}
			return p
		}
		waits("may not write userCertificate")
		o.inEntry("ann")
		w.clock.Advance(time.Hour)
		update(`{"servers":["nobody.corp.example"]}`)
		waits("does not answer")
		w.clock.Advance(48 * time.Hour)
		for range 2 {
			if err := w.Plan(ctx, directory.PlanJob{}); err != nil {
				t.Fatal(err)
			}
		}
		if got := w.trail("publication.overdue"); len(got) != 1 {
			t.Errorf("people were told %d times", len(got))
		}
		var waiting []ra.ObligationRow
		if err := w.DB.Read(ctx, func(tx *store.Tx) (err error) {
			waiting, _, err = tx.FindObligations(store.ObligationFilter{Action: ra.ActionPublish})
			return err
		}); err != nil || len(waiting) != 1 || waiting[0].Kind != "publication" || waiting[0].Title != c.Subject {
			t.Errorf("what waits: %+v, %v", waiting, err)
		}
		if _, err := w.Update(ctx, w.owner, d.ID, directory.Input{Disabled: ptr(true)}); err != nil {
			t.Fatal(err)
		}
		waits("switched off")
		if _, err := w.Update(ctx, w.owner, d.ID, directory.Input{Disabled: ptr(false), Settings: w.settings(nil)}); err != nil {
			t.Fatal(err)
		}
		w.clock.Advance(time.Hour)
		o.publish(d)
		o.inEntry("ann", c)
		refused(t, w.Delete(ctx, w.owner, d.ID), ra.Conflict)

		// With the user the certificate is gone from the directory by itself.
		w.samba.Delete(w.dn("ann"))
		if _, err := o.lifecycle.Revoke(ctx, w.owner, c.ID, ra.CessationOfOperation, ""); err != nil {
			t.Fatal(err)
		}
		o.publish(d)
		if p, err := w.Publication(ctx, w.viewer, c.ID); err != nil || p.Published || p.Action != ra.ActionNone {
			t.Errorf("the publication: %+v, %v", p, err)
		}
	})
}

// TestPublicationInterrupted: cut off at any step, a publication is done once
// more and changes nothing.
func TestPublicationInterrupted(t *testing.T) {
	each(t, func(w *world) {
		w.add("ann")
		o := newOffice(w)
		d := w.define(nil)
		w.sync(d, directory.Order{})
		for _, label := range []string{directory.StepPublishTell, directory.StepPublishNote} {
			c := o.issue("ann")
			cut := func() {
				t.Helper()
				w.Step = func(l string) {
					if l == label {
						panic(label)
					}
				}
				defer func() {
					if w.Step = nil; recover() != label {
						t.Errorf("%s is no step of a publication", label)
					}
				}()
				w.WorkPublish(t.Context(), directory.PublishJob{Directory: d.ID})
			}
			cut()
			o.publish(d)
			o.inEntry("ann", c)
			if _, err := o.lifecycle.Revoke(t.Context(), w.owner, c.ID, ra.CessationOfOperation, ""); err != nil {
				t.Fatal(err)
			}
			cut()
			o.publish(d)
			o.inEntry("ann")
		}
		if got := w.trail("certificate.withdrawn"); len(got) != 2 {
			t.Errorf("%d withdrawals are in the audit log", len(got))
		}
	})
}

// TestRefusedAtIssue: who is not in the directory any more gets nothing, nor
// does anybody while a directory that must be asked is silent.
func TestRefusedAtIssue(t *testing.T) {
	each(t, func(w *world) {
		w.add("ann", "bob", "cid")
		o := newOffice(w)
		d := w.define(map[string]any{"at_issue": dirpolicy.LookupRequire})
		w.sync(d, directory.Order{})
		ask := func(short string) error {
			_, err := o.enroll.Submit(t.Context(), w.owner, enroll.Ask{Template: o.template.ID, User: w.user(short).ID, Door: "api", Wait: true})
			return err
		}
		w.samba.Set(w.dn("ann"), "userAccountControl", "546")
		refused(t, ask("ann"), ra.Denied)
		w.samba.Delete(w.dn("bob"))
		refused(t, ask("bob"), ra.Denied)
		if _, err := w.Update(t.Context(), w.owner, d.ID, directory.Input{Settings: []byte(`{"servers":["nobody.corp.example"]}`)}); err != nil {
			t.Fatal(err)
		}
		refused(t, ask("cid"), ra.Unreachable)
		if _, err := w.Update(t.Context(), w.owner, d.ID, directory.Input{Settings: []byte(`{"at_issue":"try"}`)}); err != nil {
			t.Fatal(err)
		}
		refused(t, ask("cid"), "")
	})
}
