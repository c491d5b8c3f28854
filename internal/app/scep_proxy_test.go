package app

import (
	"crypto/x509"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/jcmturner/gokrb5/v8/keytab"

	"chancery/internal/doubles/ndes"
	"chancery/internal/pass"
	"chancery/internal/ra"
	"chancery/internal/testpeer"
)

// scepPeer is a real SCEP client.
type scepPeer interface {
	enrol(url string, ask testpeer.SCEPRequest) (testpeer.SCEPResult, error)
	// renew asks for the successor of a certificate in the client's own way.
	renew(url string, old testpeer.SCEPResult, ask testpeer.SCEPRequest) (testpeer.SCEPResult, error)
}

// micromdmPeer is scepclient of micromdm/scep.
type micromdmPeer struct{ t *testing.T }

func (p micromdmPeer) enrol(url string, ask testpeer.SCEPRequest) (testpeer.SCEPResult, error) {
	return p.at(url).Enrol(ask)
}

// renew keeps the key and the request, with the challenge in it.
func (p micromdmPeer) renew(url string, old testpeer.SCEPResult, _ testpeer.SCEPRequest) (testpeer.SCEPResult, error) {
	return p.at(url).Renew(old)
}

func (p micromdmPeer) at(url string) *testpeer.SCEPClient {
	c := testpeer.NewSCEPClient(p.t, url)
	c.SelectEncipherment = true
	return c
}

// strongSwanPeer is pki --scep.
type strongSwanPeer struct{ t *testing.T }

func (p strongSwanPeer) enrol(url string, ask testpeer.SCEPRequest) (testpeer.SCEPResult, error) {
	return testpeer.NewStrongSwan(p.t, url).Enrol(ask)
}

func (p strongSwanPeer) renew(url string, old testpeer.SCEPResult, ask testpeer.SCEPRequest) (testpeer.SCEPResult, error) {
	return testpeer.NewStrongSwan(p.t, url).Renew(old, ask)
}

// certmongerPeer is a certmonger daemon, which knows each address as a CA.
type certmongerPeer struct {
	*testpeer.Certmonger
	certs map[string]testpeer.CertmongerCert // by their file
	n     *int
}

func newCertmonger(t *testing.T) certmongerPeer {
	return certmongerPeer{testpeer.StartCertmonger(t), map[string]testpeer.CertmongerCert{}, new(int)}
}

func (p certmongerPeer) enrol(url string, ask testpeer.SCEPRequest) (testpeer.SCEPResult, error) {
	name, err := p.know(url)
	if err != nil {
		return testpeer.SCEPResult{}, err
	}
	return p.keep(p.Enrol(name, ask))
}

func (p certmongerPeer) renew(url string, old testpeer.SCEPResult, ask testpeer.SCEPRequest) (testpeer.SCEPResult, error) {
	name, err := p.know(url)
	if err != nil {
		return testpeer.SCEPResult{}, err
	}
	return p.keep(p.RekeyAt(name, p.certs[old.CertFile], ask.Challenge))
}

func (p certmongerPeer) know(url string) (string, error) {
	*p.n++
	name := fmt.Sprintf("ca-%d", *p.n)
	return name, p.AddSCEP(name, url, nil)
}

func (p certmongerPeer) keep(c testpeer.CertmongerCert, err error) (testpeer.SCEPResult, error) {
	if err != nil {
		return c.SCEPResult, fmt.Errorf("%w\n%s", err, p.Log())
	}
	p.certs[c.CertFile] = c
	return c.SCEPResult, nil
}

// scepBackend is a server of somebody else and the authority that stands for it.
type scepBackend struct {
	*outside
	root *x509.Certificate
}

// pairs is which clients can enrol at which servers, or what they say if not.
// Those that cannot do so directly cannot by delegate either, and a proxy that
// opens nothing changes that only where it is the way that is too narrow. The
// others have a SCEP endpoint (TestSCEPElsewhere).
var pairs = []struct {
	client, server  string
	direct, proxied string // empty: it works
}{
	{"scepclient", "micromdm", "", ""},
	{"scepclient", "step-ca", "", ""},
	{"scepclient", "step-ca with DES", "", ""},
	{"certmonger", "step-ca", "", ""},
	{"certmonger", "NDES opened wide", "", ""},                                          // queries beyond 2048 characters, which an administrator allows in IIS
	{"certmonger", "NDES", "CA_UNREACHABLE", ""},                                        // its GET is too long; what the proxy sends is a POST
	{"strongSwan", "NDES opened wide", "", ""},                                          // SHA-384 among the capabilities, which this release takes for AES
	{"strongSwan", "NDES", "AES_CBC encryption algorithm not supported", "AES_CBC"},     // and it really is not
	{"strongSwan", "micromdm", "AES_CBC encryption algorithm not supported", "AES_CBC"}, // it misreads the capabilities
	{"strongSwan", "step-ca", "AES_CBC encryption algorithm not supported", "AES_CBC"},  // the same
	{"certmonger", "micromdm", "certificate verify error", "certificate verify error"},  // no root above the one certificate
	{"certmonger", "step-ca with DES", "certificate verify error", "certificate verify error"},
	{"scepclient", "NDES", "badAlg", "400"}, // DES, which the floor here refuses already
}

// TestSCEPPairs has every client enrol and renew at every server that it works
// with, once by delegate, which is directly, and once through the proxy.
func TestSCEPPairs(t *testing.T) {
	t.Parallel()
	const challenge = "a-challenge-of-the-backend"
	front := startFront(t, nil)
	old := testpeer.StartSCEPServer(t, testpeer.SCEPServerOptions{Challenge: challenge})
	step := testpeer.StartStepCA(t, testpeer.StepCAOptions{Challenge: challenge, IncludeRoot: true})
	des := testpeer.StartStepCA(t, testpeer.StepCAOptions{Challenge: challenge, DES: true})
	stock, stockSettings := startNDES(t, ndes.Config{PasswordMax: 20})
	wide, wideSettings := startNDES(t, ndes.Config{PasswordMax: 20, MaxQuery: 8192, MaxURL: 8192,
		Caps: []string{"POSTPKIOperation", "Renewal", "SHA-512", "SHA-384", "SHA-256", "SHA-1", "DES3", "AES"}})
	static := func(url, floor string) map[string]any {
		return map[string]any{"url": url, "floor": floor, "legacy_accepted": true, "challenge_type": "static", "challenge": challenge, "marker": "ou"}
	}
	for _, settings := range []map[string]any{stockSettings, wideSettings} {
		settings["cache_size"], settings["marker"] = 20, "ou" // by it what came by delegate is known again
	}
	servers := map[string]scepBackend{
		"micromdm":         {front.behind("micromdm", "scep", old.CA, static(old.URL, "legacy")), old.CA},
		"step-ca":          {front.behind("step-ca", "scep", step.Issuing, static(step.URL, "legacy")), step.Root},
		"step-ca with DES": {front.behind("step-ca with DES", "scep", des.Issuing, static(des.URL, "legacy")), des.Root},
		"NDES":             {front.behind("NDES", "ndes", stock.Issuer(), stockSettings), stock.Root()},
		"NDES opened wide": {front.behind("NDES opened wide", "ndes", wide.Issuer(), wideSettings), wide.Root()},
	}
	clients := map[string]scepPeer{"scepclient": micromdmPeer{t}, "strongSwan": strongSwanPeer{t}, "certmonger": newCertmonger(t)}
	n := 0
	for _, pair := range pairs {
		for model, why := range map[ra.PassModel]string{ra.PassDelegate: pair.direct, ra.PassProxy: pair.proxied} {
			n++
			id := fmt.Sprintf("device-%d", n)
			t.Run(fmt.Sprintf("%s/%s/%s", pair.client, pair.server, model), func(t *testing.T) {
				server, client := servers[pair.server], clients[pair.client]
				v := server.visit(t, id, model)
				if through := strings.HasPrefix(v.given.URL, server.url(pass.Path)); through != (model == ra.PassProxy) {
					t.Fatalf("the device is sent to %.40s", v.given.URL)
				}
				first, err := client.enrol(v.given.URL, v.asks())
				if why != "" {
					if err == nil || !strings.Contains(err.Error(), why) {
						t.Errorf("the table says that it does not work: %q; but: %v", why, err)
					}
					return
				}
				if err != nil {
					t.Fatalf("%v\n%s", err, v.chancery("trace", "show", v.pass.ID, "--fields"))
				}
				verified(t, first.Certificate, server.root, server.issuer)
				v.has(first.Certificate)
				v.renew()
				second, err := client.renew(v.given.URL, first, v.asks())
				if err != nil {
					t.Fatalf("renewal: %v\n%s", err, v.chancery("trace", "show", v.pass.ID, "--fields"))
				}
				verified(t, second.Certificate, server.root, server.issuer)
				v.has(second.Certificate)
				if row := v.row(first.Certificate); row.State != ra.Superseded || row.RenewedBy != v.row(second.Certificate).ID {
					t.Errorf("the first certificate is %s, renewed by %q", row.State, row.RenewedBy)
				}
			})
		}
	}
}

// TestNineteenSteps: an enrolment through the proxy, by a real client, at a server
// whose challenge page wants a ticket of Kerberos, takes all steps in their
// order. The API and the command line show them.
func TestNineteenSteps(t *testing.T) {
	front := startFront(t, nil)
	kdc := testpeer.StartKDC(t)
	kdc.AddUser("enroller", "a-service-password")
	keys := keytab.New()
	if err := keys.Unmarshal(kdc.AddService("HTTP/localhost")); err != nil {
		t.Fatal(err)
	}
	double, settings := startNDES(t, ndes.Config{Host: "localhost", Keytab: keys, Schemes: []ndes.Scheme{ndes.Negotiate}})
	settings["login"], settings["realm"], settings["kdcs"] = "kerberos", kdc.Realm, regexp.MustCompile(`127\.0\.0\.1:\d+`).FindAllString(kdc.Config(), 1)
	v := front.behind("NDES", "ndes", double.Issuer(), settings).visit(t, "laptop", ra.PassProxy)
	got, err := newCertmonger(t).enrol(v.given.URL, v.asks())
	if err != nil {
		t.Fatal(err)
	}
	verified(t, got.Certificate, double.Root(), double.Issuer())
	v.has(got.Certificate)
	if c := double.Counts(); c.Minted != 1 || c.Used != 1 || c.Refused != 0 {
		t.Errorf("the challenge page: %+v", c)
	}
	trace, err := v.office.Trace(t.Context(), v.pass.ID)
	if err != nil || trace.Result != "done" || trace.Problem != nil {
		t.Fatalf("the trace: %v %s %+v", err, trace.Result, trace.Problem)
	}
	steps := trace.Lines[:len(pass.AllSteps)]
	said := v.chancery("trace", "show", "laptop", "--fields") // by the device's name
	for i, s := range pass.AllSteps {
		l := steps[i]
		state, unseen := string(pass.StepDone), s.Number == 4 || s.Number == 5 || s.Number == 10
		if unseen { // on the device
			state = string(pass.StepInferred)
		}
		if l.Number != i+1 || l.Step != s.Name || l.Title != s.Title || l.State != state || l.At.IsZero() != unseen {
			t.Errorf("step %d is %+v", s.Number, l)
		}
		line := regexp.MustCompile(fmt.Sprintf(`(?m)^%d +(device|Chancery|SCEP server) +%s +[+~] %s`, s.Number, regexp.QuoteMeta(s.Title), state)).FindStringIndex(said)
		if line == nil {
			t.Fatalf("step %d is not shown below the others:\n%s", s.Number, said)
		}
		said = said[line[1]:]
	}
	// Each hop that a message makes comes after the one before.
	for _, way := range [][]int{{1, 2, 3, 6, 7, 8, 9, 15, 16, 17, 18, 19}, {3, 11, 12, 13, 14, 15}} {
		for i, n := range way[1:] {
			if before := way[i]; steps[n-1].At.Before(steps[before-1].At) {
				t.Errorf("step %d is before step %d", n, before)
			}
		}
	}
	if f := steps[14].Fields; f["transaction"] == "" || f["signer"] == "" || f["bytes"] == "" {
		t.Errorf("what was read of the message: %v", f)
	}
	if out := fmt.Sprintf("%+v", trace); strings.Contains(out, v.given.Challenge) || strings.Contains(out, strings.TrimPrefix(v.given.URL, v.url(pass.Path))) {
		t.Error("the trace tells a secret")
	}
}
