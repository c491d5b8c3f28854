package cms

import (
	"bytes"
	"crypto"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"hash"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// The cost of deriving a key from a password. What is wrapped under it is an
// enrolment reply, under a random one-time challenge that is already spent, so
// writing stays cheap; reading is bounded because the count comes from a peer.
const (
	pbkdf2Iterations    = 10_000
	maxPBKDF2Iterations = 1_000_000
	maxPBKDF2Salt       = 1024
)

// readPassword reads the inside of a PasswordRecipientInfo.
func (e *EnvelopedData) readPassword(s cryptobyte.String) error {
	var derivation, encrypted cryptobyte.String
	var derived bool
	var r PasswordRecipient
	if !s.SkipASN1(cbasn1.INTEGER) || !s.ReadOptionalASN1(&derivation, &derived, context(0)) ||
		derived && !parseAlgorithm(derivation, &r.Derivation) ||
		!readAlgorithm(&s, &r.Wrap) ||
		!s.ReadASN1(&encrypted, cbasn1.OCTET_STRING) || !s.Empty() {
		return malformed("PasswordRecipientInfo")
	}
	r.EncryptedKey = encrypted
	e.Passwords = append(e.Passwords, r)
	return nil
}

// DecryptPassword opens the content with a password, which is taken as the
// octets it is. It fails as Decrypt does: always with ErrDecrypt.
func (e *EnvelopedData) DecryptPassword(password []byte) ([]byte, error) {
	if len(e.Passwords) == 0 {
		return nil, ErrDecrypt
	}
	return e.open(func(int) []byte { return e.Passwords[0].unwrap(password) })
}

// unwrap gives the content key, or nil.
func (r *PasswordRecipient) unwrap(password []byte) []byte {
	params := cryptobyte.String(r.Wrap.Parameters)
	var kekCipher AlgorithmIdentifier
	if r.Wrap.Algorithm != OIDPWRIKEK || !readAlgorithm(&params, &kekCipher) || !params.Empty() {
		return nil
	}
	c, ok := ciphers[kekCipher.Algorithm]
	if !ok || !c.write { // the wrap follows the same floor as what we write
		return nil
	}
	iv, ok := c.iv(kekCipher.Parameters)
	if !ok || len(r.EncryptedKey) < 2*c.blockSize || len(r.EncryptedKey)%c.blockSize != 0 {
		return nil
	}
	kek := deriveFromPassword(r.Derivation, password, c.keySize)
	if kek == nil {
		return nil
	}
	block, err := c.new(kek)
	if err != nil {
		return nil
	}
	return pwriUnwrap(block, iv, r.EncryptedKey)
}

// deriveFromPassword runs PBKDF2 with the parameters of a message (RFC 8018
// §A.2), or gives nil for parameters it will not follow.
func deriveFromPassword(a AlgorithmIdentifier, password []byte, size int) []byte {
	s := cryptobyte.String(a.Parameters)
	var seq, salt cryptobyte.String
	var iterations, keyLength int
	if a.Algorithm != oidPBKDF2 || !s.ReadASN1(&seq, cbasn1.SEQUENCE) || !s.Empty() ||
		!seq.ReadASN1(&salt, cbasn1.OCTET_STRING) || len(salt) > maxPBKDF2Salt ||
		!seq.ReadASN1Integer(&iterations) || iterations < 1 || iterations > maxPBKDF2Iterations {
		return nil
	}
	if seq.PeekASN1Tag(cbasn1.INTEGER) && (!seq.ReadASN1Integer(&keyLength) || keyLength != size) {
		return nil
	}
	prf := AlgorithmIdentifier{Algorithm: oidHMACWithSHA1}
	if !seq.Empty() && (!readAlgorithm(&seq, &prf) || !seq.Empty()) {
		return nil
	}
	var h crypto.Hash
	switch prf.Algorithm {
	case oidHMACWithSHA1:
		h = crypto.SHA1
	case oidHMACSHA256:
		h = crypto.SHA256
	case oidHMACSHA384:
		h = crypto.SHA384
	case oidHMACSHA512:
		h = crypto.SHA512
	default:
		return nil
	}
	key, err := pbkdf2.Key(func() hash.Hash { return h.New() }, string(password), salt, iterations, size)
	if err != nil {
		return nil
	}
	return key
}

// ToPassword addresses a message to whoever knows the password: the way RFC
// 8894 §3.1 gives for requesters whose key cannot decrypt. The octets are used
// as they are; an empty password is refused.
func ToPassword(password []byte) (Recipient, error) {
	if len(password) == 0 {
		return nil, fmt.Errorf("%w: empty password", ErrAlgorithm)
	}
	return passwordTo{bytes.Clone(password)}, nil
}

type passwordTo struct{ password []byte }

func (r passwordTo) wrap(contentKey []byte) (func(*cryptobyte.Builder), int64, error) {
	salt := make([]byte, 16)
	rand.Read(salt)
	var params cryptobyte.Builder
	params.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1OctetString(salt)
		b.AddASN1Int64(pbkdf2Iterations)
		AlgorithmIdentifier{oidHMACSHA256, derNull}.add(b)
	})
	kekOID := OIDAES128CBC
	if len(contentKey) > 16 {
		kekOID = OIDAES256CBC
	}
	c := ciphers[kekOID]
	kek, err := pbkdf2.Key(sha256.New, string(r.password), salt, pbkdf2Iterations, c.keySize)
	if err != nil {
		return nil, 0, fmt.Errorf("cms: derive key: %w", err)
	}
	block, err := c.new(kek)
	if err != nil {
		return nil, 0, err
	}
	iv := make([]byte, c.blockSize)
	rand.Read(iv)
	var ivParams, wrapParams cryptobyte.Builder
	ivParams.AddASN1OctetString(iv)
	AlgorithmIdentifier{kekOID, ivParams.BytesOrPanic()}.add(&wrapParams)
	encrypted := pwriWrap(block, iv, contentKey)
	return func(b *cryptobyte.Builder) {
		b.AddASN1(context(3), func(b *cryptobyte.Builder) {
			b.AddASN1Int64(0)
			b.AddASN1(context(0), func(b *cryptobyte.Builder) {
				oidPBKDF2.add(b)
				b.AddBytes(params.BytesOrPanic())
			})
			AlgorithmIdentifier{OIDPWRIKEK, wrapParams.BytesOrPanic()}.add(b)
			b.AddASN1OctetString(encrypted)
		})
	}, 3, nil
}

// pwriWrap encrypts length, check octets, key and random padding twice in a
// row, the second time with the last block of the first as IV (RFC 3211
// §2.3.1).
func pwriWrap(block cipher.Block, iv, key []byte) []byte {
	size := block.BlockSize()
	n := max((4+len(key)+size-1)/size*size, 2*size)
	b := make([]byte, n)
	b[0] = byte(len(key))
	for i := range 3 {
		b[1+i] = ^key[i]
	}
	copy(b[4:], key)
	rand.Read(b[4+len(key):])
	cbc := cipher.NewCBCEncrypter(block, iv)
	cbc.CryptBlocks(b, b)
	cbc.CryptBlocks(b, b) // goes on from the last block, as wanted
	return b
}

// pwriUnwrap undoes pwriWrap, or gives nil (RFC 3211 §2.3.2).
func pwriUnwrap(block cipher.Block, iv, wrapped []byte) []byte {
	size, n := block.BlockSize(), len(wrapped)
	b := bytes.Clone(wrapped)
	// The last block decrypted under the one before it is the IV with which
	// the outer layer began.
	last := make([]byte, size)
	cipher.NewCBCDecrypter(block, wrapped[n-2*size:n-size]).CryptBlocks(last, wrapped[n-size:])
	cipher.NewCBCDecrypter(block, last).CryptBlocks(b[:n-size], wrapped[:n-size])
	copy(b[n-size:], last)
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(b, b)

	length := int(b[0])
	if length < 3 || 4+length > n {
		return nil
	}
	var check [3]byte
	for i := range check {
		check[i] = ^b[4+i]
	}
	if subtle.ConstantTimeCompare(check[:], b[1:4]) != 1 {
		return nil
	}
	return b[4 : 4+length]
}
