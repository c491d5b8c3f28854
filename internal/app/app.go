// Package app is the program as a value: a Config goes in, Start gives a
// running server, Close ends it. It is the only place that knows every part
// and joins them; tests, the quick start and the command line all start the
// very same thing.
//
// The order of the start is the order of trust: the master key, the database
// and its migrations, the job queue, the capabilities, what a first start must
// make, and only then the listeners.
package app

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"

	"chancery/internal/audit"
	"chancery/internal/authority"
	caall "chancery/internal/ca/all"
	"chancery/internal/caimport"
	"chancery/internal/directory"
	"chancery/internal/egress"
	"chancery/internal/enroll"
	"chancery/internal/health"
	"chancery/internal/inventory"
	"chancery/internal/job"
	"chancery/internal/keydelivery"
	"chancery/internal/keyring"
	"chancery/internal/lifecycle"
	"chancery/internal/observe"
	"chancery/internal/pass"
	"chancery/internal/posture"
	"chancery/internal/ra"
	"chancery/internal/signin"
	"chancery/internal/store"
	"chancery/internal/trace"
)

// App is the running program.
type App struct {
	Config      Config
	Log         *slog.Logger
	DB          *store.DB
	Inventory   *inventory.Service
	Authorities *authority.Service
	Enroll      *enroll.Service
	Lifecycle   *lifecycle.Service
	Directories *directory.Service
	Keys        *keydelivery.Service
	Postures    *posture.Service
	Passes      *pass.Service
	Imports     *caimport.Service
	Traces      *trace.Service
	Signin      *signin.Service
	Audit       audit.Log
	Keyring     *keyring.Service
	Observer    *observe.Observer

	queue      *job.Queue
	watch      *health.Watch // while the server runs
	tls        *listenerCert // of the listener for people; nil without TLS
	stopWatch  context.CancelFunc
	endKeyring func()
	servers    []*http.Server
	listeners  []net.Listener
	lock       *os.File
	serving    sync.WaitGroup
	watching   sync.WaitGroup
}

// Open joins the parts on the data of cfg without listening and without
// running jobs: what the command line does when no server runs there.
func Open(ctx context.Context, cfg Config) (*App, error) {
	cfg.settle()
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return nil, ra.Errorf(ra.Invalid, "The data folder cannot be made.").WithField("data").
			WithRemedy("Choose a folder this account may write to.").WithCause(err)
	}
	a := &App{Config: cfg, Log: cfg.logger(os.Stderr)}
	if err := a.join(ctx); err != nil {
		return nil, errors.Join(err, a.closeParts())
	}
	return a, nil
}

// join opens the master key and the database and makes the capabilities.
func (a *App) join(ctx context.Context) error {
	var err error
	if a.DB, err = store.Open(ctx, a.Config.Database, a.Config.Now); err != nil {
		return err
	}
	if err := a.observe(ctx); err != nil {
		return err
	}
	box, err := a.masterKey(ctx)
	if err != nil {
		return err
	}
	if a.queue, err = job.Open(ctx, a.DB, job.Options{Log: a.Log, Node: node(a.Config), Hold: a.mayWork, Ended: a.Observer.Job}); err != nil {
		return err
	}
	if err := a.joinKeyring(ctx, box); err != nil {
		return err
	}
	if a.Config.PublicURL == "" {
		a.Config.PublicURL = scheme(a.Config) + a.Config.Listen
	}
	out, err := egress.Parse(a.Config.EgressAllow)
	if err != nil {
		return err
	}
	a.Audit = audit.Log{DB: a.DB}
	a.Authorities = &authority.Service{DB: a.DB, Box: box, Kinds: slices.Concat(caall.Kinds(), a.Config.Kinds), Now: a.Config.Now, Log: a.Log, PublicURL: a.Config.PublicURL, Hold: a.mayIssue,
		Observer: a.Observer, Dial: out.Dial}
	a.Inventory = &inventory.Service{DB: a.DB, Now: a.Config.Now, Log: a.Log, OnUnenrol: unenrolled, OnDelete: deleted}
	a.Directories = &directory.Service{DB: a.DB, Box: box, Queue: a.queue, Now: a.Config.Now, Log: a.Log, Dial: a.Authorities.Dial, Step: a.Config.Step}
	a.Postures = &posture.Service{DB: a.DB, Authorities: a.Authorities, Directories: a.Directories, Queue: a.queue, Now: a.Config.Now, Log: a.Log, Dial: a.Authorities.Dial}
	a.Authorities.Guard = a.Postures.Step
	a.Keys = &keydelivery.Service{DB: a.DB, Box: box, Queue: a.queue, Directories: a.Directories, Now: a.Config.Now, Log: a.Log, Dial: a.Authorities.Dial, Step: a.Config.Step}
	a.Enroll = &enroll.Service{Directories: a.Directories, DB: a.DB, Box: box, Authorities: a.Authorities, Queue: a.queue, Now: a.Config.Now, Log: a.Log, Step: a.Config.Step, Observer: a.Observer}
	a.Lifecycle = &lifecycle.Service{DB: a.DB, Box: box, Authorities: a.Authorities, Enroll: a.Enroll, Queue: a.queue, Now: a.Config.Now, Log: a.Log, Step: a.Config.Step, Observer: a.Observer}
	a.Signin = &signin.Service{DB: a.DB, Now: a.Config.Now, Log: a.Log, Observer: a.Observer, PublicURL: a.Config.PublicURL}
	a.Passes = &pass.Service{DB: a.DB, Box: box, Authorities: a.Authorities, Enroll: a.Enroll, Queue: a.queue, Now: a.Config.Now, Log: a.Log, PublicURL: a.Config.PublicURL}
	a.Imports = &caimport.Service{DB: a.DB, Queue: a.queue, Authorities: a.Authorities, Passes: a.Passes, Now: a.Config.Now, Log: a.Log, Step: a.Config.Step}
	a.Traces = &trace.Service{DB: a.DB, Passes: a.Passes}
	a.Enroll.Handle()
	a.Lifecycle.Handle()
	a.Directories.Handle()
	a.Keys.Handle()
	a.Postures.Handle()
	a.Passes.Handle()
	a.Imports.Handle()
	return a.prepare(ctx)
}

func scheme(c Config) string {
	if c.Certificate != "" {
		return "https://"
	}
	return "http://"
}

func unenrolled(tx *store.Tx, actor ra.Actor, d *ra.Device) error {
	return errors.Join(pass.RevokeForDevice(tx, actor, d.ID, "The device was unenrolled."), lifecycle.RevokeForDevice(tx, actor, d.ID, "unenrolment"))
}

func deleted(tx *store.Tx, actor ra.Actor, d *ra.Device) error {
	return errors.Join(pass.RevokeForDevice(tx, actor, d.ID, "The device was deleted."), lifecycle.RevokeForDevice(tx, actor, d.ID, "deletion"))
}

// Start opens the program and serves. The context bounds the start only; the
// server runs until Close.
func Start(ctx context.Context, cfg Config) (*App, error) {
	cfg.settle()
	lock, err := lockData(cfg.Data)
	if err != nil {
		return nil, err
	}
	// The listeners come first, so that the public URL is known even when the
	// system chooses the port; nothing is accepted before everything is ready.
	listeners, err := listen(&cfg)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	a, err := Open(ctx, cfg)
	if err != nil {
		for _, l := range listeners {
			err = errors.Join(err, l.Close())
		}
		return nil, errors.Join(err, lock.Close())
	}
	a.lock, a.listeners = lock, listeners
	a.beginWatch(ctx)
	a.beginKeyring(ctx)
	if err := a.queue.Start(context.WithoutCancel(ctx)); err != nil {
		return nil, errors.Join(err, a.Close(ctx))
	}
	if err := a.serve(); err != nil {
		return nil, errors.Join(err, a.Close(ctx))
	}
	return a, nil
}

// Close stops listening, lets running work end within the context, and closes
// the database.
func (a *App) Close(ctx context.Context) error {
	var all error
	for _, s := range a.servers {
		if err := s.Shutdown(ctx); err != nil {
			all = errors.Join(all, err, s.Close())
		}
	}
	for _, l := range a.listeners {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			all = errors.Join(all, err)
		}
	}
	a.serving.Wait()
	if a.stopWatch != nil {
		a.stopWatch()
		a.watching.Wait()
	}
	all = errors.Join(all, a.queue.Stop(ctx))
	if a.endKeyring != nil {
		a.endKeyring() // when nothing seals any more
	}
	return errors.Join(all, a.Observer.Close(ctx), a.closeParts())
}

func (a *App) closeParts() error {
	var all error
	if a.Directories != nil {
		a.Directories.Close()
	}
	if a.DB != nil {
		all = a.DB.Close()
	}
	if a.lock != nil {
		all = errors.Join(all, a.lock.Close())
	}
	return all
}
