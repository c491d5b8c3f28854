package enroll

import (
	"fmt"
	"slices"
	"strings"

	"chancery/internal/ra"
)

// moves is the whole life of a request: from each state, the states it may
// reach. A move that is not here is refused; docs/flows draws this table.
var moves = map[ra.RequestState][]ra.RequestState{
	"":                  {ra.Requested},
	ra.Requested:        {ra.AwaitingApproval, ra.Approved},
	ra.AwaitingApproval: {ra.Approved, ra.DeniedState, ra.Cancelled},
	ra.Approved:         {ra.Submitted, ra.Cancelled, ra.Failed},
	ra.Submitted:        {ra.PendingAtCA, ra.Issued, ra.Failed, ra.DeniedState},
	ra.PendingAtCA:      {ra.Issued, ra.Failed, ra.DeniedState, ra.Cancelled},
	ra.Issued:           {},
	ra.DeniedState:      {},
	ra.Failed:           {},
	ra.Cancelled:        {},
}

// Ended reports whether a request in this state never moves again.
func Ended(s ra.RequestState) bool { return len(moves[s]) == 0 }

// move changes the state of r or refuses with a Conflict.
func move(r *ra.Request, to ra.RequestState) error {
	if !slices.Contains(moves[r.State], to) {
		return ra.Errorf(ra.Conflict, "A request that is %s cannot become %s.", words(r.State), words(to)).
			WithRemedy("Reload the request to see where it stands now.")
	}
	r.State = to
	if Ended(to) {
		r.Obligation = ra.Obligation{Attempts: r.Attempts, LastError: r.LastError}
	}
	return nil
}

func words(s ra.RequestState) string { return strings.ReplaceAll(string(s), "_", " ") }

// Diagram draws the table of moves as a Mermaid state diagram.
func Diagram() string {
	var b strings.Builder
	b.WriteString("stateDiagram-v2\n")
	for _, from := range ra.RequestStates {
		if from == ra.Requested {
			fmt.Fprintf(&b, "    [*] --> %s\n", from)
		}
		for _, to := range moves[from] {
			fmt.Fprintf(&b, "    %s --> %s\n", from, to)
		}
		if Ended(from) {
			fmt.Fprintf(&b, "    %s --> [*]\n", from)
		}
	}
	return b.String()
}
