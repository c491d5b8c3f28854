// Package ntlm speaks NTLM version 2 as a client (MS-NLMP): the three messages of
// a login, and the signing and sealing that its session key gives to whatever
// carries it, remote procedure calls or SMB.
//
// What comes in is a password, the name of the service and the server's challenge;
// what goes out are the two messages of the client and a [Session]. Of the many
// variants of NTLM this package speaks one: Unicode, NTLMv2, extended session
// security, 128 bits, key exchange, a message integrity code over the whole
// exchange and the service's name among the values the server can check. A server
// that leaves out any of it is refused, since everything less can be forged or
// guessed. A program restricted to FIPS 140 has no RC4 and MD5, hence no NTLM:
// Kerberos serves there.
//
// It knows bytes only: no connection, no clock, and no way in which the messages
// travel.
package ntlm

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"strings"
	"unicode/utf16"

	"golang.org/x/crypto/md4"
)

// Flags of NEGOTIATE (MS-NLMP §2.2.2.5).
const (
	flagUnicode     = 0x00000001
	flagTarget      = 0x00000004
	flagSign        = 0x00000010
	flagSeal        = 0x00000020
	flagNTLM        = 0x00000200
	flagAlwaysSign  = 0x00008000
	flagExtended    = 0x00080000
	flagTargetInfo  = 0x00800000
	flag128         = 0x20000000
	flagKeyExchange = 0x40000000
	flag56          = 0x80000000

	// offered is what the client asks for, required what it does not do without.
	offered  = flagUnicode | flagTarget | flagSign | flagSeal | flagNTLM | flagAlwaysSign | flagExtended | flag128 | flagKeyExchange | flag56
	required = flagUnicode | flagSign | flagSeal | flagExtended | flagTargetInfo | flag128 | flagKeyExchange
)

// signature begins every message; the message's type follows.
const signature = "NTLMSSP\x00"

// Errors of this package. Malformed is a challenge that is none; Weak is one from
// a server that leaves out what makes NTLM safe; Tampered is a message whose
// signature does not fit, or that came out of its order.
var (
	Malformed = errors.New("ntlm: malformed challenge")
	Weak      = errors.New("ntlm: the server does not offer NTLMv2 with signing, sealing, 128 bits and key exchange")
	Tampered  = errors.New("ntlm: the signature does not fit the message")
)

// Negotiate is the first message (MS-NLMP §2.2.1.1), without names and version.
func Negotiate() []byte {
	b := make([]byte, 0, 40)
	b = append(b, signature...)
	b = binary.LittleEndian.AppendUint32(b, 1)
	b = binary.LittleEndian.AppendUint32(b, offered)
	return append(b, make([]byte, 40-len(b))...)
}

// Hash is the NT hash of a password (MS-NLMP §3.3.2). It is as good as the
// password to whoever has it.
func Hash(password string) [16]byte {
	h := md4.New()
	h.Write(utf16le(password))
	return [16]byte(h.Sum(nil))
}

// owf is NTOWFv2: the key that belongs to a user of a domain. The case of the
// domain counts (MS-NLMP §3.3.2).
func owf(hash [16]byte, user, domain string) []byte {
	return mac(hash[:], utf16le(strings.ToUpper(user)+domain))
}

func mac(key []byte, parts ...[]byte) []byte {
	h := hmac.New(md5.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

func utf16le(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

func fromUTF16(b []byte) string {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(units))
}
