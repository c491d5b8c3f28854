package trace

import (
	"cmp"
	"slices"
	"strings"

	"chancery/internal/pass"
	"chancery/internal/ra"
)

// lanes gives who takes a step of a pass in the words of traces.
var lanes = map[string]string{"device": Device, "proxy": Chancery, "server": Authority}

// ofPass tells a pass: the nineteen steps in order, then what happened besides
// and how it ended.
func ofPass(p *ra.Pass, hops []ra.Hop) *Trace {
	t := &Trace{Pass: p, Result: Waiting}
	for _, v := range pass.Steps(p, hops) {
		l := Line{Number: v.Number, Step: v.Name, Title: v.Title, Who: lanes[v.Who], State: v.State, At: v.At, Took: v.Took, Message: v.Message, Remedy: v.Remedy, Fields: v.Fields}
		if v.Times > 1 {
			l.Times = v.Times
		}
		t.Lines = append(t.Lines, l)
	}
	for _, h := range hops {
		if !slices.ContainsFunc(pass.AllSteps, func(s pass.Step) bool { return s.Name == h.Step }) {
			t.Lines = append(t.Lines, ofHop(h))
		}
	}
	switch p.State {
	case ra.PassExpired:
		t.end("pass.expired", "The pass expired", p, "The device did not come in time.", "Make a new pass, and bring its parameters to the device sooner.")
	case ra.PassRevoked:
		t.end("pass.revoked", "The pass was revoked", p, cmp.Or(p.Reason, "Somebody revoked it."), "Make a new pass if the device may enrol.")
	}
	if p.State == ra.PassFailed && !slices.ContainsFunc(t.Lines, func(l Line) bool { return l.State == pass.StepFails }) {
		t.end("pass.failed", "The pass ended without a certificate", p, p.Reason, "See what the last steps say, and make a new pass.")
	}
	t.lastFailure()
	switch {
	case p.State == ra.PassDone:
		t.Result = Done
		// The steps got there; what does not fit with it is worth a word.
		if t.Problem != nil && (t.Problem.Number > 0 || t.Problem.State != pass.StepFails) {
			t.Problem = nil
		}
	case p.State.Ended():
		t.Result = Failed
	case p.State != ra.PassPending && t.Problem != nil && t.Problem.State == pass.StepFails && !later(t.Lines, t.Problem):
		t.Result = Failed
	}
	return t
}

// end adds the line about the end of a pass that no step tells of.
func (t *Trace) end(step, title string, p *ra.Pass, message, remedy string) {
	t.Lines = append(t.Lines, Line{Step: step, Title: title, Who: Chancery, State: pass.StepFails, At: p.UpdatedAt, Message: message, Remedy: remedy})
}

// lastFailure points at the failed line that happened last or, when none fails,
// at the one that waits for something that can be done. Of those in the same
// moment the first one is the cause of the others.
func (t *Trace) lastFailure() {
	point := func(concerns func(*Line) bool) {
		for i := range t.Lines {
			if l := &t.Lines[i]; concerns(l) && (t.Problem == nil || l.At.After(t.Problem.At)) {
				t.Problem = l
			}
		}
	}
	if point(func(l *Line) bool { return l.State == pass.StepFails }); t.Problem == nil {
		point(func(l *Line) bool { return l.State == pass.StepWaits && l.Message != "" && l.Remedy != "" })
	}
}

// later reports whether something went well after a failure, in a further step.
func later(lines []Line, failed *Line) bool {
	return slices.ContainsFunc(lines, func(l Line) bool {
		return l.Number > failed.Number && failed.Number > 0 && (l.State == pass.StepDone || l.State == pass.StepWaits) && l.At.After(failed.At)
	})
}

// ofHop is the line of a hop that is none of the nineteen steps.
func ofHop(h ra.Hop) Line {
	l := Line{Step: h.Step, Title: title(h.Step), Who: Chancery, State: pass.StepDone, At: h.At, Took: microseconds(h.Took), Message: h.Message, Remedy: h.Remedy, Fields: h.Fields}
	switch h.Result {
	case ra.HopFailed:
		l.State = pass.StepFails
	case ra.HopWaiting:
		l.State = pass.StepWaits
	}
	return l
}

// title makes the name of a step a line's title.
func title(step string) string {
	if step == pass.StepLearnt {
		return "Note the certificate in the inventory"
	}
	s := strings.NewReplacer(".", " ", "_", " ").Replace(step)
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
