package scepproxy_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"chancery/internal/wire/scepmsg"
)

// FuzzDoor sends anything as path, query and body. The door never panics, never
// says more than a sentence, and passes nothing on that is not signed.
func FuzzDoor(f *testing.F) {
	w := one(f)
	c := w.client()
	message := c.Message(nil)
	f.Add("", "operation=GetCACaps", []byte{}, false)
	f.Add("/pkiclient.exe", "operation=PKIOperation", message[:len(message)-1], true)
	f.Add("//", "operation=PKIOperation&message="+scepmsg.EncodeQuery(message[:200]), []byte{}, false)
	f.Add("/", "operation=GetCACert&message=%zz", []byte{0x30, 0x80}, true)
	f.Fuzz(func(t *testing.T, end, query string, body []byte, post bool) {
		if bytes.Equal(body, message) || strings.Contains(query, scepmsg.EncodeQuery(message)) {
			return
		}
		r := httptest.NewRequest(http.MethodGet, "/scep-proxy/x", bytes.NewReader(body))
		if post {
			r.Method = http.MethodPost
		}
		r.URL.Path, r.URL.RawQuery = strings.TrimPrefix(c.url, w.url)+end, query
		rec := httptest.NewRecorder()
		w.door.ServeHTTP(rec, r)
		if rec.Code != http.StatusOK && rec.Body.Len() > 150 {
			t.Errorf("HTTP %d says %q", rec.Code, rec.Body)
		}
		if n := w.asked(scepmsg.OpPKIOperation); n != 0 {
			t.Errorf("the server was asked %d times", n)
		}
	})
}
