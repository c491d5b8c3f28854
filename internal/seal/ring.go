package seal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"chancery/internal/ra"
)

// offered is where a new key is sealed by the one before it, on its way to
// other nodes through the database.
const (
	offeredTable = "keyring"
	offeredField = "key"
)

func idText(id uint32) string { return fmt.Sprintf("%08x", id) }

// Prefix gives the first bytes of everything that the key of a name sealed;
// nil for what is no name of a key.
func Prefix(id string) []byte {
	var n uint32
	if _, err := fmt.Sscanf(id, "%08x", &n); err != nil || idText(n) != id {
		return nil
	}
	return []byte{prefixVersion, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
}

// Keys lists the names of the keys that open, the one that seals first.
func (b *Box) Keys() []string {
	r := b.ring.Load()
	names := []string{idText(r.primary)}
	for _, k := range r.keys {
		if k != r.primary {
			names = append(names, idText(k))
		}
	}
	return names
}

// Offer makes a new key and gives its name and the key itself, sealed by the
// one in use for Learn. The Box does not know it before it has learnt it.
func (b *Box) Offer() (id string, wrapped []byte, err error) {
	h, err := newKeyset()
	if err != nil {
		return "", nil, err
	}
	first, err := h.Primary()
	if err != nil {
		return "", nil, err
	}
	var text bytes.Buffer
	if err := insecurecleartextkeyset.Write(h, keyset.NewJSONWriter(&text)); err != nil {
		return "", nil, err
	}
	id = idText(first.KeyID())
	wrapped, err = b.Seal(offeredTable, id, offeredField, text.Bytes())
	return id, wrapped, err
}

// Learn takes up a key that another Box with the same keys has offered: from
// now on it opens, and does not seal. A key that is known is no error.
func (b *Box) Learn(id string, wrapped []byte) error {
	if b.Holds(id) {
		return nil
	}
	text, err := b.Open(offeredTable, id, offeredField, wrapped)
	if err != nil {
		return err
	}
	h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(text)))
	if err != nil {
		return errors.New("the offered key cannot be read") // the error would hold bytes of it
	}
	entry, err := h.Primary()
	if err != nil {
		return err
	}
	return b.turn(func(m *keyset.Manager) error {
		added, err := m.AddKey(entry.Key())
		if err == nil && idText(added) != id {
			err = errors.New("the offered key has another name")
		}
		return err
	})
}

// Use lets a known key seal from now on.
func (b *Box) Use(id string) error {
	if b.KeyID() == id {
		return nil
	}
	return b.turn(func(m *keyset.Manager) error {
		for _, k := range b.ring.Load().keys {
			if idText(k) == id {
				return m.SetPrimary(k)
			}
		}
		return ra.Errorf(ra.NotFound, "The master key file has no key %s.", id).
			WithRemedy("Copy the master key file of another node here.")
	})
}

// Forget drops a key that does not seal. What it sealed does not open any
// more; an unknown key is no error.
func (b *Box) Forget(id string) error {
	if !b.Holds(id) {
		return nil
	}
	return b.turn(func(m *keyset.Manager) error {
		for _, k := range b.ring.Load().keys {
			if idText(k) == id {
				return m.Delete(k)
			}
		}
		return nil
	})
}

// turn replaces the ring by one that has been changed.
func (b *Box) turn(change func(*keyset.Manager) error) error {
	b.change.Lock()
	defer b.change.Unlock()
	m := keyset.NewManagerFromHandle(b.ring.Load().handle)
	if err := change(m); err != nil {
		return err
	}
	h, err := m.Handle()
	if err != nil {
		return err
	}
	next, err := newRing(h)
	if err != nil {
		return err
	}
	b.ring.Store(next)
	return nil
}

// Reseal gives a sealed value sealed by the key in use; changed is false when
// it is so already.
func (b *Box) Reseal(table, row, field string, sealed []byte) (out []byte, changed bool, err error) {
	if id, _ := KeyOf(sealed); id == b.KeyID() {
		return sealed, false, nil
	}
	plain, err := b.Open(table, row, field, sealed)
	if err != nil {
		return nil, false, err
	}
	out, err = b.Seal(table, row, field, plain)
	return out, err == nil, err
}

// Save writes the keys into the master key file at path, over what is there:
// the file appears whole or not at all and is on disk when Save returns. A file
// that says the same is left alone. Denied when it cannot be written.
func (b *Box) Save(path string) error {
	b.change.Lock()
	defer b.change.Unlock()
	text, err := appendFile(b.ring.Load().handle)
	if err != nil {
		return err
	}
	before, err := read(path)
	if err != nil {
		return err
	}
	there, err := parseFile(before)
	if err == nil && slices.Equal(there.Keys(), b.Keys()) {
		return nil
	}
	temp := tempName(path)
	err = writeNew(temp, text)
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		_ = os.Remove(temp)
		return ra.Errorf(ra.Denied, "The master key file %s cannot be changed.", path).
			WithRemedy("Let the service account write to its folder while the master key is rotated, or copy the file of another node here.").WithCause(err)
	}
	return syncDir(filepath.Dir(path))
}
