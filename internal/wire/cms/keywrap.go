package cms

import (
	"crypto/aes"
	"crypto/subtle"
	"encoding/binary"
)

// keyWrapIV is the initial value of RFC 3394 §2.2.3.1.
const keyWrapIV = 0xa6a6a6a6a6a6a6a6

// aesKeyWrap wraps key, whose size is a multiple of 8 and at least 16, under
// an AES key (RFC 3394 §2.2.1).
func aesKeyWrap(kek, key []byte) ([]byte, error) {
	block, err := aes.NewCipher(kek)
	if err != nil {
		return nil, err
	}
	if len(key) < 16 || len(key)%8 != 0 {
		return nil, malformed("key to wrap")
	}
	n := len(key) / 8
	out := make([]byte, 8+len(key))
	copy(out[8:], key)
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], keyWrapIV)
	for t := uint64(1); t <= uint64(6*n); t++ {
		r := out[8+8*((t-1)%uint64(n)):]
		copy(b[8:], r[:8])
		block.Encrypt(b[:], b[:])
		copy(r, b[8:])
		binary.BigEndian.PutUint64(b[:8], binary.BigEndian.Uint64(b[:8])^t)
	}
	copy(out, b[:8])
	return out, nil
}

// aesKeyUnwrap undoes aesKeyWrap, or gives nil (RFC 3394 §2.2.2).
func aesKeyUnwrap(kek, wrapped []byte) []byte {
	block, err := aes.NewCipher(kek)
	if err != nil || len(wrapped) < 24 || len(wrapped)%8 != 0 {
		return nil
	}
	n := len(wrapped)/8 - 1
	out := make([]byte, 8*n)
	copy(out, wrapped[8:])
	var b, iv [16]byte
	copy(b[:8], wrapped)
	for t := uint64(6 * n); t >= 1; t-- {
		r := out[8*((t-1)%uint64(n)):]
		binary.BigEndian.PutUint64(b[:8], binary.BigEndian.Uint64(b[:8])^t)
		copy(b[8:], r[:8])
		block.Decrypt(b[:], b[:])
		copy(r, b[8:])
	}
	binary.BigEndian.PutUint64(iv[:8], keyWrapIV)
	if subtle.ConstantTimeCompare(b[:8], iv[:8]) != 1 {
		return nil
	}
	return out
}
