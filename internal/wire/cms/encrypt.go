package cms

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Recipient adds the way for one recipient to open a message.
type Recipient interface {
	// wrap adds a RecipientInfo that carries the content key; version is the
	// EnvelopedData version it calls for (RFC 5652 §6.1).
	wrap(contentKey []byte) (info func(*cryptobyte.Builder), version int64, err error)
}

// Encrypt makes an EnvelopedData in DER with content of type id-data for one
// recipient. The cipher is OIDAES128CBC, OIDAES192CBC, OIDAES256CBC or
// OIDTripleDESCBC; there is no way to write anything weaker.
func Encrypt(content []byte, cipher OID, to Recipient) ([]byte, error) {
	c, ok := ciphers[cipher]
	if !ok || !c.write {
		return nil, fmt.Errorf("%w: content cipher %s", ErrAlgorithm, cipher.Name())
	}
	key := make([]byte, c.keySize)
	rand.Read(key)
	algorithm, ciphertext, err := c.encrypt(cipher, key, content)
	if err != nil {
		return nil, err
	}
	info, version, err := to.wrap(key)
	if err != nil {
		return nil, err
	}
	return contentInfo(oidEnvelopedData, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(version)
			b.AddASN1(cbasn1.SET, info)
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				OIDData.add(b)
				algorithm.add(b)
				b.AddASN1(cbasn1.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(ciphertext) })
			})
		})
	})
}

// To addresses a message to the key of a certificate: key transport with PKCS
// #1 v1.5 for RSA, which is what every SCEP peer reads, and key agreement for
// an EC key on P-256, P-384 or P-521.
func To(c *Certificate) (Recipient, error) {
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return keyTransTo{id: c.ID(), key: key}, nil
	case *ecdsa.PublicKey:
		public, err := key.ECDH()
		if err != nil {
			return nil, fmt.Errorf("%w: recipient's curve", ErrAlgorithm)
		}
		return keyAgreeTo{id: c.ID(), key: public}, nil
	}
	return nil, fmt.Errorf("%w: recipient's key %T", ErrAlgorithm, c.PublicKey)
}

// ToOAEP addresses a message to an RSA certificate with OAEP key transport
// under SHA-256 (RFC 4055 §4.1), for peers known to read it.
func ToOAEP(c *Certificate) (Recipient, error) {
	key, ok := c.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: recipient's key %T", ErrAlgorithm, c.PublicKey)
	}
	return keyTransTo{id: c.ID(), key: key, oaep: true}, nil
}

type keyTransTo struct {
	id   IssuerAndSerial
	key  *rsa.PublicKey
	oaep bool
}

func (r keyTransTo) wrap(contentKey []byte) (func(*cryptobyte.Builder), int64, error) {
	algorithm := AlgorithmIdentifier{OIDRSA, derNull}
	var encrypted []byte
	var err error
	if r.oaep {
		algorithm = oaepSHA256()
		encrypted, err = rsa.EncryptOAEP(sha256.New(), rand.Reader, r.key, contentKey, nil)
	} else {
		// The mandatory key transport of SCEP (RFC 8894 §2.9); its weakness is
		// on the side that decrypts, which see.
		encrypted, err = rsa.EncryptPKCS1v15(rand.Reader, r.key, contentKey)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("cms: encrypt content key: %w", err)
	}
	return func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(0)
			r.id.add(b)
			algorithm.add(b)
			b.AddASN1OctetString(encrypted)
		})
	}, 0, nil
}

func oaepSHA256() AlgorithmIdentifier {
	hash := AlgorithmIdentifier{OIDSHA256, derNull}
	var inner, params cryptobyte.Builder
	hash.add(&inner)
	mgf := AlgorithmIdentifier{oidMGF1, inner.BytesOrPanic()}
	params.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(context(0), hash.add)
		b.AddASN1(context(1), mgf.add)
	})
	return AlgorithmIdentifier{OIDRSAOAEP, params.BytesOrPanic()}
}
