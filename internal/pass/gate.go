package pass

import (
	"context"
	"slices"
	"strconv"
	"time"

	"chancery/internal/audit"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/wire/scepmsg"
)

// Reason is why the gate refuses something. The door has one table from reasons
// to HTTP.
type Reason string

// The reasons.
const (
	Malformed      Reason = "malformed"       // it is no message, or not signed as it should be
	BadType        Reason = "bad_type"        // a type of message that is not passed on
	BadAlgorithm   Reason = "bad_algorithm"   // below the floor of the authority
	BadKey         Reason = "bad_key"         // the key that signed it is too weak
	Unknown        Reason = "unknown"         // there is no such token
	Used           Reason = "used"            // the token was used up
	Void           Reason = "void"            // the pass was revoked, or its device may not enrol
	Expired        Reason = "expired"         // the token is too old
	StaleChallenge Reason = "stale_challenge" // the challenge is too old; nothing was passed on
	StaleCA        Reason = "stale_ca"        // encrypted to a certificate that the server does not show
	Foreign        Reason = "foreign"         // another transaction or key than the pass is bound to, or a signer nobody knows
	TooOften       Reason = "too_often"       // more messages than the pass allows
	InFlight       Reason = "in_flight"       // another message of this pass is under way
	Away           Reason = "away"            // the server does not answer, or has too much to do
)

// Reasons lists every reason, for the test that walks the door's table.
var Reasons = []Reason{Malformed, BadType, BadAlgorithm, BadKey, Unknown, Used, Void, Expired, StaleChallenge, StaleCA, Foreign, TooOften, InFlight, Away}

// Refusal is an error that says why a message is not passed on: to the trace in
// full, to the device by its reason only.
type Refusal struct {
	Reason Reason
	Err    *ra.Error
}

func (r *Refusal) Error() string { return r.Err.Error() }

// Unwrap gives the error for people.
func (r *Refusal) Unwrap() error { return r.Err }

func refuse(reason Reason, format string, args ...any) *Refusal {
	return &Refusal{reason, ra.Errorf(ra.Denied, format, args...)}
}

func (r *Refusal) remedy(format string, args ...any) *Refusal {
	r.Err = r.Err.WithRemedy(format, args...)
	return r
}

// Refuse makes a refusal of the door's own.
func Refuse(reason Reason, message, remedy string) *Refusal {
	return refuse(reason, "%s", message).remedy("%s", remedy)
}

// Ticket is what never changes about a pass: a door may remember it by the
// token.
type Ticket struct {
	Pass      ra.PassID
	Authority ra.AuthorityID
	Device    ra.DeviceID
	ExpiresAt time.Time
}

// Ticket finds a pass of the proxy by the hash of its token. One that does not
// exist is a *Refusal.
func (s *Service) Ticket(ctx context.Context, hash string) (t Ticket, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		found, err := tx.PassTicket(hash)
		if ra.KindOf(err) == ra.NotFound {
			return refuse(Unknown, "There is no such token.").remedy("Make a new pass for the device.")
		}
		t = Ticket(found)
		return err
	})
	return t, err
}

// Arrival is a message at the gate: its signature holds, and what can be
// checked without knowing the pass was checked.
type Arrival struct {
	Hash        string // SHA-256 of the message, hex
	Type        scepmsg.MessageType
	Transaction string
	Signer      string // SHA-256 of the public key that signed it, hex
	Certificate string // SHA-256 of the certificate that signed it, hex
	SelfSigned  bool
	Remote      string
	Hops        []ra.Hop // how it came here; stored with the claim
}

// Claim is the gate's answer to an Arrival.
type Claim struct {
	Pass   *ra.Pass    // as it is now
	Answer *store.Sent // what was answered to this very message; nil: pass it on
	Wait   bool        // it is being passed on already, by somebody else
	former ra.Pass     // as it was before
	known  *store.Sent // the message as it was known before; nil: it was not
	sent   store.Sent
	poll   bool
	hops   []ra.Hop // how it came here; in memory until the answer is stored
}

const (
	// flight is how long a message may be under way before it is believed lost.
	flight = 45 * time.Second
	// again is how long a "pending" is repeated to the very same message; a
	// client that sends it again later wants to know how things stand.
	again = 5 * time.Second
	// awaitAnswer is how long a claimed pass waits for its device to try again.
	awaitAnswer = time.Hour
	// awaitPending is how long the server may decide.
	awaitPending = 14 * 24 * time.Hour
)

// Claim decides whether a message may be passed on and binds the pass to it,
// durably, before it is. A refusal is a *Refusal and is in the trace by then.
func (s *Service) Claim(ctx context.Context, id ra.PassID, a Arrival) (*Claim, error) {
	early := s.takeEarly(id)
	var c *Claim
	var refused *Refusal
	err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
		c, refused = &Claim{}, nil // this may run again
		if c.Pass, err = tx.Pass(id); err != nil {
			return err
		}
		c.former = *c.Pass
		p := c.Pass
		var known *store.Sent
		if p.Messages > 0 {
			if known, err = tx.Sent(id, a.Hash); err != nil && ra.KindOf(err) != ra.NotFound {
				return err
			}
		}
		if refused, err = s.judge(tx, p, &a, known, c); err != nil {
			return err
		}
		switch {
		case refused != nil:
			return s.refused(tx, p, slices.Concat(fresh(p, early), a.Hops), refused)
		case c.Answer != nil || c.Wait:
			return nil
		}
		return s.bind(tx, c, a, known, early)
	})
	if err != nil {
		s.back(id, early)
		return nil, err
	}
	if refused != nil {
		return nil, refused
	}
	if c.Answer != nil || c.Wait {
		s.back(id, early)
	} else {
		s.back(id, c.hops)
	}
	return c, nil
}

// judge says what is to become of a message. Repetitions come first: whatever
// happened to the pass meanwhile, the same message gets the same answer.
func (s *Service) judge(tx *store.Tx, p *ra.Pass, a *Arrival, known *store.Sent, c *Claim) (*Refusal, error) {
	if known != nil && p.State != ra.PassRevoked {
		final := known.PKIStatus != statusPending
		switch {
		case known.AnsweredAt.IsZero() && tx.Now.Sub(known.SentAt) < flight && known.PKIStatus == statusSent:
			c.Wait = true
			return nil, nil
		case !known.AnsweredAt.IsZero() && (final || tx.Now.Sub(known.AnsweredAt) < again):
			c.Answer = known
			return nil, nil
		case known.AnsweredAt.IsZero() && known.Tries >= 2:
			return refuse(TooOften, "The answer to this message was lost twice.").remedy("Make a new pass for the device; look why the server does not answer."), nil
		}
	}
	c.poll = a.Type == scepmsg.CertPoll || p.State == ra.PassPending
	if r, err := s.usable(tx, p, a); r != nil || err != nil {
		return r, err
	}
	return s.bound(tx, p, a)
}

// usable says whether anything may be sent with a pass now.
func (s *Service) usable(tx *store.Tx, p *ra.Pass, a *Arrival) (*Refusal, error) {
	switch p.State {
	case ra.PassRevoked:
		return refuse(Void, "The pass was revoked: %s", p.Reason).remedy("Make a new pass if the device may enrol."), nil
	case ra.PassExpired:
		return refuse(Expired, "The pass has expired.").remedy("Make a new pass, and bring it to the device sooner."), nil
	case ra.PassDone:
		return refuse(Used, "The pass was used.").remedy("Make a new pass to enrol the device again."), nil
	case ra.PassIssued:
		if !p.ExpiresAt.After(tx.Now) {
			return refuse(Expired, "The pass expired at %s.", stamp(p.ExpiresAt)).remedy("Make a new pass, and bring it to the device sooner."), nil
		}
	}
	why := offline(tx, p)
	if k := ra.KindOf(why); k == ra.Conflict || k == ra.NotFound {
		return &Refusal{Void, ra.AsError(why)}, nil
	} else if why != nil {
		return nil, why
	}
	first := a.Type == scepmsg.PKCSReq && a.SelfSigned && p.Messages == 0
	switch {
	case first && !p.ChallengeUntil.IsZero() && !p.ChallengeUntil.After(tx.Now):
		return refuse(StaleChallenge, "The challenge ran out at %s, before the device came.", stamp(p.ChallengeUntil)).
			remedy("Give the device the parameters of this pass again; they come with a new challenge."), nil
	case p.Messages >= p.MaxMessages:
		return refuse(TooOften, "%d messages were passed on already.", p.Messages).remedy("Make a new pass; look why the device does not stop."), nil
	case p.Failures > maxFailures:
		return refuse(Used, "The device tried %d times without success.", p.Failures).remedy("See in the trace what the server said, and make a new pass."), nil
	case p.PKIStatus == statusSent:
		if at, err := tx.LastSent(p.ID); err != nil || tx.Now.Sub(at) < flight {
			return refuse(InFlight, "Another message of this pass is under way.").remedy("The device tries again by itself."), err
		}
	}
	return nil, nil
}

// bound holds a pass to the key and transaction of its first message, and a
// renewal to a certificate of the same device.
func (s *Service) bound(tx *store.Tx, p *ra.Pass, a *Arrival) (*Refusal, error) {
	if p.SignerHash != "" {
		switch {
		case p.SignerHash != a.Signer:
			return refuse(Foreign, "The message is signed with another key than the first one of this pass.").
				remedy("If the device has a new key, make a new pass; if not, somebody else has its address: revoke it."), nil
		case p.TransactionID != a.Transaction && p.State != ra.PassFailed:
			return refuse(Foreign, "The message belongs to another transaction than the first one of this pass.").remedy("Make a new pass for each enrolment."), nil
		}
		return nil, nil
	}
	switch {
	case a.Type == scepmsg.CertPoll:
		return refuse(Foreign, "The device polls for a request that was never sent with this pass.").remedy("Make a new pass, and have the device begin anew."), nil
	case a.SelfSigned && a.Type == scepmsg.RenewalReq:
		return refuse(Foreign, "A renewal must be signed with the certificate to be renewed.").remedy("Have the device begin a new enrolment."), nil
	case a.SelfSigned:
		return nil, nil
	}
	old, err := tx.CertificateByFingerprint(a.Certificate)
	switch {
	case ra.KindOf(err) == ra.NotFound:
		return refuse(Foreign, "The message is signed with a certificate that is not in the inventory.").
			remedy("Import the certificate for its device, or have the device begin a new enrolment."), nil
	case err != nil:
		return nil, err
	case old.DeviceID != p.DeviceID, old.AuthorityID != p.AuthorityID:
		return refuse(Foreign, "The message is signed with a certificate of another device or authority.").remedy("Make the pass for the device that has the certificate."), nil
	case old.State != ra.Valid && old.State != ra.Superseded, !old.NotAfter.After(tx.Now):
		return refuse(Foreign, "The certificate that signed the message is %s.", old.State).remedy("Have the device begin a new enrolment."), nil
	}
	return nil, nil
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

// The words for what was answered last.
const (
	statusSent    = "sent" // nothing yet
	statusSuccess = "success"
	statusFailure = "failure"
	statusPending = "pending"
	statusLost    = "lost"    // it was sent, and no answer came
	statusRefused = "refused" // an answer outside of SCEP
)

// bind notes that a message is passed on. How it came here stays in memory until
// its answer is stored: that it left is in the row.
func (s *Service) bind(tx *store.Tx, c *Claim, a Arrival, known *store.Sent, early []ra.Hop) error {
	p := c.Pass
	if p.PKIStatus == statusSent { // it has been under way for too long: a node was lost
		p.Failures++
		if err := unanswered(tx, p, early); err != nil {
			return err
		}
		early = nil
	}
	firstTime := p.SignerHash == ""
	p.SignerHash, p.TransactionID, p.SealedToken = a.Signer, a.Transaction, nil
	p.Messages++
	p.PKIStatus = statusSent
	deadline := tx.Now.Add(awaitAnswer)
	if p.State == ra.PassPending {
		deadline = p.Deadline
	} else {
		p.State = ra.PassClaimed
	}
	p.Obligation = ra.Obligation{Action: ra.ActionAwait, At: deadline, Deadline: deadline, LastError: p.LastError, Attempts: p.Attempts, Escalated: p.Escalated}
	c.known = known
	c.sent = store.Sent{Pass: p.ID, Hash: a.Hash, Tries: 1, SentAt: tx.Now, PKIStatus: statusSent}
	if known != nil {
		c.sent.Tries = known.Tries + 1
		if !known.AnsweredAt.IsZero() {
			c.sent.Tries = 1 // a poll in the clothes of a request
		}
	}
	if err := tx.PutSent(&c.sent); err != nil {
		return err
	}
	c.hops = slices.Concat(early, a.Hops, []ra.Hop{{Step: StepForwarded, Result: ra.HopOK, Message: "The token is valid.", Fields: map[string]string{"number": strconv.Itoa(p.Messages)}}})
	for i := range c.hops {
		if c.hops[i].At.IsZero() {
			c.hops[i].At = tx.Now
		}
	}
	if !firstTime && p.TransactionID == c.former.TransactionID {
		return tx.MovePass(p)
	}
	if err := tx.ClaimPass(p); err != nil || !firstTime {
		return err
	}
	return audit.Record(tx, audit.Entry{Code: audit.PassClaimed, Actor: deviceActor(p, a.Remote), Group: p.GroupID, Object: string(p.ID), Related: string(p.DeviceID),
		Message: "Pass used.", Details: map[string]any{"transaction": p.TransactionID, "signer": p.SignerHash, "type": a.Type.String()}})
}

// unanswered tells the trace that nobody wrote down what became of a message that
// was passed on; hops are those of the pass that are in memory.
func unanswered(tx *store.Tx, p *ra.Pass, hops []ra.Hop) error {
	at, err := tx.LastSent(p.ID)
	if err != nil {
		return err
	}
	return hop(tx, p, append(slices.Clip(fresh(p, hops)), ra.Hop{Step: StepReply, Result: ra.HopFailed,
		Message: "A message was passed on at " + at.UTC().Format("2006-01-02 15:04:05 MST") + ", and this server was stopped before it wrote down the answer.",
		Remedy:  "See whether the server behind issued a certificate."})...)
}

func deviceActor(p *ra.Pass, remote string) ra.Actor {
	return ra.Actor{Kind: ra.ActorDevice, ID: string(p.DeviceID), Name: string(p.DeviceID), Via: door, Remote: remote}
}

// refused notes a refusal. A challenge that ran out and a device that left
// change the pass, too.
func (s *Service) refused(tx *store.Tx, p *ra.Pass, hops []ra.Hop, r *Refusal) error {
	h := failed(StepForwarded, r)
	h.Fields = map[string]string{"reason": string(r.Reason)}
	if r.Reason == InFlight {
		h.Result = ra.HopWaiting
	}
	if err := hop(tx, p, append(hops, h)...); err != nil {
		return err
	}
	if p.State.Ended() {
		return tx.MovePass(p)
	}
	p.LastError = r.Err.Message + " " + r.Err.Remedy
	switch r.Reason {
	case Void:
		return revoke(tx, ra.System(door), p, r.Err.Message)
	case Expired:
		return expire(tx, p)
	case StaleChallenge:
		p.Action, p.At = ra.ActionDeliver, p.ExpiresAt
	}
	return tx.MovePass(p)
}

// Refused notes in the trace of a pass that the door did not pass something on.
func (s *Service) Refused(ctx context.Context, id ra.PassID, step string, hops []ra.Hop, r *Refusal) error {
	early := s.takeEarly(id)
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		p, err := tx.Pass(id)
		if err != nil {
			return err
		}
		h := failed(step, r)
		h.Fields = map[string]string{"reason": string(r.Reason)}
		if r.Reason == Away {
			h.Result = ra.HopWaiting
		}
		if !p.State.Ended() {
			p.LastError = r.Err.Message + " " + r.Err.Remedy
		}
		if err := hop(tx, p, append(append(fresh(p, early), hops...), h)...); err != nil {
			return err
		}
		return tx.MovePass(p)
	})
	if err != nil {
		s.back(id, early)
	}
	return err
}
