package caimport_test

import (
	"fmt"
	"testing"
	"time"

	"chancery/internal/ca"
	"chancery/internal/caimport"
	"chancery/internal/ra"
)

// TestMany: many certificates come in, none is lost, and reading them again adds
// none. It logs at what rate.
func TestMany(t *testing.T) {
	n := 2000
	w := newWorld(t, "sqlite:"+t.TempDir()+"/db", false)
	w.device("host-7", "uid-7", w.acme, "")
	w.fill(n)
	w.setUp(nil)
	for _, known := range []int{0, n} {
		began := time.Now()
		run := w.imported(caimport.Order{Full: true})
		took := time.Since(began)
		t.Logf("%d read, %d added in %s: %.0f a second", run.Read, run.Added, took, float64(run.Read)/took.Seconds())
		if run.Read != n || run.Known != known || run.Added != n-known || known == 0 && run.Matched != 1 {
			t.Errorf("%+v", run)
		}
	}
	if got := w.count(); got != int64(n) {
		t.Errorf("%d in the inventory", got)
	}
}

// fill enters certificates of machines.
func (w *world) fill(n int) {
	for i := range n {
		w.book.Enter(ca.Listed{DER: w.cert(fmt.Sprintf("host-%d.corp.example", i), nil), Requester: fmt.Sprintf(`CORP\host-%d$`, i), Template: "Machine"})
	}
}

// BenchmarkImport takes over a certificate of a database of 20,000.
func BenchmarkImport(b *testing.B) {
	const n = 20_000
	for b.Loop() {
		b.StopTimer()
		w := newWorld(b, "sqlite:"+b.TempDir()+"/db", false)
		w.fill(n)
		w.setUp(nil)
		b.StartTimer()
		began := time.Now()
		if run := w.imported(caimport.Order{}); run.State != ra.ImportDone || run.Added != n {
			b.Fatalf("%+v", run)
		}
		b.ReportMetric(n/time.Since(began).Seconds(), "certificates/s")
	}
}
