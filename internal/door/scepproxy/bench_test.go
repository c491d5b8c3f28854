package scepproxy_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"chancery/internal/ca"
	"chancery/internal/pass"
	"chancery/internal/ra"
	"chancery/internal/wire/scepmsg"
)

// BenchmarkPKIOperation is one first message of a pass, to a server that takes no
// time, on SQLite and without the network: what the door does between device and
// server, the token check and the answer durable. Its time is that of several
// messages at once, who share their commits.
func BenchmarkPKIOperation(b *testing.B) {
	w := one(b)
	w.door.Log = slog.New(slog.DiscardHandler)
	w.passes.Log = w.door.Log
	w.server.Set(func(s *passServer) { s.Life, s.Clear = 0, false })
	type sent struct {
		url     string
		message []byte
		answer  []byte
	}
	all := make([]sent, b.N)
	device := w.client()
	answers := map[string][]byte{} // by transaction
	for i := range all {
		d := w.device()
		p, err := w.passes.Create(b.Context(), admin, pass.CreateInput{Template: w.template.ID, Device: d.ID, Model: ra.PassProxy})
		if err != nil {
			b.Fatal(err)
		}
		v := must(w.passes.Parameters(b.Context(), admin, p.ID))(b)
		device.Sent = nil
		all[i] = sent{url: v.URL, message: device.Message(nil)}
		answers[device.Sent.TransactionID] = w.server.Fail(all[i].message)
		all[i].answer = answers[device.Sent.TransactionID]
	}
	var at sync.Map // of message to answer, before the server is asked
	for _, s := range all {
		at.Store(string(s.message), s.answer)
	}
	w.behave(func(_ context.Context, m []byte) (ca.Forwarded, error, bool) {
		answer, _ := at.Load(string(m))
		return ca.Forwarded{Status: 200, Media: scepmsg.MediaMessage, Body: answer.([]byte)}, nil, true
	})
	var next atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(16)
	b.ResetTimer()
	began := cpu()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s := all[next.Add(1)-1]
			r := httptest.NewRequest(http.MethodPost, s.url+"?operation=PKIOperation", bytes.NewReader(s.message))
			rec := httptest.NewRecorder()
			w.door.ServeHTTP(rec, r)
			if rec.Code != http.StatusOK || !bytes.Equal(rec.Body.Bytes(), s.answer) {
				b.Errorf("HTTP %d: %s", rec.Code, rec.Body)
			}
		}
	})
	b.ReportMetric(float64((cpu()-began).Microseconds())/float64(b.N), "cpu-us/op")
}

// cpu is the processor time this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
