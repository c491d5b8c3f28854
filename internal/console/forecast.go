package console

import (
	"strings"

	"chancery/internal/lifecycle"
	"chancery/internal/ra"
)

// forecastView is what the coming days ask of an authority, beside what it can
// do: the line across the bars.
type forecastView struct {
	lifecycle.Forecast
	Bars            []bar
	Line            int // of the capacity, from the top; 0: off the chart
	Marks           []int
	Message, Remedy string
	Due, Devices    int64 // over all days
	Highest         int64 // what the highest bar stands for
}

// FailurePercent is how many of a hundred calls were not answered.
func (f *forecastView) FailurePercent() float64 { return 100 * f.Failures }

// forecast draws the last forecast of an authority; it is nil for an actor who
// may not see all of it, and before the first.
func (v *visit) forecast(a *ra.Authority) (*forecastView, error) {
	f, err := v.Lifecycle.Forecast(v.ctx(), v.actor, a.ID)
	if k := ra.KindOf(err); k == ra.Denied || k == ra.NotFound || err == nil && f.MadeAt.IsZero() {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := &forecastView{Forecast: f, Marks: []int{0, 30 * chartStep, 60 * chartStep}}
	if f.Missed > 0 {
		out.Message, out.Remedy = f.Shortage(a.Name)
	}
	for _, d := range f.Days {
		out.Highest = max(out.Highest, d.Due+d.Devices)
		out.Due, out.Devices = out.Due+d.Due, out.Devices+d.Devices
	}
	most := max(out.Highest, 2)
	if f.PerDay > 0 && f.PerDay < 4*most {
		most = max(most, f.PerDay)
		out.Line = chartHeight - scaled(int(f.PerDay), int(most))
	}
	for i, d := range f.Days {
		if d.Due+d.Devices == 0 {
			continue
		}
		b := bar{X: i*chartStep + 1, Height: scaled(int(d.Due), int(most)), NeedAll: scaled(int(d.Devices), int(most))}
		b.Top = chartHeight - b.Height
		b.NeedTop = b.Top - b.NeedAll
		words := []string{plural(int(d.Due), "renewal") + " due", plural(int(d.Devices), "device") + " expected to renew"}
		if d.Missed > 0 {
			words = append(words, plural(int(d.Missed), "certificate")+" too late")
		}
		b.Title = f.Day(i).Format("2006-01-02") + ": " + strings.Join(words, ", ")
		out.Bars = append(out.Bars, b)
	}
	return out, nil
}
