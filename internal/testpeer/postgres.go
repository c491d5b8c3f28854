package testpeer

import (
	"sync"
	"syscall"
	"testing"
)

// shared is the server behind Postgres, one for the test process.
var shared sharedPostgres

type sharedPostgres struct {
	once   sync.Once
	server *postgres
	err    error
}

func (s *sharedPostgres) get() (*postgres, error) {
	s.once.Do(func() {
		if s.server, s.err = newPostgres(); s.err == nil && len(prepared.steps) > 0 {
			s.err = s.server.prepare()
		}
	})
	return s.server, s.err
}

// stop ends the server if it was ever started. Nothing in it is kept, so it
// need not shut down in order.
func (s *sharedPostgres) stop() {
	if s.server != nil {
		s.server.remove(syscall.SIGQUIT)
	}
}

// Postgres makes a database, empty or prepared as [Main] was told, and gives its
// address as a postgres:// URL for pgx. The database is dropped when the test ends. The server behind it is
// started by the first caller in a test process and shared by all others; the
// role in the address owns the database and is nothing more than that.
func Postgres(t testing.TB) string {
	t.Helper()
	server, err := shared.get()
	if err != nil {
		t.Fatal(err)
	}
	name, err := server.createDatabase()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.admin("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			t.Errorf("dropping the test database: %v", err)
		}
	})
	return server.address(postgresRole, name)
}

// PostgresDaemon is a server of one test, which may take it down and bring it
// back. It keeps its address over that. Its methods end the test when they
// fail, so they belong on the test's goroutine.
type PostgresDaemon struct {
	t      testing.TB
	server *postgres
}

// PostgresServer starts a server for this test alone.
func PostgresServer(t testing.TB) *PostgresDaemon {
	t.Helper()
	server, err := newPostgres()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.remove(syscall.SIGQUIT) })
	return &PostgresDaemon{t: t, server: server}
}

// Database makes an empty database and gives its address as [Postgres] does.
func (d *PostgresDaemon) Database() string {
	d.t.Helper()
	name, err := d.server.createDatabase()
	if err != nil {
		d.t.Fatal(err)
	}
	return d.server.address(postgresRole, name)
}

// Stop shuts the server down in order: open transactions are rolled back,
// clients are disconnected, and everything committed is there after Start.
func (d *PostgresDaemon) Stop() {
	d.t.Helper()
	if err := d.server.daemon.stop(syscall.SIGINT); err != nil {
		d.t.Fatal(err)
	}
}

// Kill ends all the server's processes at once, as a crash would. Start then
// recovers what was committed.
func (d *PostgresDaemon) Kill() {
	d.t.Helper()
	if err := d.server.kill(); err != nil {
		d.t.Fatal(err)
	}
}

// Start brings a server back that was stopped or killed, at the same address,
// and waits until it answers.
func (d *PostgresDaemon) Start() {
	d.t.Helper()
	if err := d.server.start(); err != nil {
		d.t.Fatal(err)
	}
}
