package authority

import (
	"slices"
	"testing"
	"time"

	"chancery/internal/store"
)

func TestDecide(t *testing.T) {
	now := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	const gap = 500 * time.Millisecond
	soon, later := now.Add(100*time.Millisecond), now.Add(time.Second)
	for name, c := range map[string]struct {
		row   store.Limit
		ask   claim
		open  int
		who   class
		calls int
		wait  time.Duration
		free  time.Time
	}{
		"first":                    {store.Limit{}, claim{waiting: [2]int{1, 0}, gap: gap}, 0, urgent, 1, 0, now.Add(gap)},
		"one at a time":            {store.Limit{}, claim{waiting: [2]int{5, 0}, gap: gap}, 0, urgent, 1, 0, now.Add(gap)},
		"too early":                {store.Limit{FreeAt: soon}, claim{waiting: [2]int{1, 1}, gap: gap}, 0, urgent, 0, 100 * time.Millisecond, soon},
		"the clock was set back":   {store.Limit{FreeAt: now.Add(time.Hour)}, claim{waiting: [2]int{1, 0}, gap: gap}, 0, urgent, 0, gap, now.Add(gap)},
		"a high rate in lumps":     {store.Limit{}, claim{waiting: [2]int{500, 0}, gap: time.Millisecond}, 0, urgent, 100, 0, now.Add(100 * time.Millisecond)},
		"behind somebody urgent":   {store.Limit{UrgentUntil: later}, claim{waiting: [2]int{0, 4}, gap: gap}, 0, urgent, 0, look, time.Time{}},
		"the share of the calm":    {store.Limit{UrgentUntil: later, Streak: share}, claim{waiting: [2]int{0, 4}, gap: time.Millisecond}, 0, calm, 1, 0, now.Add(time.Millisecond)},
		"urgent stands back":       {store.Limit{CalmUntil: later, Streak: share}, claim{waiting: [2]int{4, 0}, gap: gap}, 0, calm, 0, look, time.Time{}},
		"nobody calm waits":        {store.Limit{CalmUntil: now, Streak: share}, claim{waiting: [2]int{4, 0}, gap: gap}, 0, urgent, 1, 0, now.Add(gap)},
		"all places taken":         {store.Limit{}, claim{waiting: [2]int{4, 0}, most: 3}, 3, urgent, 0, look, time.Time{}},
		"more taken than allowed":  {store.Limit{}, claim{waiting: [2]int{4, 0}, most: 3}, 5, urgent, 0, look, time.Time{}},
		"the last place":           {store.Limit{}, claim{waiting: [2]int{4, 0}, most: 3}, 2, urgent, 1, 0, now},
		"places for three":         {store.Limit{}, claim{waiting: [2]int{9, 0}, most: 3}, 0, urgent, 3, 0, now},
		"a mark from wrong clocks": {store.Limit{UrgentUntil: now.Add(time.Hour)}, claim{waiting: [2]int{0, 1}, gap: gap}, 0, calm, 1, 0, now.Add(gap)},
	} {
		row, got := c.row, c.ask
		got.decide(&row, now, c.open)
		if got.who != c.who || got.calls != c.calls || got.wait != c.wait || !row.FreeAt.Equal(c.free) {
			t.Errorf("%s: %d of class %d, wait %s, free at %s; want %d of %d, %s, %s", name, got.calls, got.who, got.wait, row.FreeAt, c.calls, c.who, c.wait, c.free)
		}
	}
}

// TestDecideAsThreeNodes plays a minute of three nodes that ask whenever they
// may: one has urgent work, two have calm work only. The rate holds exactly,
// and each class gets its share.
func TestDecideAsThreeNodes(t *testing.T) {
	const gap = 100 * time.Millisecond
	begin := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	row := store.Limit{}
	waiting := [3][2]int{{4, 0}, {0, 4}, {0, 4}}
	var again [3]time.Time
	var last time.Time
	got := [2]int{}
	for now := begin; now.Before(begin.Add(time.Minute)); now = now.Add(time.Millisecond) {
		for node := range waiting {
			if now.Before(again[node]) {
				continue
			}
			c := claim{waiting: waiting[node], gap: gap}
			c.decide(&row, now, 0)
			if c.calls == 0 {
				again[node] = now.Add(c.wait)
				continue
			}
			if now.Sub(last) < gap || c.calls > 1 {
				t.Fatalf("%d calls %s after the last", c.calls, now.Sub(last))
			}
			last = now
			got[c.who]++
		}
	}
	if all := got[urgent] + got[calm]; all < 550 || got[calm] < all/5 || got[urgent] < all/2 {
		t.Errorf("%d urgent, %d calm", got[urgent], got[calm])
	}
}

func TestHandout(t *testing.T) {
	var h Handout[int]
	now := time.Now()
	due := func(from, to int) (list []Due[int]) {
		for i := from; i < to; i++ {
			list = append(list, Due[int]{ID: i, At: now})
		}
		return list
	}
	if n := len(h.Next("a", due(0, 1000), 1000, now)); n != handOutFirst {
		t.Errorf("first %d", n)
	}
	if n := len(h.Next("a", due(0, 1000), 1000, now)); n != 0 {
		t.Errorf("nothing done yet, and %d more", n)
	}
	if n := len(h.Next("b", due(0, 1000), 7, now)); n != 7 {
		t.Errorf("room for 7: %d", n)
	}
	// Worked off: more each time, up to a bound.
	from, last := 0, 0
	h = Handout[int]{}
	for range 20 {
		next := h.Next("a", due(from, from+5000), 5000, now)
		from += len(next)
		last = len(next)
	}
	if last != most {
		t.Errorf("at the end %d", last)
	}
	// Half of it is done: no more than there is room for.
	if n := len(h.Next("a", due(from-last/2, from+5000), 5000, now)); n > most/2 {
		t.Errorf("%d more", n)
	}
	// What is due still after a while is handed out once more.
	h = Handout[int]{}
	h.Next("a", due(0, 3), 10, now)
	if next := h.Next("a", due(0, 3), 10, now.Add(handOutAgain)); len(next) != 3 {
		t.Errorf("%v", next)
	}
	// So is, sooner, what the queue had a job for already.
	h = Handout[int]{}
	h.Refused("a", h.Next("a", due(0, 3), 10, now)[:1])
	if next := h.Next("a", due(0, 3), 10, now.Add(offerAgain-time.Second)); len(next) != 0 {
		t.Errorf("%v", next)
	}
	if next := h.Next("a", due(0, 3), 10, now.Add(offerAgain)); !slices.Equal(next, []int{0}) {
		t.Errorf("%v", next)
	}
	h = Handout[int]{}
	h.Next("a", due(0, 3), 10, now.Add(handOutAgain))
	// So is at once what was done and is due anew: it was asked for and put off by less
	// than the time between two looks.
	again := due(0, 3)
	again[1].At = now.Add(time.Second)
	if next := h.Next("a", again, 10, now.Add(handOutAgain+time.Second)); !slices.Equal(next, []int{1}) {
		t.Errorf("%v", next)
	}
}
