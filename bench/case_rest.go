package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"

	"chancery/bench/load"
	"chancery/bench/machine"
	"chancery/bench/peer"
	"chancery/bench/report"
	"chancery/internal/app"
	"chancery/internal/ra"
	"chancery/internal/wire/pkixmsg"
)

// applicant is one who brings a request of its own and wants a certificate.
type applicant struct {
	name string
	csr  string // PEM
	spki []byte
}

// signer is a server that answers requests over REST.
type signer struct {
	name  string
	tls   func() (*tls.Config, error)
	start func(dir string, cores machine.Cores) (*peer.Server, error)
	// ready gives what signs the certificate of applicant i, on a connection.
	ready func(s *peer.Server) (sign func(c *load.Conn, i int) (answer []byte, err error), err error)
	// leaf takes the certificate out of what sign gave.
	leaf func(answer []byte) ([]byte, error)
}

// rest measures certificates from a CSR over HTTPS: P-256 everywhere.
func (b *bench) rest() error {
	if err := b.peers(); err != nil {
		return err
	}
	levels := []level{{1, b.pick(400, 50)}, {8, b.pick(1500, 150)}, {32, b.pick(4000, 400)}}
	n := warmUp
	for _, l := range levels {
		n += l.calls
	}
	applicants, err := makeApplicants(n)
	if err != nil {
		return err
	}
	mine := b.ours(b.place("chancery"))
	chancery, err := mine.signer(b.ctx, applicants)
	if err != nil {
		return err
	}
	step := &peer.StepCA{Program: b.stepca, Dir: b.place("step-ca"), Key: peer.P256}
	if err := step.SetUp(); err != nil {
		return err
	}
	signers := []*signer{chancery, stepSigner(step, applicants)}
	all := series{}
	for round := range b.pick(3, 1) {
		for _, s := range signers {
			for _, cores := range []func() (machine.Cores, error){apart, together} {
				b.say("round %d: %s", round+1, s.name)
				if err := b.sign(s, cores, all, levels, applicants); err != nil {
					return fmt.Errorf("%s: %w", s.name, err)
				}
			}
		}
	}
	t := b.report.Section("Certificate from a CSR over REST", "server", "cores", "clients", "per second", "p50 ms", "p99 ms", "CPU ms each")
	for _, s := range signers {
		for _, cores := range []machine.Cores{serverCore, bothCores} {
			for _, l := range levels {
				f := all.middle(signID(s, cores, l))
				t.Row(s.name, fmt.Sprint(len(cores)), fmt.Sprint(l.clients), number(f.rate), number(f.p50), number(f.p99), number(f.cpu))
			}
		}
	}
	t.Note("P-256 keys, CSRs and issuing CAs; HTTPS with open connections. step-ca: /1.0/sign with a one-time token made before the clock; it stores the token's use and the certificate, synchronously. " +
		"Chancery: POST /requests with wait and an API token; it stores request, intent, certificate and audit entries, synchronously.")
	t.Note("The clients never took more than %s of a core, TLS included.", percent(all.busiest()))
	last := levels[len(levels)-1]
	ratio := func(cores machine.Cores) float64 {
		return all.middle(signID(signers[0], cores, last)).rate / all.middle(signID(signers[1], cores, last)).rate
	}
	b.report.Goal("REST signing, 1 core, 32 clients: rate to step-ca's", ratio(serverCore), report.AtLeast, 1.5, "x")
	b.report.Goal("REST signing, both cores, 32 clients: rate to step-ca's", ratio(bothCores), report.AtLeast, 1.5, "x")
	return nil
}

func signID(s *signer, cores machine.Cores, l level) string {
	return fmt.Sprintf("%s %s %d", s.name, cores, l.clients)
}

func makeApplicants(n int) ([]*applicant, error) {
	list := make([]*applicant, n)
	for i := range list {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		a := &applicant{name: fmt.Sprintf("rest-%06d", i)}
		name, err := pkixmsg.ParseDN("CN=" + a.name)
		if err != nil {
			return nil, err
		}
		// step-ca wants the names of the token in the request.
		der, err := pkixmsg.BuildCSR(pkixmsg.CSRRequest{Name: name, SANs: []pkixmsg.GeneralName{{Type: pkixmsg.DNS, Value: a.name}}, Signer: key})
		if err != nil {
			return nil, err
		}
		a.csr = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
		if a.spki, err = x509.MarshalPKIXPublicKey(&key.PublicKey); err != nil {
			return nil, err
		}
		list[i] = a
	}
	return list, nil
}

// sign measures one server at every level, from the state it was set up in.
func (b *bench) sign(s *signer, cores func() (machine.Cores, error), all series, levels []level, applicants []*applicant) (err error) {
	defer machine.Stay(bothCores)
	serverCores := serverCore
	if serverCores, err = cores(); err != nil {
		return err
	}
	server, err := s.start(b.place("rest"), serverCores)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop(server)) }()
	config, err := s.tls()
	if err != nil {
		return err
	}
	sign, err := s.ready(server)
	if err != nil {
		return err
	}
	dial := func() (net.Conn, error) { return tls.Dial("tcp", server.API, config) }
	machine.Settle()
	first := 0
	for _, l := range append([]level{{8, warmUp}}, levels...) {
		var mu sync.Mutex
		kept := map[int][]byte{}
		from := first
		f, err := drive(server, load.Plan{Clients: l.clients, Calls: l.calls, Dial: dial, Call: func(c *load.Conn, i int) error {
			answer, err := sign(c, from+i)
			if err == nil && i%50 == 0 {
				mu.Lock()
				defer mu.Unlock()
				kept[from+i] = bytes.Clone(answer)
			}
			return err
		}})
		if err != nil {
			return err
		}
		if from > 0 {
			all.add(signID(s, serverCores, l), f)
		}
		first += l.calls
		for i, answer := range kept {
			if err := verifyLeaf(s.leaf, answer, applicants[i]); err != nil {
				return fmt.Errorf("certificate of %s: %w", applicants[i].name, err)
			}
		}
	}
	return nil
}

// verifyLeaf wants an answer to hold the certificate that was asked for.
func verifyLeaf(leaf func([]byte) ([]byte, error), answer []byte, a *applicant) error {
	text, err := leaf(answer)
	if err != nil {
		return err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return errors.New("there is none")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	if cert.Subject.CommonName != a.name || !bytes.Equal(cert.RawSubjectPublicKeyInfo, a.spki) {
		return fmt.Errorf("it is for %q or another key", cert.Subject.CommonName)
	}
	return nil
}

func stepSigner(step *peer.StepCA, applicants []*applicant) *signer {
	return &signer{name: "step-ca", tls: step.TLS, start: step.Start,
		ready: func(s *peer.Server) (func(*load.Conn, int) ([]byte, error), error) {
			requests := make([][]byte, len(applicants))
			for i, a := range applicants {
				token, err := step.Token(a.name)
				if err != nil {
					return nil, err
				}
				body, err := json.Marshal(map[string]string{"csr": a.csr, "ott": token})
				if err != nil {
					return nil, err
				}
				requests[i] = load.Request(http.MethodPost, s.API, "/1.0/sign", body, "Content-Type", "application/json")
			}
			return func(c *load.Conn, i int) ([]byte, error) { return expect(c, requests[i], http.StatusCreated) }, nil
		},
		leaf: func(answer []byte) ([]byte, error) {
			var a struct {
				Leaf string `json:"crt"`
			}
			err := json.Unmarshal(answer, &a)
			return []byte(a.Leaf), err
		}}
}

// signer sets our server up.
func (o *ours) signer(ctx context.Context, applicants []*applicant) (*signer, error) {
	names := make([]string, len(applicants))
	for i, a := range applicants {
		names[i] = a.name
	}
	var devices []ra.DeviceID
	var template *ra.Template
	if err := o.open(ctx, func(ctx context.Context, a *app.App) (err error) {
		if devices, err = o.devices(ctx, a, names); err != nil {
			return err
		}
		_, template, err = o.issuer(ctx, a, peer.P256, ra.SANSpec{Type: "dns", Value: "{DeviceUid}"})
		return err
	}); err != nil {
		return nil, err
	}
	ready := func(s *peer.Server) (func(*load.Conn, int) ([]byte, error), error) {
		requests := make([][]byte, len(applicants))
		for i, a := range applicants {
			body, err := json.Marshal(map[string]any{"template_id": template.ID, "device_id": devices[i], "csr": a.csr, "wait": true})
			if err != nil {
				return nil, err
			}
			requests[i] = o.request(http.MethodPost, s.API, "/requests", body)
		}
		return func(c *load.Conn, i int) ([]byte, error) {
			answer, err := expect(c, requests[i], http.StatusCreated)
			if err == nil && !bytes.Contains(answer, []byte(`"state":"issued"`)) {
				err = fmt.Errorf("not issued: %.300s", answer)
			}
			return answer, err
		}, nil
	}
	leaf := func(answer []byte) ([]byte, error) {
		var a struct{ Certificate string }
		err := json.Unmarshal(answer, &a)
		return []byte(a.Certificate), err
	}
	return &signer{name: "Chancery", tls: o.tls, start: o.start, ready: ready, leaf: leaf}, nil
}

// request writes a call of our API.
func (o *ours) request(method, host, path string, body []byte) []byte {
	header := []string{"Authorization", "Bearer " + o.token}
	if body != nil {
		header = append(header, "Content-Type", "application/json")
	}
	return load.Request(method, host, "/api/v1"+path, body, header...)
}

// expect sends a request whose answer has to have a status.
func expect(c *load.Conn, request []byte, status int) ([]byte, error) {
	got, body, err := c.Do(request)
	if err == nil && got != status {
		err = fmt.Errorf("HTTP %d: %.300s", got, body)
	}
	return body, err
}
