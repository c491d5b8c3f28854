package adcs

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net"
	"net/http"
	"net/url"
)

// crlShelf is what is published.
type crlShelf struct {
	number      int64
	base, delta *x509.RevocationList
}

var oidDeltaIndicator = asn1.ObjectIdentifier{2, 5, 29, 27}

// publish makes CRLs of the present key with the next number; ca.mu is held. A
// certificate whose revocation lies ahead, or that a former key signed, is not in
// them.
func (ca *CA) publish(base, delta bool) error {
	now := ca.now()
	ca.crls.number++
	number := big.NewInt(ca.crls.number)
	t := x509.RevocationList{Number: number, ThisUpdate: now, NextUpdate: now.Add(ca.cfg.CRLPeriod)}
	for _, r := range ca.rows {
		if r.revoked(now) && r.Certificate.NotAfter.After(now) && r.key >= uint32(len(ca.keys.former)) {
			t.RevokedCertificateEntries = append(t.RevokedCertificateEntries, x509.RevocationListEntry{
				SerialNumber: r.Certificate.SerialNumber, RevocationTime: r.effect, ReasonCode: int(r.Reason)})
		}
	}
	make := func(t x509.RevocationList) (*x509.RevocationList, error) {
		der, err := x509.CreateRevocationList(rand.Reader, &t, ca.keys.ca.cert, ca.keys.ca.key)
		if err != nil {
			return nil, err
		}
		return x509.ParseRevocationList(der)
	}
	if base {
		made, err := make(t)
		if err != nil {
			return err
		}
		ca.crls.base = made
	}
	if delta {
		since, err := asn1.Marshal(ca.crls.base.Number)
		if err != nil {
			return err
		}
		t.ExtraExtensions = []pkix.Extension{{Id: oidDeltaIndicator, Critical: true, Value: since}}
		if ca.crls.delta, err = make(t); err != nil {
			return err
		}
	}
	return nil
}

// webServer publishes CRLs and the CA's certificate.
type webServer struct {
	base   string
	listen net.Listener
	server http.Server
}

func newWebServer(ca *CA) (*webServer, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(ca.cfg.Host, "0"))
	if err != nil {
		return nil, err
	}
	w := &webServer{base: "http://" + l.Addr().String(), listen: l}
	w.server.Handler = http.HandlerFunc(ca.serveWeb)
	go w.server.Serve(l)
	return w, nil
}

func (w *webServer) Close() error { return w.server.Close() }

func (ca *CA) serveWeb(w http.ResponseWriter, r *http.Request) {
	ca.mu.Lock()
	files := map[string][]byte{}
	if ca.crls.delta != nil {
		files = map[string][]byte{ca.keys.cdp: ca.crls.base.Raw, ca.keys.delta: ca.crls.delta.Raw, ca.keys.ai: ca.keys.ca.cert.Raw}
	}
	ca.mu.Unlock()
	for address, content := range files {
		if u, err := url.Parse(address); err == nil && u.Path == r.URL.Path {
			w.Header().Set("Content-Type", "application/pkix-crl")
			if address == ca.keys.ai {
				w.Header().Set("Content-Type", "application/x-x509-ca-cert")
			}
			w.Write(content) // who has gone away does not read it
			return
		}
	}
	http.NotFound(w, r)
}
