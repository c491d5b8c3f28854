package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"chancery/internal/ra"
	"chancery/internal/store"
)

// However the texts are kept, a search finds the rows that hold a text, and
// those only: texts in blocks, texts that wait, and texts that changed.
func TestSearch(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		w := newWorld(t, db, c)
		const n = 700 // more than two blocks
		var devices []*ra.Device
		for from := 0; from < n; from += 100 {
			write(t, db, func(tx *store.Tx) error {
				for i := from; i < from+100; i++ {
					d := newDevice(w.unit.ID, c.Now())
					d.Name, d.SerialNumber, d.UserID = fmt.Sprintf("Kiosk %04d", i), "", w.user.ID
					devices = append(devices, d)
					cert, r := w.newCertificate(c.Now()), w.newRequest(c.Now())
					cert.Subject, r.Subject = fmt.Sprintf("CN=Till %04d", i), fmt.Sprintf("CN=Till %04d", i)
					err := errors.Join(tx.CreateDevice(d), tx.CreateCertificate(cert), tx.CreateRequest(r),
						tx.CreateUser(&ra.User{ID: id[ra.UserID](ra.UserPrefix, c.Now()), GroupID: w.unit.ID, Name: fmt.Sprintf("Clerk %04d", i)}),
						tx.Append(&ra.AuditEntry{Code: "test", Actor: ra.System("test"), Message: fmt.Sprintf("Opened %04d", i)}))
					if err != nil {
						return err
					}
				}
				return nil
			})
		}
		all := store.Page{Limit: store.MaxPage}
		find := map[string]func(tx *store.Tx, text string) (int, error){
			"kiosk ": func(tx *store.Tx, text string) (int, error) {
				rows, _, err := tx.FindDevices(store.DeviceFilter{Text: text, Page: all})
				return len(rows), err
			},
			"cn=till ": func(tx *store.Tx, text string) (int, error) {
				rows, _, err := tx.FindCertificates(store.CertificateFilter{Text: text, Page: all})
				counts, err2 := tx.CountCertificates(store.CertificateFilter{Text: text})
				if sum := total(counts); sum != len(rows) {
					t.Errorf("certificates with %q: got %d, counted %d", text, len(rows), sum)
				}
				return len(rows), errors.Join(err, err2)
			},
			"till ": func(tx *store.Tx, text string) (int, error) {
				rows, _, err := tx.FindRequests(store.RequestFilter{Text: text, Page: all})
				return len(rows), err
			},
			"clerk ": func(tx *store.Tx, text string) (int, error) {
				rows, _, err := tx.FindUsers(store.UserFilter{Text: text, Page: all})
				return len(rows), err
			},
			"opened ": func(tx *store.Tx, text string) (int, error) {
				rows, _, err := tx.Audit(store.AuditFilter{Text: text, Page: all})
				return len(rows), err
			},
		}
		want := map[string]int{"": n, "0": n, "6": 0, "0000": 1, "0255": 1, "0256": 1, "0699": 1, "069": 10, "06": 100, "0700": 0, "zzz": 0, "%": 0, "00_0": 0, "0123 ": 1}
		search := func(when string) {
			t.Helper()
			for start, ask := range find {
				for part, rows := range want {
					read(t, db, func(tx *store.Tx) error {
						got, err := ask(tx, strings.ToUpper(start)+part)
						if got != rows {
							t.Errorf("%q %s: got %d, want %d", start+part, when, got, rows)
						}
						return err
					})
				}
				for _, short := range []string{"#", "~~", "\u00ff"} {
					read(t, db, func(tx *store.Tx) error {
						got, err := ask(tx, short)
						if got != 0 {
							t.Errorf("%q %s: got %d, want none", short, when, got)
						}
						return err
					})
				}
			}
		}
		search("before any block was made")
		fold(t, db)
		for _, kind := range []string{"certificates", "requests", "devices", "users", "audit"} {
			if got := blocks(t, db, kind); got < 1 {
				t.Fatalf("got %d blocks of %s, want one at least", got, kind)
			}
		}
		search("in blocks")
		// Entries of the audit log that are older than blocks of them.
		execute(t, db, "DELETE FROM text_blocks WHERE kind = 'audit'")
		opened := func(when string) {
			t.Helper()
			read(t, db, func(tx *store.Tx) error {
				got, err := find["opened "](tx, "Opened 0001")
				if got != 1 {
					t.Errorf("entries %s: got %d, want 1", when, got)
				}
				return err
			})
		}
		opened("without blocks")
		write(t, db, func(tx *store.Tx) error {
			for range 100 {
				if err := tx.Append(&ra.AuditEntry{Code: "test", Actor: ra.System("test"), Message: "Shut."}); err != nil {
					return err
				}
			}
			return nil
		})
		opened("with many that are new")
		fold(t, db)
		if got := blocks(t, db, "audit"); got != 3 {
			t.Errorf("got %d blocks of 800 entries, want 3", got)
		}
		opened("with new blocks")
		gone, other := devices[3], devices[4]
		write(t, db, func(tx *store.Tx) error {
			d, err := tx.Device(other.ID)
			if err != nil {
				return err
			}
			d.Name = "Renamed 0004"
			return errors.Join(tx.UpdateDevice(d), tx.DeleteDevice(gone.ID))
		})
		for text, rows := range map[string]int{"Kiosk 0003": 0, "Kiosk 0004": 0, "Renamed 0004": 1, "kiosk 0005": 1} {
			read(t, db, func(tx *store.Tx) error {
				got, err := find["kiosk "](tx, text)
				if got != rows {
					t.Errorf("%q after the change: got %d, want %d", text, got, rows)
				}
				return err
			})
		}
	})
}

func fold(t *testing.T, db *store.DB) {
	t.Helper()
	if err := db.FoldTexts(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func blocks(t *testing.T, db *store.DB, kind string) (n int) {
	t.Helper()
	if err := db.Pool().QueryRowContext(t.Context(), "SELECT count(*) FROM text_blocks WHERE kind = $1", kind).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func total(counts []store.Count) (n int) {
	for _, c := range counts {
		n += int(c.N)
	}
	return n
}

// The sums that are kept are those that counting would give, whatever became of
// the rows.
func TestTallies(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		w := newWorld(t, db, c)
		var certs []*ra.Certificate
		var devices []*ra.Device
		write(t, db, func(tx *store.Tx) error {
			for i := range 20 {
				cert, d, r := w.newCertificate(c.Now()), newDevice(w.unit.ID, c.Now()), w.newRequest(c.Now())
				if i%5 == 0 {
					cert.Purpose = ra.PurposeOCSP
				}
				if i%4 == 0 {
					d.Platform = ra.Linux
				}
				certs, devices = append(certs, cert), append(devices, d)
				if err := errors.Join(tx.CreateCertificate(cert), tx.CreateDevice(d), tx.CreateRequest(r)); err != nil {
					return err
				}
			}
			return nil
		})
		failure := errors.New("no")
		change := func(tx *store.Tx) error {
			loaded, err := tx.Certificate(certs[1].ID) // and one that was not loaded
			if err != nil {
				return err
			}
			never := *certs[2]
			for _, n := range []*ra.Certificate{loaded, &never} {
				n.State, n.RevokedAt, n.Obligation = ra.Revoked, c.Now(), ra.Obligation{}
				if err := errors.Join(tx.UpdateCertificate(n), tx.UpdateCertificate(n)); err != nil {
					return err
				}
			}
			moved := *devices[1]
			moved.GroupID, moved.Platform = w.org.ID, ra.MacOS
			return errors.Join(tx.UpdateDevice(&moved), tx.DeleteDevice(devices[2].ID), tx.DeleteDevice(devices[4].ID))
		}
		if err := db.Write(t.Context(), func(tx *store.Tx) error { return errors.Join(change(tx), failure) }); !errors.Is(err, failure) {
			t.Fatal(err)
		}
		check := func(when string) {
			t.Helper()
			read(t, db, func(tx *store.Tx) error {
				for _, groups := range [][]ra.GroupID{nil, {}, {w.unit.ID}, {w.org.ID}} {
					for _, own := range []bool{false, true} {
						kept, err := tx.CountCertificates(store.CertificateFilter{Groups: groups, OwnToo: own})
						// A filter that no sum is kept for, and that all fit.
						counted, err2 := tx.CountCertificates(store.CertificateFilter{Groups: groups, OwnToo: own, ExpiresBefore: c.Now().AddDate(100, 0, 0)})
						if !slices.Equal(kept, counted) || errors.Join(err, err2) != nil {
							t.Errorf("%s, groups %v, own %v: kept %v, counted %v (%v, %v)", when, groups, own, kept, counted, err, err2)
						}
					}
					byTemplate, err := tx.CountCertificates(store.CertificateFilter{Template: w.template.ID})
					counted2, err2 := tx.CountCertificates(store.CertificateFilter{Template: w.template.ID, Authority: w.authority.ID})
					if !slices.Equal(byTemplate, counted2) || errors.Join(err, err2) != nil {
						t.Errorf("%s, of the template: kept %v, counted %v (%v, %v)", when, byTemplate, counted2, err, err2)
					}
					kept, err := tx.CountDevices(groups)
					if err != nil {
						return err
					}
					counted := map[string]int64{}
					rows, _, err := tx.FindDevices(store.DeviceFilter{Groups: groups})
					if err != nil {
						return err
					}
					for _, d := range rows {
						counted[string(d.Platform)]++
					}
					for _, k := range kept {
						if counted[k.Key] != k.N {
							t.Errorf("%s, devices of %v on %s: kept %d, counted %d", when, groups, k.Key, k.N, counted[k.Key])
						}
						delete(counted, k.Key)
					}
					if len(counted) != 0 {
						t.Errorf("%s, devices of %v: not kept: %v", when, groups, counted)
					}
				}
				return nil
			})
		}
		calendar := func(when string) {
			t.Helper()
			read(t, db, func(tx *store.Tx) error {
				kept, err := tx.ExpiryCalendar(nil, 3000)
				every, err2 := tx.ExpiryCalendar([]ra.GroupID{w.org.ID, w.unit.ID}, 3000)
				one, err3 := tx.ExpiryCalendar([]ra.GroupID{w.org.ID}, 3000)
				other, err4 := tx.ExpiryCalendar([]ra.GroupID{w.unit.ID}, 3000)
				sum := map[store.ExpiryBucket]int64{}
				for _, b := range append(one, other...) {
					n := b.N
					b.N = 0
					sum[b] += n
				}
				for _, b := range kept {
					n := b.N
					if b.N = 0; sum[b] != n {
						t.Errorf("%s: %d end as in %+v, counted %d", when, n, b, sum[b])
					}
					delete(sum, b)
				}
				if len(sum) != 0 || !slices.Equal(kept, every) || len(kept) == 0 {
					t.Errorf("%s: not kept: %v; everywhere %v, of all groups %v", when, sum, kept, every)
				}
				return errors.Join(err, err2, err3, err4)
			})
		}
		check("before")
		calendar("before")
		write(t, db, change)
		calendar("after")
		check("after")
		read(t, db, func(tx *store.Tx) error {
			valid, err := tx.CountCertificates(store.CertificateFilter{Authority: w.authority.ID, States: []ra.CertificateState{ra.Valid}})
			same(t, "valid certificates of the authority", valid, []store.Count{{Key: "valid", N: 14}})
			return err
		})
	})
}

// Blocks are made of every text once, whoever makes them and however many do at
// the same time, and few texts are left to wait.
func TestFold(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		w := newWorld(t, db, c)
		const n = 3000
		for from := 0; from < n; from += 1500 { // stored together, more than one step takes
			write(t, db, func(tx *store.Tx) error {
				for i := from; i < from+1500; i++ {
					d := newDevice(w.unit.ID, c.Now())
					d.Name, d.UserID = fmt.Sprintf("Kiosk %04d", i), ""
					if err := errors.Join(tx.CreateDevice(d), tx.Append(&ra.AuditEntry{Code: "test", Actor: ra.System("test"), Message: fmt.Sprintf("Opened %04d", i)})); err != nil {
						return err
					}
				}
				return nil
			})
		}
		for i := range 300 { // and one by one
			write(t, db, func(tx *store.Tx) error {
				d := newDevice(w.unit.ID, c.Now())
				d.Name, d.UserID = fmt.Sprintf("Kiosk %04d", n+i), ""
				return tx.CreateDevice(d)
			})
		}
		var folding sync.WaitGroup
		for range 4 {
			folding.Go(func() {
				if err := db.FoldTexts(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		folding.Wait()
		fold(t, db)
		count := func(query string) (n int) {
			t.Helper()
			if err := db.Pool().QueryRowContext(t.Context(), query).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		const lines = "SELECT coalesce(sum(length(texts) - length(replace(texts, '\n', ''))), 0) FROM "
		waiting := count(lines + "unsearched WHERE kind = 'devices'")
		folded := count(lines + "text_blocks WHERE kind = 'devices'")
		if waiting >= 256 || waiting+folded != n+301 { // one is of the world
			t.Errorf("%d devices wait and %d are in blocks, want %d in all and less than a block waiting", waiting, folded, n+301)
		}
		if got, want := blocks(t, db, "audit"), n/256; got != want {
			t.Errorf("got %d blocks of %d entries, want %d", got, n, want)
		}
		for text, rows := range map[string]int{"kiosk 0000": 1, "kiosk 1499": 1, "kiosk 3299": 1, "kiosk 12": 100, "kiosk 33": 0} {
			read(t, db, func(tx *store.Tx) error {
				got, _, err := tx.FindDevices(store.DeviceFilter{Text: text, Page: store.Page{Limit: store.MaxPage}})
				if len(got) != rows {
					t.Errorf("%q: got %d, want %d", text, len(got), rows)
				}
				return err
			})
		}
	})
}
