package gsskrb

import (
	"crypto/rand"
	"encoding/asn1"
	"encoding/binary"
	"sync/atomic"
	"time"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// Flags of the checksum in an authenticator (RFC 4121 §4.1.1.1, MS-KILE §3.4.5).
const (
	wantMutual   = 0x0002
	wantReplay   = 0x0004
	wantSequence = 0x0008
	wantSeal     = 0x0010
	wantSign     = 0x0020
	wantDCE      = 0x1000
)

// checksumGSS is the type of that checksum, which is none (RFC 4121 §4.1.1).
const checksumGSS = 0x8003

// maxAnswer bounds an AP-REP, in bytes; servers send some 150.
const maxAnswer = 16 << 10

// Login is a ticket on its way to a server.
type Login struct {
	style  Style
	ticket Ticket
	time   time.Time // the authenticator's, whole seconds
	micros int
	seq    uint32
}

// Start makes the first message, an AP-REQ (RFC 4120 §5.5.1). Now is told to the
// server, which compares it with its own clock. The error is NotAES for a session
// key of another kind.
func Start(style Style, t Ticket, now time.Time) (l *Login, token []byte, err error) {
	defer guard(&err)
	if _, err := aes(t.Key); err != nil {
		return nil, nil, err
	}
	random := make([]byte, 4)
	_, _ = rand.Read(random)
	l = &Login{
		style: style, ticket: t, time: now.UTC().Truncate(time.Second), micros: nextMicros(),
		seq: binary.BigEndian.Uint32(random) & 0x3fffffff, // some servers take the number for a signed one
	}
	a, err := types.NewAuthenticator(t.Realm, t.Client)
	if err != nil {
		return nil, nil, err
	}
	a.CTime, a.Cusec, a.SeqNumber = l.time, l.micros, int64(l.seq)
	a.Cksum = types.Checksum{CksumType: checksumGSS, Checksum: checksum(style)}
	q, err := messages.NewAPReq(t.Ticket, t.Key, a)
	if err != nil {
		return nil, nil, err
	}
	if style != OneWay {
		types.SetFlag(&q.APOptions, flags.APOptionMutualRequired)
	}
	if token, err = q.Marshal(); err != nil {
		return nil, nil, err
	}
	if style != DCE {
		token = frame(tokenRequest, token)
	}
	return l, token, nil
}

// logins counts the logins of this process, from a random start.
var logins atomic.Uint32

func init() {
	random := make([]byte, 4)
	_, _ = rand.Read(random)
	logins.Store(binary.BigEndian.Uint32(random))
}

// nextMicros is the part of an authenticator's time below a second. It is counted
// rather than measured, because a server takes two logins of one microsecond for
// one that is replayed (RFC 4120 §3.2.3).
func nextMicros() int { return int(logins.Add(1) % 1e6) }

// checksum is the authenticator's: no channel bindings, and what is wanted
// (RFC 4121 §4.1.1).
func checksum(style Style) []byte {
	var want uint32 = wantSeal | wantSign
	switch style {
	case DCE:
		want |= wantMutual | wantReplay | wantSequence | wantDCE
	case Mutual:
		want |= wantMutual | wantReplay | wantSequence
	}
	out := make([]byte, 24)
	binary.LittleEndian.PutUint32(out, 16)
	binary.LittleEndian.PutUint32(out[20:], want)
	return out
}

// reply is an AP-REP, and replyPart what is encrypted in it (RFC 4120 §5.5.2).
type (
	reply struct {
		Version int       `asn1:"explicit,tag:0"`
		Type    int       `asn1:"explicit,tag:1"`
		Part    encrypted `asn1:"explicit,tag:2"`
	}
	encrypted struct {
		Type    int32  `asn1:"explicit,tag:0"`
		Version int    `asn1:"explicit,optional,tag:1"`
		Cipher  []byte `asn1:"explicit,tag:2"`
	}
	replyPart struct {
		Time   time.Time `asn1:"generalized,explicit,tag:0"`
		Micros int       `asn1:"explicit,tag:1"`
		Subkey subkey    `asn1:"explicit,optional,tag:2"`
		Seq    int64     `asn1:"explicit,optional,tag:3"`
	}
	subkey struct {
		Type  int32  `asn1:"explicit,tag:0"`
		Value []byte `asn1:"explicit,tag:1"`
	}
	// thirdPart is a replyPart with no subkey and always a number, be it zero.
	thirdPart struct {
		Time   time.Time `asn1:"generalized,explicit,tag:0"`
		Micros int       `asn1:"explicit,tag:1"`
		Seq    int64     `asn1:"explicit,tag:3"`
	}
)

// Parameters of the two, which have tags of the application class.
const (
	replyTag     = "application,explicit,tag:15"
	replyPartTag = "application,explicit,tag:27"

	replyType = 15
)

// Finish reads the server's answer, which proves that it has the service's key,
// and gives the context that begins. In DCE style there is a third message, to be
// sent before anything else. Errors: Refused, Malformed, Forged, NotAES.
func (l *Login) Finish(answer []byte) (c *Context, third []byte, err error) {
	defer guard(&err)
	if len(answer) > maxAnswer {
		return nil, nil, Malformed
	}
	id, inner, framed := unframe(answer)
	switch {
	case framed && id == tokenError: // in DCE style, too
		return nil, nil, refusal(inner)
	case framed != (l.style != DCE), framed && id != tokenReply:
		return nil, nil, Malformed
	case framed:
		answer = inner
	}
	part, err := l.open(answer)
	if err != nil {
		return nil, nil, err
	}
	if !part.Time.Equal(l.time) || part.Micros != l.micros {
		return nil, nil, Forged
	}
	seq := uint32(part.Seq) // a few servers write large ones as negative
	key, sub := l.ticket.Key, len(part.Subkey.Value) > 0
	if sub {
		key = types.EncryptionKey{KeyType: part.Subkey.Type, KeyValue: part.Subkey.Value}
	}
	if c, err = newContext(key, sub, uint64(l.seq), uint64(seq)); err != nil {
		return nil, nil, err
	}
	if l.style == DCE {
		third, err = l.third(seq)
	}
	return c, third, err
}

// open decrypts an AP-REP.
func (l *Login) open(b []byte) (replyPart, error) {
	var r reply
	if rest, err := asn1.UnmarshalWithParams(b, &r, replyTag); err != nil || len(rest) > 0 || r.Type != replyType {
		return replyPart{}, refusal(b)
	}
	if r.Part.Type != l.ticket.Key.KeyType {
		return replyPart{}, NotAES
	}
	if len(r.Part.Cipher) < 16+12 { // confounder and checksum; the library does not look
		return replyPart{}, Malformed
	}
	clear, err := crypto.DecryptMessage(r.Part.Cipher, l.ticket.Key, usageAPRep)
	if err != nil {
		return replyPart{}, Forged
	}
	var p replyPart
	if _, err := asn1.UnmarshalWithParams(clear, &p, replyPartTag); err != nil {
		return replyPart{}, Malformed
	}
	return p, nil
}

// refusal reads a KRB-ERROR.
func refusal(b []byte) error {
	var e messages.KRBError
	if err := e.Unmarshal(b); err != nil {
		return Malformed
	}
	return &Refused{e.ErrorCode}
}

// third is the client's AP-REP: it tells the server its own number back
// (MS-KILE §3.4.5.1).
func (l *Login) third(seq uint32) ([]byte, error) {
	clear, err := asn1.MarshalWithParams(thirdPart{Time: l.time, Micros: l.micros, Seq: int64(seq)}, replyPartTag)
	if err != nil {
		return nil, err
	}
	sealed, err := crypto.GetEncryptedData(clear, l.ticket.Key, usageAPRep, 0)
	if err != nil {
		return nil, err
	}
	return asn1.MarshalWithParams(reply{Version: 5, Type: replyType, Part: encrypted{Type: sealed.EType, Cipher: sealed.Cipher}}, replyTag)
}

// Identifiers of framed tokens (RFC 4121 §4.1).
const (
	tokenRequest = 0x0100
	tokenReply   = 0x0200
	tokenError   = 0x0300
)

// mechanism is Kerberos' object identifier (RFC 4121 §1), as DER has it.
var mechanism = []byte{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02}

// frame puts a message in the frame of GSS-API (RFC 2743 §3.1).
func frame(id uint16, message []byte) []byte {
	inner := append(binary.BigEndian.AppendUint16(append([]byte{}, mechanism...), id), message...)
	out, _ := asn1.Marshal(asn1.RawValue{Class: asn1.ClassApplication, IsCompound: true, Bytes: inner})
	return out
}

func unframe(b []byte) (id uint16, message []byte, ok bool) {
	var v asn1.RawValue
	rest, err := asn1.Unmarshal(b, &v)
	if err != nil || len(rest) > 0 || v.Class != asn1.ClassApplication || v.Tag != 0 || len(v.Bytes) < len(mechanism)+2 || string(v.Bytes[:len(mechanism)]) != string(mechanism) {
		return 0, nil, false
	}
	b = v.Bytes[len(mechanism):]
	return binary.BigEndian.Uint16(b), b[2:], true
}
