package scep

import (
	"context"
	"crypto"
	"crypto/x509"
	"fmt"
	"sync"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/scepclient"
)

// attempt is one message that was written down before it was sent. Asking again
// for a request that the server has refused is a new attempt; everything else
// goes on with the old one. The journal seals it, for it holds the transport key.
type attempt struct {
	Number   int
	Exchange scepclient.Exchange
	Key      []byte // PKCS#8: the transport key; nil in a renewal signed by the old one
}

// ending is how an attempt ended.
type ending struct {
	How   string
	Chain [][]byte `json:",omitempty"` // DER, of granted
}

// The ends of an attempt. One without an end is open: the server may have acted.
const (
	unsent  = "unsent" // no octet of it left
	refused = "refused"
	granted = "granted"
)

// maxAttempts guards against a loop, not against people.
const maxAttempts = 100

func sentKey(id string, n int) string  { return fmt.Sprintf("sent/%s/%d", id, n) }
func endKey(id string, n int) string   { return fmt.Sprintf("end/%s/%d", id, n) }
func againKey(id string, n int) string { return fmt.Sprintf("again/%s/%d", id, n) }

// latest gives the last attempt for a request, and its end; nil where there is
// none.
func (c *Connector) latest(ctx context.Context, id string) (*attempt, *ending, error) {
	var last *attempt
	for n := 1; n <= maxAttempts; n++ {
		var a attempt
		found, err := c.env.Recall(ctx, sentKey(id, n), &a)
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

// end writes down how an attempt ended, also when the caller has given up. Where
// that fails the attempt stays open, which costs a question later.
func (c *Connector) end(ctx context.Context, id string, a *attempt, e ending) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if _, err := c.env.Remember(ctx, endKey(id, a.Number), e); err != nil {
		c.env.Log.Warn("how a SCEP request ended could not be kept", "authority", c.env.Name, "request", id, "error", err)
	}
}

// key gives the key that signed the attempt and reads its answer.
func (a *attempt) key(r ca.Request) (crypto.Signer, error) {
	if a.Key == nil {
		if r.RenewsKey == nil {
			return nil, ra.Errorf(ra.Invalid, "The key of the certificate that is renewed is not here any more, and only it reads the server's answer.").
				WithRemedy("Ask for a new certificate.").WithRetry(ra.Never)
		}
		return r.RenewsKey, nil
	}
	k, err := x509.ParsePKCS8PrivateKey(a.Key)
	if err != nil {
		return nil, ra.AsError(err)
	}
	signer, ok := k.(crypto.Signer)
	if !ok {
		return nil, ra.AsError(fmt.Errorf("the transport key is a %T", k))
	}
	return signer, nil
}

// lock keeps two callers from asking for one request at the same time.
func (c *Connector) lock(id string) (unlock func()) {
	l, _ := c.running.LoadOrStore(id, &turn{})
	t := l.(*turn)
	t.Lock()
	if t.gone { // its last holder took it out of the map
		t.Unlock()
		return c.lock(id)
	}
	return func() {
		t.gone = true
		c.running.Delete(id)
		t.Unlock()
	}
}

// turn is a lock that is used once per holder: whoever waited for it takes a new
// one.
type turn struct {
	sync.Mutex
	gone bool
}
