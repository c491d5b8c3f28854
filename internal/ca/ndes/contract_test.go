package ndes_test

import (
	"crypto/x509"
	"encoding/json"
	"testing"

	"chancery/internal/ca"
	"chancery/internal/ca/catest"
	"chancery/internal/ca/ndes"
	played "chancery/internal/doubles/ndes"
)

// TestContract runs the suite against Microsoft's server played, by each login it
// offers, with a challenge of its own for each request.
func TestContract(t *testing.T) {
	for _, login := range []string{"ntlm", "basic"} {
		t.Run(login, func(t *testing.T) {
			d := newDouble(t, played.Config{Encryption: played.Template{Pending: true}, Schemes: []played.Scheme{played.NTLM, played.Basic}})
			settings, err := json.Marshal(d.settings(map[string]any{"login": login}))
			if err != nil {
				t.Fatal(err)
			}
			fault := func(op played.Operation, act played.Act) catest.Fault {
				return func(*catest.World, *ca.Order) { d.Fail(played.Fault{At: op, Act: act}) }
			}
			catest.Run(t, catest.Setup{
				Kind: ndes.Kind(), KeyHere: true, Secrets: []string{password}, Settings: string(settings),
				Issued: func(_ *catest.World, id string) int { return d.issued(id) },
				Refuse: func(_ *catest.World, o *ca.Order) {
					o.Subject = nil // which the CA's template does not allow
				},
				Pend:       func(_ *catest.World, o *ca.Order) { o.KeyUsage = x509.KeyUsageKeyAgreement },
				TimeOut:    fault(played.Caps, played.Stall),
				CutLine:    fault(played.Caps, played.CutBefore),
				LoseAnswer: fault(played.PKI, played.LoseAnswer),
			})
			c := d.Counts()
			if c.CacheFull > 0 {
				t.Errorf("the server's cache was full %d times", c.CacheFull)
			}
			if c.Minted < 50 || c.Used < 50 {
				t.Errorf("%d challenges made, %d used", c.Minted, c.Used)
			}
		})
	}
}
