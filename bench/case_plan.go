package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"chancery/bench/report"
	"chancery/internal/app"
	"chancery/internal/enroll"
	"chancery/internal/lifecycle"
	"chancery/internal/store/storebench"
)

// plan measures the full renewal plan of a large inventory, and what a server
// that has nothing to do spends on looking.
func (b *bench) plan() error {
	t := b.report.Section("Renewal planning", "database", "certificates", "work", "ms", "CPU ms")
	count := b.pick(1_500_000, 45_000)
	large := b.ours(b.place("plan"))
	b.say("filling %s with %d certificates", sqlite, count)
	shape := storebench.Of(count, soon())
	shape.Devices, shape.Users, shape.Requests, shape.Entries = count/20, count/20, 0, 0 // the plan looks at certificates only
	if _, err := large.fill(b.ctx, shape); err != nil {
		return err
	}
	if err := b.planOn(t, large, sqlite, count); err != nil {
		return err
	}
	s, err := b.stocked(postgres)
	if err != nil {
		return err
	}
	if err := b.planOn(t, s.ours, postgres, s.count); err != nil {
		return err
	}
	t.Note("Two of five certificates are still to be renewed by somebody; there are four authorities. On PostgreSQL the CPU is that of our process alone. Nothing is due while this is measured.")
	t.Note("The idle server runs its planners as always: every few seconds and minutes for what is due. The full plan, once an hour, does not fall into the %s that are measured.", b.idleSpan())
	return nil
}

// planOn measures both on one database.
func (b *bench) planOn(t *report.Section, o *ours, engine string, count int) error {
	row := func(work, ms, cpu string) { t.Row(engine, fmt.Sprint(count), work, ms, cpu) }
	b.say("planning on %s", engine)
	err := o.open(b.ctx, func(ctx context.Context, a *app.App) error {
		for i, work := range []struct {
			name string
			do   func() error
		}{
			{"full plan of all authorities, first", func() error { return a.Lifecycle.PlanAll(ctx, lifecycle.ForecastJob{}) }},
			{"full plan of all authorities, again", func() error { return a.Lifecycle.PlanAll(ctx, lifecycle.ForecastJob{}) }},
			{"look for requests that are due", func() error { return a.Enroll.Plan(ctx, enroll.PlanJob{}) }},
			{"look for certificates that are due", func() error { return a.Lifecycle.Sweep(ctx, lifecycle.SweepJob{}) }},
		} {
			before, began := ownCPU(), time.Now()
			if err := work.do(); err != nil {
				return fmt.Errorf("%s: %w", work.name, err)
			}
			took := time.Since(began)
			row(work.name, number(milliseconds(took)), number(milliseconds(ownCPU()-before)))
			if i == 0 {
				b.report.Goal(fmt.Sprintf("Full renewal plan of %d certificates on %s", count, engine), took.Seconds(), report.Below, 30, " s")
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	share, err := b.idling(o)
	if err != nil {
		return err
	}
	row("share of a core of a server with nothing to do", "", percent(share))
	b.report.Goal(fmt.Sprintf("Idle server on %d certificates, %s: share of a core", count, engine), 100*share, report.Below, 1, " %")
	return nil
}

func (b *bench) idleSpan() time.Duration { return time.Duration(b.pick(60, 10)) * time.Second }

// idling gives the share of one core that a server takes which nobody asks
// anything, after its start is over.
func (b *bench) idling(o *ours) (share float64, err error) {
	s, err := o.startIn(o.dir, bothCores)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, stop(s)) }()
	time.Sleep(b.idle())
	before, err := s.CPU()
	if err != nil {
		return 0, err
	}
	time.Sleep(b.idleSpan())
	after, err := s.CPU()
	return float64(after-before) / float64(b.idleSpan()), err
}
