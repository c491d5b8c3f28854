package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ocsp"

	"chancery/bench/load"
	"chancery/bench/machine"
	"chancery/bench/peer"
	"chancery/bench/report"
	"chancery/internal/app"
	"chancery/internal/authority"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/wire/pkixmsg"
)

// responder is our server with many revoked certificates of one issuer.
type responder struct {
	*ours
	server        *peer.Server
	issuer        *x509.Certificate
	template      *ra.Template
	device        ra.DeviceID
	good, revoked []*big.Int         // serials
	valid         []ra.CertificateID // of the good ones
	dialPlain     func() (net.Conn, error)
	dialTLS       func() (net.Conn, error)
	plainHost     string
}

// ocsp measures OCSP answers, revoking, and new CRLs with 100,000 certificates
// revoked.
func (b *bench) ocsp() (err error) {
	r := &responder{ours: b.ours(b.place("chancery"))}
	revoked := b.pick(100_000, 5_000)
	b.say("storing %d revoked certificates", revoked)
	if err := r.setUp(b.ctx, revoked, 10_000); err != nil {
		return err
	}
	if err := b.ocspLoad(r); err != nil {
		return err
	}
	cores, err := apart()
	if err != nil {
		return err
	}
	defer machine.Stay(bothCores)
	if err := r.run(cores); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop(r.server)) }()
	if err := b.revoking(r, revoked); err != nil {
		return err
	}
	return b.publishing(r, revoked)
}

// setUp stores certificates of an issuer of ours as rows. Their bytes are not
// certificates: nothing that is measured here reads them.
func (r *responder) setUp(ctx context.Context, revoked, good int) error {
	return r.open(ctx, func(ctx context.Context, a *app.App) error {
		ca, template, err := r.ours.issuer(ctx, a, peer.P256)
		if err != nil {
			return err
		}
		r.template = template
		ids, err := r.devices(ctx, a, []string{"ocsp-000000"})
		if err != nil {
			return err
		}
		r.device = ids[0]
		var issuer store.Issuer
		if err := a.DB.Read(ctx, func(tx *store.Tx) error {
			all, err := tx.Issuers(ca.ID)
			if err == nil && len(all) == 0 {
				err = errors.New("the authority has no issuer")
			}
			if err == nil {
				issuer = all[0]
			}
			return err
		}); err != nil {
			return err
		}
		if r.issuer, err = x509.ParseCertificate(issuer.DER); err != nil {
			return err
		}
		const batch = 5000
		for from := 0; from < revoked+good; from += batch {
			err := a.DB.Write(ctx, func(tx *store.Tx) error {
				for i := from; i < min(from+batch, revoked+good); i++ {
					if err := r.put(tx, ca.ID, issuer.SPKIHash, i < revoked); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// put stores one certificate row.
func (r *responder) put(tx *store.Tx, ca ra.AuthorityID, issuerHash string, revoked bool) error {
	var random [16 + 64]byte
	rand.Read(random[:])
	random[0] = random[0]&0x7f | 0x40
	serial := new(big.Int).SetBytes(random[:16])
	c := &ra.Certificate{ID: ra.NewID[ra.CertificateID](ra.CertificatePrefix, tx.Now), GroupID: r.group, AuthorityID: ca, TemplateID: r.template.ID, DeviceID: r.device,
		IssuerHash: issuerHash, Serial: serial.Text(16), Subject: "CN=ocsp-000000", KeyType: "p-256", KeyPlace: ra.KeyOnDevice, DER: bytes.Repeat(random[:], 8),
		Fingerprint: hex.EncodeToString(random[16:48]), SPKIHash: hex.EncodeToString(random[48:]), NotBefore: tx.Now.Add(-24 * time.Hour), NotAfter: tx.Now.AddDate(1, 0, 0),
		State: ra.Valid, Obligation: ra.Obligation{Action: ra.ActionExpire, At: tx.Now.AddDate(1, 0, 0)}}
	if revoked {
		c.State, c.RevokedAt, c.Reason, c.Obligation = ra.Revoked, tx.Now.Add(-time.Hour), ra.KeyCompromise, ra.Obligation{}
		r.revoked = append(r.revoked, serial)
	} else {
		r.good, r.valid = append(r.good, serial), append(r.valid, c.ID)
	}
	return tx.CreateCertificate(c)
}

// run starts the server and readies the ways to it.
func (r *responder) run(cores machine.Cores) error {
	s, err := r.startIn(r.dir, cores)
	if err != nil {
		return err
	}
	config, err := r.tls()
	if err != nil {
		return err
	}
	u, err := url.Parse(s.SCEP)
	if err != nil {
		return err
	}
	r.server, r.plainHost = s, u.Host
	r.dialPlain = func() (net.Conn, error) { return net.Dial("tcp", u.Host) }
	r.dialTLS = func() (net.Conn, error) { return tls.Dial("tcp", s.API, config) }
	return nil
}

// ocspWay is one way of asking.
type ocspWay struct {
	name    string
	get     bool
	revoked bool
}

var ocspWays = []ocspWay{{"POST, good", false, false}, {"POST, revoked", false, true}, {"GET, good", true, false}, {"GET, revoked", true, true}}

// ocspLoad measures answers on one core and on both: each certificate asked
// about for the first time since the start, and again.
func (b *bench) ocspLoad(r *responder) error {
	t := b.report.Section("OCSP answers", "asked", "cores", "clients", "first time per second", "CPU ms each", "again per second", "p50 ms", "p99 ms", "CPU ms each")
	slowest, busiest := map[string]float64{}, 0.0
	n := min(len(r.good), len(r.revoked)) / 2 // so that GET and POST ask about different ones
	for _, side := range []func() (machine.Cores, error){apart, together} {
		cores, err := side()
		if err != nil {
			return err
		}
		if err := r.run(cores); err != nil {
			return err
		}
		for _, w := range ocspWays {
			b.say("OCSP by %s on %d core(s)", w.name, len(cores))
			first, again, err := b.ask(r, w, n)
			if err != nil {
				return errors.Join(fmt.Errorf("%s: %w", w.name, err), stop(r.server))
			}
			t.Row(w.name, fmt.Sprint(len(cores)), "32", number(first.rate), number(first.cpu), number(again.rate), number(again.p50), number(again.p99), number(again.cpu))
			busiest = max(busiest, again.client)
			if was, ok := slowest[cores.String()]; !ok || again.rate < was {
				slowest[cores.String()] = again.rate
			}
		}
		if err := stop(r.server); err != nil {
			return err
		}
	}
	machine.Stay(bothCores)
	t.Note("%d certificates revoked, %d good, one P-256 issuer; %d different ones asked about in each line. A sample of the answers was verified against the issuer.", len(r.revoked), len(r.good), n)
	t.Note("The goal takes the slowest of the four lines, asked again: a responder is asked about the same certificates for as long as an answer lasts. The clients took at most %s of a core.", percent(busiest))
	b.report.Goal("OCSP, 1 core: answers a second", slowest[serverCore.String()], report.AtLeast, 10_000, "")
	b.report.Goal("OCSP, both cores: answers a second", slowest[bothCores.String()], report.AtLeast, 10_000, "")
	return nil
}

// ask asks about n certificates in one way, and then again.
func (b *bench) ask(r *responder, w ocspWay, n int) (first, again figures, err error) {
	serials, want := r.good, ocsp.Good
	if w.revoked {
		serials, want = r.revoked, ocsp.Revoked
	}
	if w.get {
		serials = serials[n:]
	}
	requests := make([][]byte, n)
	for i := range requests {
		der, err := ocsp.CreateRequest(&x509.Certificate{SerialNumber: serials[i]}, r.issuer, nil)
		if err != nil {
			return first, again, err
		}
		if w.get {
			requests[i] = load.Request(http.MethodGet, r.plainHost, "/ocsp/"+url.PathEscape(base64.StdEncoding.EncodeToString(der)), nil)
		} else {
			requests[i] = load.Request(http.MethodPost, r.plainHost, "/ocsp", der, "Content-Type", "application/ocsp-request")
		}
	}
	for _, f := range []*figures{&first, &again} {
		var mu sync.Mutex
		kept := map[int][]byte{}
		*f, err = drive(r.server, load.Plan{Clients: 32, Calls: n, Dial: r.dialPlain, Call: func(c *load.Conn, i int) error {
			body, err := expect(c, requests[i], http.StatusOK)
			if err == nil && i%100 == 0 {
				mu.Lock()
				defer mu.Unlock()
				kept[i] = bytes.Clone(body)
			}
			return err
		}})
		if err != nil {
			return first, again, err
		}
		for i, body := range kept {
			answer, err := ocsp.ParseResponseForCert(body, &x509.Certificate{SerialNumber: serials[i]}, r.issuer)
			if err != nil {
				return first, again, err
			}
			if answer.Status != want {
				return first, again, fmt.Errorf("the answer for %x is %d, want %d", serials[i], answer.Status, want)
			}
		}
	}
	return first, again, nil
}

// revoking measures how long a revocation takes to be acknowledged.
func (b *bench) revoking(r *responder, revoked int) error {
	t := b.report.Section("Revoking", "clients", "per second", "p50 ms", "p99 ms", "CPU ms each")
	body, err := json.Marshal(map[string]string{"reason": "keyCompromise"})
	if err != nil {
		return err
	}
	next, worst := 0, 0.0
	for _, l := range []level{{1, b.pick(500, 50)}, {8, b.pick(1000, 100)}} {
		requests := make([][]byte, l.calls)
		for i := range requests {
			requests[i] = r.request(http.MethodPost, r.server.API, "/certificates/"+string(r.valid[next])+"/revoke", body)
			next++
		}
		b.say("revoking %d certificates with %d client(s)", l.calls, l.clients)
		f, err := drive(r.server, load.Plan{Clients: l.clients, Calls: l.calls, Dial: r.dialTLS, Call: func(c *load.Conn, i int) error {
			_, err := expect(c, requests[i], http.StatusOK)
			return err
		}})
		if err != nil {
			return err
		}
		t.Row(fmt.Sprint(l.clients), number(f.rate), number(f.p50), number(f.p99), number(f.cpu))
		if l.clients == 1 {
			worst = f.p99
		}
	}
	t.Note("Over the API (HTTPS, token), one core, %d certificates revoked before; synchronously on disk with its audit entry when acknowledged.", revoked)
	b.report.Goal(fmt.Sprintf("Revoking one certificate with %d revoked, 1 client: p99", revoked), worst, report.Below, 10, " ms")
	return nil
}

// publishing measures how long after its revocation a certificate is on the
// list it names, and on the complete one.
func (b *bench) publishing(r *responder, revoked int) error {
	t := b.report.Section("CRL after a revocation", "list", "revocations on it", "size KiB", "p50 ms", "worst ms")
	type list struct{ took, entries, size []float64 }
	named, complete := &list{}, &list{}
	conn := load.NewConn(r.dialPlain)
	defer conn.Close()
	api := load.NewConn(r.dialTLS)
	defer api.Close()
	for range b.pick(20, 4) {
		id, cert, err := r.issueOne(api)
		if err != nil {
			return err
		}
		if len(cert.CRLDistributionPoints) == 0 {
			return errors.New("the certificate names no CRL")
		}
		point, err := url.Parse(cert.CRLDistributionPoints[0])
		if err != nil {
			return err
		}
		body := []byte(`{"reason":"keyCompromise"}`)
		if _, err := expect(api, r.request(http.MethodPost, r.server.API, "/certificates/"+id+"/revoke", body), http.StatusOK); err != nil {
			return err
		}
		began := time.Now()
		for _, l := range []struct {
			path string
			to   *list
		}{{point.EscapedPath(), named}, {fmt.Sprintf("/pki/%s.crl", authority.Hash(r.issuer.RawSubjectPublicKeyInfo)[:16]), complete}} {
			took, crl, err := fetchCRL(conn, r.plainHost, l.path, cert.SerialNumber, began)
			if err != nil {
				return fmt.Errorf("%s: %w", l.path, err)
			}
			l.to.took = append(l.to.took, float64(took)/float64(time.Millisecond))
			l.to.entries = append(l.to.entries, float64(len(crl.RevokedCertificateEntries)))
			l.to.size = append(l.to.size, float64(len(crl.Raw))/1024)
		}
	}
	for _, l := range []struct {
		name string
		*list
	}{{"the one certificates name", named}, {"the complete one", complete}} {
		t.Row(l.name, number(report.Median(l.entries)), number(report.Median(l.size)), number(report.Median(l.took)), number(slices.Max(l.took)))
	}
	t.Note("From the acknowledgement of a revocation over the API until a list that holds it has been read, on one core; the complete list is asked for after the other.")
	b.report.Goal(fmt.Sprintf("CRL with %d revoked: worst time until a revocation is on the list the certificate names", revoked), slices.Max(named.took), report.Below, 1000, " ms")
	return nil
}

// fetchCRL asks for a list until it holds a serial.
func fetchCRL(c *load.Conn, host, path string, serial *big.Int, began time.Time) (time.Duration, *x509.RevocationList, error) {
	request := load.Request(http.MethodGet, host, path, nil)
	for time.Since(began) < time.Minute {
		body, err := expect(c, request, http.StatusOK)
		if err != nil {
			return 0, nil, err
		}
		took := time.Since(began)
		crl, err := x509.ParseRevocationList(bytes.Clone(body))
		if err != nil {
			return 0, nil, err
		}
		if slices.ContainsFunc(crl.RevokedCertificateEntries, func(e x509.RevocationListEntry) bool { return e.SerialNumber.Cmp(serial) == 0 }) {
			return took, crl, nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return 0, nil, errors.New("a minute after its revocation the certificate is not on it")
}

// issueOne has the server issue a real certificate, which says where its CRL is.
func (r *responder) issueOne(c *load.Conn) (id string, cert *x509.Certificate, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", nil, err
	}
	name, err := pkixmsg.ParseDN("CN=ocsp-000000")
	if err != nil {
		return "", nil, err
	}
	der, err := pkixmsg.BuildCSR(pkixmsg.CSRRequest{Name: name, Signer: key})
	if err != nil {
		return "", nil, err
	}
	body, err := json.Marshal(map[string]any{"template_id": r.template.ID, "device_id": r.device, "wait": true,
		"csr": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))})
	if err != nil {
		return "", nil, err
	}
	answer, err := expect(c, r.request(http.MethodPost, r.server.API, "/requests", body), http.StatusCreated)
	if err != nil {
		return "", nil, err
	}
	if id, err = certificateOf(answer); err != nil {
		return "", nil, err
	}
	if answer, err = expect(c, r.request(http.MethodGet, r.server.API, "/certificates/"+id+"/download?format=der", nil), http.StatusOK); err != nil {
		return "", nil, err
	}
	cert, err = x509.ParseCertificate(bytes.Clone(answer))
	return id, cert, err
}

// certificateOf finds the ID of the certificate in the answer to a request,
// without reading all of it.
func certificateOf(answer []byte) (string, error) {
	_, rest, ok := bytes.Cut(answer, []byte(`"certificate_id":"`))
	id, _, closed := bytes.Cut(rest, []byte(`"`))
	if !ok || !closed {
		return "", fmt.Errorf("the answer names no certificate: %.300s", answer)
	}
	return string(id), nil
}
