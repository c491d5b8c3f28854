package keystore

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/aws/smithy-go"
	"go.step.sm/crypto/kms/apiv1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"chancery/internal/ra"
	"chancery/internal/secret"
)

// fakeStore is a store whose ways of failing a test decides.
type fakeStore struct {
	signer *ecdsa.PrivateKey
	pin    string
	opened atomic.Int32
	tries  atomic.Int32 // wrong PINs
	sign   func() error // asked before each signature
}

func (f *fakeStore) open(_ context.Context, o apiv1.Options) (apiv1.KeyManager, error) {
	if o.Pin != f.pin {
		f.tries.Add(1)
		return nil, fmt.Errorf("login: %w", errPIN)
	}
	f.opened.Add(1)
	return f, nil
}

func (f *fakeStore) GetPublicKey(*apiv1.GetPublicKeyRequest) (crypto.PublicKey, error) {
	return f.signer.Public(), nil
}

func (f *fakeStore) CreateKey(r *apiv1.CreateKeyRequest) (*apiv1.CreateKeyResponse, error) {
	return nil, apiv1.AlreadyExistsError{Message: r.Name}
}

func (f *fakeStore) CreateSigner(*apiv1.CreateSignerRequest) (crypto.Signer, error) { return f, nil }
func (f *fakeStore) Close() error                                                   { return nil }
func (f *fakeStore) Public() crypto.PublicKey                                       { return f.signer.Public() }

func (f *fakeStore) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	if f.sign != nil {
		if err := f.sign(); err != nil {
			return nil, err
		}
	}
	return f.signer.Sign(r, digest, o)
}

const awsAddress = "awskms:key-id=1;region=x"

// inFake gives stores whose one store is f, and the way to a key in it.
func inFake(t *testing.T, f *fakeStore) (*Stores, func(pin string) crypto.Signer) {
	t.Helper()
	var err error
	if f.signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	s := &Stores{}
	a, err := Parse(awsAddress)
	if err != nil {
		t.Fatal(err)
	}
	s.connection(a).open = f.open
	return s, func(pin string) crypto.Signer {
		k, err := s.Known(awsAddress, text(pin), f.signer.Public())
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
}

func text(s string) secret.Text {
	if s == "" {
		return secret.Text{}
	}
	return secret.New(s)
}

var digest = sha256.Sum256([]byte("message"))

func signs(k crypto.Signer) error {
	signature, err := k.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err == nil && !ecdsa.VerifyASN1(k.Public().(*ecdsa.PublicKey), digest[:], signature) {
		return errors.New("the signature does not verify")
	}
	return err
}

// TestReturns: a store that was away is opened again, and asked once more.
func TestReturns(t *testing.T) {
	f := &fakeStore{}
	_, open := inFake(t, f)
	k := open("")
	if err := signs(k); err != nil {
		t.Fatal(err)
	}
	left := 1
	f.sign = func() error {
		if left > 0 {
			left--
			return fmt.Errorf("sign: %w", net.ErrClosed)
		}
		return nil
	}
	if err := signs(k); err != nil || f.opened.Load() != 2 {
		t.Errorf("opened %d times, %v; want 2", f.opened.Load(), err)
	}
	left = 5
	if e := ra.AsError(signs(k)); e.Kind != ra.Unreachable || e.Remedy == "" {
		t.Errorf("%+v", e)
	}
	left = 0
	if err := signs(k); err != nil {
		t.Errorf("the store is back and does not sign: %v", err)
	}
}

// TestWrongPIN: a wrong PIN is shown to the store once, does not work while
// the store is open with the right one, and does not shut others out.
func TestWrongPIN(t *testing.T) {
	f := &fakeStore{pin: "1234"}
	_, open := inFake(t, f)
	right, wrong := open("1234"), open("4321")
	if err := signs(right); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if e := ra.AsError(signs(wrong)); e.Kind != ra.Denied || e.Remedy == "" {
			t.Fatalf("a wrong PIN: %+v", e)
		}
		if err := signs(right); err != nil {
			t.Fatalf("the right PIN: %v", err)
		}
	}
	if n := f.tries.Load(); n != 1 {
		t.Errorf("the wrong PIN was tried %d times", n)
	}
}

func TestPINFromFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(path, []byte("1234\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := Parse("pkcs11:token=CA;object=k?module-path=/l.so&pin-source=file:" + path)
	if err != nil {
		t.Fatal(err)
	}
	if pin, err := readPIN(a, secret.Text{}); err != nil || pin.Reveal() != "1234" {
		t.Errorf("%v", err)
	}
	if pin, err := readPIN(a, secret.New("9")); err != nil || pin.Reveal() != "9" {
		t.Errorf("the sealed PIN comes first: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := readPIN(a, secret.Text{}); ra.KindOf(err) != ra.Denied {
		t.Errorf("%v", err)
	}
}

// TestAnotherKey: a key that was swapped does not sign.
func TestAnotherKey(t *testing.T) {
	f := &fakeStore{}
	_, open := inFake(t, f)
	k := open("")
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	f.signer = other
	if ra.KindOf(signs(k)) != ra.Invalid {
		t.Error("another key signed")
	}
}

// TestHangs: calls that hang keep their places and nobody waiting longer than
// the limit; when they return, so do the places.
func TestHangs(t *testing.T) {
	f := &fakeStore{}
	_, open := inFake(t, f)
	k := open("")
	if err := signs(k); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		var inside atomic.Int32
		f.sign = func() error { inside.Add(1); <-hang; return nil }
		k.(*key).conn.turns = make(chan struct{}, maxCalls)
		results := make(chan error)
		for range maxCalls + 4 {
			go func() { results <- signs(k) }()
		}
		for range maxCalls + 4 {
			if e := ra.AsError(<-results); e.Kind != ra.Unreachable || e.Remedy == "" {
				t.Errorf("%+v", e)
			}
		}
		if inside.Load() != maxCalls {
			t.Errorf("%d calls inside; want %d", inside.Load(), maxCalls)
		}
		f.sign = nil
		close(hang)
		if err := signs(k); err != nil {
			t.Errorf("the store works again: %v", err)
		}
	})
}

func TestCreateTaken(t *testing.T) {
	f := &fakeStore{}
	s, _ := inFake(t, f)
	if _, _, err := s.Create(t.Context(), awsAddress, secret.Text{}, "p-256"); ra.KindOf(err) != ra.Conflict || ra.AsError(err).Remedy == "" {
		t.Errorf("%v", err)
	}
	if _, _, err := s.Create(t.Context(), "file:///tmp/k", secret.Text{}, "p-256"); ra.KindOf(err) != ra.Invalid {
		t.Errorf("%v", err)
	}
	if _, _, err := s.Create(t.Context(), awsAddress, secret.Text{}, "ed25519"); ra.KindOf(err) != ra.Invalid {
		t.Errorf("%v", err)
	}
}

// TestFaults walks the answers of the stores through the sentences for people.
func TestFaults(t *testing.T) {
	aws := func(code string) error {
		return fmt.Errorf("awskms: %w", &smithy.OperationError{Err: &smithy.GenericAPIError{Code: code, Message: "internal detail"}})
	}
	azure := func(code int) error { return fmt.Errorf("keyVault: %w", &azcore.ResponseError{StatusCode: code}) }
	gcp := func(c codes.Code) error { return fmt.Errorf("cloudKMS: %w", status.Error(c, "internal detail")) }
	for _, c := range []struct {
		err  error
		kind ra.Kind
	}{
		{aws("AccessDeniedException"), ra.Denied}, {aws("NotFoundException"), ra.NotFound}, {aws("DisabledException"), ra.Invalid},
		{aws("ThrottlingException"), ra.Unreachable}, {aws("KMSInternalException"), ra.Unreachable}, {aws("ExpiredTokenException"), ra.Denied},
		{azure(401), ra.Denied}, {azure(403), ra.Denied}, {azure(404), ra.NotFound}, {azure(429), ra.Unreachable}, {azure(500), ra.Unreachable}, {azure(400), ra.Invalid}, {azure(409), ra.Conflict},
		{gcp(codes.PermissionDenied), ra.Denied}, {gcp(codes.NotFound), ra.NotFound}, {gcp(codes.Unavailable), ra.Unreachable}, {gcp(codes.FailedPrecondition), ra.Invalid}, {gcp(codes.ResourceExhausted), ra.Unreachable},
		{&net.OpError{Op: "dial", Err: errors.New("refused")}, ra.Unreachable}, {context.DeadlineExceeded, ra.Unreachable}, {errors.New("anything"), ra.Unreachable},
		{apiv1.AlreadyExistsError{}, ra.Conflict},
	} {
		e := ra.AsError(fault(c.err))
		if e.Kind != c.kind || e.Message == "" || e.Remedy == "" || !errors.Is(e, c.err) && e.Err == nil {
			t.Errorf("%v: %+v; want %s", c.err, e, c.kind)
		}
	}
	if fault(nil) != nil {
		t.Error("no error became one")
	}
}
