package scep_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"chancery/internal/wire/scepmsg"
)

// FuzzDoor sends anything to the whole door: every answer is a reply or a
// client's error, none is a failure of ours, and nothing is ever issued.
func FuzzDoor(f *testing.F) {
	w := newWorld(f, "sqlite:"+filepath.Join(f.TempDir(), "fuzz.db"), "p-256")
	e := w.endpoint("door", w.template(nil), nil)
	d := w.device()
	c := w.client(f, e, d, ecKey(f))
	for _, kind := range []scepmsg.MessageType{scepmsg.PKCSReq, scepmsg.RenewalReq} {
		r := c.request(f)
		r.Type = kind
		f.Add("operation=PKIOperation", must(r.Build())(f).Message)
	}
	captures, err := filepath.Glob("../../wire/scepmsg/testdata/*.der")
	if err != nil || len(captures) == 0 {
		f.Fatal("no captures", err)
	}
	for _, file := range captures {
		f.Add("operation=PKIOperation", must(os.ReadFile(file))(f))
	}
	f.Add("operation=GetCACaps&message=0", []byte(nil))
	f.Add("OPERATION=pkioperation&message="+scepmsg.EncodeQuery([]byte{0x30, 0x80}), []byte(nil))
	f.Add("operation=%gg&;=\x00", []byte("0"))
	var runs atomic.Uint32
	f.Fuzz(func(t *testing.T, query string, body []byte) {
		here := *w
		here.t = t
		method := http.MethodPost
		if len(body) == 0 {
			method = http.MethodGet
		}
		r := httptest.NewRequest(method, "/scep/door/pkiclient.exe", bytes.NewReader(body))
		n := runs.Add(1) // an address of its own, so that none is told to stop
		r.RemoteAddr = fmt.Sprintf("10.%d.%d.%d:4000", n>>16&255, n>>8&255, n&255)
		r.URL = &url.URL{Path: "/scep/door/pkiclient.exe", RawQuery: query}
		answer := httptest.NewRecorder()
		w.door.ServeHTTP(answer, r)
		switch answer.Code {
		case 200, 400, 413, 414, 429:
		default:
			t.Errorf("answered %d: %s", answer.Code, answer.Body)
		}
		if n := len(here.requests(d)); n != 0 {
			t.Fatalf("there are %d requests", n)
		}
	})
}
