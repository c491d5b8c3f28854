package scepmsg_test

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"chancery/internal/wire/cms"
	"chancery/internal/wire/cms/cmstest"
	"chancery/internal/wire/scepmsg"

	"github.com/smallstep/pkcs7"
)

var (
	attrMessageType   = cmstest.OID(2, 16, 840, 1, 113733, 1, 9, 2)
	attrStatus        = cmstest.OID(2, 16, 840, 1, 113733, 1, 9, 3)
	attrFailInfo      = cmstest.OID(2, 16, 840, 1, 113733, 1, 9, 4)
	attrSenderNonce   = cmstest.OID(2, 16, 840, 1, 113733, 1, 9, 5)
	attrRecipient     = cmstest.OID(2, 16, 840, 1, 113733, 1, 9, 6)
	attrTransactionID = cmstest.OID(2, 16, 840, 1, 113733, 1, 9, 7)

	sha1OID   = cmstest.OID(1, 3, 14, 3, 2, 26)
	sha256OID = cmstest.OID(2, 16, 840, 1, 101, 3, 4, 2, 1)
	md5OID    = cmstest.OID(1, 2, 840, 113549, 2, 5)

	sixteen = cmstest.Element(4, bytes.Repeat([]byte{0x5a}, 16))
)

func printable(s string) []byte { return cmstest.Element(0x13, []byte(s)) }

// attributes are those of a correct PKCSReq, each replaced or left out by the
// caller: nil values are left out.
type attributes struct {
	messageType, transactionID, senderNonce []byte
	more                                    [][]byte
}

func goodAttributes() attributes {
	return attributes{messageType: printable("19"), transactionID: printable("transaction 1"), senderNonce: sixteen}
}

func (a attributes) list() [][]byte {
	var out [][]byte
	for _, attr := range []struct{ oid, value []byte }{
		{attrTransactionID, a.transactionID}, {attrSenderNonce, a.senderNonce}, {attrMessageType, a.messageType},
	} {
		if attr.value != nil {
			out = append(out, cmstest.Attribute(attr.oid, attr.value))
		}
	}
	return append(out, a.more...)
}

// handmade is a request from a device with an RSA key, every part of which a
// test can change.
func handmade(t testing.TB, a *authority) (cmstest.Signed, *client) {
	t.Helper()
	c := newClient(t, cmstest.RSAKey(1))
	to, err := cms.To(a.cert)
	if err != nil {
		t.Fatal(err)
	}
	envelope := cmstest.Must(cms.Encrypt(c.csr, cms.OIDAES128CBC, to))(t)
	return cmstest.Signed{
		Content: envelope, Key: c.key, Certificate: c.cert.Raw, Certificates: [][]byte{c.cert.Raw},
		Digest: crypto.SHA256, DigestOID: sha256OID, Attributes: goodAttributes().list(),
	}, c
}

// TestForms opens the same request in every form clients give it.
func TestForms(t *testing.T) {
	a := newAuthority(t)
	ec := cmstest.Plain(t, cmstest.ECKey(t, elliptic.P256()), "EC")
	criticalAKI := cmstest.Seq(cmstest.OID(2, 5, 29, 35), []byte{1, 1, 0xff}, cmstest.Element(4, cmstest.Seq([]byte{0x80, 1, 5})))
	odd := func(o cmstest.Odd) func(*cmstest.Signed) []byte {
		return func(s *cmstest.Signed) []byte {
			o.Key, o.Name = s.Key, cmstest.Name("SCEP Protocol Certificate")
			s.Certificate = o.Certificate(t)
			s.Certificates = [][]byte{s.Certificate}
			return s.Message(t)
		}
	}
	for _, c := range []struct {
		name   string
		change func(*cmstest.Signed) []byte
	}{
		{"DER", func(s *cmstest.Signed) []byte { return s.Message(t) }},
		{"BER, indefinite lengths, content in pieces", func(s *cmstest.Signed) []byte {
			s.Content = cmstest.Indefinite(t, s.Content, 400)
			return cmstest.Indefinite(t, s.Message(t), 1000)
		}},
		{"BER outside only", func(s *cmstest.Signed) []byte { return cmstest.Indefinite(t, s.Message(t), 64) }},
		{"unsorted attributes, signed sorted", func(s *cmstest.Signed) []byte { s.SignSorted = true; return s.Message(t) }},
		{"version 1 certificate with a serial of 32 octets", odd(cmstest.Odd{Version1: true, Serial: bytes.Repeat([]byte{0x71}, 32)})},
		{"critical authorityKeyIdentifier", odd(cmstest.Odd{Extensions: criticalAKI})},
		{"negative serial", odd(cmstest.Odd{Serial: []byte{0x80, 0, 1}})},
		{"extra certificates before ours", func(s *cmstest.Signed) []byte {
			s.Certificates = [][]byte{cmstest.Plain(t, cmstest.RSAKey(2), "stranger"), s.Certificate}
			return s.Message(t)
		}},
		{"an EC certificate in the set", func(s *cmstest.Signed) []byte {
			s.Certificates = [][]byte{ec, s.Certificate}
			return s.Message(t)
		}},
		{"an unreadable certificate in the set", func(s *cmstest.Signed) []byte {
			s.Certificates = [][]byte{cmstest.Seq([]byte{5, 0}), s.Certificate}
			return s.Message(t)
		}},
		{"an unknown attribute", func(s *cmstest.Signed) []byte {
			s.Attributes = append(s.Attributes, cmstest.Attribute(cmstest.OID(1, 2, 3, 4), []byte{5, 0}))
			return s.Message(t)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, device := handmade(t, a)
			raw := c.change(&s)
			m := parse(t, raw, scepmsg.Modern)
			if !bytes.Equal(m.Raw, raw) || m.Type != scepmsg.PKCSReq || !bytes.Equal(m.SenderNonce, sixteen[2:]) || m.TransactionID.Value != "transaction 1" {
				t.Errorf("read %v %v %x", m.Type, m.TransactionID, m.SenderNonce)
			}
			if !m.AddressedTo(a.cert) || m.AddressedTo(m.Signer) {
				t.Error("addressed to the wrong one")
			}
			content, err := m.Open(a.ra())
			if err != nil || !bytes.Equal(content.CSR, device.csr) {
				t.Fatalf("opened: %v", err)
			}
			// The reply is for the signer alone, under the name in its certificate.
			reply := cmstest.Must(a.responder().Success(m, scepmsg.Grant{Certificates: [][]byte{a.issue(t, content.CSR)}}))(t)
			got, err := scepmsg.ParseReply(reply, scepmsg.Expect{
				Signers: []*cms.Certificate{a.cert}, TransactionID: "transaction 1", SenderNonce: sixteen[2:],
				Certificate: parseCert(t, s.Certificate), Key: device.key, RawSPKI: device.cert.RawSPKI,
			})
			if err != nil || len(got.Certificates) != 1 {
				t.Fatalf("reply: %v", err)
			}
			outer := cmstest.Must(cms.ParseSignedData(reply, cms.Limits{}))(t)
			envelope := cmstest.Must(cms.ParseEnvelopedData(outer.Content, cms.Limits{}))(t)
			if len(envelope.KeyTrans) != 1 || len(envelope.KeyAgree)+len(envelope.Passwords) != 0 {
				t.Errorf("the reply has %d recipients", len(envelope.KeyTrans))
			}
		})
	}
}

// TestRefuse has a row for each way a message is wrong on the outside.
func TestRefuse(t *testing.T) {
	a := newAuthority(t)
	attr := func(change func(*attributes)) func(*cmstest.Signed) {
		return func(s *cmstest.Signed) {
			attrs := goodAttributes()
			change(&attrs)
			s.Attributes = attrs.list()
		}
	}
	reply := func(more ...[]byte) func(*cmstest.Signed) {
		return attr(func(a *attributes) { a.messageType = printable("3"); a.more = more })
	}
	for _, c := range []struct {
		name   string
		change func(*cmstest.Signed)
		want   error
	}{
		{"two signers", func(s *cmstest.Signed) { s.Signers = 2 }, cms.ErrSigners},
		{"no certificate", func(s *cmstest.Signed) { s.Certificates = nil }, cms.ErrNoCertificate},
		{"signed with another key", func(s *cmstest.Signed) { s.Key = cmstest.RSAKey(2) }, cms.ErrSignature},
		{"no messageType", attr(func(a *attributes) { a.messageType = nil }), scepmsg.ErrNoMessageType},
		{"no transactionID", attr(func(a *attributes) { a.transactionID = nil }), scepmsg.ErrNoTransactionID},
		{"no senderNonce", attr(func(a *attributes) { a.senderNonce = nil }), scepmsg.ErrNoSenderNonce},
		{"no attributes of SCEP at all", attr(func(a *attributes) { *a = attributes{} }), scepmsg.ErrNoMessageType},
		{"two messageTypes", attr(func(a *attributes) { a.more = [][]byte{cmstest.Attribute(attrMessageType, printable("17"))} }), cms.ErrDuplicateAttribute},
		{"two transactionIDs", attr(func(a *attributes) { a.more = [][]byte{cmstest.Attribute(attrTransactionID, printable("x"))} }), cms.ErrDuplicateAttribute},
		{"two senderNonces", attr(func(a *attributes) { a.more = [][]byte{cmstest.Attribute(attrSenderNonce, sixteen)} }), cms.ErrDuplicateAttribute},
		{"empty messageType", attr(func(a *attributes) { a.messageType = printable("") }), scepmsg.ErrMessageType},
		{"messageType of 300 digits", attr(func(a *attributes) { a.messageType = printable(strings.Repeat("1", 300)) }), scepmsg.ErrMessageType},
		{"messageType in words", attr(func(a *attributes) { a.messageType = printable("PKCSReq") }), scepmsg.ErrMessageType},
		{"negative messageType", attr(func(a *attributes) { a.messageType = printable("-19") }), scepmsg.ErrMessageType},
		{"messageType as INTEGER", attr(func(a *attributes) { a.messageType = []byte{2, 1, 19} }), scepmsg.ErrMessageType},
		{"empty transactionID", attr(func(a *attributes) { a.transactionID = printable("") }), scepmsg.ErrTransactionID},
		{"transactionID of 256 characters", attr(func(a *attributes) { a.transactionID = printable(strings.Repeat("x", 256)) }), scepmsg.ErrTransactionID},
		{"transactionID with a line break", attr(func(a *attributes) { a.transactionID = printable("a\nb") }), scepmsg.ErrTransactionID},
		{"transactionID as OCTET STRING", attr(func(a *attributes) { a.transactionID = []byte{4, 1, 'a'} }), scepmsg.ErrTransactionID},
		{"transactionID in pieces", attr(func(a *attributes) { a.transactionID = cmstest.Seq(printable("a")) }), scepmsg.ErrTransactionID},
		{"senderNonce of 7 octets", attr(func(a *attributes) { a.senderNonce = cmstest.Element(4, make([]byte, 7)) }), scepmsg.ErrSenderNonce},
		{"senderNonce of 65 octets", attr(func(a *attributes) { a.senderNonce = cmstest.Element(4, make([]byte, 65)) }), scepmsg.ErrSenderNonce},
		{"senderNonce as text", attr(func(a *attributes) { a.senderNonce = printable("0123456789abcdef") }), scepmsg.ErrSenderNonce},
		{"signingTime in words", attr(func(a *attributes) {
			a.more = [][]byte{cmstest.Attribute(cmstest.OID(1, 2, 840, 113549, 1, 9, 5), printable("now"))}
		}), cms.ErrMalformed},
		{"no content", func(s *cmstest.Signed) { s.Content = nil }, scepmsg.ErrNoContent},
		{"content is something else", func(s *cmstest.Signed) { s.Content = []byte("hello") }, cms.ErrEncoding},
		{"content is a certificate", func(s *cmstest.Signed) { s.Content = s.Certificate }, cms.ErrMalformed},
		{"reply without status", reply(), scepmsg.ErrNoStatus},
		{"reply with an unknown status", reply(cmstest.Attribute(attrStatus, printable("1"))), scepmsg.ErrStatus},
		{"reply with status in words", reply(cmstest.Attribute(attrStatus, printable("SUCCESS"))), scepmsg.ErrStatus},
		{"reply with failInfo in words", reply(cmstest.Attribute(attrStatus, printable("2")), cmstest.Attribute(attrFailInfo, printable("badAlg"))), scepmsg.ErrFailInfo},
		{"reply with a long recipientNonce", reply(cmstest.Attribute(attrStatus, printable("2")), cmstest.Attribute(attrRecipient, cmstest.Element(4, make([]byte, 65)))), scepmsg.ErrRecipientNonce},
		{"successful reply without content", func(s *cmstest.Signed) {
			reply(cmstest.Attribute(attrStatus, printable("0")))(s)
			s.Content = nil
		}, scepmsg.ErrNoContent},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := handmade(t, a)
			c.change(&s)
			if _, err := scepmsg.Parse(s.Message(t), scepmsg.Options{}); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	s, _ := handmade(t, a)
	msg := s.Message(t)
	if _, err := scepmsg.Parse(msg, scepmsg.Options{Limits: cms.Limits{MaxBytes: len(msg) - 1}}); err != cms.ErrTooLarge {
		t.Errorf("over the limit: %v, want ErrTooLarge", err)
	}
	for _, i := range []int{0, 1, 10, len(msg) / 2, len(msg) - 1} {
		if _, err := scepmsg.Parse(msg[:i], scepmsg.Options{}); err == nil {
			t.Errorf("the first %d octets were accepted", i)
		}
	}
}

// TestMessageTypes reads any number, and opens only the five requests.
func TestMessageTypes(t *testing.T) {
	a := newAuthority(t)
	s, _ := handmade(t, a)
	opened := map[scepmsg.MessageType]bool{scepmsg.RenewalReq: true, scepmsg.PKCSReq: true}
	unreadable := map[scepmsg.MessageType]bool{scepmsg.CertPoll: true, scepmsg.GetCert: true, scepmsg.GetCRL: true} // the content is a PKCS #10
	for n := range 260 {
		typ := scepmsg.MessageType(n)
		if typ == scepmsg.CertRep {
			continue // needs a status: see TestRefuse
		}
		attrs := goodAttributes()
		attrs.messageType = printable(strconv.Itoa(n))
		s.Attributes = attrs.list()
		m := parse(t, s.Message(t), scepmsg.Modern)
		if m.Type != typ || m.Type.String() == "" {
			t.Fatalf("type %d read as %v", n, m.Type)
		}
		want := scepmsg.ErrRefusedType
		switch {
		case opened[typ]:
			want = nil
		case unreadable[typ]:
			want = scepmsg.ErrOpen
		}
		if _, err := m.Open(a.ra()); err != want {
			t.Errorf("type %d: %v, want %v", n, err, want)
		}
		if _, err := a.responder().Failure(m, scepmsg.BadRequest, ""); err != nil {
			t.Errorf("type %d cannot be refused: %v", n, err)
		}
	}
	attrs := goodAttributes()
	attrs.messageType = printable("999999999")
	s.Attributes = attrs.list()
	if m := parse(t, s.Message(t), scepmsg.Modern); m.Type != 999999999 {
		t.Errorf("nine digits read as %v", m.Type)
	}
}

// TestTransactionIDs takes every form seen in the field through a reply, where
// bytes and string type must come back.
func TestTransactionIDs(t *testing.T) {
	a := newAuthority(t)
	for _, c := range []struct {
		name  string
		value []byte
	}{
		{"strongSwan", printable("C1BCE86CB12C829D0495410B8584147D53845B6D")},
		{"sscep", printable("0123456789ABCDEF0123456789ABCDEF")},
		{"certmonger", printable("62740271382185490150358935200765693092592716770843847473914885042637411375900")},
		{"Go clients", printable("uoqAWgHRF9xg/7f+R3wL8K1iZ3s=")},
		{"UTF8String", cmstest.Element(0x0c, []byte("tränsaktion"))},
		{"IA5String", cmstest.Element(0x16, []byte("id@host"))},
		{"TeletexString", cmstest.Element(0x14, []byte{'i', 0xe4})},
		{"255 characters", printable(strings.Repeat("x", 255))},
		{"one character", printable("1")},
	} {
		s, _ := handmade(t, a)
		attrs := goodAttributes()
		attrs.transactionID = c.value
		s.Attributes = attrs.list()
		m := parse(t, s.Message(t), scepmsg.Modern)
		reply := cmstest.Must(a.responder().Pending(m))(t)
		back := parse(t, reply, scepmsg.Modern)
		if back.TransactionID != m.TransactionID || back.TransactionID.Tag != c.value[0] || !bytes.Contains(reply, cmstest.Attribute(attrTransactionID, c.value)) {
			t.Errorf("%s: %v came back as %v", c.name, m.TransactionID, back.TransactionID)
		}
		if c.value[0] != 0x14 && !utf8.ValidString(m.TransactionID.String()) {
			t.Errorf("%s: %q", c.name, m.TransactionID)
		}
	}
}

// TestFloors puts each algorithm on each floor.
func TestFloors(t *testing.T) {
	a := newAuthority(t)
	s, device := handmade(t, a)
	des := cmstest.Must(pkcs7.Encrypt(device.csr, []*x509.Certificate{a.x509}))(t)
	to, err := cms.To(a.cert)
	if err != nil {
		t.Fatal(err)
	}
	oaep, err := cms.ToOAEP(a.cert)
	if err != nil {
		t.Fatal(err)
	}
	with := func(cipher cms.OID, to cms.Recipient) []byte {
		return cmstest.Must(cms.Encrypt(device.csr, cipher, to))(t)
	}
	refused := scepmsg.Legacy + 1
	for _, c := range []struct {
		name      string
		digest    crypto.Hash
		digestOID []byte
		content   []byte
		floor     scepmsg.Floor // the first that allows it
		use       string
	}{
		{"SHA-256, AES-128", crypto.SHA256, sha256OID, with(cms.OIDAES128CBC, to), scepmsg.Modern, ""},
		{"SHA-256, AES-192", crypto.SHA256, sha256OID, with(cms.OIDAES192CBC, to), scepmsg.Modern, ""},
		{"SHA-384, AES-256", crypto.SHA384, cmstest.OID(2, 16, 840, 1, 101, 3, 4, 2, 2), with(cms.OIDAES256CBC, to), scepmsg.Modern, ""},
		{"SHA-512, AES-256, OAEP", crypto.SHA512, cmstest.OID(2, 16, 840, 1, 101, 3, 4, 2, 3), with(cms.OIDAES256CBC, oaep), scepmsg.Modern, ""},
		{"SHA-224", crypto.SHA224, cmstest.OID(2, 16, 840, 1, 101, 3, 4, 2, 4), with(cms.OIDAES128CBC, to), scepmsg.Compat, "digest"},
		{"SHA-1", crypto.SHA1, sha1OID, with(cms.OIDAES128CBC, to), scepmsg.Compat, "digest"},
		{"3DES", crypto.SHA256, sha256OID, with(cms.OIDTripleDESCBC, to), scepmsg.Compat, "content cipher"},
		{"DES", crypto.SHA256, sha256OID, des, scepmsg.Legacy, "content cipher"},
		{"MD5", crypto.MD5, md5OID, with(cms.OIDAES128CBC, to), scepmsg.Legacy, "digest"},
		{"unknown cipher", crypto.SHA256, sha256OID, bytes.ReplaceAll(with(cms.OIDAES128CBC, to), cmstest.OID(2, 16, 840, 1, 101, 3, 4, 1, 2), cmstest.OID(2, 16, 840, 1, 101, 3, 4, 1, 6)), refused, "content cipher"},
	} {
		for _, floor := range []scepmsg.Floor{scepmsg.Modern, scepmsg.Compat, scepmsg.Legacy} {
			s.Digest, s.DigestOID, s.Content = c.digest, c.digestOID, c.content
			m, err := scepmsg.Parse(s.Message(t), scepmsg.Options{Floor: floor})
			var opened *scepmsg.Content
			if err == nil {
				checked := m.Check()
				opened, err = m.Open(a.ra())
				if (checked == nil) != (err == nil) {
					t.Errorf("%s on %s: Check says %v, Open %v", c.name, floor, checked, err)
				}
			}
			if floor >= c.floor {
				if err != nil || !bytes.Equal(opened.CSR, device.csr) {
					t.Errorf("%s on %s: %v", c.name, floor, err)
				}
				continue
			}
			var below *scepmsg.FloorError
			if !errors.As(err, &below) || below.Use != c.use || below.Floor != floor || !strings.Contains(err.Error(), floor.String()) {
				t.Errorf("%s on %s: %v, want a FloorError about the %s", c.name, floor, err, c.use)
			}
		}
	}
}

// TestOpenIsSilent wants one answer to everything that fails after the
// signature.
func TestOpenIsSilent(t *testing.T) {
	a := newAuthority(t)
	s, device := handmade(t, a)
	good := parse(t, s.Message(t), scepmsg.Modern)
	noise := func(content []byte) *scepmsg.Message {
		to, err := cms.To(a.cert)
		if err != nil {
			t.Fatal(err)
		}
		s.Content = cmstest.Must(cms.Encrypt(content, cms.OIDAES128CBC, to))(t)
		return parse(t, s.Message(t), scepmsg.Modern)
	}
	damaged := func(i int) *scepmsg.Message {
		envelope := cmstest.Must(cms.ParseSignedData(good.Raw, cms.Limits{}))(t).Content
		s.Content = bytes.Clone(envelope)
		s.Content[len(envelope)-i] ^= 0xff
		return parse(t, s.Message(t), scepmsg.Modern)
	}
	older := parseCert(t, cmstest.Plain(t, cmstest.RSAKey(2), "older RA"))
	for name, c := range map[string]struct {
		m   *scepmsg.Message
		ras []scepmsg.RA
	}{
		"no RA":               {good, nil},
		"another RA":          {good, []scepmsg.RA{{Certificate: older, Key: cmstest.RSAKey(2)}}},
		"another key":         {good, []scepmsg.RA{{Certificate: a.cert, Key: cmstest.RSAKey(2)}}},
		"padding changed":     {damaged(17), []scepmsg.RA{a.ra()}},
		"first block changed": {damaged(len(device.csr)/16*16 + 10), []scepmsg.RA{a.ra()}},
		"not a PKCS #10":      {noise([]byte("hello")), []scepmsg.RA{a.ra()}},
		"trailing octets":     {noise(append(bytes.Clone(device.csr), 0)), []scepmsg.RA{a.ra()}},
		"a certificate":       {noise(device.cert.Raw[:40]), []scepmsg.RA{a.ra()}},
		"empty":               {noise(nil), []scepmsg.RA{a.ra()}},
	} {
		if content, err := c.m.Open(c.ras...); err != scepmsg.ErrOpen || content != nil {
			t.Errorf("%s: %v, want ErrOpen", name, err)
		}
	}
	if content, err := good.Open(scepmsg.RA{Certificate: older, Key: cmstest.RSAKey(2)}, a.ra()); err != nil || !bytes.Equal(content.CSR, device.csr) {
		t.Errorf("with the previous RA beside the current one: %v", err)
	}
}

// TestOtherSubjectKey opens a request for an EC key under an RSA transport key.
func TestOtherSubjectKey(t *testing.T) {
	a := newAuthority(t)
	c := newClient(t, cmstest.RSAKey(1))
	c.csr = cmstest.Must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{RawSubject: cmstest.Name("device")}, cmstest.ECKey(t, elliptic.P256())))(t)
	m := parse(t, build(t, c.request(a)).Message, scepmsg.Modern)
	content, err := m.Open(a.ra())
	if err != nil || !bytes.Equal(content.CSR, c.csr) {
		t.Errorf("%v", err)
	}
}
