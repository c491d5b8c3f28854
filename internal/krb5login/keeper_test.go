package krb5login_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"chancery/internal/krb5login"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/testpeer"

	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

const password = "Correct-horse 7"

func TestMain(m *testing.M) { testpeer.Main(m) }

var kdcLine = regexp.MustCompile(`\n\s+kdc = (\S+)`)

// realm is a KDC with two services, its questions counted.
type realm struct {
	*testpeer.KDC
	login krb5login.Login
	mu    sync.Mutex
	asked int
	down  bool
}

func start(t *testing.T) *realm {
	t.Helper()
	k := testpeer.StartKDC(t)
	k.AddUser("enroller", password)
	k.AddService("host/ca1.corp.example")
	k.AddService("cifs/ca1.corp.example")
	return &realm{KDC: k, login: krb5login.Login{User: "enroller", Password: secret.New(password), Realm: k.Realm, KDCs: kdcLine.FindStringSubmatch(k.Config())[1:]}}
}

func (r *realm) dial(ctx context.Context, network, address string) (net.Conn, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down {
		return nil, errors.New("the line is cut")
	}
	r.asked++
	return new(net.Dialer).DialContext(ctx, network, address)
}

// questions gives how many there were since it was asked last.
func (r *realm) questions() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.asked
	r.asked = 0
	return n
}

// What a login and a ticket take; this KDC wants no pre-authentication.
const (
	forLogin  = 1
	forTicket = 1
)

// TestKeeper: one login serves all tickets, and a ticket all its uses, until time
// or doubt is against it.
func TestKeeper(t *testing.T) {
	r := start(t)
	now := time.Now()
	k := krb5login.Keep(r.login, r.dial, func() time.Time { return now })
	get := func(service string, want int) {
		t.Helper()
		ticket, err := k.Ticket(t.Context(), service)
		if err != nil {
			t.Fatal(err)
		}
		if name := ticket.Ticket.SName.PrincipalNameString(); name != service || ticket.Client.PrincipalNameString() != "enroller" || ticket.Realm != r.Realm {
			t.Errorf("a ticket for %s of %s", name, ticket.Client.PrincipalNameString())
		}
		if got := r.questions(); got != want {
			t.Errorf("%s: %d questions; want %d", service, got, want)
		}
	}
	const host, cifs = "host/ca1.corp.example", "cifs/ca1.corp.example"
	get(host, forLogin+forTicket)
	get(host, 0)
	get(cifs, forTicket)
	k.Works(host)
	now = now.Add(time.Hour)
	get(host, 0)         // works
	get(cifs, forTicket) // nobody said that it works
	now = now.Add(10 * time.Second)
	get(host, 0) // in use
	now = now.Add(time.Minute)
	get(host, forTicket) // in use for too long
	if _, err := k.Ticket(t.Context(), "host/nowhere"); !errors.Is(err, krb5login.UnknownService) || ra.KindOf(err) != ra.RefusedByCA || !strings.Contains(ra.AsError(err).Message, "host/nowhere") {
		t.Errorf("unknown service: %v", err)
	}
	if n := r.questions(); n != forTicket {
		t.Errorf("%d questions about an unknown service; want %d", n, forTicket)
	}
	r.down = true
	get(host, 0)
	if _, err := k.Ticket(t.Context(), "cifs/elsewhere"); ra.KindOf(err) != ra.Unreachable {
		t.Errorf("without a line: %v", err)
	}
	if _, err := r.login.Ticket(t.Context(), r.dial, host); ra.KindOf(err) != ra.Unreachable {
		t.Errorf("without a line, at once: %v", err)
	}
	r.down = false
	k.Works(host)
	k.Works("host/elsewhere")
	now = now.Add(8*time.Hour + 56*time.Minute)
	get(host, forLogin+forTicket) // near its end
}

// TestForgottenLogin: a KDC that no longer knows its own tickets is logged in to
// again.
func TestForgottenLogin(t *testing.T) {
	first, second := start(t), start(t)
	current := first
	k := krb5login.Keep(first.login, func(ctx context.Context, network, _ string) (net.Conn, error) {
		return current.dial(ctx, network, current.login.KDCs[0])
	}, time.Now)
	if _, err := k.Ticket(t.Context(), "host/ca1.corp.example"); err != nil {
		t.Fatal(err)
	}
	current = second
	if _, err := k.Ticket(t.Context(), "cifs/ca1.corp.example"); err != nil {
		t.Fatal(err)
	}
	if n := second.questions(); n != forTicket+forLogin+forTicket {
		t.Errorf("%d questions; want %d", n, forTicket+forLogin+forTicket)
	}
}

// TestTogether: who comes while the KDC is asked waits, and may stop waiting.
func TestTogether(t *testing.T) {
	r := start(t)
	entered, release := make(chan struct{}, 10), make(chan struct{})
	k := krb5login.Keep(r.login, func(ctx context.Context, network, address string) (net.Conn, error) {
		entered <- struct{}{}
		<-release
		return r.dial(ctx, network, address)
	}, time.Now)
	var wait sync.WaitGroup
	ask := func() {
		if _, err := k.Ticket(t.Context(), "host/ca1.corp.example"); err != nil {
			t.Error(err)
		}
	}
	wait.Go(ask)
	<-entered
	for range 5 {
		wait.Go(ask)
	}
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := k.Ticket(impatient, "host/ca1.corp.example"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v; want the context's error", err)
	}
	close(release)
	wait.Wait()
	if n := r.questions(); n != forLogin+forTicket {
		t.Errorf("%d questions; want %d", n, forLogin+forTicket)
	}
}

// TestLacking: what cannot be tried is said before anybody is asked.
func TestLacking(t *testing.T) {
	whole := krb5login.Login{User: `CORP\enroller`, Password: secret.New(password), Realm: "corp.example", KDCs: []string{"127.0.0.1:1"}}
	for name, change := range map[string]func(*krb5login.Login){
		"realm":    func(l *krb5login.Login) { l.Realm = "" },
		"user":     func(l *krb5login.Login) { l.User = `CORP\` },
		"password": func(l *krb5login.Login) { l.Password = secret.Text{} },
		"keytab":   func(l *krb5login.Login) { l.Keytab = secret.NewBytes([]byte("x")) },
	} {
		l := whole
		change(&l)
		_, err := l.Ticket(t.Context(), func(context.Context, string, string) (net.Conn, error) {
			t.Error("somebody is asked")
			return nil, errors.New("no")
		}, "host/ca1")
		if e := ra.AsError(err); e.Kind != ra.Invalid || !strings.Contains(e.Message, name) || e.Remedy == "" || strings.Contains(fmt.Sprint(err), password) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRefusals: each thing a KDC says no to has its words and a remedy.
func TestRefusals(t *testing.T) {
	for code, word := range map[int32]string{
		errorcode.KDC_ERR_C_PRINCIPAL_UNKNOWN: "user", errorcode.KDC_ERR_CLIENT_REVOKED: "disabled", errorcode.KDC_ERR_KEY_EXPIRED: "expired",
		errorcode.KDC_ERR_ETYPE_NOSUPP: "AES", errorcode.KRB_AP_ERR_SKEW: "clock", errorcode.KDC_ERR_NEVER_VALID: "clock", errorcode.KDC_ERR_S_PRINCIPAL_UNKNOWN: "host/ca1",
		errorcode.KDC_ERR_POLICY: "failed",
	} {
		no := messages.NewKRBError(types.NewPrincipalName(2, "krbtgt/CORP.EXAMPLE"), "CORP.EXAMPLE", code, "")
		b, err := no.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				head := make([]byte, 4)
				_, _ = io.ReadFull(c, head)
				_, _ = io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(head)))
				_, _ = c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
				_ = c.Close()
			}
		}()
		login := krb5login.Login{User: "enroller", Password: secret.New(password), Realm: "CORP.EXAMPLE", KDCs: []string{l.Addr().String()}}
		_, err = login.Ticket(t.Context(), new(net.Dialer).DialContext, "host/ca1")
		if e := ra.AsError(err); e.Kind != ra.RefusedByCA || !strings.Contains(e.Message, word) || e.Remedy == "" || strings.Contains(fmt.Sprint(err), password) {
			t.Errorf("code %d: got %v; want %q", code, err, word)
		}
	}
}
