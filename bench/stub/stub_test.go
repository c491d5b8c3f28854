package stub

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"chancery/bench/load"
	"chancery/bench/machine"
	"chancery/bench/scepload"
)

// TestServer enrols two devices at the stub; the answers are made before, and
// open and verify as those of a real server.
func TestServer(t *testing.T) {
	s, err := New()
	if err != nil {
		t.Fatal(err)
	}
	address, err := machine.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	devices, err := scepload.Devices("stub", 2)
	if err != nil {
		t.Fatal(err)
	}
	// Asked for its certificates first, and then with messages: it must not
	// serve while it learns.
	stop, err := s.Serve(address)
	if err != nil {
		t.Fatal(err)
	}
	batch, err := scepload.Prepare("http://"+address+Path, devices, func(int) string { return "challenge" })
	if err := errors.Join(err, stop()); err != nil {
		t.Fatal(err)
	}
	if err := batch.Each(s.Learn); err != nil {
		t.Fatal(err)
	}
	if stop, err = s.Serve(address); err != nil {
		t.Fatal(err)
	}
	defer stop()
	sender := batch.Through(func(i int) string { return Path + "/of/" + url.PathEscape(devices[i].Name) }).Sender(address, 0, 2, 1)
	result, err := load.Run(load.Plan{Clients: 2, Calls: 2, Dial: func() (net.Conn, error) { return net.Dial("tcp", address) }, Call: sender.Call})
	if err != nil || result.Failed > 0 {
		t.Fatalf("%d calls failed: %v %v", result.Failed, err, result.Err)
	}
	if n, err := sender.Verify(); n != 2 || err != nil {
		t.Errorf("%d answers verified: %v", n, err)
	}
	c := load.NewConn(func() (net.Conn, error) { return net.Dial("tcp", address) })
	defer c.Close()
	status, _, err := c.Do(load.Request(http.MethodPost, address, Path+"?operation=PKIOperation", []byte("a message nobody made")))
	if err != nil || status != http.StatusNotFound {
		t.Errorf("a foreign message is answered with %d, %v", status, err)
	}
}

func TestTransaction(t *testing.T) {
	with := func(tail ...byte) []byte { return slices.Concat([]byte{0x30, 0x80}, transactionAttribute, tail) }
	for _, test := range []struct {
		name    string
		message []byte
		want    string
	}{
		{"text", with(5, 0x13, 3, 'a', 'b', 'c', 0x30), "abc"},
		{"at the very end", with(3, 0x13, 1, 'a'), "a"},
		{"cut off", with(5, 0x13, 3, 'a', 'b'), ""},
		{"no length", with(5), ""},
		{"lengths that differ", with(6, 0x13, 3, 'a', 'b', 'c'), ""},
		{"a long form", with(0x81, 0x13, 0x81, 0x80), ""},
		{"none", bytes.Repeat([]byte{6}, 40), ""},
		{"empty", nil, ""},
	} {
		if got := transaction(test.message); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}
