package cms

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// ErrDecrypt is the one answer to everything that can go wrong while opening
// content: another key, bad key padding, a key of the wrong length, bad content
// padding. Telling them apart, by word or by time, would let a stranger use the
// key holder as a decryption oracle (RFC 3218, and padding oracles on CBC).
var ErrDecrypt = errors.New("cms: the content could not be decrypted")

// For reports whether the message has a key transport recipient naming the
// certificate. It depends on public bytes only.
func (e *EnvelopedData) For(c *Certificate) bool {
	_, ok := e.keyTransFor(c)
	return ok
}

func (e *EnvelopedData) keyTransFor(c *Certificate) (*KeyTransRecipient, bool) {
	for i := range e.KeyTrans {
		if e.KeyTrans[i].Matches(c) {
			return &e.KeyTrans[i], true
		}
	}
	return nil, false
}

// Decrypt opens the content with the RSA key of the recipient certificate:
// PKCS #1 v1.5 or OAEP key transport. Whatever goes wrong, it does the same
// work, going on with a random content key, and answers ErrDecrypt. With an
// unlucky random key the result is noise instead of an error, so callers must
// answer content they cannot read in the same way as ErrDecrypt.
func (e *EnvelopedData) Decrypt(c *Certificate, key crypto.Decrypter) ([]byte, error) {
	r, ok := e.keyTransFor(c)
	if !ok {
		return nil, ErrDecrypt
	}
	return e.open(func(size int) []byte { return r.unwrap(key, size) })
}

// open decrypts the content with the key unwrap finds; a missing key or one of
// another length is replaced by a random one.
func (e *EnvelopedData) open(unwrap func(size int) []byte) ([]byte, error) {
	c, ok := ciphers[e.Cipher.Algorithm]
	if !ok {
		return nil, ErrDecrypt
	}
	iv, ok := c.iv(e.Cipher.Parameters)
	if !ok {
		return nil, ErrDecrypt
	}
	key := make([]byte, c.keySize)
	rand.Read(key)
	if found := unwrap(c.keySize); len(found) == len(key) {
		key = found
	}
	plain, ok := c.decrypt(key, iv, e.Ciphertext)
	if !ok {
		return nil, ErrDecrypt
	}
	return plain, nil
}

// unwrap gives the content key, or nil. PKCS #1 v1.5 with a session key length
// already answers bad padding with a random key, in constant time.
func (r *KeyTransRecipient) unwrap(key crypto.Decrypter, size int) []byte {
	var opts crypto.DecrypterOpts
	switch r.Algorithm.Algorithm {
	case OIDRSA:
		opts = &rsa.PKCS1v15DecryptOptions{SessionKeyLen: size}
	case OIDRSAOAEP:
		oaep, ok := parseOAEP(r.Algorithm.Parameters)
		if !ok {
			return nil
		}
		opts = oaep
	default:
		return nil
	}
	found, err := key.Decrypt(rand.Reader, r.EncryptedKey, opts)
	if err != nil {
		return nil
	}
	return found
}

// parseOAEP reads RSAES-OAEP-params (RFC 4055 §4.1); every part has a default
// built on SHA-1.
func parseOAEP(parameters []byte) (*rsa.OAEPOptions, bool) {
	opts := &rsa.OAEPOptions{Hash: crypto.SHA1, MGFHash: crypto.SHA1}
	if len(parameters) == 0 || bytes.Equal(parameters, derNull) {
		return opts, true
	}
	s := cryptobyte.String(parameters)
	var seq cryptobyte.String
	if !s.ReadASN1(&seq, cbasn1.SEQUENCE) || !s.Empty() {
		return nil, false
	}
	part := func(tag uint8, out *AlgorithmIdentifier) (present, ok bool) {
		var explicit cryptobyte.String
		if !seq.ReadOptionalASN1(&explicit, &present, context(tag)) {
			return false, false
		}
		return present, !present || readAlgorithm(&explicit, out) && explicit.Empty()
	}
	var hash, mgf, source AlgorithmIdentifier
	if present, ok := part(0, &hash); !ok {
		return nil, false
	} else if present {
		if opts.Hash, ok = hash.Algorithm.Hash(); !ok || opts.Hash == crypto.MD5 {
			return nil, false
		}
	}
	if present, ok := part(1, &mgf); !ok {
		return nil, false
	} else if present {
		var inner AlgorithmIdentifier
		p := cryptobyte.String(mgf.Parameters)
		if mgf.Algorithm != oidMGF1 || !readAlgorithm(&p, &inner) {
			return nil, false
		}
		if opts.MGFHash, ok = inner.Algorithm.Hash(); !ok || opts.MGFHash == crypto.MD5 {
			return nil, false
		}
	}
	if present, ok := part(2, &source); !ok {
		return nil, false
	} else if present {
		p := cryptobyte.String(source.Parameters)
		var label cryptobyte.String
		if source.Algorithm != oidPSpecified || !p.ReadASN1(&label, cbasn1.OCTET_STRING) || !p.Empty() {
			return nil, false
		}
		opts.Label = label
	}
	return opts, seq.Empty()
}
