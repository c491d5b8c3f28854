package app

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"chancery/internal/ra"
	"chancery/internal/testpeer"
)

// postgresClient runs one of PostgreSQL's own programs against the database of
// an address, the password in a password file, as the documentation says.
func postgresClient(t *testing.T, address, program string, args ...string) {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + program)
	if len(found) == 0 {
		t.Fatalf("there is no %s; run make deps", program)
	}
	u := must(url.Parse(address))
	password, _ := u.User.Password()
	file := filepath.Join(t.TempDir(), "pgpass")
	if err := os.WriteFile(file, []byte("*:*:*:*:"+password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), found[len(found)-1], append(args, "--no-password", "--dbname="+withoutPassword(address))...)
	cmd.Env = append(os.Environ(), "PGPASSFILE="+file)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
}

// TestPostgresDump walks the documented way: pg_dump beside the running server,
// pg_restore into another database, chancery restore without a file.
func TestPostgresDump(t *testing.T) {
	address := testpeer.Postgres(t)
	cfg := config(t, address)
	before := startSite(t, cfg)
	kept := before.enrol("ada-iphone")
	open := before.challenge("ada-macbook")
	before.crl()

	_, _, err := Backup(t.Context(), cfg, BackupOptions{To: t.TempDir()})
	advice := ra.AsError(err).Remedy
	password, _ := must(url.Parse(address)).User.Password()
	if ra.KindOf(err) != ra.Conflict || strings.Contains(advice, password) {
		t.Errorf("chancery backup says %v", err)
	}
	dump := filepath.Join(t.TempDir(), "chancery.dump")
	dumping := []string{"--format=custom", "--no-owner", "--no-privileges"}
	restoring := []string{"--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges"}
	for _, args := range [][]string{dumping, restoring} {
		if !strings.Contains(advice, strings.Join(args, " ")) {
			t.Errorf("chancery backup does not say %v:\n%s", args, advice)
		}
	}
	postgresClient(t, address, "pg_dump", append(dumping, "--file="+dump)...)

	lost, err := before.scep(before.ask("ada-macbook", open))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := before.Lifecycle.Revoke(t.Context(), localActor(), before.row(kept).ID, ra.KeyCompromise, ""); err != nil {
		t.Fatal(err)
	}
	published := before.crl()
	key := before.Config.MasterKey
	before.stop()

	there := config(t, testpeer.Postgres(t))
	there.MasterKey = key
	postgresClient(t, there.Database, "pg_restore", append(restoring, dump)...)
	report, err := Restore(t.Context(), there, RestoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if s := report.Restored.Settled; s.Challenges != 1 || s.CRLs < 1 || strings.Contains(report.Database, password) {
		t.Errorf("report: %+v", report)
	}
	after := startSite(t, there)
	after.sound()
	if got := after.ocsp(lost); got != "unknown" {
		t.Errorf("OCSP says %q of a certificate issued after the dump", got)
	}
	if list := after.crl(); list.Number.Cmp(published.Number) <= 0 {
		t.Errorf("CRL number %s follows %s", list.Number, published.Number)
	}
	if _, err := after.scep(after.ask("ada-macbook", open)); err == nil {
		t.Error("a challenge works that was open at the dump")
	}
	after.verifies(after.enrol("bela-ipad"))
	if _, err := Restore(t.Context(), there, RestoreOptions{From: dump}); ra.KindOf(err) == "" {
		t.Error("a file was restored under a running server")
	}
}
