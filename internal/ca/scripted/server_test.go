package scripted_test

import (
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ca/catest"
	"chancery/internal/ca/scripted"
	"chancery/internal/setting"
	"chancery/internal/wire/pkixmsg"
)

// remote is a Server with its script.
type remote struct {
	*scripted.Server
	url string

	mu     sync.Mutex
	script []scripted.Act
}

func newRemote(t *testing.T) *remote {
	t.Helper()
	s, err := scripted.NewServer(time.Now)
	if err != nil {
		t.Fatal(err)
	}
	r := &remote{Server: s}
	s.Act = func(operation, _ string, _ int) scripted.Act {
		r.mu.Lock()
		defer r.mu.Unlock()
		if operation != "issue" || len(r.script) == 0 {
			return scripted.Grant
		}
		act := r.script[0]
		r.script = r.script[1:]
		return act
	}
	line := httptest.NewServer(s)
	t.Cleanup(line.Close)
	r.url = line.URL
	return r
}

func (r *remote) plan(acts ...scripted.Act) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.script = append(r.script, acts...)
}

func (r *remote) issued(t *testing.T, id string) []*x509.Certificate {
	t.Helper()
	all, err := r.Signed()
	if err != nil {
		t.Fatal(err)
	}
	return all[id]
}

// TestContractRemote: the authority in another process keeps the contract.
func TestContractRemote(t *testing.T) {
	r := newRemote(t)
	fault := func(act scripted.Act) catest.Fault { return func(*catest.World, *ca.Order) { r.plan(act) } }
	catest.Run(t, catest.Setup{
		Kind: scripted.RemoteKind(), Settings: fmt.Sprintf(`{"server": %q, "timeout": "2s"}`, r.url),
		Issued: func(_ *catest.World, id string) int { return len(r.issued(t, id)) },
		Refuse: fault(scripted.Refuse), TimeOut: fault(scripted.TimeOut), CutLine: fault(scripted.CutBefore), LoseAnswer: fault(scripted.LoseAnswer),
		Pend: fault(scripted.Pend(3)),
	})
}

// TestServerFaults: whatever happens on the line, the server signs once and
// its ledger has it.
func TestServerFaults(t *testing.T) {
	r := newRemote(t)
	v := scripted.RemoteKind().New()
	setting.Defaults(v)
	if err := setting.Load(v, []byte(fmt.Sprintf(`{"server": %q, "timeout": "100ms"}`, r.url))); err != nil {
		t.Fatal(err)
	}
	c, err := v.Connect(t.Context(), ca.Env{HTTP: http.DefaultClient, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for name, act := range map[string]scripted.Act{"late": scripted.Late(300 * time.Millisecond), "twice": scripted.Twice, "lost": scripted.LoseAnswer} {
		key, err := pkixmsg.GenerateKey(pkixmsg.P256)
		if err != nil {
			t.Fatal(err)
		}
		csr, err := pkixmsg.BuildCSR(pkixmsg.CSRRequest{Signer: key})
		if err != nil {
			t.Fatal(err)
		}
		subject, err := pkixmsg.ParseDN("CN=" + name)
		if err != nil {
			t.Fatal(err)
		}
		request, err := ca.NewRequest(ca.Order{ID: "req_" + name, CSR: csr, Subject: subject, Validity: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		r.plan(act)
		_, err = c.Issue(t.Context(), request)
		if (err == nil) != (name == "twice") {
			t.Errorf("%s: %v", name, err)
		}
		for end := time.Now().Add(20 * time.Second); len(r.issued(t, request.ID)) == 0 && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond) // it signs after we gave up
		}
		var reply ca.Reply
		for end := time.Now().Add(20 * time.Second); len(reply.Chain) == 0 && time.Now().Before(end); {
			reply, _, _ = c.(ca.Finder).Find(t.Context(), request)
		}
		if signed := r.issued(t, request.ID); len(signed) != 1 || len(reply.Chain) == 0 || !reply.Chain[0].Equal(signed[0]) {
			t.Errorf("%s: signed %d, found %d", name, len(signed), len(reply.Chain))
		}
	}
}
