package store

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/testpeer"
)

// Whatever way a list is found, it is the same list in the same order: through
// an index and sorted, along an index, along several, or along the order.
func TestEveryWayIsTheSame(t *testing.T) {
	for engine, address := range map[string]string{"sqlite": "sqlite:" + filepath.Join(t.TempDir(), "lead.db"), "postgres": testpeer.Postgres(t)} {
		t.Run(engine, func(t *testing.T) { testEveryWay(t, openAt(t, address)) })
	}
}

func testEveryWay(t *testing.T, db *DB) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var groups []ra.GroupID
	var all []*ra.Certificate
	err := db.Write(t.Context(), func(tx *Tx) error {
		for i := range 6 {
			g := &ra.Group{ID: ra.GroupID(fmt.Sprint("og_", i)), Name: fmt.Sprint("group ", i)}
			if err := tx.CreateGroup(g); err != nil {
				return err
			}
			groups = append(groups, g.ID)
		}
		for i := range 2 {
			if err := tx.CreateAuthority(&ra.Authority{ID: ra.AuthorityID(fmt.Sprint("ca_", i)), GroupID: groups[0], Name: fmt.Sprint("ca ", i)}); err != nil {
				return err
			}
		}
		for i := range 240 {
			c := &ra.Certificate{ID: ra.CertificateID(fmt.Sprintf("crt_%03d", i)), GroupID: groups[i*i%6], AuthorityID: ra.AuthorityID(fmt.Sprint("ca_", i/3%2)),
				TemplateID: ra.TemplateID(fmt.Sprint("tpl_", i%4)), DeviceID: ra.DeviceID(fmt.Sprint("dev_", i%9)), IssuerHash: "issuer", Serial: fmt.Sprint("5e", i),
				Fingerprint: fmt.Sprint("f", i), Subject: fmt.Sprint("CN=host ", i*7%50), NotAfter: now.Add(time.Duration(i*37%100) * time.Hour),
				State: ra.CertificateStates[i%len(ra.CertificateStates)], RevokedAt: now, Obligation: ra.Obligation{Action: ra.ActionExpire, At: now}}
			if err := tx.CreateCertificate(c); err != nil {
				return err
			}
			all = append(all, c)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	filters := map[string]CertificateFilter{
		"everything":        {},
		"a state":           {States: []ra.CertificateState{ra.Valid}},
		"three states":      {States: []ra.CertificateState{ra.Valid, ra.Revoked, ra.OnHold}},
		"a group":           {Groups: groups[1:2]},
		"three groups":      {Groups: groups[:3]},
		"no group":          {Groups: []ra.GroupID{}},
		"an authority":      {Authority: "ca_1"},
		"a template":        {Template: "tpl_2"},
		"a place":           {Template: "tpl_2", Authority: "ca_0"},
		"another place":     {Template: "tpl_9", Authority: "ca_0"},
		"every group":       {Groups: groups},
		"a template, valid": {Template: "tpl_2", States: []ra.CertificateState{ra.Valid}},
		"the dead":          {States: []ra.CertificateState{ra.Revoked, ra.Expired}, Authority: "ca_1"},
		"a device":          {Device: "dev_3"},
		"a span":            {ExpiresAfter: now.Add(20 * time.Hour), ExpiresBefore: now.Add(60 * time.Hour)},
		"soon":              {ExpiresBefore: now.Add(30 * time.Hour)},
		"later":             {ExpiresAfter: now.Add(30 * time.Hour)},
		"several of them":   {States: []ra.CertificateState{ra.Valid, ra.Expired}, Groups: groups[:4], Authority: "ca_0", ExpiresAfter: now.Add(10 * time.Hour)},
		"a text":            {Text: "host 4", States: []ra.CertificateState{ra.Valid, ra.Superseded}},
	}
	usual := leadsOf["certificates"]
	t.Cleanup(func() { leadsOf["certificates"] = usual })
	list := func(f CertificateFilter, few int) (ids []ra.CertificateID) {
		t.Helper()
		leadsOf["certificates"] = slices.Clone(usual)
		for i := range usual {
			if usual[i].few > 0 {
				leadsOf["certificates"][i].few = few
			}
		}
		f.Limit = 7
		err := db.Read(t.Context(), func(tx *Tx) error {
			for {
				rows, next, err := tx.FindCertificates(f)
				if err != nil {
					return err
				}
				for _, c := range rows {
					ids = append(ids, c.ID)
				}
				if f.After = next; next == "" {
					return nil
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return ids
	}
	for _, name := range slices.Sorted(maps.Keys(filters)) {
		for _, sort := range []string{"", "-", "created", "expires", "-expires", "subject", "-subject"} {
			f := filters[name]
			f.Sort = sort
			want := expected(all, f)
			for _, few := range []int{0, 1, 50, 1000} {
				if got := list(f, few); !slices.Equal(got, want) {
					t.Errorf("%s by %q, few is %d:\n got %v\nwant %v", name, sort, few, got, want)
				}
			}
		}
	}
}

// What waits is the same list whatever way it is found, and comes in order from
// both tables.
func TestEveryObligation(t *testing.T) {
	for engine, address := range map[string]string{"sqlite": "sqlite:" + filepath.Join(t.TempDir(), "due.db"), "postgres": testpeer.Postgres(t)} {
		t.Run(engine, func(t *testing.T) { testEveryObligation(t, openAt(t, address)) })
	}
}

func testEveryObligation(t *testing.T, db *DB) {
	now := time.Now().UTC().Truncate(time.Second)
	var all []ra.ObligationRow
	groups := []ra.GroupID{"og_0", "og_1", "og_2"}
	err := db.Write(t.Context(), func(tx *Tx) error {
		for _, g := range groups {
			if err := tx.CreateGroup(&ra.Group{ID: g, Name: string(g)}); err != nil {
				return err
			}
		}
		for i := range 3 {
			if err := errors.Join(tx.CreateAuthority(&ra.Authority{ID: ra.AuthorityID(fmt.Sprint("ca_", i)), GroupID: groups[0], Name: fmt.Sprint("ca ", i)}),
				tx.CreateTemplate(&ra.Template{ID: ra.TemplateID(fmt.Sprint("tpl_", i)), GroupID: groups[0], AuthorityID: ra.AuthorityID(fmt.Sprint("ca_", i)), Name: fmt.Sprint("tpl ", i)})); err != nil {
				return err
			}
		}
		actions := []ra.Action{ra.ActionRenew, ra.ActionExpire, ra.ActionAwait, ra.ActionIssue, ra.ActionApprove}
		for i := range 120 {
			o := ra.Obligation{Action: actions[i%5], At: now.Add(time.Duration(i*37%50-20) * time.Hour)}
			if i%3 == 0 {
				o.Deadline = now.Add(time.Duration(i%7-3) * time.Hour)
			}
			g, ca, tpl := groups[i%len(groups)], ra.AuthorityID(fmt.Sprint("ca_", i/4%2)), ra.TemplateID(fmt.Sprint("tpl_", i/4%2))
			row := ra.ObligationRow{Obligation: o, Kind: "certificate", ID: fmt.Sprintf("crt_%03d", i), GroupID: g, Authority: ca}
			var err error
			if i%5 < 3 {
				err = tx.CreateCertificate(&ra.Certificate{ID: ra.CertificateID(row.ID), GroupID: g, AuthorityID: ca, TemplateID: tpl, Serial: fmt.Sprint("5e", i), State: ra.Valid, Obligation: o})
			} else {
				row.Kind, row.ID = "request", fmt.Sprintf("req_%03d", i)
				r := &ra.Request{ID: ra.RequestID(row.ID), GroupID: g, AuthorityID: ca, TemplateID: tpl, IdempotencyKey: row.ID, State: ra.AwaitingApproval, Obligation: o}
				if i%2 == 0 {
					r.Renews = "crt_none"
				}
				err = tx.CreateRequest(r)
			}
			if err != nil {
				return err
			}
			all = append(all, row)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	usual := waitingLeads
	t.Cleanup(func() { waitingLeads = usual })
	for name, f := range map[string]ObligationFilter{
		"everything": {}, "an action": {Action: ra.ActionAwait}, "a request's action": {Action: ra.ActionApprove}, "no action": {Action: ra.ActionRevoke}, "a group": {Groups: groups[1:2]},
		"two groups": {Groups: groups[1:]}, "no group": {Groups: []ra.GroupID{}}, "every group": {Groups: groups}, "an authority": {Authority: "ca_1"}, "an idle authority": {Authority: "ca_2"},
		"late": {LateOnly: true}, "due": {DueBefore: now}, "late of a group": {LateOnly: true, Groups: groups[:1]}, "an action at an authority": {Authority: "ca_0", Action: ra.ActionRenew},
	} {
		for _, sort := range []string{"", "-"} {
			var want []string
			for _, r := range all {
				if (f.Groups == nil || slices.Contains(f.Groups, r.GroupID)) && (f.Authority == "" || r.Authority == f.Authority) && (f.Action == "" || r.Action == f.Action) &&
					(!f.LateOnly || !r.Deadline.IsZero() && r.Deadline.Before(now)) && (f.DueBefore.IsZero() || r.At.Before(f.DueBefore)) {
					want = append(want, fmt.Sprintf("%020d %s", r.At.UnixMilli(), r.ID))
				}
			}
			slices.Sort(want)
			if sort == "-" {
				slices.Reverse(want)
			}
			for _, few := range []int{0, 10, 1000} {
				waitingLeads = slices.Clone(usual)
				for i := range waitingLeads {
					waitingLeads[i].few = few
				}
				var got []string
				err := db.Read(t.Context(), func(tx *Tx) error {
					tx.Now = now
					f := f
					for f.Page = (Page{Limit: 7, Sort: sort}); ; {
						rows, next, err := tx.FindObligations(f)
						if err != nil {
							return err
						}
						for _, r := range rows {
							got = append(got, fmt.Sprintf("%020d %s", r.At.UnixMilli(), r.ID))
						}
						if f.After = next; next == "" {
							return nil
						}
					}
				})
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s by %q, few is %d:\n got %v\nwant %v", name, sort, few, got, want)
				}
			}
		}
	}
	if err := db.Read(t.Context(), func(tx *Tx) error {
		next, err := tx.NextDue()
		if want := now.Add(-20 * time.Hour); !next.Equal(want) {
			t.Errorf("next due: got %s, want %s", next, want)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// expected finds and sorts by looking at every certificate.
func expected(all []*ra.Certificate, f CertificateFilter) (ids []ra.CertificateID) {
	fits := func(c *ra.Certificate) bool {
		return (f.Groups == nil || slices.Contains(f.Groups, c.GroupID)) && (f.States == nil || slices.Contains(f.States, c.State)) &&
			(f.Authority == "" || c.AuthorityID == f.Authority) && (f.Template == "" || c.TemplateID == f.Template) &&
			(f.Device == "" || c.DeviceID == f.Device) && (f.ExpiresAfter.IsZero() || !c.NotAfter.Before(f.ExpiresAfter)) &&
			(f.ExpiresBefore.IsZero() || c.NotAfter.Before(f.ExpiresBefore)) && (f.Text == "" || len(c.Subject) > 8 && c.Subject[3:9] == f.Text)
	}
	key := func(c *ra.Certificate) string {
		switch f.Sort {
		case "expires", "-expires":
			return fmt.Sprintf("%020d %s", c.NotAfter.UnixMilli(), c.ID)
		case "subject", "-subject":
			return ra.Fold(c.Subject) + "\n\x00" + string(c.ID)
		}
		return string(c.ID)
	}
	var found []*ra.Certificate
	for _, c := range all {
		if fits(c) {
			found = append(found, c)
		}
	}
	slices.SortFunc(found, func(a, b *ra.Certificate) int {
		if key(a) < key(b) {
			return -1
		}
		return 1
	})
	if f.Sort == "" || f.Sort == "-expires" || f.Sort == "-subject" {
		slices.Reverse(found)
	}
	for _, c := range found {
		ids = append(ids, c.ID)
	}
	return ids
}
