package rpclogin

import (
	"errors"
	"slices"

	"chancery/internal/wire/msrpc"
	"chancery/internal/wire/spnego"
)

// errOver is the error of a login that is used out of its order.
var errOver = errors.New("rpclogin: the login is not at that point")

// bare is a mechanism as it is: two legs of ours around one of the server's
// (MS-RPCE §3.3.1.5.2.1).
type bare struct {
	m    mechanism
	sent bool
	done bool
}

func (s *bare) AuthType() uint8 { return s.m.authType() }
func (s *bare) Done() bool      { return s.done }
func (s *bare) Answered() bool  { return false }
func (s *bare) TokenSize() int  { return s.m.tokenSize() }

// Next begins, and then answers the server once.
func (s *bare) Next(in []byte) ([]byte, error) {
	if !s.sent {
		s.sent = true
		return s.m.start()
	}
	if s.done {
		return nil, errOver
	}
	out, err := s.m.finish(in)
	s.done = err == nil
	return out, err
}

func (s *bare) Seal(header, stub, trailer []byte, headerSign bool) ([]byte, error) {
	if !s.done {
		return nil, errOver
	}
	return s.m.seal(header, stub, trailer, headerSign)
}

func (s *bare) Unseal(header, stub, trailer, token []byte, headerSign bool) error {
	if !s.done {
		return errOver
	}
	return s.m.unseal(header, stub, trailer, token, headerSign)
}

// negotiated is a mechanism inside SPNEGO (RFC 4178, MS-SPNG): three legs of ours
// and two of the server's, the last of which signs the list of mechanisms.
type negotiated struct {
	m      mechanism
	target string
	leg    int
	done   bool
}

func (s *negotiated) AuthType() uint8 { return msrpc.AuthNegotiate }
func (s *negotiated) Done() bool      { return s.done }
func (s *negotiated) Answered() bool  { return true }
func (s *negotiated) TokenSize() int  { return s.m.tokenSize() }

// Next begins, answers the server and hears its last word.
func (s *negotiated) Next(in []byte) ([]byte, error) {
	s.leg++
	switch s.leg {
	case 1:
		token, err := s.m.start()
		if err != nil {
			return nil, err
		}
		return spnego.First(s.m.offers(), token), nil
	case 2:
		return s.answer(in)
	case 3:
		return nil, s.end(in)
	}
	return nil, errOver
}

// answer goes on with the mechanism and signs the list. Servers do without neither
// (Samba answers the first call with a fault when the signature is missing).
func (s *negotiated) answer(in []byte) ([]byte, error) {
	a, err := spnego.Parse(in)
	if err != nil {
		return nil, negotiationError(err, s.target)
	}
	if a.State == spnego.Rejected || a.State == spnego.Completed || !slices.ContainsFunc(s.m.offers(), a.Mechanism.Equal) {
		return nil, refused(s.target)
	}
	token, err := s.m.finish(a.Token)
	if err != nil {
		return nil, err
	}
	return spnego.Next(token, s.m.sign(spnego.List(s.m.offers()))), nil
}

// end checks the server's signature. It may be missing: what it guards against is
// a weaker mechanism slipped in, and only one is ever offered.
func (s *negotiated) end(in []byte) error {
	a, err := spnego.Parse(in)
	if err != nil {
		return negotiationError(err, s.target)
	}
	if a.State != spnego.Completed {
		return refused(s.target)
	}
	if len(a.MIC) > 0 {
		if err := s.m.verify(spnego.List(s.m.offers()), a.MIC); err != nil {
			return tampered(err, s.target)
		}
	}
	s.done = true
	return nil
}

func (s *negotiated) Seal(header, stub, trailer []byte, headerSign bool) ([]byte, error) {
	if !s.done {
		return nil, errOver
	}
	return s.m.seal(header, stub, trailer, headerSign)
}

func (s *negotiated) Unseal(header, stub, trailer, token []byte, headerSign bool) error {
	if !s.done {
		return errOver
	}
	return s.m.unseal(header, stub, trailer, token, headerSign)
}
