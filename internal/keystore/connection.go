package keystore

import (
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"io"
	"sync"
	"time"

	"go.step.sm/crypto/kms/apiv1"

	"chancery/internal/ra"
	"chancery/internal/secret"
)

const (
	// maxCalls is how many calls to one store run at a time.
	maxCalls = 16
	// callTime bounds one call to a store, waiting for its turn included.
	callTime = 20 * time.Second
)

// key is a signing key in a remote store.
type key struct {
	address Address
	pin     secret.Text
	conn    *connection
	public  crypto.PublicKey
}

// Public gives the public half.
func (k *key) Public() crypto.PublicKey { return k.public }

// Sign signs a digest in the store. Two signatures of one digest may differ.
// Errors are *ra.Error with a remedy: Unreachable, Denied, NotFound, Invalid.
func (k *key) Sign(_ io.Reader, digest []byte, o crypto.SignerOpts) (signature []byte, err error) {
	_, err = k.conn.within(context.Background(), k, func(signer crypto.Signer) (_ []byte, err error) {
		signature, err = signer.Sign(rand.Reader, digest, o)
		return signature, err
	})
	return signature, err
}

// connection is the one connection to a store.
type connection struct {
	open    func(ctx context.Context, o apiv1.Options) (apiv1.KeyManager, error)
	turns   chan struct{} // a call that hangs keeps its place
	library string        // of a token
	kin     func(*connection) []*connection

	mu      sync.RWMutex // held for reading by calls under way
	store   apiv1.KeyManager
	life    int // counts how often the store was opened
	pin     secret.Text
	refused []secret.Text
	signers map[string]crypto.Signer
}

func newConnection(a Address, kin func(*connection) []*connection) *connection {
	return &connection{open: opener(a.scheme), turns: make(chan struct{}, maxCalls), library: a.values["module-path"], kin: kin}
}

// within runs a call on a key, after opening it where that is needed, and
// gives the key's public half. A store that was away is opened again, once.
func (c *connection) within(ctx context.Context, k *key, call func(crypto.Signer) ([]byte, error)) (crypto.PublicKey, error) {
	return timed(ctx, c, func(ctx context.Context) (crypto.PublicKey, error) {
		for again := true; ; again = false {
			public, life, err := c.call(ctx, k, call)
			if err == nil || !again || !gone(err) {
				return public, fault(err)
			}
			for _, other := range c.kin(c) {
				if other != c {
					life = other.lives()
				}
				other.drop(life)
			}
		}
	})
}

func (c *connection) call(ctx context.Context, k *key, call func(crypto.Signer) ([]byte, error)) (crypto.PublicKey, int, error) {
	life, unlock, err := c.enter(ctx, k)
	if err != nil {
		return nil, life, err
	}
	defer unlock()
	name := k.address.library()
	signer := c.signers[name]
	if signer == nil {
		if signer, err = c.store.CreateSigner(&apiv1.CreateSignerRequest{SigningKey: name}); err != nil {
			return nil, life, err
		}
	}
	public := signer.Public()
	if k.public != nil && !same(k.public, public) {
		return nil, life, ra.Errorf(ra.Invalid, "The key at the address is another one than the certificate was made for.").
			WithRemedy("Correct the address of the key, or put the right key back into its store.")
	}
	_, err = call(signer)
	return public, life, err
}

// enter opens the store where that is needed and holds it open until unlock.
func (c *connection) enter(ctx context.Context, k *key) (life int, unlock func(), err error) {
	pin, err := readPIN(k.address, k.pin)
	if err != nil {
		return 0, nil, err
	}
	for {
		c.mu.RLock()
		if c.store != nil && c.pin.Equal(pin) {
			if name := k.address.library(); c.signers[name] != nil || k.public == nil {
				return c.life, c.mu.RUnlock, nil
			}
		}
		c.mu.RUnlock()
		if err := c.prepare(ctx, k, pin); err != nil {
			return c.lives(), nil, err
		}
	}
}

// prepare opens the store and the key. Whoever comes with another PIN than the
// one in force has it shown to the store: a token asks for no PIN while it is
// open, and nobody may use a key with a wrong one.
func (c *connection) prepare(ctx context.Context, k *key, pin secret.Text) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.store != nil && !c.pin.Equal(pin) {
		if err := c.known(pin); err != nil {
			return err
		}
		c.shut()
	}
	if c.store == nil {
		if c.open == nil {
			return notBuilt()
		}
		if err := c.known(pin); err != nil {
			return err
		}
		store, err := c.open(ctx, apiv1.Options{URI: k.address.library(), Pin: pin.Reveal()})
		if err != nil {
			if wrongPIN(err) {
				c.refused = append(c.refused, pin)
			}
			return err
		}
		c.store, c.pin, c.signers = store, pin, map[string]crypto.Signer{}
		c.life++
	}
	if k.public == nil {
		return nil
	}
	name := k.address.library()
	if c.signers[name] != nil {
		return nil
	}
	signer, err := c.store.CreateSigner(&apiv1.CreateSignerRequest{SigningKey: name})
	if err == nil {
		c.signers[name] = signer
	}
	return err
}

// known refuses a PIN that the token has refused.
func (c *connection) known(pin secret.Text) error {
	for _, r := range c.refused {
		if r.Equal(pin) {
			return ra.Errorf(ra.Denied, "The token has refused this PIN, and it is not shown to it again.").
				WithRemedy("Correct the PIN in the settings of the authority or in the file of pin-source. After a PIN was reset in the token itself, restart the server.").WithCause(errPIN)
		}
	}
	return nil
}

// What stores without errors of their own say.
var (
	errPIN     = errors.New("wrong PIN")
	errMissing = errors.New("no such key")
)

func (c *connection) lives() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.life
}

// drop closes the store unless somebody has opened it anew.
func (c *connection) drop(life int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.store != nil && c.life == life {
		c.shut()
	}
}

func (c *connection) shut() {
	_ = c.store.Close() // it is given up in any case
	c.store, c.signers, c.pin = nil, nil, secret.Text{}
}

// create makes a key.
func (c *connection) create(ctx context.Context, k *key, s shape) (*apiv1.CreateKeyResponse, error) {
	return timed(ctx, c, func(ctx context.Context) (*apiv1.CreateKeyResponse, error) {
		_, unlock, err := c.enter(ctx, k)
		if err != nil {
			return nil, fault(err)
		}
		defer unlock()
		made, err := c.store.CreateKey(&apiv1.CreateKeyRequest{Name: k.address.library(), SignatureAlgorithm: s.algorithm, Bits: s.bits})
		if err != nil {
			return nil, fault(err)
		}
		return made, nil
	})
}

// timed runs a call in its turn. When its time is up the caller is told, while
// the call, which cannot be broken off, keeps its place.
func timed[T any](ctx context.Context, c *connection, call func(context.Context) (T, error)) (T, error) {
	var none T
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	late := ra.Errorf(ra.Unreachable, "The key store does not answer.").
		WithRemedy("Check the token, the network and the load of the key store; the request is tried again.")
	select {
	case c.turns <- struct{}{}:
	case <-ctx.Done():
		return none, late.WithCause(ctx.Err())
	}
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		defer func() { <-c.turns }()
		value, err := call(ctx)
		done <- outcome{value, err}
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
		return none, late.WithCause(ctx.Err())
	}
}

func same(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}
