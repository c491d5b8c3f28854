package dcerpc

import (
	"encoding/asn1"
	"errors"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

var (
	oidSPNEGO       = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 2}
	oidKerberos     = asn1.ObjectIdentifier{1, 2, 840, 113554, 1, 2, 2}
	oidKerberosMS   = asn1.ObjectIdentifier{1, 2, 840, 48018, 1, 2, 2}
	oidNTLM         = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 2, 10}
	errSPNEGO       = errors.New("spnego: malformed token")
	errSPNEGOChoice = errors.New("spnego: no mechanism in common")
	errSPNEGOMIC    = errors.New("spnego: the list of mechanisms is not protected")
)

// States of a negotiation (RFC 4178 4.2.2).
const (
	acceptCompleted  = 0
	acceptIncomplete = 1
	requestMIC       = 3
)

// spnegoMech is the server's end of SPNEGO (RFC 4178) around one of the others.
type spnegoMech struct {
	logon     *Logon
	list      []byte // DER of the client's mechanisms, which the MIC is over
	preferred bool   // the client's first choice was taken
	chosen    asn1.ObjectIdentifier
	inner     mechanism
	listMIC   bool
	ready     bool
}

func newSPNEGO(l *Logon) *spnegoMech { return &spnegoMech{logon: l} }

func (s *spnegoMech) done() bool             { return s.ready }
func (s *spnegoMech) protection() protection { return s.inner.protection() }

func (s *spnegoMech) describe(c *Caller) {
	s.inner.describe(c)
	c.ListMIC = s.listMIC
}

func (s *spnegoMech) accept(token []byte) ([]byte, error) {
	switch {
	case s.ready:
		return nil, errLogon
	case s.inner == nil:
		return s.choose(token)
	}
	return s.goOn(token)
}

// choose takes the NegTokenInit.
func (s *spnegoMech) choose(token []byte) ([]byte, error) {
	list, mechs, first, err := parseNegTokenInit(token)
	if err != nil {
		return nil, err
	}
	s.list = list
	for i, m := range mechs {
		switch {
		case (m.Equal(oidKerberos) || m.Equal(oidKerberosMS)) && s.logon.Keytab != nil:
			s.inner = newKerberos(s.logon)
		case m.Equal(oidNTLM):
			s.inner = newNTLM(s.logon)
		default:
			continue
		}
		s.chosen, s.preferred = m, i == 0
		if !s.preferred { // its token is not for this mechanism: the client begins again
			return negTokenResp(requestMIC, m, nil, nil), nil
		}
		reply, err := s.inner.accept(first)
		if err != nil {
			return nil, err
		}
		return negTokenResp(acceptIncomplete, m, reply, nil), nil
	}
	return nil, errSPNEGOChoice
}

// goOn takes a NegTokenResp.
func (s *spnegoMech) goOn(token []byte) ([]byte, error) {
	inner, mic, err := parseNegTokenResp(token)
	if err != nil {
		return nil, err
	}
	reply, err := s.inner.accept(inner)
	if err != nil {
		return nil, err
	}
	if !s.inner.done() {
		return negTokenResp(acceptIncomplete, nil, reply, nil), nil
	}
	var ours []byte
	switch {
	case mic != nil:
		if err := s.inner.protection().checkMIC(s.list, mic); err != nil {
			return nil, err
		}
		s.listMIC, ours = true, s.inner.protection().mic(s.list)
	case s.logon.RequireListMIC || !s.preferred:
		return nil, errSPNEGOMIC
	}
	s.ready = true
	return negTokenResp(acceptCompleted, nil, reply, ours), nil
}

func tag(n uint8) der.Tag { return der.Tag(n).ContextSpecific().Constructed() }

// parseNegTokenInit reads the first token: the mechanisms, as DER too, and the
// token for the first of them.
func parseNegTokenInit(b []byte) (list []byte, mechs []asn1.ObjectIdentifier, token []byte, err error) {
	in := cryptobyte.String(b)
	var frame, outer, seq, types cryptobyte.String
	var oid asn1.ObjectIdentifier
	if !in.ReadASN1(&frame, der.Tag(0x60)) || !in.Empty() || !frame.ReadASN1ObjectIdentifier(&oid) || !oid.Equal(oidSPNEGO) ||
		!frame.ReadASN1(&outer, tag(0)) || !frame.Empty() || !outer.ReadASN1(&seq, der.SEQUENCE) || !outer.Empty() || !seq.ReadASN1(&types, tag(0)) {
		return nil, nil, nil, errSPNEGO
	}
	list = types
	var names cryptobyte.String
	if !types.ReadASN1(&names, der.SEQUENCE) || !types.Empty() {
		return nil, nil, nil, errSPNEGO
	}
	for !names.Empty() {
		var m asn1.ObjectIdentifier
		if !names.ReadASN1ObjectIdentifier(&m) || len(mechs) > 16 {
			return nil, nil, nil, errSPNEGO
		}
		mechs = append(mechs, m)
	}
	if !seq.SkipOptionalASN1(tag(1)) {
		return nil, nil, nil, errSPNEGO
	}
	token, err = readOptional(&seq, 2)
	return list, mechs, token, err
}

// readOptional reads an OCTET STRING under a tag; nil without.
func readOptional(s *cryptobyte.String, n uint8) ([]byte, error) {
	var content, octets cryptobyte.String
	var there bool
	if !s.ReadOptionalASN1(&content, &there, tag(n)) {
		return nil, errSPNEGO
	}
	if !there {
		return nil, nil
	}
	if !content.ReadASN1(&octets, der.OCTET_STRING) || !content.Empty() {
		return nil, errSPNEGO
	}
	return append([]byte{}, octets...), nil
}

// parseNegTokenResp reads a later token.
func parseNegTokenResp(b []byte) (token, mic []byte, err error) {
	in := cryptobyte.String(b)
	var outer, seq cryptobyte.String
	if !in.ReadASN1(&outer, tag(1)) || !in.Empty() || !outer.ReadASN1(&seq, der.SEQUENCE) || !outer.Empty() ||
		!seq.SkipOptionalASN1(tag(0)) || !seq.SkipOptionalASN1(tag(1)) {
		return nil, nil, errSPNEGO
	}
	if token, err = readOptional(&seq, 2); err != nil {
		return nil, nil, err
	}
	mic, err = readOptional(&seq, 3)
	if err == nil && !seq.Empty() {
		err = errSPNEGO
	}
	return token, mic, err
}

// negTokenResp makes an answer; what is nil is left out.
func negTokenResp(state uint8, mech asn1.ObjectIdentifier, token, mic []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(tag(1), func(b *cryptobyte.Builder) {
		b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(tag(0), func(b *cryptobyte.Builder) { b.AddASN1(der.ENUM, func(b *cryptobyte.Builder) { b.AddUint8(state) }) })
			if mech != nil {
				b.AddASN1(tag(1), func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(mech) })
			}
			if token != nil {
				b.AddASN1(tag(2), func(b *cryptobyte.Builder) { b.AddASN1OctetString(token) })
			}
			if mic != nil {
				b.AddASN1(tag(3), func(b *cryptobyte.Builder) { b.AddASN1OctetString(mic) })
			}
		})
	})
	return b.BytesOrPanic() // nothing in it is too long
}
