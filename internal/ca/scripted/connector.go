package scripted

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/wire/pkixmsg"
)

// Connector speaks to the authority. It keeps nothing.
type Connector struct {
	env       ca.Env
	authority *Authority
	password  secret.Text
}

func unreachable(message string, cause error) error {
	return ra.Errorf(ra.Unreachable, "%s", message).WithRemedy("Check the way to the authority; it is asked again.").WithCause(cause)
}

// Issue follows the script.
func (c *Connector) Issue(ctx context.Context, r ca.Request) (ca.Reply, error) {
	a := c.authority
	if err := ctx.Err(); err != nil {
		return ca.Reply{}, unreachable("The request was cancelled before it was sent.", err)
	}
	a.mu.Lock()
	act := a.next()
	if act.do != CutBefore.do {
		a.asked[r.ID]++
	}
	a.mu.Unlock()
	c.env.Log.Info("scripted authority", "act", act.do, "request", r.ID, "password", c.password)

	switch act.do {
	case Refuse.do:
		return ca.Reply{}, ra.Errorf(ra.RefusedByCA, "The scripted authority refused the request.").
			WithRemedy("Give the account the right to enrol.").WithRetry(ra.Never)
	case TimeOut.do:
		<-ctx.Done()
		return ca.Reply{}, unreachable("The scripted authority did not answer in time.", ctx.Err())
	case CutBefore.do:
		return ca.Reply{}, unreachable("The line to the scripted authority broke.", nil)
	case "slow":
		select {
		case <-ctx.Done():
			return ca.Reply{}, unreachable("The scripted authority did not answer in time.", ctx.Err())
		case <-time.After(act.span):
		}
	}

	a.mu.Lock()
	defer a.mu.Unlock()
	rec := a.record(r)
	if act.do == "pend" && len(rec.certs) == 0 {
		rec.waits = act.waits
		return a.pending(rec), nil
	}
	if rec.waits > 0 {
		return a.pending(rec), nil
	}
	if err := a.issue(rec, r); err != nil {
		return ca.Reply{}, err
	}
	if act.do == LoseAnswer.do {
		return ca.Reply{}, unreachable("The line to the scripted authority broke.", nil)
	}
	return a.answer(rec), nil
}

// Fetch asks for the answer to a pending request.
func (c *Connector) Fetch(_ context.Context, _ ca.Request, handle string) (ca.Reply, error) {
	a := c.authority
	a.mu.Lock()
	defer a.mu.Unlock()
	rec := a.handles[handle]
	if rec == nil {
		return ca.Reply{}, ra.Errorf(ra.NotFound, "The scripted authority knows no such request.").WithRemedy("Ask for a new certificate.")
	}
	if rec.waits > 0 {
		rec.waits--
	}
	if rec.waits > 0 {
		return a.pending(rec), nil
	}
	if len(rec.certs) == 0 {
		if err := a.issue(rec, rec.request); err != nil {
			return ca.Reply{}, err
		}
	}
	return a.answer(rec), nil
}

// Find tells what became of a request.
func (c *Connector) Find(_ context.Context, r ca.Request) (ca.Reply, bool, error) {
	a := c.authority
	a.mu.Lock()
	defer a.mu.Unlock()
	rec := a.records[r.ID]
	switch {
	case rec == nil:
		return ca.Reply{}, false, nil
	case len(rec.certs) == 0:
		return a.pending(rec), true, nil
	}
	return a.answer(rec), true, nil
}

func (a *Authority) pending(rec *record) ca.Reply {
	return ca.Reply{Handle: rec.handle, Again: a.Again}
}

func (a *Authority) answer(rec *record) ca.Reply {
	last := rec.certs[len(rec.certs)-1]
	return ca.Reply{Chain: []*x509.Certificate{last, a.cert}, Key: rec.key, Handle: rec.handle}
}

// issue signs a certificate for r, unless there is one and it is remembered.
func (a *Authority) issue(rec *record, r ca.Request) error {
	if len(rec.certs) > 0 && !a.Forgetful {
		return nil
	}
	public := crypto.PublicKey(r.PublicKey)
	if r.KeyAtCA != "" {
		key, err := pkixmsg.GenerateKey(pkixmsg.KeyType(r.KeyAtCA))
		if err != nil {
			return ra.AsError(err)
		}
		rec.key, public = key, key.Public()
	}
	template, err := a.template(r)
	if err != nil {
		return ra.AsError(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, public, a.key)
	if err != nil {
		return ra.AsError(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return ra.AsError(err)
	}
	rec.certs = append(rec.certs, cert)
	return nil
}

func (a *Authority) template(r ca.Request) (*x509.Certificate, error) {
	subject, err := r.Subject.DER()
	if err != nil {
		return nil, err
	}
	validity := r.Validity
	if validity == 0 {
		validity = 90 * 24 * time.Hour
	}
	from := a.now().UTC().Truncate(time.Second).Add(-time.Minute)
	t := &x509.Certificate{
		SerialNumber: freshSerial(), RawSubject: subject, KeyUsage: r.KeyUsage,
		NotBefore: from, NotAfter: from.Add(validity - time.Second), BasicConstraintsValid: true,
	}
	add := func(e pkixmsg.Extension, err error) error {
		var der []byte
		if err == nil {
			der, err = e.DER()
		}
		var extension pkix.Extension
		if err == nil {
			_, err = asn1.Unmarshal(der, &extension)
		}
		t.ExtraExtensions = append(t.ExtraExtensions, extension)
		return err
	}
	if len(r.SANs) > 0 {
		err = add(pkixmsg.SubjectAltName(r.Subject, r.SANs))
	}
	if len(r.EKUs) > 0 && err == nil {
		err = add(pkixmsg.ExtKeyUsageExtension(r.EKUs, false))
	}
	if r.SID != "" && err == nil {
		err = add(pkixmsg.SIDExtension(r.SID))
	}
	return t, err
}
