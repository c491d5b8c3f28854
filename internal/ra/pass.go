package ra

// PassModel says how a device with a pass talks to the SCEP server.
type PassModel string

// The models.
const (
	PassProxy    PassModel = "proxy"    // through us: the server stays inside
	PassDelegate PassModel = "delegate" // by itself: we only fetch the challenge
)

// PassState is a step of the life of a pass.
type PassState string

// The states of a pass. A failed one may still be tried again by the same key
// a few times; the others at the end are final.
const (
	PassIssued  PassState = "issued"  // nothing was sent with it yet
	PassClaimed PassState = "claimed" // a message went to the server, the outcome is not known
	PassPending PassState = "pending" // the server decides later; the device polls
	PassDone    PassState = "done"    // the server gave a certificate
	PassFailed  PassState = "failed"
	PassExpired PassState = "expired"
	PassRevoked PassState = "revoked"
)

// PassStates lists every state in the order of a pass's life.
var PassStates = []PassState{PassIssued, PassClaimed, PassPending, PassDone, PassFailed, PassExpired, PassRevoked}

// Ended reports whether nobody waits for a pass in this state.
func (s PassState) Ended() bool {
	return s == PassDone || s == PassFailed || s == PassExpired || s == PassRevoked
}

// Pass lets one device enrol once at a SCEP server that is not ours.
type Pass struct {
	ID          PassID
	GroupID     GroupID
	AuthorityID AuthorityID
	TemplateID  TemplateID
	TemplateRev int // the template's revision the fill was made with
	DeviceID    DeviceID
	UserID      UserID
	Model       PassModel
	State       PassState
	Hash        string // of the token in the address of the proxy; empty for a delegate
	SealedToken []byte // the token, while the pass is unused: its address may be shown again
	Subject     string // RFC 4514, what the device asks for
	Marker      string // the text in the subject by which the certificate is known again; may be empty
	Fill        []byte // JSON of the filled template

	TransactionID string // that the first message bound it to
	SignerHash    string // SHA-256 of the public key that signed it, hex
	Messages      int    // passed on so far
	MaxMessages   int
	Failures      int    // refusals of the server and answers that were lost
	PKIStatus     string // of the last answer: "success", "failure", "pending", "lost"; empty before
	FailInfo      string

	CertificateID CertificateID // what it led to, once that is known
	Confirmed     bool          // the certificate was seen elsewhere than in the answer
	Renews        CertificateID // the certificate the new one replaces
	RenewAt       Instant       // when its certificate is enrolled anew; zero: never, or done

	Challenges     int     // how many were fetched for it
	RevealedAt     Instant // when the parameters were shown last
	ChallengeUntil Instant // when the challenge is too old; zero: never, or there is none
	ExpiresAt      Instant // when the token is too old

	Hops      int    // rows of its trace
	Reason    string // why it ended, when not in success: message and remedy
	CreatedBy Actor
	Obligation
	Times
}

// HopResult is how a hop of a trace ended.
type HopResult string

// The results.
const (
	HopOK      HopResult = "ok"
	HopFailed  HopResult = "failed"
	HopWaiting HopResult = "waiting" // somebody has to act before it goes on
	HopInfo    HopResult = "info"
)

// Hop is one thing that happened on the way of a pass or request.
type Hop struct {
	Owner    string // ID of the pass or request
	Position int    // from 1
	At       Instant
	Step     string
	Result   HopResult
	Took     int64 // microseconds; 0 when nothing was measured
	Message  string
	Remedy   string
	Fields   map[string]string // decoded, without secrets
}
