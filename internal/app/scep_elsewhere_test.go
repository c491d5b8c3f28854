package app

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"chancery/internal/authority"
	"chancery/internal/doubles/ndes"
	"chancery/internal/enroll"
	"chancery/internal/inventory"
	"chancery/internal/ra"
	"chancery/internal/testpeer"
)

// outside is a running server with a SCEP server of somebody else behind it.
type outside struct {
	*site
	authority *ra.Authority
	template  *ra.Template
	issuer    *x509.Certificate // of what that server issues
}

// backend is a real SCEP server, and the settings by which it is reached.
type backend struct {
	issuer   *x509.Certificate
	settings map[string]any
	endpoint string // settings of the addresses in front of it
}

const backendChallenge = "a-static-challenge-of-the-backend"

// stepCA answers with AES and wants no challenge: only this server reaches it. It
// refuses a request that has one all the same.
func stepCA(t *testing.T) backend {
	s := testpeer.StartStepCA(t, testpeer.StepCAOptions{IncludeRoot: true})
	return backend{s.Issuing, map[string]any{"url": s.URL, "floor": "compat"}, `"challenge_in_address": true`}
}

// scepServer is that of micromdm/scep, with a challenge that no device is told.
func scepServer(t *testing.T) backend {
	s := testpeer.StartSCEPServer(t, testpeer.SCEPServerOptions{Challenge: backendChallenge})
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.CA.Raw})
	return backend{s.CA, map[string]any{"url": s.URL, "floor": "legacy", "legacy_accepted": true, "challenge_type": "static", "challenge": backendChallenge,
		"vouched": true, "ca_certificates": string(root)}, `"challenge_in_address": false`}
}

// startNDES starts the stand-in of an NDES and gives the settings for it.
func startNDES(t *testing.T, cfg ndes.Config) (*ndes.Server, map[string]any) {
	t.Helper()
	cfg.Accounts = []ndes.Account{{User: "enroller", Password: "a-service-password"}}
	double, err := ndes.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := double.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := double.Close(); err != nil {
			t.Error(err)
		}
	})
	return double, map[string]any{"url": double.SCEPURL(), "challenge_url": double.AdminURL(), "user": `CORP\enroller`, "password": "a-service-password"}
}

// startOutside starts a server that may reach this machine, with an authority
// and a template for the SCEP server.
func startOutside(t *testing.T, kind string, b backend) *outside {
	t.Helper()
	cfg := config(t, "")
	cfg.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	cfg.EgressAllow = []string{"127.0.0.0/8"}
	s := &outside{site: startSite(t, cfg), issuer: b.issuer}
	name := "Outside"
	raw, err := json.Marshal(b.settings)
	if err == nil {
		s.authority, err = s.Authorities.Create(t.Context(), localActor(), kind, authority.Input{GroupID: &s.ca.GroupID, Name: &name, Settings: raw})
	}
	if err == nil {
		spec := ra.TemplateSpec{Subject: "CN={DeviceUid},O=Example", SANs: []ra.SANSpec{{Type: "dns", Value: "{DeviceUid}.example.org"}},
			KeyType: "rsa-2048", Usage: "both", EKUs: []string{"clientAuth"}, Validity: 90, ReuseKey: true}
		s.template, err = s.Enroll.CreateTemplate(t.Context(), localActor(), enroll.TemplateInput{GroupID: &s.ca.GroupID, AuthorityID: &s.authority.ID, Name: &name, Spec: &spec})
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newDevice adds a device by a platform ID.
func (s *outside) newDevice(id string) *ra.Device {
	s.t.Helper()
	platform := ra.Linux
	d, err := s.Inventory.CreateDevice(s.t.Context(), localActor(), inventory.DeviceInput{GroupID: &s.ca.GroupID, Platform: &platform, PlatformID: &id, Name: &id})
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

// endpoint opens a SCEP address in front of the server.
func (s *outside) endpoint(name string, settings string) *ra.Endpoint {
	s.t.Helper()
	e, err := s.Enroll.CreateEndpoint(s.t.Context(), localActor(), enroll.EndpointInput{TemplateID: &s.template.ID, Name: &name, Settings: []byte(settings)})
	if err != nil {
		s.t.Fatal(err)
	}
	return e
}

// request is what a client has to ask for, with a challenge for its device, and
// where.
func (s *outside) request(e *ra.Endpoint, id string) (url string, r testpeer.SCEPRequest) {
	s.t.Helper()
	_, text, err := s.Enroll.CreateChallenge(s.t.Context(), localActor(), enroll.ChallengeInput{Endpoint: e.ID, Device: s.newDevice(id).ID})
	if err != nil {
		s.t.Fatal(err)
	}
	path, err := s.Enroll.ChallengePath(s.t.Context(), e.ID, text)
	if err != nil {
		s.t.Fatal(err)
	}
	r = testpeer.SCEPRequest{CommonName: id, Organization: "Example", DNSNames: []string{id + ".example.org"}}
	if !strings.Contains(path.Reveal(), text.Reveal()) {
		r.Challenge = text.Reveal()
	}
	return s.url(path.Reveal()), r
}

// issued wants a certificate of the server behind.
func (s *outside) issued(c *x509.Certificate) {
	s.t.Helper()
	if c == nil {
		s.t.Fatal("there is no certificate")
	}
	if err := c.CheckSignatureFrom(s.issuer); err != nil {
		s.t.Errorf("issued by %s: %v", c.Issuer, err)
	}
}

// TestSCEPElsewhere: devices speak SCEP to this server, which asks a SCEP server
// behind it in their place. Clients that cannot talk to that server by themselves
// (strongSwan to either, certmonger to micromdm/scep) enrol and renew.
func TestSCEPElsewhere(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T) backend{"step-ca": stepCA, "micromdm": scepServer} {
		t.Run(name, func(t *testing.T) {
			b := start(t)
			s := startOutside(t, "scep", b)
			e := s.endpoint("outside", "{"+b.endpoint+"}")
			until := time.Now().AddDate(1, 0, 0).Format(time.DateOnly)
			old := s.endpoint("old", `{"floor": "legacy", "legacy_accepted": true, "legacy_until": "`+until+`", `+b.endpoint+`}`)
			renewed := func(first, second *x509.Certificate, sameKey bool) {
				t.Helper()
				s.issued(second)
				if first.Equal(second) || first.PublicKey.(*rsa.PublicKey).Equal(second.PublicKey) != sameKey {
					t.Errorf("renewed with the same certificate, or with the wrong key")
				}
			}
			t.Run("strongSwan", func(t *testing.T) {
				url, ask := s.request(e, "swan")
				peer := testpeer.NewStrongSwan(t, url)
				first, err := peer.Enrol(ask)
				if err != nil {
					t.Fatal(err)
				}
				s.issued(first.Certificate)
				second, err := peer.Renew(first, ask)
				if err != nil {
					t.Fatal(err)
				}
				renewed(first.Certificate, second.Certificate, false)
			})
			t.Run("certmonger", func(t *testing.T) {
				url, ask := s.request(e, "monger")
				peer := testpeer.StartCertmonger(t)
				if err := peer.AddSCEP("outside", url, nil); err != nil {
					t.Fatalf("%v\n%s", err, peer.Log())
				}
				first, err := peer.Enrol("outside", ask)
				if err != nil {
					t.Fatalf("%v\n%s", err, peer.Log())
				}
				s.issued(first.Certificate)
				second, err := peer.Rekey(first)
				if err != nil {
					t.Fatalf("%v\n%s", err, peer.Log())
				}
				renewed(first.Certificate, second.Certificate, false)
			})
			t.Run("scepclient", func(t *testing.T) {
				url, ask := s.request(old, "client")
				peer := testpeer.NewSCEPClient(t, url)
				peer.SelectEncipherment = true
				first, err := peer.Enrol(ask)
				if err != nil {
					t.Fatal(err)
				}
				s.issued(first.Certificate)
				second, err := peer.Renew(first)
				if err != nil {
					t.Fatal(err)
				}
				renewed(first.Certificate, second.Certificate, true)
			})
		})
	}
}

// TestNDESElsewhere: in front of an NDES the challenge a device is given is the
// server's own, so that the device can sign it into its request; the request is
// judged here all the same. Renewal is an enrolment with a new challenge.
func TestNDESElsewhere(t *testing.T) {
	double, settings := startNDES(t, ndes.Config{})
	s := startOutside(t, "ndes", backend{double.Issuer(), settings, ""})
	e := s.endpoint("outside", `{}`)
	url, ask := s.request(e, "swan")
	peer := testpeer.NewStrongSwan(t, url)
	if c := double.Counts(); c.Minted != 1 || len(ask.Challenge) != 16 {
		t.Fatalf("the challenge has %d characters, and the server made %d", len(ask.Challenge), c.Minted)
	}
	wrong := ask
	wrong.CommonName = "another"
	if refused, err := peer.Enrol(wrong); err == nil || refused.Certificate != nil || len(double.Issued()) > 0 {
		t.Errorf("a request for another name: %v", err)
	}
	_, second := s.request(e, "second")
	for _, ask := range []testpeer.SCEPRequest{ask, second} {
		got, err := peer.Enrol(ask)
		if err != nil {
			t.Fatal(err)
		}
		s.issued(got.Certificate)
	}
	if c := double.Counts(); c.Minted != 2 || c.Used != 2 || c.Outstanding != 0 || len(double.Issued()) != 2 {
		t.Errorf("%+v, %d issued", c, len(double.Issued()))
	}
	if status, _, caps := s.get("/scep/outside?operation=GetCACaps"); status != http.StatusOK || strings.Contains(string(caps), "Renewal") {
		t.Errorf("GetCACaps: %d %q", status, caps)
	}
}
