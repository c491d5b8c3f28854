package adcs

import (
	"bytes"
	"context"
	"time"

	"chancery/internal/adcsclient"
	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/wire/pkixmsg"
)

// clockDifference is how long before it left a request is looked for: the CA's clock
// may be late.
const clockDifference = 15 * time.Minute

// underway is how long a request that the CA does not have may still be on its way
// into its database: what had left us before the line was cut lies in a queue of a
// CA that is busy.
const underway = time.Minute

// Find says what became of a request: found is false when it never left, the CA
// refused it, or the CA's database does not have it.
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
	case end.How == taken:
		reply, err := c.retrieve(ctx, r, end.RequestID)
		return reply, err == nil, err
	}
	return ca.Reply{}, false, nil
}

// settle looks for an attempt whose answer was lost in the CA's database, by the
// attribute that it carried. A row of another key is somebody else's, who has made
// the attribute up.
func (c *Connector) settle(ctx context.Context, r ca.Request, a *attempt) (ca.Reply, bool, error) {
	if !c.manages() {
		return ca.Reply{}, false, ra.Errorf(ra.Unreachable, "The CA's answer to this request was lost, and without DCOM its database cannot be asked.").WithField("protocols").
			WithRemedy("Add dcom to the protocols. Or look in the CA's console for a request with the attribute %s:%s; the device can ask anew.", attributeRequest, r.ID).WithRetry(lookAgain)
	}
	var rows []adcsclient.Row
	err := c.with(ctx, true, func(ctx context.Context, client *adcsclient.Client) (err error) {
		rows, err = client.Find(ctx, a.At.Add(-clockDifference), attributeRequest, r.ID)
		return err
	})
	if err != nil {
		return ca.Reply{}, false, c.unsettled(r, err)
	}
	spki, err := spkiOf(r)
	if err != nil {
		return ca.Reply{}, false, err
	}
	gone := false
	for _, row := range rows {
		if len(row.Request) > 0 && !bytes.Contains(row.Request, spki) {
			c.env.Log.WarnContext(ctx, "a request of another key at the CA carries our attribute", "authority", c.env.Name, "request", r.ID, "ca_request", row.RequestID)
			continue
		}
		switch row.Disposition {
		case adcsclient.RowFailed, adcsclient.RowDenied:
			gone = true
			continue
		case adcsclient.RowProcessing:
			return ca.Reply{}, false, ra.Errorf(ra.Unreachable, "The CA still works on this request (number %d).", row.RequestID).WithRemedy("It is asked again in a moment.").WithRetry(time.Minute)
		}
		c.end(ctx, r, a, ending{How: taken, RequestID: row.RequestID})
		reply, err := c.retrieve(ctx, r, row.RequestID)
		return reply, err == nil, err
	}
	if wait := underway - c.env.Now().Sub(a.At); wait > 0 && !gone {
		return ca.Reply{}, false, ra.Errorf(ra.Unreachable, "The CA's answer to this request was lost, and the request is not in its database yet.").
			WithRemedy("It is looked for once more before it is sent again.").WithRetry(wait)
	}
	c.end(ctx, r, a, ending{How: refused})
	return ca.Reply{}, false, nil
}

// spkiOf gives the public key of a request as it stands in every PKCS#10 for it,
// and in what is wrapped around that.
func spkiOf(r ca.Request) ([]byte, error) {
	if r.Read != nil {
		return r.Read.RawSPKI, nil
	}
	csr, err := pkixmsg.ParseCSR(r.CSR)
	if err != nil {
		return nil, plain(err)
	}
	return csr.RawSPKI, nil
}

// lookAgain is how long a question that somebody has to make answerable is left
// alone.
const lookAgain = 10 * time.Minute

// unsettled says that the question stays open, and what is missing to answer it.
func (c *Connector) unsettled(r ca.Request, err error) error {
	e := *ra.AsError(err)
	e.Kind = ra.Unreachable
	e.Message = "The CA's answer to this request was lost, and its database cannot be asked for it: " + e.Message
	e.Remedy += " Until then nothing is asked for again, so that there is no second certificate. In the CA's console the request has the attribute " + attributeRequest + ":" + r.ID + "."
	if e.Retry == ra.Never {
		e.Retry = lookAgain
	}
	return &e
}
