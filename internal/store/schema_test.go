package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/testpeer"
)

// tables lists "table.column type" of all tables of the product.
func tables(t *testing.T, db *store.DB) (out []string) {
	t.Helper()
	q := `SELECT table_name || '.' || column_name || ' ' || CASE WHEN is_nullable = 'NO' THEN 'NOT NULL ' ELSE '' END || CASE data_type
		WHEN 'bigint' THEN 'BIGINT' WHEN 'text' THEN 'TEXT' WHEN 'bytea' THEN 'BYTEA' WHEN 'boolean' THEN 'BOOLEAN'
		WHEN 'double precision' THEN 'DOUBLE PRECISION' ELSE data_type END
		FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'goose_db_version'`
	if db.Engine() == "sqlite" {
		q = `SELECT m.name || '.' || c.name || ' ' || CASE WHEN c."notnull" OR c.pk THEN 'NOT NULL ' ELSE '' END || c.type
			FROM sqlite_master m, pragma_table_info(m.name) c
			WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name <> 'goose_db_version'`
	}
	return list(t, db, q)
}

// indices lists the names of the product's own indices.
func indices(t *testing.T, db *store.DB) []string {
	t.Helper()
	if db.Engine() == "sqlite" {
		return list(t, db, "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
	}
	return list(t, db, `SELECT indexname FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'goose_db_version'
		AND indexname NOT LIKE '%\_pkey' AND indexname NOT LIKE '%\_key'`)
}

func list(t *testing.T, db *store.DB, query string) (out []string) {
	t.Helper()
	rows, err := db.Pool().QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

func TestBothEnginesHaveTheSameTables(t *testing.T) {
	var columns, names [][]string
	each(t, func(t *testing.T, db *store.DB, _ *clock) {
		columns, names = append(columns, tables(t, db)), append(names, indices(t, db))
	})
	if len(columns) != 2 || len(columns[0]) < 200 || len(names[0]) < 30 {
		t.Fatalf("too little to compare: %d engines", len(columns))
	}
	for what, pair := range map[string][][]string{"column": columns, "index": names} {
		for i, engine := range []string{"sqlite", "postgres"} {
			for _, line := range pair[i] {
				if !slices.Contains(pair[1-i], line) {
					t.Errorf("only %s has the %s %s", engine, what, line)
				}
			}
		}
	}
}

// What makes a row wait in silence, or end without its outcome, is impossible.
func TestChecks(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		w := newWorld(t, db, c)
		request := func(change func(*ra.Request)) func(*store.Tx) error {
			return func(tx *store.Tx) error {
				r := w.newRequest(c.Now())
				change(r)
				return tx.CreateRequest(r)
			}
		}
		certificate := func(change func(*ra.Certificate)) func(*store.Tx) error {
			return func(tx *store.Tx) error {
				n := w.newCertificate(c.Now())
				change(n)
				return tx.CreateCertificate(n)
			}
		}
		type check struct {
			name string
			f    func(*store.Tx) error
			ok   bool
		}
		checks := []check{
			{"an issued request with its certificate", request(func(r *ra.Request) { r.State, r.CertificateID, r.Obligation = ra.Issued, "crt_1", ra.Obligation{} }), true},
			{"an issued request without certificate", request(func(r *ra.Request) { r.State, r.Obligation = ra.Issued, ra.Obligation{} }), false},
			{"a request that waits for no instant", request(func(r *ra.Request) { r.At = time.Time{} }), false},
			{"a revoked certificate without instant", certificate(func(n *ra.Certificate) { n.State, n.Obligation = ra.Revoked, ra.Obligation{} }), false},
			{"a held certificate without instant", certificate(func(n *ra.Certificate) { n.State = ra.OnHold }), false},
			{"a certificate that waits for no instant", certificate(func(n *ra.Certificate) { n.At = time.Time{} }), false},
			{"a challenge used too often", func(tx *store.Tx) error {
				n := w.newChallenge(c.Now(), 1)
				n.Uses = 2
				return tx.CreateChallenge(n)
			}, false},
		}
		for _, state := range ra.RequestStates {
			ended := slices.Contains([]ra.RequestState{ra.Issued, ra.DeniedState, ra.Failed, ra.Cancelled}, state)
			checks = append(checks,
				check{"a request " + string(state) + " without next action", request(func(r *ra.Request) {
					r.State, r.CertificateID, r.Obligation = state, "crt_1", ra.Obligation{}
				}), ended},
				check{"a request " + string(state) + " with a next action", request(func(r *ra.Request) { r.State, r.CertificateID = state, "crt_1" }), !ended})
		}
		for _, state := range ra.CertificateStates {
			ended := state == ra.Revoked || state == ra.Expired
			checks = append(checks, check{"a certificate " + string(state) + " without next action", certificate(func(n *ra.Certificate) {
				n.State, n.RevokedAt, n.Obligation = state, c.Now(), ra.Obligation{}
			}), ended})
		}
		for _, tc := range checks {
			if err := db.Write(t.Context(), tc.f); (err == nil) != tc.ok {
				t.Errorf("%s: got %v, want stored %v", tc.name, err, tc.ok)
			}
		}
		r := w.newRequest(c.Now())
		write(t, db, func(tx *store.Tx) error { return tx.CreateRequest(r) })
		if err := db.Write(t.Context(), func(tx *store.Tx) error { r.Obligation = ra.Obligation{}; return tx.UpdateRequest(r) }); err == nil {
			t.Error("an update took the next action from a waiting request")
		}
	})
}

func TestRestartKeepsEverything(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) {
		c := newClock()
		db, err := store.Open(t.Context(), address, c.Now)
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(t, db, c)
		cert := w.newCertificate(c.Now())
		write(t, db, func(tx *store.Tx) error {
			return errors.Join(tx.CreateCertificate(cert), tx.PutFact("a", "b"), tx.Append(entry(1)))
		})
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		db = open(t, address, c)
		read(t, db, func(tx *store.Tx) error {
			got, err := tx.Certificate(cert.ID)
			same(t, "certificate", got, cert)
			return err
		})
		if r := verify(t, db); r.Entries != 1 || r.Problem != "" {
			t.Errorf("audit log: %+v", r)
		}
		if err := db.Ping(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestNewerDatabaseIsRefused(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) {
		db, err := store.Open(t.Context(), address, nil)
		if err != nil {
			t.Fatal(err)
		}
		execute(t, db, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, TRUE)")
		db.Close()
		db, err = store.Open(t.Context(), address, nil)
		if err == nil {
			db.Close()
		}
		wantKind(t, "a newer database", err, ra.Conflict)
	})
}

func TestOpenedAtOnce(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) {
		errs := together(3, func(int) error {
			db, err := store.Open(t.Context(), address, nil)
			if err != nil {
				return err
			}
			return db.Close()
		})
		if err := errors.Join(errs...); err != nil {
			t.Error(err)
		}
	})
}

func TestUnusableAddresses(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, []byte(strings.Repeat("not a database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	port := testpeer.FreePort(t)
	for address, kind := range map[string]ra.Kind{
		"":                      ra.Invalid,
		"mysql://localhost/x":   ra.Invalid,
		"chancery.db":           ra.Invalid,
		"sqlite:" + folder:      ra.Unreachable,
		"sqlite:" + file:        ra.Unreachable,
		"sqlite:" + file + "/x": ra.Unreachable,
		fmt.Sprintf("postgres://u:hidden@127.0.0.1:%d/x?sslmode=disable&connect_timeout=5", port): ra.Unreachable,
		"postgres://u:hidden@[::bad/x": ra.Unreachable,
	} {
		db, err := store.Open(t.Context(), address, nil)
		if err == nil {
			db.Close()
		}
		wantKind(t, address, err, kind)
		if err != nil && strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: the error tells the password: %v", address, err)
		}
	}
}

func TestSQLiteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new folder", "a %41?#&.db")
	db := open(t, "sqlite:"+path, newClock())
	write(t, db, func(tx *store.Tx) error { return tx.PutFact("a", "b") })
	for name, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s: got mode %o, want %o", name, got, want)
		}
	}
	if db.Engine() != "sqlite" {
		t.Errorf("engine: got %q", db.Engine())
	}
	var mode string
	if err := db.Pool().QueryRowContext(context.Background(), "PRAGMA journal_mode").Scan(&mode); err != nil || mode != "wal" {
		t.Errorf("journal mode: got %q, %v", mode, err)
	}
}
