package lifecycle

import (
	"context"
	"slices"
	"sync"
	"time"

	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/wire/ocspmsg"
)

// answersKept is how many signed answers one of the two halves of the cache
// holds. An answer has about 1 KiB, so both take about 20 MB when full.
const answersKept = 10_000

// ocspAnswers keeps signed answers by the certificate as a request named it. It
// forgets the half that was not asked for since the other half filled up.
type ocspAnswers struct {
	mu       sync.Mutex
	now, old map[string]signedAnswer
}

// signedAnswer is an answer with what it was made of.
type signedAnswer struct {
	Answer
	status    ocspmsg.Status
	revokedAt time.Time
	reason    int
	signer    ra.CertificateID
}

// get gives the answer made of the same status by the same signer, unless half
// of its life is over.
func (c *ocspAnswers) get(s ocspmsg.Single, signer ra.CertificateID, now time.Time) (Answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.now[string(s.Cert.Raw)]
	if !ok {
		if a, ok = c.old[string(s.Cert.Raw)]; ok {
			c.keep(string(s.Cert.Raw), a)
		}
	}
	fresh := ok && a.status == s.Status && a.revokedAt.Equal(s.RevokedAt) && a.reason == s.Reason && a.signer == signer &&
		!now.Before(a.ThisUpdate) && now.Before(a.ThisUpdate.Add(ocspLife/2)) && now.Before(a.NextUpdate)
	return a.Answer, fresh
}

func (c *ocspAnswers) put(s ocspmsg.Single, signer ra.CertificateID, a Answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep(string(s.Cert.Raw), signedAnswer{a, s.Status, s.RevokedAt, s.Reason, signer})
}

func (c *ocspAnswers) keep(key string, a signedAnswer) {
	if c.now == nil || len(c.now) >= answersKept {
		c.old, c.now = c.now, make(map[string]signedAnswer)
	}
	c.now[key] = a
}

// stateReader reads the status of certificates for many who ask at once: those
// who come while a read is under way share the next one. No read that began
// before somebody asked answers them, so each sees everything that was recorded
// before.
type stateReader struct {
	mu      sync.Mutex
	running int
	next    *stateBatch
}

type stateBatch struct {
	serials []string
	done    chan struct{} // closed when the rest is filled in
	found   []store.CertificateStatus
	err     error
}

const (
	// stateReaders is how many reads are under way at once.
	stateReaders = 2
	// stateTimeout bounds a read. It belongs to many, so it does not end with
	// the request that began it.
	stateTimeout = 10 * time.Second
	// stateChunk is how many certificates one statement asks for.
	stateChunk = 256
)

// read gives the status of the certificates with these serial numbers, of any
// issuer, and perhaps of others.
func (r *stateReader) read(ctx context.Context, db *store.DB, serials []string) ([]store.CertificateStatus, error) {
	r.mu.Lock()
	if r.next == nil {
		r.next = &stateBatch{done: make(chan struct{})}
	}
	b := r.next
	b.serials = append(b.serials, serials...)
	lead := r.running < stateReaders
	if lead {
		r.running++
		r.next = nil
	}
	r.mu.Unlock()
	if lead {
		b.run(ctx, db)
		r.pass(ctx, db)
	}
	select {
	case <-b.done:
		return b.found, b.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// pass hands the place of a reader that is done to those who came meanwhile.
func (r *stateReader) pass(ctx context.Context, db *store.DB) {
	r.mu.Lock()
	b := r.next
	r.next = nil
	if b == nil {
		r.running--
	}
	r.mu.Unlock()
	if b != nil {
		go func() {
			b.run(ctx, db)
			r.pass(ctx, db)
		}()
	}
}

func (b *stateBatch) run(ctx context.Context, db *store.DB) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stateTimeout)
	defer cancel()
	defer close(b.done)
	for chunk := range slices.Chunk(b.serials, stateChunk) {
		found, err := db.CertificateStatuses(ctx, chunk)
		if err != nil {
			b.err = err
			return
		}
		b.found = append(b.found, found...)
	}
}
