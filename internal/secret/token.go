package secret

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
)

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// Token makes a random secret: prefix, then as many characters of [A-Za-z0-9]
// as hold at least the given bits of entropy (about 5.95 each). The prefix
// says what the token is for and may be empty. It panics when bits is below 1.
func Token(prefix string, bits int) Text {
	if bits < 1 {
		panic("secret: a token needs at least one bit")
	}
	n := int(math.Ceil(float64(bits) / math.Log2(float64(len(alphabet)))))
	// Bytes from here up are drawn again: they would favour the alphabet's start.
	const limit = 256 / len(alphabet) * len(alphabet)
	out := make([]byte, 0, len(prefix)+n)
	out = append(out, prefix...)
	var draw [32]byte
	for len(out) < len(prefix)+n {
		rand.Read(draw[:])
		for _, b := range draw {
			if int(b) < limit && len(out) < len(prefix)+n {
				out = append(out, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return New(string(out))
}

// Hash gives SHA-256 over label and t in lower-case hex, so that a token can be
// found again while only its hash is stored. The label separates uses: the same
// token under two labels gives two hashes. It is for tokens of high entropy
// such as Token makes, not for passwords people choose.
func Hash(label string, t Text) string {
	h := sha256.New()
	h.Write(binary.AppendUvarint(nil, uint64(len(label)))) // no label and token run into each other
	h.Write([]byte(label))
	h.Write([]byte(t.Reveal()))
	return hex.EncodeToString(h.Sum(nil))
}
