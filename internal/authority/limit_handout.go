package authority

import (
	"sync"
	"time"
)

const (
	// handOutFirst is how many are handed out of a line nothing is known of.
	handOutFirst = 100
	// handOutAgain is after how long something that is due still is handed out
	// once more; the queue ignores it when it has it yet.
	handOutAgain = 10 * time.Minute
	// offerAgain is the same for what the queue had already: the job it had may
	// have been ending just then.
	offerAgain = 30 * time.Second
)

// Due is something that is to be done, and since when: what is due since another
// time than before has been done in between.
type Due[ID comparable] struct {
	ID ID
	At time.Time
}

// Handout remembers what the planner handed out of each line of work, so that
// the queue holds as much as gets done and no more: a line that was worked off
// by the next look is given twice as much, one that was not less. It is a help
// only; a planner that starts on another node does without it, because the
// queue takes nothing twice. Its zero value is ready; it is safe for concurrent
// use.
type Handout[ID comparable] struct {
	mu    sync.Mutex
	lines map[string]*line[ID]
}

type line[ID comparable] struct {
	out    map[ID]given // handed out and not done yet
	target int
	gave   bool // something was handed out the last time
}

// given is when something was handed out, and since when it was due.
type given struct{ at, due time.Time }

func (h *Handout[ID]) line(name string) *line[ID] {
	l := h.lines[name]
	if l == nil {
		if h.lines == nil {
			h.lines = map[string]*line[ID]{}
		}
		l = &line[ID]{out: map[ID]given{}, target: handOutFirst}
		h.lines[name] = l
	}
	return l
}

// Look gives how many due things of a line the planner must know, those first
// whose turn is first, for Next to choose from.
func (h *Handout[ID]) Look(name string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return 2 * h.line(name).target
}

// Next chooses what to hand out now of what is due, so that at most room are
// out at a time.
func (h *Handout[ID]) Next(name string, due []Due[ID], room int, now time.Time) []ID {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.line(name)
	still := make(map[ID]given, len(l.out))
	for _, d := range due {
		if g, ok := l.out[d.ID]; ok && now.Sub(g.at) < handOutAgain && g.due.Equal(d.At) {
			still[d.ID] = g
		}
	}
	switch {
	case l.gave && len(still) == 0:
		l.target = min(2*l.target, most)
	case len(still) > l.target/2:
		l.target = max(l.target/2, handOutFirst)
	}
	l.out = still
	var next []ID
	for _, d := range due {
		if len(still) >= min(l.target, room) {
			break
		}
		if _, out := still[d.ID]; !out {
			still[d.ID] = given{now, d.At}
			next = append(next, d.ID)
		}
	}
	l.gave = len(next) > 0
	return next
}

// Refused notes that the queue had a job already for some of what Next chose.
func (h *Handout[ID]) Refused(name string, ids []ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.line(name)
	for _, id := range ids {
		if g, ok := l.out[id]; ok {
			g.at = g.at.Add(offerAgain - handOutAgain)
			l.out[id] = g
		}
	}
}
