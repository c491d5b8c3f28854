package ra

import "time"

// Action is the next thing that happens to a row somebody waits for.
type Action string

// The actions of the planner. ActionNone means that nobody waits: the row has
// reached an end.
const (
	ActionNone    Action = ""
	ActionApprove Action = "approve" // people decide; the planner only watches the deadline
	ActionIssue   Action = "issue"   // ask the authority, after looking whether it already answered
	ActionFetch   Action = "fetch"   // the authority said "later": ask again
	ActionRenew   Action = "renew"   // the managed certificate is due
	ActionAwait   Action = "await"   // the device renews by itself; the planner watches that it does
	ActionExpire  Action = "expire"  // nothing renews this certificate; record its end
	ActionRetire  Action = "retire"  // superseded: revoke after the grace period
	ActionRevoke  Action = "revoke"  // decided here, not yet confirmed by the authority
	ActionDeliver Action = "deliver" // the parameters of a pass have to be brought to its device

	ActionSync     Action = "sync"     // the users of a directory are taken over
	ActionPublish  Action = "publish"  // a certificate belongs into its user's directory entry
	ActionWithdraw Action = "withdraw" // and does not any longer

	ActionHandOver Action = "hand_over" // a key made here belongs into its user's directory entry or to a key service
	ActionTakeBack Action = "take_back" // and does not any longer

	ActionImport Action = "import" // what an authority issued without this server is taken over

	ActionEvaluate Action = "evaluate" // the guard looks at an authority and its templates
	ActionMend     Action = "mend"     // people mend a danger, or sign it off
)

// Obligation is what a waiting row owes: the next action, when it is due, and
// by when it must be done before people are told. A database CHECK makes a
// waiting row without a next action impossible.
type Obligation struct {
	Action    Action
	At        time.Time // when the planner looks at it next
	Deadline  time.Time // after this it is late and escalates; zero: none
	Attempts  int       // tries of this action so far
	LastError string    // message and remedy of the last failed try
	Escalated time.Time // when people were told that it is late; zero: not yet
}

// Late reports whether the deadline has passed.
func (o Obligation) Late(now time.Time) bool {
	return o.Action != ActionNone && !o.Deadline.IsZero() && now.After(o.Deadline)
}

// ObligationRow is one waiting row of any kind, as lists show it.
type ObligationRow struct {
	Obligation
	Kind      string // "request", "certificate", "pass", "directory", "publication", "key_delivery", "posture", "danger" or "ca_import"
	ID        string
	Title     string // subject of the request or certificate
	GroupID   GroupID
	Authority AuthorityID
	Device    DeviceID
}
