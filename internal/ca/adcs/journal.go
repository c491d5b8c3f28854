package adcs

import (
	"context"
	"fmt"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ra"
)

// attempt is a request that is about to leave. It is written down before, so that
// one without an ending may have arrived.
type attempt struct {
	Number int       `json:"number"`
	At     time.Time `json:"at"`
}

// ending is how an attempt ended.
type ending struct {
	How       string `json:"how"`
	RequestID uint32 `json:"request_id,omitempty"` // the CA's number
}

// How an attempt ends.
const (
	taken   = "taken"   // the CA has it under a number
	refused = "refused" // the CA said no, or never got it
)

// maxAttempts is more than any backoff makes of one request.
const maxAttempts = 100

func askKey(id string, n int) string { return fmt.Sprintf("ask/%s/%d", id, n) }
func endKey(id string, n int) string { return fmt.Sprintf("end/%s/%d", id, n) }

// latest gives the last attempt of a request and how it ended; nil for what there
// is not.
func (c *Connector) latest(ctx context.Context, id string) (*attempt, *ending, error) {
	var last *attempt
	for n := 1; n <= maxAttempts; n++ {
		var a attempt
		found, err := c.env.Recall(ctx, askKey(id, n), &a)
		if err != nil {
			return nil, nil, err
		}
		if !found {
			break
		}
		last = &a
	}
	if last == nil {
		return nil, nil, nil
	}
	var e ending
	found, err := c.env.Recall(ctx, endKey(id, last.Number), &e)
	if err != nil || !found {
		return last, nil, err
	}
	return last, &e, nil
}

// begin writes down that an attempt is about to leave.
func (c *Connector) begin(ctx context.Context, id string, number int) (*attempt, error) {
	if number > maxAttempts {
		return nil, ra.Errorf(ra.RefusedByCA, "The CA has refused this request %d times.", maxAttempts).WithRemedy("Ask for a new certificate.").WithRetry(ra.Never)
	}
	a := &attempt{Number: number, At: c.env.Now().UTC()}
	ours, err := c.env.Remember(ctx, askKey(id, number), a)
	if err != nil {
		return nil, err
	}
	if !ours {
		return nil, ra.Errorf(ra.Unreachable, "The request is being sent to %s by another process.", c.env.Name).WithRemedy("It is looked at again in a moment.")
	}
	return a, nil
}

// end writes down how an attempt ended, also when the caller has given up. Where
// that fails the attempt stays open, which costs a question later.
func (c *Connector) end(ctx context.Context, r ca.Request, a *attempt, e ending) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if _, err := c.env.Remember(ctx, endKey(r.ID, a.Number), e); err != nil {
		c.env.Log.Warn("the end of a request was not written down", "request", r.ID, "error", err)
	}
}
