package adcs_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ca/adcs"
	played "chancery/internal/doubles/adcs"
	"chancery/internal/ra"
)

// seed puts requests into the double's database.
func (d *double) seed(n int, each func(i int) played.Seed) uint32 {
	d.t.Helper()
	first, err := d.Seed(n, each)
	if err != nil {
		d.t.Fatal(err)
	}
	return first
}

// seedList puts these.
func (d *double) seedList(list ...played.Seed) uint32 {
	d.t.Helper()
	return d.seed(len(list), func(i int) played.Seed { return list[i] })
}

// list lists, and sees that the numbers rise.
func (w *world) list(from ca.Listing) []ca.Listed {
	w.t.Helper()
	out, err := w.tryList(from)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) tryList(from ca.Listing) (out []ca.Listed, err error) {
	w.t.Helper()
	err = w.lister.List(w.t.Context(), from, func(list []ca.Listed) error {
		for _, l := range list {
			if n := len(out); l.Number <= from.After || n > 0 && l.Number <= out[n-1].Number {
				w.t.Errorf("number %d out of order", l.Number)
			}
			out = append(out, l)
		}
		return nil
	})
	return out, err
}

func numbers(list []ca.Listed) (out []int64) {
	for _, l := range list {
		out = append(out, l.Number)
	}
	return out
}

func wantNumbers(t *testing.T, what string, got []ca.Listed, want ...int64) {
	t.Helper()
	if !slices.Equal(numbers(got), want) {
		t.Errorf("%s: numbers %v, want %v", what, numbers(got), want)
	}
}

// TestList: what stands in the database comes as it is there, denied and pending
// requests do not.
func TestList(t *testing.T) {
	d := newDouble(t, played.Config{EllipticKeys: true, FormerKeys: 1})
	d.still = true
	now := time.Now().UTC().Truncate(time.Second)
	d.seedList(
		played.Seed{Template: "WebServer", Caller: `corp\SVC-RA`, Attributes: "CertificateTemplate:WebServer\nChanceryRequest:req_0abc", Key: 1},
		played.Seed{Disposition: 31},
		played.Seed{Template: "User", Caller: `CORP\alice`, NotAfter: now.Add(-time.Hour), NotBefore: now.AddDate(-1, 0, 0)},
		played.Seed{Disposition: 9},
		played.Seed{Template: "1.3.6.1.4.1.311.21.8.99", Caller: `CORP\svc-ra`, Requester: `CORP\bob`, Attributes: "certificatetemplate:Retired", Disposition: 21, Reason: 4, Revoked: now.Add(-time.Minute), Key: 1},
		played.Seed{Template: "1.3.6.1.4.1.311.21.8.98", Caller: `OTHER\svc-ra`, Attributes: "ChanceryRequest:req_!\nCertificateTemplate:1.3.6.1.4.1.311.21.8.98", Disposition: 21, Reason: 6, Revoked: now.Add(-time.Second)},
		played.Seed{Disposition: 30},
	)
	w := newWorld(t, d, nil)
	list := w.list(ca.Listing{})
	wantNumbers(t, "all", list, 1, 3, 5, 6)
	for i, want := range []ca.Listed{
		{State: ra.Valid, ByUs: true, Requester: `corp\SVC-RA`, Template: "WebServer", Request: "req_0abc"},
		{State: ra.Valid, Requester: `CORP\alice`, Template: "User"},
		{State: ra.Revoked, RevokedAt: now.Add(-time.Minute), Reason: ra.SupersededReason, ByUs: true, Requester: `CORP\bob`, Template: "Retired"},
		{State: ra.OnHold, RevokedAt: now.Add(-time.Second), Reason: ra.CertificateHold, Requester: `OTHER\svc-ra`, Template: "1.3.6.1.4.1.311.21.8.98"},
	} {
		want.Number, want.DER = list[i].Number, d.Requests()[list[i].Number-1].Certificate.Raw
		if got := list[i]; !bytes.Equal(got.DER, want.DER) || !got.RevokedAt.Equal(want.RevokedAt) || got.State != want.State || got.Reason != want.Reason ||
			got.ByUs != want.ByUs || got.Requester != want.Requester || got.Template != want.Template || got.Request != want.Request {
			t.Errorf("number %d: %+v, want %+v", got.Number, got, want)
		}
	}
	wantNumbers(t, "behind 3", w.list(ca.Listing{After: 3}), 5, 6)
	wantNumbers(t, "behind the last", w.list(ca.Listing{After: 7}))
	wantNumbers(t, "behind any number", w.list(ca.Listing{After: 1 << 40}))
	wantNumbers(t, "not ended", w.list(ca.Listing{EndsAfter: now}), 1, 5, 6)
	wantNumbers(t, "not ended, behind 1", w.list(ca.Listing{After: 1, EndsAfter: now}), 5, 6)

	if d.Objects() != 0 {
		t.Errorf("%d objects are left at the CA", d.Objects())
	}
	issuers, err := w.lister.Issuers(t.Context())
	if err != nil || len(issuers) != 2 || !issuers[0].Equal(d.Certificate()) {
		t.Fatalf("Issuers: %d, %v", len(issuers), err)
	}
	for i, by := range []int{0, 1, 0, 1} {
		c, err := x509.ParseCertificate(list[i].DER)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.CheckSignatureFrom(issuers[by]); err != nil {
			t.Errorf("number %d: %v", list[i].Number, err)
		}
	}
}

// TestListChanged: what was issued or revoked since, each once, in order. A release
// is among them where the CA keeps its time.
func TestListChanged(t *testing.T) {
	for name, stays := range map[string]bool{"a release stays": true, "a release leaves nothing": false} {
		t.Run(name, func(t *testing.T) {
			d := newDouble(t, played.Config{EllipticKeys: true, ReleaseStays: stays})
			now := time.Now()
			old := played.Seed{NotBefore: now.AddDate(0, -2, 0)}
			held, revoked, long := old, old, old
			held.Disposition, held.Reason, held.Revoked = 21, 6, now.AddDate(0, -1, 0)
			revoked.Disposition, revoked.Reason, revoked.Revoked = 21, 1, now.Add(-time.Minute)
			long.Disposition, long.Reason, long.Revoked = 21, 1, now.AddDate(0, -1, 0)
			d.seedList(old, revoked, played.Seed{Disposition: 21, Reason: 5, Revoked: now.Add(-time.Second)}, held, long, played.Seed{Disposition: 31}, played.Seed{})
			late := old
			late.Resolved = now.Add(-time.Minute) // approved after a while
			d.seedList(late)
			w := newWorld(t, d, nil)
			since := now.Add(-2 * time.Hour)
			wantNumbers(t, "changed", w.list(ca.Listing{Changed: since}), 2, 3, 7, 8)
			wantNumbers(t, "changed, behind 3", w.list(ca.Listing{Changed: since, After: 3}), 7, 8)
			wantNumbers(t, "changed a moment ago, by clocks that differ", w.list(ca.Listing{Changed: now.Add(10 * time.Minute)}), 2, 3, 8)
			wantNumbers(t, "changed in the future", w.list(ca.Listing{Changed: now.Add(time.Hour)}))
			wantNumbers(t, "changed in a year", w.list(ca.Listing{Changed: now.AddDate(-1, 0, 0)}), 1, 2, 3, 4, 5, 7, 8)

			if err := d.RevokeSerial(fmt.Sprintf("%x", d.Requests()[3].Certificate.SerialNumber), 0xffffffff); err != nil {
				t.Fatal(err)
			}
			if all := w.list(ca.Listing{}); all[3].State != ra.Valid || all[3].Reason != 0 || !all[3].RevokedAt.IsZero() {
				t.Errorf("released: %+v", all[3])
			}
			want := []int64{2, 3, 7, 8}
			if stays {
				want = []int64{2, 3, 4, 7, 8}
			}
			wantNumbers(t, "changed, one released", w.list(ca.Listing{Changed: since}), want...)
		})
	}
}

// TestListHidden: a certificate that the database does not show is had by its serial
// number while it is not revoked.
func TestListHidden(t *testing.T) {
	d := newDouble(t, played.Config{EllipticKeys: true})
	d.seedList(played.Seed{Hidden: true}, played.Seed{Hidden: true, Disposition: 21}, played.Seed{})
	w := newWorld(t, d, nil)
	list := w.list(ca.Listing{})
	wantNumbers(t, "all", list, 1, 2, 3)
	rows := d.Requests()
	if !bytes.Equal(list[0].DER, rows[0].Certificate.Raw) || len(list[1].DER) != 0 || !bytes.Equal(list[2].DER, rows[2].Certificate.Raw) {
		t.Errorf("octets: %d, %d, %d", len(list[0].DER), len(list[1].DER), len(list[2].DER))
	}
	d.SetFault(played.Fault{At: played.Request2, Act: played.CutBefore})
	if list := w.list(ca.Listing{}); len(list) != 3 || len(list[0].DER) == 0 {
		t.Errorf("cut while a certificate was asked for: %d", len(list))
	}
}

// TestListCut: a session that breaks, at whatever place, is followed by another one
// that goes on behind what was given.
func TestListCut(t *testing.T) {
	t.Parallel()
	d := newDouble(t, played.Config{EllipticKeys: true})
	const rows = 1200
	d.seed(rows, func(i int) played.Seed { return played.Seed{} })
	w := newWorld(t, d, nil)
	all := make([]int64, rows)
	for i := range all {
		all[i] = int64(i + 1)
	}
	d.CutAfterRows(100, 400, 1)
	wantNumbers(t, "cut three times", w.list(ca.Listing{}), all...)
	d.SetFault(played.Fault{At: played.EnumView, Act: played.HalfPDU})
	wantNumbers(t, "half an answer", w.list(ca.Listing{}), all...)
	d.SetFault(played.Fault{At: played.OpenView, Act: played.RPCFault(0x80010114)}, played.Fault{At: played.EnumView, Act: played.Result(0x8000ffff)})
	wantNumbers(t, "an object that is gone", w.list(ca.Listing{}), all...)
	if n := strings.Count(w.log.String(), "another one goes on"); n != 5 {
		t.Errorf("%d sessions broke in the log", n)
	}

	var got []ca.Listed
	err := w.lister.List(t.Context(), ca.Listing{}, func(list []ca.Listed) error {
		if len(got) == 0 { // from now on the CA is down
			d.SetFault(played.Fault{At: played.OpenView, Times: -1, Act: played.CutBefore}, played.Fault{At: played.EnumView, Times: -1, Act: played.CutAfter})
		}
		got = append(got, list...)
		return nil
	})
	wantError(t, err, ra.Unreachable)
	if len(got) < 500 || len(got) >= rows || got[len(got)-1].Number != int64(len(got)) {
		t.Errorf("%d certificates came before the end", len(got))
	}
	d.Heal()
	rest := w.list(ca.Listing{After: int64(len(got))})
	if len(got)+len(rest) != rows {
		t.Errorf("%d and %d certificates", len(got), len(rest))
	}
}

// TestListLong: a listing takes as long as it takes. The time for one question does
// not end it, nor that the CA forgets the objects of a session.
func TestListLong(t *testing.T) {
	t.Parallel()
	d := newDouble(t, played.Config{EllipticKeys: true})
	const rows = 1700
	d.seed(rows, func(int) played.Seed { return played.Seed{} })
	w := newWorld(t, d, map[string]any{"timeout": "2s"})
	var passed atomic.Int64
	w.env.Now = func() time.Time { return time.Now().Add(time.Duration(passed.Load())) }
	w.reopen()
	d.dials = nil
	count, portions := 0, 0
	err := w.lister.List(t.Context(), ca.Listing{}, func(list []ca.Listed) error {
		if portions++; portions == 1 {
			time.Sleep(2100 * time.Millisecond)
		}
		passed.Add(int64(5 * time.Minute))
		count += len(list)
		return nil
	})
	if err != nil || count != rows || portions != 4 {
		t.Errorf("%d certificates in %d portions: %v", count, portions, err)
	}
	activated := 0
	for _, port := range d.dials {
		if port == "135" {
			activated++
		}
	}
	if activated != 1+4 || strings.Contains(w.log.String(), "another one goes on") {
		t.Errorf("%d objects; log %s", activated, w.log)
	}
}

// TestListByUs: our account, in the forms in which an administrator enters it and
// the database has it.
func TestListByUs(t *testing.T) {
	d := newDouble(t, played.Config{EllipticKeys: true})
	callers := []string{`CORP\svc-ra`, `corp.example\SVC-RA`, `svc-ra@corp.example`, `svc-ra`, `OTHER\svc-ra`, `other.example\svc-ra`, `CORP\svc-ra2`, `CORP\`}
	d.seed(len(callers), func(i int) played.Seed { return played.Seed{Caller: callers[i]} })
	for user, more := range map[string][]int64{`CORP\svc-ra`: nil, `corp.example\svc-ra`: nil, "svc-ra@corp.example": nil, "svc-ra@CORP.EXAMPLE": nil, "svc-ra": {5, 6}} {
		var got []ca.Listed
		for _, l := range newWorld(t, d, map[string]any{"user": user}).list(ca.Listing{}) {
			if l.ByUs {
				got = append(got, l)
			}
		}
		wantNumbers(t, user, got, append([]int64{1, 2, 3, 4}, more...)...)
	}
}

// TestListStops: a caller that has seen enough, and one that has gone away.
func TestListStops(t *testing.T) {
	d := newDouble(t, played.Config{EllipticKeys: true})
	d.seed(1100, func(int) played.Seed { return played.Seed{} })
	w := newWorld(t, d, nil)
	enough := ra.Errorf(ra.Conflict, "enough")
	calls := 0
	err := w.lister.List(t.Context(), ca.Listing{}, func([]ca.Listed) error { calls++; return enough })
	if err != error(enough) || calls != 1 {
		t.Errorf("%v after %d portions", err, calls)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	calls = 0
	err = w.lister.List(ctx, ca.Listing{}, func(list []ca.Listed) error {
		if calls++; calls == 1 {
			cancel()
		}
		return nil
	})
	wantError(t, err, ra.Unreachable)
	if calls > 2 {
		t.Errorf("%d portions after it was given up", calls)
	}
}

// TestListRefused: who may not read the database hears which right it takes, and
// without DCOM there is nothing to call.
func TestListRefused(t *testing.T) {
	d := newDouble(t, played.Config{EllipticKeys: true, Accounts: []played.Account{
		{User: "blind", Password: password, Rights: played.Enroll},
		{User: "officer", Password: password, Rights: played.Officer | played.Enroll},
		{User: "reader", Password: password, Rights: played.Read},
	}})
	d.seedList(played.Seed{}, played.Seed{Hidden: true})
	w := newWorld(t, d, map[string]any{"user": `CORP\blind`})
	_, err := w.tryList(ca.Listing{})
	wantError(t, err, ra.RefusedByCA, "Read", "Issue and Manage Certificates")
	_, err = w.lister.Issuers(t.Context())
	wantError(t, err, ra.RefusedByCA, "Read")
	for _, user := range []string{"officer", "reader"} {
		w := newWorld(t, d, map[string]any{"user": `CORP\` + user})
		if list := w.list(ca.Listing{}); len(list) != 2 || len(list[0].DER) == 0 {
			t.Errorf("%s: %d certificates", user, len(list))
		}
	}
	without := newWorld(t, d, map[string]any{"protocols": []string{"rpc"}})
	if without.lister != nil || slices.Contains(ca.Abilities(without.Connector), ca.CanList) {
		t.Error("without DCOM there is a Lister")
	}
	if !slices.Contains(ca.Abilities(w.lister), ca.CanList) {
		t.Error("with DCOM there is none")
	}
}

// TestListOtherCA: the certificates of a CA that is not the one that is set.
func TestListOtherCA(t *testing.T) {
	d, other := newDouble(t, played.Config{}), newDouble(t, played.Config{})
	w := newWorld(t, other, map[string]any{"ca_certificates": d.settings(nil)["ca_certificates"]})
	_, err := w.lister.Issuers(t.Context())
	wantError(t, err, ra.RefusedByCA, "CA's certificate")
}

// TestListMany: a database that is large is read at some thousand certificates a
// second, and never all at once.
func TestListMany(t *testing.T) {
	d := newDouble(t, played.Config{EllipticKeys: true})
	const rows = 20000
	began := time.Now()
	d.seed(rows, func(i int) played.Seed {
		return played.Seed{Template: "WebServer", Attributes: fmt.Sprintf("CertificateTemplate:WebServer\nChanceryRequest:req_%d", i)}
	})
	t.Logf("%d certificates made in %v", rows, time.Since(began))
	w := newWorld(t, d, nil)
	began = time.Now()
	var before, during runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var most uint64
	var last int64
	count, largest := 0, 0
	err := w.lister.List(t.Context(), ca.Listing{}, func(list []ca.Listed) error {
		largest = max(largest, len(list))
		for _, l := range list {
			if l.Number != last+1 || len(l.DER) == 0 || l.Template != "WebServer" || l.Request != ra.RequestID(fmt.Sprintf("req_%d", last)) {
				return fmt.Errorf("%+v behind %d", l, last)
			}
			last = l.Number
		}
		if count += len(list); count%5000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&during)
			most = max(most, during.HeapAlloc)
		}
		return nil
	})
	took := time.Since(began)
	if err != nil || count != rows || largest > 1000 {
		t.Errorf("%d certificates, %d at once: %v", count, largest, err)
	}
	t.Logf("%d certificates in %v: %.0f a second; the heap grew by %d KiB", count, took, float64(count)/took.Seconds(), int64(most-before.HeapAlloc)>>10)
	if most > before.HeapAlloc+20<<20 {
		t.Errorf("the heap grew from %d to %d octets", before.HeapAlloc, most)
	}
}

var _ ca.Lister = (*adcs.Lister)(nil)
