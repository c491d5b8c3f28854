package console

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"chancery/internal/ra"
	"chancery/internal/store"
)

// endless is a form of any length.
type endless struct {
	start string
	taken int
}

func (e *endless) Read(p []byte) (int, error) {
	if e.taken > 96<<20 {
		return 0, io.EOF // it was taken to be of any length
	}
	n := copy(p, e.start)
	e.start = e.start[n:]
	for i := n; i < len(p); i++ {
		p[i] = 'x'
	}
	e.taken += len(p)
	return len(p), nil
}

// TestEveryFormIsBounded sends every action a form without an end, signed in
// and not: it is cut off.
func TestEveryFormIsBounded(t *testing.T) {
	w := newWorld(t)
	w.fill()
	const slack = 12 << 20 // what the system holds between the two
	large := 0
	for _, b := range []*visitor{w.visit(w.owner), w.visit(nil)} {
		for _, r := range routes {
			method, path := w.addressOf(r)
			if method != http.MethodPost || r.pattern == "POST /sign-out" {
				continue
			}
			body := &endless{start: "name="}
			request, err := http.NewRequest(http.MethodPost, w.url+path, io.NopCloser(body))
			must(t, err)
			request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			request.Header.Set("Sec-Fetch-Site", "same-origin")
			answer, err := b.client.Do(request)
			if err == nil {
				if answer.Body.Close(); answer.StatusCode == http.StatusRequestEntityTooLarge {
					large++
				}
			}
			most := maxForm
			if r.upload {
				most = maxUpload
			}
			if body.taken > most+slack {
				t.Errorf("%s: %d bytes were taken", r.pattern, body.taken)
			}
		}
	}
	if large < 30 {
		t.Errorf("only %d actions said that it is too large", large)
	}
	if strings.Contains(w.log.String(), "panic") {
		t.Error(w.log)
	}
}

// TestForwardedIsNotBelieved: whatever address a header claims, guesses from one
// connection's address become too many, and the record has that address.
func TestForwardedIsNotBelieved(t *testing.T) {
	w := newWorld(t)
	last := 0
	for i := range 30 {
		// A password first, for the record; guesses of links cost less.
		path, form := "/sign-in/link", fmt.Sprintf("t=guess-%d", i)
		if i == 0 {
			path, form = "/sign-in", "name=admin&password=wrong"
		}
		request, err := http.NewRequest(http.MethodPost, w.url+path, strings.NewReader(form))
		must(t, err)
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Sec-Fetch-Site", "same-origin")
		claimed := fmt.Sprintf("203.0.113.%d", i)
		for _, name := range []string{"X-Forwarded-For", "X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "X-Client-Ip", "X-Cluster-Client-Ip"} {
			request.Header.Set(name, claimed)
		}
		request.Header.Set("Forwarded", "for="+claimed)
		last = w.visit(nil).do(request).status
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("the thirtieth guess is answered %d, want 429", last)
	}
	var entries []*ra.AuditEntry
	must(t, w.c.DB.Read(context.Background(), func(tx *store.Tx) (err error) {
		entries, _, err = tx.Audit(store.AuditFilter{Code: "admin.sign_in_refused"})
		return err
	}))
	for _, e := range entries {
		if !strings.HasPrefix(e.Actor.Remote, "127.") && e.Actor.Remote != "::1" {
			t.Errorf("the record believes a header: %q", e.Actor.Remote)
		}
	}
	if len(entries) != 1 || strings.Contains(w.log.String(), "203.0.113.") {
		t.Errorf("%d refusals are on record; log: %s", len(entries), w.log)
	}
}
