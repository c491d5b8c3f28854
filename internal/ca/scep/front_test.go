package scep_test

import (
	"bytes"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"chancery/internal/wire/cms"
)

// front stands in front of a real server, keeps what passes, and can lose answers.
type front struct {
	url, to string

	mu      sync.Mutex
	loses   int
	sent    []string // messages, in order
	answers [][]byte
}

func newFront(t *testing.T, to string) *front {
	f := &front{to: to}
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	f.url = s.URL + "/scep"
	return f
}

func (f *front) lose(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.loses = n
}

func (f *front) messages() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.sent...)
}

// granted gives the serial number of the certificate that came with an answer in
// clear, as micromdm/scep sends it.
func (f *front) granted(t *testing.T, i int) string {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	signed, err := cms.ParseSignedData(f.answers[i], cms.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range signed.Certificates {
		if x, err := x509.ParseCertificate(c.Raw); err == nil && !x.IsCA {
			return x.SerialNumber.String()
		}
	}
	t.Fatalf("answer %d came with %d certificates and none of them is a device's", i, len(signed.Certificates))
	return ""
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	out, err := http.NewRequestWithContext(r.Context(), r.Method, f.to+"?"+r.URL.RawQuery, bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	out.Header = r.Header.Clone()
	res, err := http.DefaultClient.Do(out)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if r.URL.Query().Get("operation") == "PKIOperation" {
		f.mu.Lock()
		f.sent, f.answers = append(f.sent, string(body)), append(f.answers, answer)
		lost := f.loses > 0
		if lost {
			f.loses--
		}
		f.mu.Unlock()
		if lost {
			panic(http.ErrAbortHandler)
		}
	}
	w.Header().Set("Content-Type", res.Header.Get("Content-Type"))
	w.WriteHeader(res.StatusCode)
	_, _ = w.Write(answer) // a client that has gone needs none
}
