package lifecycle

import (
	"context"
	"fmt"
	"sync"
	"time"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// ForecastJob makes the full plan of every authority: what will be asked of it
// on each of the coming days, whether it can do that in time, and at which
// pace a storm of renewals goes on. It runs on one node at a time.
type ForecastJob struct{}

// Kind is the stable name of the job.
func (ForecastJob) Kind() string { return "lifecycle.forecast" }

// Timeout is how long a full plan may take.
func (ForecastJob) Timeout() time.Duration { return 10 * time.Minute }

const (
	forecastEvery = time.Hour
	// ForecastDays is how far a forecast reaches.
	ForecastDays = 90
	// stormFrom is how many renewals must be due at once to be spread over the
	// time that is left for them, instead of being done as fast as it goes.
	stormFrom = 2000
	// stormLeast is the slowest pace of a storm, a second.
	stormLeast = 0.5
	// learntOver is the span whose experience a forecast goes by.
	learntOver = 14 * 24 * time.Hour
)

// Forecast is the full plan of one authority.
type Forecast struct {
	MadeAt    time.Time     `json:"made_at"`
	Days      []ForecastDay `json:"days"` // the coming ones, the first begins at MadeAt
	Backlog   int64         `json:"backlog"`
	PerSecond float64       `json:"per_second"` // calls it can do; 0: not known yet
	PerDay    int64         `json:"per_day"`    // renewals it can do beside what else is asked of it; 0: not known yet
	NewPerDay int64         `json:"new_per_day"`
	CallMS    float64       `json:"call_ms"`  // how long a call takes, as learnt
	Failures  float64       `json:"failures"` // share of the calls that went unanswered, as learnt
	Missed    int64         `json:"missed"`   // renewals it cannot do before the certificate ends
	MissedDay int           `json:"missed_day"`
	Needed    float64       `json:"needed"` // renewals a second that would do for what is due now
	Pace      float64       `json:"pace"`   // at which what is due now is renewed, a second; 0: as fast as it goes
}

// ForecastDay is what one day brings.
type ForecastDay struct {
	Due     int64 `json:"due"`     // renewals that fall due here
	Devices int64 `json:"devices"` // devices expected to renew
	Done    int64 `json:"done"`    // renewals done, with what was left from before
	Missed  int64 `json:"missed"`  // certificates that end before their turn
}

// Forecast gives the last full plan of an authority; its MadeAt is zero before
// the first. The actor must see everything in the group of the authority,
// because the figures count it all.
func (s *Service) Forecast(ctx context.Context, actor ra.Actor, id ra.AuthorityID) (f Forecast, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		a, err := tx.Authority(id)
		if err != nil {
			return err
		}
		if err := access.CheckGroup(tx, actor, access.See, a.GroupID); err != nil {
			return err
		}
		_, err = tx.Forecast(id, &f)
		return err
	})
	return f, err
}

// PlanAll makes the full plan of every authority and keeps it.
func (s *Service) PlanAll(ctx context.Context, _ ForecastJob) error {
	var all []*ra.Authority
	if err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		all, err = tx.AllAuthorities()
		return err
	}); err != nil {
		return err
	}
	for _, a := range all {
		f, err := s.plan(ctx, a)
		if err != nil {
			return err
		}
		if err := s.DB.Write(ctx, func(tx *store.Tx) error { return s.keep(tx, a, f) }); err != nil {
			return err
		}
	}
	return nil
}

// plan counts and reckons, over one view of the database.
func (s *Service) plan(ctx context.Context, a *ra.Authority) (f *Forecast, err error) {
	slots := 0
	if o, err := s.Authorities.Reach(ctx, a.ID); err == nil {
		slots = o.AtOnce()
	}
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		f = &Forecast{MadeAt: tx.Now, Days: make([]ForecastDay, ForecastDays)}
		learnt, hours, err := tx.Experience(a.ID, learntOver)
		if err != nil {
			return err
		}
		f.capacity(a.RatePerSecond, slots, learnt, hours)
		own, err := tx.DemandOf(a.ID, ra.ActionRenew, ForecastDays)
		if err != nil {
			return err
		}
		devices, err := tx.DemandOf(a.ID, ra.ActionAwait, ForecastDays)
		if err != nil {
			return err
		}
		for _, d := range devices {
			f.Days[d.Due].Devices += d.N
		}
		f.reckon(own)
		return nil
	})
	return f, err
}

// capacity reckons what the authority can do: as much as its limit allows, as
// its answers take, and as it was there for.
func (f *Forecast) capacity(rate float64, slots int, learnt store.Experience, hours int) {
	f.PerSecond = rate
	if learnt.Calls > 0 {
		f.Failures = float64(learnt.Failures) / float64(learnt.Calls)
		f.CallMS = float64(learnt.Took) / float64(learnt.Calls) / float64(time.Millisecond)
		f.NewPerDay = (learnt.Calls - learnt.Background) * 24 / int64(hours)
		if most := float64(slots) * 1000 / max(f.CallMS, 0.1); slots > 0 && (rate == 0 || most < rate) {
			f.PerSecond = most
		}
	}
	if f.PerSecond > 0 {
		all := f.PerSecond * 86400 * (1 - f.Failures)
		f.PerDay = max(1, int64(max(all-float64(f.NewPerDay), all/4)))
	}
}

// reckon goes through the days: what ends first is renewed first, as much as a
// day takes.
func (f *Forecast) reckon(demand []store.Demand) {
	last := int64(0)
	for _, d := range demand {
		f.Days[d.Due].Due += d.N
		last = max(last, d.Ends)
		if d.Due == 0 {
			f.Backlog += d.N
		}
	}
	waiting := make([]int64, last+1) // by the day they end
	f.MissedDay = -1
	next := 0
	for day := range f.Days {
		for ; next < len(demand) && demand[next].Due <= int64(day); next++ {
			waiting[demand[next].Ends] += demand[next].N
		}
		for ends := 0; ends < min(day, len(waiting)); ends++ { // over already
			if waiting[ends] > 0 {
				f.Days[day].Missed += waiting[ends]
				waiting[ends] = 0
			}
		}
		left := f.PerDay
		for ends := range waiting {
			n := waiting[ends]
			if f.PerDay > 0 {
				n = min(n, left)
			}
			waiting[ends] -= n
			left -= n
			f.Days[day].Done += n
		}
		if f.Missed += f.Days[day].Missed; f.Days[day].Missed > 0 && f.MissedDay < 0 {
			f.MissedDay = day
		}
	}
	f.pace(demand)
}

// pace reckons how fast what is due now must be renewed so that each is done
// while half of its time is left, or two weeks. What is many is done twice as
// fast as that, and no faster: the storm of today is that of the next year.
func (f *Forecast) pace(demand []store.Demand) {
	sum := int64(0)
	for _, d := range demand { // in the order they end
		if d.Due > 0 {
			break
		}
		sum += d.N
		days := max(float64(d.Ends)-14, float64(d.Ends)/2, 0.5)
		f.Needed = max(f.Needed, float64(sum)/days/86400)
	}
	if f.Backlog >= stormFrom {
		f.Pace = max(2*f.Needed, stormLeast)
	}
}

// keep stores a forecast and tells people at once when the authority cannot do
// in time what falls due, and again when it has become a quarter more.
func (s *Service) keep(tx *store.Tx, a *ra.Authority, f *Forecast) error {
	var before Forecast
	if _, err := tx.Forecast(a.ID, &before); err != nil {
		return err
	}
	if err := tx.PutForecast(a.ID, f); err != nil {
		return err
	}
	if f.Missed == 0 || f.Missed <= before.Missed+before.Missed/4 {
		return nil
	}
	message, remedy := f.Shortage(a.Name)
	s.Log.Error("an authority cannot renew in time what falls due", "authority", a.Name, "missed", f.Missed, "per_second", f.PerSecond)
	return audit.Record(tx, audit.Entry{Code: audit.AuthorityCapacity, Actor: ra.System("lifecycle"), Group: a.GroupID, Object: string(a.ID), Result: "failed", Message: message,
		Details: map[string]any{"remedy": remedy, "missed": f.Missed, "backlog": f.Backlog, "renewals_per_day": f.PerDay}})
}

// Day gives the date of one of Days.
func (f *Forecast) Day(i int) time.Time { return f.MadeAt.UTC().AddDate(0, 0, i) }

// Shortage says what cannot be done in time and what to do about it.
func (f *Forecast) Shortage(authority string) (message, remedy string) {
	return fmt.Sprintf("%s can renew %d certificates a day; of those due in the next %d days, %d would end before their turn, the first on %s.",
			authority, f.PerDay, ForecastDays, f.Missed, f.Day(f.MissedDay).Format(time.DateOnly)),
		"Raise the limits of the authority, let the templates renew earlier, or move some to another authority."
}

// storms remembers how far the renewals of each authority may go at their pace.
type storms struct {
	mu   sync.Mutex
	next map[ra.AuthorityID]time.Time // when the next renewal may begin
}

// room gives how many renewals may begin now at so many a second. What was not
// begun in the last hour is not made up for.
func (s *storms) room(id ra.AuthorityID, pace float64, now time.Time) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == nil {
		s.next = map[ra.AuthorityID]time.Time{}
	}
	next, known := s.next[id]
	if !known {
		next = now
	}
	if early := now.Add(-time.Hour); next.Before(early) {
		next = early
	}
	s.next[id] = next
	if next.After(now) {
		return 0
	}
	return int(now.Sub(next).Seconds()*pace) + 1
}

// gave notes how many began.
func (s *storms) gave(id ra.AuthorityID, pace float64, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if pace > 0 && n > 0 {
		s.next[id] = s.next[id].Add(time.Duration(float64(n) / pace * float64(time.Second)))
	}
}
