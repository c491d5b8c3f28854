package ca

import (
	"context"
	"time"

	"chancery/internal/secret"
	"chancery/internal/setting"
	"chancery/internal/wire/pkixmsg"
	"chancery/internal/wire/scepmsg"
)

// ChallengeOrder says for whom a SCEP challenge is wanted.
type ChallengeOrder struct {
	ID       string // stable, as Request.ID
	Subject  pkixmsg.Name
	SANs     []pkixmsg.GeneralName
	Validity time.Duration
	Template string
	Holder   string // as Order.Holder
	Options  setting.Describer
	Fields   map[string]string
}

// SCEPChallenge is what a device needs to enrol at the authority's own SCEP
// server.
type SCEPChallenge struct {
	URL         string
	Secret      secret.Text // not set where the server wants no challenge
	ExpiresAt   time.Time   // zero: it does not expire
	Fingerprint string      // of the CA certificate, as the admin page shows it
}

// Challenger is an authority that hands out SCEP challenges. Every call may
// spend one of few slots: call it when a device is about to use it.
type Challenger interface {
	// Challenge gives the challenge for an order, fetching one within Env.Slots
	// where the server makes them; the same order again gives the same challenge
	// while it lives. Kinds of error: Busy-like ones are Unreachable with a Retry,
	// what only a person can mend is RefusedByCA or Invalid with its remedy.
	Challenge(ctx context.Context, o ChallengeOrder) (SCEPChallenge, error)
}

// Slots keeps account of the challenges that an authority's server has given
// out and that nobody has used yet: a server knows few at once and refuses to
// make more. The account survives a crash, holds over several nodes, and keeps
// what it holds sealed.
type Slots interface {
	// Take gives the challenge that is out for id, or waits its turn (first come,
	// first served) until fewer than order.Slots are out and has fetch get one.
	// What fetch got counts as out until Free, or until it is order.Life old. A
	// fetch that failed counts as out for as long unless its error says that no
	// challenge was made (NoChallenge), and so does one that was cut short by a
	// crash: nobody knows what the server made. When ctx ends first the error is
	// Unreachable, with a Retry that fits the queue.
	Take(ctx context.Context, id string, order SlotOrder, fetch func(context.Context) (secret.Text, error)) (Slot, error)
	// Free says that the server has forgotten the challenge for id, because it was
	// used. An id that is not out is no error.
	Free(ctx context.Context, id string) error
	// Out counts the challenges that are out, and who waits for one.
	Out(ctx context.Context) (out, waiting int, err error)
}

// SlotOrder is what a server's account allows.
type SlotOrder struct {
	Slots int           // how many the server keeps that we may use; at least 1
	Life  time.Duration // how long the server keeps one
}

// Slotted is an authority whose server keeps few challenges at once.
type Slotted interface {
	// SlotOrder tells how many; its Slots are zero where the server makes none.
	SlotOrder() SlotOrder
}

// Slot is a challenge that is out.
type Slot struct {
	Secret    secret.Text
	FetchedAt time.Time
	ExpiresAt time.Time
}

// NoChallenge marks an error of a fetch after which the server certainly made no
// challenge: it was not reached, or said so.
type NoChallenge struct{ Err error }

func (e *NoChallenge) Error() string { return e.Err.Error() }

// Unwrap gives the error itself.
func (e *NoChallenge) Unwrap() error { return e.Err }

// SCEPServer is what a device, or the gate in front of it, must know of an
// authority's own SCEP server.
type SCEPServer struct {
	URL          string
	CAIdentifier string        // what the server wants as message of GetCACert; empty: nothing
	Floor        scepmsg.Floor // the weakest algorithms that are passed on to it
	ByProxy      bool          // devices may reach it through us
	Retries      int           // how often a device asks again while its request is pending
	RetryDelay   time.Duration // how long it waits in between
	// Challenge is how long a challenge lives; zero: it does not expire.
	ChallengeLife time.Duration
	// ChallengeLength is the number of characters of a challenge; zero: any.
	ChallengeLength int
	// InFlight bounds the messages passed on at once, and Queue those that wait.
	InFlight, Queue int
	// Carried says that a request from here has to carry a challenge of the
	// server's own, one for each, which only the key's owner can sign into it: a
	// device that keeps its key is given that challenge to enrol here, too.
	Carried bool
	// Marker is put into the subject so that a renewal is recognised by it; empty:
	// none. It is "CN" or "OU".
	Marker string
}

// Forwarder is an authority whose own SCEP server devices enrol at, directly or
// through our proxy.
type Forwarder interface {
	// SCEP tells about the server without asking it.
	SCEP() SCEPServer
	// Forward passes one operation on as it is and gives the answer as it is,
	// whatever it says. It never repeats a message. Errors are Unreachable; one
	// that wraps NotSent left nothing at the server.
	Forward(ctx context.Context, op scepmsg.Operation, message []byte) (Forwarded, error)
}

// Forwarded is a server's answer to one SCEP operation.
type Forwarded struct {
	Status int // HTTP
	Media  string
	Body   []byte
	Took   time.Duration
}

// NotSent marks an error before any octet of the message was sent: repeating it
// cannot make two of one.
type NotSent struct{ Err error }

func (e *NotSent) Error() string { return e.Err.Error() }

// Unwrap gives the error itself.
func (e *NotSent) Unwrap() error { return e.Err }
