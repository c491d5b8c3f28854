package lifecycle_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"chancery/internal/audit"
	"chancery/internal/authority"
	"chancery/internal/lifecycle"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// many writes n certificates like one; change says what is different.
func (w *world) many(like *ra.Certificate, n int, change func(i int, c *ra.Certificate)) (list []*ra.Certificate) {
	w.t.Helper()
	if err := w.db.Write(w.t.Context(), func(tx *store.Tx) error {
		list = nil
		for i := range n {
			c := *like
			c.ID = ra.NewID[ra.CertificateID](ra.CertificatePrefix, tx.Now)
			c.Fingerprint, c.RequestID = authority.Hash([]byte(c.ID)), ""
			c.Serial = c.Fingerprint[:32]
			change(i, &c)
			if err := tx.CreateCertificate(&c); err != nil {
				return err
			}
			list = append(list, &c)
		}
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
	return list
}

// out lists the certificates that a job was put for, in the order of the jobs.
func (w *world) out() (ids []ra.CertificateID) {
	w.t.Helper()
	w.read(func(tx *store.Tx) error {
		rows, err := tx.SQL().Query("SELECT args FROM river_job WHERE kind = 'lifecycle.act' ORDER BY id")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var args string
			if err := rows.Scan(&args); err != nil {
				return err
			}
			_, after, _ := strings.Cut(args, "crt_")
			id, _, _ := strings.Cut(after, `"`)
			ids = append(ids, ra.CertificateID("crt_"+id))
		}
		return rows.Err()
	})
	return ids
}

func (w *world) plan() lifecycle.Forecast {
	w.t.Helper()
	if err := w.PlanAll(w.t.Context(), lifecycle.ForecastJob{}); err != nil {
		w.t.Fatal(err)
	}
	return must(w.Forecast(w.t.Context(), w.owner, w.outer))(w.t)
}

func (w *world) sweep() {
	w.t.Helper()
	if err := w.Sweep(w.t.Context(), lifecycle.SweepJob{}); err != nil {
		w.t.Fatal(err)
	}
}

// TestStormIsSpread: thousands of renewals that fall due at once go on at the
// pace their time allows, and what ends first is first, whatever its template.
func TestStormIsSpread(t *testing.T) {
	each(t, func(w *world) {
		first, second := w.issue(w.template(w.outer, here())), w.issue(w.template(w.outer, here()))
		ends := map[ra.CertificateID]time.Time{}
		for k, like := range []*ra.Certificate{first, second} {
			for _, c := range w.many(like, 1500, func(i int, c *ra.Certificate) {
				c.NotAfter = w.clock.Now().Add(25*day + time.Duration(2*i+k)*time.Minute)
				c.Obligation = ra.Obligation{Action: ra.ActionRenew, At: c.NotAfter.Add(-30 * day), Deadline: c.NotAfter.Add(-15 * day)}
			}) {
				ends[c.ID] = c.NotAfter
			}
		}
		f := w.plan()
		if f.Backlog != 3000 || f.Pace != 0.5 || f.Missed != 0 || f.Days[0].Due != 3000 {
			w.t.Fatalf("%+v", f)
		}
		for range 12 { // ten minutes
			w.sweep()
			w.clock.Advance(50 * time.Second)
		}
		out := w.out()
		if len(out) < 100 || len(out) > 301 {
			w.t.Errorf("%d handed out in ten minutes at half a one a second", len(out))
		}
		if !slices.IsSortedFunc(out, func(a, b ra.CertificateID) int { return ends[a].Compare(ends[b]) }) {
			w.t.Error("not in the order in which they end")
		}
		_, err := w.Forecast(w.t.Context(), actor("o", ra.RoleOwner, w.other), w.outer)
		wantError(w.t, err, ra.NotFound)
	})
}

// TestAlarmsDoNotWait: people hear of what is late however little the
// authority can do, and at once of what it cannot do in time.
func TestAlarmsDoNotWait(t *testing.T) {
	each(t, func(w *world) {
		c := w.issue(w.template(w.outer, here()))
		must(w.authorities.Update(w.t.Context(), w.owner, w.outer, authority.Input{RatePerSecond: ptr(0.001)}))(w.t)
		more := func(n, late int) {
			w.many(c, n, func(i int, c *ra.Certificate) {
				c.NotAfter = w.clock.Now().Add(10 * day)
				c.Obligation = ra.Obligation{Action: ra.ActionRenew, At: w.clock.Now().Add(-5 * day), Deadline: w.clock.Now().Add(time.Hour)}
				if i < late {
					c.Deadline = w.clock.Now().Add(-time.Minute)
				}
			})
		}
		more(1500, 300)
		w.sweep()
		if n := w.audited(audit.CertificateOverdue, ""); n != 300 || len(w.out()) != 1 {
			w.t.Errorf("told of %d that are late, want 300; %d handed out, want 1", n, len(w.out()))
		}
		w.sweep()
		if n := w.audited(audit.CertificateOverdue, ""); n != 300 {
			w.t.Errorf("told again: %d", n)
		}
		f := w.plan()
		if f.PerDay != 86 || f.Missed < 500 || f.MissedDay != 11 {
			w.t.Errorf("%d a day, %d missed from day %d", f.PerDay, f.Missed, f.MissedDay)
		}
		w.plan()
		if n := w.audited(audit.AuthorityCapacity, string(w.outer)); n != 1 {
			w.t.Errorf("told %d times that it is too much", n)
		}
		more(1500, 0)
		w.plan()
		if n := w.audited(audit.AuthorityCapacity, string(w.outer)); n != 2 {
			w.t.Errorf("told %d times, and it has become more", n)
		}
		message, remedy := f.Shortage("Outer CA")
		if !strings.Contains(message, fmt.Sprint(f.Missed)) || remedy == "" {
			w.t.Errorf("%s %s", message, remedy)
		}
	})
}

// TestNobodyRenews: people hear once, in good time, of a certificate that is
// not to be renewed and not replaced.
func TestNobodyRenews(t *testing.T) {
	each(t, func(w *world) {
		spec := here()
		spec.AutoRenew = false
		c := w.issue(w.template(w.inner, spec))
		w.pass(74*day, day)
		if w.audited(audit.CertificateOverdue, string(c.ID)) != 0 {
			w.t.Error("told too early")
		}
		w.pass(2*day, 6*time.Hour)
		if got := w.certificate(c.ID); w.audited(audit.CertificateOverdue, string(c.ID)) != 1 || got.LastError == "" || !got.At.Equal(got.NotAfter) {
			w.t.Errorf("%+v", got)
		}
		w.pass(15*day, day)
		if got := w.certificate(c.ID); got.State != ra.Expired || got.Escalated.IsZero() || w.audited(audit.CertificateOverdue, string(c.ID)) != 1 {
			w.t.Errorf("%+v", got)
		}
	})
}
