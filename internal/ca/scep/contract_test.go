package scep_test

import (
	"fmt"
	"testing"

	"chancery/internal/ca"
	"chancery/internal/ca/catest"
	"chancery/internal/ca/scep"
	"chancery/internal/doubles/ndes"

	"crypto/x509"
)

const static = "Static-challenge-5d21"

// TestContract runs the suite against Microsoft's server played, with passwords
// not enforced, which remembers transactions as RFC 8894 wants it. Requests whose
// key is here are made anew with the challenge in them.
func TestContract(t *testing.T) {
	d := newDouble(t, ndes.Config{NoPassword: true, Encryption: ndes.Template{Pending: true}})
	fault := func(op ndes.Operation, act ndes.Act) catest.Fault {
		return func(*catest.World, *ca.Order) { d.Fail(ndes.Fault{At: op, Act: act}) }
	}
	catest.Run(t, catest.Setup{
		Kind: scep.Kind(), KeyHere: true, Secrets: []string{static},
		Settings: fmt.Sprintf(`{"url": %q, "floor": "compat", "fingerprint": %q, "challenge_type": "static", "challenge": %q}`, d.url, fingerprint(d.Root().Raw), static),
		Issued:   func(_ *catest.World, id string) int { return d.issued(id) },
		Refuse: func(_ *catest.World, o *ca.Order) {
			o.Subject = nil // which the CA's template does not allow
		},
		Pend:       func(_ *catest.World, o *ca.Order) { o.KeyUsage = x509.KeyUsageKeyAgreement },
		TimeOut:    fault(ndes.Caps, ndes.Stall),
		CutLine:    fault(ndes.Caps, ndes.CutBefore),
		LoseAnswer: fault(ndes.PKI, ndes.LoseAnswer),
	})
}
