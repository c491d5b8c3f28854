package catest

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/wire/pkixmsg"
)

// list finds what was issued in the authority's own records, and what became of it.
func list(t *testing.T, w *World) {
	lister, ok := w.Connector.(ca.Lister)
	if !ok {
		return
	}
	before := w.Env.Now()
	first, second := w.issue(w.request("req_list", pkixmsg.P256)), w.issue(w.request("req_list_too", pkixmsg.P256))
	issuers, err := lister.Issuers(t.Context())
	if err != nil || len(issuers) == 0 || first.Chain[0].CheckSignatureFrom(issuers[0]) != nil {
		t.Fatalf("the first of %d issuers did not sign what is issued: %v", len(issuers), err)
	}
	a, b := w.find(lister, ca.Listing{}, first.Chain[0].Raw), w.find(lister, ca.Listing{}, second.Chain[0].Raw)
	if a == nil || b == nil {
		t.Fatal("what was issued is not in the authority's records")
	}
	if a.Number >= b.Number {
		t.Errorf("numbers %d and then %d", a.Number, b.Number)
	}
	if a.State != ra.Valid || !a.RevokedAt.IsZero() || !a.ByUs || a.Request != "req_list" {
		t.Errorf("listed as %+v", a)
	}
	for name, c := range map[string]struct {
		from ca.Listing
		in   bool
	}{
		"before its number":      {ca.Listing{After: a.Number - 1}, true},
		"behind its number":      {ca.Listing{After: a.Number}, false},
		"changed since":          {ca.Listing{Changed: before.Add(-time.Minute)}, true},
		"to be changed tomorrow": {ca.Listing{Changed: before.Add(24 * time.Hour)}, false},
		"ends later":             {ca.Listing{EndsAfter: first.Chain[0].NotAfter.Add(-time.Second)}, true},
		"ends then":              {ca.Listing{EndsAfter: first.Chain[0].NotAfter}, false},
	} {
		if got := w.find(lister, c.from, first.Chain[0].Raw) != nil; got != c.in {
			t.Errorf("%s: listed %v, want %v", name, got, c.in)
		}
	}
	enough := errors.New("enough")
	if err := lister.List(t.Context(), ca.Listing{}, func([]ca.Listed) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("the caller's error is not given back: %v", err)
	}
	revoker, ok := w.Connector.(ca.Revoker)
	if !ok || !slices.Contains(revoker.Reasons(), ra.KeyCompromise) {
		return
	}
	if err := revoker.Revoke(t.Context(), ca.Revocation{Certificate: first.Chain[0], Handle: first.Handle, Reason: ra.KeyCompromise, At: w.Env.Now()}); err != nil {
		t.Fatalf("Revoke: %v", err)
	}
	a = w.find(lister, ca.Listing{Changed: before.Add(-time.Minute)}, first.Chain[0].Raw)
	if a == nil || a.State != ra.Revoked || a.Reason != ra.KeyCompromise || a.RevokedAt.Before(before.Add(-time.Hour)) {
		t.Errorf("after its revocation: %+v", a)
	}
}

// find gives what a listing says of one certificate; nil when it is not there. It
// asks that numbers rise.
func (w *World) find(l ca.Lister, from ca.Listing, der []byte) (found *ca.Listed) {
	w.T.Helper()
	last := from.After
	err := l.List(w.T.Context(), from, func(list []ca.Listed) error {
		for i, x := range list {
			if x.Number <= last {
				w.T.Errorf("number %d behind %d", x.Number, last)
			}
			if last = x.Number; bytes.Equal(x.DER, der) {
				found = &list[i]
			}
		}
		return nil
	})
	if err != nil {
		w.T.Fatalf("List: %v", err)
	}
	return found
}
