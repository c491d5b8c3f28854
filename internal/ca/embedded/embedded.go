// Package embedded is the certificate authority inside the server: a root and
// an issuing CA that work out of the box, an issuing CA below a company's root,
// or a CA an administrator brings along.
//
// One certificate is made in a fixed order, so that a crash at any point leaves
// either nothing or a record:
//
//  1. The TBSCertificate is built, its serial number 128 random bits (tbs.go).
//  2. It is checked against the request and the rules of RFC 5280 with a
//     throw-away key; a certificate that breaks one is never signed (package lint).
//  3. The intent, the TBS with its hash, is put into the journal under the
//     request's ID, durably (intent.go). If one is there already, that one counts.
//     A caller may write it together with the request instead (Plan and Make).
//  4. What the journal holds is signed, and the signature is verified. A key in
//     memory gives the same signature for the same bytes. One in a store does
//     not: its signature goes into the journal too before anybody sees it, and
//     the first one there counts (signature.go).
//
// So a request that is asked twice, at the same time or after a crash, gets the
// same certificate, byte for byte. Nothing else is kept: revocations are the
// rows of the store, from which others gather the CRLs this package signs
// (revoke.go). The settings hold the keys, sealed, or say where they are
// (keys.go).
//
// Earlier issuing keys stay in the settings after a renewal, because the
// certificates they signed still need CRLs.
package embedded

import (
	"context"
	"crypto/x509"
	"errors"
	"slices"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ca/lint"
	"chancery/internal/keystore"
	"chancery/internal/ra"
	"chancery/internal/wire/pkixmsg"
)

// Kind is the embedded authority, for package all. Every Settings it makes
// shares one linter, so that a shape is learned once, and the connections to
// key stores.
func Kind() ca.Kind {
	linter, keys := &lint.Linter{}, &keystore.Stores{}
	types := make([]string, len(pkixmsg.KeyTypes))
	for i, t := range pkixmsg.KeyTypes {
		types[i] = string(t)
	}
	return ca.Kind{
		ID:    "embedded",
		Title: "Embedded CA",
		Help:  "Issues certificates itself, at once and without any other system; choose it when there is no CA yet, or to run an issuing CA below a company root.",
		New:   func() ca.Settings { return &Settings{linter: linter, keys: keys} },
		Traits: ca.Traits{
			KeyPlaces:  []ra.KeyPlace{ra.KeyOnDevice, ra.KeyHere},
			KeyTypes:   types,
			Revoke:     true,
			Hold:       true,
			Sure:       true,
			House:      true,
			Ports:      "none",
			Limits:     "Whoever holds the server and its master key holds the CA key; a company root as superior limits the damage.",
			Extensions: true,
			SID:        true,
		},
	}
}

// Connector issues with one authority's keys. It is safe for concurrent use.
type Connector struct {
	env         ca.Env
	linter      *lint.Linter
	baseURL     string // of CRL, issuer certificate and OCSP; empty: left out
	leafSpan    time.Duration
	backdate    time.Duration
	crlValidity time.Duration
	crlOverlap  time.Duration
	shards      int       // lists the revocations are divided into
	root        *issuer   // made here; nil where there is none, or its key is elsewhere
	current     *issuer   // nil while a subordinate waits for its certificate
	retired     []*issuer // earlier ones, for their CRLs and unfinished intents
}

// Issue makes the certificate, or gives again the one the journal holds for the
// request. Errors are RefusedByCA when the certificate may not be made, Conflict
// when the ID was used for another key or purpose, and Unreachable when the
// journal does not answer.
func (c *Connector) Issue(ctx context.Context, r ca.Request) (ca.Reply, error) {
	if err := ctx.Err(); err != nil {
		return ca.Reply{}, ra.Errorf(ra.Unreachable, "The request was cancelled before anything was issued.").
			WithRemedy("Send it again.").WithCause(err)
	}
	if r.PublicKey == nil {
		return ca.Reply{}, keyNeeded()
	}
	planned, err := c.plan(r)
	if err != nil {
		// What was decided earlier stands, whatever has changed since.
		if earlier, e := c.recall(ctx, r.ID); e == nil {
			return c.finish(ctx, earlier, r)
		}
		return ca.Reply{}, err
	}
	stored, err := c.commit(ctx, r.ID, planned)
	if err != nil {
		return ca.Reply{}, err
	}
	return c.finish(ctx, stored, r)
}

// Plan decides on the certificate for r, for a caller who keeps the intent
// together with the request. Errors are those of Issue.
func (c *Connector) Plan(_ context.Context, r ca.Request) (ca.Plan, error) {
	if r.PublicKey == nil {
		return nil, keyNeeded()
	}
	n, err := c.plan(r)
	return planned{r.ID, n}, err
}

// Make signs what Plan decided on, once the journal holds it.
func (c *Connector) Make(ctx context.Context, r ca.Request, p ca.Plan) (ca.Reply, error) {
	own, ok := p.(planned)
	if !ok {
		return ca.Reply{}, ra.Errorf(ra.Internal, "The plan is not one of this authority.").WithRemedy("Ask for the certificate again.")
	}
	return c.finish(ctx, own.intent, r)
}

// Find gives the certificate of a request whose intent is in the journal,
// signing it now if that had not happened. Not found is certain.
func (c *Connector) Find(ctx context.Context, r ca.Request) (ca.Reply, bool, error) {
	earlier, err := c.recall(ctx, r.ID)
	if errors.Is(err, &ra.Error{Kind: ra.NotFound}) {
		return ca.Reply{}, false, nil
	}
	if err != nil {
		return ca.Reply{}, false, err
	}
	reply, err := c.finish(ctx, earlier, r)
	return reply, err == nil, err
}

// plan builds and checks the certificate for r without keeping anything.
func (c *Connector) plan(r ca.Request) (intent, error) {
	i, err := c.issuing()
	if err != nil {
		return intent{}, err
	}
	w, err := c.window(i, r)
	if err != nil {
		return intent{}, err
	}
	spki, err := x509.MarshalPKIXPublicKey(r.PublicKey)
	if err != nil {
		return intent{}, ra.Errorf(ra.RefusedByCA, "The public key is of a type that certificates cannot hold.").
			WithRemedy("Make a new key, RSA or P-256.").WithCause(err).WithRetry(ra.Never)
	}
	serial, err := newSerial()
	if err != nil {
		return intent{}, ra.AsError(err)
	}
	extensions, err := c.extensions(i, r, spki, serial)
	if err != nil {
		return intent{}, refused(err)
	}
	tbs, err := buildTBS(certificate{
		algorithm: i.algorithm, issuer: i.cert.RawSubject, serial: serial,
		notBefore: w.from, notAfter: w.to, subject: r.Subject, spki: spki, extensions: extensions,
	})
	if err != nil {
		return intent{}, refused(err)
	}
	warnings, err := c.linter.Check(tbs, lint.Intent{Issuer: i.cert, Validity: w.asked, SID: r.SID})
	for _, f := range warnings {
		c.env.Log.Warn("certificates of this template break a rule of good practice", "template", r.Template, "rule", f.Rule, "detail", f.Message)
	}
	if err != nil {
		return intent{}, err
	}
	return newIntent(r, i, serial, tbs), nil
}

func keyNeeded() error {
	return ra.Errorf(ra.Invalid, "The embedded CA does not make keys.").WithField("key_place").
		WithRemedy("Choose a template whose key is made on the device or here.").WithRetry(ra.Never)
}

// issuing gives the CA that signs now.
func (c *Connector) issuing() (*issuer, error) {
	if c.current == nil {
		return nil, ra.Errorf(ra.RefusedByCA, "The authority %s waits for its certificate.", c.env.Name).
			WithRemedy("Send its certificate request to the superior CA and install the answer.").WithRetry(5 * time.Minute)
	}
	return c.current, nil
}

// window is when a certificate is valid; asked is the whole span.
type window struct {
	from, to time.Time
	asked    time.Duration
}

// window lets the certificate begin a little in the past, for devices whose
// clock is late, and end with the issuing certificate at the latest. Both ends
// belong to the validity (RFC 5280 §4.1.2.5).
func (c *Connector) window(i *issuer, r ca.Request) (window, error) {
	now := c.env.Now().UTC().Truncate(time.Second)
	renew := "Renew the issuing certificate."
	switch {
	case now.After(i.cert.NotAfter):
		return window{}, ra.Errorf(ra.RefusedByCA, "The issuing certificate of %s expired on %s.", c.env.Name, i.cert.NotAfter.Format(time.DateOnly)).
			WithRemedy("%s", renew).WithRetry(time.Hour)
	case now.Before(i.cert.NotBefore):
		return window{}, ra.Errorf(ra.RefusedByCA, "The issuing certificate of %s becomes valid on %s.", c.env.Name, i.cert.NotBefore.Format(time.DateTime)).
			WithRemedy("Check the clock of the server.").WithRetry(5 * time.Minute)
	}
	w := window{from: now.Add(-c.backdate), asked: r.Validity.Truncate(time.Second)}
	if w.asked == 0 {
		w.asked = c.leafSpan
	}
	if w.from.Before(i.cert.NotBefore) {
		w.from = i.cert.NotBefore
	}
	w.to = w.from.Add(w.asked - time.Second)
	if w.to.Before(now) {
		return window{}, ra.Errorf(ra.RefusedByCA, "The certificate would be expired before it is issued.").WithField("validity_days").
			WithRemedy("Choose a longer validity, or a smaller backdating.").WithRetry(ra.Never)
	}
	if w.to.After(i.cert.NotAfter) {
		w.to = i.cert.NotAfter
		c.env.Log.Warn("a certificate is valid for less than was asked because the issuing certificate ends", "request", r.ID,
			"not_after", w.to, "asked_days", int(w.asked.Hours()/24), "remedy", renew)
	}
	return w, nil
}

// finish signs what the journal holds for r and gives the certificate.
func (c *Connector) finish(ctx context.Context, n intent, r ca.Request) (ca.Reply, error) {
	if err := n.check(r); err != nil {
		return ca.Reply{}, err
	}
	at := slices.IndexFunc(c.issuers(), func(i *issuer) bool { return i.hash == n.Issuer })
	if at < 0 {
		return ca.Reply{}, ra.Errorf(ra.RefusedByCA, "The certificate was decided with an issuing key that is no longer here.").
			WithRemedy("Ask for a new certificate.").WithRetry(ra.Never)
	}
	i := c.issuers()[at]
	cert, err := c.signed(ctx, i, n.TBS, r.ID)
	if err != nil {
		return ca.Reply{}, err
	}
	return ca.Reply{Chain: append([]*x509.Certificate{cert}, i.chain...), Handle: n.Serial, Issuer: i.cert}, nil
}

// issuers lists every CA whose key is here, the one that signs now first.
func (c *Connector) issuers() []*issuer {
	if c.current == nil {
		return c.retired
	}
	return append([]*issuer{c.current}, c.retired...)
}

// Chain gives the issuing certificate and those above it, the root last.
// NotFound while the authority waits for its certificate.
func (c *Connector) Chain(context.Context) ([]*x509.Certificate, error) {
	if c.current == nil {
		return nil, ra.Errorf(ra.NotFound, "The authority %s has no certificate yet.", c.env.Name).
			WithRemedy("Send its certificate request to the superior CA and install the answer.")
	}
	return slices.Clone(c.current.chain), nil
}

// refused makes an error of pkixmsg, whose sentences are for people, the
// authority's refusal.
func refused(err error) error {
	var e *pkixmsg.Error
	if errors.As(err, &e) {
		return ra.Errorf(ra.RefusedByCA, "The certificate cannot be made. %s", e.Message).WithRemedy("%s", e.Remedy).WithRetry(ra.Never)
	}
	return ra.AsError(err)
}
