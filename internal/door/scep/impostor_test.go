package scep_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"net/http"
	"testing"
	"time"

	"chancery/internal/authority"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/testpeer"
	"chancery/internal/wire/cms"
	"chancery/internal/wire/scepmsg"
)

// TestImpostors: certificates that say everything the victim's says, and are not
// the victim's. None renews, none is told anything, and nothing happens to the
// victim's certificate.
func TestImpostors(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		e := w.endpoint("door", w.template(nil), nil)
		victim, insider := w.enrolled(t, e, ecKey(t)), w.enrolled(t, e, ecKey(t))
		genuine, holder := parsed(t, victim.cert), parsed(t, insider.cert)
		issuing := parsed(t, victim.ras[1])
		twin := &x509.Certificate{SerialNumber: issuing.SerialNumber, RawSubject: issuing.RawSubject, NotBefore: issuing.NotBefore, NotAfter: issuing.NotAfter, IsCA: true, BasicConstraintsValid: true,
			KeyUsage: issuing.KeyUsage, SubjectKeyId: issuing.SubjectKeyId}
		twinKey := ecKey(t)
		twin = certified(t, twin, twin, twinKey.Public(), twinKey)
		again := func() *x509.Certificate {
			c := *genuine
			c.SignatureAlgorithm, c.PublicKeyAlgorithm, c.PublicKey = 0, 0, nil
			return &c
		}
		for name, forge := range map[string]func(public *ecdsa.PublicKey, key *ecdsa.PrivateKey) *x509.Certificate{
			"same issuer, subject and number, signed by itself": func(public *ecdsa.PublicKey, key *ecdsa.PrivateKey) *x509.Certificate {
				return certified(t, again(), issuing, public, key)
			},
			"the same, from a CA of the same name and number": func(public *ecdsa.PublicKey, _ *ecdsa.PrivateKey) *x509.Certificate {
				return certified(t, again(), twin, public, twinKey)
			},
			"the victim's subject, signed by a device's certificate": func(public *ecdsa.PublicKey, _ *ecdsa.PrivateKey) *x509.Certificate {
				return certified(t, again(), holder, public, insider.key)
			},
			"a CA under a device's certificate": func(public *ecdsa.PublicKey, _ *ecdsa.PrivateKey) *x509.Certificate {
				c := again()
				c.IsCA, c.BasicConstraintsValid, c.RawSubject = true, true, issuing.RawSubject
				return certified(t, c, holder, public, insider.key)
			},
		} {
			t.Run(name, func(t *testing.T) {
				key := ecKey(t)
				c := w.client(t, e, victim.device, key)
				c.cert = must(cms.ParseCertificate(forge(&key.PublicKey, key).Raw))(t)
				for _, kind := range renewals {
					w.clock.advance(2 * time.Minute)
					c.send(t, c.renewal(t, kind, ecKey(t))).refused(t, scepmsg.BadRequest)
				}
				ask := c.request(t)
				ask.Type, ask.Content = scepmsg.GetCert, scepmsg.Content{Subject: victim.cert.ID()}
				c.send(t, ask).refused(t, scepmsg.BadRequest)
			})
		}
		if row := w.row(victim.cert); row.State != ra.Valid || row.RenewedBy != "" || len(w.certificates(victim.device)) != 1 {
			t.Errorf("the victim's certificate is %s, renewed by %q", row.State, row.RenewedBy)
		}
		victim.send(t, victim.renewal(t, scepmsg.RenewalReq, ecKey(t))).granted(t)
	})
}

func certified(t testing.TB, c, parent *x509.Certificate, public, key any) *x509.Certificate {
	t.Helper()
	// The library checks a parent's key; that of an impostor is whatever it is.
	p := *parent
	p.PublicKey = key.(crypto.Signer).Public()
	return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, c, &p, public, key))(t)))(t)
}

// TestOtherCredentials: at the door for challenges nothing else that opens
// something is one: not its stored hash, its name, a link with its text, nor the
// challenge itself where programs put tokens.
func TestOtherCredentials(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		e := w.endpoint("door", w.template(nil), nil)
		d := w.device()
		good := w.challenge(e, d)
		var row *ra.Challenge
		w.read(func(tx *store.Tx) error {
			list, _, err := tx.FindChallenges(store.ChallengeFilter{Device: d.ID})
			row = list[0]
			return err
		})
		const text = "the-secret-text-of-a-link-or-token"
		w.write(func(tx *store.Tx) error {
			return tx.CreateLink(store.Link{Hash: authority.Hash([]byte(text)), Purpose: "sign-in", Subject: "adm_1", ExpiresAt: tx.Now.Add(time.Hour)})
		})
		for _, challenge := range map[string]string{"its hash": row.Hash, "its ID": string(row.ID), "the device": string(d.ID), "a link": text} {
			w.clock.advance(20 * time.Minute)
			c := w.client(t, e, d, ecKey(t))
			c.challenge = challenge
			c.send(t, c.request(t)).refused(t, scepmsg.BadRequest)
			w.refusedFor(t, "not known here")
		}
		c := w.client(t, e, d, ecKey(t))
		sent := must(c.request(t).Build())(t)
		request := must(http.NewRequestWithContext(t.Context(), http.MethodPost, c.url+"?operation=PKIOperation&challenge="+good, bytes.NewReader(sent.Message)))(t)
		request.Header.Set("Authorization", "Bearer "+good)
		request.Header.Set("Cookie", "challenge="+good)
		_, _, body := do(t, request)
		c.readReply(t, sent, body).refused(t, scepmsg.BadRequest)
		if n := len(w.requests(d)); n != 0 {
			t.Errorf("there are %d requests", n)
		}
		c = w.client(t, e, d, ecKey(t))
		c.challenge = w.challenge(e, d)
		c.mustEnrol(t)
	})
}

// TestForwardedIsNotBelieved: who guesses challenges is shut out by the address
// of the connection, whatever a header claims.
func TestForwardedIsNotBelieved(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		e := w.endpoint("door", w.template(nil), nil)
		d := w.device()
		try := func(challenge string, i int) *answer {
			c := w.client(t, e, d, ecKey(t))
			c.challenge = challenge
			sent := must(c.request(t).Build())(t)
			request := must(http.NewRequestWithContext(t.Context(), http.MethodPost, c.url+"?operation=PKIOperation", bytes.NewReader(sent.Message)))(t)
			for _, name := range []string{"X-Forwarded-For", "X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "X-Client-Ip"} {
				request.Header.Set(name, fmt.Sprintf("203.0.113.%d", i))
			}
			request.Header.Set("Forwarded", fmt.Sprintf("for=203.0.113.%d", i))
			_, _, body := do(t, request)
			return c.readReply(t, sent, body)
		}
		good := w.challenge(e, d)
		for i := range 6 {
			try(fmt.Sprintf("guess %d", i), i).refused(t, scepmsg.BadRequest)
		}
		try(good, 100).refused(t, scepmsg.BadRequest)
		w.clock.advance(2 * time.Minute)
		try(good, 101).refused(t, scepmsg.BadRequest)
		w.refusedFor(t, "Too many wrong challenges") // and the record has the true address
		w.clock.advance(20 * time.Minute)
		try(good, 102).granted(t)
	})
}
