package lifecycle

import (
	"math"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/store"
)

func TestReckon(t *testing.T) {
	for name, c := range map[string]struct {
		perDay    int64
		demand    [][3]int64 // due, ends, how many
		missed    int64
		missedDay int
		done      []int64 // of the first days
		backlog   int64
		pace      float64
	}{
		"nothing":             {perDay: 100, missedDay: -1, done: []int64{0}},
		"enough time":         {100, [][3]int64{{0, 30, 250}}, 0, -1, []int64{100, 100, 50, 0}, 250, 0},
		"too much":            {100, [][3]int64{{0, 5, 1000}}, 400, 6, []int64{100, 100, 100, 100, 100, 100, 0}, 1000, 0},
		"what ends first":     {100, [][3]int64{{0, 2, 250}, {0, 9, 500}}, 0, -1, []int64{100, 100, 100, 100, 100, 100, 100, 50, 0}, 750, 0},
		"later and shorter":   {10, [][3]int64{{0, 80, 100}, {3, 5, 30}}, 0, -1, []int64{10, 10, 10, 10, 10, 10, 10}, 100, 0},
		"ended already":       {10, [][3]int64{{0, 0, 30}}, 20, 1, []int64{10, 0}, 30, 0},
		"not known":           {0, [][3]int64{{0, 5, 1_000_000}, {2, 9, 7}}, 0, -1, []int64{1_000_000, 0, 7}, 1_000_000, 2 * 1_000_000 / 2.5 / 86400},
		"a storm in time":     {0, [][3]int64{{0, 29, 5000}}, 0, -1, []int64{5000}, 5000, 0.5},
		"a storm in a hurry":  {0, [][3]int64{{0, 10, 500_000}, {0, 44, 500_000}}, 0, -1, nil, 1_000_000, 2 * 500_000 / 5.0 / 86400},
		"a storm that comes":  {0, [][3]int64{{1, 10, 500_000}}, 0, -1, []int64{0, 500_000}, 0, 0},
		"one of the last day": {1, [][3]int64{{89, 200, 5}}, 0, -1, []int64{0}, 0, 0},
	} {
		f := &Forecast{PerDay: c.perDay, Days: make([]ForecastDay, ForecastDays)}
		var demand []store.Demand
		for _, d := range c.demand {
			demand = append(demand, store.Demand{Due: d[0], Ends: d[1], N: d[2]})
		}
		f.reckon(demand)
		if f.Missed != c.missed || f.MissedDay != c.missedDay || f.Backlog != c.backlog || math.Abs(f.Pace-c.pace) > 1e-6 {
			t.Errorf("%s: %d missed from day %d, backlog %d, pace %g; want %d, %d, %d, %g", name, f.Missed, f.MissedDay, f.Backlog, f.Pace, c.missed, c.missedDay, c.backlog, c.pace)
		}
		for i, n := range c.done {
			if f.Days[i].Done != n {
				t.Errorf("%s: day %d: %d done, want %d", name, i, f.Days[i].Done, n)
			}
		}
	}
}

func TestCapacityIsLearnt(t *testing.T) {
	hour := 10
	for name, c := range map[string]struct {
		rate      float64
		slots     int
		learnt    store.Experience
		perSecond float64
		perDay    int64
	}{
		"nothing known":        {0, 16, store.Experience{}, 0, 0},
		"its limit":            {2, 16, store.Experience{}, 2, 172800},
		"slower than allowed":  {2, 1, store.Experience{Calls: 10, Background: 10, Took: 10 * time.Second}, 1, 86400},
		"faster than allowed":  {2, 16, store.Experience{Calls: 10, Background: 10, Took: 10 * time.Millisecond}, 2, 172800},
		"half of it failed":    {2, 16, store.Experience{Calls: 10, Background: 10, Failures: 5, Took: time.Second}, 2, 86400},
		"others ask, too":      {2, 16, store.Experience{Calls: 20000, Background: 0, Took: time.Second}, 2, 172800 - 48000},
		"the share is assured": {2, 16, store.Experience{Calls: 200000, Background: 0, Took: time.Second}, 2, 43200},
	} {
		f := &Forecast{}
		f.capacity(c.rate, c.slots, c.learnt, hour)
		if f.PerSecond != c.perSecond || f.PerDay != c.perDay {
			t.Errorf("%s: %g a second, %d a day; want %g, %d", name, f.PerSecond, f.PerDay, c.perSecond, c.perDay)
		}
	}
}

func TestStormRoom(t *testing.T) {
	var s storms
	now := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	id := ra.AuthorityID("ca_1")
	if n := s.room(id, 0.5, now); n != 1 {
		t.Errorf("at first %d", n)
	}
	s.gave(id, 0.5, 1)
	if n := s.room(id, 0.5, now.Add(time.Second)); n != 0 {
		t.Errorf("a second later %d", n)
	}
	total := 1
	for i := range 720 { // an hour
		n := s.room(id, 0.5, now.Add(time.Duration(i)*5*time.Second))
		s.gave(id, 0.5, n)
		total += n
	}
	if total < 1795 || total > 1801 {
		t.Errorf("%d in an hour at half a one a second", total)
	}
	if n := s.room(id, 0.5, now.Add(48*time.Hour)); n > 1801 {
		t.Errorf("%d after two days of nothing", n)
	}
}
