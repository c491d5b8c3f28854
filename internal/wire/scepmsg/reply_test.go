package scepmsg_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"slices"
	"testing"
	"time"

	"chancery/internal/wire/cms"
	"chancery/internal/wire/cms/cmstest"
	"chancery/internal/wire/scepmsg"

	"github.com/smallstep/pkcs7"
)

// TestReplyProfile holds each property of the one reply form that clients in
// the field agree on.
func TestReplyProfile(t *testing.T) {
	a := newAuthority(t)
	c := newClient(t, cmstest.RSAKey(1))
	m := parse(t, build(t, c.request(a)).Message, scepmsg.Modern)
	replies := map[string][]byte{
		"success": cmstest.Must(a.responder().Success(m, scepmsg.Grant{Certificates: [][]byte{a.issue(t, c.csr)}}))(t),
		"pending": cmstest.Must(a.responder().Pending(m))(t),
		"failure": cmstest.Must(a.responder().Failure(m, scepmsg.BadRequest, ""))(t),
	}
	nonces := map[string]bool{string(m.SenderNonce): true}
	for name, b := range replies {
		if der, err := cms.Normalize(b, cms.Limits{}); err != nil || !bytes.Equal(der, b) {
			t.Errorf("%s is not DER: %v", name, err)
		}
		sd := cmstest.Must(cms.ParseSignedData(b, cms.Limits{}))(t)
		if len(sd.Certificates) != 1 || !bytes.Equal(sd.Certificates[0].Raw, a.cert.Raw) {
			t.Errorf("%s carries %d certificates, want the responder's alone", name, len(sd.Certificates))
		}
		si := sd.Signer
		if si.SubjectKeyID != nil || si.Digest.Algorithm != cms.OIDSHA256 || si.Algorithm.Algorithm != cms.OIDRSA || !bytes.Equal(si.Algorithm.Parameters, []byte{5, 0}) {
			t.Errorf("%s is signed with %s and %s", name, si.Digest.Algorithm.Name(), si.Algorithm.Algorithm.Name())
		}
		var encoded [][]byte
		for _, attr := range si.Attributes {
			encoded = append(encoded, cmstest.Seq(cmstest.Element(6, []byte(attr.Type)), cmstest.Set(attr.Value)))
		}
		if !slices.IsSortedFunc(encoded, bytes.Compare) {
			t.Errorf("%s has unsorted attributes", name)
		}
		want := 7 // contentType, messageDigest, messageType, pkiStatus, transactionID and two nonces
		if name == "failure" {
			want++
		}
		if len(encoded) != want {
			t.Errorf("%s has %d attributes, want %d", name, len(encoded), want)
		}
		if (name == "success") != (len(sd.Content) > 0) || sd.Content == nil {
			t.Errorf("%s has content of %d octets, absent %v", name, len(sd.Content), sd.Content == nil)
		}
		// Version 1 of SignedData and SignerInfo are the first octets of both.
		if !bytes.Contains(b, []byte{2, 1, 1, 0x31, 0x0f, 0x30, 0x0d, 6, 9}) {
			t.Errorf("%s is not of version 1 with one digest", name)
		}
		r := parse(t, b, scepmsg.Modern)
		if len(r.SenderNonce) != 16 || nonces[string(r.SenderNonce)] || !bytes.Equal(r.RecipientNonce, m.SenderNonce) {
			t.Errorf("%s has nonces %x and %x", name, r.SenderNonce, r.RecipientNonce)
		}
		nonces[string(r.SenderNonce)] = true
		if !r.SigningTime.IsZero() {
			t.Errorf("%s has a signingTime nobody asked for", name)
		}
	}

	timed := a.responder()
	timed.Now = func() time.Time { return notBefore }
	if r := parse(t, cmstest.Must(timed.Pending(m))(t), scepmsg.Modern); !r.SigningTime.Equal(notBefore) {
		t.Errorf("signingTime is %v, want %v", r.SigningTime, notBefore)
	}
}

// TestReplyAlgorithms answers each cipher and digest on each floor.
func TestReplyAlgorithms(t *testing.T) {
	a := newAuthority(t)
	s, device := handmade(t, a)
	to, err := cms.To(a.cert)
	if err != nil {
		t.Fatal(err)
	}
	des := cmstest.Must(pkcs7.Encrypt(device.csr, []*x509.Certificate{a.x509}))(t)
	leaf := a.issue(t, device.csr)
	for _, c := range []struct {
		request, reply cms.OID
		floor          scepmsg.Floor
	}{
		{cms.OIDAES128CBC, cms.OIDAES128CBC, scepmsg.Modern},
		{cms.OIDAES192CBC, cms.OIDAES192CBC, scepmsg.Modern},
		{cms.OIDAES256CBC, cms.OIDAES256CBC, scepmsg.Modern},
		{cms.OIDAES256CBC, cms.OIDAES256CBC, scepmsg.Legacy},
		{cms.OIDTripleDESCBC, cms.OIDTripleDESCBC, scepmsg.Compat},
		{cms.OIDTripleDESCBC, cms.OIDTripleDESCBC, scepmsg.Legacy},
		{cms.OIDTripleDESCBC, cms.OIDAES128CBC, scepmsg.Modern},
		{cms.OIDDESCBC, cms.OIDAES128CBC, scepmsg.Legacy},
	} {
		if s.Content = des; c.request != cms.OIDDESCBC {
			s.Content = cmstest.Must(cms.Encrypt(device.csr, c.request, to))(t)
		}
		m := parse(t, s.Message(t), c.floor)
		r := parse(t, cmstest.Must(a.responder().Success(m, scepmsg.Grant{Certificates: [][]byte{leaf}}))(t), scepmsg.Modern)
		if m.Algorithms.Cipher != c.request || r.Algorithms.Cipher != c.reply {
			t.Errorf("%s on %s answered in %s, want %s", m.Algorithms.Cipher.Name(), c.floor, r.Algorithms.Cipher.Name(), c.reply.Name())
		}
	}

	s, _ = handmade(t, a)
	for _, c := range []struct {
		digest crypto.Hash
		oid    []byte
		floor  scepmsg.Floor
		sha1   bool
		want   cms.OID
	}{
		{crypto.SHA1, sha1OID, scepmsg.Legacy, true, cms.OIDSHA1},
		{crypto.MD5, md5OID, scepmsg.Legacy, true, cms.OIDSHA1},
		{crypto.SHA256, sha256OID, scepmsg.Legacy, true, cms.OIDSHA256},
		{crypto.SHA1, sha1OID, scepmsg.Legacy, false, cms.OIDSHA256},
		{crypto.SHA1, sha1OID, scepmsg.Compat, true, cms.OIDSHA256},
		{crypto.SHA1, sha1OID, scepmsg.Modern, true, cms.OIDSHA256},
	} {
		s.Digest, s.DigestOID = c.digest, c.oid
		responder := a.responder()
		responder.SHA1 = c.sha1
		r := parse(t, cmstest.Must(responder.Pending(parse(t, s.Message(t), c.floor)))(t), scepmsg.Legacy)
		if r.Algorithms.Digest != c.want {
			t.Errorf("%v on %s answered with %s, want %s", c.digest, c.floor, r.Algorithms.Digest.Name(), c.want.Name())
		}
	}
}

// TestNoWayToAnswer refuses to grant to a signer nothing can be encrypted to.
func TestNoWayToAnswer(t *testing.T) {
	a := newAuthority(t)
	c := newClient(t, cmstest.RSAKey(1))
	m := parse(t, build(t, c.request(a)).Message, scepmsg.Modern)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	m.Signer = cmstest.Must(scepmsg.TransportCertificate(key, cmstest.Name("x"), notBefore, notAfter))(t)
	if _, err := a.responder().Success(m, scepmsg.Grant{Certificates: [][]byte{c.cert.Raw}}); !errors.Is(err, cms.ErrAlgorithm) {
		t.Errorf("%v, want ErrAlgorithm", err)
	}
	if _, err := a.responder().Success(m, scepmsg.Grant{Certificates: [][]byte{c.cert.Raw}, Password: []byte("challenge")}); err != nil {
		t.Errorf("with a password: %v", err)
	}
}
