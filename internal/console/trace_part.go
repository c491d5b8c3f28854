package console

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"chancery/internal/pass"
	"chancery/internal/ra"
	"chancery/internal/trace"
)

// traceView is a trace as pages draw it: what failed, a picture for those with
// steps, and a table that says the same.
type traceView struct {
	Problem *trace.Line
	Picture *sequence // nil for requests
	Lines   []traceLine
}

// traceLine is a line of the table.
type traceLine struct {
	trace.Line
	Who    string
	Fields []previewLine
}

var laneTitles = map[string]string{trace.Device: "Device", trace.Chancery: "Chancery", trace.Authority: "Authority", trace.Person: "Person"}

func newTrace(t *trace.Trace) traceView {
	d := traceView{Problem: t.Problem}
	for _, l := range t.Lines {
		line := traceLine{Line: l, Who: laneTitles[l.Who]}
		if t.Pass != nil && l.Who == trace.Authority {
			line.Who = "SCEP server"
		}
		for _, name := range slices.Sorted(maps.Keys(l.Fields)) {
			line.Fields = append(line.Fields, previewLine{words(name), l.Fields[name]})
		}
		d.Lines = append(d.Lines, line)
	}
	if t.Pass != nil {
		d.Picture = drawSequence(t)
	}
	return d
}

// The picture of the nineteen steps: three lanes from top to bottom, an arrow or
// a mark for each step, its state as shape and word at the right.
const (
	laneDevice, laneHere, laneServer = 60, 360, 660
	sequenceWidth                    = 850
	sequenceTop                      = 44 // below the names of the lanes
	sequenceRow                      = 34
	wordsAt                          = 728
	noteLine                         = 17
	noteChars                        = 104
)

// sequence is the picture, ready to be drawn.
type sequence struct {
	Width, Height int
	Label         string
	Lanes         []lane
	Bottom        int // of the lanes
	Steps         []sequenceStep
}

type lane struct {
	X     int
	Title string
}

// sequenceStep is one step of the picture.
type sequenceStep struct {
	Number, Y int
	From, To  int // lanes; the same for what happens at one of them
	Head      string
	State     string // "done", ...: the shape
	Word      string
	Title     string
	TextX     int
	TextY     int
	WordX     int
	Anchor    string
	Note      *sequenceNote // beside the step that fails
}

type sequenceNote struct {
	Y, Height int
	Lines     []noteText
}

type noteText struct {
	Y    int
	Text string
}

// journeys tells from where to where the steps go. A delegate's device talks to
// the server itself, so that the proxy's steps are none.
var journeys = map[string][2]int{
	pass.StepChallengeAsked: {laneHere, laneServer}, pass.StepChallengeGiven: {laneServer, laneHere}, pass.StepPayload: {laneHere, laneDevice},
	pass.StepCertAsked: {laneDevice, laneHere}, pass.StepCertForwarded: {laneHere, laneServer}, pass.StepCertAnswered: {laneServer, laneHere}, pass.StepCertReturned: {laneHere, laneDevice},
	pass.StepCapsAsked: {laneDevice, laneHere}, pass.StepCapsForwarded: {laneHere, laneServer}, pass.StepCapsAnswered: {laneServer, laneHere}, pass.StepCapsReturned: {laneHere, laneDevice},
	pass.StepMessage: {laneDevice, laneHere}, pass.StepForwarded: {laneHere, laneServer}, pass.StepReply: {laneServer, laneHere}, pass.StepReturned: {laneHere, laneDevice},
}

var directly = map[string][2]int{
	pass.StepCertAsked: {laneDevice, laneServer}, pass.StepCertAnswered: {laneServer, laneDevice}, pass.StepCapsAsked: {laneDevice, laneServer}, pass.StepCapsAnswered: {laneServer, laneDevice},
	pass.StepMessage: {laneDevice, laneServer}, pass.StepReply: {laneServer, laneDevice},
}

// drawSequence places the steps of a pass.
func drawSequence(t *trace.Trace) *sequence {
	s := &sequence{Width: sequenceWidth, Lanes: []lane{{laneDevice, "Device"}, {laneHere, "Chancery"}, {laneServer, "SCEP server"}}}
	count := map[pass.StepState]int{}
	y := sequenceTop + sequenceRow/2
	for i := range t.Lines {
		l := &t.Lines[i]
		if l.Number == 0 {
			continue
		}
		count[l.State]++
		at := map[string]int{trace.Device: laneDevice, trace.Chancery: laneHere, trace.Authority: laneServer}[l.Who]
		way, moves := journeys[l.Step]
		if t.Pass.Model == ra.PassDelegate && l.Number > 3 && moves {
			if way, moves = directly[l.Step]; !moves {
				continue
			}
		}
		if !moves {
			way = [2]int{at, at}
		}
		x := sequenceStep{Number: l.Number, Y: y, TextY: y - 6, WordX: wordsAt, From: way[0], To: way[1], State: string(l.State), Word: badgeOf(string(l.State)).Word, Title: l.Title}
		switch {
		case x.From == x.To:
			x.TextX, x.TextY, x.Anchor = x.From+18, y+4, "start"
		default:
			x.TextX, x.Anchor, x.Head = (x.From+x.To)/2, "middle", arrow(x.From, x.To, y)
			if x.To > x.From { // the mark takes room at its beginning
				x.TextX += 6
			} else {
				x.TextX -= 6
			}
		}
		if l == t.Problem && l.State == pass.StepFails {
			x.Note = note(y+sequenceRow/2, strings.TrimSpace(l.Message+" "+l.Remedy))
			y += x.Note.Height + 6
		}
		s.Steps = append(s.Steps, x)
		y += sequenceRow
	}
	s.Bottom = y - sequenceRow/2
	s.Height = s.Bottom + 12
	s.Label = fmt.Sprintf("The nineteen steps of the enrolment: %d done, %d inferred, %d waiting, %d failed, %d skipped, %d not reached. The table below says the same.",
		count[pass.StepDone], count[pass.StepInferred], count[pass.StepWaits], count[pass.StepFails], count[pass.StepSkipped], count[pass.StepNotReached])
	return s
}

// arrow is the head of an arrow at the end of its line.
func arrow(from, to, y int) string {
	back := 9
	if to < from {
		back = -9
	}
	return fmt.Sprintf("M%d %dL%d %dL%d %d", to-back, y-5, to, y, to-back, y+5)
}

// note breaks what is to be said beside a step into lines.
func note(y int, text string) *sequenceNote {
	n := &sequenceNote{Y: y}
	line := ""
	for _, w := range strings.Fields(text) {
		if line != "" && len([]rune(line))+1+len([]rune(w)) > noteChars {
			n.Lines, line = append(n.Lines, noteText{Text: line}), ""
		}
		line = strings.TrimSpace(line + " " + clip(w, noteChars))
	}
	n.Lines = append(n.Lines, noteText{Text: line})
	for i := range n.Lines {
		n.Lines[i].Y = y + 18 + i*noteLine
	}
	n.Height = len(n.Lines)*noteLine + 12
	return n
}

// lasted says how long a hop took; microseconds are as good as nothing.
func lasted(d time.Duration) string {
	switch {
	case d <= 0:
		return ""
	case d < time.Millisecond:
		return "< 1 ms"
	}
	return took(d)
}
