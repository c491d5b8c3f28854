package load

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

func TestRun(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		seen[string(body)]++
		mu.Unlock()
		if string(body) == "3" {
			w.WriteHeader(http.StatusConflict)
		}
		if string(body) == "4" {
			w.Header().Set("Connection", "close") // the client has to open another
		}
		io.WriteString(w, strings.Repeat("chunked ", 1000))
	}))
	defer server.Close()
	host := server.Listener.Addr().String()
	const calls = 40
	requests := make([][]byte, calls)
	for i := range requests {
		requests[i] = Request("POST", host, "/", []byte{byte('0' + i)}, "X-Bench", "yes")
	}
	result, err := Run(Plan{Clients: 4, Calls: calls, Dial: func() (net.Conn, error) { return net.Dial("tcp", host) },
		Call: func(c *Conn, i int) error {
			status, body, err := c.Do(requests[i])
			if err == nil && (status != http.StatusOK || len(body) != 8000) {
				err = errors.New("not as it should be")
			}
			return err
		}})
	if err != nil {
		t.Fatal(err)
	}
	if result.Calls != calls-1 || result.Failed != 1 || result.Err == nil {
		t.Errorf("%d calls succeeded and %d failed (%v), want %d and 1", result.Calls, result.Failed, result.Err, calls-1)
	}
	if len(seen) != calls {
		t.Errorf("the server saw %d different calls, want %d", len(seen), calls)
	}
	for body, n := range seen {
		if n != 1 {
			t.Errorf("call %q was made %d times", body, n)
		}
	}
	if result.Rate() <= 0 || result.Percentile(0.99) < result.Percentile(0.5) {
		t.Errorf("rate %v, p50 %v, p99 %v", result.Rate(), result.Percentile(0.5), result.Percentile(0.99))
	}
}

func TestRunWithoutServer(t *testing.T) {
	refused := errors.New("refused")
	if _, err := Run(Plan{Clients: 1, Calls: 1, Dial: func() (net.Conn, error) { return nil, refused }}); !errors.Is(err, refused) {
		t.Errorf("got %v, want %v", err, refused)
	}
}
