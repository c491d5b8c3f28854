package adcs_test

import (
	"fmt"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"chancery/internal/ca"
	played "chancery/internal/doubles/adcs"
	"chancery/internal/ra"
	"chancery/internal/testpeer"
)

// TestDissected: another implementation of the protocols reads a certificate's life
// of ours, unsealed with the password: over DCOM and over ICertPassage, from the
// first question to the revocation. It finds nothing malformed, and what is in it is
// what was meant.
func TestDissected(t *testing.T) {
	d := newDouble(t, played.Config{})
	w := newWorld(t, d, nil)
	var r testpeer.Recorder
	w.env.Dial = r.Dial(d.dial)
	w.reopen()
	if _, steps := w.check(); steps["requests by dcom"].State != ca.StepOK || steps["requests by rpc"].State != ca.StepOK {
		t.Fatalf("%+v", steps)
	}
	leaf := w.issue(w.request("dissected", "WebServer")).Chain[0]
	if err := w.Revoke(t.Context(), ca.Revocation{Certificate: leaf, Reason: ra.KeyCompromise, At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.CRL(t.Context()); err != nil {
		t.Fatal(err)
	}
	lost := w.request("found", "WebServer")
	w.lose(lost)
	if _, found, err := w.Find(t.Context(), lost); !found || err != nil {
		t.Fatalf("found %v, %v", found, err)
	}
	_, port, _ := net.SplitHostPort(d.ServerAddress())
	text := r.Dissect(t, "-o", "ntlmssp.nt_password:"+password, "-d", "tcp.port==135,dcerpc", "-d", "tcp.port=="+port+",dcerpc")
	for _, bad := range []string{"Malformed", "Expert Info (Error", "Packet type: Fault"} {
		if i := strings.Index(text, bad); i >= 0 {
			t.Errorf("tshark says: %s", text[max(0, i-500):min(len(text), i+200)])
		}
	}
	sealed := strings.Count(text, "Encrypted stub data: ")
	opened := len(regexp.MustCompile(`Encrypted stub data: [^\n]+\n    (Decrypted|Complete) stub data`).FindAllString(text, -1))
	if sealed < 40 || opened != sealed {
		t.Errorf("of %d sealed PDUs tshark opens %d", sealed, opened)
	}
	// Each call on an object of the CA begins with an ORPCTHIS of version 5.7, and
	// carries what was meant; tshark has no dissector for the rest of it.
	const object = `(?s)    Opnum: %d\n    Object UUID: [^\n]+\n    [^\n]*\n    Encrypted stub data: [^\n]+\n    Decrypted stub data: 05000700`
	for name, opnum := range map[string]int{"Request": 3, "RevokeCertificate": 10, "OpenView": 14, "CloseView": 16, "PublishCRLs": 31, "EnumViewColumnTable": 35, "GetMyRoles": 47} {
		if !regexp.MustCompile(fmt.Sprintf(object, opnum)).MatchString(text) {
			t.Errorf("tshark does not read %s", name)
		}
	}
	for _, want := range []string{
		"Operation: Map (3)", "UUID: 91ae6020-9e3c-11cf-8d7c-00aa00c091be",
		"Operation: RemoteCreateInstance (4)", "InterfaceIds: d99e6e70-fc88-11d0-b498-00a0c90312f3", "InterfaceIds: 7fe0d935-dda6-443f-85d0-1cfb58fe41dd", "Operation: RemRelease (5)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("tshark does not say %q", want)
		}
	}
}
