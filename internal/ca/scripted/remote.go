package scripted

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/wire/pkixmsg"
)

// RemoteSettings are those of a Server.
type RemoteSettings struct {
	Server  string
	Timeout time.Duration
}

// Describe names the settings.
func (s *RemoteSettings) Describe(f *setting.Form) {
	f.URL(&s.Server, "server", "Server address").Required()
	f.Duration(&s.Timeout, "timeout", "Reply timeout").Default(time.Second).Between(10*time.Millisecond, time.Minute)
}

// Connect opens a connector to the server.
func (s *RemoteSettings) Connect(_ context.Context, env ca.Env) (ca.Connector, error) {
	return &remote{env: env, server: s.Server, timeout: s.Timeout}, nil
}

// RemoteKind is a Server as something to choose: it can be searched, answers
// later, and revokes.
func RemoteKind() ca.Kind {
	return ca.Kind{
		ID: "scripted-remote", Title: "Scripted authority over HTTP", Help: "Does what the script of a test says, in another process.",
		New: func() ca.Settings { return &RemoteSettings{} },
		Traits: ca.Traits{KeyPlaces: []ra.KeyPlace{ra.KeyOnDevice, ra.KeyHere}, KeyTypes: []string{"rsa-2048", "p-256"},
			Revoke: true, Hold: true, Pending: true, Sure: true, Extensions: true, SID: true},
	}
}

// remote speaks to a Server. It keeps nothing.
type remote struct {
	env     ca.Env
	server  string
	timeout time.Duration
}

// call sends one order. Whatever goes wrong on the line is Unreachable.
func (c *remote) call(ctx context.Context, operation string, o order) (a answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	body, err := json.Marshal(o)
	if err != nil {
		return a, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.server+"/"+operation, bytes.NewReader(body))
	if err != nil {
		return a, err
	}
	response, err := c.env.HTTP.Do(request)
	if err != nil {
		return a, unreachable("The scripted server did not answer.", err)
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusForbidden:
		return a, ra.Errorf(ra.RefusedByCA, "The scripted server refused the request.").WithRemedy("Give the account the right to enrol.").WithRetry(ra.Never)
	default:
		return a, unreachable("The scripted server failed.", nil)
	}
	if err := json.NewDecoder(response.Body).Decode(&a); err != nil {
		return a, unreachable("The scripted server's answer was cut off.", err)
	}
	return a, nil
}

// outcome reads an answer: a certificate, or pending.
func (c *remote) outcome(id string, a answer) (ca.Reply, error) {
	if len(a.Certificate) == 0 {
		return ca.Reply{Handle: id, Again: time.Second}, nil
	}
	leaf, err := x509.ParseCertificate(a.Certificate)
	if err != nil {
		return ca.Reply{}, ra.AsError(err)
	}
	issuer, err := x509.ParseCertificate(a.Issuer)
	if err != nil {
		return ca.Reply{}, ra.AsError(err)
	}
	return ca.Reply{Chain: []*x509.Certificate{leaf, issuer}, Handle: id}, nil
}

// Issue asks for a certificate.
func (c *remote) Issue(ctx context.Context, r ca.Request) (ca.Reply, error) {
	o, err := orderOf(r)
	if err != nil {
		return ca.Reply{}, ra.AsError(err)
	}
	a, err := c.call(ctx, "issue", o)
	if err != nil {
		return ca.Reply{}, err
	}
	return c.outcome(r.ID, a)
}

// orderOf writes a request down for the line.
func orderOf(r ca.Request) (o order, err error) {
	o = order{ID: r.ID, KeyUsage: int(r.KeyUsage), Seconds: int64(r.Validity / time.Second)}
	if o.SPKI, err = x509.MarshalPKIXPublicKey(r.PublicKey); err != nil {
		return o, err
	}
	if o.Subject, err = r.Subject.DER(); err != nil {
		return o, err
	}
	add := func(e pkixmsg.Extension, err error) error {
		var der []byte
		if err == nil {
			der, err = e.DER()
		}
		o.Extensions = append(o.Extensions, der)
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
	return o, err
}

// Fetch asks for the answer to a pending request.
func (c *remote) Fetch(ctx context.Context, r ca.Request, handle string) (ca.Reply, error) {
	a, err := c.call(ctx, "fetch", order{ID: handle})
	if err != nil {
		return ca.Reply{}, err
	}
	if !a.Known {
		return ca.Reply{}, ra.Errorf(ra.NotFound, "The scripted server knows no such request.").WithRemedy("Ask for a new certificate.")
	}
	return c.outcome(r.ID, a)
}

// Find tells what became of a request.
func (c *remote) Find(ctx context.Context, r ca.Request) (ca.Reply, bool, error) {
	a, err := c.call(ctx, "find", order{ID: r.ID})
	if err != nil || !a.Known {
		return ca.Reply{}, false, err
	}
	reply, err := c.outcome(r.ID, a)
	return reply, err == nil, err
}

// Revoke revokes, holds, or lifts a hold.
func (c *remote) Revoke(ctx context.Context, r ca.Revocation) error {
	a, err := c.call(ctx, "revoke", order{ID: r.Handle, Serial: serial(r.Certificate), Reason: r.Reason})
	if err == nil && !a.Known {
		err = ra.Errorf(ra.NotFound, "The scripted server did not issue the certificate.").WithRemedy("Revoke it where it came from.").WithRetry(ra.Never)
	}
	return err
}

// Reasons are all.
func (c *remote) Reasons() []ra.RevocationReason { return ra.Reasons }

// Chain gives the CA certificate.
func (c *remote) Chain(ctx context.Context) ([]*x509.Certificate, error) {
	a, err := c.call(ctx, "chain", order{})
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(a.Issuer)
	if err != nil {
		return nil, ra.AsError(err)
	}
	return []*x509.Certificate{cert}, nil
}
