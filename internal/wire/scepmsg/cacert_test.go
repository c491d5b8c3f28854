package scepmsg_test

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"slices"
	"testing"

	"chancery/internal/wire/cms"
	"chancery/internal/wire/cms/cmstest"
	"chancery/internal/wire/scepmsg"
)

func TestGetCACertAnswers(t *testing.T) {
	made := func(name string, key crypto.Signer, ca bool, usage x509.KeyUsage) *cms.Certificate {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(5), RawSubject: cmstest.Name(name), NotBefore: notBefore, NotAfter: notAfter,
			KeyUsage: usage, IsCA: ca, BasicConstraintsValid: true,
		}
		return parseCert(t, cmstest.Must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))(t))
	}
	sign, encipher, issue := x509.KeyUsageDigitalSignature, x509.KeyUsageKeyEncipherment, x509.KeyUsageCertSign
	rsaKey, ecKey := cmstest.RSAKey(0), cmstest.ECKey(t, elliptic.P256())
	var (
		ra       = made("ra", rsaKey, false, sign|encipher)
		raSign   = made("ra sign", rsaKey, false, sign)
		raCrypt  = made("ra encrypt", rsaKey, false, encipher)
		ca       = made("ca", rsaKey, true, issue|sign)
		caAll    = made("ca for all", rsaKey, true, issue|sign|encipher)
		caSigns  = made("ca issues only", rsaKey, true, issue)
		ecRA     = made("ec ra", ecKey, false, sign|encipher)
		unstated = made("unstated", rsaKey, false, 0)
	)
	for _, c := range []struct {
		name    string
		certs   []*cms.Certificate
		ra      *cms.Certificate
		signers []*cms.Certificate
	}{
		{"single CA", []*cms.Certificate{caAll}, caAll, []*cms.Certificate{caAll}},
		{"single CA without keyEncipherment", []*cms.Certificate{ca}, ca, []*cms.Certificate{ca}},
		{"RA after CA", []*cms.Certificate{caAll, ra, caSigns}, ra, []*cms.Certificate{caAll, ra}},
		{"old NDES", []*cms.Certificate{raSign, ca, raCrypt}, raCrypt, []*cms.Certificate{raSign, ca}},
		{"EC first", []*cms.Certificate{ecRA, ra}, ra, []*cms.Certificate{ecRA, ra}},
		{"usage unstated", []*cms.Certificate{ca, unstated}, unstated, []*cms.Certificate{ca, unstated}},
		{"CA that may, beside one that may not", []*cms.Certificate{ca, caAll}, caAll, []*cms.Certificate{ca, caAll}},
		{"EC alone", []*cms.Certificate{ecRA}, nil, []*cms.Certificate{ecRA}},
		{"none fits", []*cms.Certificate{ca, caSigns}, nil, []*cms.Certificate{ca}},
	} {
		var raw [][]byte
		for _, cert := range c.certs {
			raw = append(raw, cert.Raw)
		}
		answer := cmstest.Must(cms.Degenerate(raw, nil))(t)
		if len(raw) == 1 {
			answer = raw[0]
		}
		got := cmstest.Must(scepmsg.ParseCACert(answer, cms.Limits{}))(t)
		same := func(a, b *cms.Certificate) bool { return a == b || a != nil && b != nil && bytes.Equal(a.Raw, b.Raw) }
		if !slices.EqualFunc(got, c.certs, same) {
			t.Errorf("%s: read %d certificates, want %d", c.name, len(got), len(c.certs))
		}
		if !same(scepmsg.ChooseRA(got), c.ra) {
			t.Errorf("%s: the RA chosen is another", c.name)
		}
		if !slices.EqualFunc(scepmsg.ReplySigners(got), c.signers, same) {
			t.Errorf("%s: %d signers, want %d", c.name, len(scepmsg.ReplySigners(got)), len(c.signers))
		}
	}
	if _, err := scepmsg.ParseCACert(cmstest.Must(cms.Degenerate(nil, nil))(t), cms.Limits{}); err != scepmsg.ErrNoCACert {
		t.Errorf("nothing: %v, want ErrNoCACert", err)
	}
	if _, err := scepmsg.ParseCACert([]byte("<html>"), cms.Limits{}); err == nil {
		t.Error("a web page was accepted")
	}
}
