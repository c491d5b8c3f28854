package rpclogin

import "encoding/asn1"

// initiator is a mechanism inside the SPNEGO that the SMB library speaks.
type initiator struct{ m mechanism }

// OID is the mechanism's name, the standard's where there are several.
func (i *initiator) OID() asn1.ObjectIdentifier {
	names := i.m.offers()
	return names[len(names)-1]
}

// InitSecContext begins.
func (i *initiator) InitSecContext() ([]byte, error) { return i.m.start() }

// AcceptSecContext answers the server.
func (i *initiator) AcceptSecContext(token []byte) ([]byte, error) { return i.m.finish(token) }

// Sum signs the list of mechanisms.
func (i *initiator) Sum(list []byte) []byte { return i.m.sign(list) }

// SessionKey is what SMB makes its keys of: the first 16 octets of the session's
// (MS-SMB2 §3.2.5.3.1).
func (i *initiator) SessionKey() []byte { return i.m.key()[:16] }
