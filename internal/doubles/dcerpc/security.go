package dcerpc

import "errors"

var (
	errAuthType = errors.New("dcerpc: unknown kind of authentication")
	errLogon    = errors.New("dcerpc: logon failed")
	errSeal     = errors.New("dcerpc: the seal of a PDU is broken")
)

// Kinds of authentication (MS-RPCE 2.2.1.1.7).
const (
	kindSPNEGO   = 0x09
	kindNTLM     = 0x0A
	kindKerberos = 0x10
)

// mechanism is our end of one way to log on, and the protection that follows.
type mechanism interface {
	// accept takes the client's next token and gives ours. After an error the
	// mechanism is of no use.
	accept(token []byte) ([]byte, error)
	done() bool
	// describe fills in who it is.
	describe(*Caller)
	// protection is what seals; it is there when the logon is done.
	protection() protection
}

// protection seals PDUs. stub is changed in place; header and rest are the PDU
// before and after it. Without privacy, octets are only signed.
type protection interface {
	tokenSize() int
	seal(header, stub, rest []byte, signed, privacy bool) (token []byte, err error)
	unseal(header, stub, rest, token []byte, signed, privacy bool) error
	// mic and checkMIC are about octets outside of PDUs: SPNEGO's list.
	mic(data []byte) []byte
	checkMIC(data, mic []byte) error
}

// security is a logon on a connection, named by an id the client chose.
type security struct {
	kind, level byte
	id          uint32
	mech        mechanism
	failed      bool
	caller      *Caller
}

// logon takes the token of a bind or alter_context.
func (c *conn) logon(p *pdu) (*security, []byte, error) {
	s, err := c.securityOf(p)
	if err != nil {
		return nil, nil, err
	}
	reply, err := c.proceed(s, p.token)
	return s, reply, err
}

// securityOf finds the logon that a PDU goes on with, or begins one.
func (c *conn) securityOf(p *pdu) (*security, error) {
	t := p.trailer
	if s := c.logons[t.id]; s != nil {
		if s.kind != t.kind || s.level != t.level || s.failed || s.caller != nil {
			return nil, errLogon
		}
		return s, nil
	}
	if t.level < LevelConnect || t.level > LevelPrivacy || len(c.logons) >= maxContexts {
		return nil, errLogon
	}
	s := &security{kind: t.kind, level: t.level, id: t.id}
	switch t.kind {
	case kindNTLM:
		s.mech = newNTLM(&c.server.Logon)
	case kindKerberos:
		s.mech = newKerberos(&c.server.Logon)
	case kindSPNEGO:
		s.mech = newSPNEGO(&c.server.Logon)
	default:
		return nil, errAuthType
	}
	c.logons[t.id] = s
	return s, nil
}

// proceed hands a token to the mechanism.
func (c *conn) proceed(s *security, token []byte) ([]byte, error) {
	reply, err := s.mech.accept(token)
	if err != nil {
		s.failed = true
		return nil, err
	}
	if s.mech.done() {
		who := Caller{Kind: s.kind, Level: s.level, Header: c.signed}
		s.mech.describe(&who)
		s.caller = &who
		if c.server.Logon.Seen != nil {
			c.server.Logon.Seen(who)
		}
	}
	return reply, nil
}

// auth3 takes the last token of NTLM and Kerberos. It is never answered: that
// the logon failed comes to light with the first request. SPNEGO has a last word
// of its own, so its third token comes in alter_context.
func (c *conn) auth3(p *pdu) error {
	if !c.bound || p.trailer == nil {
		return errDone
	}
	s := c.logons[p.trailer.id]
	if s == nil {
		return errDone
	}
	if s.kind != p.trailer.kind || s.level != p.trailer.level || s.kind == kindSPNEGO || s.failed || s.caller != nil {
		s.failed = true
		return nil
	}
	c.proceed(s, p.token)
	s.failed = s.caller == nil
	return nil
}
