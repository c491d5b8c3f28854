package console

import (
	"context"
	"strings"
	"testing"

	"chancery/internal/lifecycle"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// TestForecastIsDrawn: the page of an authority shows what the coming days ask
// of it, the line of what it can do where that is near, and a warning where it
// is too little.
func TestForecastIsDrawn(t *testing.T) {
	w := newWorld(t)
	w.fill()
	v := w.visit(w.owner)
	path := "/authorities/" + w.ids["authorities"]
	if page := v.get(path).body; strings.Contains(page, "The next 90 days") {
		t.Error("a forecast before the first was made")
	}
	f := lifecycle.Forecast{MadeAt: w.clock(), PerDay: 60, NewPerDay: 5, CallMS: 31, Missed: 40, MissedDay: 9, Days: make([]lifecycle.ForecastDay, lifecycle.ForecastDays)}
	f.Days[3] = lifecycle.ForecastDay{Due: 100, Devices: 20, Done: 60}
	put := func() {
		if err := w.c.DB.Write(context.Background(), func(tx *store.Tx) error { return tx.PutForecast(ra.AuthorityID(w.ids["authorities"]), f) }); err != nil {
			t.Fatal(err)
		}
	}
	put()
	page := v.get(path).body
	for _, part := range []string{"The next 90 days", "100 renewals due, 20 devices expected to renew", "can do 60 renewals a day", "stroke-dasharray", "40 would end before their turn", "Raise the limits", "took 31 ms"} {
		if !strings.Contains(page, part) {
			t.Errorf("%q is not on the page", part)
		}
	}
	f.PerDay, f.Missed = 1_000_000, 0
	put()
	if page := v.get(path).body; strings.Contains(page, "stroke-dasharray") || strings.Contains(page, "before their turn") {
		t.Error("a line off the chart, or a warning about nothing")
	}
}
