package cms

import (
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// maxRecipients bounds the recipients of a message. Some clients encrypt to
// every certificate GetCACert gave them; nobody has sixteen.
const maxRecipients = 16

// EnvelopedData is encrypted content with the ways to open it (RFC 5652 §6).
// The recipient lists hold those this package understands, in the order sent;
// others are passed over.
type EnvelopedData struct {
	KeyTrans    []KeyTransRecipient
	KeyAgree    []KeyAgreeRecipient
	Passwords   []PasswordRecipient
	ContentType OID
	Cipher      AlgorithmIdentifier
	Ciphertext  []byte
}

// RecipientID names a recipient's certificate by issuer and serial, or by key
// identifier when SubjectKeyID is not nil.
type RecipientID struct {
	ID           IssuerAndSerial
	SubjectKeyID []byte
}

// Matches reports whether the certificate is the one named.
func (r RecipientID) Matches(c *Certificate) bool {
	si := SignerInfo{ID: r.ID, SubjectKeyID: r.SubjectKeyID}
	return si.Matches(c)
}

// KeyTransRecipient holds the content key encrypted to an RSA key (RFC 5652
// §6.2.1).
type KeyTransRecipient struct {
	RecipientID
	Algorithm    AlgorithmIdentifier
	EncryptedKey []byte
}

// KeyAgreeRecipient holds the content key wrapped under a key agreed with an
// ephemeral EC key (RFC 5753 §3.1). The originator's curve is the recipient's.
type KeyAgreeRecipient struct {
	RecipientID
	Ephemeral    []byte // the originator's public point, uncompressed
	UKM          []byte // nil when absent
	Algorithm    OID    // key agreement scheme
	KeyWrap      AlgorithmIdentifier
	EncryptedKey []byte

	rawKeyWrap []byte // KeyWrap as sent: an input of the key derivation
}

// PasswordRecipient holds the content key wrapped under a password (RFC 5652
// §6.2.4).
type PasswordRecipient struct {
	Derivation   AlgorithmIdentifier // PBKDF2
	Wrap         AlgorithmIdentifier
	EncryptedKey []byte
}

// ParseEnvelopedData reads a ContentInfo holding an EnvelopedData, DER or BER.
// It accepts ciphers this package does not know, so that a policy can name
// them; for those it knows, IV and length are checked here, where both are
// still public.
func ParseEnvelopedData(b []byte, l Limits) (*EnvelopedData, error) {
	body, err := readContentInfo(b, oidEnvelopedData, l)
	if err != nil {
		return nil, err
	}
	var seq, recipients cryptobyte.String
	if !body.ReadASN1(&seq, cbasn1.SEQUENCE) || !body.Empty() ||
		!seq.SkipASN1(cbasn1.INTEGER) ||
		!seq.SkipOptionalASN1(context(0)) || // originatorInfo
		!seq.ReadASN1(&recipients, cbasn1.SET) {
		return nil, malformed("EnvelopedData")
	}
	e := &EnvelopedData{}
	for n := 0; !recipients.Empty(); n++ {
		if n == maxRecipients {
			return nil, fmt.Errorf("%w: recipients", ErrTooMany)
		}
		if err := e.readRecipient(&recipients); err != nil {
			return nil, err
		}
	}
	if err := e.readContent(&seq); err != nil {
		return nil, err
	}
	if !seq.SkipOptionalASN1(context(1)) || !seq.Empty() { // unprotectedAttrs
		return nil, malformed("EnvelopedData")
	}
	return e, nil
}

func (e *EnvelopedData) readRecipient(s *cryptobyte.String) error {
	var element, body cryptobyte.String
	var tag cbasn1.Tag
	if !s.ReadAnyASN1Element(&element, &tag) || !element.ReadASN1(&body, tag) {
		return malformed("RecipientInfo")
	}
	switch tag {
	case cbasn1.SEQUENCE:
		var r KeyTransRecipient
		var key cryptobyte.String
		if !body.SkipASN1(cbasn1.INTEGER) || !readRecipientID(&body, &r.RecipientID) ||
			!readAlgorithm(&body, &r.Algorithm) ||
			!body.ReadASN1(&key, cbasn1.OCTET_STRING) || !body.Empty() {
			return malformed("KeyTransRecipientInfo")
		}
		r.EncryptedKey = key
		e.KeyTrans = append(e.KeyTrans, r)
	case context(1):
		return e.readKeyAgree(body)
	case context(3):
		return e.readPassword(body)
	}
	return nil
}

// readRecipientID reads issuerAndSerialNumber or [0] subjectKeyIdentifier.
func readRecipientID(s *cryptobyte.String, out *RecipientID) bool {
	keyID := cbasn1.Tag(0).ContextSpecific()
	if !s.PeekASN1Tag(keyID) {
		return readIssuerAndSerial(s, &out.ID)
	}
	var id cryptobyte.String
	if !s.ReadASN1(&id, keyID) || len(id) == 0 {
		return false
	}
	out.SubjectKeyID = id
	return true
}

// readContent reads EncryptedContentInfo. The [0] of the content is implicit,
// so that content in pieces arrives as [0] around OCTET STRINGs, which
// Normalize cannot tell from an explicit tag.
func (e *EnvelopedData) readContent(s *cryptobyte.String) error {
	var info, content cryptobyte.String
	if !s.ReadASN1(&info, cbasn1.SEQUENCE) || !readOID(&info, &e.ContentType) || !readAlgorithm(&info, &e.Cipher) {
		return malformed("EncryptedContentInfo")
	}
	if primitive := cbasn1.Tag(0).ContextSpecific(); info.PeekASN1Tag(primitive) {
		if !info.ReadASN1(&content, primitive) {
			return malformed("encryptedContent")
		}
		e.Ciphertext = content
	} else {
		if !info.ReadASN1(&content, context(0)) {
			return malformed("encryptedContent")
		}
		for !content.Empty() {
			var piece cryptobyte.String
			if !content.ReadASN1(&piece, cbasn1.OCTET_STRING) {
				return malformed("encryptedContent")
			}
			e.Ciphertext = append(e.Ciphertext, piece...)
		}
	}
	if !info.Empty() {
		return malformed("EncryptedContentInfo")
	}
	if c, ok := ciphers[e.Cipher.Algorithm]; ok {
		if _, ok := c.iv(e.Cipher.Parameters); !ok {
			return malformed("initialisation vector")
		}
		if len(e.Ciphertext) == 0 || len(e.Ciphertext)%c.blockSize != 0 {
			return malformed("length of the encrypted content")
		}
	}
	return nil
}
