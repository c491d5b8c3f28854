package app

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"chancery/internal/api/resource"
	"chancery/internal/doubles/ndes"
	"chancery/internal/ra"
)

// relay stands in front of a server, octet by octet, and can fail as a network
// does.
type relay struct {
	t       *testing.T
	address string // where it listens
	target  string
	held    chan struct{} // one for each piece of data that is not passed on

	mu    sync.Mutex
	l     net.Listener
	hold  bool
	lines map[net.Conn]bool
}

// newRelay puts a relay in front of a server, whose URL it gives back as it is
// through the relay.
func newRelay(t *testing.T, server string) (*relay, string) {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{t: t, address: "127.0.0.1:0", target: u.Host, held: make(chan struct{}, 100), lines: map[net.Conn]bool{}}
	r.up()
	t.Cleanup(r.down)
	u.Host = r.address
	return r, u.String()
}

// up listens, where it did before.
func (r *relay) up() {
	r.t.Helper()
	l, err := net.Listen("tcp", r.address)
	for range 50 { // somebody else may have the port for a moment
		if err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
		l, err = net.Listen("tcp", r.address)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.l, r.address = l, l.Addr().String()
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return // down
			}
			go r.carry(in)
		}
	}()
}

// down refuses connections and cuts those there are.
func (r *relay) down() {
	r.mu.Lock()
	_ = r.l.Close() // a second time it is closed already
	r.mu.Unlock()
	r.cut()
}

// stall passes nothing on any more of what clients send, or everything again.
func (r *relay) stall(hold bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hold = hold
}

// cut breaks all lines.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.lines {
		_ = c.Close() // whatever it says, it is gone
	}
}

func (r *relay) carry(in net.Conn) {
	defer in.Close()
	out, err := net.Dial("tcp", r.target)
	if err != nil {
		return
	}
	defer out.Close()
	r.mu.Lock()
	r.lines[in] = true
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.lines, in)
	}()
	go func() {
		_, _ = io.Copy(in, out) // it ends when either side does
		in.Close()
	}()
	buffer := make([]byte, 32<<10)
	for {
		n, err := in.Read(buffer)
		if err != nil {
			return
		}
		r.mu.Lock()
		hold := r.hold
		r.mu.Unlock()
		if hold {
			r.held <- struct{}{}
			continue
		}
		if _, err := out.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// insists has a device send its message until it is answered, as clients do that
// try again, and gives how often it did.
func (c *simple) insists(ctx context.Context) (cert *x509.Certificate, tries int, err error) {
	for pause := 300 * time.Millisecond; ; pause = min(2*pause, 3*time.Second) {
		tries++
		if cert, err = c.send(ctx); err == nil {
			return cert, tries, nil
		}
		select {
		case <-ctx.Done():
			return nil, tries, errors.Join(err, ctx.Err())
		case <-time.After(pause):
		}
	}
}

// stalled is a test's two servers, of which one fails.
type stalled struct {
	t         *testing.T
	ctx       context.Context
	bad, good *outside
	n         int
}

// ready gives clients that have asked and have a message to send.
func (s *stalled) ready(at *outside, count int) (list []*simple) {
	s.t.Helper()
	for range count {
		s.n++
		c, err := at.visit(s.t, fmt.Sprintf("device-%d", s.n), ra.PassProxy).simple(s.n)
		if err == nil {
			err = c.look(s.ctx)
		}
		if err != nil {
			s.t.Fatal(err)
		}
		list = append(list, c)
	}
	return list
}

// insist has clients try until they have a certificate, all at once, and gives
// what waits until they have.
func (s *stalled) insist(list []*simple, least int) (wait func()) {
	var all sync.WaitGroup
	for _, c := range list {
		all.Go(func() {
			if _, tries, err := c.insists(s.ctx); err != nil || tries < least {
				s.t.Errorf("after %d attempts, at least %d: %v", tries, least, err)
			}
		})
	}
	return all.Wait
}

// others has devices of the other server enrol, at the first attempt.
func (s *stalled) others() {
	s.t.Helper()
	for _, c := range s.ready(s.good, 2) {
		if _, err := c.send(s.ctx); err != nil {
			s.t.Errorf("at the other server: %v", err)
		}
	}
}

// TestSCEPStalls: a server that stalls, cuts the line in the middle of an answer,
// loses an answer or is down for a minute gives each device that tries again one
// certificate, and devices of another server notice nothing.
func TestSCEPStalls(t *testing.T) {
	clock := &clock{}
	front := startFront(t, clock.now)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	// A repeated request is answered with its certificate, as by servers that
	// remember transactions.
	bad, settings := startNDES(t, ndes.Config{Now: clock.now, CacheIssued: true, PasswordMax: 50})
	way, through := newRelay(t, bad.SCEPURL())
	settings["url"], settings["cache_size"], settings["timeout"] = through, 50, "2s"
	good, quiet := startNDES(t, ndes.Config{Now: clock.now})
	s := &stalled{t: t, ctx: ctx, bad: front.behind("bad", "ndes", bad.Issuer(), settings), good: front.behind("good", "ndes", good.Issuer(), quiet)}

	for _, act := range []ndes.Act{ndes.Cut(100), ndes.Cut(0), ndes.LoseAnswer, ndes.CutBefore, ndes.Stall} {
		bad.Fail(ndes.Fault{At: ndes.PKI, Act: act})
		s.insist(s.ready(s.bad, 1), 2)()
	}

	// Messages are on their way when the line stalls, and devices of the other
	// server go past them.
	list := s.ready(s.bad, 4)
	before := len(bad.Issued())
	way.stall(true)
	wait := s.insist(list, 2)
	for range list {
		<-way.held
	}
	s.others()
	if len(bad.Issued()) != before {
		t.Error("the line does not stall")
	}
	way.stall(false)
	way.cut()
	wait()

	list = s.ready(s.bad, 6)
	way.down()
	for _, c := range list {
		if _, err := c.send(ctx); err == nil {
			t.Error("a server that is down gave a certificate")
		}
	}
	s.others()
	clock.skip(time.Minute)
	way.up()
	s.insist(list, 1)()

	for double, devices := range map[*ndes.Server]int{bad: 5 + 4 + 6, good: 4} {
		got := map[string]int{}
		for _, i := range double.Issued() {
			got[i.Subject]++
		}
		if len(got) != devices || len(double.Issued()) != devices {
			t.Errorf("certificates for %d devices: %v", devices, got)
		}
	}
	open, err := s.bad.admin().Passes(ctx, resource.PassQuery{PassFilter: resource.PassFilter{States: []string{"issued", "claimed", "pending", "failed"}}})
	if err != nil || len(open.Items) > 0 {
		t.Errorf("passes that are not done: %+v, %v", open.Items, err)
	}
}
