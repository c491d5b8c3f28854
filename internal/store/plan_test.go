package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	_ "modernc.org/sqlite"

	"chancery/internal/ra"
)

// explainer is a SQLite connection that notes how each statement is executed.
type explainer struct {
	driver.Conn
	plan *[]string
}

type explainerConnector struct {
	driver driver.Driver
	dsn    string
	plan   *[]string
}

func (c explainerConnector) Driver() driver.Driver { return c.driver }

func (c explainerConnector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.dsn)
	return explainer{conn, c.plan}, err
}

func (e explainer) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	return e.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
}

func (e explainer) QueryContext(ctx context.Context, q string, args []driver.NamedValue) (driver.Rows, error) {
	if err := e.explain(ctx, q, args); err != nil {
		return nil, err
	}
	return e.Conn.(driver.QueryerContext).QueryContext(ctx, q, args)
}

func (e explainer) ExecContext(ctx context.Context, q string, args []driver.NamedValue) (driver.Result, error) {
	if err := e.explain(ctx, q, args); err != nil {
		return nil, err
	}
	return e.Conn.(driver.ExecerContext).ExecContext(ctx, q, args)
}

func (e explainer) explain(ctx context.Context, q string, args []driver.NamedValue) error {
	rows, err := e.Conn.(driver.QueryerContext).QueryContext(ctx, "EXPLAIN QUERY PLAN "+q, args)
	if err != nil {
		return err
	}
	defer rows.Close()
	line := make([]driver.Value, len(rows.Columns()))
	for {
		if err := rows.Next(line); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		*e.plan = append(*e.plan, line[slices.Index(rows.Columns(), "detail")].(string))
	}
}

// What people and the planner ask all day must find its rows through an index
// and in order, however many there are. Lists that are short by nature are not
// here.
func TestPlans(t *testing.T) {
	path := filepath.Join(t.TempDir(), "plan.db")
	db, err := Open(t.Context(), "sqlite:"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Write(t.Context(), func(tx *Tx) error {
		return errors.Join(tx.CreateGroup(&ra.Group{ID: "og_1", Name: "One"}), tx.CreateGroup(&ra.Group{ID: "og_2", Name: "Two"}),
			tx.CreateAuthority(&ra.Authority{ID: "a", GroupID: "og_1", Name: "One"}),
			tx.CreateTemplate(&ra.Template{ID: "b", GroupID: "og_1", AuthorityID: "a", Name: "One"}),
			tx.CreateCertificate(&ra.Certificate{ID: "c", GroupID: "og_1", AuthorityID: "a", TemplateID: "b", Serial: "1", State: ra.Valid,
				Obligation: ra.Obligation{Action: ra.ActionRenew, At: time.Now()}}),
			tx.CreateRequest(&ra.Request{ID: "r", GroupID: "og_1", AuthorityID: "a", TemplateID: "b", State: ra.AwaitingApproval,
				Obligation: ra.Obligation{Action: ra.ActionApprove, At: time.Now()}}),
			tx.Append(&ra.AuditEntry{Code: "certificate.issued"}))
	}); err != nil {
		t.Fatal(err)
	}
	usual, waiting := maps.Clone(leadsOf), slices.Clone(waitingLeads)
	defer func() { leadsOf, waitingLeads = usual, waiting }()
	var plan []string
	pool := sql.OpenDB(explainerConnector{db.write.Driver(), sqliteDSN(path, "immediate"), &plan})
	defer pool.Close()
	pool.SetMaxOpenConns(1)
	explained := &DB{engine: sqliteEngine, write: sqlx.NewDb(pool, "pgx"), now: time.Now}
	explained.commit = newCommitter(explained)

	// Where another index would do at first sight and be slow.
	through := map[string]string{
		"certificates by state":             "certificates_state (state=?)",
		"certificates by common state":      "SCAN certificates USING INDEX sqlite_autoindex_certificates_1",
		"certificates in a state by expiry": "COVERING INDEX certificates_ends (state=?)",
		"certificates by last expiry":       "COVERING INDEX certificates_ends (state=?)",
		"certificates by expiry":            "COVERING INDEX certificates_ends (state=? AND not_after>? AND not_after<?)",
		"certificates of a template":        "INDEX certificates_place (authority_id=? AND template_id=?)",
		"certificates of an authority":      "INDEX certificates_place (authority_id=? AND template_id=?)",
		"certificates of a device":          "certificates_device (device_id=?)",
		"certificates of a user":            "certificates_user (user_id=?)",
		"certificates by group":             "certificates_group (group_id=?)",
		"requests by state":                 "requests_state (state=?)",
		"requests of a device":              "requests_device (device_id=?)",
		"requests of a user":                "requests_user (user_id=?)",
		"requests of a template":            "requests_place (authority_id=? AND template_id=?)",
		"blocked devices by age":            "devices_state (state=?)",
		"obligations":                       "COVERING INDEX certificates_waiting (next_action=?)",
		"obligations due":                   "COVERING INDEX certificates_waiting (next_action=? AND next_action_at<?)",
		"obligations of an authority":       "requests_due_renewal (authority_id=?)",
		"counts of the certificates":        "sqlite_autoindex_tallies_1 (kind=?)",
		"counts of a template":              "sqlite_autoindex_tallies_1 (kind=? AND group_id=?)",
		"counts of a span":                  "COVERING INDEX certificates_ends (state=? AND not_after>? AND not_after<?)",
		"calendar of what ends":             "sqlite_autoindex_tallies_1 (kind=? AND group_id=?)",
		"due certificates":                  "COVERING INDEX certificates_due (authority_id=? AND next_action=? AND template_id=? AND next_action_at<?)",
		"due requests":                      "requests_due_new (authority_id=? AND next_action_at<?)",
		"next due":                          "COVERING INDEX certificates_waiting (next_action=?)",
		"templates with an action":          "COVERING INDEX certificates_due (authority_id=? AND next_action=? AND template_id>?)",
		"overdue certificates":              "certificates_late (deadline_at>? AND deadline_at<?)",
		"late certificates":                 "certificates_late (deadline_at>? AND deadline_at<?)",
		"counts of renewals":                "certificates_failing (next_action=?)",
		"counts of what waits":              "SCAN requests USING INDEX requests_spki",
		"due renewals":                      "requests_due_renewal (authority_id=? AND next_action_at<?)",
		"demand":                            "COVERING INDEX certificates_due (authority_id=? AND next_action=?)",
		"own certificates":                  "certificates_own",
		"count of own certificates":         "COVERING INDEX certificates_own",
		"revoked":                           "COVERING INDEX certificates_revoked (issuer_hash=?)",
		"revoked of a shard":                "COVERING INDEX certificates_revoked (issuer_hash=? AND <expr>>? AND <expr><?)",
		"statuses":                          "certificates_identity (serial=?)",
		"renewal request":                   "requests_renews (renews=?)",
		"use of a key":                      "requests_spki (spki_hash=?)",
		"audit of a kind of codes":          "COVERING INDEX audit_code (code=?",
		"audit of a day":                    "sqlite_autoindex_audit_1 (seq>? AND seq<?)",
	}
	// Where few rows are left to be sorted.
	sorted := map[string]bool{"audit of an object": true, "overdue certificates": true, "counts of the certificates": true}
	// Where the number of rows decides, and there are few of them.
	few := map[string]string{
		"certificates by expiry":     "certificates_ends (state=? AND not_after>? AND not_after<?)",
		"certificates by group":      "certificates_group (group_id=?)",
		"certificates of a template": "certificates_place (authority_id=? AND template_id=?)",
		"certificates of a user":     "certificates_user (user_id=?)",
		"obligations late":           "certificates_late (deadline_at>? AND deadline_at<?)",
		"obligations of a group":     "certificates_group (group_id=?)",
		"devices of a user":          "devices_user (user_id=?)",
		"certificates by state":      "certificates_state (state=?)",
		"audit of an object":         "MULTI-INDEX OR",
		"requests with a key":        "requests_spki (spki_hash=?)",
		"requests of a device":       "requests_device (device_id=?)",
	}

	now := time.Now()
	groups := []ra.GroupID{"og_1"}
	page := Page{After: "", Limit: 50}
	for name, f := range map[string]func(*Tx) error{
		"certificate by serial":        func(tx *Tx) error { _, err := tx.CertificateBySerial("a", "b"); return err },
		"certificate by fingerprint":   func(tx *Tx) error { _, err := tx.CertificateByFingerprint("a"); return err },
		"certificate by request":       func(tx *Tx) error { _, err := tx.CertificateByRequest("a"); return err },
		"certificates":                 certificates(CertificateFilter{}),
		"certificates by group":        certificates(CertificateFilter{Groups: groups}),
		"certificates by expiry":       certificates(CertificateFilter{Page: Page{Sort: "expires"}, ExpiresAfter: now, ExpiresBefore: now}),
		"certificates by last expiry":  certificates(CertificateFilter{Page: Page{Sort: "-expires"}}),
		"certificates by subject":      certificates(CertificateFilter{Page: Page{Sort: "subject"}}),
		"certificates by state":        certificates(CertificateFilter{States: []ra.CertificateState{ra.Revoked}}),
		"certificates by common state": certificates(CertificateFilter{States: []ra.CertificateState{ra.Valid}}),
		"certificates in a state by expiry": certificates(CertificateFilter{States: []ra.CertificateState{ra.Valid},
			Page: Page{Sort: "expires"}}),
		"certificates of a device":   certificates(CertificateFilter{Device: "a"}),
		"certificates of a user":     certificates(CertificateFilter{User: "a"}),
		"certificates of a template": certificates(CertificateFilter{Template: "b"}),
		"due certificates":           func(tx *Tx) error { _, err := tx.dueOf("a", ra.ActionRenew, "b", 10); return err },
		"templates with an action":   func(tx *Tx) error { _, err := tx.templatesDoing("a", ra.ActionRenew); return err },
		"overdue certificates":       func(tx *Tx) error { _, err := tx.OverdueCertificates(10); return err },
		"overdue requests":           func(tx *Tx) error { _, err := tx.OverdueRequests("a", 10); return err },
		"due renewals": func(tx *Tx) error {
			_, err := tx.DueRequests("a", RenewalLine, []ra.Action{ra.ActionIssue}, 10)
			return err
		},
		"demand":                 func(tx *Tx) error { _, err := tx.DemandOf("a", ra.ActionRenew, 90); return err },
		"own certificates":       func(tx *Tx) error { _, err := tx.OwnCertificates("a", ra.PurposeOCSP); return err },
		"revoked":                func(tx *Tx) error { _, err := tx.RevokedBy("a", "00", "ff"); return err },
		"revoked of a shard":     func(tx *Tx) error { _, err := tx.RevokedBy("a", "40", "7f"); return err },
		"statuses":               func(tx *Tx) error { _, err := statuses(tx.ctx, tx.x, []string{"1", "2"}); return err },
		"requests":               requests(RequestFilter{}),
		"requests by state":      requests(RequestFilter{States: []ra.RequestState{ra.AwaitingApproval}}),
		"requests of a device":   requests(RequestFilter{Device: "a"}),
		"request by transaction": func(tx *Tx) error { _, err := tx.RequestByTransaction("a", "b"); return err },
		"request by key":         func(tx *Tx) error { _, err := tx.RequestByKey("a"); return err },
		"due requests": func(tx *Tx) error {
			_, err := tx.DueRequests("a", NewLine, []ra.Action{ra.ActionIssue}, 10)
			return err
		},
		"open requests":               func(tx *Tx) error { _, err := tx.OpenRequestsFor("a", "b"); return err },
		"renewal request":             func(tx *Tx) error { _, err := tx.RenewalRequest("a"); return err },
		"obligations":                 func(tx *Tx) error { _, _, err := tx.FindObligations(ObligationFilter{Page: page}); return err },
		"obligations due":             func(tx *Tx) error { _, _, err := tx.FindObligations(ObligationFilter{DueBefore: now}); return err },
		"next due":                    func(tx *Tx) error { _, err := tx.NextDue(); return err },
		"devices":                     devices(DeviceFilter{}),
		"devices by age":              devices(DeviceFilter{Page: Page{Sort: "-created"}}),
		"device by identity":          func(tx *Tx) error { _, err := tx.DeviceByPlatformID("a", "b"); return err },
		"users":                       func(tx *Tx) error { _, _, err := tx.FindUsers(UserFilter{}); return err },
		"user by name":                func(tx *Tx) error { _, err := tx.UserByName("a", "b"); return err },
		"challenge by hash":           func(tx *Tx) error { _, err := tx.ChallengeByHash("a"); return err },
		"use of a challenge":          func(tx *Tx) error { return tx.UseChallenge("a", "b") },
		"release of a challenge":      func(tx *Tx) error { return tx.ReleaseChallenge("a") },
		"sweep of challenges":         func(tx *Tx) error { _, err := tx.SweepChallenges(now); return err },
		"sweep of bearers":            func(tx *Tx) error { _, err := tx.SweepBearers(now); return err },
		"sweep of sessions":           func(tx *Tx) error { _, err := tx.SweepSessions(); return err },
		"message":                     func(tx *Tx) error { _, err := tx.Bearer("a", "b"); return err },
		"traces of a message":         func(tx *Tx) error { _, err := tx.Traces(Message{"a", "b", "c", "d"}); return err },
		"use of a key":                func(tx *Tx) error { _, err := tx.KeyUsed("a"); return err },
		"token by hash":               func(tx *Tx) error { _, err := tx.TokenByHash("a"); return err },
		"audit":                       entries(AuditFilter{}),
		"audit of an actor":           entries(AuditFilter{Actor: "a"}),
		"audit of a code":             entries(AuditFilter{Code: "certificate.issued"}),
		"audit of an object":          entries(AuditFilter{Object: "a"}),
		"check of the audit log":      func(tx *Tx) error { _, err := tx.VerifyAudit(nil); return err },
		"deletion of sealed secrets":  func(tx *Tx) error { return tx.DeleteSealed("a", "") },
		"deletion of a sealed secret": func(tx *Tx) error { return tx.DeleteSealed("a", "b") },
		"counts of the certificates":  func(tx *Tx) error { _, err := tx.CountCertificates(CertificateFilter{}); return err },
		"counts of the devices":       func(tx *Tx) error { _, err := tx.CountDevices(nil); return err },
		"counts of the requests":      func(tx *Tx) error { _, err := tx.CountRequests(nil); return err },
		"obligations late":            func(tx *Tx) error { _, _, err := tx.FindObligations(ObligationFilter{LateOnly: true}); return err },
		"obligations of a group":      func(tx *Tx) error { _, _, err := tx.FindObligations(ObligationFilter{Groups: groups}); return err },
		"obligations of an authority": func(tx *Tx) error { _, _, err := tx.FindObligations(ObligationFilter{Authority: "a"}); return err },
		"late certificates":           func(tx *Tx) error { _, err := tx.LateCertificates(); return err },
		"counts of renewals":          func(tx *Tx) error { _, err := tx.RenewalCounts(); return err },
		"counts of what waits":        func(tx *Tx) error { _, err := tx.WaitingRequests(); return err },
		"counts of a template":        func(tx *Tx) error { _, err := tx.CountCertificates(CertificateFilter{Template: "b"}); return err },
		"counts of a span": func(tx *Tx) error {
			_, err := tx.CountCertificates(CertificateFilter{ExpiresAfter: now, ExpiresBefore: now})
			return err
		},
		"count of own certificates":    func(tx *Tx) error { _, err := tx.CountOwn("a", ra.PurposeOCSP); return err },
		"requests of a user":           requests(RequestFilter{User: "a"}),
		"requests of a template":       requests(RequestFilter{Template: "b"}),
		"requests with a key":          requests(RequestFilter{SPKIHash: "a"}),
		"devices of a user":            devices(DeviceFilter{User: "a", Page: Page{Sort: "created"}}),
		"blocked devices by age":       devices(DeviceFilter{State: "blocked", Page: Page{Sort: "created"}}),
		"audit of a kind of codes":     entries(AuditFilter{Code: "certificate."}),
		"audit of a day":               entries(AuditFilter{Since: now, Until: now}),
		"calendar of what ends":        func(tx *Tx) error { _, err := tx.ExpiryCalendar(nil, 90); return err },
		"certificates of an authority": certificates(CertificateFilter{Authority: "a"}),
	} {
		for _, many := range []bool{true, false} {
			leadsOf, waitingLeads = maps.Clone(usual), slices.Clone(waiting)
			for table := range leadsOf {
				leadsOf[table] = slices.Clone(usual[table])
			}
			want, sorts := few[name], 2
			if many {
				want, sorts = through[name], 0
				for i := range waitingLeads {
					waitingLeads[i].few = 0
				}
				for _, by := range leadsOf {
					for i := range by {
						by[i].few = 0
					}
				}
			}
			plan = nil
			if err := explained.Write(t.Context(), f); err != nil && ra.KindOf(err) != ra.NotFound {
				t.Fatalf("%s: %v", name, err)
			}
			all := strings.Join(plan, "; ")
			t.Logf("%s, many %v: %s", name, many, all)
			if len(plan) == 0 {
				t.Errorf("%s: asked nothing", name)
			}
			sorts += strings.Count(all, "LIST SUBQUERY") // the rows of a page, by keys that were found in order
			if n := strings.Count(all, "TEMP B-TREE FOR ORDER"); n > sorts && !sorted[name] {
				t.Errorf("%s, many %v: sorts %d times: %s", name, many, n, all)
			}
			for _, line := range plan {
				if strings.HasPrefix(line, "SCAN ") && !strings.Contains(line, "USING") && !slices.Contains(short, line) {
					t.Errorf("%s, many %v: %s", name, many, line)
				}
			}
			if !strings.Contains(all, want) {
				t.Errorf("%s, many %v: not through %s: %s", name, many, want, all)
			}
		}
	}
}

// short is what is walked through without an index and holds little.
var short = []string{"SCAN part", "SCAN hours", "SCAN parts", "SCAN due", "SCAN waiting", "SCAN groups", "SCAN CONSTANT ROW", "SCAN (subquery-1)", "SCAN (subquery-2)", "SCAN (subquery-3)"}

func certificates(f CertificateFilter) func(*Tx) error {
	return func(tx *Tx) error { _, _, err := tx.FindCertificates(f); return err }
}

func requests(f RequestFilter) func(*Tx) error {
	return func(tx *Tx) error { _, _, err := tx.FindRequests(f); return err }
}

func devices(f DeviceFilter) func(*Tx) error {
	return func(tx *Tx) error { _, _, err := tx.FindDevices(f); return err }
}

func entries(f AuditFilter) func(*Tx) error {
	return func(tx *Tx) error { _, _, err := tx.Audit(f); return err }
}
