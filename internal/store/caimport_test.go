package store_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/store"
)

// TestCAImports: what an import is made of goes in and comes out, is due and late in
// its time, and leaves with its authority.
func TestCAImports(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		w := newWorld(t, db, c)
		id := w.authority.ID
		i := &ra.CAImport{Authority: id, GroupID: w.unit.ID, Scope: ra.ImportAll, Adopt: map[string]ra.TemplateID{"Machine": w.template.ID}, Every: 6 * time.Hour, UpdatedBy: ra.Actor{Kind: ra.ActorAdmin, Name: "anna"}}
		roundTrip[ra.CAImport]{noun: i,
			change: func(i *ra.CAImport) {
				i.Position, i.Begun, i.Basis, i.Since, i.FullAt, i.Imported, i.EndedAt = 7, c.Now(), "b", c.Now(), c.Now(), 5, c.Now()
				i.Obligation = ra.Obligation{Action: ra.ActionImport, At: c.Now().Add(time.Hour), Deadline: c.Now().Add(2 * time.Hour)}
			},
			load:   func(tx *store.Tx) (*ra.CAImport, error) { return tx.CAImport(id) },
			update: (*store.Tx).UpdateCAImport, create: (*store.Tx).CreateCAImport,
			twin:  func(i ra.CAImport) *ra.CAImport { return &i },
			times: func(i *ra.CAImport) *ra.Times { return &i.Times },
		}.run(t, db, c)
		refused(t, db, "a change of an older one", ra.Conflict, func(tx *store.Tx) error {
			stale := *i
			stale.UpdatedAt = stale.UpdatedAt.Add(-time.Second)
			return tx.UpdateCAImport(&stale)
		})
		before := i.UpdatedAt
		i.Position = 9
		c.Advance(time.Second)
		write(t, db, func(tx *store.Tx) error { return tx.MoveCAImport(i) })
		read(t, db, func(tx *store.Tx) error {
			got, err := tx.CAImport(id)
			if err == nil && (got.Position != 9 || !got.UpdatedAt.Equal(before)) {
				t.Errorf("moved: %+v", got)
			}
			return err
		})
		waiting := func() (due, late int) {
			t.Helper()
			read(t, db, func(tx *store.Tx) error {
				a, err := tx.DueCAImports()
				if err != nil {
					return err
				}
				b, err := tx.OverdueCAImports()
				due, late = len(a), len(b)
				return err
			})
			return due, late
		}
		for _, want := range [][2]int{{0, 0}, {1, 0}, {1, 1}} {
			if due, late := waiting(); [2]int{due, late} != want {
				t.Errorf("%d due, %d late, want %v", due, late, want)
			}
			c.Advance(time.Hour + time.Second)
		}
		w.authority.Disabled = true
		write(t, db, func(tx *store.Tx) error { return tx.UpdateAuthority(w.authority) })
		if due, late := waiting(); due+late != 0 {
			t.Errorf("one that is switched off: %d due, %d late", due, late)
		}
		refused(t, db, "its template", ra.Conflict, func(tx *store.Tx) error { return tx.DeleteTemplate(w.template.ID) })

		run := &ra.CAImportRun{ID: "cir_1", Authority: id, State: ra.ImportWaiting, By: ra.Actor{Name: "anna"}, Full: true}
		roundTrip[ra.CAImportRun]{noun: run,
			change: func(r *ra.CAImportRun) {
				r.State, r.Read, r.Added, r.Position = ra.ImportRunning, 3, 2, 12
				r.Templates, r.Problems = []ra.CAImportTemplate{{Name: "T", Read: 3}}, []ra.CAImportProblem{{Number: 3, Message: "m", Remedy: "r"}}
			},
			load:   func(tx *store.Tx) (*ra.CAImportRun, error) { return tx.CAImportRun(run.ID) },
			update: (*store.Tx).UpdateCAImportRun, create: (*store.Tx).CreateCAImportRun,
			times: func(r *ra.CAImportRun) *ra.Times { return &r.Times },
		}.run(t, db, c)
		open := func(id ra.AuthorityID) (n int) {
			t.Helper()
			read(t, db, func(tx *store.Tx) error {
				list, err := tx.OpenCAImportRuns(id)
				n = len(list)
				return err
			})
			return n
		}
		if open("") != 1 || open(id) != 1 || open("ca_other") != 0 {
			t.Errorf("%d, %d and %d open", open(""), open(id), open("ca_other"))
		}
		run.State = ra.ImportDone
		write(t, db, func(tx *store.Tx) error { return tx.UpdateCAImportRun(run) })
		if open("") != 0 {
			t.Error("one that has ended is open")
		}
		other := &ra.Authority{ID: "ca_bare", GroupID: w.org.ID, Name: "Bare", Kind: "k", Settings: []byte("{}")}
		write(t, db, func(tx *store.Tx) error { return tx.CreateAuthority(other) })
		write(t, db, func(tx *store.Tx) error {
			return tx.CreateCAImport(&ra.CAImport{Authority: other.ID, GroupID: w.unit.ID, Scope: ra.ImportAll})
		})
		write(t, db, func(tx *store.Tx) error {
			return tx.CreateCAImportRun(&ra.CAImportRun{ID: "cir_2", Authority: other.ID, State: ra.ImportDone})
		})
		write(t, db, func(tx *store.Tx) error { return tx.DeleteAuthority(other.ID) })
		refused(t, db, "its import", ra.NotFound, func(tx *store.Tx) error { _, err := tx.CAImport(other.ID); return err })
		refused(t, db, "its run", ra.NotFound, func(tx *store.Tx) error { _, err := tx.CAImportRun("cir_2"); return err })
	})
}

// TestImported: where a certificate comes from is known, keeps its run, and narrows
// lists; holds are told apart by who put them.
func TestImported(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		w := newWorld(t, db, c)
		made := func(n string, change func(*ra.Certificate)) *ra.Certificate {
			x := &ra.Certificate{ID: ra.CertificateID("crt_" + n), GroupID: w.unit.ID, AuthorityID: w.authority.ID, IssuerHash: "h", Serial: n, Subject: "CN=web", SANs: []string{"dns:web"}, Fingerprint: "f" + n, SPKIHash: "k" + n,
				NotBefore: c.Now(), NotAfter: c.Now().Add(time.Hour), State: ra.Valid, Obligation: ra.Obligation{Action: ra.ActionExpire, At: c.Now().Add(time.Hour)}}
			if change != nil {
				change(x)
			}
			write(t, db, func(tx *store.Tx) error { return tx.CreateCertificate(x) })
			return x
		}
		a, b := made("a", nil), made("b", nil)
		held := made("c", func(x *ra.Certificate) { x.State, x.RevokedAt, x.Subject = ra.OnHold, c.Now(), "CN=held" })
		run := &ra.CAImportRun{ID: "cir_1", Authority: w.authority.ID, State: ra.ImportDone}
		from := &ra.ImportedFrom{Certificate: a.ID, Authority: w.authority.ID, Run: run.ID, Number: 5, Requester: `CORP\anna`, Template: "Web"}
		write(t, db, func(tx *store.Tx) error { return tx.CreateCAImportRun(run) })
		write(t, db, func(tx *store.Tx) error {
			return tx.CreateCAImportRun(&ra.CAImportRun{ID: "cir_0", Authority: w.authority.ID, State: ra.ImportFailed})
		})
		write(t, db, func(tx *store.Tx) error { return tx.CreateImported(from) })
		refused(t, db, "twice", ra.Conflict, func(tx *store.Tx) error { return tx.CreateImported(from) })
		write(t, db, func(tx *store.Tx) error { return tx.HoldAtAuthority(held) })
		c.Advance(time.Hour)
		write(t, db, func(tx *store.Tx) error {
			n, err := tx.TidyCAImportRuns(c.Now(), 10)
			if n != 1 {
				t.Errorf("%d runs forgotten", n)
			}
			return err
		})
		read(t, db, func(tx *store.Tx) error {
			got, err := tx.ImportedFrom(a.ID)
			same(t, "from", got, from)
			if _, missing := tx.ImportedFrom(b.ID); ra.KindOf(missing) != ra.NotFound {
				t.Errorf("of another: %v", missing)
			}
			known, err2 := tx.KnownCertificates("h", []string{"a", "b", "x"})
			if len(known) != 2 || !known["a"].Imported || known["b"].Imported || known["a"].Different || known["a"].Fingerprint != "fa" || !known["a"].Ownerless() || known["b"].Ownerless() || !known["a"].UpdatedAt().Equal(a.UpdatedAt) {
				t.Errorf("known: %+v", known)
			}
			like, err3 := tx.ImportedLike(w.authority.ID, []*ra.Certificate{b})
			if len(like) != 1 || like[0].ID != a.ID || like[0].Template != "Web" || like[0].Number != 5 {
				t.Errorf("alike: %+v", like)
			}
			theirs, err4 := tx.HeldByAuthority(held)
			later := *held
			later.RevokedAt = later.RevokedAt.Add(time.Second)
			ours, err5 := tx.HeldByAuthority(&later)
			if !theirs || ours {
				t.Errorf("held there %v, held here since %v", theirs, ours)
			}
			for _, err := range []error{err, err2, err3, err4, err5} {
				if err != nil {
					return err
				}
			}
			return nil
		})
		for imported, want := range map[bool][]string{true: {"crt_a"}, false: {"crt_b", "crt_c"}} {
			read(t, db, func(tx *store.Tx) error {
				list, _, err := tx.FindCertificates(store.CertificateFilter{Imported: &imported, Page: store.Page{Sort: "created"}})
				var ids []string
				for _, x := range list {
					ids = append(ids, string(x.ID))
				}
				same(t, "list", ids, want)
				return err
			})
		}
	})
}

// TestNamed: users and devices are found by what certificates say, in the groups
// that are asked for.
func TestNamed(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		w := newWorld(t, db, c)
		many := []string{strings.ToUpper(w.user.UPN)}
		for range 20 {
			many = append(many, "nobody")
		}
		for name, n := range map[string]store.UserNames{"SID": {SIDs: []string{w.user.SID}}, "UPN": {UPNs: many}, "mail": {Emails: []string{strings.ToUpper(w.user.Email)}}, "account": {Accounts: []string{"JDOE"}}, "nobody": {}} {
			for group, want := range map[ra.GroupID]int{w.unit.ID: 1, w.org.ID: 0} {
				read(t, db, func(tx *store.Tx) error {
					list, err := tx.NamedUsers([]ra.GroupID{group}, n)
					if name == "nobody" {
						want = 0
					}
					if len(list) != want || want == 1 && (list[0].ID != w.user.ID || list[0].DisplayName != w.user.DisplayName) {
						t.Errorf("%s in %s: %+v", name, group, list)
					}
					return err
				})
			}
		}
		for _, name := range []string{strings.ToUpper(w.device.PlatformID), "jane's IPHONE", "c02xk"} {
			read(t, db, func(tx *store.Tx) error {
				list, err := tx.NamedDevices(w.org.ID, []ra.GroupID{w.unit.ID}, []string{name})
				if (len(list) != 1 || list[0].ID != w.device.ID) && name != strings.ToUpper(w.device.PlatformID) { // a platform ID in mixed case is found as it is
					t.Errorf("%s: %+v", name, list)
				}
				exact, err2 := tx.NamedDevices(w.org.ID, []ra.GroupID{w.unit.ID}, []string{w.device.PlatformID})
				if len(exact) != 1 || err2 != nil {
					t.Errorf("%+v %v", exact, err2)
				}
				return err
			})
		}
	})
}

// TestDifferenceRows: differences go in and come out, once for each kind and
// certificate, and are narrowed, sorted and counted.
func TestDifferenceRows(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		w := newWorld(t, db, c)
		var all []*ra.Difference
		for n, kind := range []ra.DifferenceKind{ra.DiffNotOurs, ra.DiffEnded, ra.DiffNotRevoked} {
			x := &ra.Certificate{ID: ra.CertificateID([]string{"crt_a", "crt_b", "crt_c"}[n]), GroupID: w.unit.ID, AuthorityID: w.authority.ID, IssuerHash: "h", Serial: string(rune('a' + n)), Subject: "CN=" + string(rune('z'-n)), Fingerprint: string(rune('a' + n)),
				NotBefore: c.Now(), NotAfter: c.Now().Add(time.Hour), State: ra.Valid, Obligation: ra.Obligation{Action: ra.ActionExpire, At: c.Now().Add(time.Hour)}}
			d := &ra.Difference{ID: id[ra.DifferenceID](ra.DifferencePrefix, c.Now()), Authority: w.authority.ID, GroupID: w.unit.ID, Kind: kind, Certificate: x.ID, Number: 3, Serial: x.Serial, Subject: x.Subject, Requester: `CORP\Anna`, Template: "Web", Request: "req_1"}
			write(t, db, func(tx *store.Tx) error { return tx.CreateCertificate(x) })
			write(t, db, func(tx *store.Tx) error { return tx.CreateDifference(d) })
			c.Advance(time.Second)
			all = append(all, d)
		}
		twin := *all[0]
		twin.ID = "dif_twin"
		refused(t, db, "twin", ra.Conflict, func(tx *store.Tx) error { return tx.CreateDifference(&twin) })
		all[1].SettledAt, all[1].SettledBy, all[1].Comment = c.Now(), "anna", "known"
		write(t, db, func(tx *store.Tx) error { return tx.UpdateDifference(all[1]) })
		read(t, db, func(tx *store.Tx) error {
			got, err := tx.Difference(all[1].ID)
			same(t, "settled", got, all[1])
			if of, err := tx.DifferenceOf(all[0].Certificate, ra.DiffNotOurs); err != nil || of.ID != all[0].ID {
				t.Errorf("%+v %v", of, err)
			}
			return err
		})
		yes, no := true, false
		for name, x := range map[string]struct {
			f    store.DifferenceFilter
			want string
		}{
			"all": {store.DifferenceFilter{}, "cba"}, "by name": {store.DifferenceFilter{Page: store.Page{Sort: "subject"}}, "cba"}, "oldest": {store.DifferenceFilter{Page: store.Page{Sort: "created"}}, "abc"},
			"open": {store.DifferenceFilter{Open: &yes}, "ca"}, "settled": {store.DifferenceFilter{Open: &no}, "b"}, "kind": {store.DifferenceFilter{Kind: ra.DiffNotOurs}, "a"},
			"text": {store.DifferenceFilter{Text: "cn=Y"}, "b"}, "requester": {store.DifferenceFilter{Text: `corp\anna`}, "cba"}, "authority": {store.DifferenceFilter{Authority: "ca_none"}, ""},
			"group": {store.DifferenceFilter{Groups: []ra.GroupID{w.unit.ID}}, "cba"}, "another group": {store.DifferenceFilter{Groups: []ra.GroupID{w.org.ID}}, ""},
		} {
			read(t, db, func(tx *store.Tx) error {
				list, _, err := tx.FindDifferences(x.f)
				got := ""
				for _, d := range list {
					got += d.Serial
				}
				n, err2 := tx.CountDifferences(x.f)
				if got != x.want || n != len(x.want) || err2 != nil {
					t.Errorf("%s: %q, %d (%v), want %q", name, got, n, err2, x.want)
				}
				return err
			})
		}
		if !slices.IsSortedFunc(all, func(a, b *ra.Difference) int { return strings.Compare(string(a.ID), string(b.ID)) }) {
			t.Error("IDs are not in the order of time")
		}
	})
}
