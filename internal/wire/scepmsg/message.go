package scepmsg

import (
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"chancery/internal/wire/cms"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Message is a pkiMessage whose signature holds: it came, unchanged, from
// whoever has the key of Signer. Who that is, the signature does not say.
type Message struct {
	Raw           []byte // as received
	Type          MessageType
	TransactionID TransactionID
	SenderNonce   []byte // 8 to 64 octets; nil in a CertRep without one
	SigningTime   time.Time
	Signer        *cms.Certificate
	Certificates  []*cms.Certificate // those sent along: covered by no signature
	Algorithms    Algorithms

	// The rest is set in a CertRep only.
	Status         Status
	FailInfo       FailInfo // NoFailInfo unless Status is Failure and names a reason
	FailInfoText   string
	RecipientNonce []byte // nil when absent

	floor    Floor
	envelope *cms.EnvelopedData // nil when there is no encrypted content
}

// TransactionID is the client's name for its transaction: text it chose, often
// a digest of its key, never a secret and no proof of anything. Replies echo
// it in the string type it came in.
type TransactionID struct {
	Value string // bytes as sent; no control characters
	Tag   byte   // ASN.1 string type
}

// String gives the text.
func (t TransactionID) String() string { return t.Value }

const maxTransactionID = 255

// Options say how a message is to be read.
type Options struct {
	Limits cms.Limits
	Floor  Floor
	// Signers, when not nil, are the only certificates that may have signed
	// the message; otherwise the signer's is looked for in the message, as in
	// every request.
	Signers []*cms.Certificate
}

// Parse reads a pkiMessage, DER or BER, and verifies its signature and its
// attributes (RFC 8894 §3.2). Errors are those of this package and of cms, and
// a *FloorError for an MD5 signature above the Legacy floor; other algorithms
// are left to Check, so that the message can still be answered.
func Parse(b []byte, o Options) (*Message, error) {
	signed, err := cms.ParseSignedData(b, o.Limits)
	if err != nil {
		return nil, err
	}
	m := &Message{Raw: b, Certificates: signed.Certificates, FailInfo: NoFailInfo, floor: o.Floor}
	m.Algorithms.Digest = signed.Signer.Digest.Algorithm
	m.Algorithms.Signature = signed.Signer.Algorithm.Algorithm
	if m.Signer, err = signer(signed, o.Signers); err != nil {
		return nil, err
	}
	err = signed.Verify(m.Signer, cms.VerifyPolicy{AllowMD5: o.Floor >= Legacy})
	if errors.Is(err, cms.ErrMD5) {
		return nil, &FloorError{o.Floor, "digest", cms.OIDMD5}
	}
	if err != nil {
		return nil, err
	}
	if signed.ContentType != cms.OIDData {
		return nil, fmt.Errorf("%w: %s", cms.ErrContentType, signed.ContentType)
	}
	if err := m.readAttributes(signed.Signer.Attributes); err != nil {
		return nil, err
	}
	if err := m.readEnvelope(signed.Content, o.Limits); err != nil {
		return nil, err
	}
	return m, nil
}

func signer(signed *cms.SignedData, allowed []*cms.Certificate) (*cms.Certificate, error) {
	if allowed == nil {
		return signed.SignerCertificate()
	}
	for _, c := range allowed {
		if signed.Signer.Matches(c) {
			return c, nil
		}
	}
	return nil, cms.ErrNoCertificate
}

// readEnvelope reads the EnvelopedData that all requests and successful
// replies have. Failed and pending ones should have nothing in its place, and
// what they have is of no use.
func (m *Message) readEnvelope(content []byte, l cms.Limits) error {
	if m.Type == CertRep && m.Status != Success {
		return nil
	}
	if len(content) == 0 {
		return ErrNoContent
	}
	envelope, err := cms.ParseEnvelopedData(content, l)
	if err != nil {
		return err
	}
	m.envelope = envelope
	m.Algorithms.Cipher = envelope.Cipher.Algorithm
	switch {
	case len(envelope.KeyTrans) > 0:
		m.Algorithms.KeyTransport = envelope.KeyTrans[0].Algorithm.Algorithm
	case len(envelope.KeyAgree) > 0:
		m.Algorithms.KeyTransport = envelope.KeyAgree[0].Algorithm
	case len(envelope.Passwords) > 0:
		m.Algorithms.KeyTransport = envelope.Passwords[0].Wrap.Algorithm
	}
	return nil
}

func (m *Message) readAttributes(attrs cms.Attributes) error {
	value, ok := attrs.Value(oidMessageType)
	if !ok {
		return ErrNoMessageType
	}
	n, ok := readNumber(value)
	if !ok {
		return ErrMessageType
	}
	m.Type = MessageType(n)

	if value, ok = attrs.Value(oidTransactionID); !ok {
		return ErrNoTransactionID
	}
	if m.TransactionID, ok = readTransactionID(value); !ok {
		return ErrTransactionID
	}

	// A CertRep without senderNonce breaks the rules but harms nobody: the
	// nonce that protects the client is recipientNonce.
	value, ok = attrs.Value(oidSenderNonce)
	if !ok && m.Type != CertRep {
		return ErrNoSenderNonce
	}
	if ok {
		if m.SenderNonce, ok = readNonce(value); !ok {
			return ErrSenderNonce
		}
	}
	if value, ok = attrs.Value(cms.OIDSigningTime); ok {
		if m.SigningTime, ok = readTime(value); !ok {
			return fmt.Errorf("%w: signingTime", cms.ErrMalformed)
		}
	}
	if m.Type == CertRep {
		return m.readReplyAttributes(attrs)
	}
	return nil
}

func (m *Message) readReplyAttributes(attrs cms.Attributes) error {
	value, ok := attrs.Value(oidPKIStatus)
	if !ok {
		return ErrNoStatus
	}
	n, ok := readNumber(value)
	if m.Status = Status(n); !ok || m.Status != Success && m.Status != Failure && m.Status != Pending {
		return ErrStatus
	}
	if value, ok = attrs.Value(oidRecipientNonce); ok {
		if m.RecipientNonce, ok = readNonce(value); !ok {
			return ErrRecipientNonce
		}
	}
	if m.Status != Failure {
		return nil
	}
	if value, ok = attrs.Value(oidFailInfo); ok {
		if n, ok = readNumber(value); !ok {
			return ErrFailInfo
		}
		m.FailInfo = FailInfo(n)
	}
	if value, ok = attrs.Value(oidFailInfoText); ok {
		if text, _, ok := readString(value); ok && utf8.ValidString(text) {
			m.FailInfoText = text
		}
	}
	return nil
}

// Check gives nil, or a *FloorError when the message was made with an
// algorithm below the floor it was parsed under.
func (m *Message) Check() error { return m.floor.Check(m.Algorithms) }

// AddressedTo reports whether the encrypted content is for the RSA key of this
// certificate. It depends on public bytes only, and lets a proxy without keys
// notice a client with an outdated RA certificate.
func (m *Message) AddressedTo(c *cms.Certificate) bool {
	return m.envelope != nil && m.envelope.For(c)
}

// readString reads one of the string types found in the attributes. RFC 8894
// says PrintableString; old and careless clients use the others.
func readString(der []byte) (text string, tag byte, ok bool) {
	s := cryptobyte.String(der)
	var body cryptobyte.String
	var t cbasn1.Tag
	if !s.ReadAnyASN1(&body, &t) || !s.Empty() {
		return "", 0, false
	}
	switch t {
	case cbasn1.PrintableString, cbasn1.UTF8String, cbasn1.IA5String, cbasn1.T61String:
		return string(body), byte(t), true
	}
	return "", 0, false
}

// readNumber reads a string of up to nine decimal digits.
func readNumber(der []byte) (int, bool) {
	text, _, ok := readString(der)
	if !ok || len(text) == 0 || len(text) > 9 {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 31)
	return int(n), err == nil
}

// readTransactionID refuses control characters, so that the text can go into
// logs and pages.
func readTransactionID(der []byte) (TransactionID, bool) {
	text, tag, ok := readString(der)
	if !ok || text == "" || utf8.RuneCountInString(text) > maxTransactionID {
		return TransactionID{}, false
	}
	for i := range len(text) {
		if text[i] < 0x20 || text[i] == 0x7f {
			return TransactionID{}, false
		}
	}
	return TransactionID{text, tag}, true
}

func readNonce(der []byte) ([]byte, bool) {
	s := cryptobyte.String(der)
	var nonce cryptobyte.String
	ok := s.ReadASN1(&nonce, cbasn1.OCTET_STRING) && s.Empty() && len(nonce) >= 8 && len(nonce) <= 64
	return nonce, ok
}

func readTime(der []byte) (time.Time, bool) {
	s := cryptobyte.String(der)
	var t time.Time
	if s.PeekASN1Tag(cbasn1.UTCTime) {
		return t, s.ReadASN1UTCTime(&t) && s.Empty()
	}
	return t, s.ReadASN1GeneralizedTime(&t) && s.Empty()
}
