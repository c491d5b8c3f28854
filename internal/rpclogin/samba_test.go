package rpclogin_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/rpc"
	"chancery/internal/rpclogin"
	"chancery/internal/secret"
	"chancery/internal/testpeer"
	"chancery/internal/wire/msrpc"
	"chancery/internal/wire/ndr"

	"github.com/cloudsoda/go-smb2"
)

const password = "Correct-horse 7"

func TestMain(m *testing.M) { testpeer.Main(m) }

// peer is the domain controller of these tests with what they need to know of it.
type peer struct {
	*testpeer.Samba
	port int
}

var prepare struct {
	sync.Once
	port   int
	keytab []byte
}

// controller gives the one domain controller, in which there are enroller and an
// account that is no host's.
func controller(t *testing.T) peer {
	t.Helper()
	s := testpeer.SharedSamba(t)
	prepare.Do(func() {
		s.AddUser("enroller", password)
		s.AddComputer("elsewhere", password)
		s.AddUser("disabled", password)
		s.Set(s.DN("disabled"), "userAccountControl", "514")
		s.AddUser("expired", password)
		s.Set(s.DN("expired"), "pwdLastSet", "0")
		prepare.keytab = s.Keytab("enroller")
		var err error
		if prepare.port, err = rpc.Map(t.Context(), s.Host, rpc.Options{Dial: s.Dial}, samr); err != nil {
			t.Fatal(err)
		}
	})
	if prepare.port == 0 {
		t.Fatal("the controller was not prepared")
	}
	return peer{s, prepare.port}
}

func (p peer) address() string { return net.JoinHostPort(p.Host, strconv.Itoa(p.port)) }

// kerberos is enroller's login by Kerberos.
func (p peer) kerberos() rpclogin.Login {
	return rpclogin.Login{Scheme: rpclogin.Kerberos, User: "enroller", Password: secret.New(password), Realm: p.Realm, KDCs: []string{p.Host}}
}

// options makes options of a login.
func (p peer) options(t *testing.T, l rpclogin.Login) rpc.Options {
	return p.optionsOf(t, rpclogin.New(l, rpclogin.Way{Dial: p.Dial}))
}

func (p peer) optionsOf(t *testing.T, a *rpclogin.Account) rpc.Options {
	return rpc.Options{Dial: p.Dial,
		Login: func(target string) (rpc.Security, error) { return a.Security(t.Context(), target) },
		SMB:   func(target string) (smb2.Initiator, error) { return a.Initiator(t.Context(), target) },
	}
}

// logins are all the ways to log in.
func (p peer) logins() map[string]rpclogin.Login {
	ntlm := rpclogin.Login{Scheme: rpclogin.NTLM, User: p.NetBIOS + `\enroller`, Password: secret.New(password)}
	negotiated := ntlm
	negotiated.Scheme = rpclogin.Negotiate
	bare := p.kerberos()
	bare.Bare = true
	byKeytab := p.kerberos()
	byKeytab.Keytab, byKeytab.Password = secret.NewBytes(prepare.keytab), secret.Text{}
	choosing := p.kerberos()
	choosing.Scheme = rpclogin.Negotiate
	return map[string]rpclogin.Login{
		"ntlm": ntlm, "ntlm in spnego": negotiated, "kerberos": bare, "kerberos in spnego": p.kerberos(),
		"kerberos by keytab": byKeytab, "kerberos chosen": choosing,
	}
}

// TestOverTCP: by every login, two interfaces, and a request and an answer of many
// fragments; each PDU sealed.
func TestOverTCP(t *testing.T) {
	p := controller(t)
	port, err := rpc.Map(t.Context(), p.Host, rpc.Options{Dial: p.Dial}, drsuapi)
	if err != nil {
		t.Fatal(err)
	}
	for how, login := range p.logins() {
		for _, frag := range []uint16{0, 1432} {
			t.Run(fmt.Sprintf("%s, fragments of %d", how, frag), func(t *testing.T) {
				o := p.options(t, login)
				o.MaxFrag = frag
				conn, err := rpc.Dial(t.Context(), p.address(), o, samr)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				c := called{t, conn}
				server := c.connect()
				if got := c.domains(server); !slices.Equal(got, []string{p.NetBIOS, "BUILTIN"}) {
					t.Errorf("domains %q", got)
				}
				domain := c.domain(server, p.NetBIOS)
				names := many(60)
				if frag == 0 { // nearly half a megabyte
					names = many(1000)
					for i := range names[1:] {
						names[1+i] += strings.Repeat("x", 200)
					}
				}
				found := c.lookUp(domain, names)
				if found[0] != 500 || slices.Max(found[1:]) != 0 {
					t.Errorf("found %d and others up to %d", found[0], slices.Max(found[1:]))
				}

				other, err := rpc.Dial(t.Context(), net.JoinHostPort(p.Host, strconv.Itoa(port)), o, drsuapi)
				if err != nil {
					t.Fatal(err)
				}
				defer other.Close()
				called{t, other}.bindDirectory()
			})
		}
	}
}

// TestOverPipe: the same in a named pipe, with SMB logged in by the same account.
func TestOverPipe(t *testing.T) {
	p := controller(t)
	for how, login := range p.logins() {
		t.Run(how, func(t *testing.T) {
			o := p.options(t, login)
			conn, err := rpc.DialPipe(t.Context(), p.Host, "samr", o, samr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			c := called{t, conn}
			server := c.connect()
			found := c.lookUp(c.domain(server, p.NetBIOS), many(200))
			if found[0] != 500 || slices.Max(found[1:]) != 0 {
				t.Errorf("found %d and others up to %d", found[0], slices.Max(found[1:]))
			}

			other, err := rpc.DialPipe(t.Context(), p.Host, "lsarpc", o, lsarpc)
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			if c := (called{t, other}); !c.hasDomain(p.NetBIOS) {
				t.Error("the policy does not name the domain")
			}
		})
	}
}

// TestNames: an account may be entered in each of its forms.
func TestNames(t *testing.T) {
	p := controller(t)
	for _, scheme := range []rpclogin.Scheme{rpclogin.NTLM, rpclogin.Kerberos} {
		for _, user := range []string{"enroller", p.NetBIOS + `\enroller`, "enroller@" + strings.ToLower(p.Realm), strings.ToLower(p.Realm) + `\Enroller`} {
			t.Run(string(scheme)+" as "+user, func(t *testing.T) {
				login := p.kerberos()
				login.Scheme, login.User, login.Realm = scheme, user, strings.ToLower(p.Realm)
				conn, err := rpc.Dial(t.Context(), p.address(), p.options(t, login), samr)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				called{t, conn}.connect()
			})
		}
	}
}

// TestRefusals: what is wrong with a login is said so that somebody can mend it,
// and without the password.
func TestRefusals(t *testing.T) {
	p := controller(t)
	ntlm := rpclogin.Login{Scheme: rpclogin.NTLM, User: p.NetBIOS + `\enroller`, Password: secret.New(password)}
	with := func(l rpclogin.Login, change func(*rpclogin.Login)) rpclogin.Login { change(&l); return l }
	wrong := func(l *rpclogin.Login) { l.Password = secret.New("Wrong-" + password) }
	later := func() time.Time { return time.Now().Add(time.Hour) }
	for name, c := range map[string]struct {
		login rpclogin.Login
		now   func() time.Time
		kind  ra.Kind
		word  string
	}{
		"ntlm, wrong password":           {login: with(ntlm, wrong), kind: ra.RefusedByCA, word: "refused the"},
		"ntlm in spnego, wrong password": {login: with(ntlm, func(l *rpclogin.Login) { wrong(l); l.Scheme = rpclogin.Negotiate }), kind: ra.RefusedByCA, word: "refused the"},
		"ntlm, unknown user":             {login: with(ntlm, func(l *rpclogin.Login) { l.User = "nobody" }), kind: ra.RefusedByCA, word: "refused the"},
		"ntlm without password":          {login: with(ntlm, func(l *rpclogin.Login) { l.Password = secret.Text{} }), kind: ra.Invalid, word: "password"},
		"kerberos, wrong password":       {login: with(p.kerberos(), wrong), kind: ra.RefusedByCA, word: "password"},
		"negotiate, wrong password":      {login: with(p.kerberos(), func(l *rpclogin.Login) { wrong(l); l.Scheme = rpclogin.Negotiate }), kind: ra.RefusedByCA, word: "password"},
		"kerberos, unknown user":         {login: with(p.kerberos(), func(l *rpclogin.Login) { l.User = "nobody" }), kind: ra.RefusedByCA, word: "user"},
		"kerberos, disabled":             {login: with(p.kerberos(), func(l *rpclogin.Login) { l.User = "disabled" }), kind: ra.RefusedByCA, word: "disabled"},
		"kerberos, expired":              {login: with(p.kerberos(), func(l *rpclogin.Login) { l.User = "expired" }), kind: ra.RefusedByCA, word: "expired"},
		"kerberos, unknown service":      {login: with(p.kerberos(), func(l *rpclogin.Login) { l.SPN = "host/nowhere.corp.example" }), kind: ra.RefusedByCA, word: "host/nowhere.corp.example"},
		"kerberos, another's service":    {login: with(p.kerberos(), func(l *rpclogin.Login) { l.SPN = "host/elsewhere.corp.example" }), kind: ra.RefusedByCA, word: "refused the"},
		"bare, another's service":        {login: with(p.kerberos(), func(l *rpclogin.Login) { l.SPN, l.Bare = "host/elsewhere.corp.example", true }), kind: ra.RefusedByCA, word: "refused the"},
		"kerberos, clock":                {login: p.kerberos(), now: later, kind: ra.RefusedByCA, word: "clock"},
		"bare, clock":                    {login: with(p.kerberos(), func(l *rpclogin.Login) { l.Bare = true }), now: later, kind: ra.RefusedByCA, word: "clock"},
		"kerberos without realm":         {login: with(p.kerberos(), func(l *rpclogin.Login) { l.Realm = "" }), kind: ra.Invalid, word: "realm"},
		"kerberos without secret":        {login: with(p.kerberos(), func(l *rpclogin.Login) { l.Password = secret.Text{} }), kind: ra.Invalid, word: "password"},
		"kerberos without KDC":           {login: with(p.kerberos(), func(l *rpclogin.Login) { l.KDCs = []string{"127.0.0.1:1"} }), kind: ra.Unreachable, word: "KDC"},
		"a scheme that there is not":     {login: with(ntlm, func(l *rpclogin.Login) { l.Scheme = "basic" }), kind: ra.Invalid, word: "basic"},
		"negotiate by keytab without KDC": {login: with(p.kerberos(), func(l *rpclogin.Login) {
			l.Scheme, l.KDCs, l.Keytab, l.Password = rpclogin.Negotiate, []string{"127.0.0.1:1"}, secret.NewBytes(prepare.keytab), secret.Text{}
		}), kind: ra.Unreachable, word: "KDC"},
	} {
		t.Run(name, func(t *testing.T) {
			o := p.optionsOf(t, rpclogin.New(c.login, rpclogin.Way{Dial: p.Dial, Now: c.now}))
			conn, err := rpc.Dial(t.Context(), p.address(), o, samr)
			if err == nil { // a login that the server does not answer shows at the first call
				_, err = conn.Call(t.Context(), samr, nil, opConnect, stub(t, connectStub))
				conn.Close()
			}
			e := ra.AsError(err)
			if err == nil || e.Kind != c.kind || !strings.Contains(e.Message, c.word) || e.Remedy == "" {
				t.Errorf("got %v (%s); want %s with %q", err, e.Kind, c.kind, c.word)
			}
			if strings.Contains(fmt.Sprintf("%v %+v %s", err, err, e.Remedy), password) {
				t.Error("the password shows")
			}
		})
	}
}

// TestFallsBack: Negotiate takes NTLM where Kerberos cannot be had, and says why.
func TestFallsBack(t *testing.T) {
	p := controller(t)
	for name, c := range map[string]struct {
		change func(*rpclogin.Login)
		why    ra.Kind
	}{
		"no KDC":          {func(l *rpclogin.Login) { l.KDCs = []string{"127.0.0.1:1"} }, ra.Unreachable},
		"unknown service": {func(l *rpclogin.Login) { l.SPN = "host/nowhere.corp.example" }, ra.RefusedByCA},
	} {
		t.Run(name, func(t *testing.T) {
			login := p.kerberos()
			login.Scheme = rpclogin.Negotiate
			c.change(&login)
			var why []error
			a := rpclogin.New(login, rpclogin.Way{Dial: p.Dial, FellBack: func(err error) { why = append(why, err) }})
			conn, err := rpc.Dial(t.Context(), p.address(), p.optionsOf(t, a), samr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			called{t, conn}.connect()
			if len(why) != 1 || ra.KindOf(why[0]) != c.why {
				t.Errorf("told %v; want one of %s", why, c.why)
			}
		})
	}
}

// changing is a connection on which one PDU of a type is changed on its way.
type changing struct {
	net.Conn
	out, in byte // types; 0xff: none
}

const header = 24

func (c *changing) Write(b []byte) (int, error) {
	if b[2] == c.out && len(b) > header {
		b = slices.Clone(b)
		b[header] ^= 1
	}
	return c.Conn.Write(b)
}

func (c *changing) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > header && b[2] == c.in {
		b[header] ^= 1
	}
	return n, err
}

// TestTampered: a sealed PDU that was changed does not pass, either way.
func TestTampered(t *testing.T) {
	p := controller(t)
	for how, login := range p.logins() {
		t.Run(how, func(t *testing.T) {
			for _, way := range []struct {
				out, in byte
				kind    ra.Kind
			}{{0, 0xff, ra.RefusedByCA}, {0xff, 2, ra.Unreachable}} {
				o := p.options(t, login)
				o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					c, err := p.Dial(ctx, network, address)
					return &changing{c, way.out, way.in}, err
				}
				conn, err := rpc.Dial(t.Context(), p.address(), o, samr)
				if err != nil {
					t.Fatal(err)
				}
				_, err = conn.Call(t.Context(), samr, nil, opConnect, stub(t, connectStub))
				conn.Close()
				var fault *rpc.Fault
				if ra.KindOf(err) != way.kind || errors.As(err, &fault) != (way.in == 0xff) {
					t.Errorf("changed %v: got %v (%s); want %s", way, err, ra.KindOf(err), way.kind)
				}
				if fault != nil && fault.Status != msrpc.StatusSecurity && fault.Status != msrpc.StatusProtocolError && fault.Status != msrpc.StatusAccessDenied {
					t.Errorf("fault %v", fault)
				}
			}
		})
	}
}

// TestManyAtOnce: one account serves many connections, with one login at the KDC.
func TestManyAtOnce(t *testing.T) {
	p := controller(t)
	var mu sync.Mutex
	asked := 0
	count := func(ctx context.Context, network, address string) (net.Conn, error) {
		mu.Lock()
		asked++
		mu.Unlock()
		return p.Dial(ctx, network, address)
	}
	a := rpclogin.New(p.kerberos(), rpclogin.Way{Dial: count})
	request := stub(t, connectStub)
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			conn, err := rpc.Dial(t.Context(), p.address(), p.optionsOf(t, a), samr)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			answer, err := conn.Call(t.Context(), samr, nil, opConnect, request)
			if d := ndr.NewDecoder(answer); err != nil || len(d.Raw(36)) != 36 || d.Uint32() != 0 {
				t.Errorf("%x, %v", answer, err)
			}
		})
	}
	wait.Wait()
	if asked != 3 { // a login in two messages, and a ticket
		t.Errorf("the KDC was asked %d times; want 3", asked)
	}
}

// TestNegotiationTampered: the server's signature of the negotiation counts.
func TestNegotiationTampered(t *testing.T) {
	p := controller(t)
	for how, login := range p.logins() {
		if !strings.Contains(how, "spnego") {
			continue
		}
		t.Run(how, func(t *testing.T) {
			o := p.options(t, login)
			o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := p.Dial(ctx, network, address)
				return &lastChanged{c}, err
			}
			conn, err := rpc.Dial(t.Context(), p.address(), o, samr)
			if err == nil {
				conn.Close()
			}
			if e := ra.AsError(err); err == nil || e.Kind != ra.Unreachable || !strings.Contains(e.Message, "did not arrive") {
				t.Errorf("got %v; want one about a changed message", err)
			}
		})
	}
}

// lastChanged is a connection on which the last octet of an alter_context_resp,
// which is one of the signature, is changed.
type lastChanged struct{ net.Conn }

func (c *lastChanged) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > header && b[2] == 15 {
		b[n-1] ^= 1
	}
	return n, err
}
