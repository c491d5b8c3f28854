package storebench_test

import (
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/store/storebench"
	"chancery/internal/testpeer"
)

func TestMain(m *testing.M) { testpeer.Main(m) }

func TestFill(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) {
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		clock := &storebench.Clock{}
		db, err := store.Open(t.Context(), address, clock.Now)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		const n = 2000
		indexes := countIndexes(t, db)
		shape := storebench.Of(n, now)
		shape.Clock = clock
		w, err := storebench.Fill(t.Context(), db, shape, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := countIndexes(t, db); got != indexes {
			t.Errorf("got %d indexes, want the %d there were", got, indexes)
		}
		err = db.Read(t.Context(), func(tx *store.Tx) error {
			counts, err := tx.CountCertificates(store.CertificateFilter{})
			if err != nil {
				return err
			}
			sum := int64(0)
			for _, c := range counts {
				sum += c.N
			}
			if sum != n || len(counts) != len(ra.CertificateStates) {
				t.Errorf("certificates by state: got %v, want %d in every state", counts, n)
			}
			waiting, _, err := tx.FindObligations(store.ObligationFilter{LateOnly: true})
			if err != nil {
				return err
			}
			if len(waiting) == 0 {
				t.Error("nothing is late")
			}
			found, _, err := tx.FindCertificates(store.CertificateFilter{Groups: w.Groups[:1], Template: w.Templates[0]})
			if err != nil {
				return err
			}
			if len(found) == 0 {
				t.Error("a group has no certificate of a template")
			}
			half, _, err := tx.Audit(store.AuditFilter{Until: now.AddDate(0, 0, -200), Page: store.Page{Limit: store.MaxPage}})
			if err != nil {
				return err
			}
			if len(half) != n/10 {
				t.Errorf("got %d entries in the first half of the time, want half of %d", len(half), n/5)
			}
			report, err := tx.VerifyAudit(nil)
			if report.Problem != "" || report.Entries != n/5 {
				t.Errorf("audit log: %+v", report)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func countIndexes(t *testing.T, db *store.DB) (n int) {
	t.Helper()
	q := "SELECT count(*) FROM pg_indexes WHERE schemaname = current_schema()"
	if db.Engine() == "sqlite" {
		q = "SELECT count(*) FROM sqlite_master WHERE type = 'index'"
	}
	if err := db.Pool().QueryRowContext(t.Context(), q).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
