package doctor

import (
	"context"
	"strings"
	"testing"
	"time"

	"chancery/internal/ca"
	"chancery/internal/lifecycle"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// TestCapacity: an authority that cannot do in time what falls due is a
// finding, and so is one that does not answer.
func TestCapacity(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		f := lifecycle.Forecast{MadeAt: w.now(), PerDay: 100, Missed: 1234, MissedDay: 10, Days: make([]lifecycle.ForecastDay, lifecycle.ForecastDays)}
		if err := w.DB.Write(context.Background(), func(tx *store.Tx) error {
			if err := tx.PutForecast(w.outer.ID, f); err != nil {
				return err
			}
			return tx.NoteOutage(store.Outage{Authority: w.inner.ID, Since: w.now().Add(-time.Hour), SeenAt: w.now(), ProbeAt: w.now(), LastError: "The line broke."})
		}); err != nil {
			t.Fatal(err)
		}
		found := w.glance(w.owner)
		if got := want(t, found, "capacity", ca.StepFailed, "1234 would end before their turn"); got.Object != string(w.outer.ID) || got.Remedy == "" {
			t.Errorf("%+v", got)
		}
		if got := want(t, found, "capacity", ca.StepFailed, "The line broke"); got.Object != string(w.inner.ID) || got.Remedy == "" {
			t.Errorf("%+v", got)
		}
		if strings.Contains(text(w.glance(actor("foreign", ra.RoleViewer, w.other))), "1234") {
			t.Error("somebody from elsewhere reads the figures")
		}
	})
}
