package scep_test

import (
	"crypto/x509"
	"encoding/pem"
	"testing"

	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/testpeer"
	"chancery/internal/wire/pkixmsg"
)

func pemOf(certs ...*x509.Certificate) string {
	var out []byte
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return string(out)
}

// TestMicroMDM: scepserver of micromdm/scep, which answers in DES, issues to keys
// that are here and, vouched for, to keys that devices keep.
func TestMicroMDM(t *testing.T) {
	s := testpeer.StartSCEPServer(t, testpeer.SCEPServerOptions{Challenge: static})
	settings := map[string]any{"url": s.URL, "floor": "legacy", "legacy_accepted": true, "fingerprint": fingerprint(s.CA.Raw),
		"challenge_type": "static", "challenge": static, "ca_certificates": pemOf(s.CA)}
	w := newWorld(t, settings)
	for _, kind := range []pkixmsg.KeyType{pkixmsg.RSA2048, pkixmsg.P256} {
		r := w.request("here_"+map[bool]string{true: "rsa", false: "ec"}[kind == pkixmsg.RSA2048], kind, true)
		certified(t, r, issue(t, w, r))
	}
	device := w.request("on_device", pkixmsg.P256, false)
	_, err := w.Issue(t.Context(), device)
	wantError(t, err, ra.Invalid, "vouches")
	if keys := w.journal.Keys(); len(keys) != 4 { // two sent, two ended
		t.Errorf("the journal holds %q after a request that could not be made", keys)
	}
	settings["vouched"] = true
	w.reopen()
	certified(t, device, issue(t, w, device))

	settings["challenge"] = "wrong"
	w.reopen()
	_, err = w.Issue(t.Context(), w.request("wrong", pkixmsg.P256, true))
	if e := wantError(t, err, ra.RefusedByCA, "challenge"); e.Retry != ra.Never {
		t.Errorf("retry %v after a refusal", e.Retry)
	}

	settings["challenge"], settings["floor"] = static, "compat"
	w.reopen()
	_, err = w.Issue(t.Context(), w.request("weak_answer", pkixmsg.P256, true))
	if e := wantError(t, err, ra.RefusedByCA, "DES"); e.Field != "floor" {
		t.Errorf("field %q; want floor", e.Field)
	}
}

// TestMicroMDMForgets: that server issues again when it gets the same message
// again, which is why nothing is claimed about lost answers.
func TestMicroMDMForgets(t *testing.T) {
	s := testpeer.StartSCEPServer(t, testpeer.SCEPServerOptions{})
	front := newFront(t, s.URL)
	w := newWorld(t, map[string]any{"url": front.url, "floor": "legacy", "legacy_accepted": true})
	r := w.request("lost", pkixmsg.P256, false)
	front.lose(1)
	if _, err := w.Issue(t.Context(), r); ra.KindOf(err) != ra.Unreachable {
		t.Fatalf("got %v; want unreachable", err)
	}
	w.reopen()
	reply, found, err := w.Find(t.Context(), r)
	if err != nil || !found {
		t.Fatalf("found %v, %v", found, err)
	}
	certified(t, r, reply)
	if got := front.messages(); len(got) != 3 || got[0] != got[2] || got[0] == got[1] {
		t.Errorf("%d messages; want one, a poll, and the first again", len(got))
	}
	first, again := front.granted(t, 0), front.granted(t, 2)
	if first == again || again != reply.Chain[0].SerialNumber.String() {
		t.Errorf("the server issued %s, then %s; were it the same, more could be claimed", first, again)
	}
}

// TestStepCA: step-ca with one certificate for all, and with a P-256 issuer and a
// registration authority; over HTTPS with a pinned root.
func TestStepCA(t *testing.T) {
	for name, o := range map[string]testpeer.StepCAOptions{
		"one certificate":        {Challenge: static, IncludeRoot: true},
		"registration authority": {Challenge: static, IncludeRoot: true, SeparateRA: true},
		"no challenge, no root":  {},
	} {
		t.Run(name, func(t *testing.T) {
			s := testpeer.StartStepCA(t, o)
			settings := map[string]any{"url": s.SecureURL, "floor": "compat", "roots": pemOf(s.Root), "fingerprint": fingerprint(s.Issuing.Raw)}
			if o.Challenge != "" {
				settings["challenge_type"], settings["challenge"] = "static", static
			}
			if !o.IncludeRoot {
				settings["ca_certificates"] = pemOf(s.Root)
			}
			w := newWorld(t, settings)
			r := w.request("pad", pkixmsg.P256, true)
			reply := issue(t, w, r)
			certified(t, r, reply)
			if last := reply.Chain[len(reply.Chain)-1]; len(reply.Chain) != 3 || !last.Equal(s.Root) {
				t.Errorf("a chain of %d certificates up to %s", len(reply.Chain), last.Subject)
			}
			if names := reply.Chain[0].DNSNames; len(names) != 1 || names[0] != "pad.example.test" {
				t.Errorf("alternative names %q", names)
			}
			chain, err := w.Chain(t.Context())
			if err != nil || len(chain) != 2 || !chain[0].Equal(s.Issuing) || !chain[1].Equal(s.Root) {
				t.Errorf("%d certificates, %v; want issuing CA and root", len(chain), err)
			}
			for name, step := range steps(w, t.Context()) {
				if step.State != ca.StepOK {
					t.Errorf("step %s is %s: %s", name, step.State, step.Detail)
				}
			}
		})
	}
}
