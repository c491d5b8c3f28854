package ndes_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"chancery/internal/ca"
	played "chancery/internal/doubles/ndes"
	"chancery/internal/ra"
	"chancery/internal/wire/pkixmsg"
)

// TestPageFaults: every way for the page to give no challenge is told apart, says
// what to do, and is held against the account or not as the server may have made
// one or not.
func TestPageFaults(t *testing.T) {
	lost := func(act played.Act) played.Fault { return played.Fault{At: played.Page, Act: act} }
	for name, c := range map[string]struct {
		cfg    played.Config
		change map[string]any
		fault  played.Fault
		burn   int // challenges somebody else took before
		kind   ra.Kind
		word   string
		field  string
		out    int
	}{
		"cache full":            {burn: 5, kind: ra.Unreachable, word: "PasswordMax"},
		"no permission":         {change: map[string]any{"user": `CORP\stranger`}, kind: ra.RefusedByCA, word: "Enroll on all three", field: "user"},
		"no template":           {cfg: played.Config{NoTemplate: true}, kind: ra.RefusedByCA, word: "SignatureTemplate"},
		"no password":           {cfg: played.Config{NoPassword: true}, kind: ra.RefusedByCA, word: "EnforcePassword", field: "challenge_type"},
		"full in German":        {cfg: played.Config{Language: played.German}, burn: 5, kind: ra.RefusedByCA, word: "browser"},
		"denied in Japanese":    {cfg: played.Config{Language: played.Japanese}, change: map[string]any{"user": `CORP\stranger`}, kind: ra.RefusedByCA, word: "may not enrol"},
		"wrong length":          {change: map[string]any{"challenge_length": 32}, kind: ra.Invalid, word: "PasswordLength on the server to 16", field: "challenge_length", out: 1},
		"another page":          {fault: lost(played.HTML), kind: ra.RefusedByCA, word: "sign-in form", field: "challenge_url"},
		"wrong password":        {change: map[string]any{"password": "wrong"}, kind: ra.RefusedByCA, word: "Extended Protection", field: "password"},
		"login not offered":     {change: map[string]any{"login": "basic"}, kind: ra.RefusedByCA, word: "offers Negotiate, NTLM", field: "login"},
		"login wanted":          {change: map[string]any{"login": "none"}, kind: ra.RefusedByCA, word: "Choose how to log in", field: "login"},
		"forbidden":             {fault: lost(played.Status(403)), kind: ra.RefusedByCA, word: "client certificate", field: "client_certificate"},
		"not there":             {change: map[string]any{"challenge_url": "/certsrv/elsewhere/"}, kind: ra.RefusedByCA, word: "PasswordVDir", field: "challenge_url"},
		"without its slash":     {change: map[string]any{"challenge_url": "/certsrv/mscep_admin"}, kind: ra.RefusedByCA, word: "slash", field: "challenge_url"},
		"leads to another host": {fault: lost(played.Redirect("http://127.0.0.1:1/")), kind: ra.RefusedByCA, word: "elsewhere", field: "challenge_url"},
		"fails":                 {fault: lost(played.HRESULT(0x80094800)), kind: ra.Unreachable, word: "RA certificates"},
		"stopped":               {fault: lost(played.Status(503)), kind: ra.Unreachable, word: "application pool"},
		"gateway":               {fault: lost(played.Status(502)), kind: ra.Unreachable, word: "in between"},
		"answer lost":           {fault: lost(played.LoseAnswer), kind: ra.Unreachable, word: "network", out: 1},
		"answer cut off":        {fault: lost(played.Cut(100)), kind: ra.Unreachable, word: "network", out: 1},
		"line cut before login": {change: map[string]any{"challenge_url": "http://127.0.0.1:1/"}, kind: ra.Unreachable, word: "network"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDouble(t, c.cfg)
			settings := d.settings(c.change)
			if u, ok := c.change["challenge_url"].(string); ok && u[0] == '/' {
				settings["challenge_url"] = d.base + u
			}
			w := newWorld(t, settings)
			if c.burn > 0 {
				other := newWorld(t, d.settings(map[string]any{"cache_reserve": 0}))
				for i := range c.burn {
					if _, err := other.challenge(t.Context(), string(rune('a'+i))); err != nil {
						t.Fatal(err)
					}
				}
			}
			if c.fault.At != "" {
				d.Fail(c.fault)
			}
			before := d.Counts().Minted
			_, err := w.challenge(t.Context(), "req_1")
			if e := wantError(t, err, c.kind, c.word); e.Field != c.field {
				t.Errorf("field %q; want %q", e.Field, c.field)
			}
			if got := w.out(); got != c.out {
				t.Errorf("%d challenges are counted as out; want %d", got, c.out)
			}
			if made := d.Counts().Minted - before; made > c.out {
				t.Errorf("the server made %d challenges, and %d are counted", made, c.out)
			}
		})
	}
}

// TestLanguages: a challenge is read off the page in any language and encoding.
func TestLanguages(t *testing.T) {
	for _, language := range []played.Language{played.English, played.German, played.French, played.Japanese} {
		for _, charset := range []played.Charset{played.UTF16LE, played.UTF16BE, played.UTF8, played.Windows1252} {
			if charset == played.Windows1252 && language == played.Japanese {
				continue // which cannot write it
			}
			t.Run(string(language)+" "+string(charset), func(t *testing.T) {
				d := newDouble(t, played.Config{Language: language, Charset: charset})
				w := newWorld(t, d.settings(map[string]any{"test_challenge": true}))
				got, err := w.challenge(t.Context(), "req_1")
				if err != nil || len(got.Secret.Reveal()) != 16 || got.URL != d.base+"/certsrv/mscep/mscep.dll" {
					t.Fatalf("%d characters, %q, %v", len(got.Secret.Reveal()), got.URL, err)
				}
				wantStep(t, w.check()["challenge"], ca.StepOK, "16 characters")
			})
		}
	}
}

// TestChallengeIsKept: the same order gets the same challenge while it lives, one
// that is about to expire is not set out with, and a used one makes room.
func TestChallengeIsKept(t *testing.T) {
	now := time.Now()
	d := newDouble(t, played.Config{Now: func() time.Time { return now }})
	w := newWorld(t, d.settings(map[string]any{"cache_size": 3}))
	w.slots.Now, w.env.Now = func() time.Time { return now }, func() time.Time { return now }
	w.reopen()
	first, err := w.challenge(t.Context(), "req_1")
	if err != nil || first.ExpiresAt.Sub(now) != 57*time.Minute {
		t.Fatalf("%v; expires in %s", err, first.ExpiresAt.Sub(now))
	}
	if again, err := w.challenge(t.Context(), "req_1"); err != nil || !again.Secret.Equal(first.Secret) || d.Counts().Minted != 1 {
		t.Errorf("the same order got another challenge, %v", err)
	}
	if _, err := w.challenge(t.Context(), "req_2"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = w.challenge(ctx, "req_3")
	if e := wantError(t, err, ra.Unreachable, "slot"); e.Retry <= 0 || d.Counts().Minted != 2 {
		t.Errorf("retry %v, %d made", e.Retry, d.Counts().Minted)
	}
	now = now.Add(58 * time.Minute)
	_, err = w.challenge(t.Context(), "req_1")
	if e := wantError(t, err, ra.Unreachable, "expire"); e.Retry <= 0 || e.Retry > 5*time.Minute {
		t.Errorf("retry %v", e.Retry)
	}
	now = now.Add(5 * time.Minute)
	if fresh, err := w.challenge(t.Context(), "req_1"); err != nil || fresh.Secret.Equal(first.Secret) {
		t.Errorf("after its end: %v", err)
	}
}

// TestUsedMakesRoom: what a request has used is given back, so that many go through
// few places; a request whose answer was lost keeps its own.
func TestUsedMakesRoom(t *testing.T) {
	d := newDouble(t, played.Config{PasswordMax: 1})
	w := newWorld(t, d.settings(map[string]any{"cache_size": 1, "cache_reserve": 0}))
	for _, id := range []string{"one", "two", "three"} {
		if _, err := w.Issue(t.Context(), w.request(id)); err != nil {
			t.Fatalf("%s: %v", id, err)
		}
	}
	if w.out() != 0 || d.Counts().Used != 3 || d.Counts().CacheFull != 0 {
		t.Errorf("%d out, %+v", w.out(), d.Counts())
	}
	d.gate(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Get("operation") == "PKIOperation" {
			panic(http.ErrAbortHandler)
		}
		return false
	})
	if _, err := w.Issue(t.Context(), w.request("lost")); ra.KindOf(err) != ra.Unreachable || w.out() != 1 {
		t.Errorf("%v, %d out; nobody knows whether it was used", err, w.out())
	}
}

// TestCarried: a challenge that the device signed into its request is sent as it
// is, and its place is given back; no other is fetched.
func TestCarried(t *testing.T) {
	d := newDouble(t, played.Config{})
	w := newWorld(t, d.settings(nil))
	given, err := w.challenge(t.Context(), "chl_device")
	if err != nil {
		t.Fatal(err)
	}
	key, err := pkixmsg.GenerateKey(pkixmsg.P256)
	if err != nil {
		t.Fatal(err)
	}
	o := ca.Order{ID: "carried", Subject: subject(t, "CN=carried"), Carries: "chl_device"}
	if o.CSR, err = pkixmsg.BuildCSR(pkixmsg.CSRRequest{Name: o.Subject, Signer: key, ChallengePassword: given.Secret.Reveal()}); err != nil {
		t.Fatal(err)
	}
	r, err := ca.NewRequest(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Issue(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if c := d.Counts(); c.Minted != 1 || c.Used != 1 || w.out() != 0 || d.issued("carried") != 1 {
		t.Errorf("%+v, %d out, %d issued", c, w.out(), d.issued("carried"))
	}
}
