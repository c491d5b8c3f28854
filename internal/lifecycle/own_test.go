package lifecycle_test

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"slices"
	"sync"
	"testing"
	"time"

	"chancery/internal/lifecycle"
	"chancery/internal/ra"
	"chancery/internal/store"
)

var purposes = []ra.Purpose{ra.PurposeSCEPRA, ra.PurposeOCSP}

func TestOwn(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		for _, purpose := range purposes {
			first := must(w.Own(ctx, w.inner, purpose))(w.t)
			if len(first) != 1 {
				w.t.Fatalf("%d certificates", len(first))
			}
			o := first[0]
			if o.Certificate.CheckSignatureFrom(o.Issuer) != nil || !o.Key.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(o.Certificate.PublicKey) {
				w.t.Error("issuer, certificate and key do not belong together")
			}
			_, isRSA := o.Key.(*rsa.PrivateKey)
			ocspUse := slices.Contains(o.Certificate.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning)
			if ocspUse != (purpose == ra.PurposeOCSP) || isRSA != (purpose == ra.PurposeSCEPRA) || o.Row.Action != ra.ActionRenew || o.Row.Purpose != purpose {
				w.t.Errorf("%s: OCSP %v, RSA %v, %+v", purpose, ocspUse, isRSA, o.Row)
			}
			// The same again, here and on another node.
			for _, n := range []*node{w.node, w.start()} {
				again := must(n.Own(ctx, w.inner, purpose))(w.t)
				if len(again) != 1 || again[0].Row.ID != o.Row.ID {
					w.t.Errorf("%s: %+v", purpose, again)
				}
			}
		}
		// They are not in lists unless asked for, and their keys are nowhere in clear.
		if list, _, err := w.FindCertificates(ctx, w.owner, store.CertificateFilter{}); err != nil || len(list) != 0 {
			w.t.Errorf("%d, %v", len(list), err)
		}
		_, err := w.Own(ctx, w.bare, ra.PurposeOCSP)
		wantError(w.t, err, ra.Invalid)
	})
}

// TestOwnIsRenewed: after two thirds of its life, by the sweep, with the former
// one kept for what was encrypted to it.
func TestOwnIsRenewed(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		first := must(w.Own(ctx, w.inner, ra.PurposeSCEPRA))(w.t)[0]
		w.pass(115*day, 23*day)
		if list := must(w.Own(ctx, w.inner, ra.PurposeSCEPRA))(w.t); len(list) != 1 || list[0].Row.ID != first.Row.ID {
			w.t.Errorf("renewed too early: %d", len(list))
		}
		w.pass(8*day, day)
		list := must(w.Own(ctx, w.inner, ra.PurposeSCEPRA))(w.t)
		if len(list) != 2 || list[0].Row.ID == first.Row.ID || list[1].Row.ID != first.Row.ID || list[1].Row.State != ra.Superseded || list[1].Row.RenewedBy != list[0].Row.ID {
			w.t.Fatalf("%d certificates", len(list))
		}
		if _, ok := list[1].Key.(*rsa.PrivateKey); !ok || bytes.Equal(list[0].Certificate.RawSubjectPublicKeyInfo, first.Certificate.RawSubjectPublicKeyInfo) {
			w.t.Error("the former key is gone, or the new one is the same")
		}
		w.pass(60*day, day)
		if list := must(w.Own(ctx, w.inner, ra.PurposeSCEPRA))(w.t); len(list) != 1 || w.certificate(first.Row.ID).State != ra.Expired {
			w.t.Errorf("%d certificates, the first is %s", len(list), w.certificate(first.Row.ID).State)
		}
		w.read(func(tx *store.Tx) error {
			boxes, err := tx.Sealed(string(first.Row.ID))
			if len(boxes) != 0 {
				w.t.Error("the key of an expired certificate is still here")
			}
			return err
		})
		if n := w.audited("certificate.overdue", ""); n != 0 {
			w.t.Errorf("%d were overdue", n)
		}
	})
}

// TestOwnWhileTheAuthorityIsBroken: the present one stays in use, its row says
// why it is not renewed, and people hear of it.
func TestOwnWhileTheAuthorityIsBroken(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		first := must(w.Own(ctx, w.inner, ra.PurposeSCEPRA))(w.t)[0]
		w.breakKey(w.inner)
		w.pass(170*day, 5*day)
		list := must(w.Own(ctx, w.inner, ra.PurposeSCEPRA))(w.t)
		row := w.certificate(first.Row.ID)
		if len(list) != 1 || list[0].Row.ID != first.Row.ID || row.LastError == "" || row.Attempts == 0 || w.audited("certificate.overdue", string(row.ID)) != 1 {
			w.t.Errorf("%d certificates, %+v", len(list), row.Obligation)
		}
		w.pass(20*day, 5*day)
		if _, err := w.Own(ctx, w.inner, ra.PurposeSCEPRA); err == nil || w.certificate(first.Row.ID).State != ra.Expired {
			w.t.Errorf("%v, %s", err, w.certificate(first.Row.ID).State)
		}
	})
}

// TestCrashWhileOwnIsMade: between the sealed key and the recorded certificate
// a server dies; the next one ends with the same key and the same serial.
func TestCrashWhileOwnIsMade(t *testing.T) {
	each(t, func(w *world) {
		for i, label := range []string{lifecycle.StepOwnAsk, lifecycle.StepOwnRecord} {
			purpose := purposes[i]
			dead := w.start()
			dead.Step = func(step string) {
				if step == label {
					panic(label)
				}
			}
			func() {
				defer func() {
					if recover() != label {
						w.t.Errorf("%s was not reached", label)
					}
				}()
				dead.Own(w.t.Context(), w.inner, purpose)
			}()
			dead.db.Close()
			var sealed, planned []byte
			w.read(func(tx *store.Tx) error {
				boxes, err := tx.Sealed(string(w.inner))
				sealed = boxes["own."+string(purpose)+".0"]
				if label == lifecycle.StepOwnRecord {
					id := string(w.inner)
					planned, err = tx.Journal(w.inner, "issue/own_"+string(purpose)+"_0_"+id[len(id)-16:])
				}
				return err
			})
			if len(sealed) == 0 || (label == lifecycle.StepOwnRecord) != (len(planned) > 0) {
				w.t.Fatalf("%s: key of %d bytes, plan of %d", label, len(sealed), len(planned))
			}
			der := must(w.box.Open("authorities", string(w.inner), "own."+string(purpose)+".0", sealed))(w.t)
			next := w.start()
			list := must(next.Own(w.t.Context(), w.inner, purpose))(w.t)
			if got := must(x509.MarshalPKCS8PrivateKey(list[0].Key))(w.t); len(list) != 1 || !bytes.Equal(got, der) {
				w.t.Errorf("%s: another key, or %d certificates", label, len(list))
			}
			if len(planned) > 0 {
				plain := must(w.box.Open("journal", string(w.inner), "issue/own_"+string(purpose)+"_0_"+string(w.inner)[len(w.inner)-16:], planned))(w.t)
				if !has(string(plain), `"serial":"`+list[0].Row.Serial+`"`) {
					w.t.Errorf("%s: another serial than planned", label)
				}
			}
			next.db.Close()
		}
	})
}

// TestOwnAtOnce: two nodes need their first certificate at the same moment and
// end with one.
func TestOwnAtOnce(t *testing.T) {
	each(t, func(w *world) {
		nodes := []*node{w.node}
		if w.db.Engine() == "postgres" {
			nodes = append(nodes, w.start(), w.start())
		}
		for _, purpose := range purposes {
			var wg sync.WaitGroup
			var mu sync.Mutex
			ids := map[ra.CertificateID]bool{}
			for i := range 9 {
				wg.Go(func() {
					list, err := nodes[i%len(nodes)].Own(w.t.Context(), w.inner, purpose)
					if ra.KindOf(err) == ra.Conflict { // another node made it a moment ago
						time.Sleep(50 * time.Millisecond)
						list, err = nodes[i%len(nodes)].Own(w.t.Context(), w.inner, purpose)
					}
					mu.Lock()
					defer mu.Unlock()
					if err != nil {
						w.t.Errorf("%v", err)
						return
					}
					ids[list[0].Row.ID] = true
				})
			}
			wg.Wait()
			if len(ids) != 1 {
				w.t.Errorf("%s: %d certificates", purpose, len(ids))
			}
		}
	})
}
