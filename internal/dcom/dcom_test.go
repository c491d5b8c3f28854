package dcom_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"chancery/internal/dcom"
	"chancery/internal/doubles/adcs"
	"chancery/internal/ra"
	"chancery/internal/rpc"
	"chancery/internal/rpclogin"
	"chancery/internal/secret"
	"chancery/internal/wire/adcsmsg"
	"chancery/internal/wire/msrpc"
	"chancery/internal/wire/ndr"
)

// clock is the client's own; the authority's goes by itself.
type clock struct {
	sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.Lock()
	defer c.Unlock()
	return c.at
}

func (c *clock) forward(d time.Duration) {
	c.Lock()
	defer c.Unlock()
	c.at = c.at.Add(d)
}

// office is an authority and a client of it.
type office struct {
	*adcs.CA
	clock
	o dcom.Options
}

func newOffice(t *testing.T, cfg adcs.Config) *office {
	t.Helper()
	cfg.Accounts = []adcs.Account{{User: "svc-ra", Password: "correct horse"}, {User: "nobody", Password: "correct horse", NoDCOM: true}}
	f := &office{CA: adcs.Start(t, cfg), clock: clock{at: time.Now()}}
	f.o = f.as("svc-ra", rpclogin.NTLM)
	return f
}

// as gives options to log in with.
func (f *office) as(user string, scheme rpclogin.Scheme) dcom.Options {
	host, port, _ := net.SplitHostPort(f.MapperAddress())
	n, _ := strconv.Atoi(port)
	direct := func(ctx context.Context, network, address string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	account := rpclogin.New(rpclogin.Login{Scheme: scheme, User: `CORP\` + user, Password: secret.New("correct horse")}, rpclogin.Way{Dial: direct})
	return dcom.Options{Host: host, Now: f.now, RPC: rpc.Options{
		Dial: direct, MapperPort: n, Target: "ca1.corp.example",
		Login: func(target string) (rpc.Security, error) { return account.Security(context.Background(), target) },
	}}
}

func (f *office) object(t *testing.T) *dcom.Object {
	o := dcom.New(f.o, adcsmsg.ClassRequest, adcsmsg.CertRequestD, adcsmsg.CertRequestD2)
	t.Cleanup(func() { o.Close(context.Background()) })
	return o
}

// authority is the stub of Ping: the name of the authority.
func (f *office) authority(t *testing.T) []byte {
	t.Helper()
	var e ndr.Encoder
	name := f.Name()
	e.UniqueString(&name)
	b, err := e.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// ping calls ICertRequestD::Ping and gives its HRESULT.
func (f *office) ping(t *testing.T, o *dcom.Object) (uint32, error) {
	t.Helper()
	out, err := o.Call(t.Context(), adcsmsg.CertRequestD, adcsmsg.OpPing, f.authority(t))
	if err != nil {
		return 0, err
	}
	if len(out) != 4 {
		t.Fatalf("%x", out)
	}
	return binary.LittleEndian.Uint32(out), nil
}

func (f *office) pings(t *testing.T, o *dcom.Object, when string) {
	t.Helper()
	if hresult, err := f.ping(t, o); err != nil || hresult != 0 {
		t.Errorf("%s: 0x%08X, %v", when, hresult, err)
	}
}

func (f *office) objects(t *testing.T, want int, when string) {
	t.Helper()
	if got := f.Objects(); got != want {
		t.Errorf("%s: %d objects at the server, want %d", when, got, want)
	}
}

func notSent(err error) bool {
	var e *rpc.NotSent
	return errors.As(err, &e)
}

// One object serves calls of both interfaces over one connection, whatever the
// size of fragments, until it is given back.
func TestCall(t *testing.T) {
	for name, c := range map[string]struct {
		most   int
		scheme rpclogin.Scheme
	}{"NTLM": {0, rpclogin.NTLM}, "small fragments": {160, rpclogin.NTLM}, "in SPNEGO": {0, rpclogin.Negotiate}} {
		t.Run(name, func(t *testing.T) {
			f := newOffice(t, adcs.Config{MaxFrag: c.most})
			f.o = f.as("svc-ra", c.scheme)
			o := f.object(t)
			f.objects(t, 0, "before the first call")
			f.pings(t, o, "the first call")
			var e ndr.Encoder
			e.Uint32(0) // the signing certificate
			name := f.Name()
			e.UniqueString(&name)
			stub, err := e.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			out, err := o.Call(t.Context(), adcsmsg.CertRequestD, adcsmsg.OpGetCACert, stub)
			if err != nil || !bytes.Contains(out, f.Certificate().Raw) || binary.LittleEndian.Uint32(out[len(out)-4:]) != 0 {
				t.Errorf("the certificate: %x, %v", out, err)
			}
			if out, err := o.Call(t.Context(), adcsmsg.CertRequestD2, 9, f.authority(t)); err != nil || !bytes.Equal(out, make([]byte, 4)) {
				t.Errorf("the other interface: %x, %v", out, err)
			}
			f.objects(t, 1, "after the calls")
			if n := len(f.Logons()); n != 2 {
				t.Errorf("%d logons", n)
			}
			if err := o.Close(t.Context()); err != nil {
				t.Errorf("%v", err)
			}
			f.objects(t, 0, "given back")
			if err := o.Close(t.Context()); err != nil {
				t.Errorf("given back twice: %v", err)
			}
			if err := o.Open(t.Context()); err != nil {
				t.Errorf("opened again: %v", err)
			}
			f.objects(t, 1, "opened again")
			if err := o.Open(t.Context()); err != nil {
				t.Errorf("opened twice: %v", err)
			}
			f.objects(t, 1, "opened twice")
			f.pings(t, o, "opened again")
		})
	}
}

// An object that the server has forgotten is made again, once.
func TestForgotten(t *testing.T) {
	f := newOffice(t, adcs.Config{})
	o := f.object(t)
	f.pings(t, o, "the first call")
	f.ExpireObjects()
	f.pings(t, o, "after it expired")
	f.objects(t, 1, "after it expired")
	for _, act := range []adcs.Act{adcs.RPCFault(0x80010108), adcs.RPCFault(0x80010113), adcs.Result(0x80010108)} {
		f.SetFault(adcs.Fault{At: adcs.Ping, Act: act})
		f.pings(t, o, "once more")
	}
	f.SetFault(adcs.Fault{At: adcs.Ping, Act: adcs.RPCFault(0x80010114), Times: 2})
	var fault *rpc.Fault
	if _, err := f.ping(t, o); !errors.As(err, &fault) || fault.Status != 0x80010114 {
		t.Errorf("forgotten twice: %v", err)
	}
	f.pings(t, o, "afterwards")
	f.SetFault(adcs.Fault{At: adcs.Ping, Act: adcs.RPCFault(0x6f7)})
	if _, err := f.ping(t, o); !errors.As(err, &fault) || fault.Status != 0x6f7 {
		t.Errorf("another fault: %v", err)
	}
	f.SetFault(adcs.Fault{At: adcs.Ping, Act: adcs.Result(0x80070057)})
	if hresult, err := f.ping(t, o); err != nil || hresult != 0x80070057 {
		t.Errorf("another HRESULT: %08x, %v", hresult, err)
	}
}

// An object does not grow old: it is given back and made again.
func TestAge(t *testing.T) {
	f := newOffice(t, adcs.Config{})
	o := f.object(t)
	f.pings(t, o, "the first call")
	before := len(f.Logons())
	f.forward(4 * time.Minute)
	f.pings(t, o, "after four minutes")
	if n := len(f.Logons()); n != before {
		t.Errorf("%d logons more", n-before)
	}
	f.forward(time.Second)
	f.pings(t, o, "later")
	if n := len(f.Logons()); n != before+2 {
		t.Errorf("%d logons more", n-before)
	}
	f.objects(t, 1, "later")
}

// A line that breaks leaves the outcome open; the next call goes over a new one.
func TestBrokenLine(t *testing.T) {
	f := newOffice(t, adcs.Config{})
	o := f.object(t)
	for _, act := range []adcs.Act{adcs.CutBefore, adcs.CutAfter, adcs.HalfPDU, adcs.WrongCallID} {
		f.pings(t, o, "before")
		f.SetFault(adcs.Fault{At: adcs.Ping, Act: act})
		if _, err := f.ping(t, o); ra.KindOf(err) != ra.Unreachable || notSent(err) {
			t.Errorf("%+v: %v", act, err)
		}
		f.pings(t, o, "after")
	}
	f.SetFault(adcs.Fault{At: adcs.Ping, Act: adcs.Hang})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := o.Call(ctx, adcsmsg.CertRequestD, adcsmsg.OpPing, f.authority(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("a server that hangs: %v", err)
	}
	if _, err := o.Call(ctx, adcsmsg.CertRequestD, adcsmsg.OpPing, f.authority(t)); !errors.Is(err, context.Canceled) || !notSent(err) {
		t.Errorf("a context that has ended: %v", err)
	}
	f.pings(t, o, "in the end")
}

// Whatever goes wrong before the call says that the call was not sent.
func TestNotActivated(t *testing.T) {
	f := newOffice(t, adcs.Config{})
	var (
		refused *dcom.Refused
		lacking *dcom.NoInterface
	)
	o := dcom.New(f.as("nobody", rpclogin.NTLM), adcsmsg.ClassRequest, adcsmsg.CertRequestD)
	if _, err := f.ping(t, o); !errors.As(err, &refused) || refused.HRESULT != 0x80070005 || !notSent(err) || ra.KindOf(err) != ra.RefusedByCA {
		t.Errorf("an account without the right: %v", err)
	}
	o = dcom.New(f.as("stranger", rpclogin.NTLM), adcsmsg.ClassRequest, adcsmsg.CertRequestD)
	if _, err := f.ping(t, o); err == nil || !notSent(err) || ra.KindOf(err) != ra.RefusedByCA {
		t.Errorf("an account that does not exist: %v", err)
	}
	o = dcom.New(f.o, msrpc.UUID{1}, adcsmsg.CertRequestD)
	if err := o.Open(t.Context()); !errors.As(err, &refused) || refused.HRESULT != 0x80040154 || !notSent(err) {
		t.Errorf("a class that does not exist: %v", err)
	}
	f.SetFault(adcs.Fault{At: adcs.Activate, Act: adcs.NoInterface("ICertRequestD2")})
	o = f.object(t)
	if _, err := o.Call(t.Context(), adcsmsg.CertRequestD2, 9, f.authority(t)); !errors.As(err, &lacking) || lacking.IID != adcsmsg.CertRequestD2 || lacking.HRESULT != 0x80004002 || !notSent(err) {
		t.Errorf("an interface that the object lacks: %v", err)
	}
	f.pings(t, o, "the interface that it has")
	if _, err := o.Call(t.Context(), adcsmsg.CertAdminD, 3, nil); !errors.As(err, &lacking) || lacking.HRESULT != 0x80004002 || !notSent(err) {
		t.Errorf("an interface nobody asked for: %v", err)
	}
	for _, act := range []adcs.Act{adcs.CutBefore, adcs.CutAfter, adcs.HalfPDU, adcs.RPCFault(5), adcs.Result(0x80080005)} {
		f.SetFault(adcs.Fault{At: adcs.Activate, Act: act})
		if _, err := f.ping(t, f.object(t)); err == nil || !notSent(err) {
			t.Errorf("%+v: %v", act, err)
		}
	}
	closed := newOffice(t, adcs.Config{})
	closed.CA.Close()
	if _, err := closed.ping(t, closed.object(t)); !notSent(err) || ra.KindOf(err) != ra.Unreachable {
		t.Errorf("nobody there: %v", err)
	}
}

// Calls of many at once take turns on one object.
func TestConcurrentCalls(t *testing.T) {
	f := newOffice(t, adcs.Config{})
	o := f.object(t)
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			for range 5 {
				f.pings(t, o, "at once")
			}
		})
	}
	all.Wait()
	f.objects(t, 1, "in the end")
}

// While one call is under way another one waits, but not beyond its context.
func TestBusy(t *testing.T) {
	f := newOffice(t, adcs.Config{})
	o := f.object(t)
	f.pings(t, o, "the first call")
	f.SetFault(adcs.Fault{At: adcs.Ping, Act: adcs.Hang})
	hanging, release := context.WithCancel(t.Context())
	asked := make(chan struct{})
	dial := f.o.RPC.Dial
	f.o.RPC.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if _, port, _ := net.SplitHostPort(f.ServerAddress()); strings.HasSuffix(address, ":"+port) {
			close(asked) // activated: the call follows, with the turn taken
		}
		return dial(ctx, network, address)
	}
	busy := f.object(t)
	done := make(chan error)
	go func() {
		_, err := busy.Call(hanging, adcsmsg.CertRequestD, adcsmsg.OpPing, f.authority(t))
		done <- err
	}()
	<-asked
	ended, end := context.WithCancel(t.Context())
	end()
	for what, err := range map[string]error{"Open": busy.Open(ended), "Close": busy.Close(ended)} {
		if !errors.Is(err, context.Canceled) || !notSent(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	release()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestAlive(t *testing.T) {
	f := newOffice(t, adcs.Config{})
	f.o.RPC.Login = func(string) (rpc.Security, error) { return nil, errors.New("nobody is to log in") }
	a, err := dcom.Alive(t.Context(), f.o)
	if err != nil || a.Major != 5 || a.Minor == 0 || len(a.Bindings) == 0 {
		t.Errorf("%+v, %v", a, err)
	}
	var rejected *rpc.Rejected
	without := newOffice(t, adcs.Config{NoServerAlive: true})
	if _, err := dcom.Alive(t.Context(), without.o); !errors.As(err, &rejected) {
		t.Errorf("a host without DCOM: %v", err)
	}
	f.SetFault(adcs.Fault{At: adcs.ServerAlive, Act: adcs.Result(5)})
	if _, err := dcom.Alive(t.Context(), f.o); ra.KindOf(err) != ra.Unreachable {
		t.Errorf("a host that says no: %v", err)
	}
}
