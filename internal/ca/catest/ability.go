package catest

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/wire/pkixmsg"
)

func revoke(t *testing.T, w *World) {
	r := w.request("req_revoke", pkixmsg.P256)
	reply := w.issue(r)
	revoker := w.Connector.(ca.Revoker)
	if len(revoker.Reasons()) == 0 {
		t.Error("a Revoker knows at least one reason")
	}
	order := ca.Revocation{Certificate: reply.Chain[0], Handle: reply.Handle, Reason: ra.KeyCompromise, At: w.Env.Now(), Comment: "lost"}
	for range 2 { // revoking what is revoked is no error
		if err := revoker.Revoke(t.Context(), order); err != nil {
			t.Fatalf("Revoke: %v", err)
		}
	}
	order.Certificate = foreign(t)
	w.wantError(revoker.Revoke(t.Context(), order), ra.Invalid, ra.NotFound, ra.RefusedByCA)
}

func hold(t *testing.T, w *World) {
	r := w.request("req_hold", pkixmsg.P256)
	reply := w.issue(r)
	revoker := w.Connector.(ca.Revoker)
	for _, reason := range []ra.RevocationReason{ra.CertificateHold, ra.RemoveFromCRL, ra.CertificateHold, ra.KeyCompromise} {
		err := revoker.Revoke(t.Context(), ca.Revocation{Certificate: reply.Chain[0], Handle: reply.Handle, Reason: reason, At: w.Env.Now()})
		if err != nil {
			t.Fatalf("Revoke with %v: %v", reason, err)
		}
	}
}

// foreign is a certificate no authority under test has issued.
func foreign(t *testing.T) *x509.Certificate {
	t.Helper()
	key, err := pkixmsg.GenerateKey(pkixmsg.P256)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1 << 40), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func keyAtCA(t *testing.T, w *World) {
	types := w.Connector.(ca.KeyMaker).KeyTypesAtCA()
	if len(types) == 0 {
		t.Fatal("a KeyMaker makes at least one type of key")
	}
	for i, keyType := range types {
		r := w.request(fmt.Sprintf("req_key_at_ca_%d", i), pkixmsg.P256, func(o *ca.Order) { o.CSR, o.KeyAtCA = nil, keyType })
		reply := w.issue(r)
		if reply.Key == nil {
			t.Fatalf("no key came with the certificate (%s)", keyType)
		}
		if got := pkixmsg.DescribeKey(reply.Key.Public()).Type; string(got) != keyType {
			t.Errorf("a key of type %s came; asked for %s", got, keyType)
		}
		w.verify(r, reply)
	}
}

func check(t *testing.T, w *World) {
	checker, ok := w.Connector.(ca.Checker)
	if !ok {
		return
	}
	steps := 0
	checker.Check(t.Context(), func(s ca.Step) {
		steps++
		if s.Name == "" || s.State != ca.StepOK {
			t.Errorf("step %q is %q: %s", s.Name, s.State, s.Detail)
		}
		if s.State != ca.StepOK && s.State != ca.StepSkipped && s.Remedy == "" {
			t.Errorf("step %q has no remedy", s.Name)
		}
		w.searchSecrets(s.Detail + s.Remedy)
	})
	if steps == 0 {
		t.Error("a check has at least one step")
	}
	if keys := w.Journal.Keys(); len(keys) > 0 {
		t.Errorf("a check left traces in the journal: %v", keys)
	}
}

// catalogue answers every look-up that settings and options name.
func catalogue(t *testing.T, w *World) {
	fields := setting.Fields(w.Settings)
	if w.setup.Kind.NewOptions != nil {
		fields = append(fields, setting.Fields(w.setup.Kind.NewOptions())...)
	}
	cataloger, ok := w.Connector.(ca.Cataloger)
	for _, f := range fields {
		if f.Lookup == "" {
			continue
		}
		if !ok {
			t.Errorf("field %s looks up %q, but the connector has no catalogue", f.Name, f.Lookup)
			continue
		}
		profiles, err := cataloger.Catalog(t.Context(), f.Lookup, map[string]string{})
		if err != nil || len(profiles) == 0 {
			t.Errorf("look-up %q: %d profiles, %v", f.Lookup, len(profiles), err)
		}
		for _, p := range profiles {
			if p.ID == "" {
				t.Errorf("look-up %q gives a profile without ID", f.Lookup)
			}
		}
	}
	if ok {
		_, err := cataloger.Catalog(t.Context(), "no-such-lookup", map[string]string{})
		w.wantError(err, ra.NotFound, ra.Invalid)
	}
}

func challenge(t *testing.T, w *World) {
	challenger, ok := w.Connector.(ca.Challenger)
	if !ok {
		return
	}
	order := ca.ChallengeOrder{ID: "req_challenge", Subject: pkixmsg.Name{{{OID: pkixmsg.OIDCommonName, Value: "pad-0042"}}}, Holder: "dev_1"}
	if w.setup.Kind.NewOptions != nil {
		order.Options = w.setup.Kind.NewOptions()
		setting.Defaults(order.Options)
	}
	got, err := challenger.Challenge(t.Context(), order)
	if err != nil {
		t.Fatalf("Challenge: %v", err)
	}
	if !strings.HasPrefix(got.URL, "http") || !got.Secret.IsSet() {
		t.Errorf("a challenge has a URL and a secret, got %q", got.URL)
	}
	if !got.ExpiresAt.IsZero() && !got.ExpiresAt.After(w.Env.Now()) {
		t.Error("the challenge has expired already")
	}
	if logged := w.log.String(); strings.Contains(logged, got.Secret.Reveal()) {
		t.Error("the challenge shows in the log")
	}
}

func chain(t *testing.T, w *World) {
	chainer, ok := w.Connector.(ca.Chainer)
	if !ok {
		return
	}
	list, err := chainer.Chain(t.Context())
	if err != nil || len(list) == 0 {
		t.Fatalf("Chain: %d certificates, %v", len(list), err)
	}
	r := w.request("req_chain", pkixmsg.P256)
	if got := w.issue(r); got.Chain[0].CheckSignatureFrom(list[0]) != nil {
		t.Error("the first certificate of the chain did not sign what is issued")
	}
	if !slices.ContainsFunc(list, func(c *x509.Certificate) bool { return c.CheckSignatureFrom(c) == nil }) {
		t.Error("the chain has no root")
	}
}

// revocationList asks for a list with one revoked certificate in it, from an
// authority that publishes lists or signs them for us.
func revocationList(t *testing.T, w *World) {
	r := w.request("req_crl", pkixmsg.P256)
	reply := w.issue(r)
	cert, issuer := reply.Chain[0], reply.Chain[1]
	now := w.Env.Now().UTC().Truncate(time.Second)
	switch c := w.Connector.(type) {
	case ca.CRLSigner:
		if len(c.Issuers()) == 0 || !c.Issuers()[0].Equal(issuer) {
			t.Fatal("the issuer that signs now is not the first of Issuers")
		}
		if validity, overlap := c.CRLTimes(); validity <= 0 || overlap < 0 || overlap >= validity {
			t.Errorf("a list is valid for %v and replaced %v before its end", validity, overlap)
		}
		sum := sha256.Sum256(issuer.RawSubjectPublicKeyInfo)
		hash := hex.EncodeToString(sum[:])
		der, err := c.SignCRLFor(t.Context(), hash, ca.CRLOrder{Number: 7, ThisUpdate: now, NextUpdate: now.Add(7 * 24 * time.Hour),
			Entries: []x509.RevocationListEntry{{SerialNumber: cert.SerialNumber, RevocationTime: now, ReasonCode: int(ra.KeyCompromise)}}})
		if err != nil {
			t.Fatalf("SignCRLFor: %v", err)
		}
		w.listed(der, issuer, cert, true)
		empty, err := c.SignCRLFor(t.Context(), hash, ca.CRLOrder{Number: 8, ThisUpdate: now, NextUpdate: now.Add(time.Hour)})
		if err != nil {
			t.Fatalf("SignCRLFor without entries: %v", err)
		}
		w.listed(empty, issuer, cert, false)
		_, err = c.SignCRLFor(t.Context(), hash, ca.CRLOrder{Number: 9, ThisUpdate: now, NextUpdate: now})
		w.wantError(err, ra.Invalid)
		_, err = c.SignCRLFor(t.Context(), "00", ca.CRLOrder{Number: 9, ThisUpdate: now, NextUpdate: now.Add(time.Hour)})
		w.wantError(err, ra.NotFound)
	case ca.CRLFetcher:
		before, err := c.CRL(t.Context())
		if err != nil {
			t.Fatalf("CRL: %v", err)
		}
		w.listed(before, issuer, cert, false)
		if revoker, ok := w.Connector.(ca.Revoker); ok {
			if err := revoker.Revoke(t.Context(), ca.Revocation{Certificate: cert, Reason: ra.KeyCompromise, At: now}); err != nil {
				t.Fatalf("Revoke: %v", err)
			}
			after, err := c.CRL(t.Context())
			if err != nil {
				t.Fatalf("CRL: %v", err)
			}
			w.listed(after, issuer, cert, true)
		}
	}
}

// listed asks of a list that it verifies and holds the certificate or not.
func (w *World) listed(der []byte, issuer, cert *x509.Certificate, want bool) {
	w.T.Helper()
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		w.T.Fatalf("the revocation list cannot be read: %v", err)
	}
	if err := list.CheckSignatureFrom(issuer); err != nil {
		w.T.Errorf("the revocation list is not signed by the issuer: %v", err)
	}
	has := slices.ContainsFunc(list.RevokedCertificateEntries, func(e x509.RevocationListEntry) bool {
		return e.SerialNumber.Cmp(cert.SerialNumber) == 0
	})
	if has != want {
		w.T.Errorf("the certificate is in the list: %v; want %v", has, want)
	}
	text := w.openSSLCRL(der, issuer)
	if shown := strings.Contains(strings.ToLower(text), fmt.Sprintf("serial number: %x", cert.SerialNumber.Bytes())); shown != want {
		w.T.Errorf("openssl shows the certificate in the list: %v; want %v\n%s", shown, want, text)
	}
}
