package enroll_test

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"reflect"
	"testing"
	"time"

	"chancery/internal/authority"
	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// opened is a server that has an authority open already, so that it decides on
// certificates before it writes their requests.
func (w *world) opened(id ra.AuthorityID) *node {
	w.t.Helper()
	n := w.start()
	must(n.authorities.Open(w.t.Context(), id))(w.t)
	return n
}

// intentOf is what the journal of the embedded authority holds for a request.
func (w *world) intentOf(id ra.RequestID) (value []byte) {
	w.t.Helper()
	w.read(func(tx *store.Tx) (err error) {
		if value, err = tx.Journal(w.inner, "issue/"+string(id)); ra.KindOf(err) == ra.NotFound {
			err = nil
		}
		return err
	})
	return value
}

// A server that dies at any step after it decided on a certificate leaves the
// decision beside the request: whoever goes on makes that certificate and no
// other.
func TestCrashWithAPlan(t *testing.T) {
	each(t, func(w *world) {
		tpl, here := w.template(w.inner, wifi()), w.template(w.inner, vpn())
		for _, label := range steps {
			asks := map[string]enroll.Ask{
				"device": {Template: tpl.ID, Device: w.phone.ID, CSR: csr(w.t, key(w.t)), Key: label + "d", Wait: true},
				"here":   {Template: here.ID, Device: w.tablet.ID, Key: label + "h", Wait: true},
			}
			for what, ask := range asks {
				w.t.Run(fmt.Sprint(label, "/", what), func(t *testing.T) {
					first := w.opened(w.inner)
					if !first.crash(label, 1, false, func() { first.Submit(t.Context(), w.owner, ask) }) {
						t.Fatal("the step was not reached")
					}
					var r *ra.Request
					w.read(func(tx *store.Tx) (err error) {
						if r, err = tx.RequestByKey(ask.Key); ra.KindOf(err) == ra.NotFound {
							err = nil
						}
						return err
					})
					if label == enroll.StepIntent {
						if r != nil {
							t.Fatalf("there is a request before the intent: %+v", r)
						}
						w.resumed(t, w.start(), what, ask)
						return
					}
					decided := w.intentOf(r.ID)
					if decided == nil {
						t.Fatal("nothing was decided together with the request")
					}
					w.resumed(t, w.start(), what, ask)
					if !bytes.Equal(w.intentOf(r.ID), decided) {
						t.Error("another decision took the place of the first")
					}
				})
			}
		}
	})
}

// Whether the authority was open or not makes no difference to a certificate.
func TestPlanSaysTheSame(t *testing.T) {
	each(t, func(w *world) {
		spec := wifi()
		spec.SID, spec.SIDInURI = true, true
		spec.SANs = append(spec.SANs, ra.SANSpec{Type: "uri", Value: "urn:device:{DeviceUid}"}, ra.SANSpec{Type: "dns", Value: "{DeviceAssetNumber}.example.org", Optional: true})
		tpl := w.template(w.inner, spec)
		ask := func(n *node) *x509.Certificate {
			r := must(n.Submit(w.t.Context(), w.owner, enroll.Ask{Template: tpl.ID, Device: w.phone.ID, CSR: csr(w.t, key(w.t)), Wait: true}))(w.t)
			if r.State != ra.Issued {
				w.t.Fatalf("%s: %s", r.State, r.LastError)
			}
			return must(x509.ParseCertificate(w.certificate(r.CertificateID).DER))(w.t)
		}
		cold := ask(w.start())
		w.clock.Advance(time.Second)
		warm := ask(w.opened(w.inner))
		says := func(c *x509.Certificate) map[string]string {
			out := map[string]string{"subject": string(c.RawSubject), "life": c.NotAfter.Sub(c.NotBefore).String(), "issuer": string(c.RawIssuer)}
			for _, e := range c.Extensions {
				switch e.Id.String() {
				case "2.5.29.14", "2.5.29.31": // of the key; of the serial number's shard
					out[e.Id.String()] = fmt.Sprint(e.Critical)
				default:
					out[e.Id.String()] = fmt.Sprint(e.Critical, e.Value)
				}
			}
			return out
		}
		if got, want := says(warm), says(cold); !reflect.DeepEqual(got, want) {
			w.t.Errorf("decided before: %v\nasked after: %v", got, want)
		}
	})
}

// An authority that is switched off, or refuses, is not planned with: the
// request is written and ends or waits as ever.
func TestNoPlan(t *testing.T) {
	each(t, func(w *world) {
		tpl := w.template(w.inner, wifi())
		n := w.opened(w.inner)
		off := true
		must(w.authorities.Update(w.t.Context(), w.owner, w.inner, authorityInput(&off)))(w.t)
		r := must(n.Submit(w.t.Context(), w.owner, enroll.Ask{Template: tpl.ID, Device: w.phone.ID, CSR: csr(w.t, key(w.t)), Wait: true}))(w.t)
		if r.State != ra.Submitted || r.LastError == "" || w.intentOf(r.ID) != nil {
			w.t.Errorf("switched off: %s, %q", r.State, r.LastError)
		}
		off = false
		must(w.authorities.Update(w.t.Context(), w.owner, w.inner, authorityInput(&off)))(w.t)

		must(n.authorities.Open(w.t.Context(), w.inner))(w.t)
		w.clock.Advance(30 * 365 * 24 * time.Hour) // the issuing certificate has ended
		r = must(n.Submit(w.t.Context(), w.owner, enroll.Ask{Template: tpl.ID, Device: w.phone.ID, CSR: csr(w.t, key(w.t)), Wait: true}))(w.t)
		if r.State == ra.Issued || r.LastError == "" || w.intentOf(r.ID) != nil {
			w.t.Errorf("refused: %s, %q", r.State, r.LastError)
		}
	})
}

func authorityInput(disabled *bool) authority.Input { return authority.Input{Disabled: disabled} }
