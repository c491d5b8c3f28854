package scep_test

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/testpeer"
	"chancery/internal/wire/cms"
	"chancery/internal/wire/cms/cmstest"
	"chancery/internal/wire/pkixmsg"
	"chancery/internal/wire/scepmsg"
)

func TestEnrol(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		e := w.endpoint("door", w.template(nil), nil)

		t.Run("certificate", func(t *testing.T) {
			d := w.device()
			c := w.client(t, e, d, keys[0]())
			c.challenge = w.challenge(e, d)
			reply := c.send(t, c.request(t))
			leaf := parsed(t, reply.granted(t))
			if len(reply.Certificates) != 1 {
				t.Errorf("the reply holds %d certificates, want the one asked for", len(reply.Certificates))
			}
			if leaf.Subject.String() != "CN="+d.PlatformID+",O=Example" || len(leaf.DNSNames) != 1 || leaf.DNSNames[0] != d.PlatformID+".example.org" {
				t.Errorf("issued to %s, %q", leaf.Subject, leaf.DNSNames)
			}
			if !keys[0]().PublicKey.Equal(leaf.PublicKey) {
				t.Error("issued for another key")
			}
			r := w.requests(d)[0]
			if r.Door != "scep" || r.EndpointID != e.ID || r.TransactionID != reply.sent.TransactionID || r.AskedBy.Kind != ra.ActorDevice ||
				r.AskedBy.ID != string(d.ID) || r.AskedBy.Remote != "127.0.0.1" || r.AskedBy.Via != "scep" {
				t.Errorf("the request row says %s %s %s, asked by %+v", r.Door, r.EndpointID, r.TransactionID, r.AskedBy)
			}
			if strings.Contains(w.log.String(), c.challenge) {
				t.Error("the log shows the challenge")
			}
		})

		t.Run("chain in the reply", func(t *testing.T) {
			e := w.endpoint("chain", w.template(nil), settings{"chain_in_reply": true})
			d := w.device()
			c := w.client(t, e, d, ecKey(t))
			c.challenge = w.challenge(e, d)
			reply := c.send(t, c.request(t))
			reply.granted(t)
			if len(reply.Certificates) != 3 {
				t.Errorf("the reply holds %d certificates, want leaf, issuing CA and root", len(reply.Certificates))
			}
		})

		t.Run("EC requester", func(t *testing.T) {
			// With a challenge the reply is under it; a renewal, which has none,
			// is answered by key agreement.
			c := w.enrolled(t, e, ecKey(t))
			if got := c.send(t, c.renewal(t, scepmsg.RenewalReq, ecKey(t))).granted(t); bytes.Equal(got.Raw, c.cert.Raw) {
				t.Error("the renewal gave the old certificate")
			}
		})

		t.Run("string types of the challenge", func(t *testing.T) {
			for name, tag := range map[string]byte{"PrintableString": 0x13, "UTF8String": 0x0c, "IA5String": 0x16, "TeletexString": 0x14, "BMPString": 0x1e} {
				t.Run(name, func(t *testing.T) {
					d := w.device()
					c := w.client(t, e, d, ecKey(t))
					text := []byte(w.challenge(e, d))
					c.challenge = string(text)
					if tag == 0x1e {
						wide := make([]byte, 0, 2*len(text))
						for _, b := range text {
							wide = append(wide, 0, b)
						}
						text = wide
					}
					value := append([]byte{tag, byte(len(text))}, text...)
					password := c.challenge
					c.challenge = ""
					c.csr = c.newCSR(t, c.key, func(r *pkixmsg.CSRRequest) {
						r.Attributes = []pkixmsg.RequestAttribute{{OID: pkixmsg.OIDChallengePassword, Values: [][]byte{value}}}
					})
					c.challenge = password
					c.mustEnrol(t)
				})
			}
		})

		t.Run("digests and ciphers", func(t *testing.T) {
			for _, digest := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
				for _, cipher := range []cms.OID{cms.OIDAES128CBC, cms.OIDAES256CBC} {
					d := w.device()
					c := w.client(t, e, d, ecKey(t))
					c.challenge, c.digest, c.cipher = w.challenge(e, d), digest, cipher
					r := c.request(t)
					r.OAEP = cipher == cms.OIDAES256CBC
					c.send(t, r).granted(t)
				}
			}
		})
	})
}

// TestRepeat: however often a client repeats a request, it is one request.
func TestRepeat(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		e := w.endpoint("door", w.template(nil), nil)
		enrol := func(t *testing.T) (*client, *answer) {
			d := w.device()
			c := w.client(t, e, d, ecKey(t))
			c.challenge = w.challenge(e, d)
			first := c.send(t, c.request(t))
			first.granted(t)
			return c, first
		}
		one := func(t *testing.T, c *client, first, again *answer) {
			t.Helper()
			if !bytes.Equal(first.Certificates[0].Raw, again.granted(t).Raw) {
				t.Error("got another certificate")
			}
			if n, m := len(w.requests(c.device)), len(w.certificates(c.device)); n != 1 || m != 1 {
				t.Errorf("there are %d requests and %d certificates, want one of each", n, m)
			}
		}

		t.Run("same bytes", func(t *testing.T) {
			c, first := enrol(t)
			one(t, c, first, c.sendRaw(t, first.sent))
		})
		t.Run("new nonce", func(t *testing.T) {
			c, first := enrol(t)
			r := c.request(t)
			r.TransactionID = first.sent.TransactionID
			one(t, c, first, c.send(t, r))
		})
		t.Run("PKCS #10 signed anew", func(t *testing.T) {
			c, first := enrol(t)
			r := c.request(t)
			r.TransactionID, r.Content.CSR = first.sent.TransactionID, c.newCSR(t, c.key, nil)
			if bytes.Equal(r.Content.CSR, c.csr) {
				t.Fatal("the signatures do not differ")
			}
			one(t, c, first, c.send(t, r))
		})
		t.Run("poll", func(t *testing.T) {
			c, first := enrol(t)
			one(t, c, first, c.poll(t, first.sent.TransactionID))
		})
		t.Run("other key", func(t *testing.T) {
			c, first := enrol(t)
			c.challenge = w.challenge(e, c.device)
			c.use(t, ecKey(t))
			r := c.request(t)
			r.TransactionID = first.sent.TransactionID
			c.send(t, r).refused(t, scepmsg.BadRequest)
			w.refusedFor(t, "transaction ID was used with another key")
		})
		t.Run("after revocation", func(t *testing.T) {
			c, first := enrol(t)
			must(w.lifecycle.Revoke(t.Context(), admin, w.row(first.Certificates[0]).ID, ra.KeyCompromise, ""))(t)
			c.sendRaw(t, first.sent).refused(t, scepmsg.BadRequest)
		})
		t.Run("in parallel", func(t *testing.T) {
			d := w.device()
			c := w.client(t, e, d, ecKey(t))
			c.challenge = w.challenge(e, d)
			r := c.request(t)
			r.TransactionID = "parallel"
			var messages []*scepmsg.Sent
			for i := range 12 {
				if i%3 == 0 { // the others repeat its bytes
					messages = append(messages, must(r.Build())(t))
				} else {
					messages = append(messages, messages[len(messages)-1])
				}
			}
			answers := make([]*answer, len(messages))
			var all sync.WaitGroup
			for i, m := range messages {
				all.Go(func() { answers[i] = c.sendRaw(t, m) })
			}
			all.Wait()
			granted := 0
			for _, a := range answers {
				switch a.Message.Status {
				case scepmsg.Success:
					granted++
				case scepmsg.Pending: // the first is at work
				default:
					t.Errorf("got %s", a)
				}
			}
			if granted == 0 || len(w.certificates(d)) != 1 || len(w.requests(d)) != 1 {
				t.Errorf("%d answers granted, %d certificates, %d requests", granted, len(w.certificates(d)), len(w.requests(d)))
			}
			c.send(t, r).granted(t)
		})
		t.Run("one challenge, two keys, in parallel", func(t *testing.T) {
			d := w.device()
			challenge := w.challenge(e, d)
			var clients []*client
			for range 4 {
				c := w.client(t, e, d, ecKey(t))
				c.challenge = challenge
				clients = append(clients, c)
			}
			var all sync.WaitGroup
			for _, c := range clients {
				all.Go(func() { c.send(t, c.request(t)) })
			}
			all.Wait()
			if n := len(w.certificates(d)); n != 1 {
				t.Errorf("one challenge gave %d certificates", n)
			}
		})
	})
}

// TestTransactionIDs: every form clients make, octets that are no text among
// them, is kept and echoed.
func TestTransactionIDs(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		e := w.endpoint("door", w.template(nil), nil)
		for name, id := range map[string]string{
			"strongSwan": "6A3F41C5D2E1B09F8E7D6C5B4A39281706F5E4D3", "sscep": "9E107D9D372BB6826BD81D3542A419D6",
			"certmonger": strings.Repeat("7318", 19), "Go": "k3Jx0+/9aZ1bQ2c4D5e6F7g8H9I=", "longest": strings.Repeat("x", 255), "not UTF-8": "a\xe9\xff",
		} {
			t.Run(name, func(t *testing.T) {
				d := w.device()
				c := w.client(t, e, d, ecKey(t))
				c.challenge = w.challenge(e, d)
				r := c.request(t)
				r.TransactionID = id
				first := c.send(t, r).granted(t)
				if again := c.send(t, r).granted(t); !bytes.Equal(first.Raw, again.Raw) {
					t.Error("got another certificate")
				}
				if poll := c.poll(t, id).granted(t); !bytes.Equal(first.Raw, poll.Raw) {
					t.Error("the poll gave another certificate")
				}
			})
		}
	})
}

// TestNonces: short and long ones of other clients are echoed.
func TestNonces(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		e := w.endpoint("door", w.template(nil), nil)
		for i, n := range []int{8, 16, 64} {
			d := w.device()
			c := w.client(t, e, d, keys[i]())
			c.challenge = w.challenge(e, d)
			message, nonce := c.handmade(t), bytes.Repeat([]byte{byte(n)}, n)
			message.attributes = [][]byte{attribute(2, printable("19")), attribute(7, printable(d.PlatformID)), attribute(5, cmstest.Element(4, nonce))}
			sent := message.sent(t)
			sent.TransactionID, sent.SenderNonce = d.PlatformID, nonce
			c.sendRaw(t, sent).granted(t)
		}
	})
}

// TestQueryForms sends one message in every form GET requests come in.
func TestQueryForms(t *testing.T) {
	w := newWorld(t, testpeer.SQLite(t), "p-256")
	e := w.endpoint("door", w.template(nil), nil)
	d := w.device()
	c := w.client(t, e, d, ecKey(t))
	c.challenge = w.challenge(e, d)
	sent := must(c.request(t).Build())(t)
	text := base64.StdEncoding.EncodeToString(sent.Message)
	lines := ""
	for i := 0; i < len(text); i += 64 {
		lines += text[i:min(i+64, len(text))] + "\n"
	}
	for name, query := range map[string]string{
		"escaped":              url.QueryEscape(text),
		"line breaks":          strings.NewReplacer("\n", "%0A", "+", "%2B").Replace(lines),
		"plus and slash raw":   strings.ReplaceAll(text, "=", "%3D"),
		"plus as space":        strings.ReplaceAll(text, "+", "%20"),
		"alphabet of URLs":     base64.URLEncoding.EncodeToString(sent.Message),
		"no padding":           strings.TrimRight(url.QueryEscape(text), "%3D"),
		"lower-case operation": "",
	} {
		t.Run(name, func(t *testing.T) {
			address := c.url + "?operation=PKIOperation&message=" + query
			if query == "" {
				address = c.url + "/pkiclient.exe?message=" + url.QueryEscape(text) + "&OPERATION=pkioperation"
			}
			status, _, body := get(t, address)
			if status != 200 {
				t.Fatalf("answered %d: %s", status, body)
			}
			c.readReply(t, sent, body).granted(t)
		})
	}
	if n := len(w.certificates(d)); n != 1 {
		t.Errorf("the forms gave %d certificates, want one", n)
	}
}

// TestOtherSubjectKey: the key to be certified and the one that signs.
func TestOtherSubjectKey(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		approved := w.template(func(x *ra.Template) { x.Spec.Approvals = 1 })
		strict, open, slow := w.endpoint("strict", w.template(nil), nil), w.endpoint("open", w.template(nil), settings{"subject_key_may_differ": true}),
			w.endpoint("slow", approved, settings{"subject_key_may_differ": true})
		ask := func(t *testing.T, e *ra.Endpoint) (*client, *answer) {
			d := w.device()
			c := w.client(t, e, d, keys[1]())
			c.challenge = w.challenge(e, d)
			c.csr = c.newCSR(t, ecKey(t), nil)
			return c, c.send(t, c.request(t))
		}
		_, reply := ask(t, strict)
		reply.refused(t, scepmsg.BadRequest)
		w.refusedFor(t, "another key than the one that signed the message")
		c, reply := ask(t, open)
		if got := parsed(t, reply.granted(t)); keys[1]().PublicKey.Equal(got.PublicKey) {
			t.Error("the key that signed was certified")
		}

		c, reply = ask(t, slow)
		reply.pending(t)
		w.decide(c.device, true)
		c.poll(t, reply.sent.TransactionID).granted(t)
		stranger := w.client(t, slow, c.device, keys[2]())
		stranger.poll(t, reply.sent.TransactionID).refused(t, scepmsg.BadRequest)
	})
}

// TestClock: signingTime may be off by the endpoint's allowance.
func TestClock(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		e := w.endpoint("door", w.template(nil), settings{"clock_skew": "2h"})
		for off, ok := range map[time.Duration]bool{-time.Hour: true, time.Hour: true, -3 * time.Hour: false, 3 * time.Hour: false} {
			d := w.device()
			c := w.client(t, e, d, ecKey(t))
			c.challenge, c.signedAt = w.challenge(e, d), w.clock.now().Add(off)
			reply := c.send(t, c.request(t))
			if ok {
				reply.granted(t)
			} else {
				reply.refused(t, scepmsg.BadTime)
			}
		}
		w.refusedFor(t, "clock")
	})
}

// TestFloors: what each floor accepts, and that the legacy one ends by itself.
func TestFloors(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		template := w.template(nil)
		until := w.clock.now().AddDate(0, 0, 10).Format(time.DateOnly)
		modern, compat := w.endpoint("modern", template, nil), w.endpoint("compat", template, settings{"floor": "compat"})
		legacy := w.endpoint("legacy", template, settings{"floor": "legacy", "legacy_accepted": true, "legacy_until": until})
		try := func(e *ra.Endpoint, digest crypto.Hash, cipher cms.OID) *answer {
			d := w.device()
			c := w.client(t, e, d, ecKey(t))
			c.challenge, c.digest, c.cipher = w.challenge(e, d), digest, cipher
			return c.send(t, c.request(t))
		}
		try(modern, crypto.SHA1, cms.OIDAES128CBC).refused(t, scepmsg.BadAlg)
		try(modern, crypto.SHA256, cms.OIDTripleDESCBC).refused(t, scepmsg.BadAlg)
		w.refusedFor(t, "modern floor does not allow")
		if got := try(compat, crypto.SHA1, cms.OIDTripleDESCBC); got.Message.Algorithms.Digest != cms.OIDSHA256 || got.Message.Algorithms.Cipher != cms.OIDTripleDESCBC {
			t.Errorf("the compat floor answered with %s, %s", got.Message.Algorithms.Digest.Name(), got.Message.Algorithms.Cipher.Name())
		} else {
			got.granted(t)
		}
		old := try(legacy, crypto.SHA1, cms.OIDTripleDESCBC)
		old.granted(t)
		if old.Message.Algorithms.Digest != cms.OIDSHA1 {
			t.Errorf("the legacy floor answered a SHA-1 client with %s", old.Message.Algorithms.Digest.Name())
		}
		if !strings.Contains(w.log.String(), "legacy floor") {
			t.Error("the legacy floor was used without a warning in the log")
		}
		for _, x := range []struct {
			e  *ra.Endpoint
			ok bool
		}{{modern, false}, {compat, false}, {legacy, true}} {
			d := w.device()
			c := w.client(t, x.e, d, keys[3]())
			c.challenge = w.challenge(x.e, d)
			message := c.handmade(t)
			message.md5 = true
			if reply := c.sendRaw(t, message.sent(t)); x.ok {
				reply.granted(t)
			} else {
				reply.refused(t, scepmsg.BadAlg)
			}
		}
		w.clock.advance(12 * 24 * time.Hour)
		try(legacy, crypto.SHA1, cms.OIDTripleDESCBC).refused(t, scepmsg.BadAlg)
	})
}

// TestOldRA: after the RA's certificate was renewed, clients that still have
// the old one are served, and answered by it.
func TestOldRA(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		e := w.endpoint("door", w.template(nil), nil)
		d := w.device()
		c := w.client(t, e, d, ecKey(t))
		w.clock.advance(130 * 24 * time.Hour)
		c.challenge = w.challenge(e, d)
		now := c.caCertificates(t)
		if bytes.Equal(now[0].Raw, c.ras[0].Raw) {
			t.Fatal("the RA's certificate was not renewed")
		}
		reply := c.send(t, c.request(t)) // reads replies of the old RA only
		reply.granted(t)
		c.ras = now
		c.poll(t, reply.sent.TransactionID).granted(t)
	})
}
