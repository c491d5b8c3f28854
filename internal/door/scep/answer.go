package scep

import (
	"context"
	"crypto/rsa"

	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/wire/scepmsg"
)

// statuses says what a client hears of a request in each state. Whatever still
// moves is PENDING: an authority that does not answer is our worry.
var statuses = map[ra.RequestState]scepmsg.Status{
	ra.Requested:        scepmsg.Pending,
	ra.AwaitingApproval: scepmsg.Pending,
	ra.Approved:         scepmsg.Pending,
	ra.Submitted:        scepmsg.Pending,
	ra.PendingAtCA:      scepmsg.Pending,
	ra.Issued:           scepmsg.Success,
	ra.DeniedState:      scepmsg.Failure,
	ra.Failed:           scepmsg.Failure,
	ra.Cancelled:        scepmsg.Failure,
}

// answer gives the CertRep for a request as it stands.
func (x *exchange) answer(ctx context.Context, r *ra.Request) ([]byte, error) {
	status, ok := statuses[r.State]
	switch {
	case !ok:
		return nil, ra.Errorf(ra.Internal, "Request %s has no state a client could be told.", r.ID).WithRemedy("Run chancery doctor.")
	case status == scepmsg.Pending:
		x.result = "pending"
		return x.responder.Pending(x.message)
	case status == scepmsg.Failure:
		return nil, ra.Errorf(ra.Denied, "Request %s is %s: %s", r.ID, r.State, r.Reason).
			WithRemedy("Start the enrolment on the device again, with a new challenge.")
	}
	c, err := x.certificate(ctx, r)
	if err != nil {
		return nil, err
	}
	return x.grant(ctx, c)
}

// certificate gives what a request led to. One that no longer counts is not
// handed out again.
func (x *exchange) certificate(ctx context.Context, r *ra.Request) (c *ra.Certificate, err error) {
	if x.prepared != nil {
		c = x.prepared.Certificate()
	}
	if c == nil {
		err = x.DB.Read(ctx, func(tx *store.Tx) error {
			c, err = tx.Certificate(r.CertificateID)
			return err
		})
	}
	if err != nil {
		return nil, err
	}
	if c.State != ra.Valid && c.State != ra.Superseded || !c.NotAfter.After(x.Now()) {
		return nil, ra.Errorf(ra.Denied, "The certificate of request %s is %s.", r.ID, c.State).
			WithRemedy("Enrol the device again with a new challenge.")
	}
	return c, nil
}

// grant sends a certificate, alone or with those that issued it. A requester
// whose key cannot decrypt gets it under the challenge it knows (RFC 8894
// §3.1), or else by key agreement.
func (x *exchange) grant(ctx context.Context, c *ra.Certificate) ([]byte, error) {
	g := scepmsg.Grant{Certificates: [][]byte{c.DER}}
	if x.settings.ChainInReply {
		chain, err := x.Lifecycle.Chain(ctx, c)
		if err != nil {
			return nil, err
		}
		g.Certificates = chain
	}
	if _, ok := x.message.Signer.PublicKey.(*rsa.PublicKey); !ok && x.csr != nil {
		password, _ := x.csr.ChallengePassword()
		g.Password = []byte(password)
	}
	return x.responder.Success(x.message, g)
}
