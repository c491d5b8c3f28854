// Package load is the clients of a measurement: a number of them, each with a
// connection of its own and the next call as soon as the one before was
// answered (a closed loop). The number of calls is fixed, so that every server
// does the same work; what a call sends is made beforehand, and what it gets is
// only looked at as far as needed to see that it succeeded.
package load

import (
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"chancery/bench/report"
)

// Plan is what the clients do.
type Plan struct {
	Clients int
	Calls   int // of all clients together
	// Dial opens a connection, TLS included.
	Dial func() (net.Conn, error)
	// Call makes call number i and fails unless it succeeded in every respect.
	// Clients call it at the same time, with different numbers.
	Call func(c *Conn, i int) error
}

// Result is what came of it.
type Result struct {
	Calls     int // those that succeeded
	Elapsed   time.Duration
	Latencies []time.Duration // of those that succeeded, sorted
	Failed    int
	Err       error // the first failure
}

// Run lets the clients work. Connections are made before the clock starts.
func Run(p Plan) (Result, error) {
	conns := make([]*Conn, p.Clients)
	for i := range conns {
		conns[i] = &Conn{dial: p.Dial}
		if err := conns[i].connect(); err != nil {
			return Result{}, fmt.Errorf("connecting: %w", err)
		}
		defer conns[i].Close()
	}
	var next atomic.Int64
	var mu sync.Mutex
	var out Result
	var clients sync.WaitGroup
	began := time.Now()
	for _, c := range conns {
		clients.Go(func() {
			took := make([]time.Duration, 0, p.Calls/p.Clients+16)
			failed, first := 0, error(nil)
			for {
				i := int(next.Add(1)) - 1
				if i >= p.Calls {
					break
				}
				start := time.Now()
				if err := p.Call(c, i); err != nil {
					if failed++; first == nil {
						first = fmt.Errorf("call %d: %w", i, err)
					}
					continue
				}
				took = append(took, time.Since(start))
			}
			mu.Lock()
			defer mu.Unlock()
			out.Latencies = append(out.Latencies, took...)
			out.Failed += failed
			if out.Err == nil {
				out.Err = first
			}
		})
	}
	clients.Wait()
	out.Elapsed = time.Since(began)
	slices.Sort(out.Latencies)
	out.Calls = len(out.Latencies)
	return out, nil
}

// Rate is calls per second.
func (r Result) Rate() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Calls) / r.Elapsed.Seconds()
}

// Percentile is that of the latencies, in milliseconds; p is 0 to 1.
func (r Result) Percentile(p float64) float64 {
	return float64(report.Percentile(r.Latencies, p)) / float64(time.Millisecond)
}
