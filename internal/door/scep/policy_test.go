package scep_test

import (
	"strings"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/testpeer"
	"chancery/internal/wire/pkixmsg"
	"chancery/internal/wire/scepmsg"
)

// TestSubjectPolicy: what a request asks for beyond the template.
func TestSubjectPolicy(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		match := w.endpoint("match", w.template(nil), nil)
		overwrite := w.endpoint("overwrite", w.template(func(x *ra.Template) { x.Spec.CSRPolicy = "overwrite" }), nil)
		sid := must(pkixmsg.SIDExtension("S-1-5-21-1-2-3-500"))(t)
		ca := pkixmsg.Extension{OID: pkixmsg.OIDBasicConstraints, Critical: true, Value: []byte{0x30, 3, 1, 1, 0xff}}
		other := w.device()
		for _, c := range []struct {
			name   string
			change func(*pkixmsg.CSRRequest)
			never  bool // refused under both policies
		}{
			{"another device's name", func(r *pkixmsg.CSRRequest) {
				r.Name = pkixmsg.Name{{{OID: pkixmsg.OIDCommonName, Value: other.PlatformID}}}
			}, false},
			{"extra DNS name", func(r *pkixmsg.CSRRequest) {
				r.SANs = append(r.SANs, pkixmsg.GeneralName{Type: pkixmsg.DNS, Value: "dc.example.org"})
			}, false},
			{"mail, UPN, IP and URI", func(r *pkixmsg.CSRRequest) {
				r.SANs = append(r.SANs, pkixmsg.GeneralName{Type: pkixmsg.Email, Value: "a@example.org"}, pkixmsg.GeneralName{Type: pkixmsg.UPN, Value: "admin@example.org"},
					pkixmsg.GeneralName{Type: pkixmsg.IP, Value: "192.0.2.1"}, pkixmsg.GeneralName{Type: pkixmsg.URI, Value: "https://example.org/"})
			}, false},
			{"SID", func(r *pkixmsg.CSRRequest) { r.Extensions = append(r.Extensions, sid) }, false},
			{"unstructuredName", func(r *pkixmsg.CSRRequest) {
				r.Name = append(r.Name, pkixmsg.RDN{{OID: "1.2.840.113549.1.9.2", Value: "router.example.org"}})
			}, false},
			{"CA:TRUE", func(r *pkixmsg.CSRRequest) { r.Extensions = append(r.Extensions, ca) }, true},
		} {
			t.Run(c.name, func(t *testing.T) {
				for _, e := range []*ra.Endpoint{match, overwrite} {
					d := w.device()
					x := w.client(t, e, d, ecKey(t))
					x.challenge = w.challenge(e, d)
					x.csr = x.newCSR(t, x.key, c.change)
					w.clock.advance(2 * time.Minute)
					reply := x.send(t, x.request(t))
					if e == match || c.never {
						reply.refused(t, scepmsg.BadRequest)
						w.refusedFor(t, "asks for")
						x.csr = nil
						x.mustEnrol(t) // the challenge is not spent by a refusal
						continue
					}
					leaf := parsed(t, reply.granted(t))
					if leaf.Subject.CommonName != d.PlatformID || len(leaf.DNSNames) != 1 || len(leaf.EmailAddresses)+len(leaf.IPAddresses)+len(leaf.URIs) != 0 || leaf.IsCA {
						t.Errorf("issued to %s %v %v %v %v", leaf.Subject, leaf.DNSNames, leaf.EmailAddresses, leaf.IPAddresses, leaf.URIs)
					}
					for _, ext := range leaf.Extensions {
						if ext.Id.String() == pkixmsg.OIDSecurityIdentifier {
							t.Error("the SID of the request was certified")
						}
					}
				}
			})
		}
	})
}

// TestStaticChallenge: only where it is switched on, and for the device the
// request names.
func TestStaticChallenge(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		const static = "a-static-challenge-of-some-length"
		template := w.template(nil)
		off, on := w.endpoint("off", template, nil), w.endpoint("on", template, settings{"static_on": true, "static": static})
		d := w.device()
		c := w.client(t, off, d, ecKey(t))
		c.challenge = static
		c.send(t, c.request(t)).refused(t, scepmsg.BadRequest)

		c = w.client(t, on, d, ecKey(t))
		c.challenge = static
		leaf := c.mustEnrol(t)
		if by := w.requests(d)[0].AskedBy; by.ID != string(d.ID) || !strings.Contains(by.Name, "static challenge") {
			t.Errorf("the record calls the actor %+v", by)
		}
		if !strings.Contains(w.log.String(), "static challenge was accepted") || strings.Contains(w.log.String(), static) {
			t.Error("the log does not warn, or shows the challenge")
		}
		c.cert = leaf // certmonger's renewal repeats the challenge
		c.send(t, c.renewal(t, scepmsg.PKCSReq, ecKey(t))).granted(t)

		for name, names := range map[string]pkixmsg.Name{
			"nobody": {}, "unknown": {{{OID: pkixmsg.OIDCommonName, Value: "device-0"}}},
			"two names": {{{OID: pkixmsg.OIDCommonName, Value: d.PlatformID}}, {{OID: pkixmsg.OIDCommonName, Value: d.PlatformID}}},
		} {
			x := w.client(t, on, d, ecKey(t))
			x.challenge, x.dns = static, nil
			x.csr = x.newCSR(t, x.key, func(r *pkixmsg.CSRRequest) {
				r.Name, r.SANs = names, nil
			})
			if reply := x.send(t, x.request(t)); reply.Message.Status == scepmsg.Success {
				t.Errorf("%s: got a certificate", name)
			}
		}
		w.refusedFor(t, "names no device")
		x := w.client(t, on, d, ecKey(t))
		x.challenge = static + " "
		x.send(t, x.request(t)).refused(t, scepmsg.BadRequest)
	})
}
