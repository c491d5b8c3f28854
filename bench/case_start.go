package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"chancery/bench/machine"
	"chancery/bench/peer"
	"chancery/bench/report"
)

// starter is a server whose start is measured.
type starter struct {
	name, on string
	start    func() (*peer.Server, error)
	times    int
}

// start measures the time until the first answer and the memory of a server
// nobody asks anything.
func (b *bench) start() error {
	if err := b.peers(); err != nil {
		return err
	}
	list, err := b.starters()
	if err != nil {
		return err
	}
	t := b.report.Section("Start and memory", "server", "on", "first answer ms", "slowest ms", "resident MB", "of it not files MB")
	for _, s := range list {
		b.say("starting %s on %s", s.name, s.on)
		ready, resident, anonymous, err := b.startSome(s)
		if err != nil {
			return fmt.Errorf("%s on %s: %w", s.name, s.on, err)
		}
		t.Row(s.name, s.on, number(report.Median(ready)), number(slices.Max(ready)), number(resident), number(anonymous))
		if s.name != "Chancery" {
			continue
		}
		switch {
		case s.on == emptySQLite:
			b.report.Goal("Start with an empty database: first answer", report.Median(ready), report.Below, 150, " ms")
			b.report.Goal("Idle memory with an empty database", resident, report.Below, 100, " MB")
		case s.on == b.full(sqlite):
			b.report.Goal("Start with "+s.on+": first answer", report.Median(ready), report.Below, 2000, " ms")
			b.report.Goal("Idle memory with "+s.on, resident, report.Below, 150, " MB")
		}
	}
	t.Note("From the start of the program to the first HTTP answer, on both cores, with a warm file cache: median and slowest of %d starts. The first start of all also makes the database and the CA.", b.pick(7, 3))
	t.Note("Memory (VmRSS; RssAnon) after %s without a request.", b.idle())
	return nil
}

const emptySQLite = "an empty database"

func (b *bench) full(engine string) string {
	return fmt.Sprintf("%d certificates, %s", b.pick(1_000_000, 30_000), engine)
}

func (b *bench) idle() time.Duration { return time.Duration(b.pick(10, 3)) * time.Second }

// starters sets the servers up.
func (b *bench) starters() ([]starter, error) {
	empty := b.ours(b.place("chancery"))
	if err := empty.open(b.ctx); err != nil {
		return nil, err
	}
	step := &peer.StepCA{Program: b.stepca, Dir: b.place("step-ca"), Key: peer.P256}
	if err := step.SetUp(); err != nil {
		return nil, err
	}
	mdm := peer.MicroMDM{Program: b.micromdm, Dir: b.place("micromdm")}
	if err := mdm.SetUp(); err != nil {
		return nil, err
	}
	again := b.pick(7, 3)
	list := []starter{
		{"Chancery", "nothing: the first start of all", func() (*peer.Server, error) {
			fresh := b.ours(b.place("fresh"))
			if err := os.Mkdir(fresh.dir, 0o700); err != nil {
				return nil, err
			}
			if err := peer.TLSPair(fresh.file("tls.pem"), fresh.file("tls.key")); err != nil {
				return nil, err
			}
			return fresh.startIn(fresh.dir, bothCores)
		}, again},
		{"Chancery", emptySQLite, func() (*peer.Server, error) { return empty.startIn(empty.dir, bothCores) }, again},
		{"step-ca", emptySQLite, func() (*peer.Server, error) { return step.Start(b.place("step-ca"), bothCores) }, again},
		{"micromdm/scep", "an empty folder", func() (*peer.Server, error) { return mdm.Start(b.place("micromdm"), bothCores) }, again},
	}
	for _, engine := range []string{sqlite, postgres} {
		s, err := b.stocked(engine)
		if err != nil {
			return nil, err
		}
		list = append(list, starter{"Chancery", b.full(engine), func() (*peer.Server, error) { return s.startIn(s.dir, bothCores) }, again})
	}
	return list, nil
}

// startSome starts a server some times and looks at the memory of the last one.
func (b *bench) startSome(s starter) (ready []float64, resident, anonymous float64, err error) {
	for i := range s.times {
		machine.Settle()
		server, err := s.start()
		if err != nil {
			return nil, 0, 0, err
		}
		ready = append(ready, milliseconds(server.Ready))
		if i == s.times-1 {
			time.Sleep(b.idle())
			r, a, err := server.Memory()
			if err != nil {
				return nil, 0, 0, errors.Join(err, stop(server))
			}
			resident, anonymous = float64(r)/1e6, float64(a)/1e6
		}
		if err := stop(server); err != nil {
			return nil, 0, 0, err
		}
	}
	return ready, resident, anonymous, nil
}
