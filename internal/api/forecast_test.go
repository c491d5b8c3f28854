package api

import (
	"context"
	"net/http"
	"testing"
	"time"

	"chancery/internal/api/resource"
	"chancery/internal/lifecycle"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// TestForecast: what was reckoned is shown, with what to do where an authority
// cannot keep up; before the first forecast it is empty, and no error.
func TestForecast(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := w.populate("acme")
		var f resource.Forecast
		w.do(http.StatusOK, get, "/authorities/"+s.Authority+"/forecast", nil, &f)
		if f.MadeAt != nil || len(f.Days) != 0 {
			t.Errorf("before the first: %+v", f)
		}
		made := time.Date(2027, 1, 30, 22, 0, 0, 0, time.UTC)
		stored := lifecycle.Forecast{MadeAt: made, PerDay: 50, Missed: 7, MissedDay: 2, Days: make([]lifecycle.ForecastDay, lifecycle.ForecastDays)}
		stored.Days[2] = lifecycle.ForecastDay{Due: 100, Devices: 3, Done: 50, Missed: 7}
		must(t, w.server.DB.Write(context.Background(), func(tx *store.Tx) error { return tx.PutForecast(ra.AuthorityID(s.Authority), stored) }))
		w.do(http.StatusOK, get, "/authorities/"+s.Authority+"/forecast", nil, &f)
		if f.MadeAt == nil || !f.MadeAt.Equal(made) || f.MissedFrom != "2027-02-01" || f.Message == "" || f.Remedy == "" || len(f.Days) != lifecycle.ForecastDays {
			t.Errorf("%+v", f)
		}
		if d := f.Days[2]; d != (resource.ForecastDay{Date: "2027-02-01", Due: 100, Devices: 3, Done: 50, Missed: 7}) {
			t.Errorf("%+v", d)
		}
	})
}
