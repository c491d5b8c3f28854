package store_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/store"
)

func entry(i int) *ra.AuditEntry {
	return &ra.AuditEntry{Code: "certificate.issued", Actor: ra.Actor{Kind: ra.ActorAdmin, ID: "adm_1", Name: "Jane", Via: "console", Remote: "192.0.2.7"},
		GroupID: "og_1", Object: fmt.Sprint("crt_", i), Related: "dev_1", Result: "ok", Message: fmt.Sprint("Certificate ", i, " issued"), Details: []byte(`{"n":1}`)}
}

// record appends n entries in transactions of their own.
func record(t *testing.T, db *store.DB, n int) {
	t.Helper()
	for i := range n {
		write(t, db, func(tx *store.Tx) error { return tx.Append(entry(i)) })
	}
}

func verify(t *testing.T, db *store.DB) (report store.AuditReport) {
	t.Helper()
	read(t, db, func(tx *store.Tx) (err error) { report, err = tx.VerifyAudit(nil); return err })
	return report
}

func TestAuditEntry(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		same(t, "report on nothing", verify(t, db), store.AuditReport{})
		first, second, odd := entry(1), entry(2), entry(3)
		odd.Message, odd.Details, odd.Actor = "zero\x00byte \xff", nil, ra.System("job")
		write(t, db, func(tx *store.Tx) error { return errors.Join(tx.Append(first), tx.Append(second)) })
		c.Advance(time.Second)
		write(t, db, func(tx *store.Tx) error { return tx.Append(odd) })
		if first.PrevHash != "" || second.PrevHash != first.Hash || odd.PrevHash != second.Hash || len(odd.Hash) != 64 || odd.Seq != 3 {
			t.Errorf("the chain: %+v, %+v, %+v", first, second, odd)
		}
		read(t, db, func(tx *store.Tx) error {
			all, _, err := tx.Audit(store.AuditFilter{})
			odd.Message = "zero\uFFFDbyte \uFFFD"
			odd.Actor.Grants = nil // who may do what is not part of the record
			same(t, "entries", all, []*ra.AuditEntry{odd, second, first})
			return err
		})
		same(t, "report", verify(t, db), store.AuditReport{Entries: 3, Head: odd.Hash})

		failure := errors.New("no")
		err := db.Write(t.Context(), func(tx *store.Tx) error { return errors.Join(tx.Append(entry(4)), failure) })
		if !errors.Is(err, failure) {
			t.Errorf("got %v, want %v", err, failure)
		}
		if err := db.Read(t.Context(), func(tx *store.Tx) error { return tx.Append(entry(4)) }); err == nil {
			t.Error("Read could append")
		}
		same(t, "report after a failed act", verify(t, db), store.AuditReport{Entries: 3, Head: odd.Hash})
	})
}

func TestAuditFilter(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		start := c.Now()
		for i, code := range []string{"certificate.issued", "certificate.revoked", "certificateX", "group.created"} {
			e := entry(i)
			e.Code = code
			if i == 3 {
				e.GroupID, e.Actor = "", ra.System("job")
			}
			write(t, db, func(tx *store.Tx) error { return tx.Append(e) })
			c.Advance(time.Second)
		}
		for _, tc := range []struct {
			name   string
			filter store.AuditFilter
			want   string
		}{
			{"all", store.AuditFilter{}, "4 3 2 1"},
			{"oldest first", store.AuditFilter{Page: store.Page{Sort: "-"}}, "1 2 3 4"},
			{"a code", store.AuditFilter{Code: "certificate.issued"}, "1"},
			{"part of a code is no code", store.AuditFilter{Code: "certificate.iss"}, ""},
			{"start of codes with a dot", store.AuditFilter{Code: "certificate."}, "2 1"},
			{"start of codes", store.AuditFilter{Code: "certificate"}, "3 2 1"},
			{"wildcard as code", store.AuditFilter{Code: "%"}, ""},
			{"a group", store.AuditFilter{Groups: []ra.GroupID{"og_1"}}, "3 2 1"},
			{"no group", store.AuditFilter{Groups: []ra.GroupID{}}, ""},
			{"an object", store.AuditFilter{Object: "crt_1"}, "2"},
			{"a related object", store.AuditFilter{Object: "dev_1"}, "4 3 2 1"},
			{"an actor", store.AuditFilter{Actor: "adm_1"}, "3 2 1"},
			{"an actor without ID", store.AuditFilter{Actor: "chancery"}, "4"},
			{"since", store.AuditFilter{Since: start.Add(2 * time.Second)}, "4 3"},
			{"until", store.AuditFilter{Until: start.Add(2 * time.Second)}, "2 1"},
			{"text", store.AuditFilter{Text: "CERTIFICATE 2"}, "3"},
			{"actor as text", store.AuditFilter{Text: "jane"}, "3 2 1"},
		} {
			read(t, db, func(tx *store.Tx) error {
				all, _, err := tx.Audit(tc.filter)
				got := ""
				for _, e := range all {
					got += fmt.Sprint(" ", e.Seq)
				}
				if len(got) > 0 {
					got = got[1:]
				}
				if got != tc.want {
					t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
				}
				return err
			})
		}
	})
}

func TestAuditAppendedAtOnce(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ *clock) {
		errs := together(20, func(i int) error {
			for range 5 {
				err := db.Write(t.Context(), func(tx *store.Tx) error { return errors.Join(tx.Append(entry(i)), tx.Append(entry(i))) })
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		if r := verify(t, db); r.Problem != "" || r.Entries != 200 {
			t.Errorf("after 20 writers: %+v", r)
		}
	})
}

func TestAuditTampering(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ *clock) {
		record(t, db, 6)
		sound := verify(t, db)
		if sound.Problem != "" || sound.Broken != 0 || sound.Entries != 6 {
			t.Fatalf("before: %+v", sound)
		}
		execute(t, db, "CREATE TABLE audit_copy AS SELECT * FROM audit")
		execute(t, db, "CREATE TABLE facts_copy AS SELECT * FROM facts")
		type tampering struct {
			name       string
			statements []string
			broken     int64
		}
		cases := []tampering{
			{"deletion in the middle", []string{"DELETE FROM audit WHERE seq = 3"}, 3},
			{"deletion of the first", []string{"DELETE FROM audit WHERE seq = 1"}, 1},
			{"deletion of the last", []string{"DELETE FROM audit WHERE seq = 6"}, 6},
			{"deletion of the end", []string{"DELETE FROM audit WHERE seq > 3"}, 4},
			{"deletion of all", []string{"DELETE FROM audit"}, 1},
			{"deletion with renumbering", []string{"DELETE FROM audit WHERE seq = 3", "UPDATE audit SET seq = -seq WHERE seq > 3", "UPDATE audit SET seq = -seq - 1 WHERE seq < 0"}, 3},
			{"reorder", []string{"UPDATE audit SET seq = -3 WHERE seq = 3", "UPDATE audit SET seq = 3 WHERE seq = 4", "UPDATE audit SET seq = 4 WHERE seq = -3"}, 3},
			{"an entry of somebody else", []string{"INSERT INTO audit SELECT 7, at, code, actor, actor_id, group_id, object, related, result, message, search, details, prev_hash, hash FROM audit WHERE seq = 6"}, 7},
			{"another end", []string{`UPDATE facts SET value = '{"seq":6,"hash":"00","count":6}' WHERE name = 'audit.head'`}, 6},
			{"no end", []string{"DELETE FROM facts WHERE name = 'audit.head'"}, 1},
			{"text moved to the next field", []string{"UPDATE audit SET object = 'crt_', related = '2' || related WHERE seq = 3"}, 3},
		}
		for _, column := range []string{"code", "actor", "actor_id", "group_id", "object", "related", "result", "message", "search", "details", "prev_hash", "hash"} {
			cases = append(cases, tampering{"another " + column, []string{"UPDATE audit SET " + column + " = " + column + " || ' ' WHERE seq = 3"}, 3})
		}
		cases = append(cases, tampering{"another time", []string{"UPDATE audit SET at = at + 1 WHERE seq = 3"}, 3})
		for _, tc := range cases {
			for _, s := range tc.statements {
				execute(t, db, s)
			}
			if r := verify(t, db); r.Broken != tc.broken || r.Problem == "" {
				t.Errorf("%s: got %+v, want entry %d broken", tc.name, r, tc.broken)
			}
			for _, table := range []string{"audit", "facts"} {
				execute(t, db, "DELETE FROM "+table)
				execute(t, db, "INSERT INTO "+table+" SELECT * FROM "+table+"_copy")
			}
			if r := verify(t, db); r != sound {
				t.Fatalf("%s: the original does not verify again: %+v", tc.name, r)
			}
		}
		// What was taken from the end is still missing when the log goes on.
		execute(t, db, "DELETE FROM audit WHERE seq = 6")
		record(t, db, 1)
		if r := verify(t, db); r.Broken != 6 {
			t.Errorf("after a deletion the log went on: got %+v, want entry 6 broken", r)
		}
	})
}

func TestAuditVerifiedInBatches(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ *clock) {
		write(t, db, func(tx *store.Tx) (err error) {
			for i := range 2500 {
				err = errors.Join(err, tx.Append(entry(i)))
			}
			return err
		})
		var told []int64
		read(t, db, func(tx *store.Tx) error {
			r, err := tx.VerifyAudit(func(n int64) { told = append(told, n) })
			if r.Problem != "" || r.Entries != 2500 {
				t.Errorf("got %+v", r)
			}
			return err
		})
		same(t, "progress", told, []int64{1000, 2000, 2500})
	})
}

// A time is found in the audit log wherever it stands, also after the clock went
// back.
func TestAuditSpan(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		start := c.Now().Truncate(time.Hour)
		var at []time.Time
		for _, minutes := range []int{0, 30, 59, 60, 61, 200, 100, 101, 300, 299, 600, 5000} {
			c.Advance(start.Add(time.Duration(minutes) * time.Minute).Sub(c.Now()))
			at = append(at, c.Now())
			write(t, db, func(tx *store.Tx) error {
				return tx.Append(&ra.AuditEntry{Code: "test", Actor: ra.System("test"), Message: fmt.Sprint(minutes)})
			})
		}
		for _, since := range append(at, time.Time{}, start.Add(time.Minute), start.AddDate(1, 0, 0), start.AddDate(-1, 0, 0)) {
			for _, until := range append(at, time.Time{}, start.Add(time.Minute), start.AddDate(1, 0, 0), start.AddDate(-1, 0, 0)) {
				var want, got []int64
				for i, one := range at {
					if !one.Before(since) && (until.IsZero() || one.Before(until)) {
						want = append(want, int64(i+1))
					}
				}
				read(t, db, func(tx *store.Tx) error {
					list, _, err := tx.Audit(store.AuditFilter{Since: since, Until: until, Page: store.Page{Sort: "-"}})
					for _, e := range list {
						got = append(got, e.Seq)
					}
					return err
				})
				if !slices.Equal(got, want) {
					t.Errorf("from %s to %s: got %v, want %v", since, until, got, want)
				}
			}
		}
	})
}
