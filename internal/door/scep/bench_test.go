package scep_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"chancery/internal/wire/cms"
	"chancery/internal/wire/scepmsg"
)

// BenchmarkPKCSReq is one enrolment with a one-time challenge on SQLite, without
// the network: what the door does with a message that was never seen before. The
// devices have EC keys, which are quickly made; RSA ones cost the server the
// same but for the encryption of its answer.
func BenchmarkPKCSReq(b *testing.B) {
	for _, keyType := range []string{"p-256", "rsa-2048"} {
		b.Run(keyType, func(b *testing.B) {
			w := newWorld(b, "sqlite:"+filepath.Join(b.TempDir(), "chancery.db"), keyType)
			e := w.endpoint("bench", w.template(nil), nil)
			messages := make([]*scepmsg.Sent, b.N+1) // the first opens the authority
			for i := range messages {
				d := w.device()
				c := w.client(b, e, d, ecKey(b))
				c.challenge = w.challenge(e, d)
				messages[i] = must(c.request(b).Build())(b)
			}
			send := func(m *scepmsg.Sent) {
				r := httptest.NewRequest(http.MethodPost, "/scep/bench?operation=PKIOperation", bytes.NewReader(m.Message))
				answer := httptest.NewRecorder()
				w.door.ServeHTTP(answer, r)
				reply, err := scepmsg.Parse(answer.Body.Bytes(), scepmsg.Options{Limits: cms.Limits{}})
				if err != nil || reply.Status != scepmsg.Success {
					b.Fatalf("answered %d: %v", answer.Code, err)
				}
			}
			send(messages[0])
			b.ReportAllocs()
			b.ResetTimer()
			for _, m := range messages[1:] {
				send(m)
			}
		})
	}
}
