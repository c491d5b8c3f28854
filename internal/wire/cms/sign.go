package cms

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// SignOptions describe a SignedData to make.
type SignOptions struct {
	// Content becomes an eContent of type id-data. It is always present, and
	// empty when Content is: certmonger stumbles over an absent one.
	Content []byte
	// Signer makes the signature, Certificate names it and is sent along.
	Signer      crypto.Signer
	Certificate *Certificate
	// Digest is SHA-1, SHA-256, SHA-384 or SHA-512; zero means SHA-256.
	Digest crypto.Hash
	// Attributes are signed beside contentType, messageDigest and, when
	// SigningTime is not zero, signingTime, which must not be among them.
	Attributes  Attributes
	SigningTime time.Time
}

// Sign makes a SignedData in DER: version 1, one signer named by issuer and
// serial, attributes in DER order. The signature algorithm of an RSA key is
// rsaEncryption, the one form that all peers read, older strongSwan included.
func Sign(o SignOptions) ([]byte, error) {
	if o.Digest == 0 {
		o.Digest = crypto.SHA256
	}
	digestOID, ok := hashOID(o.Digest)
	if !ok {
		return nil, fmt.Errorf("%w: digest %v", ErrAlgorithm, o.Digest)
	}
	digest := AlgorithmIdentifier{digestOID, derNull}
	algorithm, err := signatureAlgorithm(o.Signer.Public(), o.Digest)
	if err != nil {
		return nil, err
	}

	contentType, err := o.contentAttributes()
	if err != nil {
		return nil, err
	}
	attrs, err := append(contentType, o.Attributes...).encodeSorted()
	if err != nil {
		return nil, err
	}
	signature, err := o.Signer.Sign(rand.Reader, sum(o.Digest, asSet(attrs)), o.Digest)
	if err != nil {
		return nil, fmt.Errorf("cms: sign: %w", err)
	}

	return contentInfo(oidSignedData, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(1)
			b.AddASN1(cbasn1.SET, digest.add)
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				OIDData.add(b)
				b.AddASN1(context(0), func(b *cryptobyte.Builder) { b.AddASN1OctetString(o.Content) })
			})
			b.AddASN1(context(0), func(b *cryptobyte.Builder) { b.AddBytes(o.Certificate.Raw) })
			b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1Int64(1)
					o.Certificate.ID().add(b)
					digest.add(b)
					b.AddASN1(context(0), func(b *cryptobyte.Builder) { b.AddBytes(attrs) })
					algorithm.add(b)
					b.AddASN1OctetString(signature)
				})
			})
		})
	})
}

// contentAttributes are the attributes about the content and the time.
func (o *SignOptions) contentAttributes() (Attributes, error) {
	var contentType, digest, at cryptobyte.Builder
	OIDData.add(&contentType)
	digest.AddASN1OctetString(sum(o.Digest, o.Content))
	list := Attributes{
		{oidContentType, contentType.BytesOrPanic()},
		{oidMessageDigest, digest.BytesOrPanic()},
	}
	if o.SigningTime.IsZero() {
		return list, nil
	}
	if y := o.SigningTime.UTC().Year(); y >= 1950 && y < 2050 { // RFC 5652 §11.3
		at.AddASN1UTCTime(o.SigningTime.UTC())
	} else {
		at.AddASN1GeneralizedTime(o.SigningTime.UTC())
	}
	value, err := at.Bytes()
	if err != nil {
		return nil, err
	}
	return append(list, Attribute{OIDSigningTime, value}), nil
}

func signatureAlgorithm(key crypto.PublicKey, h crypto.Hash) (AlgorithmIdentifier, error) {
	switch key.(type) {
	case *rsa.PublicKey:
		return AlgorithmIdentifier{OIDRSA, derNull}, nil
	case *ecdsa.PublicKey:
		switch h {
		case crypto.SHA1:
			return AlgorithmIdentifier{OIDECDSAWithSHA1, nil}, nil
		case crypto.SHA256:
			return AlgorithmIdentifier{OIDECDSAWithSHA256, nil}, nil
		case crypto.SHA384:
			return AlgorithmIdentifier{OIDECDSAWithSHA384, nil}, nil
		case crypto.SHA512:
			return AlgorithmIdentifier{OIDECDSAWithSHA512, nil}, nil
		}
	}
	return AlgorithmIdentifier{}, fmt.Errorf("%w: signing key %T", ErrAlgorithm, key)
}

// Degenerate makes a SignedData without signers and content that carries
// certificates and CRLs, each one DER element (RFC 8894 §3.4). Either may be
// empty.
func Degenerate(certificates, crls [][]byte) ([]byte, error) {
	return contentInfo(oidSignedData, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(1)
			b.AddASN1(cbasn1.SET, func(*cryptobyte.Builder) {})
			b.AddASN1(cbasn1.SEQUENCE, OIDData.add)
			addElements(b, context(0), certificates)
			addElements(b, context(1), crls)
			b.AddASN1(cbasn1.SET, func(*cryptobyte.Builder) {})
		})
	})
}

// addElements adds an optional tagged list; an empty one is left out.
func addElements(b *cryptobyte.Builder, tag cbasn1.Tag, elements [][]byte) {
	if len(elements) == 0 {
		return
	}
	b.AddASN1(tag, func(b *cryptobyte.Builder) {
		for _, e := range elements {
			b.AddBytes(e)
		}
	})
}

// contentInfo wraps what body adds in a ContentInfo (RFC 5652 §3).
func contentInfo(contentType OID, body func(*cryptobyte.Builder)) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		contentType.add(b)
		b.AddASN1(context(0), body)
	})
	return b.Bytes()
}
