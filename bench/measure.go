package main

import (
	"fmt"
	"syscall"
	"time"

	"chancery/bench/load"
	"chancery/bench/machine"
	"chancery/bench/peer"
	"chancery/bench/report"
)

// figures is what one measurement of a server found.
type figures struct {
	rate     float64 // calls per second
	p50, p99 float64 // ms
	cpu      float64 // ms of the server's processor time per call
	client   float64 // share of one core that the clients took
}

// series gathers the figures of several rounds by name.
type series map[string][]figures

func (s series) add(name string, f figures) { s[name] = append(s[name], f) }

// middle gives the median of each figure over the rounds.
func (s series) middle(name string) figures {
	of := func(get func(figures) float64) float64 {
		values := make([]float64, len(s[name]))
		for i, f := range s[name] {
			values[i] = get(f)
		}
		return report.Median(values)
	}
	return figures{rate: of(func(f figures) float64 { return f.rate }), p50: of(func(f figures) float64 { return f.p50 }),
		p99: of(func(f figures) float64 { return f.p99 }), cpu: of(func(f figures) float64 { return f.cpu })}
}

// drive lets clients work on a server and takes the figures. Every call has to
// succeed.
func drive(s *peer.Server, p load.Plan) (figures, error) { return driven(s.CPU, p) }

// driven is drive with another way to learn the processor time that was used.
func driven(used func() (time.Duration, error), p load.Plan) (figures, error) {
	before, err := used()
	if err != nil {
		return figures{}, err
	}
	own := ownCPU()
	result, err := load.Run(p)
	if err != nil {
		return figures{}, err
	}
	after, err := used()
	if err != nil {
		return figures{}, err
	}
	if result.Failed > 0 {
		return figures{}, fmt.Errorf("%d of %d calls failed, the first: %w", result.Failed, p.Calls, result.Err)
	}
	return figures{rate: result.Rate(), p50: result.Percentile(0.5), p99: result.Percentile(0.99),
		cpu:    float64(after-before) / float64(time.Millisecond) / float64(result.Calls),
		client: float64(ownCPU()-own) / float64(result.Elapsed)}, nil
}

// ownCPU is the processor time of this process, which is the clients'.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// busiest is the largest share of a core the clients took in any measurement.
func (s series) busiest() (most float64) {
	for _, list := range s {
		for _, f := range list {
			most = max(most, f.client)
		}
	}
	return most
}

// stop ends a server in order.
func stop(s *peer.Server) error { return s.Stop(syscall.SIGINT) }

// apart gives the server's cores and puts the clients on theirs.
func apart() (machine.Cores, error) { return serverCore, machine.Stay(clientCore) }

// together lets both use both cores.
func together() (machine.Cores, error) { return bothCores, machine.Stay(bothCores) }

// The words of tables.
func number(v float64) string { return report.Number(v) }

func percent(v float64) string { return report.Number(100*v) + " %" }
