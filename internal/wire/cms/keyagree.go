package cms

import (
	"crypto"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// KeyAgreer is an EC private key that can agree on a shared secret; an
// *ecdh.PrivateKey is one. The package that holds an *ecdsa.PrivateKey gets
// one from its ECDH method.
type KeyAgreer interface {
	ECDH(remote *ecdh.PublicKey) ([]byte, error)
	Curve() ecdh.Curve
}

// agreementHash gives the digest of a scheme's key derivation. OpenSSL uses
// SHA-1 unless told otherwise; here only the KDF is built on it.
func agreementHash(scheme OID) (crypto.Hash, bool) {
	switch scheme {
	case OIDECDHWithSHA1KDF:
		return crypto.SHA1, true
	case OIDECDHWithSHA256:
		return crypto.SHA256, true
	case OIDECDHWithSHA384:
		return crypto.SHA384, true
	case OIDECDHWithSHA512:
		return crypto.SHA512, true
	}
	return 0, false
}

func keyWrapSize(wrap OID) (int, bool) {
	switch wrap {
	case OIDAES128Wrap:
		return 16, true
	case OIDAES192Wrap:
		return 24, true
	case OIDAES256Wrap:
		return 32, true
	}
	return 0, false
}

// readKeyAgree reads the inside of a KeyAgreeRecipientInfo and keeps one
// KeyAgreeRecipient for each encrypted key. Originators named by certificate
// (static-static) are passed over: SCEP has no use for them.
func (e *EnvelopedData) readKeyAgree(s cryptobyte.String) error {
	var originator, explicitUKM, keys cryptobyte.String
	var hasUKM bool
	var algorithm AlgorithmIdentifier
	if !s.SkipASN1(cbasn1.INTEGER) || !s.ReadASN1(&originator, context(0)) ||
		!s.ReadOptionalASN1(&explicitUKM, &hasUKM, context(1)) ||
		!readAlgorithm(&s, &algorithm) ||
		!s.ReadASN1(&keys, cbasn1.SEQUENCE) || !s.Empty() {
		return malformed("KeyAgreeRecipientInfo")
	}
	shared := KeyAgreeRecipient{Algorithm: algorithm.Algorithm, rawKeyWrap: algorithm.Parameters}
	if hasUKM {
		var ukm cryptobyte.String
		if !explicitUKM.ReadASN1(&ukm, cbasn1.OCTET_STRING) || !explicitUKM.Empty() {
			return malformed("KeyAgreeRecipientInfo")
		}
		shared.UKM = ukm[:len(ukm):len(ukm)]
	}
	if !originator.PeekASN1Tag(context(1)) {
		return nil
	}
	var key cryptobyte.String
	var keyAlgorithm AlgorithmIdentifier
	if !originator.ReadASN1(&key, context(1)) || !originator.Empty() ||
		!readAlgorithm(&key, &keyAlgorithm) ||
		!key.ReadASN1BitStringAsBytes((*[]byte)(&shared.Ephemeral)) || !key.Empty() {
		return malformed("OriginatorPublicKey")
	}
	params := cryptobyte.String(algorithm.Parameters)
	if keyAlgorithm.Algorithm != oidECPublicKey || !readAlgorithm(&params, &shared.KeyWrap) || !params.Empty() {
		return nil // a scheme of another family
	}
	for n := 0; !keys.Empty(); n++ {
		r := shared
		var seq, encrypted cryptobyte.String
		if n == maxRecipients || !keys.ReadASN1(&seq, cbasn1.SEQUENCE) || !readKeyAgreeID(&seq, &r.RecipientID) ||
			!seq.ReadASN1(&encrypted, cbasn1.OCTET_STRING) || !seq.Empty() {
			return malformed("RecipientEncryptedKey")
		}
		r.EncryptedKey = encrypted
		e.KeyAgree = append(e.KeyAgree, r)
	}
	return nil
}

// readKeyAgreeID reads issuerAndSerialNumber or [0] RecipientKeyIdentifier,
// which unlike its key transport sibling is a SEQUENCE.
func readKeyAgreeID(s *cryptobyte.String, out *RecipientID) bool {
	if !s.PeekASN1Tag(context(0)) {
		return readIssuerAndSerial(s, &out.ID)
	}
	var seq, id cryptobyte.String
	if !s.ReadASN1(&seq, context(0)) || !seq.ReadASN1(&id, cbasn1.OCTET_STRING) || len(id) == 0 {
		return false
	}
	out.SubjectKeyID = id
	return true
}

// DecryptAgreed opens the content with the EC key of the recipient
// certificate. It fails as Decrypt does: always with ErrDecrypt.
func (e *EnvelopedData) DecryptAgreed(c *Certificate, key KeyAgreer) ([]byte, error) {
	for i := range e.KeyAgree {
		if r := &e.KeyAgree[i]; r.Matches(c) {
			return e.open(func(int) []byte { return r.unwrap(key) })
		}
	}
	return nil, ErrDecrypt
}

func (r *KeyAgreeRecipient) unwrap(key KeyAgreer) []byte {
	hash, known := agreementHash(r.Algorithm)
	size, wraps := keyWrapSize(r.KeyWrap.Algorithm)
	if !known || !wraps {
		return nil
	}
	ephemeral, err := key.Curve().NewPublicKey(r.Ephemeral) // checks that the point is on the curve
	if err != nil {
		return nil
	}
	secret, err := key.ECDH(ephemeral)
	if err != nil {
		return nil
	}
	return aesKeyUnwrap(deriveX963(hash, secret, r.rawKeyWrap, r.UKM, size), r.EncryptedKey)
}

// keyAgreeTo is ephemeral-static ECDH to a certificate's EC key.
type keyAgreeTo struct {
	id  IssuerAndSerial
	key *ecdh.PublicKey
}

func (r keyAgreeTo) wrap(contentKey []byte) (func(*cryptobyte.Builder), int64, error) {
	ephemeral, err := r.key.Curve().GenerateKey(rand.Reader)
	if err != nil {
		return nil, 0, fmt.Errorf("cms: ephemeral key: %w", err)
	}
	secret, err := ephemeral.ECDH(r.key)
	if err != nil {
		return nil, 0, fmt.Errorf("cms: key agreement: %w", err)
	}
	wrap, size := OIDAES128Wrap, 16
	if len(contentKey) > 16 { // the wrap is never weaker than what it wraps
		wrap, size = OIDAES256Wrap, 32
	}
	var params cryptobyte.Builder
	AlgorithmIdentifier{Algorithm: wrap}.add(&params)
	wrapAlgorithm := params.BytesOrPanic()
	encrypted, err := aesKeyWrap(deriveX963(crypto.SHA256, secret, wrapAlgorithm, nil, size), contentKey)
	if err != nil {
		return nil, 0, err
	}
	return func(b *cryptobyte.Builder) {
		b.AddASN1(context(1), func(b *cryptobyte.Builder) {
			b.AddASN1Int64(3)
			b.AddASN1(context(0), func(b *cryptobyte.Builder) { // originator
				b.AddASN1(context(1), func(b *cryptobyte.Builder) { // originatorKey
					AlgorithmIdentifier{Algorithm: oidECPublicKey}.add(b)
					b.AddASN1BitString(ephemeral.PublicKey().Bytes())
				})
			})
			AlgorithmIdentifier{OIDECDHWithSHA256, wrapAlgorithm}.add(b)
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					r.id.add(b)
					b.AddASN1OctetString(encrypted)
				})
			})
		})
	}, 2, nil
}

// deriveX963 is the key derivation of ANSI X9.63 over ECC-CMS-SharedInfo (RFC
// 5753 §7.2): the key wrap algorithm exactly as sent, the key material of the
// sender if any, and the size of the key wanted, in bits.
func deriveX963(h crypto.Hash, secret, keyInfo, ukm []byte, size int) []byte {
	var info cryptobyte.Builder
	info.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(keyInfo)
		if ukm != nil {
			b.AddASN1(context(0), func(b *cryptobyte.Builder) { b.AddASN1OctetString(ukm) })
		}
		b.AddASN1(context(2), func(b *cryptobyte.Builder) {
			b.AddASN1OctetString(binary.BigEndian.AppendUint32(nil, uint32(size*8)))
		})
	})
	shared := info.BytesOrPanic()
	var key []byte
	for counter := uint32(1); len(key) < size; counter++ {
		d := h.New()
		d.Write(secret)
		d.Write(binary.BigEndian.AppendUint32(nil, counter))
		d.Write(shared)
		key = d.Sum(key)
	}
	return key[:size]
}
