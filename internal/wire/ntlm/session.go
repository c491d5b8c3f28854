package ntlm

import (
	"crypto/md5"
	"crypto/rc4"
	"crypto/subtle"
	"encoding/binary"
)

// TokenSize is the length of a signature, in bytes (MS-NLMP §2.2.2.9.2).
const TokenSize = 16

// Session signs and seals what follows a login, by extended session security
// (MS-NLMP §3.4). Messages have to be opened in the order in which they were
// sealed. It is not for concurrent use.
type Session struct {
	key []byte
	out direction
	in  direction
}

// direction is one way of a session: its keys, the one key stream that runs
// through all of its messages, and their count.
type direction struct {
	sign   []byte
	stream *rc4.Cipher
	count  uint32
}

// The constants from which the keys are made (MS-NLMP §3.4.5.2 and §3.4.5.3).
const (
	clientSign = "session key to client-to-server signing key magic constant\x00"
	serverSign = "session key to server-to-client signing key magic constant\x00"
	clientSeal = "session key to client-to-server sealing key magic constant\x00"
	serverSeal = "session key to server-to-client sealing key magic constant\x00"
)

// newSession is the client's side of a session.
func newSession(key []byte) (*Session, error) {
	out, err := newDirection(key, clientSign, clientSeal)
	if err != nil {
		return nil, err
	}
	in, err := newDirection(key, serverSign, serverSeal)
	return &Session{key: key, out: out, in: in}, err
}

func newDirection(key []byte, sign, seal string) (direction, error) {
	signKey, sealKey := md5.Sum(append(key[:16:16], sign...)), md5.Sum(append(key[:16:16], seal...))
	stream, err := rc4.NewCipher(sealKey[:])
	return direction{sign: signKey[:], stream: stream}, err
}

// Key is the exported session key, of which the carrier may make keys of its own.
func (s *Session) Key() []byte { return s.key }

// Seal encrypts data in place and gives its signature, which covers what stands
// before and behind the data, too (MS-NLMP §3.4.3, MS-RPCE §2.2.2.12).
func (s *Session) Seal(before, data, behind []byte) []byte { return s.out.seal(before, data, behind) }

// Unseal decrypts data in place; the error is Tampered.
func (s *Session) Unseal(before, data, behind, token []byte) error {
	return s.in.unseal(before, data, behind, token)
}

// SignList signs the list of mechanisms of a negotiation (RFC 4178 §5), in
// clear. The key stream is afterwards where it was, while the count goes on
// (MS-SPNG §3.2.5.1).
func (s *Session) SignList(list []byte) []byte {
	defer s.out.rewind()()
	return s.out.token(mac(s.out.sign, binary.LittleEndian.AppendUint32(nil, s.out.count), list))
}

// VerifyList checks the server's signature of that list; the error is Tampered.
func (s *Session) VerifyList(list, token []byte) error {
	defer s.in.rewind()()
	return s.in.check(token, mac(s.in.sign, binary.LittleEndian.AppendUint32(nil, s.in.count), list))
}

func (d *direction) seal(before, data, behind []byte) []byte {
	sum := mac(d.sign, binary.LittleEndian.AppendUint32(nil, d.count), before, data, behind)
	d.stream.XORKeyStream(data, data)
	return d.token(sum)
}

func (d *direction) unseal(before, data, behind, token []byte) error {
	d.stream.XORKeyStream(data, data)
	return d.check(token, mac(d.sign, binary.LittleEndian.AppendUint32(nil, d.count), before, data, behind))
}

// token is the signature of the next message: version 1, the encrypted sum, the
// count (MS-NLMP §3.4.4.2).
func (d *direction) token(sum []byte) []byte {
	out := make([]byte, TokenSize)
	out[0] = 1
	d.stream.XORKeyStream(out[4:12], sum[:8])
	binary.LittleEndian.PutUint32(out[12:], d.count)
	d.count++
	return out
}

func (d *direction) check(token, sum []byte) error {
	if subtle.ConstantTimeCompare(token, d.token(sum)) != 1 {
		return Tampered
	}
	return nil
}

// rewind gives a function that sets the key stream back to where it is now.
func (d *direction) rewind() func() {
	was := *d.stream
	return func() { *d.stream = was }
}
