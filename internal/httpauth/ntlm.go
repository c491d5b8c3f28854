package httpauth

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"

	"chancery/internal/ra"
	"chancery/internal/secret"

	"github.com/Azure/go-ntlmssp"
)

func basicHeader(user string, password secret.Text) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password.Reveal()))
}

// ntlm makes the two legs of NTLM (MS-NTHT §3.1), on the exchange's one
// connection. A server that offers Negotiate only takes the same messages there.
func (x *exchange) ntlm(offers []string) (*http.Response, error) {
	scheme := "NTLM"
	if !slices.Contains(offers, "ntlm") {
		scheme = "Negotiate"
	}
	negotiate, err := ntlmssp.NewNegotiateMessage("", "")
	if err != nil {
		return nil, early(ra.AsError(err))
	}
	res, err := x.send(scheme + " " + base64.StdEncoding.EncodeToString(negotiate))
	if err != nil {
		return nil, early(err) // a type 1 message logs nobody in
	}
	if res.StatusCode != http.StatusUnauthorized {
		return res, nil
	}
	challenge, ok := token(res.Header, scheme)
	if !ok {
		return res, nil // the server wants no NTLM after all
	}
	discard(res)
	answer, err := ntlmssp.NewAuthenticateMessage(challenge, x.t.Login.User, x.t.Login.Password.Reveal(), nil)
	if err != nil {
		return nil, early(ra.Errorf(ra.RefusedByCA, "The server's side of NTLM cannot be answered.").
			WithRemedy("NTLMv2 is needed; allow it on the server, or log in by Kerberos.").WithCause(err))
	}
	return x.send(scheme + " " + base64.StdEncoding.EncodeToString(answer))
}

// token gives what a server said in a scheme.
func token(h http.Header, scheme string) ([]byte, bool) {
	for _, v := range h.Values("WWW-Authenticate") {
		name, text, _ := strings.Cut(strings.TrimSpace(v), " ")
		if !strings.EqualFold(name, scheme) || len(text) > 64<<10 {
			continue
		}
		if b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text)); err == nil && len(b) > 0 {
			return b, true
		}
	}
	return nil, false
}
