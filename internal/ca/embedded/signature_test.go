package embedded

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ca/catest"
	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/wire/pkixmsg"
)

// storedSigner signs as a token does: each time with another signature. It
// keeps what it gave out.
type storedSigner struct {
	key   *ecdsa.PrivateKey
	calls atomic.Int32
	fail  error
}

func (s *storedSigner) Public() crypto.PublicKey { return s.key.Public() }

func (s *storedSigner) Sign(_ io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	s.calls.Add(1)
	if s.fail != nil {
		return nil, s.fail
	}
	return s.key.Sign(rand.Reader, digest, o)
}

// inStore is an authority whose issuing key is in a store, and its parts.
func inStore(t *testing.T) (*Connector, *storedSigner, *catest.Journal) {
	t.Helper()
	journal := &catest.Journal{}
	env := ca.Env{Authority: "ca_1", Name: "Example", Now: time.Now, Journal: journal, Log: slog.New(slog.DiscardHandler)}
	s := Kind().New().(*Settings)
	setting.Defaults(s)
	if err := s.Provision(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	opened, err := s.Connect(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	c := opened.(*Connector)
	signer := &storedSigner{key: c.current.key.(*ecdsa.PrivateKey)}
	c.current.key = signer
	return c, signer, journal
}

func storedRequest(t *testing.T, id string) ca.Request {
	t.Helper()
	key, err := pkixmsg.GenerateKey(pkixmsg.P256)
	if err != nil {
		t.Fatal(err)
	}
	name := pkixmsg.Name{{{OID: pkixmsg.OIDCommonName, Value: "Ada"}}}
	csr, err := pkixmsg.BuildCSR(pkixmsg.CSRRequest{Name: name, Signer: key})
	if err != nil {
		t.Fatal(err)
	}
	r, err := ca.NewRequest(ca.Order{ID: id, CSR: csr, Subject: name, KeyUsage: x509.KeyUsageDigitalSignature, EKUs: []string{"1.3.6.1.5.5.7.3.2"}, Validity: time.Hour * 24})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestOneSignatureOfMany: of a key that signs each time differently, one
// signature for each serial number leaves the house, whoever asks how often.
func TestOneSignatureOfMany(t *testing.T) {
	c, signer, _ := inStore(t)
	r := storedRequest(t, "req_1")
	var mu sync.Mutex
	seen := map[string]bool{}
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			reply, err := c.Issue(t.Context(), r)
			if err != nil {
				t.Errorf("Issue: %v", err)
				return
			}
			mu.Lock()
			seen[string(reply.Chain[0].Raw)] = true
			mu.Unlock()
		})
	}
	wg.Wait()
	calls := signer.calls.Load()
	again, found, err := c.Find(t.Context(), r)
	if err != nil || !found || !seen[string(again.Chain[0].Raw)] || len(seen) != 1 {
		t.Errorf("%d certificates of one request, and Find: %v, %v", len(seen), found, err)
	}
	if err := again.Chain[0].CheckSignatureFrom(c.current.cert); err != nil {
		t.Error(err)
	}
	if signer.calls.Load() != calls {
		t.Error("a certificate that exists was signed again")
	}
}

// TestCrashBetweenSignatureAndJournal: what was signed and not recorded was
// never given out, and what comes after is the only certificate.
func TestCrashBetweenSignatureAndJournal(t *testing.T) {
	for name, stored := range map[string]bool{"before the journal has it": false, "after": true} {
		t.Run(name, func(t *testing.T) {
			c, signer, journal := inStore(t)
			crash := func(_ context.Context, op, key string) error {
				if op == "put" && strings.HasPrefix(key, "signature/") {
					return errors.New("killed")
				}
				return nil
			}
			if stored {
				journal.After = crash
			} else {
				journal.Before = crash
			}
			r := storedRequest(t, "req_1")
			if reply, err := c.Issue(t.Context(), r); ra.KindOf(err) != ra.Unreachable || len(reply.Chain) != 0 {
				t.Fatalf("a certificate that is not on record was given out: %v", err)
			}
			journal.Before, journal.After = nil, nil
			first, err := c.Issue(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			second, err := c.Issue(t.Context(), r)
			if err != nil || !bytes.Equal(first.Chain[0].Raw, second.Chain[0].Raw) {
				t.Errorf("two certificates with one serial number: %v", err)
			}
			if want := map[bool]int32{false: 2, true: 1}[stored]; signer.calls.Load() != want {
				t.Errorf("signed %d times; want %d", signer.calls.Load(), want)
			}
		})
	}
}

// TestSignatureOfAnother: a journal that was tampered with gives no
// certificate that does not verify.
func TestSignatureOfAnother(t *testing.T) {
	c, _, journal := inStore(t)
	if _, err := journal.Put(t.Context(), signatureKey("req_1"), []byte{0x30, 0}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Issue(t.Context(), storedRequest(t, "req_1")); ra.KindOf(err) != ra.Internal {
		t.Errorf("a wrong signature was given out: %v", err)
	}
}

func TestStoreAway(t *testing.T) {
	c, signer, _ := inStore(t)
	signer.fail = ra.Errorf(ra.Denied, "The token refuses the PIN.").WithRemedy("Correct the PIN.")
	_, err := c.Issue(t.Context(), storedRequest(t, "req_1"))
	if e := ra.AsError(err); e.Kind != ra.Unreachable || !strings.Contains(e.Message, "refuses the PIN") || e.Remedy != "Correct the PIN." {
		t.Errorf("%+v", e)
	}
	_, err = c.SignCRLFor(t.Context(), c.current.hash, ca.CRLOrder{Number: 1, ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour)})
	if e := ra.AsError(err); e.Kind != ra.Unreachable || e.Remedy != "Correct the PIN." {
		t.Errorf("%+v", e)
	}
	var failed ca.Step
	c.Check(t.Context(), func(s ca.Step) {
		if s.State == ca.StepFailed {
			failed = s
		}
	})
	if failed.Name != "Issuing key" || failed.Remedy != "Correct the PIN." {
		t.Errorf("%+v", failed)
	}
	signer.fail = nil
	if _, err := c.Issue(t.Context(), storedRequest(t, "req_1")); ra.KindOf(err) != ra.Conflict {
		t.Errorf("the serial number that was decided was used for another key: %v", err)
	}
}
