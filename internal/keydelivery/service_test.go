package keydelivery_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chancery/internal/keydelivery"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/store"
)

// opened is what the receiver of a message learns by the commands of the
// documentation.
type opened struct {
	key  crypto.Signer
	data struct {
		Delivery    string `json:"delivery_id"`
		Certificate string `json:"certificate_id"`
		Renews      string `json:"renews"`
		Template    string `json:"template"`
		User        struct{ Name, Email string }
		DER         []byte   `json:"certificate_der"`
		Chain       [][]byte `json:"chain_der"`
	}
}

// open runs the commands of docs/key-services.md on a message: the first block
// checks its signature with a secret, the second gives key and certificate.
func (r *keyReceiver) open(a arrived, secret string) (*opened, error) {
	r.t.Helper()
	dir := r.t.TempDir()
	for name, text := range map[string]string{"body.json": string(a.body), "recipient.pem": r.cert, "recipient.key": r.key} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			r.t.Fatal(err)
		}
	}
	page := string(must(os.ReadFile("../../docs/key-services.md"))(r.t))
	blocks := strings.Split(page, "```sh\n")
	if len(blocks) != 3 {
		r.t.Fatalf("the page has %d blocks of commands", len(blocks)-1)
	}
	check, _, _ := strings.Cut(blocks[1], "```")
	unpack, _, _ := strings.Cut(blocks[2], "```")
	run := func(script string) (string, error) {
		c := exec.CommandContext(r.t.Context(), "bash", "-euo", "pipefail", "-c", script)
		c.Dir = dir
		c.Env = append(os.Environ(), "id="+a.header.Get("webhook-id"), "timestamp="+a.header.Get("webhook-timestamp"), "signature="+a.header.Get("webhook-signature"), "secret="+secret)
		out, err := c.CombinedOutput()
		return string(out), err
	}
	if out, err := run(check); err != nil || !strings.Contains(out, "is right") {
		return nil, &exec.Error{Name: out, Err: err}
	}
	if out, err := run(unpack); err != nil {
		r.t.Fatalf("the message does not open: %v\n%s", err, out)
	}
	var body struct {
		Type      string
		Timestamp time.Time
		Data      json.RawMessage
	}
	out := &opened{}
	if err := json.Unmarshal(a.body, &body); err != nil || body.Type != "key.issued" || body.Timestamp.IsZero() {
		r.t.Fatalf("the message is of type %q at %v: %v", body.Type, body.Timestamp, err)
	}
	if err := json.Unmarshal(body.Data, &out.data); err != nil {
		r.t.Fatal(err)
	}
	key := must(x509.ParsePKCS8PrivateKey(must(os.ReadFile(filepath.Join(dir, "key.der")))(r.t)))(r.t)
	out.key = key.(crypto.Signer)
	return out, nil
}

// belongs checks that what was opened is the key of a certificate, with its
// chain.
func (o *opened) belongs(t *testing.T, c *ra.Certificate) {
	t.Helper()
	leaf := must(x509.ParseCertificate(c.DER))(t)
	if !leaf.PublicKey.(*ecdsa.PublicKey).Equal(o.key.Public()) || string(o.data.DER) != string(c.DER) || o.data.Certificate != string(c.ID) {
		t.Errorf("the message is of another certificate: %+v", o.data)
	}
	roots, pool := x509.NewCertPool(), x509.NewCertPool()
	for i, der := range o.data.Chain {
		if issuer := must(x509.ParseCertificate(der))(t); i == len(o.data.Chain)-1 {
			roots.AddCert(issuer)
		} else {
			pool.AddCert(issuer)
		}
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: pool, CurrentTime: c.NotBefore.Add(time.Second), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		t.Errorf("the chain of the message: %v", err)
	}
}

func TestToService(t *testing.T) {
	each(t, func(w *world) {
		for name, key := range map[string]crypto.Signer{"RSA": rsaKey(t), "EC": ecKey(t)} {
			r := newReceiver(w.t, key)
			k := w.define(r.settings(nil))
			to := store.KeyReceiver{Service: k.ID}
			tpl := w.template(ra.PublishSpec{Key: ra.KeyToService, KeyService: k.ID})
			c := w.issue(tpl, w.user.ID)
			d := w.stands(c, false, ra.ActionHandOver)
			if err := w.Plan(w.t.Context(), keydelivery.PlanJob{}); err != nil {
				w.t.Fatal(err)
			}
			w.work(to)
			w.stands(c, true, ra.ActionNone)
			got := r.take()
			if len(got) != 1 || got[0].header.Get("webhook-id") != string(d.ID) {
				w.t.Fatalf("%s: %d messages arrived", name, len(got))
			}
			o, err := r.open(got[0], firstSecret)
			if err != nil {
				w.t.Fatalf("%s: %v", name, err)
			}
			if o.belongs(w.t, c); o.data.Delivery != string(d.ID) || o.data.User.Name != "ann" || o.data.User.Email != "ann@acme.example" || o.data.Template != tpl.Name {
				w.t.Errorf("%s: %+v", name, o.data)
			}
			if _, err := r.open(got[0], secondSecret); err == nil {
				w.t.Errorf("%s: another secret is right, too", name)
			}
			got[0].body = append([]byte(" "), got[0].body...)
			if _, err := r.open(got[0], firstSecret); err == nil {
				w.t.Errorf("%s: another body is right, too", name)
			}
			w.work(to)
			if again := r.take(); len(again) != 0 {
				w.t.Errorf("%s: it was sent again", name)
			}

			// People may still have their own copy, once.
			if _, err := w.enroll.TakeKey(w.t.Context(), w.owner, c.ID, secret.Text{}, ""); err != nil {
				w.t.Errorf("%s: %v", name, err)
			}

			// The successor says whose place it takes; while there are two secrets,
			// both are right.
			w.update(k.ID, keydelivery.Input{Settings: []byte(`{"second_secret":"` + secondSecret + `"}`)})
			next := w.renew(c.ID)
			w.work(to)
			if got = r.take(); len(got) != 1 {
				w.t.Fatalf("%s: %d messages arrived", name, len(got))
			}
			for _, s := range []string{firstSecret, secondSecret} {
				if o, err = r.open(got[0], s); err != nil {
					w.t.Fatalf("%s: %v", name, err)
				}
			}
			if o.belongs(w.t, next); o.data.Renews != string(c.ID) {
				w.t.Errorf("%s: it renews %q", name, o.data.Renews)
			}
			w.update(k.ID, keydelivery.Input{Settings: []byte(`{"secret":"` + secondSecret + `"}`)})
			w.issue(tpl, w.user.ID)
			w.work(to)
			if got = r.take(); len(got) != 1 || strings.Contains(got[0].header.Get("webhook-signature"), " ") {
				w.t.Fatalf("%s: %d messages arrived, or with two signatures", name, len(got))
			}
			if _, err := r.open(got[0], firstSecret); err == nil {
				w.t.Errorf("%s: the former secret is right", name)
			}
		}
		if n := len(w.trail("key.delivered")); n != 6 {
			w.t.Errorf("%d deliveries are in the audit log", n)
		}
	})
}

// TestServiceFails: what cannot be brought waits, says why, is told when it is
// late, and is brought under the same ID.
func TestServiceFails(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		r := newReceiver(w.t, ecKey(t))
		k := w.define(r.settings(nil))
		to := store.KeyReceiver{Service: k.ID}
		tpl := w.template(ra.PublishSpec{Key: ra.KeyToService, KeyService: k.ID})
		c := w.issue(tpl, w.user.ID)
		id := w.stands(c, false, ra.ActionHandOver).ID
		waits := func(words string, atLeast time.Duration) {
			w.t.Helper()
			w.work(to)
			if d := w.stands(c, false, ra.ActionHandOver); !strings.Contains(d.LastError, words) || d.At.Before(w.clock.Now().Add(atLeast)) || d.Attempts == 0 {
				w.t.Errorf("the delivery: %+v; want ...%s..., in %s", d, words, atLeast)
			}
			w.clock.Advance(7 * time.Hour)
		}
		elsewhere := newReceiver(w.t, ecKey(t))
		for _, x := range []struct {
			status int
			header http.Header
			words  string
			wait   time.Duration
		}{
			{500, nil, "cannot take the key now (500)", time.Minute},
			{503, http.Header{"Retry-After": {"7200"}}, "(503)", 2 * time.Hour},
			{429, http.Header{"Retry-After": {"99999999"}}, "(429)", 6 * time.Hour},
			{401, nil, "does not accept the signature", 8 * time.Minute},
			{400, nil, "refuses the message (400)", 16 * time.Minute},
			{307, http.Header{"Location": {elsewhere.URL + "/keys"}}, "redirects are not followed", 32 * time.Minute},
			{308, http.Header{"Location": {r.URL + "/keys?again"}}, "redirects are not followed", time.Hour},
		} {
			r.answer(x.status, x.header)
			waits(x.words, x.wait)
			if got := r.take(); len(got) != 1 || got[0].header.Get("webhook-id") != string(id) {
				w.t.Errorf("%d: %d messages", x.status, len(got))
			}
		}
		if len(elsewhere.take()) != 0 {
			w.t.Error("a redirect was followed")
		}
		for range 2 {
			if err := w.Plan(ctx, keydelivery.PlanJob{}); err != nil {
				w.t.Fatal(err)
			}
		}
		if n := len(w.trail("key.overdue")); n != 1 {
			w.t.Errorf("people were told %d times", n)
		}
		var waiting []ra.ObligationRow
		w.read(func(tx *store.Tx) (err error) {
			waiting, _, err = tx.FindObligations(store.ObligationFilter{Action: ra.ActionHandOver})
			return err
		})
		if len(waiting) != 1 || waiting[0].Kind != "key_delivery" || waiting[0].ID != string(c.ID) || waiting[0].Title != c.Subject {
			w.t.Errorf("what waits: %+v", waiting)
		}
		r.answer(204, nil)

		// What the settings get wrong.
		set := func(more map[string]any) { w.update(k.ID, keydelivery.Input{Settings: r.settings(more)}) }
		set(map[string]any{"roots": nil})
		waits("is not trusted", 0)
		set(map[string]any{"url": "https://127.0.0.1:1/keys"})
		waits("does not answer", 0)
		set(map[string]any{"url": "https://[::1]/keys"})
		waits("may not connect", 0)
		ended, _ := recipient(w.t, rsaKey(t), w.clock.Now().Add(-time.Hour))
		set(map[string]any{"recipient": ended})
		waits("not valid now", time.Hour)
		set(nil)
		w.update(k.ID, keydelivery.Input{Disabled: ptr(true)})
		waits("switched off", time.Hour)
		if got := r.take(); len(got) != 0 {
			w.t.Errorf("%d messages arrived", len(got))
		}
		w.update(k.ID, keydelivery.Input{Disabled: ptr(false)})

		// On hold it waits; 410 ends everything until somebody says otherwise.
		w.revoke(c.ID, ra.CertificateHold)
		waits("on hold", time.Hour)
		w.revoke(c.ID, ra.RemoveFromCRL)
		second := w.issue(tpl, w.user.ID)
		r.answer(410, nil)
		w.work(to)
		w.clock.Advance(7 * time.Hour)
		w.work(to)
		if got := r.take(); len(got) != 1 {
			w.t.Errorf("%d messages after the service had said that it is gone", len(got))
		}
		if fresh := must(w.Get(ctx, w.viewer, k.ID))(w.t); !fresh.Disabled || len(w.trail("key_service.gone")) != 1 {
			w.t.Errorf("the key service: %+v, told %d times", fresh, len(w.trail("key_service.gone")))
		}
		r.answer(200, nil)
		w.update(k.ID, keydelivery.Input{Disabled: ptr(false)})
		w.work(to)
		w.stands(c, true, ra.ActionNone)
		w.stands(second, true, ra.ActionNone)
		if got := r.take(); len(got) != 2 {
			w.t.Errorf("%d messages arrived", len(got))
		}
	})
}

// TestServiceInterrupted: cut off at any step, a key is sent once more under its
// ID.
func TestServiceInterrupted(t *testing.T) {
	each(t, func(w *world) {
		r := newReceiver(w.t, ecKey(t))
		k := w.define(r.settings(nil))
		to := store.KeyReceiver{Service: k.ID}
		tpl := w.template(ra.PublishSpec{Key: ra.KeyToService, KeyService: k.ID})
		for label, before := range map[string]int{keydelivery.StepTell: 0, keydelivery.StepNote: 1} {
			c := w.issue(tpl, w.user.ID)
			w.cut(label, to)
			id := w.stands(c, false, ra.ActionHandOver).ID
			w.work(to)
			w.stands(c, true, ra.ActionNone)
			got := r.take()
			if len(got) != before+1 {
				w.t.Errorf("%s: %d messages", label, len(got))
			}
			for _, a := range got {
				if o, err := r.open(a, firstSecret); err != nil || a.header.Get("webhook-id") != string(id) {
					w.t.Errorf("%s: %v", label, err)
				} else {
					o.belongs(w.t, c)
				}
			}
		}
	})
}

// TestNotNeededAnyMore: a key whose certificate is revoked or has ended is not
// brought, and no copy of it stays.
func TestNotNeededAnyMore(t *testing.T) {
	each(t, func(w *world) {
		r := newReceiver(w.t, ecKey(t))
		k := w.define(r.settings(nil))
		tpl := w.template(ra.PublishSpec{Key: ra.KeyToService, KeyService: k.ID})
		c := w.issue(tpl, w.user.ID)
		refused(w.t, w.Delete(w.t.Context(), w.owner, k.ID), ra.Conflict, "sends keys to")
		w.revoke(c.ID, ra.KeyCompromise)
		w.stands(c, false, ra.ActionNone)
		w.work(store.KeyReceiver{Service: k.ID})
		if got := r.take(); len(got) != 0 {
			w.t.Errorf("%d messages arrived", len(got))
		}
		if list := w.trail("key.dropped"); len(list) != 1 || list[0].Object != string(c.ID) {
			w.t.Errorf("in the audit log: %+v", list)
		}

		// A template that publishes nothing owes nothing.
		plain := w.issue(w.template(ra.PublishSpec{}), w.user.ID)
		_, err := w.Delivery(w.t.Context(), w.viewer, plain.ID)
		refused(w.t, err, ra.NotFound, "")
	})
}

// TestNothingIsSaid: neither keys nor secrets are in logs and records.
func TestNothingIsSaid(t *testing.T) {
	each(t, func(w *world) {
		r := newReceiver(w.t, ecKey(t))
		k := w.define(r.settings(map[string]any{"second_secret": secondSecret}))
		w.update(k.ID, keydelivery.Input{Settings: []byte(`{"secret":"` + secondSecret + `","second_secret":"` + firstSecret + `"}`)})
		to := store.KeyReceiver{Service: k.ID}
		tpl := w.template(ra.PublishSpec{Key: ra.KeyToService, KeyService: k.ID})
		c := w.issue(tpl, w.user.ID)
		r.answer(500, nil)
		w.work(to)
		w.clock.Advance(time.Hour)
		r.answer(200, nil)
		w.work(to)
		o, err := r.open(r.take()[1], firstSecret)
		if err != nil {
			w.t.Fatal(err)
		}
		o.belongs(w.t, c)
		everything := w.log.String() + string(must(json.Marshal(w.trail("")))(w.t)) + string(must(w.Get(w.t.Context(), w.viewer, k.ID))(w.t).Settings)
		number := must(o.key.(*ecdsa.PrivateKey).Bytes())(w.t)
		for _, bad := range []string{firstSecret[6:], secondSecret[6:], string(number), hex.EncodeToString(number), base64.StdEncoding.EncodeToString(number), "0123456789abcdef0123456789abcdef"} {
			if strings.Contains(everything, bad) {
				w.t.Errorf("%.6q... is in a log, a record or the settings", bad)
			}
		}
		if len(everything) < 2000 {
			w.t.Errorf("only %d bytes were searched", len(everything))
		}
	})
}
