package testpeer

import (
	"context"
	"database/sql"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite"
)

func connect(t *testing.T, address string) *pgx.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func execute(t *testing.T, conn *pgx.Conn, statement string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func count(t *testing.T, conn *pgx.Conn, query string, args ...any) int {
	t.Helper()
	var n int
	if err := conn.QueryRow(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func TestPostgresGivesEachCallerItsOwnDatabase(t *testing.T) {
	var first string
	t.Run("first", func(t *testing.T) {
		first = Postgres(t)
		second := Postgres(t)
		if first == second {
			t.Fatalf("the same address twice: %s", first)
		}
		one, two := connect(t, first), connect(t, second)
		execute(t, one, "CREATE TABLE thing (id INT)")
		const tables = "SELECT count(*) FROM pg_tables WHERE tablename = 'thing'"
		if got := count(t, one, tables); got != 1 {
			t.Errorf("tables in the first database: got %d, want 1", got)
		}
		if got := count(t, two, tables); got != 0 {
			t.Errorf("tables in the second database: got %d, want 0", got)
		}
		if got := count(t, one, "SELECT count(*) FROM pg_roles WHERE rolname = current_user AND rolsuper"); got != 0 {
			t.Error("the tests' role is a superuser")
		}
		var version int
		if err := one.QueryRow(t.Context(), "SELECT current_setting('server_version_num')::int / 10000").Scan(&version); err != nil {
			t.Fatal(err)
		}
		if version < oldestPostgres {
			t.Errorf("server version: got %d, want %d or later", version, oldestPostgres)
		}
	})
	if conn, err := pgx.Connect(t.Context(), first); err == nil {
		conn.Close(t.Context())
		t.Error("the database outlived its test")
	} else if !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("connecting to the dropped database: got %v, want that it does not exist", err)
	}
}

func TestPostgresServerRestarts(t *testing.T) {
	server := PostgresServer(t)
	address := server.Database()
	conn := connect(t, address)
	execute(t, conn, "CREATE TABLE kept (id INT)")
	for i, down := range []struct {
		name string
		do   func()
	}{{"stop", server.Stop}, {"kill", server.Kill}} {
		conn := connect(t, address)
		execute(t, conn, "INSERT INTO kept VALUES (1)")
		execute(t, conn, "BEGIN")
		execute(t, conn, "INSERT INTO kept VALUES (2)")
		down.do()
		if late, err := pgx.Connect(t.Context(), address); err == nil {
			late.Close(t.Context())
			t.Fatalf("after %s the server still answers", down.name)
		}
		server.Start()
		if got, want := count(t, connect(t, address), "SELECT count(*) FROM kept"), i+1; got != want {
			t.Errorf("rows after %s: got %d, want %d", down.name, got, want)
		}
	}
}

func TestRemovedServerLeavesNothing(t *testing.T) {
	server, err := newPostgres()
	if err != nil {
		t.Fatal(err)
	}
	server.remove(syscall.SIGQUIT)
	if server.daemon.running() {
		t.Error("the server still runs")
	}
	if _, err := os.Stat(server.dir); !os.IsNotExist(err) {
		t.Errorf("the server's directory: got %v, want that it does not exist", err)
	}
}

func TestEachDatabase(t *testing.T) {
	var names []string
	EachDatabase(t, func(t *testing.T, name, address string) {
		names = append(names, name)
		if name == "postgres" {
			execute(t, connect(t, address), "CREATE TABLE thing (id INT)")
			return
		}
		db, err := sql.Open("sqlite", strings.TrimPrefix(address, "sqlite:"))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.ExecContext(t.Context(), "CREATE TABLE thing (id INT)"); err != nil {
			t.Fatal(err)
		}
	})
	if got, want := strings.Join(names, " "), "sqlite postgres"; got != want {
		t.Errorf("engines: got %q, want %q", got, want)
	}
}
