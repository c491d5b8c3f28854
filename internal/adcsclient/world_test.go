package adcsclient_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/cloudsoda/go-smb2"

	"chancery/internal/adcsclient"
	played "chancery/internal/doubles/adcs"
	"chancery/internal/rpc"
	"chancery/internal/rpclogin"
	"chancery/internal/secret"
	"chancery/internal/wire/adcsmsg"
	"chancery/internal/wire/pkixmsg"
)

const password = "Correct-horse 7"

// accounts: one may do everything, one may only request.
var accounts = []played.Account{
	{User: "svc-ra", Password: password, Rights: played.Everybody | played.Officer | played.ManageCA},
	{User: "plain", Password: password, Rights: played.Everybody},
	{User: "nobody", Password: password, Rights: played.NoRights},
	{User: "away", Password: password, NoDCOM: true},
}

// world is a CA played, and clients of it.
type world struct {
	*played.CA
	t *testing.T
}

func newWorld(t *testing.T, cfg played.Config) *world {
	t.Helper()
	if cfg.Accounts == nil {
		cfg.Accounts = accounts
	}
	return &world{played.Start(t, cfg), t}
}

// options lead to the CA as a user.
func (w *world) options(user, word string) adcsclient.Options {
	w.t.Helper()
	_, port, err := net.SplitHostPort(w.MapperAddress())
	if err != nil {
		w.t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		w.t.Fatal(err)
	}
	dial := (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	account := rpclogin.New(rpclogin.Login{Scheme: rpclogin.NTLM, User: `CORP\` + user, Password: secret.New(word)}, rpclogin.Way{Dial: dial})
	return adcsclient.Options{Host: "127.0.0.1", Authority: w.Name(), Now: time.Now, RPC: rpc.Options{
		Dial: dial, MapperPort: number,
		Login: func(target string) (rpc.Security, error) { return account.Security(context.Background(), target) },
		SMB:   func(target string) (smb2.Initiator, error) { return account.Initiator(context.Background(), target) },
	}}
}

// client is one of the service account.
func (w *world) client(way adcsclient.Way) *adcsclient.Client { return w.as(way, "svc-ra") }

func (w *world) as(way adcsclient.Way, user string) *adcsclient.Client {
	w.t.Helper()
	return w.open(way, w.options(user, password))
}

func (w *world) open(way adcsclient.Way, o adcsclient.Options) *adcsclient.Client {
	c := adcsclient.Open(way, o)
	w.t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

var key = sync.OnceValue(func() crypto.Signer {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// csr asks for a name.
func csr(t testing.TB, cn string) []byte {
	t.Helper()
	name, err := pkixmsg.ParseDN("CN=" + cn)
	if err != nil {
		t.Fatal(err)
	}
	der, err := pkixmsg.BuildCSR(pkixmsg.CSRRequest{Name: name, SANs: []pkixmsg.GeneralName{{Type: pkixmsg.DNS, Value: cn + ".example"}}, Signer: key()})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// submit asks for a certificate of a template.
func submit(t *testing.T, c *adcsclient.Client, template, cn string) (adcsclient.Result, error) {
	t.Helper()
	return c.Submit(t.Context(), adcsmsg.FlagPKCS10, csr(t, cn), adcsmsg.Attributes{{Name: adcsmsg.AttributeTemplate, Value: template}, {Name: "ChanceryRequest", Value: "req_" + cn}})
}

// must is submit of what cannot fail.
func must(t *testing.T, c *adcsclient.Client, template, cn string) adcsclient.Result {
	t.Helper()
	r, err := submit(t, c, template, cn)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
