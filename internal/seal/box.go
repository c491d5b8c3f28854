// Package seal keeps secrets at rest. A Box made from the master key file
// turns a secret into ciphertext for one place, named by table, row and field,
// and opens it only there: a sealed value copied to another row, or to another
// column, does not open. The algorithm is AES-256-GCM as Tink does it, so each
// ciphertext begins with the number of its key and a file may hold several
// keys: the primary seals, all of them open.
//
// Create makes the master key file at the first start, Open reads it at every
// other. A Box can be taught a further key while it works (ring.go). Neither this package nor its errors ever show key, plaintext or
// ciphertext bytes.
package seal

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/aesgcm"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"chancery/internal/ra"
)

// Tink's output prefix: one version byte, then the key's number in four bytes.
const (
	prefixVersion = 1
	prefixLen     = 5
)

// Box seals and opens secrets. It is safe for concurrent use.
type Box struct {
	change sync.Mutex // held by whoever replaces the ring
	ring   atomic.Pointer[ring]
}

// ring is the keys of a Box at one moment.
type ring struct {
	handle  *keyset.Handle
	aead    tink.AEAD
	primary uint32
	keys    []uint32
}

func newBox(h *keyset.Handle) (*Box, error) {
	r, err := newRing(h)
	if err != nil {
		return nil, err
	}
	b := &Box{}
	b.ring.Store(r)
	return b, nil
}

func newRing(h *keyset.Handle) (*ring, error) {
	b := &ring{handle: h}
	for i := range h.Len() {
		e, err := h.Entry(i)
		if err != nil {
			return nil, err
		}
		p, ok := e.Key().Parameters().(*aesgcm.Parameters)
		if !ok || p.KeySizeInBytes() != 32 || p.Variant() != aesgcm.VariantTink {
			return nil, fmt.Errorf("key %08x is not an AES-256-GCM key", e.KeyID())
		}
		if e.KeyStatus() == keyset.Enabled {
			b.keys = append(b.keys, e.KeyID())
		}
	}
	first, err := h.Primary()
	if err != nil {
		return nil, err
	}
	b.primary = first.KeyID()
	b.aead, err = aead.New(h)
	return b, err
}

// KeyID names the key that seals, in eight hex digits. It is not secret: logs
// and backups carry it to say which master key they belong to.
func (b *Box) KeyID() string { return idText(b.ring.Load().primary) }

// Format writes the key's name for every verb, so that a Box printed by
// mistake shows nothing else.
func (b *Box) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "master key "+b.KeyID()) }

// Seal gives the ciphertext of plain for one place. Sealing twice gives two
// different ciphertexts, each 33 bytes longer than plain.
func (b *Box) Seal(table, row, field string, plain []byte) ([]byte, error) {
	out, err := b.ring.Load().aead.Encrypt(plain, place(table, row, field))
	if err != nil {
		return nil, ra.Errorf(ra.Internal, "The secret %s could not be sealed.", name(table, row, field)).
			WithRemedy("Check that the value is of an ordinary size, then save it again.").WithCause(err)
	}
	return out, nil
}

// Open gives back what Seal was given for the same place. Errors are
// ra.Internal and say whether another master key is wanted or the value is
// damaged or stored in the wrong place.
func (b *Box) Open(table, row, field string, sealed []byte) ([]byte, error) {
	where, ring := name(table, row, field), b.ring.Load()
	if len(sealed) < prefixLen || sealed[0] != prefixVersion {
		return nil, ra.Errorf(ra.Internal, "The secret %s is damaged.", where).
			WithRemedy("Enter the secret again, or restore the row from a backup.")
	}
	if id := binary.BigEndian.Uint32(sealed[1:prefixLen]); !slices.Contains(ring.keys, id) {
		return nil, ra.Errorf(ra.Internal, "The secret %s was sealed with master key %08x, and the key in use is %s.", where, id, b.KeyID()).
			WithRemedy("Start with the master key file that belongs to this database; when it is lost, enter the secret again.")
	}
	plain, err := ring.aead.Decrypt(sealed, place(table, row, field))
	if err != nil {
		return nil, ra.Errorf(ra.Internal, "The secret %s does not open: it is damaged or was moved from another place.", where).
			WithRemedy("Enter the secret again, or restore the row from a backup.").WithCause(err)
	}
	return plain, nil
}

// place is the associated data: each part with its length before it, so that
// no two places have the same encoding.
func place(table, row, field string) []byte {
	out := []byte("chancery sealed field v1")
	for _, part := range []string{table, row, field} {
		out = binary.BigEndian.AppendUint64(out, uint64(len(part)))
		out = append(out, part...)
	}
	return out
}

func name(table, row, field string) string {
	return fmt.Sprintf("%q of %s %q", field, table, row)
}
