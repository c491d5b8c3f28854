package adcs

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"time"

	"chancery/internal/adcsclient"
	"chancery/internal/ra"
)

// reader reads records of the CA's database one after the other, in as many
// sessions as it takes.
type reader struct {
	c    *Connector
	name string
	q    adcsclient.Query // After is the last number that was read

	client  *adcsclient.Client // nil: no session
	records *adcsclient.Records
	since   time.Time // when the session began
	tries   int       // sessions that failed since the last row
	ahead   []adcsclient.Record
	end     bool
}

// next gives the next record; nil at the end.
func (r *reader) next(ctx context.Context) (*adcsclient.Record, error) {
	first, err := r.peek(ctx)
	if first != nil {
		r.ahead = r.ahead[1:]
	}
	return first, err
}

// peek gives the next record and leaves it there.
func (r *reader) peek(ctx context.Context) (*adcsclient.Record, error) {
	for len(r.ahead) == 0 && !r.end {
		if err := r.fill(ctx); err != nil {
			return nil, err
		}
	}
	if len(r.ahead) == 0 {
		return nil, nil
	}
	return &r.ahead[0], nil
}

// fill reads the next rows, in another session if the one there is does not give
// them. A session that breaks is not the end; nor is an answer that was too large,
// or a CA that has started anew meanwhile. What the CA refuses at the beginning of
// a session is.
func (r *reader) fill(ctx context.Context) error {
	if r.client != nil && r.c.env.Now().Sub(r.since) > sessionLives {
		r.close(ctx)
		r.q.AtOnce = 0
	}
	list, err := r.more(ctx)
	if err == nil {
		r.ahead, r.tries, r.end = list, 0, len(list) == 0
		return nil
	}
	r.close(ctx)
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		return refused.error
	case ctx.Err() != nil:
		return givenUp(ctx)
	case len(list) > 0: // they are good
		r.ahead, r.tries = list, 0
		return nil
	case r.tries >= len(pauses):
		return err
	}
	r.c.env.Log.InfoContext(ctx, "the session that reads the CA's database broke; another one goes on", "authority", r.c.env.Name, "after", r.q.After, "error", err)
	wait := pauses[r.tries]
	r.tries++
	r.q.AtOnce = fewer >> r.tries
	return pause(ctx, wait)
}

// The sessions that read the database.
const (
	sessionLives = 2 * time.Minute // then the next one begins; the CA forgets an object after some six
	closeWithin  = 5 * time.Second // bounds the end of a session; the CA ends it by itself in any case
	fewer        = 100             // rows at once, halved with each try: what came may have been too much
)

// pauses are between sessions that give no row.
var pauses = []time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second}

// refusal is an error at the beginning of a session that another one would get, too.
type refusal struct{ error }

// more reads rows, in a session that it opens if there is none. Rows beside an error
// are good.
func (r *reader) more(ctx context.Context) (list []adcsclient.Record, err error) {
	if r.client == nil {
		if err := r.open(ctx); err != nil {
			if ra.KindOf(err) != ra.Unreachable {
				err = &refusal{err}
			}
			return nil, err
		}
	}
	err = r.c.question(ctx, func(ctx context.Context) (err error) {
		list, err = r.records.Next(ctx)
		return err
	})
	if err == nil && len(list) > 0 && list[0].RequestID <= r.q.After {
		err = ra.Errorf(ra.RefusedByCA, "The CA does not give its database in the order of its requests.").WithRemedy("Keep a capture of the traffic, and tell whoever looks after this server.").
			WithCause(fmt.Errorf("request %d after %d", list[0].RequestID, r.q.After))
	}
	if err != nil {
		return nil, err
	}
	for i := range list {
		if err := r.complete(ctx, &list[i]); err != nil {
			return list[:i], err
		}
		r.q.After = list[i].RequestID
	}
	return list, nil
}

// open begins a session. It has no end of its own: each call has.
func (r *reader) open(ctx context.Context) error {
	r.since = r.c.env.Now()
	r.client = adcsclient.Open(adcsclient.DCOM, adcsclient.Options{Host: r.c.host, Authority: r.name, RPC: r.c.rpcOptions(ctx), Now: r.c.env.Now})
	return r.c.question(ctx, func(ctx context.Context) (err error) {
		r.records, err = r.client.OpenRecords(ctx, r.q)
		return err
	})
}

// complete gets the certificate that the database does not show by its serial
// number, which a CA gives while it is not revoked. The error is one of the session.
func (r *reader) complete(ctx context.Context, record *adcsclient.Record) error {
	if len(record.Certificate) > 0 {
		return nil
	}
	serial, ok := new(big.Int).SetString(record.Serial, 16)
	if !ok || record.Disposition != adcsclient.RowIssued {
		return nil
	}
	err := r.c.question(ctx, func(ctx context.Context) (err error) {
		record.Certificate, err = r.client.RetrieveBySerial(ctx, serial)
		return err
	})
	if ra.KindOf(err) == ra.Unreachable {
		return err
	}
	return nil
}

// close ends the session, if there is one.
func (r *reader) close(ctx context.Context) {
	if r.client == nil {
		return
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWithin)
	defer cancel()
	if r.records != nil && r.c.env.Now().Sub(r.since) < 2*sessionLives { // later the object is gone, and the view with it
		r.records.Close(late)
	}
	if err := r.client.Close(late); err != nil {
		r.c.env.Log.Debug("session with the CA not closed in order", "authority", r.c.env.Name, "error", err)
	}
	r.client, r.records = nil, nil
}

// question asks the CA something that may take as long as one question to it.
func (c *Connector) question(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.settings.Timeout)
	defer cancel()
	return ask(ctx)
}

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return givenUp(ctx)
	}
}

func givenUp(ctx context.Context) error {
	return ra.Errorf(ra.Unreachable, "Reading the CA's database was given up.").WithRemedy("Begin anew; it goes on behind the last certificate that was read.").WithCause(context.Cause(ctx))
}
