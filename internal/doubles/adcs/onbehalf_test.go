package adcs_test

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"math/big"
	"strings"
	"testing"
	"time"

	"chancery/internal/doubles/adcs"
	"chancery/internal/wire/cms"
)

// wrapped signs a request for somebody else, or for oneself to renew.
func wrapped(t *testing.T, request []byte, cert *x509.Certificate, key crypto.Signer, requester string) []byte {
	t.Helper()
	c, err := cms.ParseCertificate(cert.Raw)
	if err != nil {
		t.Fatal(err)
	}
	o := cms.SignOptions{Content: request, Signer: key, Certificate: c}
	if requester != "" {
		bmp := func(s string) []byte {
			b := []byte{0x1e, byte(2 * len(s))}
			for i := range len(s) {
				b = append(b, 0, s[i])
			}
			return b
		}
		pair := append(bmp("requestername"), bmp(requester)...)
		o.Attributes = cms.Attributes{{Type: cms.MustOID("1.3.6.1.4.1.311.13.2.1"), Value: append([]byte{0x30, byte(len(pair))}, pair...)}}
	}
	message, err := cms.Sign(o)
	if err != nil {
		t.Fatal(err)
	}
	return message
}

func TestOnBehalfOf(t *testing.T) {
	ca := start(t, adcs.Config{Restrictions: []adcs.AgentRestriction{{Agent: "agent", Targets: []string{"alice", "ra", "away"}}, {Agent: "plain"}},
		Templates: append(adcs.DefaultTemplates(), adcs.Template{Name: "Plain", NameFlags: adcs.SubjectCommonName},
			adcs.Template{Name: "Twice", NameFlags: adcs.SubjectCommonName, Signatures: 2})})
	ca.Account(adcs.Account{User: "away", Away: true, SID: sid, UPN: "a@b"})
	p := startPython(t, ca, "ra").passage()
	agent := certificate(t, p.enrol("EnrollmentAgent", csr(t, keys()[0], "agent")))
	plain := certificate(t, p.enrol("WebServer", csr(t, keys()[0], "plain")))
	inner := csr(t, keys()[1], "device value")

	cert := certificate(t, p.enrol("MobileUser", wrapped(t, inner, agent, keys()[0], `CORP\alice`), object{"flags": 0x300}))
	if !strings.HasPrefix(cert.Subject.String(), "CN=alice") || !keys()[1].PublicKey.Equal(cert.PublicKey) {
		t.Errorf("issued for %s", cert.Subject)
	}
	if r := ca.Requests()[2]; r.Requester != `CORP\alice` || r.Caller != `CORP\ra` {
		t.Errorf("of %s by %s", r.Requester, r.Caller)
	}
	certificate(t, p.enrol("User", wrapped(t, inner, agent, keys()[0], `corp\ALICE`))) // of version 1: needs no signature, takes it

	self, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(7), NotAfter: time.Now().Add(time.Hour), Subject: pkix.Name{CommonName: "agent"},
		UnknownExtKeyUsage: []asn1.ObjectIdentifier{{1, 3, 6, 1, 4, 1, 311, 20, 2, 1}}}, &x509.Certificate{Subject: pkix.Name{CommonName: "agent"}}, keys()[0].Public(), keys()[0])
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := x509.ParseCertificate(self)
	if err != nil {
		t.Fatal(err)
	}
	message := wrapped(t, inner, agent, keys()[0], `CORP\alice`)
	broken := append([]byte{}, message...)
	broken[len(broken)-1] ^= 1
	for name, c := range map[string]struct {
		template string
		message  []byte
		code     uint32
	}{
		"no domain":           {"MobileUser", wrapped(t, inner, agent, keys()[0], "alice"), 0x80070534},
		"another domain":      {"MobileUser", wrapped(t, inner, agent, keys()[0], `corp.example\alice`), 0x8007054B},
		"no such user":        {"MobileUser", wrapped(t, inner, agent, keys()[0], `CORP\bob`), 0x80070525},
		"another forest":      {"MobileUser", wrapped(t, inner, agent, keys()[0], `CORP\away`), 0x8007202B},
		"a restricted target": {"MobileUser", wrapped(t, inner, agent, keys()[0], `CORP\manager`), 0x80094009},
		"no agent":            {"MobileUser", wrapped(t, inner, plain, keys()[0], `CORP\alice`), 0x8009480B},
		"no agent, version 1": {"User", wrapped(t, inner, plain, keys()[0], `CORP\alice`), 0x800B0110},
		"a signer of its own": {"MobileUser", wrapped(t, inner, stranger, keys()[0], `CORP\alice`), 0x800B0109},
		"no signature wanted": {"Plain", wrapped(t, inner, agent, keys()[0], `CORP\alice`), 0x80094806},
		"two signatures":      {"Twice", wrapped(t, inner, agent, keys()[0], `CORP\alice`), 0x80094815},
		"a broken signature":  {"MobileUser", broken, 0x80090006},
	} {
		if answer := p.enrol(c.template, c.message); disposition(answer) != c.code {
			t.Errorf("%s: %v, not 0x%08X", name, answer, c.code)
		}
	}
	if err := ca.RevokeSerial(hex.EncodeToString(agent.SerialNumber.Bytes()), 1); err != nil {
		t.Fatal(err)
	}
	if answer := p.enrol("MobileUser", message); disposition(answer) != 0x80092010 {
		t.Errorf("a revoked agent: %v", answer)
	}
}

// renewing makes a request that names the certificate it renews.
func renewing(t *testing.T, key crypto.Signer, old []byte) []byte {
	t.Helper()
	attribute, err := asn1.Marshal(struct {
		Type   asn1.ObjectIdentifier
		Values []asn1.RawValue `asn1:"set"`
	}{asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 13, 1}, []asn1.RawValue{{FullBytes: old}}})
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	name, err := asn1.Marshal(pkix.Name{CommonName: "renewed"}.ToRDNSequence())
	if err != nil {
		t.Fatal(err)
	}
	info := struct {
		Version    int
		Name, SPKI asn1.RawValue
		Attributes []asn1.RawValue `asn1:"tag:0,set"`
	}{0, asn1.RawValue{FullBytes: name}, asn1.RawValue{FullBytes: spki}, []asn1.RawValue{{FullBytes: attribute}}}
	tbs, err := asn1.Marshal(info)
	if err != nil {
		t.Fatal(err)
	}
	digest := crypto.SHA256.New()
	digest.Write(tbs)
	signature, err := key.Sign(rand.Reader, digest.Sum(nil), crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	der, err := asn1.Marshal(struct {
		Info      asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{asn1.RawValue{FullBytes: tbs}, pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, Parameters: asn1.NullRawValue}, asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestRenewal(t *testing.T) {
	ca := start(t, adcs.Config{EditFlags: adcs.EditRenewOnBehalf, Templates: append(adcs.DefaultTemplates(),
		adcs.Template{Name: "Keep", NameFlags: adcs.SuppliesSubject | adcs.OldCertSubject, EnrollFlags: adcs.PendAll | adcs.PreviousApproval},
		adcs.Template{Name: "SameKey", NameFlags: adcs.SuppliesSubject, KeyFlags: adcs.SameKeyRenewal})})
	p := startPython(t, ca, "ra").passage()
	if d := disposition(p.enrol("Keep", csr(t, keys()[0], "first"))); d != 5 {
		t.Fatalf("not pending: 0x%x", d)
	}
	if err := ca.Approve(1); err != nil {
		t.Fatal(err)
	}
	old := ca.Issued()[0]
	cert := certificate(t, p.enrol("Keep", wrapped(t, renewing(t, keys()[1], old.Raw), old, keys()[0], ""), object{"flags": 0x300}))
	if cert.Subject.CommonName != "first" || !keys()[1].PublicKey.Equal(cert.PublicKey) {
		t.Errorf("renewed for %s", cert.Subject)
	}
	for name, c := range map[string]struct {
		template string
		message  []byte
		code     uint32
	}{
		"another certificate": {"Keep", wrapped(t, renewing(t, keys()[1], cert.Raw), old, keys()[0], ""), 0x8009400E},
		"another key":         {"SameKey", wrapped(t, renewing(t, keys()[1], old.Raw), old, keys()[0], ""), 0x80094816},
	} {
		if answer := p.enrol(c.template, c.message); disposition(answer) != c.code {
			t.Errorf("%s: %v, not 0x%08X", name, answer, c.code)
		}
	}
	other := startPython(t, ca, "manager").passage()
	message := wrapped(t, renewing(t, keys()[1], old.Raw), old, keys()[0], "")
	if d := disposition(other.enrol("Keep", message)); d != 0x80094806 {
		t.Errorf("of somebody else: 0x%x", d)
	}
	certificate(t, other.enrol("Keep", message, object{"flags": 0x00200300}))
	if err := ca.RevokeSerial(hex.EncodeToString(old.SerialNumber.Bytes()), 4); err != nil {
		t.Fatal(err)
	}
	if d := disposition(p.enrol("Keep", message)); d != 0x80092010 {
		t.Errorf("of a revoked certificate: 0x%x", d)
	}
}
