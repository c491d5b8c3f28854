package ca

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/wire/pkixmsg"
)

// goodOrder is an order that is in order, with its request's key.
func goodOrder(t testing.TB) Order {
	t.Helper()
	key, err := pkixmsg.GenerateKey(pkixmsg.P256)
	if err != nil {
		t.Fatal(err)
	}
	subject := mustDN(t, "CN=Ada,O=Example")
	csr, err := pkixmsg.BuildCSR(pkixmsg.CSRRequest{Name: subject, Signer: key})
	if err != nil {
		t.Fatal(err)
	}
	return Order{ID: "req_01", CSR: csr, Subject: subject, SANs: []pkixmsg.GeneralName{{Type: pkixmsg.DNS, Value: "*.example.test"}},
		EKUs: []string{"1.3.6.1.5.5.7.3.2"}, SID: "S-1-5-21-1-2-3-500", Validity: time.Hour}
}

func mustDN(t testing.TB, text string) pkixmsg.Name {
	t.Helper()
	name, err := pkixmsg.ParseDN(text)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestNewRequest(t *testing.T) {
	o := goodOrder(t)
	r, err := NewRequest(o)
	if err != nil {
		t.Fatalf("NewRequest: %v", err)
	}
	csr, err := pkixmsg.ParseCSR(o.CSR)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(csr.RawSPKI)
	if r.PublicKey == nil || r.SPKIHash != hex.EncodeToString(sum[:]) {
		t.Errorf("key %v, hash %q; want those of the CSR", r.PublicKey, r.SPKIHash)
	}
	o.CSR, o.KeyAtCA = nil, "rsa-2048"
	if r, err = NewRequest(o); err != nil || r.PublicKey != nil || r.SPKIHash != "" {
		t.Errorf("with the key at the CA: key %v, hash %q, %v", r.PublicKey, r.SPKIHash, err)
	}
}

func TestNewRequestRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*Order)
		field string
		want  string
	}{
		"no ID":        {func(o *Order) { o.ID = "" }, "id", "not usable"},
		"long ID":      {func(o *Order) { o.ID = strings.Repeat("a", 41) }, "id", "not usable"},
		"ID as a path": {func(o *Order) { o.ID = "req/../x" }, "id", "not usable"},
		"nobody":       {func(o *Order) { o.Subject, o.SANs = nil, nil }, "subject", "name nobody"},
		"a hole": {func(o *Order) {
			o.Subject = pkixmsg.Name{{{OID: pkixmsg.OIDCommonName, Value: ""}}}
		}, "subject", "CN is empty"},
		"bad name":      {func(o *Order) { o.SANs[0].Value = "a b" }, "sans", "DNS name"},
		"bad purpose":   {func(o *Order) { o.EKUs = []string{"clientAuth"} }, "ekus", "object identifier"},
		"bad SID":       {func(o *Order) { o.SID = "S-1" }, "sid", "security identifier"},
		"past validity": {func(o *Order) { o.Validity = -1 }, "validity_days", "out of range"},
		"long validity": {func(o *Order) { o.Validity = maxValidity + 1 }, "validity_days", "out of range"},
		"no key":        {func(o *Order) { o.CSR = nil }, "csr", "either a CSR"},
		"two keys":      {func(o *Order) { o.KeyAtCA = "p-256" }, "csr", "either a CSR"},
		"unknown key":   {func(o *Order) { o.CSR, o.KeyAtCA = nil, "rsa-512" }, "key_type", "no key type"},
		"no CSR":        {func(o *Order) { o.CSR = []byte("-----BEGIN") }, "csr", "PKCS#10"},
		"forged CSR":    {func(o *Order) { o.CSR[len(o.CSR)-1] ^= 1 }, "csr", ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := goodOrder(t)
			c.spoil(&o)
			r, err := NewRequest(o)
			var e *ra.Error
			if !errors.As(err, &e) || e.Kind != ra.Invalid || e.Remedy == "" || e.Retry != ra.Never {
				t.Fatalf("error %v; want an invalid one with a remedy, never retried", err)
			}
			if e.Field != c.field || !strings.Contains(e.Message, c.want) {
				t.Errorf("field %q, message %q; want %q and %q", e.Field, e.Message, c.field, c.want)
			}
			if r.ID != "" || r.PublicKey != nil {
				t.Error("a refused order gave a request")
			}
		})
	}
}

// TestNewRequestReportsAll: one answer names everything that is wrong.
func TestNewRequestReportsAll(t *testing.T) {
	o := goodOrder(t)
	o.ID, o.SID, o.CSR = "", "x", nil
	_, err := NewRequest(o)
	var e *ra.Error
	if !errors.As(err, &e) || len(e.Details) != 3 {
		t.Fatalf("error %v; want three details", err)
	}
}

// revoker is a connector that revokes for some reasons.
type revoker struct {
	Connector
	reasons []ra.RevocationReason
}

func (r revoker) Revoke(context.Context, Revocation) error { return nil }
func (r revoker) Reasons() []ra.RevocationReason           { return r.reasons }

func TestAbilities(t *testing.T) {
	for name, c := range map[string]struct {
		connector Connector
		want      []Ability
	}{
		"none":   {struct{ Connector }{}, nil},
		"revoke": {revoker{reasons: []ra.RevocationReason{ra.KeyCompromise}}, []Ability{CanRevoke}},
		"hold":   {revoker{reasons: []ra.RevocationReason{ra.KeyCompromise, ra.CertificateHold}}, []Ability{CanRevoke, CanHold}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Abilities(c.connector); !slices.Equal(got, c.want) {
				t.Errorf("got %v; want %v", got, c.want)
			}
		})
	}
}

// TestPending: a reply without a certificate is one to come back for.
func TestPending(t *testing.T) {
	if !(Reply{Handle: "1"}).Pending() || (Reply{Chain: []*x509.Certificate{{}}}).Pending() {
		t.Error("a reply is pending exactly while it holds no certificate")
	}
}
