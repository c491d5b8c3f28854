package keydelivery_test

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"chancery/internal/directory"
	"chancery/internal/enroll"
	"chancery/internal/inventory"
	"chancery/internal/keydelivery"
	"chancery/internal/ldapdir"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/store"
	"chancery/internal/testpeer"
)

const keyPassword = "a long Password for keys"

// domain is a part of a directory that a world has for itself.
type domain struct {
	*world
	samba *testpeer.Samba
	conn  *ldapdir.Conn
	unit  string // distinguished name of the part
	name  string // of its user
	d     *ra.Directory
	to    store.KeyReceiver
}

var domains atomic.Int64

func newDomain(w *world, settings map[string]any) *domain {
	w.t.Helper()
	samba := testpeer.SharedSamba(w.t)
	n := domains.Add(1)
	o := &domain{world: w, samba: samba, unit: fmt.Sprintf("OU=Keys %d,%s", n, samba.BaseDN), name: fmt.Sprintf("k%dbob", n)}
	w.Directories.Dial = samba.Dial
	samba.Add(o.unit, "objectClass", "organizationalUnit")
	samba.Modify(fmt.Sprintf("dn: %s\nchangetype: add\nobjectClass: user\nsAMAccountName: %[2]s\nuserPrincipalName: %[2]s@corp.example\nmail: %[2]s@corp.example\nuserAccountControl: 544\n\n", o.dn(), o.name))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(samba.CA)
	o.conn = must(ldapdir.Open(w.t.Context(), ldapdir.Options{Servers: []string{samba.Host}, Roots: roots, User: "Administrator@corp.example", Password: secret.New(samba.Password), Dial: samba.Dial}))(w.t)
	w.t.Cleanup(o.conn.Close)
	all := map[string]any{"servers": []string{samba.Host}, "roots": string(samba.CA), "user": "Administrator@corp.example", "password": samba.Password, "base": o.unit, "at_issue": "off"}
	for k, v := range settings {
		all[k] = v
	}
	name := fmt.Sprintf("Corp %d", n)
	o.d = must(w.Directories.Create(w.t.Context(), w.owner, directory.Input{GroupID: &w.group.ID, Name: &name, Settings: must(json.Marshal(all))(w.t)}))(w.t)
	o.to = store.KeyReceiver{Directory: o.d.ID}
	must(w.Directories.Sync(w.t.Context(), w.owner, o.d.ID, directory.Order{}))(w.t)
	if err := w.Directories.WorkSync(w.t.Context(), directory.SyncJob{Directory: o.d.ID}); err != nil {
		w.t.Fatal(err)
	}
	w.read(func(tx *store.Tx) (err error) {
		w.user, err = tx.UserByName(w.group.ID, o.name)
		return err
	})
	return o
}

func (o *domain) dn() string { return "CN=" + o.name + "," + o.unit }

func (o *domain) change(settings string) {
	o.t.Helper()
	must(o.Directories.Update(o.t.Context(), o.owner, o.d.ID, directory.Input{Settings: []byte(settings)}))(o.t)
}

// inEntry checks which certificates have their keys in the user's entry, and that
// each opens with a password.
func (o *domain) inEntry(attribute, password string, want ...*ra.Certificate) [][]byte {
	o.t.Helper()
	values := must(o.conn.Read(o.t.Context(), o.dn(), attribute))(o.t).All(attribute)
	left := map[string]bool{}
	for _, c := range want {
		left[string(c.DER)] = true
	}
	for _, v := range values {
		key, leaf, issuers, err := pkcs12.DecodeChain(v, password)
		if err != nil {
			o.t.Errorf("a value does not open: %v", err)
			continue
		}
		if !left[string(leaf.Raw)] || !leaf.PublicKey.(*ecdsa.PublicKey).Equal(key.(*ecdsa.PrivateKey).Public()) || len(issuers) == 0 {
			o.t.Errorf("a value is of %s, with %d issuers", leaf.Subject, len(issuers))
		}
		delete(left, string(leaf.Raw))
	}
	if len(left) > 0 || len(values) != len(want) {
		o.t.Errorf("the entry has %d keys, want %d; %d are missing", len(values), len(want), len(left))
	}
	return values
}

func TestToDirectory(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		o := newDomain(w, map[string]any{"key_password": keyPassword})
		keep := w.template(ra.PublishSpec{Key: ra.KeyToDirectory})
		first := w.issue(keep, w.user.ID)
		w.stands(first, false, ra.ActionHandOver)
		refused(w.t, w.Directories.Delete(ctx, w.owner, o.d.ID), ra.Conflict, "Keys wait")
		w.work(o.to)
		w.stands(first, true, ra.ActionNone)
		values := o.inEntry("userPKCS12", keyPassword, first)

		// OpenSSL reads it; nothing old protects it.
		said, err := testpeer.OpenSSL(w.t, "", values[0], "pkcs12", "-info", "-noout", "-passin", "pass:"+keyPassword)
		if err != nil {
			w.t.Errorf("%v\n%s", err, said)
		}
		_, err = testpeer.OpenSSL(w.t, "", values[0], "pkcs12", "-info", "-noout", "-passin", "pass:"+keyPassword+"x")
		if err == nil {
			w.t.Error("another password opens it, too")
		}
		asn1 := string(must(testpeer.OpenSSL(w.t, "", values[0], "asn1parse", "-inform", "DER", "-strparse", "26"))(w.t))
		if strings.Contains(asn1, "RC2") || strings.Contains(asn1, "3DES") || strings.Contains(asn1, "3-Key") || !strings.Contains(asn1, "PBES2") {
			w.t.Errorf("the value is protected by\n%s", asn1)
		}

		// What others wrote stays; a successor takes the place of its predecessor,
		// under the password of that moment.
		if err := o.conn.AddValue(ctx, o.dn(), "userPKCS12", []byte("somebody else's")); err != nil {
			w.t.Fatal(err)
		}
		o.change(`{"key_password":"` + keyPassword + ` of today"}`)
		second := w.renew(first.ID)
		w.work(o.to)
		w.stands(first, false, ra.ActionNone)
		w.stands(second, true, ra.ActionNone)
		if err := o.conn.RemoveValue(ctx, o.dn(), "userPKCS12", []byte("somebody else's")); err != nil {
			w.t.Fatal(err)
		}
		o.inEntry("userPKCS12", keyPassword+" of today", second)

		// Another attribute counts from then on, for what is replaced too.
		o.change(`{"key_password":"` + keyPassword + `","key_attribute":"userSMIMECertificate"}`)
		third := w.renew(second.ID)
		late := w.stands(third, false, ra.ActionHandOver)
		late.At = w.clock.Now().Add(time.Hour)
		if err := w.DB.Write(ctx, func(tx *store.Tx) error { return tx.UpdateKeyDelivery(late) }); err != nil {
			w.t.Fatal(err)
		}
		fourth := w.renew(third.ID)
		w.work(o.to)
		w.clock.Advance(2 * time.Hour)
		w.work(o.to) // the third comes too late
		o.inEntry("userPKCS12", keyPassword)
		o.inEntry("userSMIMECertificate", keyPassword, fourth)
		w.stands(third, false, ra.ActionNone)
		w.stands(fourth, true, ra.ActionNone)
		o.change(`{"key_attribute":"userPKCS12"}`)

		// Revocation leaves the key there, unless the template says otherwise.
		w.revoke(fourth.ID, ra.CessationOfOperation)
		w.work(o.to)
		w.stands(fourth, true, ra.ActionNone)
		o.inEntry("userSMIMECertificate", keyPassword, fourth)
		takes := w.template(ra.PublishSpec{Key: ra.KeyToDirectory, WithdrawKey: true})
		fifth := w.issue(takes, w.user.ID)
		w.work(o.to)
		o.inEntry("userPKCS12", keyPassword, fifth)
		w.revoke(fifth.ID, ra.CertificateHold)
		w.stands(fifth, true, ra.ActionNone)
		w.revoke(fifth.ID, ra.KeyCompromise)
		w.stands(fifth, true, ra.ActionTakeBack)
		w.work(o.to)
		w.stands(fifth, false, ra.ActionNone)
		o.inEntry("userPKCS12", keyPassword)
		sixth := w.issue(takes, w.user.ID)
		w.revoke(sixth.ID, ra.KeyCompromise)
		w.work(o.to)
		w.stands(sixth, false, ra.ActionNone)
		o.inEntry("userPKCS12", keyPassword)

		// Former keys stay where the template says so, whatever comes first.
		keeps := w.template(ra.PublishSpec{Key: ra.KeyToDirectory, KeepFormer: true, WithdrawKey: true})
		oldest := w.issue(keeps, w.user.ID)
		waits := w.stands(oldest, false, ra.ActionHandOver)
		waits.At = w.clock.Now().Add(time.Hour)
		if err := w.DB.Write(ctx, func(tx *store.Tx) error { return tx.UpdateKeyDelivery(waits) }); err != nil {
			w.t.Fatal(err)
		}
		newer := w.renew(oldest.ID)
		w.work(o.to)
		w.clock.Advance(2 * time.Hour)
		w.work(o.to)
		newest := w.renew(newer.ID)
		w.work(o.to)
		o.inEntry("userPKCS12", keyPassword, oldest, newer, newest)
		w.revoke(newer.ID, ra.KeyCompromise)
		w.work(o.to)
		o.inEntry("userPKCS12", keyPassword, oldest, newest)
		if delivered, withdrawn := len(w.trail("key.delivered")), len(w.trail("key.withdrawn")); delivered != 7 || withdrawn != 2 {
			w.t.Errorf("%d deliveries and %d withdrawals are in the audit log", delivered, withdrawn)
		}

		// Whoever comes from no directory has no key brought to one.
		cid := must(w.inv.CreateUser(ctx, w.owner, inventory.UserInput{GroupID: &w.group.ID, Name: ptr("cid")}))(w.t)
		_, err = w.Delivery(ctx, w.viewer, w.issue(keep, cid.ID).ID)
		refused(w.t, err, ra.NotFound, "")
	})
}

// TestDirectoryFails: what cannot be written waits and says why.
func TestDirectoryFails(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		o := newDomain(w, nil)
		in := enroll.TemplateInput{GroupID: &w.below.ID, AuthorityID: &w.authority.ID, Name: ptr("Keys"), Spec: spec(ra.PublishSpec{Key: ra.KeyToDirectory})}
		_, err := w.enroll.CreateTemplate(ctx, w.owner, in)
		refused(w.t, err, ra.Invalid, "takes keys")
		o.change(`{"key_password":"` + keyPassword + `"}`)
		must(w.enroll.CreateTemplate(ctx, w.owner, in))(w.t) // a directory of a group above
		in.GroupID = &w.other.ID
		_, err = w.enroll.CreateTemplate(ctx, w.owner, in)
		refused(w.t, err, ra.Invalid, "takes keys")

		for settings, field := range map[string]string{`{"key_password":"too short"}`: "settings.key_password", `{"key_password":"long enough, with a 😀 in it"}`: "settings.key_password", `{"key_attribute":"user PKCS12"}`: "settings.key_attribute"} {
			_, err := w.Directories.Update(ctx, w.owner, o.d.ID, directory.Input{Settings: []byte(settings)})
			refused(w.t, err, ra.Invalid, field)
		}

		c := w.issue(w.template(ra.PublishSpec{Key: ra.KeyToDirectory}), w.user.ID)
		waits := func(words string) {
			w.t.Helper()
			w.work(o.to)
			if d := w.stands(c, false, ra.ActionHandOver); !strings.Contains(d.LastError, words) || !d.At.After(w.clock.Now()) {
				w.t.Errorf("the delivery: %+v; want ...%s...", d, words)
			}
			w.clock.Advance(7 * time.Hour)
		}
		o.change(`{"key_password":null}`)
		waits("no password for keys")
		o.samba.AddUser(o.name+"svc", "Pa55-word")
		o.change(`{"key_password":"` + keyPassword + `","user":"` + o.name + `svc@corp.example","password":"Pa55-word"}`)
		waits("may not write userPKCS12")
		must(w.Directories.Update(ctx, w.owner, o.d.ID, directory.Input{Disabled: ptr(true)}))(w.t)
		waits("switched off")
		must(w.Directories.Update(ctx, w.owner, o.d.ID, directory.Input{Disabled: ptr(false)}))(w.t)
		o.change(`{"user":"Administrator@corp.example","password":"` + o.samba.Password + `","servers":["nobody.corp.example"]}`)
		waits("does not answer")
		o.change(`{"servers":["` + o.samba.Host + `"]}`)
		w.work(o.to)
		w.stands(c, true, ra.ActionNone)
		o.inEntry("userPKCS12", keyPassword, c)
		if text := w.log.String(); strings.Contains(text, keyPassword) || !strings.Contains(text, "not delivered") {
			w.t.Error("the log has the password of keys, or nothing about what failed")
		}

		// With its entry the key is gone from there by itself.
		takes := w.template(ra.PublishSpec{Key: ra.KeyToDirectory, WithdrawKey: true})
		last := w.issue(takes, w.user.ID)
		w.work(o.to)
		o.samba.Delete(o.dn())
		w.revoke(last.ID, ra.CessationOfOperation)
		w.work(o.to)
		w.stands(last, false, ra.ActionNone)
		if err := w.Directories.Delete(ctx, w.owner, o.d.ID); err != nil {
			w.t.Errorf("nothing waits for the directory: %v", err)
		}
	})
}

// TestDirectoryInterrupted: cut off at any step, a key is in the entry once.
func TestDirectoryInterrupted(t *testing.T) {
	each(t, func(w *world) {
		o := newDomain(w, map[string]any{"key_password": keyPassword})
		tpl := w.template(ra.PublishSpec{Key: ra.KeyToDirectory, WithdrawKey: true})
		for _, label := range []string{keydelivery.StepMark, keydelivery.StepTell, keydelivery.StepNote} {
			first := w.issue(tpl, w.user.ID)
			w.cut(label, o.to)
			w.work(o.to)
			w.stands(first, true, ra.ActionNone)
			o.inEntry("userPKCS12", keyPassword, first)
			second := w.renew(first.ID)
			w.cut(label, o.to)
			w.work(o.to)
			w.stands(first, false, ra.ActionNone)
			o.inEntry("userPKCS12", keyPassword, second)

			// Revoked while it was on its way it is taken out again.
			third := w.renew(second.ID)
			w.cut(label, o.to)
			w.revoke(third.ID, ra.KeyCompromise)
			if label != keydelivery.StepMark {
				w.cut(keydelivery.StepTell, o.to)
			}
			w.work(o.to)
			w.stands(third, false, ra.ActionNone)
			values := must(o.conn.Read(w.t.Context(), o.dn(), "userPKCS12"))(w.t).All("userPKCS12")
			for _, v := range values {
				if _, leaf, _, err := pkcs12.DecodeChain(v, keyPassword); err != nil || string(leaf.Raw) == string(third.DER) {
					w.t.Errorf("%s: the revoked key is in the entry: %v", label, err)
				}
				if err := o.conn.RemoveValue(w.t.Context(), o.dn(), "userPKCS12", v); err != nil {
					w.t.Fatal(err)
				}
			}
		}
	})
}
