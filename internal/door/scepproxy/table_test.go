package scepproxy

import (
	"net/http"
	"testing"

	"chancery/internal/pass"
	"chancery/internal/ra"
)

// TestTables: every reason and every kind of error has an HTTP status, and a
// sentence for devices.
func TestTables(t *testing.T) {
	check := func(what string, v verdict, ok bool) {
		t.Helper()
		if !ok || v.status < http.StatusBadRequest || v.status > 599 || v.text == "" {
			t.Errorf("%s: %+v", what, v)
		}
	}
	for _, r := range pass.Reasons {
		v, ok := verdicts[r]
		check(string(r), v, ok)
	}
	if len(verdicts) != len(pass.Reasons) {
		t.Errorf("%d reasons, %d in the table", len(pass.Reasons), len(verdicts))
	}
	for _, k := range ra.Kinds {
		v, ok := kinds[k]
		check(string(k), v, ok)
	}
}

// TestMemoryIsBounded: however many keys come, the memory does not grow without
// end.
func TestMemoryIsBounded(t *testing.T) {
	var m memory[int]
	for i := range 3 * maxMemory {
		m.put(string(rune(i%0xd000))+string(rune(i/0xd000)), i)
		if len(m.by) > maxMemory {
			t.Fatalf("%d things are remembered", len(m.by))
		}
	}
	for address, want := range map[string]string{"192.0.2.7": "192.0.2.7", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "?": "?"} {
		if got := network(address); got != want {
			t.Errorf("%s is of %s, want %s", address, got, want)
		}
	}
}
