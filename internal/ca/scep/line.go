package scep

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"chancery/internal/ca"
	"chancery/internal/httpauth"
	"chancery/internal/ra"
	"chancery/internal/wire/scepmsg"
)

// maxAnswer is the largest answer that is read, in bytes.
const maxAnswer = 1 << 20

// line carries requests to the server over HTTP/1.1 and never sends one twice.
// The standard transport repeats a GET by itself when a kept connection turns out
// to be dead, and one GET may be an enrolment: those get a connection of their
// own. A POST it repeats only if no octet of it was written.
type line struct {
	kept, once *http.Transport
}

func newLine(way httpauth.Way) *line {
	l := &line{kept: way.Plain(), once: way.Plain()}
	l.kept.MaxIdleConnsPerHost = 64 // as many as a proxy keeps busy
	l.once.DisableKeepAlives = true
	return l
}

// RoundTrip sends one request. An error that wraps ca.NotSent came before there
// was a connection to send it on.
func (l *line) RoundTrip(r *http.Request) (*http.Response, error) {
	var connected atomic.Bool
	trace := &httptrace.ClientTrace{
		GetConn: func(string) { connected.Store(false) }, // asked again only where nothing was written
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	}
	t := l.kept
	if r.Method == http.MethodGet && len(r.URL.RawQuery) > maxQuestion {
		t = l.once
	}
	res, err := t.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
	if err != nil && !connected.Load() {
		return nil, &ca.NotSent{Err: err}
	}
	return res, err
}

// maxQuestion is the longest query of a GET that is no enrolment, in characters: a
// CA identifier with its escapes, and less than any message.
const maxQuestion = 700

// client makes the HTTP client on a line. It follows no redirect and keeps no
// cookie.
func client(l *line, within time.Duration) *http.Client {
	return &http.Client{Transport: l, Timeout: within, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Pool reads pinned roots; none set is nil, the system's.
func Pool(text string) *x509.CertPool {
	if text == "" {
		return nil
	}
	p := x509.NewCertPool()
	p.AppendCertsFromPEM([]byte(text))
	return p
}

// parseCertificates reads PEM certificates, which the settings have checked.
func parseCertificates(text string) []*x509.Certificate {
	var out []*x509.Certificate
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return out
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			out = append(out, c)
		}
	}
}

// Forward passes one operation on as it is and gives the answer as it is. A
// message goes by POST where the server advertises that, else in the strict form
// of GET.
func (c *Connector) Forward(ctx context.Context, op scepmsg.Operation, message []byte) (ca.Forwarded, error) {
	method, query, body := http.MethodGet, "?operation="+string(op), []byte(nil)
	switch op {
	case scepmsg.OpGetCACaps:
	case scepmsg.OpGetCACert, scepmsg.OpGetNextCACert:
		if c.server.CAIdentifier != "" {
			query += "&message=" + url.QueryEscape(c.server.CAIdentifier)
		}
	case scepmsg.OpPKIOperation:
		post, err := c.posts(ctx)
		if err != nil {
			said := *ra.AsError(err)
			return ca.Forwarded{}, said.WithCause(&ca.NotSent{Err: err})
		}
		if method, body = http.MethodPost, message; !post {
			method, query, body = http.MethodGet, query+"&message="+scepmsg.EncodeQuery(message), nil
		}
	default:
		return ca.Forwarded{}, c.unreachable(&ca.NotSent{Err: errors.New("an operation that is not passed on")})
	}
	began := c.env.Now()
	r, err := http.NewRequestWithContext(ctx, method, c.server.URL+query, bytes.NewReader(body))
	if err != nil {
		return ca.Forwarded{}, c.unreachable(&ca.NotSent{Err: err})
	}
	r.Header.Set("User-Agent", "")
	if body != nil {
		r.Header.Set("Content-Type", scepmsg.MediaMessage)
	}
	res, err := c.http.Do(r)
	if err != nil {
		return ca.Forwarded{}, c.unreachable(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err == nil && len(answer) > maxAnswer {
		err = fmt.Errorf("more than %d octets", maxAnswer)
	}
	if err != nil {
		return ca.Forwarded{}, c.unreachable(err)
	}
	if op == scepmsg.OpGetCACaps {
		c.told(res.StatusCode, answer)
	}
	return ca.Forwarded{Status: res.StatusCode, Media: res.Header.Get("Content-Type"), Body: answer, Took: c.env.Now().Sub(began)}, nil
}

// capsLife is how long it is taken for granted what the server can do.
const capsLife = 10 * time.Minute

// caps is what is known of a server's capabilities. Whoever comes while they are
// asked for waits for the same answer, so that a server that stalls keeps nobody
// waiting in turn.
type caps struct {
	sync.Mutex
	at   time.Time // zero: never told
	post bool
	call *capsCall // under way; nil: none
}

type capsCall struct {
	done chan struct{}
	post bool
	err  error
}

// told notes an answer to GetCACaps, whoever asked. One that is none comes from an
// old server, or from one that fails: it changes nothing.
func (c *Connector) told(status int, answer []byte) {
	c.caps.Lock()
	defer c.caps.Unlock()
	if status == http.StatusOK {
		c.caps.post = scepmsg.ParseCaps(answer).Post
	}
	c.caps.at = c.env.Now()
}

// posts reports whether messages go by POST. It is asked once in a while. A server
// that has never answered to GetCACaps is an old one; one that does not answer any
// more is taken at its last word.
func (c *Connector) posts(ctx context.Context) (bool, error) {
	c.caps.Lock()
	if now := c.env.Now(); !c.caps.at.IsZero() && now.Sub(c.caps.at) < capsLife {
		defer c.caps.Unlock()
		return c.caps.post, nil
	}
	call := c.caps.call
	if call == nil {
		call = &capsCall{done: make(chan struct{})}
		c.caps.call = call
		go c.askCaps(context.WithoutCancel(ctx), call)
	}
	c.caps.Unlock()
	select {
	case <-call.done:
		return call.post, call.err
	case <-ctx.Done():
		return false, c.unreachable(ctx.Err())
	}
}

// askCaps answers a call. The client's time-out bounds it.
func (c *Connector) askCaps(ctx context.Context, call *capsCall) {
	_, err := c.Forward(ctx, scepmsg.OpGetCACaps, nil)
	c.caps.Lock()
	defer c.caps.Unlock()
	if call.post = c.caps.post; c.caps.at.IsZero() {
		call.err = err
	}
	c.caps.call = nil
	close(call.done)
}

// unreachable says that the line broke, or what the dialler said.
func (c *Connector) unreachable(err error) error {
	e := ra.Errorf(ra.Unreachable, "The SCEP server of %s does not answer.", c.env.Name).WithRemedy("Check the address, the network and the server; it is asked again.")
	var mine *ra.Error
	if errors.As(err, &mine) && mine.Kind == ra.Denied { // an address that may not be reached
		e.Message, e.Remedy, e.Retry = mine.Message, mine.Remedy, mine.Retry
	}
	return e.WithCause(err)
}
