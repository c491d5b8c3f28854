package adcs

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"chancery/internal/adcsclient"
	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/rpc"
	"chancery/internal/wire/adcsmsg"
	"chancery/internal/wire/pkixmsg"
)

// attributeRequest names our request in the CA's database.
const attributeRequest = "ChanceryRequest"

// flagOnBehalfOfSubject renews a certificate of somebody else by its old key
// (ROBO, MS-WCCE §3.2.1.4.3.1.1).
const flagOnBehalfOfSubject = 0x00200000

// Issue asks for a certificate. What was sent for the same request before is found
// again, unless the CA has refused it or never got it.
func (c *Connector) Issue(ctx context.Context, r ca.Request) (ca.Reply, error) {
	if err := ctx.Err(); err != nil {
		return ca.Reply{}, ra.Errorf(ra.Unreachable, "The request was given up before it was sent to %s.", c.env.Name).WithRemedy("It is tried again.").WithCause(err)
	}
	if r.KeyAtCA != "" {
		return ca.Reply{}, ra.Errorf(ra.Invalid, "A Microsoft CA makes no keys.").WithRemedy("Let the device or this server make the key.").WithRetry(ra.Never)
	}
	defer c.lock(r.ID)()
	a, end, err := c.latest(ctx, r.ID)
	switch {
	case err != nil:
		return ca.Reply{}, err
	case a == nil:
		return c.submit(ctx, r, 1)
	case end == nil:
		reply, found, err := c.settle(ctx, r, a)
		if err != nil || found {
			return reply, err
		}
	case end.How == taken:
		return c.retrieve(ctx, r, end.RequestID)
	}
	return c.submit(ctx, r, a.Number+1)
}

// submit makes a request, writes down that it is about to leave, and sends it.
func (c *Connector) submit(ctx context.Context, r ca.Request, number int) (ca.Reply, error) {
	flags, request, err := c.message(ctx, r)
	if err != nil {
		return ca.Reply{}, err
	}
	attributes := adcsmsg.Attributes{{Name: attributeRequest, Value: r.ID}}
	if r.Template != "" {
		attributes = append(adcsmsg.Attributes{{Name: adcsmsg.AttributeTemplate, Value: r.Template}}, attributes...)
	}
	a, err := c.begin(ctx, r.ID, number)
	if err != nil {
		return ca.Reply{}, err
	}
	var result adcsclient.Result
	err = c.with(ctx, false, func(ctx context.Context, client *adcsclient.Client) (err error) {
		result, err = client.Submit(ctx, flags, request, attributes)
		return err
	})
	switch {
	case adcsclient.IsLost(err):
		return ca.Reply{}, err
	case err != nil:
		c.end(ctx, r, a, ending{How: refused, RequestID: result.RequestID})
		return ca.Reply{}, numbered(open(err), result.RequestID)
	}
	c.end(ctx, r, a, ending{How: taken, RequestID: result.RequestID})
	return c.reply(ctx, r, result)
}

// numbered adds the CA's number of a refused request to the remedy, by which its
// administrator finds it.
func numbered(err error, id uint32) error {
	if id == 0 {
		return err
	}
	e := *ra.AsError(err)
	e.Remedy = strings.TrimSpace(fmt.Sprintf("%s The CA has it as request %d.", e.Remedy, id))
	return &e
}

// message makes what is sent: the request in its format, and the flags that name
// it.
func (c *Connector) message(ctx context.Context, r ca.Request) (flags uint32, request []byte, err error) {
	renewal := c.renewal(r)
	csr := r.CSR
	if r.Key != nil {
		csr, err = build(r, renewal)
	} else {
		err = checkNames(r)
	}
	switch {
	case err != nil:
		return 0, nil, err
	case r.RequestedBy != "":
		request, err = c.onBehalf(ctx, r, csr)
		return adcsmsg.FlagPKCS7, request, err
	case renewal != nil:
		if request, err = adcsmsg.Renewal(csr, *renewal); err != nil {
			err = ra.Errorf(ra.Unreachable, "The key of the certificate to be renewed cannot sign.").WithRemedy("It is tried again; otherwise let the template renew by a new request.").WithCause(err)
		}
		return adcsmsg.FlagPKCS7 | flagOnBehalfOfSubject, request, err
	}
	return adcsmsg.FlagPKCS10, csr, nil
}

// renewal gives what signs a renewal; nil when there is to be a new request. On
// behalf of somebody every request is a new one.
func (c *Connector) renewal(r ca.Request) *adcsmsg.Signer {
	o, ok := r.Options.(*Options)
	if !ok || o.Renewal != renewalSigned || r.Renews == nil || r.RenewsKey == nil || r.Key == nil || r.RequestedBy != "" {
		return nil
	}
	return &adcsmsg.Signer{Certificate: r.Renews, Key: r.RenewsKey}
}

// build makes the PKCS#10 for a key that is kept here, with everything the order
// says of names. Usage and validity are the CA's template's.
func build(r ca.Request, renewal *adcsmsg.Signer) ([]byte, error) {
	q := pkixmsg.CSRRequest{Name: r.Subject, SANs: r.SANs, Signer: r.Key}
	if r.SID != "" {
		sid, err := pkixmsg.SIDExtension(r.SID)
		if err != nil {
			return nil, plain(err)
		}
		q.Extensions = append(q.Extensions, sid)
	}
	if renewal != nil {
		q.Attributes = append(q.Attributes, adcsmsg.RenewalAttribute(renewal.Certificate))
	}
	der, err := pkixmsg.BuildCSR(q)
	return der, plain(err)
}

func plain(err error) error {
	var e *pkixmsg.Error
	if errors.As(err, &e) {
		return ra.Errorf(ra.Invalid, "%s", e.Message).WithRemedy("%s", e.Remedy).WithRetry(ra.Never)
	}
	return err
}

// reply makes the answer to a request of what the CA did with it.
func (c *Connector) reply(ctx context.Context, r ca.Request, result adcsclient.Result) (ca.Reply, error) {
	out := ca.Reply{Handle: strconv.FormatUint(uint64(result.RequestID), 10)}
	if result.Pending() {
		out.Again = c.settings.PollInterval
		return out, nil
	}
	leaf := result.Chain[0]
	if !sameKey(leaf.PublicKey, r.PublicKey) {
		return ca.Reply{}, ra.Errorf(ra.RefusedByCA, "The CA's request %d is for another key.", result.RequestID).WithRemedy("Look at that request in the CA's console: somebody else may have made it.").WithRetry(ra.Never)
	}
	if err := c.checkIssuer(result.Chain); err != nil {
		return ca.Reply{}, err
	}
	if missing := lacks(r, leaf); len(missing) > 0 {
		return ca.Reply{}, c.discard(ctx, leaf, result.RequestID, missing)
	}
	out.Chain = c.complete(result.Chain)
	return out, nil
}

func sameKey(a, b any) bool {
	key, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(b)
}

// checkIssuer holds the issuer against the certificates that are set, if any.
func (c *Connector) checkIssuer(chain []*x509.Certificate) error {
	if len(c.pinned) == 0 || len(adcsmsg.Above(chain[0], c.pinned)) > 0 {
		return nil
	}
	return ra.Errorf(ra.RefusedByCA, "The certificate is from another CA than the one that is set.").WithField("ca_certificates").
		WithRemedy("Compare the CA certificates of the authority with those of the CA. If the CA was renewed on purpose, add its new certificate.").WithRetry(ra.Never)
}

// complete adds issuers that are set here to a chain that ends too early.
func (c *Connector) complete(chain []*x509.Certificate) []*x509.Certificate {
	return append(chain, adcsmsg.Above(chain[len(chain)-1], c.pinned)...)
}

// discard revokes a certificate that does not name whom it was asked for: the CA's
// template takes the names from the directory, and found the service account there.
func (c *Connector) discard(ctx context.Context, leaf *x509.Certificate, id uint32, missing []string) error {
	c.env.Log.WarnContext(ctx, "the CA issued a certificate without the names that were asked for", "authority", c.env.Name, "ca_request", id, "missing", missing)
	after := "It was revoked."
	if err := c.Revoke(ctx, ca.Revocation{Certificate: leaf, Reason: ra.CessationOfOperation, At: c.env.Now()}); err != nil {
		after = "Revoke it at the CA: this server could not."
	}
	return ra.Errorf(ra.RefusedByCA, "The CA issued a certificate (request %d) without %s: its template takes names from the directory and not from the request.", id, list(missing)).
		WithRemedy("%s Let the CA's template take the subject from the request (Supply in the request), or ask on behalf of the user with a requester name.", after).WithRetry(ra.Never)
}

// Fetch asks what became of a request that was left pending.
func (c *Connector) Fetch(ctx context.Context, r ca.Request, handle string) (ca.Reply, error) {
	id, err := strconv.ParseUint(handle, 10, 32)
	if err != nil || id == 0 {
		return ca.Reply{}, ra.Errorf(ra.NotFound, "There is no such request at the CA.").WithRemedy("A Microsoft CA counts its requests; look for this one in the CA's console.").WithRetry(ra.Never)
	}
	return c.retrieve(ctx, r, uint32(id))
}

// retrieve asks for a request by the CA's number.
func (c *Connector) retrieve(ctx context.Context, r ca.Request, id uint32) (ca.Reply, error) {
	var result adcsclient.Result
	err := c.with(ctx, false, func(ctx context.Context, client *adcsclient.Client) (err error) {
		result, err = client.Retrieve(ctx, id)
		return err
	})
	if err != nil {
		return ca.Reply{}, numbered(open(err), id)
	}
	result.RequestID = id
	return c.reply(ctx, r, result)
}

// open keeps a question open that the CA was not asked: a login that is refused,
// because the account is locked or its password has changed, ends no request, be it
// new or waiting there. It also counts against the authority as a whole, which is
// then asked less, so that the account is not locked for good.
func open(err error) error {
	var notSent *rpc.NotSent
	if !errors.As(err, &notSent) {
		return err
	}
	e := *ra.AsError(err)
	e.Kind = ra.Unreachable
	if e.Retry == ra.Never {
		e.Retry = lookAgain
	}
	return &e
}
