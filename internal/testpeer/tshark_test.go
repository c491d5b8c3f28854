package testpeer

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestRecorder: what went both ways is dissected, across more than one segment,
// each connection by itself.
func TestRecorder(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		w.Header().Set("X-Path", r.URL.Path)
		io.WriteString(w, strings.Repeat("answer ", int(n)))
	}))
	t.Cleanup(s.Close)
	var r Recorder
	c := &http.Client{Transport: &http.Transport{DialContext: r.Dial(new(net.Dialer).DialContext), DisableKeepAlives: true}}
	for _, path := range []string{"/one", "/two"} {
		res, err := c.Post(s.URL+path, "text/plain", strings.NewReader(strings.Repeat("request ", 10000)))
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	text := r.Dissect(t, "-d", "tcp.port=="+port+",http")
	for _, want := range []string{"Src Port: 40001", "Src Port: 40002", "POST /one HTTP/1.1", `X-Path: /two\r\n`, "File Data: 80000 bytes", "File Data: 560000 bytes"} {
		if !strings.Contains(text, want) {
			t.Errorf("tshark does not say %q", want)
		}
	}
	if strings.Contains(text, "Malformed") {
		t.Error("tshark calls something malformed")
	}
}
