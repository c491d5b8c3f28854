package scep

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"net/http"

	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/scepclient"
	"chancery/internal/wire/pkixmsg"
	"chancery/internal/wire/scepmsg"
)

// Issue asks for a certificate. What was sent for the same request before is gone
// on with, unless the server has refused it or never got it.
func (c *Connector) Issue(ctx context.Context, r ca.Request) (ca.Reply, error) {
	if err := ctx.Err(); err != nil {
		return ca.Reply{}, c.unreachable(err)
	}
	if r.KeyAtCA != "" {
		return ca.Reply{}, ra.Errorf(ra.Invalid, "A SCEP server makes no keys.").WithRemedy("Let the device or this server make the key.").WithRetry(ra.Never)
	}
	defer c.lock(r.ID)()
	a, end, err := c.latest(ctx, r.ID)
	switch {
	case err != nil:
		return ca.Reply{}, err
	case a == nil:
		return c.begin(ctx, r, 1)
	case end == nil:
		reply, _, err := c.settle(ctx, r, a)
		return reply, err
	case end.How == granted:
		return c.kept(ctx, a, end)
	case a.Number == maxAttempts:
		return ca.Reply{}, ra.Errorf(ra.RefusedByCA, "The SCEP server has refused this request %d times.", maxAttempts).WithRemedy("Ask for a new certificate.").WithRetry(ra.Never)
	}
	return c.begin(ctx, r, a.Number+1)
}

// begin makes a message, writes it down and sends it.
func (c *Connector) begin(ctx context.Context, r ca.Request, number int) (ca.Reply, error) {
	s, err := c.ask(ctx)
	if err != nil {
		return ca.Reply{}, err
	}
	a := &attempt{Number: number}
	order, err := c.order(ctx, r, a)
	if err != nil {
		return ca.Reply{}, err
	}
	x, err := c.client().Begin(s, order)
	if err != nil {
		return ca.Reply{}, ra.AsError(err)
	}
	a.Exchange = *x
	ours, err := c.env.Remember(ctx, sentKey(r.ID, number), a)
	if err != nil {
		return ca.Reply{}, err
	}
	if !ours {
		return ca.Reply{}, ra.Errorf(ra.Unreachable, "The same request is being asked for by somebody else.").WithRemedy("It is asked about again.")
	}
	return c.send(ctx, s, r, a)
}

// order says what to send: a renewal signed by the key of the old certificate
// where that is here, else a first enrolment under a transport key of its own,
// which is RSA because the server's answer is encrypted to it.
func (c *Connector) order(ctx context.Context, r ca.Request, a *attempt) (scepclient.Order, error) {
	o := scepclient.Order{Key: r.Key, TransactionID: freshTransaction()}
	var err error
	if renewable(r) {
		o.Old, o.Sign = r.Renews, r.RenewsKey
		o.CSR, err = c.pkcs10(r, Given{}, nil)
		return o, err
	}
	transport, err := pkixmsg.GenerateKey(pkixmsg.RSA2048)
	if err == nil {
		o.Sign = transport
		a.Key, err = x509.MarshalPKCS8PrivateKey(transport)
	}
	if err != nil {
		return o, ra.AsError(err)
	}
	given := Given{}
	if r.Carries != "" { // the device has signed its challenge into the request
		o.CSR = r.CSR
		return o, nil
	}
	if c.challenges.Wanted() {
		if r.Key == nil && !c.devices.Vouched {
			return o, errDeviceKey()
		}
		if given, err = c.challenges.Get(ctx, r.ID); err != nil {
			return o, err
		}
	}
	o.CSR, err = c.pkcs10(r, given, transport)
	return o, err
}

func errDeviceKey() error {
	return ra.Errorf(ra.Invalid, "The SCEP server wants a challenge in the request, and the device whose key it is has signed the request already.").WithRetry(ra.Never).
		WithRemedy("Let the key be made here; or let the device enrol at the server itself or through the proxy; or have the server accept this server without a challenge; or, if it does not check who signed a PKCS#10, switch on that this server vouches.")
}

// renewable reports whether a renewal can be signed with the old certificate: its
// key is here, and can read the answer.
func renewable(r ca.Request) bool {
	if r.Renews == nil || r.RenewsKey == nil || r.Key == nil {
		return false
	}
	_, isRSA := r.Renews.PublicKey.(*rsa.PublicKey)
	_, reads := r.RenewsKey.(crypto.Decrypter)
	return isRSA && reads
}

// pkcs10 is the request to send: what the order says, with the challenge in it and
// signed by its key, where that is here; else the device's own, or one that this
// server vouches for, signed by the transport key.
func (c *Connector) pkcs10(r ca.Request, given Given, transport crypto.Signer) ([]byte, error) {
	if r.Key == nil && !given.Secret.IsSet() {
		return r.CSR, nil
	}
	q := pkixmsg.CSRRequest{Name: r.Subject, SANs: r.SANs, Signer: r.Key, ChallengePassword: given.Secret.Reveal()}
	if r.Key == nil {
		q.PublicKey, q.Signer = r.PublicKey, transport
	}
	add := func(e pkixmsg.Extension, err error) error {
		q.Extensions = append(q.Extensions, e)
		return err
	}
	var err error
	if r.KeyUsage != 0 {
		err = add(pkixmsg.KeyUsageExtension(r.KeyUsage))
	}
	if len(r.EKUs) > 0 && err == nil {
		err = add(pkixmsg.ExtKeyUsageExtension(r.EKUs, false))
	}
	if r.SID != "" && err == nil {
		err = add(pkixmsg.SIDExtension(r.SID))
	}
	var der []byte
	if err == nil {
		der, err = pkixmsg.BuildCSR(q)
	}
	if err != nil {
		return nil, ra.Errorf(ra.Invalid, "The request cannot be written as the template says.").WithRemedy("Correct subject, names and purposes of the template.").WithRetry(ra.Never).WithCause(err)
	}
	return der, nil
}

func freshTransaction() string {
	b := make([]byte, 16)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// send sends an attempt for the first time and concludes from what comes.
func (c *Connector) send(ctx context.Context, s *scepclient.Server, r ca.Request, a *attempt) (ca.Reply, error) {
	key, err := a.key(r)
	if err != nil {
		return ca.Reply{}, err
	}
	reply, err := c.client().Send(ctx, s, &a.Exchange, key)
	if err != nil {
		return ca.Reply{}, c.failed(ctx, r, a, err)
	}
	return c.conclude(ctx, s, r, a, reply)
}

// failed says what an exchange means that ended without an answer of the
// protocol. The attempt is over only if the server cannot have acted on it.
func (c *Connector) failed(ctx context.Context, r ca.Request, a *attempt, err error) error {
	var not *ca.NotSent
	var status *scepclient.StatusError
	switch {
	case errors.As(err, &not):
		c.end(ctx, r.ID, a, ending{How: unsent})
	case errors.As(err, &status) && status.Status < 500: // whatever answered so has not looked into the message
		c.end(ctx, r.ID, a, ending{How: refused})
	}
	return c.failedAgain(err)
}

// failedAgain is failed for a message that decides nothing about the attempt.
func (c *Connector) failedAgain(err error) error {
	var status *scepclient.StatusError
	var floor *scepmsg.FloorError
	switch {
	case errors.As(err, &status):
		return statusError(status.Status).WithCause(err)
	case errors.As(err, &floor):
		return ra.Errorf(ra.RefusedByCA, "The SCEP server's answer uses %s, which the algorithm floor %q does not allow.", floor.Algorithm.Name(), c.floor).WithField("floor").WithRetry(ra.Never).
			WithRemedy("Have the server use AES and SHA-256, or lower the floor; then ask again, and the answer is asked for once more.").WithCause(err)
	case ra.KindOf(err) == ra.RefusedByCA:
		return ra.Errorf(ra.RefusedByCA, "What the SCEP server answered is not an answer to the request.").WithRetry(ra.Never).
			WithRemedy("Open the SCEP URL in a browser: it may lead to a page of somebody else. If it is the SCEP server, its RA certificate was renewed or has expired; test the connection.").WithCause(err)
	}
	return c.unreachable(err)
}

// conclude reads an answer of the protocol.
func (c *Connector) conclude(ctx context.Context, s *scepclient.Server, r ca.Request, a *attempt, reply *scepmsg.Reply) (ca.Reply, error) {
	switch reply.Message.Status {
	case scepmsg.Failure:
		c.end(ctx, r.ID, a, ending{How: refused})
		return ca.Reply{}, refusal(reply.Message.FailInfo)
	case scepmsg.Pending:
		c.used(ctx, r)
		return ca.Reply{Handle: a.Exchange.TransactionID, Again: c.devices.RetryTimeout}, nil
	}
	c.used(ctx, r)
	leaf := reply.Certificates[0].Raw
	chain, err := c.chainOf(leaf, s)
	if err != nil { // what can be mended here is asked about again, without the server
		c.end(ctx, r.ID, a, ending{How: granted, Chain: [][]byte{leaf}})
		return ca.Reply{}, err
	}
	e := ending{How: granted}
	for _, x := range chain {
		e.Chain = append(e.Chain, x.Raw)
	}
	c.end(ctx, r.ID, a, e)
	return ca.Reply{Chain: chain, Handle: a.Exchange.TransactionID, Issuer: chain[1]}, nil
}

// used gives a challenge back to the account. A slot that is not given back is
// free again when its time is over.
func (c *Connector) used(ctx context.Context, r ca.Request) {
	id := r.ID
	if r.Carries != "" {
		id = r.Carries
	}
	if err := c.challenges.Used(context.WithoutCancel(ctx), id); err != nil {
		c.env.Log.Warn("a used challenge could not be given back", "authority", c.env.Name, "request", r.ID, "error", err)
	}
}

// refusal says what a FAILURE means; the protocol says little.
func refusal(info scepmsg.FailInfo) error {
	e := ra.Errorf(ra.RefusedByCA, "The SCEP server refused the request: %s.", info).WithRetry(ra.Never)
	switch info {
	case scepmsg.BadAlg:
		return e.WithRemedy("It does not take the algorithms of the message or of the key. Compare the template's key type with what the CA allows.")
	case scepmsg.BadMessageCheck:
		return e.WithRemedy("It could not open the message or verify it, often because its RA certificate was changed. Test the connection.")
	case scepmsg.BadTime:
		return e.WithRemedy("Set the clocks of both servers.")
	case scepmsg.BadCertID:
		return e.WithRemedy("It does not know the request any more. Ask for a new certificate.")
	}
	return e.WithRemedy("A wrong or expired challenge, or the CA's template does not fit: subject, key size, purposes. The server's event log says which; the protocol does not.")
}

// chainOf checks a granted certificate and gives it with those above it.
func (c *Connector) chainOf(leaf []byte, s *scepclient.Server) ([]*x509.Certificate, error) {
	cert, err := x509.ParseCertificate(leaf)
	if err != nil {
		return nil, odd("cannot be read").WithCause(err)
	}
	if cert.IsCA {
		return nil, odd("is one of a certification authority")
	}
	if now := c.env.Now(); !cert.NotAfter.After(now) {
		return nil, odd("has expired already")
	}
	cas := c.cas(s.Certificates)
	for _, issuer := range cas {
		if err = issuer.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err == nil {
			return append([]*x509.Certificate{cert, issuer}, upwards(issuer, cas)...), nil
		}
	}
	return nil, odd("is signed by none of the CA certificates that the server gives").WithCause(err)
}

func odd(what string) *ra.Error {
	return ra.Errorf(ra.RefusedByCA, "The certificate that the SCEP server granted %s.", what).WithRetry(ra.Never).
		WithRemedy("Look at the CA's template and at what GetCACert gives; add missing CA certificates to the settings, and ask again: no second certificate is asked for.")
}

// kept gives what was granted, from the journal.
func (c *Connector) kept(ctx context.Context, a *attempt, e *ending) (ca.Reply, error) {
	reply := ca.Reply{Handle: a.Exchange.TransactionID}
	for _, der := range e.Chain {
		x, err := x509.ParseCertificate(der)
		if err != nil {
			return ca.Reply{}, ra.AsError(err)
		}
		reply.Chain = append(reply.Chain, x)
	}
	if len(reply.Chain) == 1 { // its issuer was missing
		s, err := c.ask(ctx)
		if err != nil {
			return ca.Reply{}, err
		}
		if reply.Chain, err = c.chainOf(e.Chain[0], s); err != nil {
			return ca.Reply{}, err
		}
	}
	reply.Issuer = reply.Chain[1]
	return reply, nil
}

// Fetch polls for the answer to a request that was left pending (CertPoll, RFC
// 8894 §3.3.3).
func (c *Connector) Fetch(ctx context.Context, r ca.Request, handle string) (ca.Reply, error) {
	defer c.lock(r.ID)()
	a, end, err := c.latest(ctx, r.ID)
	if err != nil {
		return ca.Reply{}, err
	}
	if a == nil || a.Exchange.TransactionID != handle {
		return ca.Reply{}, ra.Errorf(ra.NotFound, "No SCEP transaction of that name was begun for this request.").WithRemedy("Ask for a new certificate.").WithRetry(ra.Never)
	}
	if end != nil && end.How == granted {
		return c.kept(ctx, a, end)
	}
	s, err := c.ask(ctx)
	if err != nil {
		return ca.Reply{}, err
	}
	poll, err := c.poll(s, r, a)
	if err != nil {
		return ca.Reply{}, err
	}
	key, err := a.key(r)
	if err != nil {
		return ca.Reply{}, err
	}
	reply, err := c.client().Send(ctx, s, poll, key)
	if err != nil {
		return ca.Reply{}, c.failedAgain(err)
	}
	return c.conclude(ctx, s, r, a, reply)
}

func (c *Connector) poll(s *scepclient.Server, r ca.Request, a *attempt) (*scepclient.Exchange, error) {
	key, err := a.key(r)
	if err != nil {
		return nil, err
	}
	x, err := c.client().PollFor(s, &a.Exchange, key)
	if err != nil {
		return nil, ra.AsError(err)
	}
	return x, nil
}

// Find says what became of a request: found is false when nothing left this
// server, or the server said no.
func (c *Connector) Find(ctx context.Context, r ca.Request) (ca.Reply, bool, error) {
	defer c.lock(r.ID)()
	a, end, err := c.latest(ctx, r.ID)
	switch {
	case err != nil:
		return ca.Reply{}, false, err
	case a == nil:
		return ca.Reply{}, false, nil
	case end == nil:
		return c.settle(ctx, r, a)
	case end.How == granted:
		reply, err := c.kept(ctx, a, end)
		return reply, err == nil, err
	}
	return ca.Reply{}, false, nil
}

// settle finds out about an attempt whose answer was lost: by polling for the
// transaction, and if the server knows nothing of it by sending the same octets
// once more. A server that then says no leaves the question open for ever.
func (c *Connector) settle(ctx context.Context, r ca.Request, a *attempt) (ca.Reply, bool, error) {
	key, err := a.key(r)
	if err != nil {
		return ca.Reply{}, false, err
	}
	s, err := c.ask(ctx)
	if err != nil {
		return ca.Reply{}, false, err
	}
	poll, err := c.poll(s, r, a)
	if err != nil {
		return ca.Reply{}, false, err
	}
	reply, err := c.client().Send(ctx, s, poll, key)
	if err == nil && reply.Message.Status != scepmsg.Failure {
		out, err := c.conclude(ctx, s, r, a, reply)
		return out, err == nil, err
	}
	var floor *scepmsg.FloorError
	if err != nil && (!answered(err) || errors.As(err, &floor)) {
		return ca.Reply{}, false, c.failedAgain(err)
	}
	mark := freshTransaction()
	ours, err := c.env.Remember(ctx, againKey(r.ID, a.Number), mark)
	if err != nil {
		return ca.Reply{}, false, err
	}
	if !ours {
		return ca.Reply{}, false, c.unknown(a)
	}
	reply, err = c.client().Send(ctx, s, &a.Exchange, key)
	switch {
	case err != nil && (!answered(err) || errors.As(err, &floor)):
		return ca.Reply{}, false, c.failedAgain(err)
	case err != nil || reply.Message.Status == scepmsg.Failure:
		return ca.Reply{}, false, c.unknown(a)
	}
	out, err := c.conclude(ctx, s, r, a, reply)
	return out, err == nil, err
}

// answered reports whether an error of an exchange came with an answer of HTTP: a
// server that has no CertPoll answers it so.
func answered(err error) bool {
	var status *scepclient.StatusError
	if errors.As(err, &status) {
		return status.Status != http.StatusBadGateway && status.Status != http.StatusServiceUnavailable && status.Status != http.StatusGatewayTimeout
	}
	return ra.KindOf(err) == ra.RefusedByCA
}

// unknown says that nobody will ever know, but who can look at the CA.
func (c *Connector) unknown(a *attempt) error {
	return ra.Errorf(ra.RefusedByCA, "The SCEP server's answer was lost, and it refused the same message when it was repeated: it may have issued a certificate that nobody got.").WithRetry(ra.Never).
		WithRemedy("Look at the CA for a certificate of transaction %s and revoke it there. Then ask for a new certificate.", a.Exchange.TransactionID)
}
