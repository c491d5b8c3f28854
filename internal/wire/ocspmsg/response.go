package ocspmsg

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// The answers that say why there is none (RFC 6960 §4.2.1). They are not signed.
var (
	MalformedRequest = []byte{0x30, 0x03, 0x0a, 0x01, 0x01}
	InternalError    = []byte{0x30, 0x03, 0x0a, 0x01, 0x02}
	Unauthorized     = []byte{0x30, 0x03, 0x0a, 0x01, 0x06}
)

// ErrKey is the key of a responder of a kind that is not supported.
var ErrKey = errors.New("ocspmsg: the responder's key is neither RSA nor P-256")

// Status is the state of a certificate.
type Status byte

// The states, as RFC 6960 §4.2.1 numbers them.
const (
	Good    Status = 0
	Revoked Status = 1
	Unknown Status = 2 // never issued here
)

// Single is the answer about one certificate.
type Single struct {
	Cert       CertID // only Raw is used
	Status     Status
	RevokedAt  time.Time
	Reason     int // CRLReason; 0 is left out (RFC 5280 §5.3.1)
	ThisUpdate time.Time
	NextUpdate time.Time
}

// Response is a BasicOCSPResponse before it is signed.
type Response struct {
	ProducedAt time.Time
	Singles    []Single
	Nonce      []byte // Request.Nonce
}

var (
	oidBasic = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 1}
	// The algorithms a responder signs with.
	ecdsaSHA256 = []byte{0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02}
	rsaSHA256   = []byte{0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b, 0x05, 0x00}
)

// Sign gives the DER OCSPResponse, which names the responder by its key and
// holds its certificate. ErrKey for a key that is neither RSA nor P-256.
func (r *Response) Sign(responder *x509.Certificate, key crypto.Signer) ([]byte, error) {
	algorithm := rsaSHA256
	switch pub := key.Public().(type) {
	case *rsa.PublicKey:
	case *ecdsa.PublicKey:
		if pub.Curve != elliptic.P256() {
			return nil, ErrKey
		}
		algorithm = ecdsaSHA256
	default:
		return nil, ErrKey
	}
	name, err := keyHash(responder.RawSubjectPublicKeyInfo)
	if err != nil {
		return nil, err
	}
	tbs, err := r.data(name)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(tbs)
	signature, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	var basic, b cryptobyte.Builder
	basic.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		b.AddBytes(algorithm)
		b.AddASN1BitString(signature)
		b.AddASN1(tag0, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(responder.Raw) })
		})
	})
	body, err := basic.Bytes()
	if err != nil {
		return nil, err
	}
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Enum(0)
		b.AddASN1(tag0, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(oidBasic)
				b.AddASN1OctetString(body)
			})
		})
	})
	return b.Bytes()
}

// data encodes ResponseData.
func (r *Response) data(responder []byte) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(tag2, func(b *cryptobyte.Builder) { b.AddASN1OctetString(responder) })
		b.AddASN1GeneralizedTime(r.ProducedAt.UTC())
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for i := range r.Singles {
				r.Singles[i].add(b)
			}
		})
		if r.Nonce != nil {
			b.AddASN1(tag1, func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddASN1ObjectIdentifier(oidNonce)
						b.AddASN1OctetString(r.Nonce)
					})
				})
			})
		}
	})
	return b.Bytes()
}

func (s *Single) add(b *cryptobyte.Builder) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(s.Cert.Raw)
		switch s.Status {
		case Good:
			b.AddASN1(cbasn1.Tag(0).ContextSpecific(), func(*cryptobyte.Builder) {})
		case Revoked:
			b.AddASN1(tag1, func(b *cryptobyte.Builder) {
				b.AddASN1GeneralizedTime(s.RevokedAt.UTC())
				if s.Reason != 0 {
					b.AddASN1(tag0, func(b *cryptobyte.Builder) { b.AddASN1Enum(int64(s.Reason)) })
				}
			})
		default:
			b.AddASN1(cbasn1.Tag(2).ContextSpecific(), func(*cryptobyte.Builder) {})
		}
		b.AddASN1GeneralizedTime(s.ThisUpdate.UTC())
		b.AddASN1(tag0, func(b *cryptobyte.Builder) { b.AddASN1GeneralizedTime(s.NextUpdate.UTC()) })
	})
}

// keyHash is the SHA-1 of the public key without its algorithm, by which a
// response names its responder (RFC 6960 §4.2.1).
func keyHash(spki []byte) ([]byte, error) {
	bits, err := PublicKeyBits(spki)
	if err != nil {
		return nil, err
	}
	sum := sha1.Sum(bits)
	return sum[:], nil
}

// PublicKeyBits gives what a key hash is made of: the public key inside a
// SubjectPublicKeyInfo. ErrSyntax when it is none.
func PublicKeyBits(spki []byte) ([]byte, error) {
	input := cryptobyte.String(spki)
	var whole cryptobyte.String
	var bits asn1.BitString
	if !input.ReadASN1(&whole, cbasn1.SEQUENCE) || !whole.SkipASN1(cbasn1.SEQUENCE) || !whole.ReadASN1BitString(&bits) {
		return nil, ErrSyntax
	}
	return bits.RightAlign(), nil
}
