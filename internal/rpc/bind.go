package rpc

import (
	"errors"
	"slices"

	"chancery/internal/wire/msrpc"
)

// maxLegs bounds a login: even SPNEGO that changes its mind needs fewer.
const maxLegs = 6

// loginID is the auth_context_id of the one login of a connection.
const loginID = 1

// bind names the interfaces and logs in (MS-RPCE §3.3.1.5.2). It tells how far it
// got.
func (c *Conn) bind() (Hop, error) {
	m := msrpc.Bind{CallID: c.nextCall(), MaxFrag: c.o.MaxFrag, Interfaces: c.interfaces}
	if c.o.Login != nil {
		login, err := c.o.Login(c.o.Target)
		if err != nil {
			return HopLogin, err
		}
		token, err := login.Next(nil)
		if err != nil {
			return HopLogin, err
		}
		c.login, m.HeaderSign, m.Auth = login, true, &msrpc.Auth{Type: login.AuthType(), Context: loginID, Token: token}
	}
	p, ack, err := c.negotiate(m, msrpc.TypeBindAck)
	if err != nil {
		return HopBind, err
	}
	if c.login != nil {
		c.headerSign = p.Flags&msrpc.FlagHeaderSign != 0
		if err := c.logIn(p.Signature, ack.Group); err != nil {
			return HopLogin, err
		}
	}
	return HopBind, c.agree(ack)
}

// agree takes over what the server answered about the interfaces.
func (c *Conn) agree(ack *msrpc.BindAck) error {
	c.maxSend = min(int(c.o.MaxFrag), int(ack.MaxRecv))
	if c.room(true) <= 0 {
		return errTiny
	}
	if len(ack.Results) != len(c.interfaces) {
		return errResults
	}
	c.results = ack.Results
	if !slices.ContainsFunc(c.results, msrpc.Result.Accepted) {
		return &Rejected{c.interfaces[0], c.results[0]}
	}
	return nil
}

// logIn goes on with the token in the bind_ack until neither side has more to say
// (MS-RPCE §3.3.1.5.2.1). What the server does not answer travels in an auth3, and
// whether it was accepted shows at the first call. An alter_context has to name an
// interface, and changes nothing about the first one.
func (c *Conn) logIn(token []byte, group uint32) error {
	for range maxLegs {
		if len(token) == 0 && !c.login.Done() {
			return errNoToken
		}
		if len(token) == 0 {
			return nil
		}
		out, err := c.login.Next(token)
		if err != nil {
			return err
		}
		if len(out) == 0 {
			if !c.login.Done() {
				return errNoToken
			}
			return nil
		}
		auth := msrpc.Auth{Type: c.login.AuthType(), Context: loginID, Token: out}
		if !c.login.Answered() {
			return c.auth3(auth)
		}
		m := msrpc.Bind{Alter: true, CallID: c.nextCall(), MaxFrag: c.o.MaxFrag, Group: group, HeaderSign: c.headerSign, Interfaces: c.interfaces[:1], Auth: &auth}
		p, _, err := c.negotiate(m, msrpc.TypeAlterResp)
		if err != nil {
			return err
		}
		token = p.Signature
	}
	return errLegs
}

// auth3 sends the last leg; nothing comes back.
func (c *Conn) auth3(auth msrpc.Auth) error {
	m := msrpc.Auth3{CallID: c.callID, Auth: auth}
	b, err := m.Bytes()
	if err != nil {
		return err
	}
	_, err = c.rw.Write(b)
	return err
}

// negotiate sends a bind or an alter_context and reads its answer. A bind_nak or a
// fault in place of it is an error.
func (c *Conn) negotiate(m msrpc.Bind, want msrpc.Type) (*msrpc.PDU, *msrpc.BindAck, error) {
	b, err := m.Bytes()
	if err != nil {
		return nil, nil, err
	}
	if _, err := c.rw.Write(b); err != nil {
		return nil, nil, err
	}
	p, err := c.readPDU()
	if err != nil {
		return nil, nil, err
	}
	if status, err := p.Fault(); err == nil {
		return nil, nil, &Fault{status}
	}
	if reason, err := p.BindNak(); err == nil {
		return nil, nil, &nak{reason}
	}
	ack, err := p.BindAck()
	if err != nil || p.Type != want {
		return nil, nil, errors.Join(errUnexpected, err)
	}
	if p.CallID != m.CallID {
		return nil, nil, errOtherCall
	}
	return p, ack, nil
}

// nextCall gives the identifier of the next exchange.
func (c *Conn) nextCall() uint32 {
	c.callID++
	return c.callID
}
