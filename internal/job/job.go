// Package job runs work that survives: a job is put in the transaction that
// made it necessary, and runs at least once after that transaction has been
// committed, on this node or another, today or after a crash. It is a thin
// face over the river library, whose tables live in the same database.
//
// A job is a small struct of arguments with a stable kind. Those who know how
// to do it say so with Handle, regular work is announced with Every, and both
// come before Start. A program that only leaves work behind, such as a command
// beside the server, opens a Queue and never starts it.
//
// Every worker may run twice for one job: first it looks whether the work is
// already done, then it does it. What it returns is the verdict:
//
//	nil                          the job is done
//	*ra.Error, Retry: ra.Never   the job is given up
//	*ra.Error, Retry above zero  the job waits that long; this is no failure
//	                             and does not count as an attempt
//	any other error, or a panic  the job is tried again after 1 s, 16 s, 81 s
//	                             and so on with the fourth power, until
//	                             MaxAttempts is used up
//
// The job's row keeps message and remedy of an error only, because the cause
// may hold what must not be stored; all of it goes to the log.
//
// On SQLite river shares the one writing connection with everybody else: it
// takes it for one statement or one short transaction at a time, and a worker
// holds it only inside its own transactions. An idle Queue asks for due jobs
// once a second and for its settings every two, renews its leadership every
// five (the only idle statement that changes anything), looks for scheduled jobs
// every five and for lost ones every fifteen: about two statements and a fifth of a commit per second,
// less than half a percent of a core on either engine.
package job

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/riverqueue/river"

	"chancery/internal/ra"
	"chancery/internal/store"
)

const (
	defaultWorkers     = 10
	defaultTimeout     = 2 * time.Minute
	defaultMaxAttempts = 10 // the last one about four hours after the first

	// pollInterval is how long a job can be due before an idle Queue sees it.
	pollInterval = time.Second
	// fetchCooldown keeps a busy Queue from asking after every single job.
	fetchCooldown = 10 * time.Millisecond
	// rescueMargin is how long past its time limit a job that nobody reports
	// on is believed to run.
	rescueMargin = 30 * time.Second
	// stopGrace is how long a cancelled job has to return.
	stopGrace = 5 * time.Second

	completedRetention = time.Hour
	cancelledRetention = 24 * time.Hour
	discardedRetention = 7 * 24 * time.Hour

	maxNodeLength = 80
)

// Args are the arguments of a job: a value (not a pointer) that is small as
// JSON, that the next version of the program can still read, and that holds no
// secrets. Kind is 2 to 127 letters, digits and -_./:+ and never changes.
type Args interface{ Kind() string }

// Timed is for Args whose work has its own time limit instead of that in
// Options. It is asked after the arguments have been read back.
type Timed interface {
	Args
	Timeout() time.Duration
}

// Options tune a Queue; the zero value is good.
type Options struct {
	// Log hears of every failed attempt, with its cause. Nil is silence.
	Log *slog.Logger
	// Workers is how many jobs run at a time in this process; 0 means 10.
	Workers int
	// Timeout is how long a job may run before its context ends; 0 means two
	// minutes. A job whose node is gone is taken over half a minute later.
	Timeout time.Duration
	// Hold, unless nil, is asked before a job begins: an error makes it wait, for
	// as long as the error says (verdict).
	Hold func() error
	// Ended, unless nil, hears how each attempt ended: done, again (it waits, as
	// the error said), or failed.
	Ended func(kind, result string, took time.Duration)
	// Node is a name that is the same after a restart and that no other
	// running process on this database has. By it Start knows the jobs that
	// this node was working on when it was killed, and takes them back at
	// once. Empty means that such jobs wait until their time limit has passed,
	// except on SQLite, which one node has for itself.
	Node string
}

// Queue is the jobs of one database. It is safe for concurrent use.
type Queue struct {
	db   *store.DB
	o    Options
	log  *slog.Logger
	put  *river.Client[*sql.Tx] // inserts only
	kick atomic.Pointer[func()] // set while jobs run

	mu       sync.Mutex
	started  bool
	workers  *river.Workers
	handled  map[string]bool
	periodic []*river.PeriodicJob
	interval map[string]time.Duration // of kinds that Every knows
	work     *river.Client[*sql.Tx]   // set while jobs run
	unwatch  func()                   // ends watch, and waits for it

	rolls                rollCall
	lostAfter, lostEvery time.Duration
}

// Open brings the tables of the queue in db up to date and gives a Queue that
// Put can use. Several nodes may do this at the same time. Nothing runs before
// Start, and there is nothing to close. A database that does not answer is
// Unreachable.
func Open(ctx context.Context, db *store.DB, o Options) (*Queue, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Workers == 0 {
		o.Workers = defaultWorkers
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Node == "" && db.Engine() == "sqlite" {
		o.Node = "sqlite"
	}
	if len(o.Node) > maxNodeLength {
		return nil, ra.Errorf(ra.Invalid, "The name of this node is longer than %d characters.", maxNodeLength).
			WithField("node").WithRemedy("Give the node a shorter name.")
	}
	q := &Queue{db: db, o: o, log: o.Log, workers: river.NewWorkers(),
		handled: map[string]bool{}, interval: map[string]time.Duration{}, lostAfter: lostAfter, lostEvery: lostEvery}
	d := newDriver(db)
	if err := migrate(ctx, db, d, q.riverLog()); err != nil {
		return nil, ra.Errorf(ra.Unreachable, "The tables for background jobs cannot be brought up to date.").WithField("database").
			WithRemedy("Check that the database answers and that this account may create tables in it.").WithCause(err)
	}
	var err error
	q.put, err = river.NewClient(d, &river.Config{Hooks: insertHooks, Logger: q.riverLog(), MaxAttempts: defaultMaxAttempts})
	if err != nil {
		return nil, err
	}
	return q, nil
}

// Handle says how jobs of A's kind are done. It panics after Start and for a
// kind that is handled already. The context given to work ends with the job's
// time limit, and when Stop has run out of patience; work should return soon
// after, and is then run again from the start.
func Handle[A Args](q *Queue, work func(ctx context.Context, args A) error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mustNotBeStarted()
	var zero A
	if err := river.AddWorkerSafely(q.workers, &worker[A]{q: q, work: work}); err != nil {
		panic(fmt.Sprintf("job: kind %s: %v", zero.Kind(), err))
	}
	q.handled[zero.Kind()] = true
}

// Every puts a job with args each interval, a second or more, on whichever node
// leads, and once when a node begins to lead. While such a job is live no
// second one is put, so a slow one delays the next; one that fails is tried
// again after the interval at the latest. The kind needs a Handle too. Every
// panics after Start.
func Every[A Args](q *Queue, interval time.Duration, args A) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mustNotBeStarted()
	if interval < time.Second {
		panic(fmt.Sprintf("job: kind %s: an interval of %s is too short", args.Kind(), interval))
	}
	encoded, err := json.Marshal(args)
	if err != nil {
		panic(fmt.Sprintf("job: kind %s: %v", args.Kind(), err))
	}
	opts := uniqueOpts("every " + string(encoded))
	q.periodic = append(q.periodic, river.NewPeriodicJob(river.PeriodicInterval(interval),
		func() (river.JobArgs, *river.InsertOpts) { return args, opts },
		&river.PeriodicJobOpts{RunOnStart: true}))
	q.interval[args.Kind()] = interval
}

func (q *Queue) mustNotBeStarted() {
	if q.started {
		panic("job: Handle and Every come before Start")
	}
}

// Start takes back the jobs that this node was killed over and begins to work.
// ctx bounds the starting only; the work ends with Stop. A Queue that was
// started is not started again: a second Start panics. Without any Handle, or
// with an Every whose kind nobody handles, it is an error.
func (q *Queue) Start(ctx context.Context) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mustNotBeStarted()
	for kind := range q.interval {
		if !q.handled[kind] {
			return fmt.Errorf("job: nobody handles the periodic kind %s", kind)
		}
	}
	d, us := newDriver(q.db), clientID(q.o.Node)
	client, err := river.NewClient(d, &river.Config{
		ID:                          us,
		Hooks:                       insertHooks,
		Logger:                      q.riverLog(),
		MaxAttempts:                 defaultMaxAttempts,
		Workers:                     q.workers,
		Queues:                      map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: q.o.Workers}},
		PeriodicJobs:                q.periodic,
		FetchPollInterval:           pollInterval,
		FetchCooldown:               fetchCooldown,
		JobTimeout:                  q.o.Timeout,
		RescueStuckJobsAfter:        q.o.Timeout + rescueMargin,
		CompletedJobRetentionPeriod: completedRetention,
		CancelledJobRetentionPeriod: cancelledRetention,
		DiscardedJobRetentionPeriod: discardedRetention,
		// All this does is to leave out a pause of up to a second before each
		// of the leader's six services, the periodic jobs among them.
		TestOnly: true,
	})
	if err != nil {
		return err
	}
	if err := q.takeBack(ctx, d); err != nil {
		return fmt.Errorf("take back jobs: %w", err)
	}
	if err := client.Start(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	q.started = true
	q.work = client
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	var watch sync.WaitGroup
	watch.Go(func() { q.watch(watching, d, us) })
	q.unwatch = func() { stop(); watch.Wait() }
	q.kick.Store(&d.pilot.kick)
	return nil
}

// clientID names one life of a node.
func clientID(node string) string { return node + "/" + rand.Text() }

// Stop begins no more jobs and waits for those that run. When ctx ends first,
// their contexts end, and they have five seconds to return; interrupted jobs
// are put back and run again at the next Start. A job that ignores its context
// is an error; it is taken back as if the node had been killed. A Queue that
// was not started, or was stopped, is fine.
func (q *Queue) Stop(ctx context.Context) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.work == nil {
		return nil
	}
	client := q.work
	q.work = nil
	q.unwatch()
	q.kick.Store(nil)
	if client.Stop(ctx) == nil {
		return nil
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
	defer cancel()
	if err := client.StopAndCancel(grace); err != nil {
		return fmt.Errorf("jobs that were cancelled did not return within %s", stopGrace)
	}
	return nil
}

// Kick makes this process look for due jobs now instead of at the next poll,
// for a caller whose transaction with a Put has just been committed. It does
// nothing unless the Queue runs, and never blocks.
func (q *Queue) Kick() {
	if kick := q.kick.Load(); kick != nil {
		(*kick)()
	}
}
