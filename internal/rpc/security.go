package rpc

// Security is one login on one connection: it makes the tokens of the bind and
// seals what follows (MS-RPCE §3.3.1.5.2). It is not for concurrent use.
type Security interface {
	// AuthType is msrpc.AuthNTLM, AuthKerberos or AuthNegotiate.
	AuthType() uint8
	// Next gives the token for what the server sent, nil at first. An empty one
	// means that there is nothing more to send.
	Next(in []byte) (out []byte, err error)
	// Done reports that no further token is expected from the server.
	Done() bool
	// Answered reports whether the server answers the third leg: then it goes in
	// an alter_context (SPNEGO), otherwise in an auth3.
	Answered() bool
	// TokenSize is the length of the token of a sealed PDU, in bytes.
	TokenSize() int
	// Seal encrypts stub, its padding included, in place and gives the token.
	// header is the PDU up to the stub, trailer the sec_trailer's 8 bytes.
	// headerSign: both sides offered header signing.
	Seal(header, stub, trailer []byte, headerSign bool) (token []byte, err error)
	// Unseal is the reverse; an error means that the PDU is not what the server
	// sent.
	Unseal(header, stub, trailer, token []byte, headerSign bool) error
}
