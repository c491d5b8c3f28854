package egress

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"chancery/internal/ra"
)

func policy(t *testing.T, allow ...string) Policy {
	t.Helper()
	p, err := Parse(allow)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAllows(t *testing.T) {
	usual := policy(t, Default...)
	for address, want := range map[string]bool{
		"8.8.8.8": true, "2a00:1450::1": true, "10.1.2.3": true, "172.16.0.1": true, "172.32.0.1": true, "192.168.1.1": true, "fd12::1": true,
		"127.0.0.1": false, "127.8.9.10": false, "::1": false, "0.0.0.0": false, "::": false, "169.254.169.254": false, "fe80::1": false, "fd00:ec2::254": false, "168.63.129.16": false,
		"100.100.100.200": false, "224.0.0.1": false, "ff02::1": false, "255.255.255.255": false, "192.0.0.192": false,
		"::ffff:127.0.0.1": false, "::ffff:169.254.169.254": false, "::ffff:10.0.0.1": true, "::7f00:1": false, "64:ff9b::7f00:1": false, "2002:7f00:1::": false,
	} {
		if got := usual.Allows(netip.MustParseAddr(address)); got != want {
			t.Errorf("by default, %s: got %v, want %v", address, got, want)
		}
	}
	for _, tc := range []struct {
		allow   []string
		address string
		want    bool
	}{
		{nil, "8.8.8.8", false}, {nil, "10.0.0.1", false},
		{[]string{Public}, "8.8.8.8", true}, {[]string{Public}, "10.0.0.1", false},
		{[]string{Private}, "8.8.8.8", false}, {[]string{Private}, "10.0.0.1", true},
		{[]string{"10.1.0.0/16"}, "10.1.255.255", true}, {[]string{"10.1.0.0/16"}, "10.2.0.0", false},
		{[]string{"10.1.2.3/16"}, "10.1.0.1", true}, {[]string{" 127.0.0.1 "}, "127.0.0.1", true}, {[]string{"127.0.0.1"}, "127.0.0.2", false},
		{[]string{"127.0.0.0/8"}, "::ffff:127.0.0.1", true}, {[]string{"::1"}, "::1", true},
	} {
		if got := policy(t, tc.allow...).Allows(netip.MustParseAddr(tc.address)); got != tc.want {
			t.Errorf("%v, %s: got %v, want %v", tc.allow, tc.address, got, tc.want)
		}
	}
	if usual.Allows(netip.Addr{}) {
		t.Error("no address is allowed")
	}
	for _, bad := range []string{"", "everything", "10.0.0.0/40", "10.0.0", "fe80::1%eth0", "example.org"} {
		if _, err := Parse([]string{bad}); ra.KindOf(err) != ra.Invalid || ra.AsError(err).Remedy == "" {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestDial(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var taken atomic.Int64
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			taken.Add(1)
			c.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	usual := policy(t, Default...)
	for _, host := range []string{"127.0.0.1", "localhost", "::ffff:127.0.0.1"} { // a name is judged by what it resolves to
		_, err := usual.Dial(t.Context(), "tcp", net.JoinHostPort(host, port))
		if e := ra.AsError(err); e.Kind != ra.Denied || !strings.Contains(e.Remedy, "egress_allow") {
			t.Errorf("%s: %v", host, err)
		}
	}
	if taken.Load() != 0 {
		t.Errorf("%d connections were made", taken.Load())
	}
	c, err := policy(t, "127.0.0.1").Dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestRedirects(t *testing.T) {
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	mux := http.NewServeMux()
	mux.Handle("/here", http.RedirectHandler("/there", http.StatusFound))
	mux.HandleFunc("/there", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "there") })
	mux.Handle("/away", http.RedirectHandler(other.URL, http.StatusFound))
	mux.Handle("/loop", http.RedirectHandler("/loop", http.StatusFound))
	mux.HandleFunc("/headers", func(w http.ResponseWriter, r *http.Request) { w.Header().Set("X", strings.Repeat("x", 1<<20)) })
	server := httptest.NewServer(mux)
	defer server.Close()
	mux.Handle("/down", http.RedirectHandler(strings.Replace(server.URL, "http:", "https:", 1)+"/there", http.StatusFound))

	c := Client(policy(t, "127.0.0.1").Dial, 20*time.Second)
	for path, want := range map[string]int{"/here": 200, "/away": 302, "/loop": 302, "/down": 302} {
		r, err := c.Get(server.URL + path)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		r.Body.Close()
		if r.StatusCode != want {
			t.Errorf("%s: got %d, want %d", path, r.StatusCode, want)
		}
	}
	if elsewhere.Load() != 0 {
		t.Error("a redirect led to another host")
	}
	if r, err := c.Get(server.URL + "/headers"); err == nil {
		r.Body.Close()
		t.Error("a megabyte of headers was taken")
	}
	_, err := Client(policy(t, Default...).Dial, 20*time.Second).Get(server.URL)
	if ra.KindOf(err) != ra.Denied {
		t.Errorf("got %v, want Denied", err)
	}
}

// TestNoProxy: a proxy in the environment would connect where the policy says
// no.
func TestNoProxy(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:9")
	asked := ""
	c := Client(func(_ context.Context, _, address string) (net.Conn, error) {
		asked = address
		return nil, io.EOF
	}, time.Second)
	if _, err := c.Get("http://ca.example.org/"); err == nil || asked != "ca.example.org:80" {
		t.Errorf("got %v, asked %q", err, asked)
	}
}
