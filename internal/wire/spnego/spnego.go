// Package spnego speaks the negotiation that goes around another mechanism's login
// (RFC 4178, with MS-SPNG for what Windows does): the client's two tokens and what
// the server says to them. Which mechanism is offered, and what its tokens hold, is
// its caller's business.
//
// The client offers mechanisms in its order of preference with the token of the
// first one. Once that mechanism has a key, both sides sign the list, so that
// nobody in between can have shortened it.
package spnego

import (
	"encoding/asn1"
	"errors"

	"golang.org/x/crypto/cryptobyte"
	tags "golang.org/x/crypto/cryptobyte/asn1"
)

// Mechanisms by their object identifiers. Windows has one of its own for
// Kerberos beside the standard's, by a slip of old (RFC 4178 appendix C).
var (
	Kerberos        = asn1.ObjectIdentifier{1, 2, 840, 113554, 1, 2, 2}
	KerberosWindows = asn1.ObjectIdentifier{1, 2, 840, 48018, 1, 2, 2}
	NTLM            = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 2, 10}

	negotiation = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 2}
)

// State is how far the server is (RFC 4178 §4.2.2).
type State int

// The states. A server that says nothing goes on.
const (
	Completed State = iota
	Incomplete
	Rejected
	WantsMIC
)

// Malformed is the error of a token that is none.
var Malformed = errors.New("spnego: malformed token")

// maxToken bounds a server's token, in bytes.
const maxToken = 64 << 10

var (
	context0 = tags.Tag(0).ContextSpecific().Constructed()
	context1 = tags.Tag(1).ContextSpecific().Constructed()
	context2 = tags.Tag(2).ContextSpecific().Constructed()
	context3 = tags.Tag(3).ContextSpecific().Constructed()
	outer    = tags.Tag(0x60) // application 0, constructed (RFC 2743 §3.1)
)

// List is a list of mechanisms in DER: what both sides sign (RFC 4178 §5).
func List(mechanisms []asn1.ObjectIdentifier) []byte {
	var b cryptobyte.Builder
	addList(&b, mechanisms)
	return b.BytesOrPanic()
}

func addList(b *cryptobyte.Builder, mechanisms []asn1.ObjectIdentifier) {
	b.AddASN1(tags.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, m := range mechanisms {
			b.AddASN1ObjectIdentifier(m)
		}
	})
}

// First is the client's first token (NegTokenInit, RFC 4178 §4.2.1).
func First(mechanisms []asn1.ObjectIdentifier, token []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(outer, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(negotiation)
		b.AddASN1(context0, func(b *cryptobyte.Builder) {
			b.AddASN1(tags.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(context0, func(b *cryptobyte.Builder) { addList(b, mechanisms) })
				addOctets(b, context2, token)
			})
		})
	})
	return b.BytesOrPanic()
}

// Next is a further token of the client (NegTokenResp, RFC 4178 §4.2.2): the
// mechanism's, and the signature of the list.
func Next(token, mic []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(context1, func(b *cryptobyte.Builder) {
		b.AddASN1(tags.SEQUENCE, func(b *cryptobyte.Builder) {
			addOctets(b, context2, token)
			addOctets(b, context3, mic)
		})
	})
	return b.BytesOrPanic()
}

func addOctets(b *cryptobyte.Builder, tag tags.Tag, octets []byte) {
	if len(octets) > 0 {
		b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddASN1OctetString(octets) })
	}
}

// Answer is what a server says (NegTokenResp, RFC 4178 §4.2.2).
type Answer struct {
	State     State
	Mechanism asn1.ObjectIdentifier // the one it chose; empty after its first answer
	Token     []byte
	MIC       []byte
}

// Parse reads a server's token; the error is Malformed.
func Parse(b []byte) (*Answer, error) {
	a := &Answer{State: Incomplete}
	all := cryptobyte.String(b)
	var answer, fields cryptobyte.String
	if len(b) > maxToken || !all.ReadASN1(&answer, context1) || !all.Empty() || !answer.ReadASN1(&fields, tags.SEQUENCE) || !answer.Empty() {
		return nil, Malformed
	}
	var state, mechanism, token, mic cryptobyte.String
	var hasState, hasMechanism, hasToken, hasMIC bool
	if !fields.ReadOptionalASN1(&state, &hasState, context0) || !fields.ReadOptionalASN1(&mechanism, &hasMechanism, context1) ||
		!fields.ReadOptionalASN1(&token, &hasToken, context2) || !fields.ReadOptionalASN1(&mic, &hasMIC, context3) || !fields.Empty() {
		return nil, Malformed
	}
	var said int
	if hasState && (!state.ReadASN1Enum(&said) || !state.Empty() || said < int(Completed) || said > int(WantsMIC)) ||
		hasMechanism && (!mechanism.ReadASN1ObjectIdentifier(&a.Mechanism) || !mechanism.Empty()) ||
		hasToken && !readOctets(token, &a.Token) || hasMIC && !readOctets(mic, &a.MIC) {
		return nil, Malformed
	}
	if hasState {
		a.State = State(said)
	}
	return a, nil
}

func readOctets(s cryptobyte.String, out *[]byte) bool {
	var octets cryptobyte.String
	ok := s.ReadASN1(&octets, tags.OCTET_STRING) && s.Empty()
	*out = octets
	return ok
}
