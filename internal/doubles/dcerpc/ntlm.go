package dcerpc

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/rc4"
	"encoding/binary"
	"errors"
	"strings"

	"golang.org/x/crypto/md4"
)

// Flags of NTLM (MS-NLMP 2.2.2.5).
const (
	ntlmUnicode     = 0x00000001
	ntlmTarget      = 0x00000004
	ntlmSign        = 0x00000010
	ntlmSeal        = 0x00000020
	ntlmNTLM        = 0x00000200
	ntlmAlwaysSign  = 0x00008000
	ntlmDomain      = 0x00010000
	ntlmExtended    = 0x00080000
	ntlmTargetInfo  = 0x00800000
	ntlmVersion     = 0x02000000
	ntlm128         = 0x20000000
	ntlmKeyExchange = 0x40000000
	ntlm56          = 0x80000000
)

var (
	errNTLMAccount = errors.New("ntlm: unknown account")
	errNTLMProof   = errors.New("ntlm: the proof is wrong")
	errNTLMMIC     = errors.New("ntlm: the message integrity code is wrong")
	errNTLMEcho    = errors.New("ntlm: the response is about another challenge")
	errNTLMWeak    = errors.New("ntlm: signing, sealing or session keys are not what they have to be")
)

// ntlm is the server's end of NTLM with version 2 responses (MS-NLMP 3.2.5.2,
// connection-oriented without a datagram).
type ntlm struct {
	logon                *Logon
	negotiate, challenge []byte
	nonce                [8]byte
	info                 []avPair
	flags                uint32
	who                  string
	mic                  bool
	spn                  string
	guard                *ntlmGuard
}

func newNTLM(l *Logon) *ntlm { return &ntlm{logon: l} }

func (n *ntlm) done() bool             { return n.guard != nil }
func (n *ntlm) protection() protection { return n.guard }

func (n *ntlm) describe(c *Caller) { c.User, c.MIC, c.SPN = n.who, n.mic, n.spn }

func (n *ntlm) accept(token []byte) ([]byte, error) {
	switch {
	case n.guard != nil:
		return nil, errLogon
	case n.challenge == nil:
		return n.invite(token)
	}
	return nil, n.finish(token)
}

// invite answers a NEGOTIATE_MESSAGE with a CHALLENGE_MESSAGE.
func (n *ntlm) invite(negotiate []byte) ([]byte, error) {
	asked, err := parseNegotiate(negotiate)
	if err != nil {
		return nil, err
	}
	if asked&ntlmUnicode == 0 || asked&ntlmExtended == 0 {
		return nil, errNTLMWeak
	}
	n.negotiate = bytes.Clone(negotiate)
	rand.Read(n.nonce[:])
	l := n.logon
	n.info = []avPair{
		{avDomain, Wide(l.Domain)}, {avComputer, Wide(l.Computer)}, {avDNSDomain, Wide(l.DNSDomain)},
		{avDNSComputer, Wide(strings.ToLower(l.Computer) + "." + l.DNSDomain)},
		{avTimestamp, binary.LittleEndian.AppendUint64(nil, Filetime(l.Now()))},
	}
	n.flags = ntlmUnicode | ntlmTarget | ntlmNTLM | ntlmDomain | ntlmTargetInfo | ntlmVersion |
		asked&(ntlmSign|ntlmSeal|ntlmAlwaysSign|ntlmExtended|ntlm128|ntlmKeyExchange|ntlm56)
	n.challenge = makeChallenge(n.flags, n.nonce, Wide(l.Domain), n.info)
	return n.challenge, nil
}

// finish checks an AUTHENTICATE_MESSAGE and makes the keys.
func (n *ntlm) finish(message []byte) error {
	a, err := parseAuthenticate(message)
	if err != nil {
		return err
	}
	const need = ntlmSign | ntlmSeal | ntlmExtended | ntlm128
	if a.flags&n.flags&need != need || a.flags&ntlmKeyExchange&^n.flags != 0 {
		return errNTLMWeak
	}
	name, password, ok := n.logon.Account(a.user, a.domain)
	if !ok || password == "" {
		return errNTLMAccount
	}
	h := md4.New()
	h.Write(Wide(password))
	owner := hmacMD5(h.Sum(nil), Wide(strings.ToUpper(a.user)+a.domain)) // NTOWFv2
	if !hmac.Equal(hmacMD5(owner, n.nonce[:], a.blob), a.proof) {
		return errNTLMProof
	}
	if err := n.checkEcho(a); err != nil {
		return err
	}
	session := hmacMD5(owner, a.proof)
	if a.flags&ntlmKeyExchange != 0 {
		if len(a.key) != 16 {
			return errNTLMWeak
		}
		session = rc4Once(session, a.key)
	}
	if err := n.checkMIC(message, a, session); err != nil {
		return err
	}
	if v, ok := findPair(a.pairs, avTarget); ok {
		n.spn = Narrow(v)
	}
	n.who = name
	n.guard = newNTLMGuard(session, a.flags&ntlmKeyExchange != 0)
	return nil
}

// checkEcho: what we said of ourselves comes back as it was; the client adds to
// it.
func (n *ntlm) checkEcho(a *authenticate) error {
	for _, p := range n.info {
		if v, ok := findPair(a.pairs, p.id); !ok || !bytes.Equal(v, p.value) {
			return errNTLMEcho
		}
	}
	stamp, _ := findPair(n.info, avTimestamp)
	if !bytes.Equal(a.stamp, stamp) {
		return errNTLMEcho
	}
	return nil
}

// checkMIC checks the code over the three messages, which a client that
// announced it in its attributes must send.
func (n *ntlm) checkMIC(message []byte, a *authenticate, session []byte) error {
	flags, ok := findPair(a.pairs, avFlags)
	if !ok || len(flags) != 4 || flags[0]&avFlagMIC == 0 {
		if n.logon.RequireMIC {
			return errNTLMMIC
		}
		return nil
	}
	if a.payload < micEnd || len(message) < micEnd {
		return errNTLMMIC
	}
	blank := bytes.Clone(message)
	clear(blank[micOffset:micEnd])
	if !hmac.Equal(hmacMD5(session, n.negotiate, n.challenge, blank), message[micOffset:micEnd]) {
		return errNTLMMIC
	}
	n.mic = true
	return nil
}

// ntlmGuard signs and seals with extended session security (MS-NLMP 3.4).
type ntlmGuard struct {
	in, out  ntlmWay
	exchange bool // the checksum is encrypted, too
}

// ntlmWay is one direction.
type ntlmWay struct {
	signKey, sealKey []byte
	stream           *rc4.Cipher
	seq              uint32
}

func newNTLMGuard(session []byte, exchange bool) *ntlmGuard {
	way := func(direction string) ntlmWay {
		key := func(what string) []byte {
			sum := md5.Sum(append(bytes.Clone(session), "session key to "+direction+" "+what+" key magic constant\x00"...))
			return sum[:]
		}
		w := ntlmWay{signKey: key("signing"), sealKey: key("sealing")}
		w.restart()
		return w
	}
	return &ntlmGuard{in: way("client-to-server"), out: way("server-to-client"), exchange: exchange}
}

// restart begins the key stream anew.
func (w *ntlmWay) restart() {
	stream, err := rc4.NewCipher(w.sealKey)
	if err != nil {
		panic(err) // of a key of 16 octets
	}
	w.stream = stream
}

// token makes the signature of the next message from its checksum.
func (g *ntlmGuard) token(w *ntlmWay, parts ...[]byte) []byte {
	le := binary.LittleEndian
	sum := hmacMD5(w.signKey, append([][]byte{le.AppendUint32(nil, w.seq)}, parts...)...)[:8]
	if g.exchange {
		w.stream.XORKeyStream(sum, sum)
	}
	t := append([]byte{1, 0, 0, 0}, sum...)
	t = le.AppendUint32(t, w.seq)
	w.seq++
	return t
}

func (g *ntlmGuard) tokenSize() int { return 16 }

func (g *ntlmGuard) seal(header, stub, rest []byte, _, privacy bool) ([]byte, error) {
	plain := bytes.Clone(stub)
	if privacy {
		g.out.stream.XORKeyStream(stub, stub)
	}
	return g.token(&g.out, header, plain, rest), nil
}

func (g *ntlmGuard) unseal(header, stub, rest, token []byte, _, privacy bool) error {
	if privacy {
		g.in.stream.XORKeyStream(stub, stub)
	}
	if !hmac.Equal(g.token(&g.in, header, stub, rest), token) {
		return errSeal
	}
	return nil
}

// mic signs data; the key stream begins anew afterwards, the count goes on.
func (g *ntlmGuard) mic(data []byte) []byte {
	t := g.token(&g.out, data)
	g.out.restart()
	return t
}

func (g *ntlmGuard) checkMIC(data, mic []byte) error {
	t := g.token(&g.in, data)
	g.in.restart()
	if !hmac.Equal(t, mic) {
		return errSeal
	}
	return nil
}

func hmacMD5(key []byte, parts ...[]byte) []byte {
	h := hmac.New(md5.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

func rc4Once(key, data []byte) []byte {
	stream, err := rc4.NewCipher(key)
	if err != nil {
		panic(err) // of a key of 16 octets
	}
	out := make([]byte, len(data))
	stream.XORKeyStream(out, data)
	return out
}
