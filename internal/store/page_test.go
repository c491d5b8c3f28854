package store_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/store"
)

// lists are all paged lists of the store, each giving the IDs of one page, with
// the names they may be sorted by.
var lists = map[string]struct {
	sorts []string
	page  func(tx *store.Tx, p store.Page) ([]string, string, error)
}{
	"groups": {[]string{"", "name", "created"}, func(tx *store.Tx, p store.Page) ([]string, string, error) {
		rows, next, err := tx.FindGroups(store.GroupFilter{Page: p})
		return ids(rows, func(n *ra.Group) string { return string(n.ID) }), next, err
	}},
	"users": {[]string{"", "name", "created"}, func(tx *store.Tx, p store.Page) ([]string, string, error) {
		rows, next, err := tx.FindUsers(store.UserFilter{Page: p})
		return ids(rows, func(n *ra.User) string { return string(n.ID) }), next, err
	}},
	"devices": {[]string{"", "name", "created"}, func(tx *store.Tx, p store.Page) ([]string, string, error) {
		rows, next, err := tx.FindDevices(store.DeviceFilter{Page: p})
		return ids(rows, func(n *ra.Device) string { return string(n.ID) }), next, err
	}},
	"authorities": {[]string{"", "name", "created"}, func(tx *store.Tx, p store.Page) ([]string, string, error) {
		rows, next, err := tx.FindAuthorities(store.AuthorityFilter{Page: p})
		return ids(rows, func(n *ra.Authority) string { return string(n.ID) }), next, err
	}},
	"templates": {[]string{"", "name", "created"}, func(tx *store.Tx, p store.Page) ([]string, string, error) {
		rows, next, err := tx.FindTemplates(store.TemplateFilter{Page: p})
		return ids(rows, func(n *ra.Template) string { return string(n.ID) }), next, err
	}},
	"endpoints": {[]string{"", "name", "created"}, func(tx *store.Tx, p store.Page) ([]string, string, error) {
		rows, next, err := tx.FindEndpoints(store.EndpointFilter{Page: p})
		return ids(rows, func(n *ra.Endpoint) string { return string(n.ID) }), next, err
	}},
	"admins": {[]string{"", "name", "created"}, func(tx *store.Tx, p store.Page) ([]string, string, error) {
		rows, next, err := tx.FindAdmins(store.AdminFilter{Page: p})
		return ids(rows, func(n *ra.Admin) string { return string(n.ID) }), next, err
	}},
	"tokens": {[]string{""}, func(tx *store.Tx, p store.Page) ([]string, string, error) {
		rows, next, err := tx.FindTokens(p)
		return ids(rows, func(n *ra.Token) string { return string(n.ID) }), next, err
	}},
	"challenges": {[]string{""}, func(tx *store.Tx, p store.Page) ([]string, string, error) {
		rows, next, err := tx.FindChallenges(store.ChallengeFilter{Page: p})
		return ids(rows, func(n *ra.Challenge) string { return string(n.ID) }), next, err
	}},
	"requests": {[]string{""}, func(tx *store.Tx, p store.Page) ([]string, string, error) {
		rows, next, err := tx.FindRequests(store.RequestFilter{Page: p})
		return ids(rows, func(n *ra.Request) string { return string(n.ID) }), next, err
	}},
	"certificates": {[]string{"", "created", "expires", "subject"}, func(tx *store.Tx, p store.Page) ([]string, string, error) {
		rows, next, err := tx.FindCertificates(store.CertificateFilter{Page: p})
		return ids(rows, func(n *ra.Certificate) string { return string(n.ID) }), next, err
	}},
	"obligations": {[]string{""}, func(tx *store.Tx, p store.Page) ([]string, string, error) {
		rows, next, err := tx.FindObligations(store.ObligationFilter{Page: p})
		return ids(rows, func(n ra.ObligationRow) string { return n.ID }), next, err
	}},
	"audit": {[]string{""}, func(tx *store.Tx, p store.Page) ([]string, string, error) {
		rows, next, err := tx.Audit(store.AuditFilter{Page: p})
		return ids(rows, func(n *ra.AuditEntry) string { return fmt.Sprint(n.Seq) }), next, err
	}},
}

func ids[N any](rows []N, id func(N) string) []string {
	out := make([]string, len(rows))
	for i, n := range rows {
		out[i] = id(n)
	}
	return out
}

// fill makes eleven of everything that has a list, most of them alike in what
// they are sorted by.
func fill(t *testing.T, db *store.DB, c *clock) {
	t.Helper()
	w := newWorld(t, db, c)
	for i := range 10 {
		name := fmt.Sprint("same ", i/4)
		write(t, db, func(tx *store.Tx) error {
			now := tx.Now
			org := &ra.Group{ID: id[ra.GroupID](ra.GroupPrefix, now), ParentID: w.org.ID, Name: fmt.Sprint("org ", i)}
			if err := tx.CreateGroup(org); err != nil {
				return err
			}
			g := &ra.Group{ID: id[ra.GroupID](ra.GroupPrefix, now), ParentID: org.ID, Name: name}
			d := newDevice(w.unit.ID, now)
			d.Name = name
			r := w.newRequest(now)
			cert := w.newCertificate(now)
			cert.Subject, cert.NotAfter, cert.At = name, now.Add(time.Duration(1+i/4)*time.Hour), now.Add(time.Duration(i/4)*time.Hour)
			return errors.Join(
				tx.CreateGroup(g),
				tx.CreateUser(&ra.User{ID: id[ra.UserID](ra.UserPrefix, now), GroupID: g.ID, Name: name}),
				tx.CreateDevice(d),
				tx.CreateAuthority(&ra.Authority{ID: id[ra.AuthorityID](ra.AuthorityPrefix, now), GroupID: w.org.ID, Name: fmt.Sprint("ca ", i)}),
				tx.CreateTemplate(&ra.Template{ID: id[ra.TemplateID](ra.TemplatePrefix, now), GroupID: w.org.ID, AuthorityID: w.authority.ID, Name: fmt.Sprint("tpl ", i)}),
				tx.CreateEndpoint(&ra.Endpoint{ID: id[ra.EndpointID](ra.EndpointPrefix, now), GroupID: w.org.ID, TemplateID: w.template.ID, Name: fmt.Sprint("sep", i)}),
				tx.CreateAdmin(&ra.Admin{ID: id[ra.AdminID](ra.AdminPrefix, now), Name: fmt.Sprint("admin ", i)}),
				tx.CreateToken(&ra.Token{ID: id[ra.TokenID](ra.TokenPrefix, now), Name: name, Hash: fmt.Sprint("h", i)}),
				tx.CreateChallenge(w.newChallenge(now, 1)),
				tx.CreateRequest(r),
				tx.CreateCertificate(cert),
				tx.Append(&ra.AuditEntry{Code: "test", Actor: ra.System("test")}),
			)
		})
		if i%3 == 0 {
			c.Advance(time.Second)
		}
	}
}

func TestPages(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		fill(t, db, c)
		for name, list := range lists {
			for _, sort := range list.sorts {
				whole := walk(t, db, list.page, sort, 1000)
				if len(whole) < 10 {
					t.Fatalf("%s by %q: got %d rows, want at least 10", name, sort, len(whole))
				}
				if seen := slices.Compact(slices.Sorted(slices.Values(whole))); len(seen) != len(whole) {
					t.Errorf("%s by %q: rows come twice", name, sort)
				}
				backwards := slices.Clone(whole)
				slices.Reverse(backwards)
				for _, limit := range []int{1, 3, 4, len(whole)} {
					same(t, fmt.Sprintf("%s by %q in pages of %d", name, sort, limit), walk(t, db, list.page, sort, limit), whole)
					same(t, fmt.Sprintf("%s by %q backwards in pages of %d", name, sort, limit), walk(t, db, list.page, "-"+sort, limit), backwards)
				}
			}
		}
	})
}

// walk reads a list page by page to its end.
func walk(t *testing.T, db *store.DB, page func(*store.Tx, store.Page) ([]string, string, error), sort string, limit int) (all []string) {
	t.Helper()
	read(t, db, func(tx *store.Tx) error {
		p := store.Page{Limit: limit, Sort: sort}
		for {
			rows, next, err := page(tx, p)
			if err != nil {
				return err
			}
			all = append(all, rows...)
			if next == "" {
				return nil
			}
			if len(rows) != limit || len(all) > 1000 {
				t.Fatalf("a page of %d in pages of %d after %d rows", len(rows), limit, len(all))
			}
			p.After = next
		}
	})
	return all
}

func TestPageRefusals(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		fill(t, db, c)
		for name, list := range lists {
			var next string
			read(t, db, func(tx *store.Tx) (err error) {
				_, next, err = list.page(tx, store.Page{Limit: 3})
				return err
			})
			encode := base64.RawURLEncoding.EncodeToString
			for what, p := range map[string]store.Page{
				"unknown sort":       {Sort: "colour"},
				"SQL as sort":        {Sort: "name; DROP TABLE groups"},
				"a column as sort":   {Sort: "updated_at"},
				"no base64":          {After: "%%%"},
				"no JSON":            {After: encode([]byte("x"))},
				"another order":      {After: next, Sort: "-"},
				"no value":           {After: encode([]byte(`{"s":""}`))},
				"value of no column": {After: encode([]byte(`{"i":"a","v":[1],"s":""}`))},
				"a fraction":         {After: encode([]byte(`{"i":"a","v":1.5,"s":""}`))},
				"huge number":        {After: encode([]byte(`{"i":"a","v":99999999999999999999,"s":""}`))},
				"true":               {After: encode([]byte(`{"i":"a","v":true,"s":""}`))},
			} {
				wantKind(t, name+": "+what, db.Read(t.Context(), func(tx *store.Tx) error { _, _, err := list.page(tx, p); return err }), ra.Invalid)
			}
		}
	})
}

func TestPageSizes(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		write(t, db, func(tx *store.Tx) (err error) {
			for i := range store.MaxPage + 1 {
				err = errors.Join(err, tx.CreateToken(&ra.Token{ID: ra.TokenID(fmt.Sprintf("tok_%05d", i)), Hash: fmt.Sprint(i)}))
			}
			return err
		})
		for limit, want := range map[int]int{-1: 50, 0: 50, 7: 7, store.MaxPage: store.MaxPage, store.MaxPage + 1: store.MaxPage, 1 << 40: store.MaxPage} {
			read(t, db, func(tx *store.Tx) error {
				rows, _, err := tx.FindTokens(store.Page{Limit: limit})
				if len(rows) != want {
					t.Errorf("limit %d: got %d rows, want %d", limit, len(rows), want)
				}
				return err
			})
		}
	})
}

func TestFilters(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		w := newWorld(t, db, c)
		cert, request := w.newCertificate(c.Now()), w.newRequest(c.Now())
		own := w.newCertificate(c.Now())
		own.Purpose, own.UserID = ra.PurposeSCEPRA, ""
		write(t, db, func(tx *store.Tx) error {
			return errors.Join(tx.CreateCertificate(cert), tx.CreateCertificate(own), tx.CreateRequest(request))
		})
		none := []ra.GroupID{}
		here, there := []ra.GroupID{w.unit.ID, w.org.ID}, []ra.GroupID{"og_other"}
		devices := func(f store.DeviceFilter) func(*store.Tx) (int, error) {
			return func(tx *store.Tx) (int, error) { rows, _, err := tx.FindDevices(f); return len(rows), err }
		}
		users := func(f store.UserFilter) func(*store.Tx) (int, error) {
			return func(tx *store.Tx) (int, error) { rows, _, err := tx.FindUsers(f); return len(rows), err }
		}
		authorities := func(f store.AuthorityFilter) func(*store.Tx) (int, error) {
			return func(tx *store.Tx) (int, error) { rows, _, err := tx.FindAuthorities(f); return len(rows), err }
		}
		templates := func(f store.TemplateFilter) func(*store.Tx) (int, error) {
			return func(tx *store.Tx) (int, error) { rows, _, err := tx.FindTemplates(f); return len(rows), err }
		}
		endpoints := func(f store.EndpointFilter) func(*store.Tx) (int, error) {
			return func(tx *store.Tx) (int, error) { rows, _, err := tx.FindEndpoints(f); return len(rows), err }
		}
		requests := func(f store.RequestFilter) func(*store.Tx) (int, error) {
			return func(tx *store.Tx) (int, error) { rows, _, err := tx.FindRequests(f); return len(rows), err }
		}
		certificates := func(f store.CertificateFilter) func(*store.Tx) (int, error) {
			return func(tx *store.Tx) (int, error) { rows, _, err := tx.FindCertificates(f); return len(rows), err }
		}
		obligations := func(f store.ObligationFilter) func(*store.Tx) (int, error) {
			return func(tx *store.Tx) (int, error) { rows, _, err := tx.FindObligations(f); return len(rows), err }
		}
		for _, tc := range []struct {
			name string
			find func(*store.Tx) (int, error)
			want int
		}{
			{"devices of no group", devices(store.DeviceFilter{Groups: none}), 0},
			{"devices of other groups", devices(store.DeviceFilter{Groups: there}), 0},
			{"devices by everything", devices(store.DeviceFilter{Groups: here, Platform: ra.IOS, State: ra.DeviceEnrolled, User: w.user.ID, Text: "JANE'S"}), 1},
			{"devices by serial number", devices(store.DeviceFilter{Text: "c02x"}), 1},
			{"devices by platform ID", devices(store.DeviceFilter{Text: "UDID-dev_"}), 1},
			{"devices of another platform", devices(store.DeviceFilter{Platform: ra.Linux}), 0},
			{"devices in another state", devices(store.DeviceFilter{State: ra.DeviceBlocked}), 0},
			{"devices by %", devices(store.DeviceFilter{Text: "%"}), 0},
			{"devices by _", devices(store.DeviceFilter{Text: "jane_s"}), 0},
			{"devices by backslash", devices(store.DeviceFilter{Text: `\`}), 0},
			{"devices by quote", devices(store.DeviceFilter{Text: `'`}), 1},
			{"devices by spaces", devices(store.DeviceFilter{Text: "  "}), 1},
			{"users of no group", users(store.UserFilter{Groups: none}), 0},
			{"users by mail", users(store.UserFilter{Groups: here, Text: "jane@ACME"}), 1},
			{"users by name", users(store.UserFilter{Text: "jane doe"}), 1},
			{"users by another name", users(store.UserFilter{Text: "john"}), 0},
			{"authorities by everything", authorities(store.AuthorityFilter{Groups: here, Kind: "embedded", Text: "issuing"}), 1},
			{"authorities of another kind", authorities(store.AuthorityFilter{Kind: "adcs"}), 0},
			{"templates by everything", templates(store.TemplateFilter{Groups: here, Authority: w.authority.ID, Text: "wi-"}), 1},
			{"templates of another authority", templates(store.TemplateFilter{Authority: "ca_other"}), 0},
			{"endpoints by everything", endpoints(store.EndpointFilter{Groups: here, Template: w.template.ID, Text: "wifi"}), 1},
			{"endpoints of another template", endpoints(store.EndpointFilter{Template: "tpl_other"}), 0},
			{"requests by everything", requests(store.RequestFilter{Groups: here, States: []ra.RequestState{ra.Approved, ra.Submitted}, Authority: w.authority.ID,
				Template: w.template.ID, Device: w.device.ID, User: w.user.ID, Text: "JÜRGEN"}), 1},
			{"requests by transaction", requests(store.RequestFilter{Text: "t-1"}), 1},
			{"requests by ID", requests(store.RequestFilter{Text: strings.ToUpper(string(request.ID))}), 1},
			{"requests of no group", requests(store.RequestFilter{Groups: none}), 0},
			{"requests in another state", requests(store.RequestFilter{States: []ra.RequestState{ra.Issued}}), 0},
			{"certificates by everything", certificates(store.CertificateFilter{Groups: here, States: []ra.CertificateState{ra.Valid}, Authority: w.authority.ID,
				Template: w.template.ID, Device: w.device.ID, User: w.user.ID, SPKIHash: "bb", Serial: cert.Serial, ExpiresBefore: cert.NotAfter.Add(1e6),
				ExpiresAfter: cert.NotAfter, Text: "äpfel_100%"}), 1},
			{"certificates by SAN", certificates(store.CertificateFilter{Text: "HOST.acme"}), 1},
			{"certificates by serial", certificates(store.CertificateFilter{Text: cert.Serial}), 1},
			{"certificates by part of a serial", certificates(store.CertificateFilter{Text: cert.Serial[1:]}), 0},
			{"certificates by fingerprint", certificates(store.CertificateFilter{Text: cert.Fingerprint}), 1},
			{"certificates by wildcard", certificates(store.CertificateFilter{Text: "äpfel_1%0"}), 0},
			{"certificates that end before", certificates(store.CertificateFilter{ExpiresBefore: cert.NotAfter}), 0},
			{"certificates with our own", certificates(store.CertificateFilter{OwnToo: true}), 2},
			{"obligations", obligations(store.ObligationFilter{Groups: here, Authority: w.authority.ID, Action: ra.ActionIssue}), 1},
			{"obligations due", obligations(store.ObligationFilter{DueBefore: c.Now().Add(1e6)}), 1},
			{"obligations that are late", obligations(store.ObligationFilter{LateOnly: true}), 0},
			{"obligations of no group", obligations(store.ObligationFilter{Groups: none}), 0},
		} {
			read(t, db, func(tx *store.Tx) error {
				got, err := tc.find(tx)
				if err != nil {
					return fmt.Errorf("%s: %w", tc.name, err)
				}
				if got != tc.want {
					t.Errorf("%s: got %d, want %d", tc.name, got, tc.want)
				}
				return nil
			})
		}
		c.Advance(time.Hour + time.Millisecond)
		read(t, db, func(tx *store.Tx) error {
			n, err := obligations(store.ObligationFilter{LateOnly: true})(tx)
			if n != 1 {
				t.Errorf("obligations late after the deadline: got %d, want 1", n)
			}
			return err
		})
	})
}
