package ndes

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"

	"github.com/jcmturner/gokrb5/v8/credentials"
	"github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/service"
	"github.com/jcmturner/gokrb5/v8/spnego"
	"github.com/jcmturner/gokrb5/v8/types"
)

// Scheme is a way to log on to the challenge page.
type Scheme string

// The schemes. Negotiate takes Kerberos, and NTLM with and without the wrapping
// of SPNEGO.
const (
	Basic     Scheme = "Basic"
	NTLM      Scheme = "NTLM"
	Negotiate Scheme = "Negotiate"
)

// Account is somebody who may log on.
type Account struct {
	User     string // as in the directory: no domain
	Password string // of Basic and NTLM; Kerberos asks the KDC
	NoEnroll bool   // lacks the right to enroll for the templates
}

var (
	errLogon = errors.New("ndes: logon failed")
	oidNTLM  = []int{1, 3, 6, 1, 4, 1, 311, 2, 2, 10}
)

// logOn tells who asks; nobody, and 401 has been answered. NTLM holds for the
// connection, the others for one request.
func (s *Server) logOn(w http.ResponseWriter, r *http.Request) (*Account, bool) {
	if s.cfg.Anonymous {
		return &Account{}, true
	}
	l, _ := r.Context().Value(lineKey{}).(*line)
	if l == nil {
		l = &line{} // a connection we know nothing of: NTLM cannot get to its end
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	header := r.Header.Get("Authorization")
	if header == "" {
		if l.account != nil {
			return l.account, true
		}
		s.unauthorized(w, "", nil)
		return nil, false
	}
	l.account = nil
	name, data, _ := strings.Cut(header, " ")
	for _, scheme := range s.cfg.Schemes {
		if !strings.EqualFold(name, string(scheme)) {
			continue
		}
		token, err := base64.StdEncoding.DecodeString(strings.TrimSpace(data))
		if err != nil {
			break
		}
		account, reply, err := s.tryScheme(scheme, token, l, r)
		if err == nil && account == nil {
			s.unauthorized(w, scheme, reply)
			return nil, false
		}
		if err != nil {
			break
		}
		if reply != nil {
			w.Header().Set("WWW-Authenticate", string(scheme)+" "+base64.StdEncoding.EncodeToString(reply))
		}
		return account, true
	}
	l.exchange = nil
	s.mu.Lock()
	s.counts.Refused++
	s.mu.Unlock()
	s.unauthorized(w, "", nil)
	return nil, false
}

// tryScheme takes one token. No account and no error means that reply goes back
// and the client has to say more.
func (s *Server) tryScheme(scheme Scheme, token []byte, l *line, r *http.Request) (account *Account, reply []byte, err error) {
	switch {
	case scheme == Basic:
		user, password, _ := strings.Cut(string(token), ":")
		domain, name, ok := strings.Cut(user, `\`)
		if !ok {
			domain, name = "", user
		}
		account := s.find(name, domain)
		if account == nil || subtle.ConstantTimeCompare([]byte(account.Password), []byte(password)) != 1 {
			return nil, nil, errLogon
		}
		return account, nil, nil
	case strings.HasPrefix(string(token), ntlmSignature):
		return s.tryNTLM(token, l)
	case scheme == Negotiate:
		return s.trySPNEGO(token, l, r)
	}
	return nil, nil, errLogon
}

// tryNTLM takes an NTLM message. A challenge is answered once.
func (s *Server) tryNTLM(token []byte, l *line) (*Account, []byte, error) {
	x := l.exchange
	l.exchange = nil
	if ntlmKind(token, 1, 16) == nil {
		x, err := s.newExchange(token)
		if err != nil {
			return nil, nil, err
		}
		l.exchange = x
		return nil, x.challenge, nil
	}
	if x == nil {
		return nil, nil, errNTLMOrder
	}
	account, err := x.finish(token, s.find)
	if err != nil {
		return nil, nil, err
	}
	l.account = account
	return account, nil, nil
}

// trySPNEGO takes Kerberos, and NTLM where the client prefers it or we have no
// key for Kerberos. gokrb5 compares tickets with the machine's clock, not with
// ours, and makes no AP-REP, so that the client does not get to know us.
func (s *Server) trySPNEGO(token []byte, l *line, r *http.Request) (account *Account, reply []byte, err error) {
	defer func() {
		if recover() != nil { // of a broken token, in the library
			account, reply, err = nil, nil, errLogon
		}
	}()
	var t spnego.SPNEGOToken
	if err := t.Unmarshal(token); err != nil {
		return nil, nil, err
	}
	if t.Resp {
		account, inner, err := s.tryNTLM(t.NegTokenResp.ResponseToken, l)
		if err != nil {
			return nil, nil, err
		}
		return account, negTokenResp(account != nil, oidNTLM, inner), nil
	}
	for i, mech := range t.NegTokenInit.MechTypes {
		switch {
		case (mech.Equal(gssapi.OIDKRB5.OID()) || mech.Equal(gssapi.OIDMSLegacyKRB5.OID())) && s.cfg.Keytab != nil && i == 0:
			account, err := s.tryKerberos(&t, r)
			if err != nil {
				return nil, nil, err
			}
			return account, negTokenResp(true, mech, nil), nil
		case mech.Equal(oidNTLM) && i == 0:
			account, inner, err := s.tryNTLM(t.NegTokenInit.MechTokenBytes, l)
			if err != nil {
				return nil, nil, err
			}
			return account, negTokenResp(account != nil, mech, inner), nil
		case mech.Equal(oidNTLM):
			return nil, negTokenResp(false, mech, nil), nil // the client has to begin with it
		}
	}
	return nil, nil, errLogon
}

func (s *Server) tryKerberos(t *spnego.SPNEGOToken, r *http.Request) (*Account, error) {
	options := []func(*service.Settings){service.DecodePAC(false)}
	if address, err := types.GetHostAddress(r.RemoteAddr); err == nil {
		options = append(options, service.ClientAddress(address))
	}
	ok, ctx, status := spnego.SPNEGOService(s.cfg.Keytab, options...).AcceptSecContext(t)
	if !ok || status.Code != gssapi.StatusComplete {
		return nil, errLogon
	}
	const key = "github.com/jcmturner/gokrb5/v8/ctxCredentials" // the library's; it has no name for it
	who, ok := ctx.Value(key).(*credentials.Credentials)
	if !ok {
		return nil, errLogon
	}
	if account := s.find(who.UserName(), ""); account != nil {
		return account, nil
	}
	return &Account{User: who.UserName(), NoEnroll: true}, nil // a domain user like any other
}

// negTokenResp is SPNEGO's answer: accept-completed or accept-incomplete.
func negTokenResp(done bool, mech []int, inner []byte) []byte {
	t := spnego.NegTokenResp{NegState: 1, SupportedMech: mech, ResponseToken: inner}
	if done {
		t.NegState = 0
	}
	b, err := t.Marshal()
	if err != nil {
		return nil
	}
	return b
}

// find looks an account up by the names a client sent: user, DOMAIN\user or
// user@dns.domain.
func (s *Server) find(user, domain string) *Account {
	if name, at, ok := strings.Cut(user, "@"); ok && domain == "" {
		user, domain = name, at
	}
	if domain != "" && !strings.EqualFold(domain, s.cfg.Domain) && !strings.EqualFold(domain, s.cfg.DNSDomain) {
		return nil
	}
	for i := range s.cfg.Accounts {
		if strings.EqualFold(s.cfg.Accounts[i].User, user) {
			return &s.cfg.Accounts[i]
		}
	}
	return nil
}

// unauthorized answers 401: with a scheme's next token, or with all schemes.
func (s *Server) unauthorized(w http.ResponseWriter, scheme Scheme, token []byte) {
	h := w.Header()
	if token != nil {
		h.Set("WWW-Authenticate", string(scheme)+" "+base64.StdEncoding.EncodeToString(token))
	} else {
		for _, offered := range s.cfg.Schemes {
			value := string(offered)
			if offered == Basic {
				value += ` realm="` + s.cfg.Host + `"`
			}
			h.Add("WWW-Authenticate", value)
		}
	}
	errorPage(http.StatusUnauthorized, "401").send(w)
}
