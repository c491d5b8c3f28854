package signin

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/store"
)

const origin = "http://localhost:8080"

// passkey registers a new authenticator for an administrator.
func (w *world) newPasskey(a *ra.Admin, name string) *authenticator {
	w.t.Helper()
	w.clock.Advance(time.Second) // passkeys are listed by age
	key := newAuthenticator(w.t, origin, "localhost")
	options, state, err := w.BeginRegistration(w.t.Context(), w.actor(a))
	if err != nil {
		w.t.Fatal(err)
	}
	must(w.FinishRegistration(w.t.Context(), w.actor(a), state, name, key.create(options)))(w.t)
	return key
}

// enter signs in with an authenticator.
func (w *world) enter(key *authenticator) (*ra.Admin, error) {
	w.t.Helper()
	options, state, err := w.BeginPasskey()
	if err != nil {
		w.t.Fatal(err)
	}
	return w.FinishPasskey(w.t.Context(), state, key.get(options), "192.0.2.1")
}

func TestPasskey(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		jane := w.admin("jane", ra.Grant{Role: ra.RoleViewer})
		bob := w.admin("bob", ra.Grant{Role: ra.RoleViewer})
		key := w.newPasskey(jane, "laptop")
		same(w.t, "audit", w.last(), "passkey.added jane ok")
		options, _, err := w.BeginRegistration(ctx, w.actor(jane))
		if err != nil {
			w.t.Fatal(err)
		}
		o := key.read(options).PublicKey
		if len(o.Exclude) != 1 || o.Exclude[0].ID != b64(key.id) || o.RP.ID != "localhost" || o.User.Name != "jane" || o.Attestation != "none" ||
			o.Selection.ResidentKey != "required" || o.Selection.UserVerification != "required" {
			w.t.Errorf("options are %s", options)
		}
		for range 2 {
			a, err := w.enter(key)
			if err != nil || a.ID != jane.ID {
				w.t.Fatalf("got %v, %v, want jane", a, err)
			}
			same(w.t, "audit", w.last(), "admin.signed_in jane ok")
		}
		second := w.newPasskey(jane, "key ring")
		a, err := w.enter(second)
		if err != nil || a.ID != jane.ID {
			w.t.Fatalf("with the second: %v, %v", a, err)
		}
		list := must(w.Passkeys(ctx, w.actor(jane), jane.ID))(w.t)
		if len(list) != 2 || list[0].Name != "laptop" || !bytes.Contains(list[0].Credential, []byte(`"signCount":2`)) {
			w.t.Errorf("passkeys are %+v", list)
		}
		_, err = w.Passkeys(ctx, w.actor(bob), jane.ID)
		wantKind(w.t, "somebody else's", err, ra.Denied)
		wantKind(w.t, "removed by somebody else", w.RemovePasskey(ctx, w.actor(bob), jane.ID, list[0].ID), ra.Denied)
		wantKind(w.t, "removed as one's own", w.RemovePasskey(ctx, w.actor(bob), bob.ID, list[0].ID), ra.NotFound)
		wantKind(w.t, "removed", w.RemovePasskey(ctx, w.actor(jane), jane.ID, list[0].ID), "")
		same(w.t, "audit", w.last(), "passkey.removed jane ok")
		_, err = w.enter(key)
		wantKind(w.t, "a removed one", err, ra.Unsigned)
		_, err = w.enter(second)
		wantKind(w.t, "the other one", err, "")
		must(w.UpdateAdmin(ctx, w.owner, jane.ID, AdminInput{Disabled: ptr(true)}))(w.t)
		_, err = w.enter(second)
		wantKind(w.t, "of somebody disabled", err, ra.Unsigned)
		same(w.t, "audit", w.last(), "admin.sign_in_refused jane refused")
		if err := w.DeleteAdmin(ctx, w.owner, jane.ID); err != nil {
			w.t.Fatal(err)
		}
		_, err = w.enter(second)
		wantKind(w.t, "of somebody deleted", err, ra.Unsigned)
	})
}

func TestPasskeyCopyIsNoticed(t *testing.T) {
	each(t, func(w *world) {
		jane := w.admin("jane", ra.Grant{Role: ra.RoleViewer})
		key := w.newPasskey(jane, "laptop")
		stolen := *key
		for range 3 {
			if _, err := w.enter(key); err != nil {
				w.t.Fatal(err)
			}
		}
		_, err := w.enter(&stolen)
		wantKind(w.t, "a copy that is behind", err, ra.Unsigned)
		same(w.t, "audit", w.last(), "admin.sign_in_refused jane refused")
		if !strings.Contains(w.log.String(), "there may be a copy") {
			w.t.Error("the log has no warning")
		}
		list := must(w.Passkeys(w.t.Context(), w.owner, jane.ID))(w.t)
		if !bytes.Contains(list[0].Credential, []byte(`"cloneWarning":true`)) {
			w.t.Errorf("stored as %s, want the warning in it", list[0].Credential)
		}
		// Authenticators that do not count always say 0.
		silent := newAuthenticator(w.t, origin, "localhost")
		options, state, err := w.BeginRegistration(w.t.Context(), w.actor(jane))
		if err != nil {
			w.t.Fatal(err)
		}
		must(w.FinishRegistration(w.t.Context(), w.actor(jane), state, "phone", silent.create(options)))(w.t)
		for range 2 {
			silent.count = ^uint32(0) // one more is 0
			_, err := w.enter(silent)
			wantKind(w.t, "one that does not count", err, "")
		}
	})
}

func TestPasskeyRefuses(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		jane := w.admin("jane", ra.Grant{Role: ra.RoleViewer})
		bob := w.admin("bob", ra.Grant{Role: ra.RoleViewer})
		key := w.newPasskey(jane, "laptop")
		for name, change := range map[string]func(k *authenticator){
			"another origin":       func(k *authenticator) { k.origin = "http://localhost:8081" },
			"another server":       func(k *authenticator) { k.rp = "evil.example" },
			"not verified":         func(k *authenticator) { k.flags = userPresent },
			"not present":          func(k *authenticator) { k.flags = userVerified },
			"as somebody else":     func(k *authenticator) { k.user = []byte(bob.ID) },
			"as nobody":            func(k *authenticator) { k.user = []byte("adm_" + strings.Repeat("0", 26)) },
			"without a name":       func(k *authenticator) { k.user = nil },
			"with an odd name":     func(k *authenticator) { k.user = []byte("adm_\x00'") },
			"an unknown passkey":   func(k *authenticator) { k.id = bytes.Repeat([]byte{7}, 32) },
			"signed by a stranger": func(k *authenticator) { k.key = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(w.t) },
		} {
			w.clock.Advance(time.Hour)
			wrong := *key
			change(&wrong)
			_, err := w.enter(&wrong)
			wantKind(w.t, name, err, ra.Unsigned)
		}
		_, err := w.enter(key)
		wantKind(w.t, "unchanged", err, "")

		options, state, err := w.BeginPasskey()
		if err != nil {
			w.t.Fatal(err)
		}
		if o := key.read(options).PublicKey; len(o.Allow) != 0 || o.RPID != "localhost" || o.UserVerification != "required" {
			w.t.Errorf("options are %s", options)
		}
		answer := key.get(options)
		for name, c := range map[string]struct {
			state, answer []byte
			kind          ra.Kind
		}{
			"no state": {nil, answer, ra.Denied}, "odd state": {[]byte("{"), answer, ra.Denied}, "no answer": {state, nil, ra.Unsigned},
			"odd answer": {state, []byte(`{"id":"x"}`), ra.Unsigned}, "huge answer": {state, make([]byte, maxResponse+1), ra.TooLarge},
		} {
			w.clock.Advance(time.Second)
			_, err := w.FinishPasskey(ctx, c.state, c.answer, "")
			wantKind(w.t, name, err, c.kind)
		}
		_, other, err := w.BeginPasskey()
		if err != nil {
			w.t.Fatal(err)
		}
		_, err = w.FinishPasskey(ctx, other, answer, "")
		wantKind(w.t, "the state of another ceremony", err, ra.Unsigned)
		create, registration, err := w.BeginRegistration(ctx, w.actor(jane))
		if err != nil {
			w.t.Fatal(err)
		}
		_, err = w.FinishPasskey(ctx, registration, answer, "")
		wantKind(w.t, "the state of a registration", err, ra.Denied)
		_, err = w.FinishRegistration(ctx, w.actor(jane), state, "x", answer)
		wantKind(w.t, "a sign-in as a registration", err, ra.Denied)
		_, err = w.FinishRegistration(ctx, w.actor(bob), registration, "x", newAuthenticator(w.t, origin, "localhost").create(create))
		wantKind(w.t, "somebody else's registration", err, ra.Denied)
		_, err = w.FinishRegistration(ctx, w.actor(jane), registration, " ", newAuthenticator(w.t, origin, "localhost").create(create))
		wantKind(w.t, "without a name", err, ra.Invalid)
		_, err = w.FinishRegistration(ctx, w.actor(jane), registration, "x", []byte("{"))
		wantKind(w.t, "an odd answer", err, ra.Denied)
		_, err = w.FinishRegistration(ctx, w.actor(jane), registration, "x", newAuthenticator(w.t, "http://evil.example", "localhost").create(create))
		wantKind(w.t, "from another page", err, ra.Denied)
		_, err = w.FinishRegistration(ctx, w.actor(jane), registration, "again", key.create(create))
		wantKind(w.t, "a second time", err, ra.Conflict)
		_, _, err = w.BeginRegistration(ctx, w.owner)
		wantKind(w.t, "not a person", err, ra.Denied)
		w.clock.Advance(ceremonyLife)
		_, err = w.FinishRegistration(ctx, w.actor(jane), registration, "x", newAuthenticator(w.t, origin, "localhost").create(create))
		wantKind(w.t, "too late", err, ra.Denied)
		_, err = w.FinishPasskey(ctx, state, answer, "")
		wantKind(w.t, "a sign-in too late", err, ra.Denied)
	})
}

func TestPasskeyLimit(t *testing.T) {
	each(t, func(w *world) {
		jane := w.admin("jane", ra.Grant{Role: ra.RoleViewer})
		key := w.newPasskey(jane, "0")
		stored := must(w.Passkeys(w.t.Context(), w.owner, jane.ID))(w.t)[0]
		err := w.DB.Write(w.t.Context(), func(tx *store.Tx) error {
			for i := 1; i < maxPasskeys; i++ {
				more := *stored
				more.ID, more.Name = ra.NewID[ra.PasskeyID](ra.PasskeyPrefix, tx.Now), fmt.Sprint(i)
				if err := tx.CreatePasskey(&more); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			w.t.Fatal(err)
		}
		_, _, err = w.BeginRegistration(w.t.Context(), w.actor(jane))
		wantKind(w.t, "one more", err, ra.Conflict)
		_, err = w.enter(key)
		wantKind(w.t, "sign in with one of them", err, "")
	})
}

func TestPasskeysNeedAName(t *testing.T) {
	for url, want := range map[string]ra.Kind{
		"https://pki.acme.example": "", "https://PKI.acme.example:8443/": "", "http://localhost:8080": "", "http://pki.localhost": "",
		"http://pki.acme.example": ra.Invalid, "https://192.0.2.1": ra.Invalid, "https://[2001:db8::1]:8443": ra.Invalid, "": ra.Invalid, "::": ra.Invalid, "https://a_b c/": ra.Invalid,
	} {
		s := &Service{PublicURL: url, Now: time.Now}
		_, _, err := s.BeginPasskey()
		wantKind(t, url, err, want)
	}
	for url, origin := range map[string]string{
		"https://PKI.acme.example:8443/": "https://pki.acme.example:8443", "https://pki.acme.example:443": "https://pki.acme.example", "http://localhost:80/": "http://localhost",
	} {
		rp, err := (&Service{PublicURL: url}).relyingParty()
		if err != nil {
			t.Fatal(err)
		}
		same(t, url, rp.Config.RPOrigins, []string{origin})
	}
}
