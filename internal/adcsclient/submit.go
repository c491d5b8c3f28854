package adcsclient

import (
	"context"
	"crypto/x509"
	"errors"
	"math/big"
	"time"

	"chancery/internal/ra"
	"chancery/internal/wire/adcsmsg"
	"chancery/internal/wire/hresult"
)

// Result is what the CA did with a request.
type Result struct {
	RequestID uint32              // the CA's number for it; set on refusals, too, where the CA gave one
	Chain     []*x509.Certificate // the certificate first, then its issuers as far as the CA gave them; empty while pending
	Message   string              // the CA's own words, fit to be shown
}

// Pending reports whether the CA will decide later.
func (r Result) Pending() bool { return len(r.Chain) == 0 }

// Submit asks for a certificate: request is DER in the format that flags name. A
// refusal is an error with the code, and the CA's own words in its message; a
// request that waits for a manager is none.
func (c *Client) Submit(ctx context.Context, flags uint32, request []byte, attributes adcsmsg.Attributes) (Result, error) {
	return c.send(ctx, adcsmsg.Submission{Flags: flags, Authority: c.authority, Attributes: attributes, Request: request})
}

// Retrieve asks what became of an earlier request. One that was denied, or whose
// certificate has been revoked, is RefusedByCA; an unknown one is NotFound.
func (c *Client) Retrieve(ctx context.Context, id uint32) (Result, error) {
	r, err := c.send(ctx, adcsmsg.Submission{Authority: c.authority, RequestID: id})
	if Code(err) == hresult.PropertyEmpty {
		err = unknownRequest(err)
	}
	return r, err
}

// RetrieveBySerial gives the certificate of a serial number, DER, as far as the CA
// gives certificates out: one that has been revoked is RefusedByCA, an unknown one
// is NotFound. It needs Request Certificates, and DCOM.
func (c *Client) RetrieveBySerial(ctx context.Context, serial *big.Int) ([]byte, error) {
	if err := c.needsDCOM(); err != nil {
		return nil, err
	}
	text, err := adcsmsg.SerialText(serial)
	var stub []byte
	if err == nil {
		stub, err = adcsmsg.EncodeRetrieve(c.authority, text)
	}
	out, err := call(ctx, c.requests, adcsmsg.CertRequestD2, adcsmsg.OpRequest2, stub, err)
	if err != nil {
		return nil, err
	}
	a, err := adcsmsg.DecodeAnswer(out)
	if err != nil {
		return nil, malformed(err)
	}
	if a.Disposition == adcsmsg.Issued && len(a.Leaf) > 0 {
		return a.Leaf, nil // what comes beside it is not looked at: it may be a full response
	}
	if _, err = read(a); err == nil {
		err = ended("The certificate of this serial number has not been issued yet.", "Look at the request in the CA's console.", "")
	}
	if Code(err) == hresult.PropertyEmpty {
		err = unknownRequest(err)
	}
	return nil, err
}

func unknownRequest(err error) error {
	e := *ra.AsError(err)
	e.Kind = ra.NotFound
	return &e
}

func (c *Client) send(ctx context.Context, s adcsmsg.Submission) (Result, error) {
	encode, opnum := adcsmsg.EncodePassage, uint16(adcsmsg.OpPassage)
	if c.way == DCOM {
		encode, opnum = adcsmsg.EncodeRequest, adcsmsg.OpRequest
	}
	stub, err := encode(s)
	out, err := call(ctx, c.requests, adcsmsg.CertRequestD, opnum, stub, err)
	if err != nil {
		return Result{}, err
	}
	a, err := adcsmsg.DecodeAnswer(out)
	if err != nil {
		return Result{}, malformed(err)
	}
	return read(a)
}

// tryAgain is how long a refusal for a reason that passes is left alone.
const tryAgain = 5 * time.Minute

// read says what an answer means.
func read(a adcsmsg.Answer) (Result, error) {
	r := Result{RequestID: a.RequestID, Message: hresult.Clean(a.Message)}
	switch a.Disposition {
	case adcsmsg.Pending:
		return r, nil
	case adcsmsg.Issued:
		if len(a.Leaf) == 0 {
			return r, malformed(errors.New("issued, without a certificate"))
		}
		var err error
		if r.Chain, err = adcsmsg.ReadChain(a.Leaf, a.Chain); err != nil {
			return r, malformed(err)
		}
		return r, nil
	case adcsmsg.Denied:
		return r, hresult.Error(uint32(hresult.AdminDenied), a.Message)
	case adcsmsg.Revoked:
		return r, ended("The certificate of this request has been revoked at the CA.", "Ask for a new certificate.", r.Message)
	case adcsmsg.Foreign:
		return r, ended("The CA keeps a certificate of another CA under this request number.", "Check that the authority leads to the CA the request was sent to.", r.Message)
	}
	e := hresult.Error(uint32(a.Disposition), a.Message)
	if e.Kind == ra.Unreachable { // the CA did answer: what it could not reach is something behind it
		e.Kind, e.Retry = ra.RefusedByCA, tryAgain
	}
	return r, e
}

func ended(message, remedy, text string) error {
	return ra.Errorf(ra.RefusedByCA, "%s", message+hresult.Quote(text)).WithRemedy("%s", remedy).WithRetry(ra.Never)
}
