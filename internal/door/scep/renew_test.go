package scep_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"testing"
	"time"

	"chancery/internal/authority"
	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/testpeer"
	"chancery/internal/wire/cms"
	"chancery/internal/wire/pkixmsg"
	"chancery/internal/wire/scepmsg"
)

// renewals are the two message types a renewal may have.
var renewals = []scepmsg.MessageType{scepmsg.RenewalReq, scepmsg.PKCSReq}

func TestRenew(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		e := w.endpoint("door", w.template(nil), nil)
		for _, kind := range renewals {
			t.Run(kind.String(), func(t *testing.T) {
				c := w.enrolled(t, e, ecKey(t))
				first := c.send(t, c.renewal(t, kind, ecKey(t)))
				next := first.granted(t)
				old, fresh := w.row(c.cert), w.row(next)
				if fresh.Renews != old.ID || old.RenewedBy != fresh.ID || old.State != ra.Superseded || fresh.DeviceID != c.device.ID {
					t.Errorf("old: %s, renewed by %s; new: renews %s, device %s", old.State, old.RenewedBy, fresh.Renews, fresh.DeviceID)
				}
				// The same again, with another nonce, and as a poll by the old key.
				if again := c.sendRaw(t, first.sent).granted(t); !bytes.Equal(again.Raw, next.Raw) {
					t.Error("the same bytes gave another certificate")
				}
				if poll := c.poll(t, first.sent.TransactionID).granted(t); !bytes.Equal(poll.Raw, next.Raw) {
					t.Error("the poll gave another certificate")
				}
				if n := len(w.certificates(c.device)); n != 2 {
					t.Errorf("the device has %d certificates, want 2", n)
				}
				// The successor was lost: the old one, in its grace, renews again.
				c.send(t, c.renewal(t, kind, ecKey(t))).granted(t)
			})
		}
	})
}

// TestRenewRefused: every certificate that must not renew, by both messages.
func TestRenewRefused(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		template := w.template(nil)
		e := w.endpoint("door", template, nil)
		other := w.endpoint("other", w.template(nil), nil)
		closed := w.endpoint("closed", template, settings{"renewal": false})
		window := w.endpoint("window", template, settings{"renewal_window_days": 30})
		root := w.newAuthority("scripted", `{"server": "https://ca.example.test", "password": "correct-horse-battery-staple"}`)
		foreign := w.endpoint("foreign", w.template(func(x *ra.Template) { x.AuthorityID = root.ID }), nil)
		revoke := func(reason ra.RevocationReason) func(*testing.T) *client {
			return func(t *testing.T) *client {
				c := w.enrolled(t, e, ecKey(t))
				must(w.lifecycle.Revoke(t.Context(), admin, w.row(c.cert).ID, reason, ""))(t)
				return c
			}
		}
		at := func(from, to *ra.Endpoint) func(*testing.T) *client {
			return func(t *testing.T) *client {
				c := w.enrolled(t, from, ecKey(t))
				c.url = w.url + "/scep/" + to.Name
				c.ras = c.caCertificates(t)
				return c
			}
		}
		for _, x := range []struct {
			name   string
			client func(*testing.T) *client
			reason string
		}{
			{"revoked", revoke(ra.KeyCompromise), "revoked or on hold"},
			{"on hold", revoke(ra.CertificateHold), "revoked or on hold"},
			{"expired", func(t *testing.T) *client {
				c := w.enrolled(t, e, ecKey(t))
				w.clock.advance(91 * 24 * time.Hour)
				c.ras = c.caCertificates(t)
				return c
			}, "has expired"},
			{"other template", at(e, other), "another template"},
			{"endpoint does not renew", at(e, closed), "does not renew by certificate"},
			{"before the window", at(e, window), "not open yet"},
			{"of another authority here", at(foreign, e), "another template"},
			{"foreign", func(t *testing.T) *client {
				c := w.client(t, e, w.device(), ecKey(t))
				c.cert = forge(t, subjectDER(t, "Another CA"), c.key)
				return c
			}, "proves nothing without a valid challenge"},
			{"self-signed", func(t *testing.T) *client { return w.client(t, e, w.device(), ecKey(t)) }, "proves nothing without a valid challenge"},
			{"forged in our name", func(t *testing.T) *client {
				c := w.client(t, e, w.device(), ecKey(t))
				c.cert = forge(t, c.ras[1].RawSubject, c.key)
				return c
			}, "not in the inventory"},
			{"the server's own", func(t *testing.T) *client {
				c := w.client(t, e, w.device(), ecKey(t))
				own := must(w.lifecycle.Own(t.Context(), w.authority.ID, ra.PurposeSCEPRA))(t)
				c.key, c.cert = own[0].Key, c.ras[0]
				return c
			}, "not a device's"},
		} {
			t.Run(x.name, func(t *testing.T) {
				c := x.client(t)
				before := len(w.certificates(c.device))
				for _, kind := range renewals {
					w.clock.advance(2 * time.Minute)
					c.send(t, c.renewal(t, kind, ecKey(t))).refused(t, scepmsg.BadRequest)
					w.refusedFor(t, x.reason)
				}
				if n := len(w.certificates(c.device)); n != before {
					t.Errorf("the device has %d certificates, had %d", n, before)
				}
			})
		}
	})
}

// forge makes a certificate that names an issuer and is signed by its holder.
func forge(t testing.TB, issuer []byte, key crypto.Signer) *cms.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(4711), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	parent := &x509.Certificate{RawSubject: issuer}
	der := must(x509.CreateCertificate(rand.Reader, template, parent, key.Public(), key))(t)
	return must(cms.ParseCertificate(der))(t)
}

// TestRenewWithChallenge: a challenge in a renewal must not be wrong.
func TestRenewWithChallenge(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		e := w.endpoint("door", w.template(nil), nil)
		enrolled := func(t *testing.T) (*client, string) {
			d := w.device()
			c := w.client(t, e, d, ecKey(t))
			c.challenge = w.challenge(e, d)
			c.cert = c.mustEnrol(t)
			return c, c.challenge
		}
		t.Run("its own, for ever", func(t *testing.T) {
			c, _ := enrolled(t)
			for range 3 {
				key := ecKey(t)
				c.cert = c.send(t, c.renewal(t, scepmsg.PKCSReq, key)).granted(t)
				c.key = key
				// Long after the challenge was forgotten.
				w.clock.advance(60 * 24 * time.Hour)
				c.ras = c.caCertificates(t)
			}
		})
		t.Run("a new one is spent", func(t *testing.T) {
			c, _ := enrolled(t)
			c.challenge = w.challenge(e, c.device)
			next := c.send(t, c.renewal(t, scepmsg.PKCSReq, ecKey(t))).granted(t)
			if w.row(next).Renews != w.row(c.cert).ID {
				t.Error("the certificate was not renewed")
			}
			c.use(t, ecKey(t))
			c.send(t, c.request(t)).refused(t, scepmsg.BadRequest)
			w.refusedFor(t, "has been used")
		})
		t.Run("wrong", func(t *testing.T) {
			c, _ := enrolled(t)
			c.challenge = "not a challenge at all"
			c.send(t, c.renewal(t, scepmsg.PKCSReq, ecKey(t))).refused(t, scepmsg.BadRequest)
			w.refusedFor(t, "not known here")
		})
		t.Run("another device's", func(t *testing.T) {
			c, _ := enrolled(t)
			c.challenge = w.challenge(e, w.device())
			c.send(t, c.renewal(t, scepmsg.PKCSReq, ecKey(t))).refused(t, scepmsg.BadRequest)
			w.refusedFor(t, "another device")
		})
		t.Run("another device's spent one", func(t *testing.T) {
			_, spent := enrolled(t)
			c, _ := enrolled(t)
			c.challenge = spent
			w.clock.advance(2 * time.Minute)
			c.send(t, c.renewal(t, scepmsg.PKCSReq, ecKey(t))).refused(t, scepmsg.BadRequest)
			w.refusedFor(t, "has been used")
		})
		t.Run("a new one after expiry", func(t *testing.T) {
			c, _ := enrolled(t)
			w.clock.advance(91 * 24 * time.Hour)
			c.ras = c.caCertificates(t)
			c.challenge = w.challenge(e, c.device)
			r := c.renewal(t, scepmsg.PKCSReq, ecKey(t))
			c.send(t, r).refused(t, scepmsg.BadRequest) // another key than the one that signed
			c.use(t, ecKey(t))
			c.mustEnrol(t)
		})
	})
}

// TestRenewKeepsKey: whether a renewal may keep the key is the template's word.
func TestRenewKeepsKey(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		strict := w.endpoint("strict", w.template(nil), nil)
		lenient := w.endpoint("lenient", w.template(func(x *ra.Template) { x.Spec.ReuseKey = true }), nil)
		c := w.enrolled(t, strict, ecKey(t))
		c.send(t, c.renewal(t, scepmsg.RenewalReq, c.key)).refused(t, scepmsg.BadRequest)
		w.refusedFor(t, "keeps the old key")
		c = w.enrolled(t, lenient, ecKey(t))
		if next := c.send(t, c.renewal(t, scepmsg.RenewalReq, c.key)).granted(t); bytes.Equal(next.Raw, c.cert.Raw) {
			t.Error("the renewal gave the old certificate")
		}

		// A key another device has is refused always.
		d := w.device()
		thief := w.client(t, lenient, d, c.key)
		thief.challenge = w.challenge(lenient, d)
		w.clock.advance(2 * time.Minute)
		thief.send(t, thief.request(t)).refused(t, scepmsg.BadRequest)
		w.refusedFor(t, "belongs to another device")
	})
}

// TestRenewalNamesOther: a renewal proves one device and asks for another.
func TestRenewalNamesOther(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		e := w.endpoint("door", w.template(nil), nil)
		c := w.enrolled(t, e, ecKey(t))
		victim := w.device()
		r := c.renewal(t, scepmsg.RenewalReq, ecKey(t))
		r.Content.CSR = c.newCSR(t, ecKey(t), func(q *pkixmsg.CSRRequest) {
			q.Name = pkixmsg.Name{{{OID: pkixmsg.OIDCommonName, Value: victim.PlatformID}}}
		})
		c.send(t, r).refused(t, scepmsg.BadRequest)
		w.refusedFor(t, "asks for more")
	})
}

// TestMovedTemplate: when a template moves to another CA, its devices renew
// with what the old CA issued and are from the new one then.
func TestMovedTemplate(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		template := w.template(nil)
		e := w.endpoint("door", template, nil)
		c := w.enrolled(t, e, ecKey(t))
		name := "next"
		next := must(w.auth.Create(t.Context(), admin, "embedded", authority.Input{GroupID: &w.group, Name: &name}))(t)
		must(w.enroll.UpdateTemplate(t.Context(), admin, template.ID, enroll.TemplateInput{AuthorityID: &next.ID}))(t)
		c.ras = c.caCertificates(t)
		leaf := c.send(t, c.renewal(t, scepmsg.RenewalReq, ecKey(t))).granted(t)
		if row := w.row(leaf); row.AuthorityID != next.ID || row.Renews != w.row(c.cert).ID {
			t.Errorf("issued by %s, renews %s", row.AuthorityID, row.Renews)
		}
		if err := parsed(t, leaf).CheckSignatureFrom(parsed(t, c.ras[1])); err != nil {
			t.Error(err)
		}
	})
}
