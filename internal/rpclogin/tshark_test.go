package rpclogin_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"chancery/internal/rpc"
	"chancery/internal/testpeer"
)

// TestDissected: another implementation of the protocols finds nothing malformed
// in our connections, and given the keys it reads what is sealed in them.
func TestDissected(t *testing.T) {
	p := controller(t)
	keys := filepath.Join(t.TempDir(), "keytab")
	if err := os.WriteFile(keys, p.Keytab("DC$"), 0o600); err != nil {
		t.Fatal(err)
	}
	logins := p.logins()
	for _, how := range []string{"ntlm", "ntlm in spnego", "kerberos", "kerberos in spnego"} {
		t.Run(how, func(t *testing.T) {
			var r testpeer.Recorder
			o := p.options(t, logins[how])
			o.Dial, o.MaxFrag = r.Dial(p.Dial), 2000
			if _, err := rpc.Map(t.Context(), p.Host, o, samr); err != nil {
				t.Fatal(err)
			}
			conn, err := rpc.Dial(t.Context(), p.address(), o, samr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			c := called{t, conn}
			c.lookUp(c.domain(c.connect(), p.NetBIOS), many(60))

			want := []string{`Endpoint Mapper, Map`, `Auth level: Packet privacy \(6\)`, `Auth type: (NTLMSSP|SPNEGO|Kerberos)`}
			sealed := []string{`Operation: Connect5 \(64\)`, `Operation: LookupNames \(17\)`, `nobody-of-that-name-0001`}
			options := []string{"-d", "tcp.port==135,dcerpc", "-K", keys, "-o", "kerberos.decrypt:TRUE"}
			switch how {
			case "ntlm":
				options, want = append(options, "-o", "ntlmssp.nt_password:"+password), append(want, sealed...)
			case "ntlm in spnego": // tshark loses the key stream to the signature in the negotiation
			default:
				want = append(want, sealed...)
			}
			text := r.Dissect(t, options...)
			for _, bad := range []string{"Malformed", "Expert Info (Error"} {
				if i := strings.Index(text, bad); i >= 0 {
					t.Errorf("tshark says: %s", text[max(0, i-500):min(len(text), i+200)])
				}
			}
			for _, want := range want {
				if !regexp.MustCompile(want).MatchString(text) {
					t.Errorf("tshark does not say %q", want)
				}
			}
		})
	}
}
