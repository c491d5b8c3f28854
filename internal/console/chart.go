package console

import (
	"net/url"
	"time"

	"chancery/internal/ra"
	"chancery/internal/store"
)

// The chart of what ends: one strip for each authority, one bar for each day.
const (
	chartDays   = 90
	chartStep   = 10 // width of a day, of which the bar takes 8
	chartHeight = 48
)

// strip is one authority's coming days.
type strip struct {
	Authority link
	Bars      []bar
	Ends      int // certificates that end in the span
	Attention int // of those, the ones nothing renews
	Marks     []int
	Line      int // of what the authority can renew a day, from the top; 0: off the chart
}

// bar is one day: what is renewed by itself below, what needs somebody above.
type bar struct {
	X, Top, Height   int // of what renews itself
	NeedTop, NeedAll int // of what needs attention; NeedAll 0: nothing
	Title            string
	URL              string
}

// renewsItself: somebody or something is on it, watched by an obligation.
func renewsItself(action string) bool {
	return ra.Action(action) == ra.ActionRenew || ra.Action(action) == ra.ActionAwait
}

// chart turns the calendar into strips, those that need attention first, and
// gives how many certificates end on the fullest day of one authority.
func (v *visit) chart(buckets []store.ExpiryBucket, now time.Time) ([]strip, int) {
	type day struct{ calm, need int }
	days := map[string]*[chartDays]day{}
	var order []string
	highest := 0
	for _, b := range buckets {
		if b.Day < 0 || b.Day >= chartDays {
			continue
		}
		if days[b.AuthorityID] == nil {
			days[b.AuthorityID] = &[chartDays]day{}
			order = append(order, b.AuthorityID)
		}
		d := &days[b.AuthorityID][b.Day]
		if renewsItself(b.Action) {
			d.calm += int(b.N)
		} else {
			d.need += int(b.N)
		}
		highest = max(highest, d.calm+d.need)
	}
	most := max(highest, 2) // so that a single certificate does not look like a storm
	var out []strip
	for _, id := range order {
		s := strip{Authority: v.authorityLink(ra.AuthorityID(id)), Marks: []int{0, 30 * chartStep, 60 * chartStep}}
		if f, err := v.Lifecycle.Forecast(v.ctx(), v.actor, ra.AuthorityID(id)); err == nil && f.PerDay > 0 && f.PerDay <= int64(most) {
			s.Line = chartHeight - scaled(int(f.PerDay), most)
		}
		for i, d := range days[id] {
			if d.calm+d.need == 0 {
				continue
			}
			s.Ends, s.Attention = s.Ends+d.calm+d.need, s.Attention+d.need
			b := bar{X: i*chartStep + 1, Height: scaled(d.calm, most), NeedAll: scaled(d.need, most)}
			b.Top = chartHeight - b.Height
			b.NeedTop = b.Top - b.NeedAll
			from := now.UTC().Truncate(24*time.Hour).AddDate(0, 0, i)
			b.Title = from.Format("2006-01-02") + ": " + plural(d.calm, "certificate") + " renewed automatically, " + count(d.need) + " need attention"
			b.URL = address("/certificates", url.Values{"authority": {id}, "from": {from.Format(time.RFC3339)}, "to": {from.AddDate(0, 0, 1).Format(time.RFC3339)}})
			s.Bars = append(s.Bars, b)
		}
		out = append(out, s)
	}
	return out, highest
}

// scaled gives the height of n among at most most; what is there is seen.
func scaled(n, most int) int {
	if n == 0 {
		return 0
	}
	return max(n*(chartHeight-6)/most, 5)
}
