package ndes

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/rc4"
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"golang.org/x/crypto/md4"
)

var (
	errNTLMOrder   = errors.New("ntlm: an answer to no challenge")
	errNTLMAccount = errors.New("ntlm: unknown account")
	errNTLMProof   = errors.New("ntlm: the proof is wrong")
	errNTLMMIC     = errors.New("ntlm: the message integrity code is wrong")
	errNTLMEcho    = errors.New("ntlm: the response is about another challenge")
)

// exchange is an NTLM logon under way: what was said so far.
type exchange struct {
	negotiate, challenge []byte
	nonce                [8]byte
	info                 []pair
	unicode              bool
}

// newExchange answers a NEGOTIATE_MESSAGE with a CHALLENGE_MESSAGE
// (MS-NLMP 3.2.5.1.1).
func (s *Server) newExchange(negotiate []byte) (*exchange, error) {
	asked, err := parseNegotiate(negotiate)
	if err != nil {
		return nil, err
	}
	x := &exchange{negotiate: bytes.Clone(negotiate), unicode: asked&flagUnicode != 0}
	rand.Read(x.nonce[:])
	x.info = []pair{
		{avDomain, wide(s.cfg.Domain)}, {avComputer, wide(s.cfg.Computer)},
		{avDNSDomain, wide(s.cfg.DNSDomain)}, {avDNSComputer, wide(strings.ToLower(s.cfg.Computer) + "." + s.cfg.DNSDomain)},
		{avTimestamp, binary.LittleEndian.AppendUint64(nil, filetime(s.cfg.Now()))},
	}
	flags := uint32(flagTarget | flagNTLM | flagDomain | flagTargetInfo | flagVersion)
	flags |= asked & (flagSign | flagSeal | flagAlwaysSign | flagExtended | flag128 | flagKeyExchange | flag56)
	target := []byte(s.cfg.Domain)
	if x.unicode {
		flags |= flagUnicode
		target = wide(s.cfg.Domain)
	} else {
		flags |= flagOEM
	}
	info := appendPairs(nil, x.info)

	le := binary.LittleEndian
	b := append([]byte(ntlmSignature), 2, 0, 0, 0)
	field := func(n, offset int) {
		b = le.AppendUint16(b, uint16(n))
		b = le.AppendUint16(b, uint16(n))
		b = le.AppendUint32(b, uint32(offset))
	}
	field(len(target), 56)
	b = le.AppendUint32(b, flags)
	b = append(b, x.nonce[:]...)
	b = append(b, make([]byte, 8)...)
	field(len(info), 56+len(target))
	b = append(b, 10, 0, 0x7c, 0x4f, 0, 0, 0, 15) // Windows 10.0.20348, NTLM revision 15
	b = append(b, target...)
	x.challenge = append(b, info...)
	return x, nil
}

// filetime counts 100 ns since 1601.
func filetime(t time.Time) uint64 { return uint64(t.UnixNano()/100) + 116444736000000000 }

// finish checks an AUTHENTICATE_MESSAGE (MS-NLMP 3.2.5.1.2) and gives whose it
// is. Only NTLMv2 counts.
func (x *exchange) finish(message []byte, find func(user, domain string) *Account) (*Account, error) {
	a, err := parseAuthenticate(message, x.unicode)
	if err != nil {
		return nil, err
	}
	account := find(a.user, a.domain)
	if account == nil {
		return nil, errNTLMAccount
	}
	h := md4.New()
	h.Write(wide(account.Password))
	owner := mac(h.Sum(nil), wide(strings.ToUpper(a.user)+a.domain)) // NTOWFv2
	if !hmac.Equal(mac(owner, x.nonce[:], a.blob), a.proof) {
		return nil, errNTLMProof
	}
	// What we said of ourselves must come back as it was; the client adds to it.
	for _, p := range x.info {
		if p.id == avTimestamp {
			continue
		}
		if v, ok := findPair(a.pairs, p.id); !ok || !bytes.Equal(v, p.value) {
			return nil, errNTLMEcho
		}
	}
	if v, ok := findPair(a.pairs, avFlags); ok && len(v) == 4 && binary.LittleEndian.Uint32(v)&avFlagMIC != 0 {
		return account, x.checkMIC(message, a, mac(owner, a.proof))
	}
	return account, nil
}

// checkMIC checks the code over the three messages (3.2.5.1.2), which a client
// that announced it in its attributes must send.
func (x *exchange) checkMIC(message []byte, a *authenticate, key []byte) error {
	if a.mic == nil {
		return errNTLMMIC
	}
	if a.flags&flagKeyExchange != 0 {
		if len(a.key) != 16 {
			return errNTLMMIC
		}
		stream, err := rc4.NewCipher(key)
		if err != nil {
			return err
		}
		key = make([]byte, 16)
		stream.XORKeyStream(key, a.key)
	}
	blank := bytes.Clone(message)
	clear(blank[micOffset:micEnd])
	if !hmac.Equal(mac(key, x.negotiate, x.challenge, blank), a.mic) {
		return errNTLMMIC
	}
	return nil
}

func mac(key []byte, parts ...[]byte) []byte {
	h := hmac.New(md5.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}
