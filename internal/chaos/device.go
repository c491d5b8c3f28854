package chaos

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"chancery/internal/api/client"
	"chancery/internal/api/resource"
	"chancery/internal/authority"
	"chancery/internal/ra"
	"chancery/internal/scepclient"
	"chancery/internal/wire/pkixmsg"
)

// holding is one certificate a device holds, or the ask for it.
type holding struct {
	place     *place
	device    string
	key       crypto.Signer
	spki      string
	challenge string // ID of the challenge it was asked with; empty for a renewal
	cert      *x509.Certificate
	renews    *holding
	state     ra.CertificateState // as far as this client was told
	row       string              // ID of the certificate's row
}

// device is a real SCEP client with its own opinion of what it holds. It does
// one thing after the other, each until it is done.
type device struct {
	w      *World
	id     string
	at     *place
	dice   *dice
	web    *http.Client
	move   func() // to the next node
	api    func() *client.Client
	held   *holding
	server *scepclient.Server
}

// repeatAfter is how long somebody waits who was not served.
func (d *device) wait(ctx context.Context) bool {
	d.move()
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d.dice.span(20*time.Millisecond, 80*time.Millisecond)):
		return true
	}
}

// live goes on until the world is over.
func (d *device) live(ctx context.Context) {
	for d.w.parked.enter() {
		d.act(ctx)
		d.w.parked.leave()
	}
}

func (d *device) act(ctx context.Context) {
	switch n := d.dice.below(10); {
	case d.held == nil || n < 3:
		d.enrol(ctx)
	case n < 6:
		d.renew(ctx)
	case n < 8:
		d.revoke(ctx)
	default:
		d.hold(ctx)
	}
}

// enrol makes a key, gets a challenge and enrols with it.
func (d *device) enrol(ctx context.Context) {
	h := d.fresh()
	var text string
	if !d.until(ctx, func() error {
		c, err := d.api().CreateChallenge(ctx, resource.ChallengeInput{EndpointID: d.at.endpoint, DeviceID: d.id})
		h.challenge, text = c.ID, c.Challenge
		return err
	}) {
		return
	}
	d.ask(ctx, h, text)
}

// renew replaces what is held by a certificate for a new key.
func (d *device) renew(ctx context.Context) {
	h := d.fresh()
	h.renews = d.held
	d.ask(ctx, h, "")
}

func (d *device) fresh() *holding {
	kind := pkixmsg.P256
	if d.dice.chance(5) {
		kind = pkixmsg.RSA2048
	}
	key, err := pkixmsg.GenerateKey(kind)
	if err != nil {
		panic(err) // of a type that is always to be had
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		panic(err)
	}
	return &holding{place: d.at, device: d.id, key: key, spki: authority.Hash(spki)}
}

// ask sends the request until there is a certificate. A client told FAILURE has
// nothing more to try: that is a loss.
func (d *device) ask(ctx context.Context, h *holding, challenge string) {
	csr, err := pkixmsg.BuildCSR(pkixmsg.CSRRequest{ChallengePassword: challenge, Signer: h.key})
	if err != nil {
		panic(err)
	}
	order := scepclient.Order{CSR: csr, Key: h.key}
	if h.renews != nil {
		order.Old, order.Sign = h.renews.cert, h.renews.key
	}
	var refused error
	if !d.until(ctx, func() error {
		out, err := d.send(ctx, order)
		if e := ra.AsError(err); err != nil && e.Kind == ra.RefusedByCA && e.Retry == ra.Never {
			refused = err
			return nil
		}
		if err == nil && out.Pending {
			return errPending
		}
		if err == nil {
			h.cert = out.Certificate
		}
		return err
	}) {
		d.w.add(h) // never answered: the ledger says what became of it
		return
	}
	if refused != nil {
		d.w.flaw("refused", "device %s was told FAILURE for key %s (challenge %q, renewal %v)", d.id, h.spki[:16], h.challenge, h.renews != nil)
		return
	}
	h.state = ra.Valid
	d.w.add(h)
	d.held = h
	d.w.report.count(h.renews != nil)
	if d.dice.chance(30) {
		d.again(ctx, h, order)
	}
}

var errPending = errors.New("pending")

// again repeats a request that was answered, as a client does that lost the
// answer: it is the same certificate.
func (d *device) again(ctx context.Context, h *holding, order scepclient.Order) {
	for range 3 {
		out, err := d.send(ctx, order)
		if err != nil || out.Pending {
			d.move()
			continue
		}
		if !out.Certificate.Equal(h.cert) {
			d.w.flaw("double", "device %s got a second certificate for key %s", d.id, h.spki[:16])
		}
		return
	}
}

func (d *device) send(ctx context.Context, order scepclient.Order) (*scepclient.Outcome, error) {
	c := &scepclient.Client{URL: publicURL + d.at.path, HTTP: d.web, Now: d.w.page.now, Poll: 60 * time.Millisecond, Patience: 200 * time.Millisecond}
	if d.server == nil {
		server, err := c.Ask(ctx)
		if err != nil {
			return nil, err
		}
		d.server = server
	}
	out, err := c.Enrol(ctx, d.server, order)
	if ra.KindOf(err) == ra.RefusedByCA {
		d.server = nil // its certificate may be another one now
	}
	return out, err
}

// until repeats f until it is nil; false when the world ended before.
func (d *device) until(ctx context.Context, f func() error) bool {
	for {
		err := f()
		if err == nil {
			return true
		}
		d.w.report.last(d.id, err)
		if !d.wait(ctx) {
			return false
		}
	}
}

// add notes a holding.
func (w *World) add(h *holding) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.holdings = append(w.holdings, h)
}

// rowOf finds the row of a held certificate over the API.
func (d *device) rowOf(ctx context.Context, h *holding) bool {
	return h.row != "" || d.until(ctx, func() error {
		found, err := d.api().Certificates(ctx, resource.CertificateQuery{CertificateFilter: resource.CertificateFilter{SPKIHash: h.spki}})
		if err != nil {
			return err
		}
		if len(found.Items) != 1 {
			d.w.flaw("lost", "device %s holds a certificate for key %s and the inventory has %d", d.id, h.spki[:16], len(found.Items))
			return fmt.Errorf("%d rows", len(found.Items))
		}
		h.row = found.Items[0].ID
		return nil
	})
}

// revoke revokes what is held: it counts the moment the API has said so.
func (d *device) revoke(ctx context.Context) {
	h := d.held
	if !d.rowOf(ctx, h) || !d.until(ctx, func() error {
		_, err := d.api().RevokeCertificate(ctx, h.row, resource.RevokeInput{Reason: "keyCompromise"})
		return err
	}) {
		return
	}
	d.told(h, ra.Revoked)
	d.held = nil
	d.w.report.revoked()
	d.w.look(ctx, d, h)
}

// hold puts what is held on hold, and mostly takes it off again.
func (d *device) hold(ctx context.Context) {
	h := d.held
	if !d.rowOf(ctx, h) || !d.until(ctx, func() error {
		_, err := d.api().HoldCertificate(ctx, h.row, "")
		return err
	}) {
		return
	}
	d.told(h, ra.OnHold)
	d.w.look(ctx, d, h)
	if d.dice.chance(20) {
		d.held = nil // stays on hold
		return
	}
	if !d.until(ctx, func() error {
		_, err := d.api().UnholdCertificate(ctx, h.row, "")
		if ra.KindOf(err) == ra.Conflict {
			return nil // an answer that was lost: it is off hold already
		}
		return err
	}) {
		return
	}
	d.told(h, ra.Valid)
	d.w.look(ctx, d, h)
}

func (d *device) told(h *holding, state ra.CertificateState) {
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	h.state = state
}
