package scep_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/testpeer"
	"chancery/internal/wire/cms"
	"chancery/internal/wire/cms/cmstest"
	"chancery/internal/wire/pkixmsg"
	"chancery/internal/wire/scepmsg"
)

// handmade is a message every part of which a test can choose.
type handmade struct {
	kind       string // the digits of messageType
	csr        []byte // the encrypted content
	ra         *cms.Certificate
	key        crypto.Signer
	cert       []byte
	attributes [][]byte // instead of the usual ones
	md5        bool     // signed with MD5 instead of SHA-256
}

func printable(s string) []byte { return cmstest.Element(0x13, []byte(s)) }

func attribute(arc int, value []byte) []byte {
	return cmstest.Attribute(cmstest.OID(2, 16, 840, 1, 113733, 1, 9, arc), value)
}

var handmadeNonce = bytes.Repeat([]byte{0x5a}, 16)

func (h handmade) sent(t testing.TB) *scepmsg.Sent {
	t.Helper()
	to := must(cms.To(h.ra))(t)
	envelope := must(cms.Encrypt(h.csr, cms.OIDAES128CBC, to))(t)
	attributes := h.attributes
	if attributes == nil {
		attributes = [][]byte{attribute(2, printable(h.kind)), attribute(7, printable("handmade")), attribute(5, cmstest.Element(4, handmadeNonce))}
	}
	signed := cmstest.Signed{Content: envelope, Key: h.key, Certificate: h.cert, Certificates: [][]byte{h.cert}, Digest: crypto.SHA256,
		DigestOID: cmstest.OID(2, 16, 840, 1, 101, 3, 4, 2, 1), Attributes: attributes}
	if h.md5 {
		signed.Digest, signed.DigestOID = crypto.MD5, cmstest.OID(1, 2, 840, 113549, 2, 5)
	}
	return &scepmsg.Sent{TransactionID: "handmade", SenderNonce: handmadeNonce, Message: signed.Message(t)}
}

func (c *client) handmade(t testing.TB) handmade {
	return handmade{kind: "19", csr: c.request(t).Content.CSR, ra: c.ras[0], key: c.key, cert: c.cert.Raw}
}

// TestMessageTypes sends every type an octet can hold, and worse.
func TestMessageTypes(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		e := w.endpoint("door", w.template(nil), nil)
		d := w.device()
		c := w.client(t, e, d, keys[0]())
		c.challenge = w.challenge(e, d)
		message := c.handmade(t)
		for kind := range 256 {
			message.kind = fmt.Sprint(kind)
			switch scepmsg.MessageType(kind) {
			case scepmsg.PKCSReq, scepmsg.CertRep:
				continue // the one is right, the other is no request at all
			}
			status, _, body := post(t, c.url, message.sent(t).Message)
			if status != 200 {
				t.Fatalf("type %d: got %d %s", kind, status, body)
			}
			if reply := c.readReply(t, message.sent(t), body); reply.Message.Status != scepmsg.Failure {
				t.Errorf("type %d: got %s", kind, reply)
			}
		}
		for _, kind := range []string{"", "-1", "19 ", "0x13", strings.Repeat("9", 300), "3"} {
			message.kind = kind
			if status, _, body := post(t, c.url, message.sent(t).Message); status != 400 {
				t.Errorf("type %.10q: got %d %s, want 400", kind, status, body)
			}
		}
		if n := len(w.requests(d)); n != 0 {
			t.Fatalf("there are %d requests", n)
		}
		message.kind = "19"
		c.sendRaw(t, message.sent(t)).granted(t) // the challenge is as good as ever
	})
}

// TestUnopenable: from the choice of the recipient to the PKCS #10, whatever
// is wrong is one answer.
func TestUnopenable(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		e := w.endpoint("door", w.template(nil), nil)
		d := w.device()
		c := w.client(t, e, d, keys[0]())
		c.challenge = w.challenge(e, d)
		good := c.handmade(t)
		stranger := must(cms.ParseCertificate(cmstest.Plain(t, keys[1](), "stranger")))(t)
		impostor := *c.ras[0] // our RA's name with another key
		impostor.PublicKey = keys[1]().Public()
		broken := flip(good.csr, len(good.csr)-3)
		var answers []string
		for name, change := range map[string]func(*handmade){
			"other recipient":             func(h *handmade) { h.ra = stranger },
			"our name, another key":       func(h *handmade) { h.ra = &impostor },
			"content is no DER":           func(h *handmade) { h.csr = []byte("hello") },
			"content is a certificate":    func(h *handmade) { h.csr = c.cert.Raw },
			"PKCS #10 without parts":      func(h *handmade) { h.csr = cmstest.Seq() },
			"PKCS #10 signed wrongly":     func(h *handmade) { h.csr = broken },
			"PKCS #10 with bytes behind":  func(h *handmade) { h.csr = append(bytes.Clone(h.csr), 0) },
			"PKCS #10 with two passwords": func(h *handmade) { h.csr = twoChallenges(t, c) },
			"huge challenge":              func(h *handmade) { h.csr = challenged(t, c, strings.Repeat("x", 4<<10)); h.ra = stranger },
		} {
			message := good
			change(&message)
			reply := c.sendRaw(t, message.sent(t))
			reply.refused(t, scepmsg.BadMessageCheck)
			answers = append(answers, fmt.Sprint(name, len(reply.raw)))
		}
		for _, a := range answers[1:] {
			if a[len(a)-4:] != answers[0][len(answers[0])-4:] {
				t.Errorf("the answers differ in size: %v", answers)
				break
			}
		}
		w.refusedFor(t, "could not be opened")
		if n := len(w.requests(d)); n != 0 {
			t.Errorf("there are %d requests", n)
		}

		// An address that sends nothing else is asked to stop.
		message := good
		message.ra = stranger
		for range 60 {
			message.csr = challenged(t, c, fmt.Sprint(time.Now().UnixNano()))
			if status, header, _ := post(t, c.url, message.sent(t).Message); status == 429 {
				if header.Get("Retry-After") == "" {
					t.Error("429 without Retry-After")
				}
				w.clock.advance(2 * time.Minute)
				c.sendRaw(t, good.sent(t)).granted(t)
				return
			}
		}
		t.Error("60 messages nobody could open were all looked at")
	})
}

func challenged(t testing.TB, c *client, challenge string) []byte {
	t.Helper()
	return c.newCSR(t, c.key, func(r *pkixmsg.CSRRequest) { r.ChallengePassword = challenge })
}

func twoChallenges(t testing.TB, c *client) []byte {
	t.Helper()
	return c.newCSR(t, c.key, func(r *pkixmsg.CSRRequest) {
		r.ChallengePassword = ""
		r.Attributes = []pkixmsg.RequestAttribute{{OID: pkixmsg.OIDChallengePassword, Values: [][]byte{printable("a"), printable("b")}}}
	})
}

// TestUnreadable: what is no SCEP message gets HTTP 400 and not a reply.
func TestUnreadable(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		e := w.endpoint("door", w.template(nil), nil)
		c := w.client(t, e, w.device(), keys[0]())
		good := c.handmade(t)
		kind, id, nonce := attribute(2, printable("19")), attribute(7, printable("handmade")), attribute(5, cmstest.Element(4, handmadeNonce))
		for name, attributes := range map[string][][]byte{
			"no type": {id, nonce}, "no transaction": {kind, nonce}, "no nonce": {kind, id}, "two transactions": {kind, id, attribute(7, printable("other")), nonce},
			"short nonce": {kind, id, attribute(5, cmstest.Element(4, []byte{1}))}, "empty transaction": {kind, attribute(7, printable("")), nonce},
			"long transaction": {kind, attribute(7, printable(strings.Repeat("x", 256))), nonce}, "control character": {kind, attribute(7, printable("a\nb")), nonce},
		} {
			message := good
			message.attributes = attributes
			if status, _, body := post(t, c.url, message.sent(t).Message); status != 400 || bytes.Contains(body, []byte("cms")) {
				t.Errorf("%s: got %d %s, want 400 and no details", name, status, body)
			}
		}
		w.refusedFor(t, "no SCEP message")
	})
}

// TestChallenges: every challenge that is not good, and the lock-out.
func TestChallenges(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		template := w.template(nil)
		e, other := w.endpoint("door", template, nil), w.endpoint("other", template, nil)
		try := func(d *ra.Device, challenge string) *answer {
			w.clock.advance(2 * time.Minute)
			c := w.client(t, e, d, ecKey(t))
			c.challenge = challenge
			return c.send(t, c.request(t))
		}
		d := w.device()
		used := w.challenge(e, d)
		try(d, used).granted(t)
		old := w.challenge(e, d)
		w.clock.advance(2 * time.Hour)
		fresh := w.challenge(e, d)
		for _, c := range []struct{ name, challenge, reason string }{
			{"absent", "", "proves nothing without a valid challenge"},
			{"used", used, "has been used"},
			{"expired", old, "has expired"},
			{"another endpoint's", w.challenge(other, d), "another endpoint"},
			{"trailing blank", fresh + " ", "not known here"},
			{"other case", strings.ToLower(fresh), "not known here"},
			{"4 KiB", strings.Repeat("x", 4<<10), "not known here"},
		} {
			try(d, c.challenge).refused(t, scepmsg.BadRequest)
			w.refusedFor(t, c.reason)
		}
		blank := w.client(t, e, d, ecKey(t))
		blank.csr = blank.newCSR(t, blank.key, func(r *pkixmsg.CSRRequest) {
			r.Attributes = []pkixmsg.RequestAttribute{{OID: pkixmsg.OIDChallengePassword, Values: [][]byte{printable("")}}}
		})
		blank.send(t, blank.request(t)).refused(t, scepmsg.BadRequest)
		try(d, fresh).granted(t)
		for _, entry := range w.refusals() {
			if text := fmt.Sprint(entry); strings.Contains(text, used) || strings.Contains(text, fresh) {
				t.Error("the record shows a challenge")
			}
		}

		// Three different guesses were made above; the same one again is none.
		for range 5 {
			try(d, "guess 0").refused(t, scepmsg.BadRequest)
			w.clock.advance(-2 * time.Minute)
		}
		c := w.client(t, e, d, ecKey(t))
		c.challenge = w.challenge(e, d)
		w.clock.advance(20 * time.Minute) // those were long ago
		for i := range 5 {
			w.clock.advance(-2 * time.Minute)
			try(d, fmt.Sprintf("guess %d", i)).refused(t, scepmsg.BadRequest)
		}
		c.send(t, c.request(t)).refused(t, scepmsg.BadRequest)
		w.clock.advance(2 * time.Minute)
		c.send(t, c.request(t)).refused(t, scepmsg.BadRequest)
		w.refusedFor(t, "Too many wrong challenges")
		w.clock.advance(20 * time.Minute)
		c.send(t, c.request(t)).granted(t)
		if strings.Contains(w.log.String(), c.challenge) {
			t.Error("the log shows a challenge")
		}
	})
}

// TestLockOutSparesRenewals: who guesses locks out challenges, not devices
// that have a certificate.
func TestLockOutSparesRenewals(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		e := w.endpoint("door", w.template(nil), nil)
		renewing := w.enrolled(t, e, ecKey(t))
		repeating := w.client(t, e, w.device(), ecKey(t))
		repeating.challenge = w.challenge(e, repeating.device)
		first := repeating.send(t, repeating.request(t))
		guessing := w.client(t, e, w.device(), ecKey(t))
		for i := range 6 {
			guessing.csr, guessing.challenge = nil, fmt.Sprintf("guess %d", i)
			guessing.send(t, guessing.request(t)).refused(t, scepmsg.BadRequest)
		}
		renewing.send(t, renewing.renewal(t, scepmsg.RenewalReq, ecKey(t))).granted(t)
		repeating.sendRaw(t, first.sent).granted(t)
	})
}

// TestWeakKeys: neither the key that signs nor the one to be certified.
func TestWeakKeys(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		e := w.endpoint("door", w.template(nil), settings{"subject_key_may_differ": true})
		d := w.device()
		weak := must(rsa.GenerateKey(rand.Reader, 1024))(t)
		c := w.client(t, e, d, keys[0]())
		c.challenge = w.challenge(e, d)
		raw := must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{RawSubject: subjectDER(t, d.PlatformID)}, weak))(t)
		c.csr = raw
		c.send(t, c.request(t)).refused(t, scepmsg.BadRequest)

		x := w.client(t, e, d, weak)
		x.challenge, x.csr = c.challenge, c.newCSR(t, keys[0](), nil)
		x.send(t, x.request(t)).refused(t, scepmsg.BadRequest)
		w.refusedFor(t, "not acceptable")
		if n := len(w.requests(d)); n != 0 {
			t.Errorf("there are %d requests", n)
		}
	})
}

// TestBlockedDevice: what is switched off gives nothing.
func TestBlockedDevice(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		e := w.endpoint("door", w.template(nil), nil)
		d := w.device()
		c := w.client(t, e, d, ecKey(t))
		c.challenge = w.challenge(e, d)
		renewing := w.enrolled(t, e, ecKey(t))
		for _, d := range []*ra.Device{d, renewing.device} {
			d.State = ra.DeviceBlocked
			w.write(func(tx *store.Tx) error { return tx.UpdateDevice(d) })
		}
		c.send(t, c.request(t)).refused(t, scepmsg.BadRequest)
		renewing.send(t, renewing.renewal(t, scepmsg.RenewalReq, ecKey(t))).refused(t, scepmsg.BadRequest)
		w.refusedFor(t, "gets no certificates")
	})
}

// TestExtraCertificates: the reply is for the key that signed, whatever
// certificates somebody on the way added to the request.
func TestExtraCertificates(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		e := w.endpoint("door", w.template(nil), nil)
		d := w.device()
		c := w.client(t, e, d, keys[0]())
		c.challenge = w.challenge(e, d)
		message := c.handmade(t)
		to := must(cms.To(message.ra))(t)
		spy := cmstest.Plain(t, keys[1](), "spy")
		sent := message.sent(t)
		sent.Message = cmstest.Signed{Content: must(cms.Encrypt(message.csr, cms.OIDAES128CBC, to))(t), Key: c.key, Certificate: c.cert.Raw,
			Certificates: [][]byte{spy, cmstest.Plain(t, ecKey(t), "EC"), c.cert.Raw}, Digest: crypto.SHA256,
			DigestOID:  cmstest.OID(2, 16, 840, 1, 101, 3, 4, 2, 1),
			Attributes: [][]byte{attribute(2, printable("19")), attribute(7, printable("handmade")), attribute(5, cmstest.Element(4, handmadeNonce))}}.Message(t)
		sent.Message = cmstest.Indefinite(t, sent.Message, 500) // as streaming clients send it
		c.sendRaw(t, sent).granted(t)
		spying := *c
		spying.cert, spying.key = must(cms.ParseCertificate(spy))(t), keys[1]()
		_, _, body := post(t, c.url, sent.Message)
		if _, err := scepmsg.ParseReply(body, scepmsg.Expect{Signers: c.ras, TransactionID: sent.TransactionID, SenderNonce: sent.SenderNonce,
			Certificate: spying.cert, Key: spying.key}); err == nil {
			t.Error("the reply can be read with the key of a certificate that was only sent along")
		}
	})
}

// TestOddTransportCertificates: certificates real clients sign first requests
// with, which stricter parsers refuse to look at.
func TestOddTransportCertificates(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		e := w.endpoint("door", w.template(func(x *ra.Template) { x.Spec.ReuseKey = true }), nil)
		criticalAKI := cmstest.Seq(cmstest.OID(2, 5, 29, 35), []byte{1, 1, 0xff}, cmstest.Element(4, cmstest.Seq([]byte{0x80, 1, 5})))
		for i, odd := range []cmstest.Odd{
			{Version1: true, Serial: bytes.Repeat([]byte{0x71}, 32)},
			{Extensions: criticalAKI},
			{Serial: []byte{0x80, 0, 1}},
		} {
			d := w.device()
			c := w.client(t, e, d, keys[i+1]())
			c.challenge = w.challenge(e, d)
			odd.Key, odd.Name = c.key, cmstest.Name("SCEP Protocol Certificate")
			c.cert = must(cms.ParseCertificate(odd.Certificate(t)))(t)
			c.mustEnrol(t)
		}
	})
}

// TestRecordIsBounded: garbage fills neither the log nor the record.
func TestRecordIsBounded(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		e := w.endpoint("door", w.template(nil), nil)
		c := w.client(t, e, w.device(), ecKey(t))
		for range 20 {
			c.send(t, c.request(t)).refused(t, scepmsg.BadRequest)
		}
		if n := len(w.refusals()); n != 1 {
			t.Errorf("20 equal refusals made %d entries, want 1", n)
		}
		w.clock.advance(2 * time.Minute)
		c.send(t, c.request(t)).refused(t, scepmsg.BadRequest)
		if all := w.refusals(); len(all) != 2 || fmt.Sprint(all[0]["more_since_last_entry"]) != "19" {
			t.Errorf("the next entry is %v, want one that counts 19 more", all[0])
		}
	})
}

// TestCompromisedKey: a key that got into other hands is certified nowhere
// again, whatever the template says about re-use.
func TestCompromisedKey(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		e := w.endpoint("door", w.template(func(x *ra.Template) { x.Spec.ReuseKey = true }), nil)
		c := w.enrolled(t, e, ecKey(t))
		must(w.lifecycle.Revoke(t.Context(), admin, w.row(c.cert).ID, ra.KeyCompromise, ""))(t)
		again := w.client(t, e, c.device, c.key)
		again.challenge = w.challenge(e, c.device)
		again.send(t, again.request(t)).refused(t, scepmsg.BadRequest)
		w.refusedFor(t, "compromised")
		again.use(t, ecKey(t))
		again.mustEnrol(t)
	})
}
