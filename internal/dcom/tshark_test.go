package dcom_test

import (
	"net"
	"strings"
	"testing"

	"chancery/internal/dcom"
	"chancery/internal/doubles/adcs"
	"chancery/internal/testpeer"
)

// TestDissected: another implementation of DCOM reads a session of ours, unsealed
// with the password, from the activation to the release, and finds nothing
// malformed in it.
func TestDissected(t *testing.T) {
	f := newOffice(t, adcs.Config{})
	var r testpeer.Recorder
	f.o.RPC.Dial = r.Dial(f.o.RPC.Dial)
	if _, err := dcom.Alive(t.Context(), f.o); err != nil {
		t.Fatal(err)
	}
	o := f.object(t)
	f.pings(t, o, "the first call")
	if err := o.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	options := []string{"-o", "ntlmssp.nt_password:correct horse"}
	for _, address := range []string{f.MapperAddress(), f.ServerAddress()} {
		_, port, _ := net.SplitHostPort(address)
		options = append(options, "-d", "tcp.port=="+port+",dcerpc")
	}
	text := r.Dissect(t, options...)
	for _, bad := range []string{"Malformed", "Expert Info (Error"} {
		if i := strings.Index(text, bad); i >= 0 {
			t.Errorf("tshark says: %s", text[max(0, i-500):min(len(text), i+200)])
		}
	}
	for _, want := range []string{
		"Operation: ServerAlive2 (5)",
		"Operation: RemoteCreateInstance (4)",
		"InstantiationInfo", "ActivationContextInfo", "LocationInfo", "ScmRequestInfo",
		"ScmReplyInfo", "PropertiesOut", "DCOM, ORPCThis", "DCOM, ORPCThat",
		"Operation: RemRelease (5)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("tshark does not say %q", want)
		}
	}
}
