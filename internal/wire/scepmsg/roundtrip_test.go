package scepmsg_test

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"chancery/internal/wire/cms"
	"chancery/internal/wire/cms/cmstest"
	"chancery/internal/wire/scepmsg"
)

// TestEveryOperation takes each kind of request, from RSA and EC clients,
// through the server and back.
func TestEveryOperation(t *testing.T) {
	a := newAuthority(t)
	crl := cmstest.Read(t, "openssl-crl.der")
	for keyName, key := range map[string]crypto.Signer{
		"RSA": cmstest.RSAKey(1), "P-256": cmstest.ECKey(t, elliptic.P256()), "P-384": cmstest.ECKey(t, elliptic.P384()),
	} {
		c := newClient(t, key)
		leaf := a.issue(t, c.csr)
		renewing := *c
		renewing.cert = parseCert(t, leaf)
		subject := cms.IssuerAndSerial{RawIssuer: a.cert.RawSubject, Serial: []byte{77}}
		poll := scepmsg.IssuerAndSubject{RawIssuer: a.cert.RawSubject, RawSubject: cmstest.Name("device")}
		for _, op := range []struct {
			client  *client
			typ     scepmsg.MessageType
			content scepmsg.Content
			grant   scepmsg.Grant
		}{
			{c, scepmsg.PKCSReq, scepmsg.Content{CSR: c.csr}, scepmsg.Grant{Certificates: [][]byte{leaf}}},
			{&renewing, scepmsg.RenewalReq, scepmsg.Content{CSR: c.csr}, scepmsg.Grant{Certificates: [][]byte{leaf, a.cert.Raw}}},
			{c, scepmsg.CertPoll, scepmsg.Content{Poll: poll}, scepmsg.Grant{Certificates: [][]byte{leaf}}},
			{&renewing, scepmsg.GetCert, scepmsg.Content{Subject: subject}, scepmsg.Grant{Certificates: [][]byte{leaf}}},
			{&renewing, scepmsg.GetCRL, scepmsg.Content{Subject: subject}, scepmsg.Grant{CRLs: [][]byte{crl}}},
		} {
			t.Run(keyName+" "+op.typ.String(), func(t *testing.T) {
				at := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
				sent := build(t, &scepmsg.Request{
					Type: op.typ, Content: op.content, Key: key, Certificate: op.client.cert, RA: a.cert,
					TransactionID: "poll me", SigningTime: at,
				})
				m := parse(t, sent.Message, scepmsg.Modern)
				if m.Type != op.typ || m.TransactionID.Value != "poll me" || !bytes.Equal(m.SenderNonce, sent.SenderNonce) || !m.SigningTime.Equal(at) {
					t.Fatalf("read %v %v %v", m.Type, m.TransactionID, m.SigningTime)
				}
				if !bytes.Equal(m.Signer.Raw, op.client.cert.Raw) {
					t.Error("signer differs")
				}
				content, err := m.Open(a.ra())
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(content.CSR, op.content.CSR) || !content.Subject.Equal(op.content.Subject) ||
					!bytes.Equal(content.Poll.RawIssuer, op.content.Poll.RawIssuer) || !bytes.Equal(content.Poll.RawSubject, op.content.Poll.RawSubject) {
					t.Errorf("opened %+v", content)
				}

				expect := op.client.expect(a, sent)
				for _, password := range [][]byte{nil, []byte("challenge")} { // key agreement, then password, for EC
					op.grant.Password, expect.Password = password, password
					reply := cmstest.Must(scepmsg.ParseReply(cmstest.Must(a.responder().Success(m, op.grant))(t), expect))(t)
					if len(reply.Certificates) != len(op.grant.Certificates) || len(reply.CRLs) != len(op.grant.CRLs) {
						t.Fatalf("%d certificates, %d CRLs", len(reply.Certificates), len(reply.CRLs))
					}
					for i, cert := range reply.Certificates {
						if !bytes.Equal(cert.Raw, op.grant.Certificates[i]) {
							t.Errorf("certificate %d differs", i)
						}
					}
					for i := range reply.CRLs {
						if !bytes.Equal(reply.CRLs[i], crl) {
							t.Errorf("CRL %d differs", i)
						}
					}
				}

				pending := cmstest.Must(scepmsg.ParseReply(cmstest.Must(a.responder().Pending(m))(t), expect))(t)
				if pending.Message.Status != scepmsg.Pending || pending.Message.FailInfo != scepmsg.NoFailInfo {
					t.Errorf("pending read as %v %v", pending.Message.Status, pending.Message.FailInfo)
				}
				for _, info := range []scepmsg.FailInfo{scepmsg.BadAlg, scepmsg.BadMessageCheck, scepmsg.BadRequest, scepmsg.BadTime, scepmsg.BadCertID} {
					failed := cmstest.Must(scepmsg.ParseReply(cmstest.Must(a.responder().Failure(m, info, "Überholt"))(t), expect))(t).Message
					if failed.Status != scepmsg.Failure || failed.FailInfo != info || failed.FailInfoText != "Überholt" {
						t.Errorf("%v read as %v %v %q", info, failed.Status, failed.FailInfo, failed.FailInfoText)
					}
				}
			})
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	a := newAuthority(t)
	c := newClient(t, cmstest.RSAKey(1))
	for name, change := range map[string]func(*scepmsg.Request){
		"no content":              func(r *scepmsg.Request) { r.Content = scepmsg.Content{} },
		"content of another type": func(r *scepmsg.Request) { r.Type = scepmsg.CertPoll },
		"no name to poll for": func(r *scepmsg.Request) {
			r.Type, r.Content = scepmsg.CertPoll, scepmsg.Content{Poll: scepmsg.IssuerAndSubject{RawIssuer: cmstest.Name("x")}}
		},
		"no serial":  func(r *scepmsg.Request) { r.Type = scepmsg.GetCRL },
		"UpdateReq":  func(r *scepmsg.Request) { r.Type = scepmsg.UpdateReq },
		"CertRep":    func(r *scepmsg.Request) { r.Type = scepmsg.CertRep },
		"DES":        func(r *scepmsg.Request) { r.Cipher = cms.OIDDESCBC },
		"MD5":        func(r *scepmsg.Request) { r.Digest = crypto.MD5 },
		"OAEP to EC": func(r *scepmsg.Request) { r.OAEP, r.RA = true, newClient(t, cmstest.ECKey(t, elliptic.P256())).cert },
	} {
		r := c.request(a)
		change(r)
		if _, err := r.Build(); err == nil {
			t.Errorf("%s was built", name)
		}
	}
	first, second := build(t, c.request(a)), build(t, c.request(a))
	if first.TransactionID == second.TransactionID || len(first.TransactionID) != 32 || bytes.Equal(first.SenderNonce, second.SenderNonce) || len(first.SenderNonce) != 16 {
		t.Errorf("transactions %s and %s, nonces %x and %x", first.TransactionID, second.TransactionID, first.SenderNonce, second.SenderNonce)
	}
}

func TestTransportCertificate(t *testing.T) {
	for _, key := range []crypto.Signer{cmstest.RSAKey(1), cmstest.ECKey(t, elliptic.P256())} {
		c := newClient(t, key)
		x := cmstest.Must(x509.ParseCertificate(c.cert.Raw))(t)
		if err := x.CheckSignature(x.SignatureAlgorithm, x.RawTBSCertificate, x.Signature); err != nil {
			t.Errorf("%T: %v", key, err)
		}
		if x.Version != 3 || len(x.Extensions) != 1 || x.IsCA || x.KeyUsage&x509.KeyUsageDigitalSignature == 0 || !c.cert.SelfIssued() ||
			!bytes.Equal(x.RawSubject, cmstest.Name("device")) || !x.NotAfter.Equal(notAfter) || x.SerialNumber.BitLen() < 120 {
			t.Errorf("%T: %+v", key, x)
		}
	}
}

// TestParseReplyRefuses has a row for each check a client makes.
func TestParseReplyRefuses(t *testing.T) {
	a := newAuthority(t)
	c := newClient(t, cmstest.RSAKey(1))
	sent := build(t, c.request(a))
	m := parse(t, sent.Message, scepmsg.Legacy)
	leaf := a.issue(t, c.csr)
	success := func(g scepmsg.Grant) []byte { return cmstest.Must(a.responder().Success(m, g))(t) }
	good := success(scepmsg.Grant{Certificates: [][]byte{leaf}})
	other := newClient(t, cmstest.RSAKey(2))
	sha1 := a.responder()
	sha1.SHA1 = true
	sha1Request := c.request(a)
	sha1Request.Digest = crypto.SHA1
	sha1Request.TransactionID = sent.TransactionID

	for _, row := range []struct {
		name   string
		reply  []byte
		change func(*scepmsg.Expect)
		want   error
	}{
		{"good", good, func(e *scepmsg.Expect) { e.RawSPKI = c.cert.RawSPKI }, nil},
		{"our key comes first", success(scepmsg.Grant{Certificates: [][]byte{a.cert.Raw, leaf}}), func(e *scepmsg.Expect) { e.RawSPKI = c.cert.RawSPKI }, nil},
		{"several signers known", good, func(e *scepmsg.Expect) { e.Signers = []*cms.Certificate{other.cert, a.cert} }, nil},
		{"no signers known", good, func(e *scepmsg.Expect) { e.Signers = nil }, scepmsg.ErrNoSignersGiven},
		{"another signer", good, func(e *scepmsg.Expect) { e.Signers = []*cms.Certificate{other.cert} }, cms.ErrNoCertificate},
		{"another transaction", good, func(e *scepmsg.Expect) { e.TransactionID = "x" }, scepmsg.ErrWrongReply},
		{"another nonce", good, func(e *scepmsg.Expect) { e.SenderNonce = make([]byte, 16) }, scepmsg.ErrStaleReply},
		{"no nonce known", good, func(e *scepmsg.Expect) { e.SenderNonce = nil }, scepmsg.ErrStaleReply},
		{"another key", good, func(e *scepmsg.Expect) { e.Key = cmstest.RSAKey(2) }, scepmsg.ErrOpen},
		{"a key that cannot decrypt", good, func(e *scepmsg.Expect) { e.Key = nil }, scepmsg.ErrOpen},
		{"an EC key", good, func(e *scepmsg.Expect) { e.Key = cmstest.ECKey(t, elliptic.P256()) }, scepmsg.ErrOpen},
		{"another certificate", good, func(e *scepmsg.Expect) { e.Certificate = other.cert }, scepmsg.ErrOpen},
		{"for another key", good, func(e *scepmsg.Expect) { e.RawSPKI = other.cert.RawSPKI }, scepmsg.ErrNotOurKey},
		{"nothing granted", success(scepmsg.Grant{}), func(*scepmsg.Expect) {}, scepmsg.ErrEmptyReply},
		{"our own request", sent.Message, func(e *scepmsg.Expect) { e.Signers = []*cms.Certificate{c.cert} }, scepmsg.ErrNotReply},
		{"garbage", []byte("<html>"), func(*scepmsg.Expect) {}, cms.ErrEncoding},
	} {
		e := c.expect(a, sent)
		row.change(&e)
		reply, err := scepmsg.ParseReply(row.reply, e)
		if !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v", row.name, err, row.want)
		}
		if err == nil && !bytes.Equal(reply.Certificates[0].Raw, leaf) {
			t.Errorf("%s: the first certificate is not ours", row.name)
		}
	}

	again := build(t, sha1Request)
	weak := cmstest.Must(sha1.Pending(parse(t, again.Message, scepmsg.Legacy)))(t)
	e := c.expect(a, again)
	var below *scepmsg.FloorError
	if _, err := scepmsg.ParseReply(weak, e); !errors.As(err, &below) {
		t.Errorf("a SHA-1 reply on the modern floor: %v, want a FloorError", err)
	}
	e.Floor = scepmsg.Compat
	if _, err := scepmsg.ParseReply(weak, e); err != nil {
		t.Errorf("a SHA-1 reply on the compat floor: %v", err)
	}
}
