package adcs_test

import (
	"encoding/json"
	"testing"

	"chancery/internal/ca"
	"chancery/internal/ca/adcs"
	"chancery/internal/ca/catest"
	played "chancery/internal/doubles/adcs"
)

// TestContract runs the suite against Microsoft's CA played, over DCOM, and with
// enrolment over RPC and DCOM for the rest.
func TestContract(t *testing.T) {
	for name, c := range map[string]struct {
		protocols []string
		op        played.Op
	}{
		"dcom": {[]string{"dcom", "rpc"}, played.Request},
		"rpc":  {[]string{"rpc", "dcom"}, played.Passage},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDouble(t, played.Config{})
			settings, err := json.Marshal(d.settings(map[string]any{"protocols": c.protocols}))
			if err != nil {
				t.Fatal(err)
			}
			fault := func(act played.Act) catest.Fault {
				return func(*catest.World, *ca.Order) { d.SetFault(played.Fault{At: c.op, Act: act}) }
			}
			catest.Run(t, catest.Setup{
				Kind: adcs.Kind(), KeyHere: true, Secrets: []string{password}, Settings: string(settings),
				Env:        func(e *ca.Env) { e.Dial = d.dial },
				Order:      func(o *ca.Order) { o.Template = "WebServer" },
				Issued:     func(_ *catest.World, id string) int { return d.issued(id) },
				Refuse:     func(_ *catest.World, o *ca.Order) { o.Template = "NoSuchTemplate" },
				Pend:       func(_ *catest.World, o *ca.Order) { o.Template = "Manual" },
				TimeOut:    fault(played.Hang),
				CutLine:    fault(played.CutBefore),
				LoseAnswer: fault(played.CutAfter),
			})
		})
	}
}
