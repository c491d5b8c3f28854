package embedded

import (
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/wire/pkixmsg"
)

// Object identifiers of what only an authority writes.
const (
	oidAuthorityKeyID = "2.5.29.35"
	oidCRLPoints      = "2.5.29.31"
	oidAuthorityInfo  = "1.3.6.1.5.5.7.1.1"
	oidNoCheck        = "1.3.6.1.5.5.7.48.1.5" // RFC 6960 §4.2.2.2.1
	oidOCSPSigning    = "1.3.6.1.5.5.7.3.9"
)

// certificate is what a TBSCertificate is built of (RFC 5280 §4.1).
type certificate struct {
	algorithm           []byte // AlgorithmIdentifier of the signature
	issuer              []byte // RDNSequence
	serial              *big.Int
	notBefore, notAfter time.Time
	subject             pkixmsg.Name
	spki                []byte // SubjectPublicKeyInfo
	extensions          []pkixmsg.Extension
}

// buildTBS encodes a version 3 TBSCertificate. Errors are those of pkixmsg.
func buildTBS(c certificate) ([]byte, error) {
	subject, err := c.subject.DER()
	if err != nil {
		return nil, err
	}
	extensions := make([][]byte, len(c.extensions))
	for i, e := range c.extensions {
		if extensions[i], err = e.DER(); err != nil {
			return nil, err
		}
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddASN1Int64(2) })
		b.AddASN1BigInt(c.serial)
		b.AddBytes(c.algorithm)
		b.AddBytes(c.issuer)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addTime(b, c.notBefore)
			addTime(b, c.notAfter)
		})
		b.AddBytes(subject)
		b.AddBytes(c.spki)
		b.AddASN1(cbasn1.Tag(3).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				for _, e := range extensions {
					b.AddBytes(e)
				}
			})
		})
	})
	return b.Bytes()
}

// addTime writes UTCTime through 2049 and GeneralizedTime from 2050 (RFC 5280
// §4.1.2.5).
func addTime(b *cryptobyte.Builder, t time.Time) {
	if t = t.UTC(); t.Year() < 2050 {
		b.AddASN1UTCTime(t)
		return
	}
	b.AddASN1GeneralizedTime(t)
}

// newSerial gives 128 random bits as a positive number, at most 17 octets in
// DER. Chance alone makes it unique, so no counter has to survive a crash.
func newSerial() (*big.Int, error) {
	var b [16]byte
	for {
		if _, err := rand.Read(b[:]); err != nil {
			return nil, err
		}
		// A number with fewer than 64 bits would be refused as not random; it
		// comes up once in 2^64 tries.
		if n := new(big.Int).SetBytes(b[:]); n.BitLen() > 64 {
			return n, nil
		}
	}
}

// extensions gives those of a leaf, in a fixed order.
func (c *Connector) extensions(i *issuer, r ca.Request, spki []byte, serial *big.Int) ([]pkixmsg.Extension, error) {
	usage, purposes := r.KeyUsage, r.EKUs
	switch r.Purpose {
	case ra.PurposeOCSP:
		usage, purposes = x509.KeyUsageDigitalSignature, []string{oidOCSPSigning}
	case ra.PurposeSCEPRA:
		usage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
	}
	var list []pkixmsg.Extension
	var failed error
	add := func(e pkixmsg.Extension, err error) {
		if failed == nil {
			failed = err
		}
		list = append(list, e)
	}
	add(keyID(spki))
	list = append(list, i.keyIDExtension, constraints(false, -1))
	if usage != 0 {
		add(pkixmsg.KeyUsageExtension(usage))
	}
	if len(purposes) > 0 {
		add(pkixmsg.ExtKeyUsageExtension(purposes, false))
	}
	if len(r.SANs) > 0 {
		add(pkixmsg.SubjectAltName(r.Subject, r.SANs))
	}
	if r.SID != "" {
		add(pkixmsg.SIDExtension(r.SID))
	}
	if r.Purpose == ra.PurposeOCSP {
		// A responder is not asked about itself: its short life stands instead.
		list = append(list, pkixmsg.Extension{OID: oidNoCheck, Value: []byte{5, 0}})
	} else if c.baseURL != "" {
		list = append(list, i.pointers(c.baseURL, ca.ShardOf(serial, c.shards), true)...)
	}
	return list, failed
}

func keyID(spki []byte) (pkixmsg.Extension, error) {
	id, err := pkixmsg.SubjectKeyID(spki, pkixmsg.KeyIDSHA256)
	var b cryptobyte.Builder
	b.AddASN1OctetString(id)
	return pkixmsg.Extension{OID: pkixmsg.OIDSubjectKeyIdentifier, Value: b.BytesOrPanic()}, err
}

// constraints is the critical basic constraints extension; pathLen below zero
// leaves the limit out.
func constraints(isCA bool, pathLen int64) pkixmsg.Extension {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		if isCA {
			b.AddASN1Boolean(true)
		}
		if pathLen >= 0 {
			b.AddASN1Int64(pathLen)
		}
	})
	return pkixmsg.Extension{OID: pkixmsg.OIDBasicConstraints, Critical: true, Value: b.BytesOrPanic()}
}
