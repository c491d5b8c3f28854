package job

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"chancery/internal/ra"
)

// worker is river's view of one Handle.
type worker[A Args] struct {
	river.WorkerDefaults[A]
	q    *Queue
	work func(context.Context, A) error
}

func (w *worker[A]) Work(ctx context.Context, j *river.Job[A]) error {
	w.q.rolls.begin(j.ID)
	defer w.q.rolls.end(j.ID)
	began := time.Now()
	err := w.do(ctx, j.Args)
	w.q.tell(j.Kind, time.Since(began), err)
	return w.q.verdict(ctx, j.JobRow, err)
}

// do turns a panic into an error, so that river does not store its value.
func (w *worker[A]) do(ctx context.Context, args A) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{value: v, stack: debug.Stack()}
		}
	}()
	if w.q.o.Hold != nil {
		if err := w.q.o.Hold(); err != nil {
			return err
		}
	}
	return w.work(ctx, args)
}

func (w *worker[A]) Timeout(j *river.Job[A]) time.Duration {
	if t, ok := any(j.Args).(Timed); ok {
		return t.Timeout()
	}
	return 0 // that in Options
}

// NextRetry keeps a failed periodic job from waiting longer than its interval:
// it is live, so no other is put meanwhile.
func (w *worker[A]) NextRetry(j *river.Job[A]) time.Time {
	next := (&river.DefaultClientRetryPolicy{}).NextRetry(j.JobRow)
	if interval, ok := w.q.interval[j.Kind]; ok {
		// River goes by the clock of the system.
		if latest := time.Now().UTC().Add(interval); next.After(latest) {
			return latest
		}
	}
	return next
}

// tell counts an attempt for those who watch.
func (q *Queue) tell(kind string, took time.Duration, err error) {
	if q.o.Ended == nil {
		return
	}
	result := "done"
	if err != nil {
		result = "failed"
		if ra.AsError(err).Retry > 0 {
			result = "again"
		}
	}
	q.o.Ended(kind, result, took)
}

type panicError struct {
	value any
	stack []byte
}

func (p *panicError) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// verdict logs what came of an attempt and says it in river's words, leaving
// out what river must not store.
func (q *Queue) verdict(ctx context.Context, row *rivertype.JobRow, err error) error {
	if err == nil {
		return nil
	}
	e := ra.AsError(err)
	shown := errors.New(e.Message)
	if e.Remedy != "" {
		shown = errors.New(e.Message + " " + e.Remedy)
	}
	log := q.log.With("kind", row.Kind, "job", row.ID, "attempt", row.Attempt, "error", err.Error())
	var p *panicError
	if errors.As(err, &p) {
		log = log.With("stack", string(p.stack))
	}
	switch {
	case e.Retry == ra.Never:
		log.ErrorContext(ctx, "job given up")
		return river.JobCancel(shown)
	case e.Retry > 0:
		log.InfoContext(ctx, "job waits", "for", e.Retry)
		return river.JobSnooze(e.Retry)
	case errors.Is(ctx.Err(), context.Canceled):
		log.InfoContext(ctx, "job interrupted")
		return river.JobSnooze(0)
	case row.Attempt >= row.MaxAttempts:
		log.ErrorContext(ctx, "job failed for the last time")
	case p != nil:
		log.ErrorContext(ctx, "job panicked, will be tried again")
	default:
		log.WarnContext(ctx, "job failed, will be tried again")
	}
	return shown
}

// riverLog is the log for river itself: trouble only, and without its account
// of failed jobs, which verdict has given in full.
func (q *Queue) riverLog() *slog.Logger { return slog.New(troubleOnly{q.log.Handler()}) }
