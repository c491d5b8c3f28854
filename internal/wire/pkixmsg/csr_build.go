package pkixmsg

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"slices"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// maxChallenge is generous: RFC 2985 says 255 characters, but the challenges of
// device management services are signed blobs of up to 2 KiB.
const maxChallenge = 8 << 10

// CSRRequest is what BuildCSR makes a request of. Only Signer is needed.
type CSRRequest struct {
	Name              Name
	SANs              []GeneralName      // become one extension
	Extensions        []Extension        // requested as they are, behind the SANs
	Attributes        []RequestAttribute // further attributes, their values in DER
	ChallengePassword string             // a secret; empty leaves the attribute out
	Signer            crypto.Signer      // RSA, P-256, P-384, P-521 or Ed25519
	// PublicKey is the one to certify where it is not the Signer's: such a request
	// proves possession of no key, and CheckSignature refuses it.
	PublicKey crypto.PublicKey
}

// BuildCSR makes and signs a request (RFC 2986), at most 64 KiB. RSA keys sign
// with PKCS #1 v1.5 and SHA-256, elliptic curve keys with the hash of their
// size. What DER, Check and CheckKey refuse is refused here with their errors; a
// failure of the signer comes back as it is.
func BuildCSR(r CSRRequest) ([]byte, error) {
	if r.Signer == nil {
		return nil, fault(ErrKey, "Give a private key.", "There is no key to sign the request with.")
	}
	if err := CheckKey(r.Signer.Public()); err != nil {
		return nil, err
	}
	tbs, err := r.info()
	if err != nil {
		return nil, err
	}
	oid, hash := chooseSignature(r.Signer.Public())
	digest := tbs
	if hash != 0 {
		h := hash.New()
		h.Write(tbs)
		digest = h.Sum(nil)
	}
	signature, err := r.Signer.Sign(rand.Reader, digest, hash)
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addOID(b, oid)
			if _, isRSA := r.Signer.Public().(*rsa.PublicKey); isRSA {
				b.AddASN1NULL() // RFC 4055 §5
			}
		})
		b.AddASN1BitString(signature)
	})
	der, err := b.Bytes()
	if err == nil && len(der) > MaxCSRBytes {
		err = tooLarge("request", MaxCSRBytes, "bytes")
	}
	if err != nil {
		return nil, err
	}
	return der, nil
}

// chooseSignature is total for keys that CheckKey takes.
func chooseSignature(pub crypto.PublicKey) (oid string, hash crypto.Hash) {
	switch key := pub.(type) {
	case ed25519.PublicKey:
		return oidEd25519, 0
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P384():
			return oidECSHA384, crypto.SHA384
		case elliptic.P521():
			return oidECSHA512, crypto.SHA512
		}
		return oidECSHA256, crypto.SHA256
	}
	return oidSHA256RSA, crypto.SHA256
}

// info encodes CertificationRequestInfo.
func (r CSRRequest) info() ([]byte, error) {
	subject, err := r.Name.DER()
	if err != nil {
		return nil, err
	}
	public := r.PublicKey
	if public == nil {
		public = r.Signer.Public()
	}
	if err := CheckKey(public); err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	members, err := r.attributes()
	if err != nil {
		return nil, err
	}
	set, err := setOf(tagExplicit0, members) // [0] IMPLICIT Attributes
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(0)
		b.AddBytes(subject)
		b.AddBytes(spki)
		b.AddBytes(set)
	})
	return b.Bytes()
}

// attributes encodes every attribute.
func (r CSRRequest) attributes() ([][]byte, error) {
	list := slices.Clone(r.Attributes)
	extensions, err := r.extensionList()
	if err != nil {
		return nil, err
	}
	if extensions != nil {
		list = append(list, RequestAttribute{OIDExtensionRequest, [][]byte{extensions}})
	}
	if r.ChallengePassword != "" {
		value, err := encodeChallenge(r.ChallengePassword)
		if err != nil {
			return nil, err
		}
		list = append(list, RequestAttribute{OIDChallengePassword, [][]byte{value}})
	}
	var members [][]byte
	for i, a := range list {
		if slices.ContainsFunc(list[:i], func(b RequestAttribute) bool { return a.OID == b.OID }) {
			return nil, fault(ErrBounds, "Give it once.", "The attribute %s is given twice.", a.OID)
		}
		member, err := a.der()
		if err != nil {
			return nil, err
		}
		members = append(members, member)
	}
	return members, nil
}

func (a RequestAttribute) der() ([]byte, error) {
	if len(a.Values) == 0 || slices.ContainsFunc(a.Values, func(v []byte) bool { return !wholeElement(v) }) {
		return nil, badDER("value of attribute "+a.OID, "at least one element")
	}
	set, err := setOf(cbasn1.SET, slices.Clone(a.Values))
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addOID(b, a.OID)
		b.AddBytes(set)
	})
	return b.Bytes()
}

// extensionList encodes the SANs and the other extensions, nil when there are none.
func (r CSRRequest) extensionList() ([]byte, error) {
	var list []Extension
	if len(r.SANs) > 0 {
		san, err := SubjectAltName(r.Name, r.SANs)
		if err != nil {
			return nil, err
		}
		list = append(list, san)
	}
	if list = append(list, r.Extensions...); len(list) == 0 {
		return nil, nil
	}
	if oid, twice := repeatedExtension(list); twice {
		return nil, fault(ErrBounds, "Give it once.", "The extension %s is given twice.", oid)
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, e := range list {
			e.add(b)
		}
	})
	return b.Bytes()
}

// encodeChallenge prefers PrintableString, as RFC 2985 §5.4.1 asks.
func encodeChallenge(password string) ([]byte, error) {
	if len(password) > maxChallenge || !utf8.ValidString(password) {
		return nil, fault(ErrBounds, "Use a shorter challenge of UTF-8 text.",
			"The challenge password is longer than %d bytes, or is not text.", maxChallenge)
	}
	tag := cbasn1.UTF8String
	if isPrintableString(password) {
		tag = cbasn1.PrintableString
	}
	var b cryptobyte.Builder
	b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes([]byte(password)) })
	return b.Bytes()
}
