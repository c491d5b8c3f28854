package scepproxy_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"net/http"
	"strings"
	"testing"
	"time"

	"chancery/internal/authority"
	"chancery/internal/enroll"
	"chancery/internal/pass"
	"chancery/internal/pass/passtest"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/wire/cms"
	"chancery/internal/wire/scepmsg"
)

// TestGate sends messages that may not pass. The server hears of none, and what
// can be told is in the trace.
func TestGate(t *testing.T) {
	for name, tc := range map[string]struct {
		status int
		why    string // in the trace; empty: nothing is
		send   func(t *testing.T, w *world, c *client) []byte
	}{
		"garbage": {http.StatusBadRequest, "no SCEP message", func(*testing.T, *world, *client) []byte { return []byte{0x30, 0x03, 1, 1, 1} }},
		"changed on the way": {http.StatusBadRequest, "no SCEP message", func(_ *testing.T, _ *world, c *client) []byte {
			b := bytes.Clone(c.Message(nil))
			b[len(b)-3] ^= 1
			return b
		}},
		"UpdateReq": {http.StatusBadRequest, "type UpdateReq", func(t *testing.T, _ *world, c *client) []byte {
			return retyped(t, c, "18")
		}},
		"GetCert": {http.StatusBadRequest, "type GetCert", func(_ *testing.T, _ *world, c *client) []byte {
			return c.Message(func(r *scepmsg.Request) {
				r.Type, r.Content = scepmsg.GetCert, scepmsg.Content{Subject: cms.IssuerAndSerial{RawIssuer: c.Cert.RawIssuer, Serial: c.Cert.Serial}}
			})
		}},
		"a type nobody knows": {http.StatusBadRequest, "type 99", func(t *testing.T, _ *world, c *client) []byte {
			return retyped(t, c, "99")
		}},
		"SHA-1 above the floor": {http.StatusBadRequest, "the modern floor", func(_ *testing.T, _ *world, c *client) []byte {
			return c.Message(func(r *scepmsg.Request) { r.Digest = crypto.SHA1 })
		}},
		"3DES above the floor": {http.StatusBadRequest, "the modern floor", func(_ *testing.T, _ *world, c *client) []byte {
			return c.Message(func(r *scepmsg.Request) { r.Cipher = cms.OIDTripleDESCBC })
		}},
		"an EC key": {http.StatusBadRequest, "not RSA", func(t *testing.T, _ *world, c *client) []byte {
			key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
			return c.Message(func(r *scepmsg.Request) { r.Key, r.Certificate = key, transport(t, key, c.Subject) })
		}},
		"a short key": {http.StatusBadRequest, "not acceptable", func(t *testing.T, _ *world, c *client) []byte {
			key := must(rsa.GenerateKey(rand.Reader, 1024))(t)
			return c.Message(func(r *scepmsg.Request) { r.Key, r.Certificate = key, transport(t, key, c.Subject) })
		}},
		"for another recipient": {http.StatusConflict, "does not show", func(t *testing.T, _ *world, c *client) []byte {
			d := *c.Device
			d.RA = transport(t, deviceKeys[1](), "CN=other")
			return d.Message(nil)
		}},
		"a poll for nothing": {http.StatusForbidden, "never sent", func(_ *testing.T, w *world, c *client) []byte {
			issuer, _ := w.server.CA()
			return c.Poll(issuer)
		}},
		"signed by a certificate nobody knows": {http.StatusForbidden, "not in the inventory", func(t *testing.T, w *world, c *client) []byte {
			other := passtest.New(w.clock.now)
			d := *c.Device
			d.Key = deviceKeys[1]()
			d.Cert = must(cms.ParseCertificate(other.Sign(d.Key.Public(), "CN=foreign").Raw))(t)
			return d.Message(nil)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := one(t)
			c := w.client()
			c.post(tc.send(t, w, c)).want(t, name, tc.status)
			c.last(pass.StepForwarded, tc.why)
			c.is(ra.PassIssued)
			if n := w.asked(scepmsg.OpPKIOperation); n != 0 {
				t.Errorf("the server was asked %d times", n)
			}
			// What was refused did not use the pass up.
			c.Sent = nil
			c.post(c.Message(nil)).certRep(t, "afterwards", scepmsg.Success)
		})
	}
}

// retyped is a message under a number that the writer of messages refuses. The
// signature covers the number, so it is signed here.
func retyped(t *testing.T, c *client, number string) []byte {
	t.Helper()
	content := must(cms.Encrypt([]byte{0x30, 0}, cms.OIDAES128CBC, must(cms.To(c.RA))(t)))(t)
	text := func(oid, s string) cms.Attribute {
		return cms.Attribute{Type: cms.MustOID(oid), Value: append([]byte{0x13, byte(len(s))}, s...)}
	}
	return must(cms.Sign(cms.SignOptions{Content: content, Signer: c.Key, Certificate: c.Cert, Attributes: cms.Attributes{
		text("2.16.840.1.113733.1.9.2", number), text("2.16.840.1.113733.1.9.7", "T"),
		{Type: cms.MustOID("2.16.840.1.113733.1.9.5"), Value: append([]byte{0x04, 16}, make([]byte, 16)...)},
	}}))(t)
}

// TestTokens: the states of a pass that no message gets past.
func TestTokens(t *testing.T) {
	each(t, func(w *world) {
		t := w.t
		// What is certain is answered before anything of the pass is looked at.
		for _, path := range []string{"", "short", strings.Repeat("a", 32), strings.Repeat("a", 100), "..%2f..", strings.Repeat("ä", 30)} {
			w.do(http.MethodGet, w.url+pass.Path+path+"?operation=GetCACaps", nil).want(t, "token "+path, http.StatusForbidden)
		}
		revoked := w.client()
		must(w.passes.Revoke(t.Context(), admin, revoked.pass.ID, "lost"))(t)
		revoked.post(revoked.Message(nil)).want(t, "revoked", http.StatusForbidden)
		revoked.get("operation=GetCACaps").want(t, "capabilities with a revoked pass", http.StatusOK)
		revoked.is(ra.PassRevoked)

		blocked := w.client()
		w.write(func(tx *store.Tx) error {
			d, err := tx.Device(blocked.device.ID)
			if err == nil {
				d.State = ra.DeviceBlocked
				err = tx.UpdateDevice(d)
			}
			return err
		})
		blocked.post(blocked.Message(nil)).want(t, "blocked device", http.StatusForbidden)
		blocked.last(pass.StepForwarded, "is blocked")
		blocked.is(ra.PassRevoked)

		left := w.client()
		w.write(func(tx *store.Tx) error {
			return pass.RevokeForDevice(tx, admin, left.device.ID, "The device was unenrolled.")
		})
		left.post(left.Message(nil)).want(t, "unenrolled device", http.StatusForbidden)
		left.is(ra.PassRevoked)

		// The challenge is too old: nothing is passed on, and the pass waits for a
		// new delivery, which comes with another challenge.
		stale := w.client()
		w.clock.advance(58 * time.Minute)
		stale.post(stale.Message(nil)).want(t, "old challenge", http.StatusGone)
		stale.last(pass.StepForwarded, "challenge ran out")
		if p := stale.is(ra.PassIssued); p.Action != ra.ActionDeliver {
			t.Errorf("the pass waits for %q", p.Action)
		}
		again := w.clientFor(stale.device, stale.pass)
		if again.Challenge == stale.Challenge || again.url != stale.url {
			t.Error("there is no new challenge under the same address")
		}
		if n := w.asked(scepmsg.OpPKIOperation); n != 0 {
			t.Errorf("the server was asked %d times", n)
		}
		again.post(again.Message(nil)).certRep(t, "with a new challenge", scepmsg.Success)

		expired := w.client()
		w.clock.advance(8 * 24 * time.Hour)
		expired.get("operation=GetCACert").want(t, "certificates with an old token", http.StatusGone)
		expired.post(expired.Message(nil)).want(t, "old token", http.StatusGone)
		expired.is(ra.PassExpired)

		off := w.client()
		disabled := true
		must(w.enroll.UpdateTemplate(t.Context(), admin, w.template.ID, enroll.TemplateInput{Disabled: &disabled}))(t)
		off.post(off.Message(nil)).want(t, "template switched off", http.StatusForbidden)
		off.is(ra.PassRevoked)
	})
}

// TestProxyOff: an authority whose proxy is switched off serves nobody.
func TestProxyOff(t *testing.T) {
	w := one(t)
	c := w.client()
	w.server.Set(func(s *passServer) { s.SCEP.ByProxy = false })
	name := "renamed"
	must(w.auth.Update(t.Context(), admin, w.authority.ID, authority.Input{Name: &name}))(t) // opens it anew
	w.clock.advance(2 * time.Second)                                                         // settings may be a second old
	c.get("operation=GetCACaps").want(t, "proxy off", http.StatusForbidden)
	d := w.device()
	if _, err := w.passes.Create(t.Context(), admin, pass.CreateInput{Template: w.template.ID, Device: d.ID, Model: ra.PassProxy}); ra.KindOf(err) != ra.Conflict {
		t.Errorf("a pass for it: %v", err)
	}
	p := must(w.passes.Create(t.Context(), admin, pass.CreateInput{Template: w.template.ID, Device: d.ID, Model: ra.PassDelegate}))(t)
	v := must(w.passes.Parameters(t.Context(), admin, p.ID))(t)
	if v.URL != w.server.SCEP.URL || p.Hash != "" {
		t.Errorf("a delegate is sent to %s", v.URL)
	}
}

// TestTooFast: nobody sends dozens of messages at once.
func TestTooFast(t *testing.T) {
	w := one(t)
	c := w.client()
	message := c.Message(nil)
	refused := 0
	for range 30 {
		if r := c.post(message); r.status == http.StatusTooManyRequests {
			refused++
		} else {
			r.certRep(t, "not yet too fast", scepmsg.Success)
		}
	}
	if refused < 5 {
		t.Errorf("%d of 30 were refused", refused)
	}
	stranger := w.url + pass.Path + strings.Repeat("x", 32) + "?operation=GetCACaps"
	for range 40 {
		w.do(http.MethodGet, stranger, nil)
	}
	w.do(http.MethodGet, stranger, nil).want(t, "guessing tokens", http.StatusTooManyRequests)
	w.clock.advance(2 * time.Minute)
	w.do(http.MethodGet, stranger, nil).want(t, "later", http.StatusForbidden)
}
