package app

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pressly/goose/v3"

	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/testpeer"
)

// firstRelease is a day after testdata/first was made: by the program of the
// first migration, with a quick start, an enrolment over SCEP, a renewal, a
// revocation, a hold, and a request that waits for approval. rows.jsonl holds
// every row of its database, a line for each.
var firstRelease = time.Date(2026, 11, 22, 23, 40, 0, 0, time.UTC)

// loadFirst makes an empty database that of the first release.
func loadFirst(t *testing.T, name, address string) {
	t.Helper()
	driver, dialect, source := "pgx", goose.DialectPostgres, address
	if path, ok := store.SQLitePath(address); ok {
		driver, dialect, source = "sqlite", goose.DialectSQLite3, path
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	first, err := os.ReadFile("../store/migration/0001_first.sql")
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider(dialect, db, fstest.MapFS{"0001_first.sql": {Data: first}}, goose.WithVerbose(false))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	rows, err := os.ReadFile("testdata/first/rows.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	lines := bufio.NewScanner(bytes.NewReader(rows))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if err := insertLine(t.Context(), tx, lines.Bytes()); err != nil {
			t.Fatalf("%s: %v in %s", name, err, lines.Text())
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

func insertLine(ctx context.Context, tx *sql.Tx, line []byte) error {
	var entry struct {
		Table string
		Row   map[string]any
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if err := d.Decode(&entry); err != nil {
		return err
	}
	columns := slices.Sorted(maps.Keys(entry.Row))
	marks, values := make([]string, len(columns)), make([]any, len(columns))
	for i, c := range columns {
		marks[i], values[i] = fmt.Sprintf("$%d", i+1), entry.Row[c]
		switch v := values[i].(type) {
		case json.Number:
			n, err := v.Int64()
			if values[i] = n; err != nil {
				if values[i], err = v.Float64(); err != nil {
					return err
				}
			}
		case map[string]any:
			b, err := base64.StdEncoding.DecodeString(v["base64"].(string))
			if err != nil {
				return err
			}
			values[i] = b
		}
	}
	_, err := tx.ExecContext(ctx, fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", entry.Table, strings.Join(columns, ", "), strings.Join(marks, ", ")), values...)
	return err
}

// TestUpgradeFromTheFirstRelease brings a database of the first release up to
// date, on both engines, and goes on working with it.
func TestUpgradeFromTheFirstRelease(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, name, address string) {
		cfg := config(t, address)
		cfg.MasterKey = t.TempDir() + "/master.key"
		copyFile(t, "testdata/first/master.key", cfg.MasterKey)
		loadFirst(t, name, address)
		began := time.Now()
		cfg.Now = func() time.Time { return firstRelease.Add(time.Since(began)) }
		s := startSite(t, cfg)
		if s.d.made != 0 {
			t.Errorf("%d things of the demonstration were made again", s.d.made)
		}
		s.sound()

		counts := map[ra.CertificateState]int{}
		var vpn, held *ra.Certificate
		all, _, err := s.Lifecycle.FindCertificates(t.Context(), localActor(), store.CertificateFilter{})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range all {
			counts[c.State]++
			switch {
			case c.State == ra.OnHold:
				held = c
			case strings.HasPrefix(c.Subject, "CN=ada,"):
				vpn = c
			}
		}
		if counts[ra.Valid] != 3 || counts[ra.Revoked] != 1 || counts[ra.OnHold] != 1 {
			t.Fatalf("certificates: %v", counts)
		}
		block, _ := pem.Decode(must(os.ReadFile("testdata/first/mac.pem")))
		mac := must(x509.ParseCertificate(block.Bytes))
		s.verifies(mac)
		if got := s.ocsp(mac); got != "good" {
			t.Errorf("OCSP says %q of a certificate of the first release", got)
		}
		former := must(x509.ParseRevocationList(must(os.ReadFile("testdata/first/crl.der"))))

		// Revocation and CRL.
		if _, err := s.Lifecycle.Revoke(t.Context(), localActor(), s.row(mac).ID, ra.KeyCompromise, ""); err != nil {
			t.Fatal(err)
		}
		list := s.crl()
		if !revokes(list, mac) || len(list.RevokedCertificateEntries) != len(former.RevokedCertificateEntries)+1 || list.Number.Cmp(former.Number) <= 0 {
			t.Errorf("the CRL has number %s and %d entries after number %s with %d", list.Number, len(list.RevokedCertificateEntries), former.Number, len(former.RevokedCertificateEntries))
		}
		if got := s.ocsp(mac); got != "revoked" {
			t.Errorf("OCSP says %q of a revoked certificate", got)
		}
		if _, err := s.Lifecycle.Revoke(t.Context(), localActor(), held.ID, ra.RemoveFromCRL, ""); err != nil {
			t.Error(err)
		}
		// Renewal of a key that was sealed then.
		r, err := s.Lifecycle.Renew(t.Context(), localActor(), vpn.ID, true)
		if err != nil || r.State != ra.Issued {
			t.Fatalf("renewal: %+v, %v", r, err)
		}
		// Approval of what waited.
		waiting, _, err := s.Enroll.FindRequests(t.Context(), localActor(), store.RequestFilter{States: []ra.RequestState{ra.AwaitingApproval}})
		if err != nil || len(waiting) != 1 {
			t.Fatalf("%d requests wait, %v", len(waiting), err)
		}
		other := localActor()
		other.Name = "somebody else"
		if r, err = s.Enroll.Decide(t.Context(), other, waiting[0].ID, true, "looks right"); err != nil {
			t.Fatal(err)
		}
		// A new enrolment over SCEP.
		fresh := s.enrol("bela-ipad")
		s.verifies(fresh)
		if got := s.ocsp(fresh); got != "good" {
			t.Errorf("OCSP says %q of a new certificate", got)
		}
		s.sound()
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestNewerDatabaseIsRefused: a program does not work on tables it does not
// know.
func TestNewerDatabaseIsRefused(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, name, address string) {
		cfg := config(t, address)
		a, err := Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.DB.Pool().ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, TRUE)"); err != nil {
			t.Fatal(err)
		}
		if err := a.closeParts(); err != nil {
			t.Fatal(err)
		}
		_, err = Start(t.Context(), cfg)
		if ra.KindOf(err) != ra.Conflict || !strings.Contains(err.Error(), "9999") || !strings.Contains(ra.AsError(err).Remedy, "newer program") {
			t.Errorf("a newer database: %v", err)
		}
	})
}
