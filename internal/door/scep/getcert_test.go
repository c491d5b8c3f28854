package scep_test

import (
	"bytes"
	"crypto/x509"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/testpeer"
	"chancery/internal/wire/cms"
	"chancery/internal/wire/scepmsg"
)

func TestGetCertAndCRL(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		e := w.endpoint("door", w.template(nil), nil)
		c, neighbour, gone := w.enrolled(t, e, ecKey(t)), w.enrolled(t, e, ecKey(t)), w.enrolled(t, e, ecKey(t))
		must(w.lifecycle.Revoke(t.Context(), admin, w.row(gone.cert).ID, ra.Unspecified, ""))(t)
		ask := func(c *client, kind scepmsg.MessageType, about cms.IssuerAndSerial) *answer {
			w.clock.advance(2 * time.Minute)
			r := c.request(t)
			r.Type, r.Content = kind, scepmsg.Content{Subject: about}
			return c.send(t, r)
		}
		if got := ask(c, scepmsg.GetCert, c.cert.ID()).granted(t); !bytes.Equal(got.Raw, c.cert.Raw) {
			t.Error("got another certificate")
		}
		nobody := cms.IssuerAndSerial{RawIssuer: c.cert.RawIssuer, Serial: []byte{0x11, 0x22}}
		negative := cms.IssuerAndSerial{RawIssuer: c.cert.RawIssuer, Serial: []byte{0x91}}
		elsewhere := cms.IssuerAndSerial{RawIssuer: subjectDER(t, "Another CA"), Serial: c.cert.Serial}
		for _, about := range []cms.IssuerAndSerial{nobody, negative, elsewhere, neighbour.cert.ID()} {
			ask(c, scepmsg.GetCert, about).refused(t, scepmsg.BadCertID)
		}
		w.refusedFor(t, "no such certificate")

		reply := ask(c, scepmsg.GetCRL, c.cert.ID())
		if reply.Message.Status != scepmsg.Success || len(reply.CRLs) != 1 {
			t.Fatalf("GetCRL: got %s", reply)
		}
		crl := must(x509.ParseRevocationList(reply.CRLs[0]))(t)
		if err := crl.CheckSignatureFrom(parsed(t, c.ras[1])); err != nil {
			t.Error(err)
		}
		if len(crl.RevokedCertificateEntries) != 1 || crl.RevokedCertificateEntries[0].SerialNumber.Cmp(parsed(t, gone.cert).SerialNumber) != 0 {
			t.Errorf("the CRL has %d entries, want the one revoked", len(crl.RevokedCertificateEntries))
		}
		ask(c, scepmsg.GetCRL, elsewhere).refused(t, scepmsg.BadCertID)

		stranger := w.client(t, e, w.device(), ecKey(t))
		for _, kind := range []scepmsg.MessageType{scepmsg.GetCert, scepmsg.GetCRL} {
			ask(stranger, kind, c.cert.ID()).refused(t, scepmsg.BadRequest)
			ask(gone, kind, c.cert.ID()).refused(t, scepmsg.BadRequest)
		}
		w.refusedFor(t, "revoked or on hold")
	})
}
