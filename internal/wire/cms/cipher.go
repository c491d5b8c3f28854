package cms

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/rand"
	"crypto/subtle"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// contentCipher is one way to encrypt content, always in CBC mode.
type contentCipher struct {
	keySize, blockSize int
	new                func(key []byte) (cipher.Block, error)
	write              bool // Encrypt may use it
}

// ciphers are those that can be opened. DES is there for what old clients
// send; whether that is wanted is the caller's policy, and it is never written.
var ciphers = map[OID]contentCipher{
	OIDDESCBC:       {8, des.BlockSize, des.NewCipher, false},
	OIDTripleDESCBC: {24, des.BlockSize, newTripleDES, true},
	OIDAES128CBC:    {16, aes.BlockSize, aes.NewCipher, true},
	OIDAES192CBC:    {24, aes.BlockSize, aes.NewCipher, true},
	OIDAES256CBC:    {32, aes.BlockSize, aes.NewCipher, true},
}

// newTripleDES refuses keys that make 3DES plain DES.
func newTripleDES(key []byte) (cipher.Block, error) {
	same := func(a, b []byte) int {
		var diff byte
		for i := range a {
			diff |= (a[i] ^ b[i]) &^ 1 // the low bit is parity
		}
		return subtle.ConstantTimeByteEq(diff, 0)
	}
	if len(key) != 24 || same(key[:8], key[8:16])|same(key[8:16], key[16:]) == 1 {
		return nil, fmt.Errorf("%w: degenerate 3DES key", ErrAlgorithm)
	}
	return des.NewTripleDESCipher(key)
}

// iv reads the parameters of a CBC cipher: one OCTET STRING of a block.
func (c contentCipher) iv(parameters []byte) ([]byte, bool) {
	s := cryptobyte.String(parameters)
	var iv cryptobyte.String
	ok := s.ReadASN1(&iv, cbasn1.OCTET_STRING) && s.Empty() && len(iv) == c.blockSize
	return iv, ok
}

// decrypt opens content whose IV and length readContent has checked.
func (c contentCipher) decrypt(key, iv, ciphertext []byte) ([]byte, bool) {
	block, err := c.new(key)
	if err != nil {
		return nil, false
	}
	plain := make([]byte, len(ciphertext))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, ciphertext)
	return unpad(plain, c.blockSize)
}

// unpad removes the padding of RFC 5652 §6.3. It looks at the same octets
// whatever they hold, so that its time tells nothing about them.
func unpad(b []byte, blockSize int) ([]byte, bool) {
	if len(b) == 0 || len(b)%blockSize != 0 {
		return nil, false
	}
	n := int(b[len(b)-1])
	good := subtle.ConstantTimeLessOrEq(1, n) & subtle.ConstantTimeLessOrEq(n, blockSize)
	for i, c := range b[len(b)-blockSize:] {
		inside := subtle.ConstantTimeLessOrEq(blockSize-n, i)
		good &= 1 ^ inside&(1^subtle.ConstantTimeByteEq(c, byte(n)))
	}
	if good != 1 {
		return nil, false
	}
	return b[:len(b)-n], true
}

// encrypt pads and encrypts under a fresh IV, which comes back as the
// algorithm's parameters.
func (c contentCipher) encrypt(algorithm OID, key, content []byte) (AlgorithmIdentifier, []byte, error) {
	block, err := c.new(key)
	if err != nil {
		return AlgorithmIdentifier{}, nil, err
	}
	iv := make([]byte, c.blockSize)
	rand.Read(iv)
	n := c.blockSize - len(content)%c.blockSize
	padded := make([]byte, len(content)+n)
	copy(padded, content)
	for i := len(content); i < len(padded); i++ {
		padded[i] = byte(n)
	}
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(padded, padded)
	var b cryptobyte.Builder
	b.AddASN1OctetString(iv)
	return AlgorithmIdentifier{algorithm, b.BytesOrPanic()}, padded, nil
}
