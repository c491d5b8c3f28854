// Package keystore opens the keys of certificate authorities where they are
// kept: in a file, in a PKCS#11 token, in the key service of a cloud. A key is
// named by its address, a URI, and is nothing but a crypto.Signer to everybody
// else. Address names the stores and how their addresses are written.
//
// An address says where a key is and never how to get at it: a PIN in an
// address is refused, because addresses are shown, exported and logged. PINs
// come from the sealed settings or from a file that pin-source names; what the
// clouds want comes from the surroundings of the process, as their own
// programs have it.
//
// Signers in remote stores are opened when they are first used and opened
// again when the store was away. Each store has a limited number of calls at a
// time, and each call a time limit; one that hangs keeps its place but nobody
// waiting. A PIN that a token has refused is not shown to it again, since most
// tokens lock themselves after a few. Signatures of remote stores differ each
// time: who depends on the same bytes keeps the first.
//
// Tokens need cgo and the build tag pkcs11; without it their addresses are
// refused with a sentence that says so.
package keystore

import (
	"context"
	"crypto"
	"sync"

	"go.step.sm/crypto/kms/apiv1"

	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/wire/pkixmsg"
)

// Stores opens keys and shares one connection to each store among them. The
// zero value is ready; it is safe for concurrent use. Connections last as long
// as the process.
type Stores struct {
	mu   sync.Mutex
	open map[string]*connection
}

// Open opens an existing key, asking its store for the public half. Errors are
// Invalid for an address or key that cannot be used, NotFound for a key that
// is not there, Denied and Unreachable for stores.
func (s *Stores) Open(ctx context.Context, uri string, pin secret.Text) (crypto.Signer, error) {
	a, err := Parse(uri)
	if err != nil {
		return nil, err
	}
	if a.scheme == schemeFile {
		return openFile(a.path)
	}
	k := &key{address: a, pin: pin, conn: s.connection(a)}
	found, err := k.conn.within(ctx, k, func(signer crypto.Signer) ([]byte, error) { return nil, nil })
	if err != nil {
		return nil, err
	}
	k.public = found
	return k, nil
}

// Known gives a signer for an existing key whose public half is known, without
// asking its store: it is opened when it signs first, and refuses to sign when
// it turns out to be another key. A key in a file is read at once.
func (s *Stores) Known(uri string, pin secret.Text, public crypto.PublicKey) (crypto.Signer, error) {
	a, err := Parse(uri)
	if err != nil {
		return nil, err
	}
	if a.scheme == schemeFile {
		return openFile(a.path)
	}
	if opener(a.scheme) == nil {
		return nil, notBuilt()
	}
	return &key{address: a, pin: pin, conn: s.connection(a), public: public}, nil
}

// Create makes a new key in a store and gives it with its address, which may
// say more than the one asked for: the ID the store has chosen. Conflict when
// there is a key of that name.
func (s *Stores) Create(ctx context.Context, uri string, pin secret.Text, t pkixmsg.KeyType) (crypto.Signer, string, error) {
	a, err := Parse(uri)
	if err != nil {
		return nil, "", err
	}
	if a.scheme == schemeFile {
		return nil, "", ra.Errorf(ra.Invalid, "Keys are not made in files here.").
			WithRemedy("Make it with openssl genpkey and use the existing key, or have it sealed in the database.")
	}
	shape, ok := shapes[t]
	if !ok {
		return nil, "", ra.Errorf(ra.Invalid, "A key store cannot make a key of that type.").WithRemedy("Choose P-256, P-384 or RSA.")
	}
	k := &key{address: a.forNewKey(), pin: pin, conn: s.connection(a)}
	made, err := k.conn.create(ctx, k, shape)
	if err != nil {
		return nil, "", err
	}
	if k.address, err = Parse(made.Name); err != nil {
		return nil, "", err
	}
	k.address = k.address.in(a)
	k.public = made.PublicKey
	return k, k.address.String(), nil
}

// shape is a key type in the words of the stores.
type shape struct {
	algorithm apiv1.SignatureAlgorithm
	bits      int
}

var shapes = map[pkixmsg.KeyType]shape{
	pkixmsg.P256:    {apiv1.ECDSAWithSHA256, 0},
	pkixmsg.P384:    {apiv1.ECDSAWithSHA384, 0},
	pkixmsg.RSA2048: {apiv1.SHA256WithRSA, 2048},
	pkixmsg.RSA3072: {apiv1.SHA256WithRSA, 3072},
	pkixmsg.RSA4096: {apiv1.SHA256WithRSA, 4096},
}

func (s *Stores) connection(a Address) *connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := a.store()
	if s.open == nil {
		s.open = map[string]*connection{}
	}
	if s.open[name] == nil {
		s.open[name] = newConnection(a, s.kin)
	}
	return s.open[name]
}

// kin gives the connections through the library of one, itself among them. A
// library forgets what it knew of its tokens only when all of them are closed.
func (s *Stores) kin(c *connection) []*connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []*connection{c}
	for _, other := range s.open {
		if other != c && c.library != "" && other.library == c.library {
			list = append(list, other)
		}
	}
	return list
}
