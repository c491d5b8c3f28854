package scep_test

import (
	"strings"
	"testing"

	"chancery/internal/testpeer"
	"chancery/internal/wire/scepmsg"
)

// TestChallengeInAddress: where the endpoint allows it the address may hold the
// challenge, with whatever clients append; the request's own goes first, and a
// renewal at the same address needs none.
func TestChallengeInAddress(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		template := w.template(nil)
		closed, open := w.endpoint("closed", template, nil), w.endpoint("open", template, settings{"challenge_in_address": true})

		d := w.device()
		c := w.client(t, closed, d, ecKey(t))
		c.url += "/" + w.challenge(closed, d)
		c.send(t, c.request(t)).refused(t, scepmsg.BadRequest)

		d = w.device()
		c = w.client(t, open, d, keys[0]())
		challenge := w.challenge(open, d)
		c.url += "/" + challenge + "/cgi-bin/pkiclient.exe"
		c.cert = c.mustEnrol(t)
		if strings.Contains(w.log.String(), challenge) {
			t.Error("the log shows the challenge")
		}
		c.cert = c.send(t, c.renewal(t, scepmsg.RenewalReq, keys[1]())).granted(t)

		stranger := w.client(t, open, w.device(), ecKey(t))
		stranger.url = c.url
		stranger.send(t, stranger.request(t)).refused(t, scepmsg.BadRequest) // it is spent
		w.refusedFor(t, "has been used")

		d = w.device()
		both := w.client(t, open, d, ecKey(t))
		both.url += "/" + strings.Repeat("x", 32)
		both.challenge = w.challenge(open, d)
		both.mustEnrol(t)
	})
}
