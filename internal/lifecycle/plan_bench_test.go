package lifecycle_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/ca/scripted"
	"chancery/internal/enroll"
	"chancery/internal/job"
	"chancery/internal/lifecycle"
	"chancery/internal/ra"
	"chancery/internal/seal"
	"chancery/internal/store"
	"chancery/internal/testpeer"
)

// BenchmarkPlan measures the full plan, the sweep over a storm, and the sweep
// when little is due, over CHANCERY_BENCH_CERTIFICATES certificates (150,000
// without it) of three authorities and twelve templates.
func BenchmarkPlan(b *testing.B) {
	n, err := strconv.Atoi(os.Getenv("CHANCERY_BENCH_CERTIFICATES"))
	if err != nil {
		n = 150_000
	}
	for name, address := range map[string]string{"sqlite": "sqlite:" + filepath.Join(b.TempDir(), "chancery.db"), "postgres": testpeer.Postgres(b)} {
		b.Run(name, func(b *testing.B) { benchmarkPlan(b, address, n) })
	}
}

func benchmarkPlan(b *testing.B, address string, n int) {
	now := time.Now()
	script := must(scripted.New(func() time.Time { return now }))(b)
	db := must(store.Open(b.Context(), address, func() time.Time { return now }))(b)
	defer db.Close()
	log := slog.New(slog.DiscardHandler)
	s := &lifecycle.Service{DB: db, Box: must(seal.Create(filepath.Join(b.TempDir(), "master.key")))(b), Now: func() time.Time { return now }, Log: log, Queue: must(job.Open(b.Context(), db, job.Options{Log: log}))(b)}
	s.Authorities = &authority.Service{DB: db, Box: s.Box, Kinds: []ca.Kind{script.Kind()}, Now: s.Now, Log: log}
	s.Enroll = &enroll.Service{DB: db, Box: s.Box, Authorities: s.Authorities, Queue: s.Queue, Now: s.Now, Log: log}
	owner := actor("owner", ra.RoleOwner, nil)
	group := &ra.Group{ID: "og_1", Name: "Acme", Path: "/og_1/"}
	if err := db.Write(b.Context(), func(tx *store.Tx) error { return tx.CreateGroup(group) }); err != nil {
		b.Fatal(err)
	}
	for i, rate := range []float64{0, 2, 50} {
		name := fmt.Sprint("CA ", i)
		a := must(s.Authorities.Create(b.Context(), owner, "scripted", authority.Input{GroupID: &group.ID, Name: &name, Settings: []byte(scripted.SettingsJSON), RatePerSecond: &rate}))(b)
		manyDue(b, db, a.ID, i*n/3, (i+1)*n/3, now)
	}
	for _, q := range map[string][]string{"sqlite": {"ANALYZE"}, "postgres": {"VACUUM ANALYZE certificates"}}[db.Engine()] {
		if _, err := db.Pool().ExecContext(b.Context(), q); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("full plan", func(b *testing.B) {
		measured(b, func() error { return s.PlanAll(b.Context(), lifecycle.ForecastJob{}) })
	})
	b.Run("sweep of a storm", func(b *testing.B) {
		measured(b, func() error { return s.Sweep(b.Context(), lifecycle.SweepJob{}) })
	})
	now = now.Add(-100 * 24 * time.Hour)
	b.Run("sweep with nothing due", func(b *testing.B) {
		measured(b, func() error { return s.Sweep(b.Context(), lifecycle.SweepJob{}) })
	})
}

// measured runs f and reports the CPU time of this process beside the other.
func measured(b *testing.B, f func() error) {
	cpu := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := cpu()
	for b.Loop() {
		if err := f(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric((cpu()-before).Seconds()*1000/float64(b.N), "cpu-ms/op")
}

// manyDue writes certificates to be renewed: a third is due already, the others
// fall due within the next 90 days; they end thirty days after they are due.
func manyDue(b *testing.B, db *store.DB, id ra.AuthorityID, from, to int, now time.Time) {
	b.Helper()
	_, err := db.Pool().ExecContext(b.Context(), `INSERT INTO certificates (id, group_id, authority_id, template_id, device_id, user_id, request_id, purpose, issuer_hash, serial,
			subject, subject_folded, sans, key_type, key_place, der, fingerprint, spki_hash, not_before, not_after, state, renews, renewed_by, revoked_at, reason,
			next_action, next_action_at, deadline_at, attempts, last_error, escalated_at, created_at, updated_at)
		WITH RECURSIVE many(i) AS (SELECT CAST($1 AS BIGINT) UNION ALL SELECT i + 1 FROM many WHERE i + 1 < CAST($2 AS BIGINT))
		SELECT 'crt_' || i, 'og_1', $3, 'tpl_' || (i % 4), '', '', '', '', 'k', CAST(i AS TEXT), 'CN=' || i, 'cn=' || i, '[]', 'p-256', 'here', $4, 'f' || i, 's' || i,
			$5, CAST($5 AS BIGINT) + (i * 7919 % 135 - 15) * 86400000 + i % 86400000, 'valid', '', '', 0, 0,
			'renew', CAST($5 AS BIGINT) + (i * 7919 % 135 - 45) * 86400000 + i % 86400000, CAST($5 AS BIGINT) + (i * 7919 % 135 - 15) * 86400000, 0, '', 1, $5, $5 FROM many`,
		from, to, string(id), []byte{1}, now.UnixMilli())
	if err != nil {
		b.Fatal(err)
	}
}
