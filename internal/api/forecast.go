package api

import (
	"context"
	"time"

	"chancery/internal/api/resource"
	"chancery/internal/ra"
)

func (s *Server) showForecast(ctx context.Context, actor ra.Actor, in *ByID) (*body[resource.Forecast], error) {
	a, err := s.Authorities.Get(ctx, actor, ra.AuthorityID(in.ID))
	if err != nil {
		return nil, err
	}
	f, err := s.Lifecycle.Forecast(ctx, actor, a.ID)
	if err != nil {
		return nil, err
	}
	out := resource.Forecast{Backlog: f.Backlog, CallsPerSecond: f.PerSecond, RenewalsPerDay: f.PerDay, NewPerDay: f.NewPerDay, CallMS: f.CallMS,
		FailureShare: f.Failures, Missed: f.Missed, Needed: f.Needed, Pace: f.Pace, Days: []resource.ForecastDay{}}
	if !f.MadeAt.IsZero() {
		out.MadeAt = &f.MadeAt
	}
	if f.Missed > 0 {
		out.MissedFrom = f.Day(f.MissedDay).Format(time.DateOnly)
		out.Message, out.Remedy = f.Shortage(a.Name)
	}
	for i, d := range f.Days {
		out.Days = append(out.Days, resource.ForecastDay{Date: f.Day(i).Format(time.DateOnly), Due: d.Due, Devices: d.Devices, Done: d.Done, Missed: d.Missed})
	}
	return &body[resource.Forecast]{out}, nil
}
