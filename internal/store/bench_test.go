package store

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"chancery/internal/ra"
	"chancery/internal/testpeer"
)

// BenchmarkWrite is 32 callers that each change a row and append to the audit
// log, as an enrolment does; and one alone.
func BenchmarkWrite(b *testing.B) {
	for _, engine := range []string{"sqlite", "postgres"} {
		for _, callers := range []int{1, 32} {
			b.Run(fmt.Sprintf("%s/%d", engine, callers), func(b *testing.B) {
				address := "sqlite:" + filepath.Join(b.TempDir(), "bench.db")
				if engine == "postgres" {
					address = testpeer.Postgres(b)
				}
				db := openAt(b, address)
				var next atomic.Int64
				before := db.commits.Load()
				b.SetParallelism(callers)
				work := func() {
					n := int(next.Add(1))
					err := db.Write(b.Context(), func(tx *Tx) error {
						if _, err := tx.Fact("test.none"); ra.KindOf(err) != ra.NotFound {
							return err
						}
						return noteFact(tx, n)
					})
					if err != nil {
						b.Error(err)
					}
				}
				b.ResetTimer()
				if callers == 1 {
					for range b.N {
						work()
					}
				} else {
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							work()
						}
					})
				}
				b.ReportMetric(float64(db.commits.Load()-before)/float64(b.N), "commits/op")
			})
		}
	}
}
