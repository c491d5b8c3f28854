package adcsclient_test

import (
	"context"
	"testing"
	"time"

	"chancery/internal/adcsclient"
	played "chancery/internal/doubles/adcs"
	"chancery/internal/ra"
)

// TestApprovalLost: when the answer to an approval is lost, the request tells what
// became of it; the CA issues one certificate, however often it is approved.
func TestApprovalLost(t *testing.T) {
	w := newWorld(t, played.Config{})
	for name, f := range map[string]struct {
		act  played.Act
		done bool
	}{
		"cut before": {played.CutBefore, false}, "hangs": {played.Hang, false},
		"cut after": {played.CutAfter, true}, "half a PDU": {played.HalfPDU, true}, "wrong call id": {played.WrongCallID, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := w.client(adcsclient.DCOM)
			id := must(t, c, "Manual", "lost").RequestID
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			w.SetFault(played.Fault{At: played.Resubmit, Act: f.act})
			if err := c.Approve(ctx, id); !adcsclient.IsLost(err) || ra.KindOf(err) != ra.Unreachable {
				t.Fatalf("the answer is lost: %v", err)
			}
			first, err := w.client(adcsclient.DCOM).Retrieve(t.Context(), id)
			if err != nil || first.Pending() == f.done {
				t.Fatalf("the CA has it: pending %v, %v", first.Pending(), err)
			}
			err = w.client(adcsclient.DCOM).Approve(t.Context(), id)
			if f.done != (ra.KindOf(err) == ra.RefusedByCA) || !f.done && err != nil {
				t.Errorf("approved once more: %v", err)
			}
			got, err := w.client(adcsclient.DCOM).Retrieve(t.Context(), id)
			if err != nil || got.Pending() || f.done && !got.Chain[0].Equal(first.Chain[0]) {
				t.Errorf("the certificate: %v, %v", got.Pending(), err)
			}
		})
	}
}
