// Package chaos kills the real server, again and again, and then holds what it
// left behind against what everybody else knows.
//
// A test binary that calls Main re-executes itself as the server: app.Start
// with its real doors on TCP, on SQLite or PostgreSQL, and a Step that sends
// SIGKILL to its own process when the label chosen for this round comes up.
// Otherwise the parent kills it at a random moment. It is started again at once
// on the same data, while the devices (real SCEP clients that enrol, renew,
// poll and repeat themselves), the operators (revoke, hold, CRL, OCSP, keys made
// here) and the authority outside go on in the parent and know nothing of it.
//
// The server's clock is the system's plus an offset that both processes see, so
// that leases run out and renewals fall due without anybody waiting for them,
// also while somebody still works under the lease.
//
// After a batch of rounds the world is left in peace until nobody waits for
// anything, and the ledger is drawn up (ledger.go): what each client holds, what
// the rows say, what the authorities signed, which revocations were confirmed.
// Lost, double and stuck must all be nothing.
//
// Only tests import this package.
package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"testing"
	"time"

	"chancery/internal/app"
	"chancery/internal/ca"
	"chancery/internal/ca/scripted"
	"chancery/internal/enroll"
	"chancery/internal/lifecycle"
	"chancery/internal/testpeer"
)

// Labels lists every step at which a server can be killed.
func Labels() []string { return slices.Concat(enroll.Steps, lifecycle.Steps) }

// orders is the environment variable that makes a test binary a server.
const orders = "CHANCERY_CHAOS_SERVER"

// publicURL is what certificates say; nobody resolves it.
const publicURL = "http://pki.example.test"

// order is what a server process is told to be.
type order struct {
	Data      string
	Database  string
	MasterKey string
	Page      string // path of the shared page
	Label     string // kill at this step; empty: the parent does it
	Nth       int    // the how manieth time it comes up
}

// Main runs the tests of a package that starts servers. In a process that was
// started to be a server it is that server. It does not return.
func Main(m *testing.M) {
	text, server := os.LookupEnv(orders)
	if !server {
		testpeer.Main(m)
	}
	var o order
	err := json.Unmarshal([]byte(text), &o)
	if err == nil {
		err = serve(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serve is the server process. It says where it listens in one line of standard
// output, and ends on SIGTERM in good order, or with its parent, whose end it
// sees as the end of standard input.
func serve(o order) error {
	page, err := openPage(o.Page)
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		die()
	}()
	asked, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	a, err := app.Start(asked, app.Config{
		Data: o.Data, Database: o.Database, MasterKey: o.MasterKey, Listen: "127.0.0.1:0", PublicURL: publicURL,
		Log:   slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Now:   page.now,
		Kinds: []ca.Kind{scripted.RemoteKind()}, EgressAllow: []string{"127.0.0.1"}, // the outside CA is in the process that started us
		Step: func(label string) {
			if n := page.hit(label); label == o.Label && n == o.Nth {
				die()
			}
		},
	})
	if err != nil {
		return err
	}
	fmt.Println(a.Config.Listen)
	<-asked.Done()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := a.Close(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// die is SIGKILL to this process: nothing after it runs.
func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}
