package gsskrb

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/binary"
	"io"
	"slices"

	"github.com/jcmturner/gokrb5/v8/crypto/common"
	"github.com/jcmturner/gokrb5/v8/crypto/etype"
	"github.com/jcmturner/gokrb5/v8/types"
)

// Sizes in a sealed message, in bytes.
const (
	headerSize     = 16
	confounderSize = 16
	sumSize        = 12 // HMAC-SHA1-96
	extra          = 16 // the filler that rounds the plain text up to the cipher's blocks

	// TokenSize is the length of the token beside a sealed message.
	TokenSize = headerSize + confounderSize + extra + headerSize + sumSize
)

// rotation is the count by which what we seal is turned to the right, besides
// the filler (RFC 4121 §4.2.5): just so that the message's own length stays.
const rotation = headerSize + sumSize

// Flags of a message's header (RFC 4121 §4.2.2).
const (
	flagAcceptor = 0x01
	flagSealed   = 0x02
	flagSubkey   = 0x04
)

// Context protects the messages after a login (RFC 4121 §4.2). Messages have to
// be opened in the order in which they were sealed. It is not for concurrent use.
type Context struct {
	key    []byte
	cipher etype.EType
	out    direction
	in     direction
	random io.Reader // of confounders
}

// direction is one way of a context: its flags, its keys and its next number.
type direction struct {
	flags      byte
	ke, ki, kc []byte // for encryption, for its checksum, and for signatures (RFC 3961 §5.3)
	seq        uint64
}

// newContext is the initiator's side; sub: the key is one the acceptor chose.
func newContext(key types.EncryptionKey, sub bool, out, in uint64) (*Context, error) {
	e, err := aes(key)
	if err != nil {
		return nil, err
	}
	c := &Context{key: key.KeyValue, cipher: e, out: direction{seq: out}, in: direction{flags: flagAcceptor, seq: in}, random: rand.Reader}
	if sub {
		c.out.flags |= flagSubkey
		c.in.flags |= flagSubkey
	}
	if err := c.out.derive(e, key.KeyValue, usageInitiatorSeal, usageInitiatorSign); err != nil {
		return nil, err
	}
	return c, c.in.derive(e, key.KeyValue, usageAcceptorSeal, usageAcceptorSign)
}

func (d *direction) derive(e etype.EType, key []byte, seal, sign uint32) (err error) {
	if d.ke, err = e.DeriveKey(key, common.GetUsageKe(seal)); err != nil {
		return err
	}
	if d.ki, err = e.DeriveKey(key, common.GetUsageKi(seal)); err != nil {
		return err
	}
	d.kc, err = e.DeriveKey(key, common.GetUsageKc(sign))
	return err
}

// Key is the key of the context, of which the carrier may make keys of its own.
func (c *Context) Key() []byte { return c.key }

// Seal encrypts data in place and gives the token beside it (RFC 4121 §4.2.4,
// turned as DCE style has it). What stands before and behind the data is covered,
// too, and may be nil.
func (c *Context) Seal(before, data, behind []byte) (token []byte, err error) {
	h := c.out.header(flagSealed)
	filler := slices.Repeat([]byte{0xff}, extra)
	confounder := make([]byte, confounderSize)
	if _, err := io.ReadFull(c.random, confounder); err != nil {
		return nil, err
	}
	sum := checksumOf(c.out.ki, confounder, before, data, behind, filler, h)
	_, sealed, err := c.cipher.EncryptData(c.out.ke, slices.Concat(confounder, data, filler, h))
	if err != nil {
		return nil, err
	}
	turned := rotate(append(sealed, sum...), rotation+extra)
	binary.BigEndian.PutUint16(h[6:], rotation)
	n := copy(data, turned[len(turned)-len(data):])
	c.out.seq++
	return append(h, turned[:len(turned)-n]...), nil
}

// Unseal decrypts data in place; the error is Tampered.
func (c *Context) Unseal(before, data, behind, token []byte) (err error) {
	defer guard(&err)
	if len(token) < headerSize+confounderSize+headerSize+sumSize || len(token) > headerSize+1<<10 {
		return Tampered
	}
	h := slices.Clone(token[:headerSize])
	filling, turn := int(binary.BigEndian.Uint16(h[4:])), int(binary.BigEndian.Uint16(h[6:]))
	sealed := slices.Concat(token[headerSize:], data)
	if len(sealed) != confounderSize+len(data)+filling+headerSize+sumSize {
		return Tampered
	}
	sealed = rotate(sealed, -(turn + filling))
	sealed, sum := sealed[:len(sealed)-sumSize], sealed[len(sealed)-sumSize:]
	clear, err := c.cipher.DecryptData(c.in.ke, sealed)
	if err != nil {
		return Tampered
	}
	want := c.in.header(flagSealed)
	binary.BigEndian.PutUint16(want[4:], uint16(filling))
	binary.BigEndian.PutUint16(h[6:], 0)
	confounder, rest := clear[:confounderSize], clear[confounderSize:]
	plain, tail := rest[:len(data)], rest[len(data):]
	if !hmac.Equal(sum, checksumOf(c.in.ki, confounder, before, plain, behind, tail)) ||
		!hmac.Equal(tail[filling:], want) || !hmac.Equal(h, want) {
		return Tampered
	}
	copy(data, plain)
	c.in.seq++
	return nil
}

// header begins a sealed message (RFC 4121 §4.2.6.2), with our filler and not
// turned.
func (d *direction) header(flags byte) []byte {
	h := []byte{5, 4, d.flags | flags, 0xff, 0, extra, 0, 0}
	return binary.BigEndian.AppendUint64(h, d.seq)
}

// Sign gives the signature of a message that is not sealed (RFC 4121 §4.2.6.1).
func (c *Context) Sign(message []byte) []byte { return c.out.sign(message) }

// Verify checks one of the server's; the error is Tampered.
func (c *Context) Verify(message, token []byte) error {
	in := c.in
	if !hmac.Equal(token, in.sign(message)) {
		return Tampered
	}
	c.in = in
	return nil
}

func (d *direction) sign(message []byte) []byte {
	h := binary.BigEndian.AppendUint64([]byte{4, 4, d.flags, 0xff, 0xff, 0xff, 0xff, 0xff}, d.seq)
	d.seq++
	return append(h, checksumOf(d.kc, message, h)...)
}

// checksumOf is HMAC-SHA1-96 of parts in a row (RFC 3962 §6).
func checksumOf(key []byte, parts ...[]byte) []byte {
	m := hmac.New(sha1.New, key)
	for _, p := range parts {
		m.Write(p)
	}
	return m.Sum(nil)[:sumSize]
}

// rotate turns b by n bytes to the right, to the left when n is negative.
func rotate(b []byte, n int) []byte {
	n = ((n % len(b)) + len(b)) % len(b)
	return slices.Concat(b[len(b)-n:], b[:len(b)-n])
}
