package lifecycle_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/testpeer"
)

var (
	benchRevoked = flag.Int("revoked", 100_000, "revoked certificates in benchmarks")
	benchValid   = flag.Int("valid", 20_000, "valid certificates in benchmarks")
)

// full is a world whose inner authority has issued and revoked a lot.
type full struct {
	*world
	issuer *x509.Certificate
	hash   string
	valid  []*ra.Certificate
	next   int
}

func fill(b *testing.B, address string) *full {
	b.Helper()
	f := &full{world: newWorld(b, address)}
	f.clock.ms.Store(time.Now().UnixMilli())
	f.template(f.inner, onDevice())
	f.issuer = must(f.authorities.Chain(b.Context(), f.inner))(b)[0]
	f.hash = hashOf(f.issuer)
	f.rows(*benchValid, ra.Valid)
	f.rows(*benchRevoked, ra.Revoked)
	return f
}

// rows stores certificates of about the usual size that nobody has signed.
func (f *full) rows(n int, state ra.CertificateState) {
	f.t.Helper()
	for done := 0; done < n; {
		err := f.db.Write(f.t.Context(), func(tx *store.Tx) error {
			for range min(2000, n-done) {
				var random [700]byte
				if _, err := rand.Read(random[:]); err != nil {
					return err
				}
				serial := new(big.Int).SetBytes(random[:16])
				c := &ra.Certificate{ID: ra.NewID[ra.CertificateID](ra.CertificatePrefix, tx.Now), GroupID: f.acme.ID, AuthorityID: f.inner, IssuerHash: f.hash,
					Serial: serial.Text(16), Subject: "CN=" + hex.EncodeToString(random[:8]), KeyType: "p-256", KeyPlace: ra.KeyOnDevice, DER: random[:],
					Fingerprint: hex.EncodeToString(random[16:48]), SPKIHash: hex.EncodeToString(random[48:80]), NotBefore: tx.Now, NotAfter: tx.Now.Add(365 * day), State: state}
				if state == ra.Revoked {
					c.RevokedAt, c.Reason = tx.Now, ra.KeyCompromise
				} else {
					c.Obligation = ra.Obligation{Action: ra.ActionExpire, At: c.NotAfter, Deadline: c.NotAfter.Add(day)}
					if len(f.valid) < 20_000 {
						f.valid = append(f.valid, c)
					}
				}
				if err := tx.CreateCertificate(c); err != nil {
					return err
				}
				done++
			}
			return nil
		})
		if err != nil {
			f.t.Fatal(err)
		}
	}
}

// revokeNext revokes a certificate that is valid still.
func (f *full) revokeNext() *ra.Certificate {
	f.t.Helper()
	if f.next == len(f.valid) {
		f.t.Fatal("no certificate is left to revoke: use a larger -valid")
	}
	c := f.valid[f.next]
	f.next++
	must(f.Revoke(f.t.Context(), f.owner, c.ID, ra.KeyCompromise, ""))(f.t)
	return c
}

func (f *full) request(c *ra.Certificate) []byte {
	f.t.Helper()
	serial, _ := new(big.Int).SetString(c.Serial, 16)
	return must(ocsp.CreateRequest(&x509.Certificate{SerialNumber: serial}, f.issuer, nil))(f.t)
}

// cpu is the time this process has spent on the processor.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkRevocation measures what a hundred thousand revoked certificates
// cost: the next list after a revocation for several numbers of lists, a
// revocation, and OCSP answers. CPU is that of this process: server and clients,
// without PostgreSQL's own.
func BenchmarkRevocation(b *testing.B) {
	for engine, address := range map[string]func() string{"sqlite": func() string { return "sqlite:" + filepath.Join(b.TempDir(), "bench.db") }, "postgres": func() string { return testpeer.Postgres(b) }} {
		b.Run(engine, func(b *testing.B) {
			f := fill(b, address())
			for _, n := range ca.ShardCounts {
				b.Run(fmt.Sprintf("crl/lists=%d", n), func(b *testing.B) { f.benchCRL(b, n) })
			}
			b.Run("revoke", f.benchRevoke)
			b.Run("ocsp/kept", func(b *testing.B) { f.benchOCSP(b, 100) })
			b.Run("ocsp/signed", func(b *testing.B) { f.benchOCSP(b, 0) })
			b.Run("ocsp/http", f.benchHTTP)
		})
	}
}

func (f *full) benchCRL(b *testing.B, n int) {
	must(f.authorities.Update(b.Context(), f.owner, f.inner, authority.Input{Settings: fmt.Appendf(nil, `{"crl_shards": %d}`, n)}))(b)
	size := 0
	var spent time.Duration
	for b.Loop() {
		b.StopTimer()
		c := f.revokeNext()
		serial, _ := new(big.Int).SetString(c.Serial, 16)
		name := f.hash
		if shard := ca.ShardOf(serial, n); n > 1 {
			name += "-" + shard.Name()
		}
		before := cpu()
		b.StartTimer()
		size = len(must(f.CRL(b.Context(), name))(b).DER)
		spent += cpu() - before
	}
	b.ReportMetric(float64(spent.Milliseconds())/float64(b.N), "cpu-ms/op")
	b.ReportMetric(float64(size), "bytes")
}

func (f *full) benchRevoke(b *testing.B) {
	var took []time.Duration
	before := cpu()
	for b.Loop() {
		began := time.Now()
		f.revokeNext()
		took = append(took, time.Since(began))
	}
	b.ReportMetric(float64((cpu()-before).Microseconds())/float64(len(took)), "cpu-µs/op")
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

// benchOCSP answers from 32 goroutines about so many certificates, or about a
// new one each time.
func (f *full) benchOCSP(b *testing.B, certs int) {
	fresh := certs == 0
	if fresh {
		certs = len(f.valid)
	}
	requests := make([][]byte, certs)
	for i := range requests {
		requests[i] = f.request(f.valid[i])
		if !fresh {
			f.OCSP(b.Context(), requests[i])
		}
	}
	f.clock.Advance(time.Hour * 24 * time.Duration(b.N%7)) // what an earlier run left is too old
	before := cpu()
	var n atomic.Int64
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if a := f.OCSP(context.Background(), requests[int(n.Add(1))%certs]); len(a.DER) < 100 {
				b.Errorf("answer %x", a.DER)
			}
		}
	})
	b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N), "cpu-µs/op")
}

func (f *full) benchHTTP(b *testing.B) {
	base := f.serve()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	requests := make([][]byte, 1000)
	for i := range requests {
		requests[i] = f.request(f.valid[i])
		f.OCSP(b.Context(), requests[i])
	}
	var next atomic.Int64
	before, began := cpu(), time.Now()
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				resp, err := client.Post(base+"/ocsp", "application/ocsp-request", bytes.NewReader(requests[int(i)%len(requests)]))
				if err != nil {
					b.Error(err)
					return
				}
				if n, err := io.Copy(io.Discard, resp.Body); err != nil || n < 100 {
					b.Errorf("%d bytes, %v", n, err)
				}
				resp.Body.Close()
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N), "cpu-µs/op")
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "answers/s")
}
