package enroll_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"sync"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ca/scripted"
	"chancery/internal/ra"
	"chancery/internal/setting"
)

// oddCA answers as answer says; it counts and holds up its callers on demand.
type oddCA struct {
	answer func(ctx context.Context, r ca.Request) (ca.Reply, error)
	chain  func() ([]*x509.Certificate, error) // nil: it cannot tell

	mu      sync.Mutex
	key     *ecdsa.PrivateKey
	cert    *x509.Certificate
	inside  int
	most    int // that were inside at once
	asked   int
	options []*oddOptions
}

type oddOptions struct{ Profile string }

func (o *oddOptions) Describe(f *setting.Form) {
	f.Text(&o.Profile, "profile", "Profile").Default("standard")
}

type oddSettings struct{ ca *oddCA }

func (s *oddSettings) Describe(*setting.Form) {}

func (s *oddSettings) Connect(context.Context, ca.Env) (ca.Connector, error) {
	if s.ca.chain != nil {
		return oddChainer{s.ca}, nil
	}
	return s.ca, nil
}

func (o *oddCA) kind() ca.Kind {
	return ca.Kind{ID: "odd", Title: "Odd CA", New: func() ca.Settings { return &oddSettings{o} }, NewOptions: func() setting.Describer { return &oddOptions{} },
		Traits: ca.Traits{KeyPlaces: []ra.KeyPlace{ra.KeyOnDevice, ra.KeyHere, ra.KeyAtCA}}}
}

func newOddCA(now time.Time) *oddCA {
	o := &oddCA{}
	var err error
	if o.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		panic(err)
	}
	o.cert = o.sign(&x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Odd CA"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(5, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, o.key.Public())
	o.answer = func(_ context.Context, r ca.Request) (ca.Reply, error) {
		return ca.Reply{Chain: []*x509.Certificate{o.leaf(now, r.PublicKey), o.cert}}, nil
	}
	return o
}

func (o *oddCA) sign(t, parent *x509.Certificate, public any) *x509.Certificate {
	if parent == nil {
		parent = t
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, public, o.key)
	if err != nil {
		panic(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return c
}

func (o *oddCA) leaf(now time.Time, public any) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		panic(err)
	}
	return o.sign(&x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "odd leaf"}, NotBefore: now, NotAfter: now.AddDate(1, 0, 0)}, o.cert, public)
}

func (o *oddCA) Issue(ctx context.Context, r ca.Request) (ca.Reply, error) {
	o.mu.Lock()
	o.asked++
	o.inside++
	o.most = max(o.most, o.inside)
	if options, ok := r.Options.(*oddOptions); ok {
		o.options = append(o.options, options)
	}
	o.mu.Unlock()
	defer func() {
		o.mu.Lock()
		o.inside--
		o.mu.Unlock()
	}()
	return o.answer(ctx, r)
}

type oddChainer struct{ *oddCA }

func (o oddChainer) Chain(context.Context) ([]*x509.Certificate, error) { return o.chain() }

var pendOnce = scripted.Pend(1)
