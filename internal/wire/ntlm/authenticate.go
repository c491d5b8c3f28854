package ntlm

import (
	"crypto/rand"
	"crypto/rc4"
	"encoding/binary"
	"slices"
	"time"
)

// Login is who logs in, and to what.
type Login struct {
	User   string // the account's name, or name@domain with no domain beside it
	Domain string // as the account's domain is called; its case counts
	Hash   [16]byte
	Target string // the service, such as host/ca1.corp.example; a server may compare it
	// Bindings ties the login to a TLS channel: the MD5 of the channel bindings
	// structure (MS-NLMP §3.1.5.1.2); empty for none.
	Bindings []byte
}

// chance is what an answer takes from the random source.
type chance struct {
	client [8]byte  // the client's challenge
	key    [16]byte // the session key
}

// Authenticate answers a challenge (MS-NLMP §3.1.5.1.2): it gives the third
// message and the session that begins with it. negotiate is the first message as
// it was sent, since the integrity code covers it. Now serves when the server does
// not tell its time.
func (l Login) Authenticate(negotiate []byte, c *Challenge, now time.Time) ([]byte, *Session, error) {
	var luck chance
	_, _ = rand.Read(luck.client[:])
	_, _ = rand.Read(luck.key[:])
	return l.authenticate(negotiate, c, now, luck)
}

func (l Login) authenticate(negotiate []byte, c *Challenge, now time.Time, luck chance) ([]byte, *Session, error) {
	session, err := newSession(luck.key[:]) // first: without RC4 there is nothing
	if err != nil {
		return nil, nil, err
	}
	key := owf(l.Hash, l.User, l.Domain)
	nt, lm, base := respond(key, c, l.answerPairs(c), now, luck.client)
	wrap, err := rc4.NewCipher(base)
	if err != nil {
		return nil, nil, err
	}
	wrapped := make([]byte, 16)
	wrap.XORKeyStream(wrapped, luck.key[:])

	b := make([]byte, 88, 512)
	copy(b, signature)
	binary.LittleEndian.PutUint32(b[8:], 3)
	binary.LittleEndian.PutUint32(b[60:], c.flags&(offered|flagTargetInfo))
	for _, f := range []struct {
		at    int
		value []byte
	}{
		{28, utf16le(l.Domain)}, {36, utf16le(l.User)}, {44, nil}, {12, lm}, {20, nt}, {52, wrapped},
	} {
		binary.LittleEndian.PutUint16(b[f.at:], uint16(len(f.value)))
		binary.LittleEndian.PutUint16(b[f.at+2:], uint16(len(f.value)))
		binary.LittleEndian.PutUint32(b[f.at+4:], uint32(len(b)))
		b = append(b, f.value...)
	}
	copy(b[72:88], mac(luck.key[:], negotiate, c.raw, b)) // over the message with 16 zero octets here
	return b, session, nil
}

// answerPairs are the server's values with ours: that there is an integrity code,
// the service and the channel.
func (l Login) answerPairs(c *Challenge) []pair {
	ours := []pair{{avFlags, binary.LittleEndian.AppendUint32(nil, avFlagMIC)}, {avTargetName, utf16le(l.Target)}}
	if len(l.Bindings) > 0 {
		ours = append(ours, pair{avBindings, l.Bindings})
	}
	theirs := slices.DeleteFunc(slices.Clone(c.info), func(p pair) bool {
		return p.id == avFlags || p.id == avTargetName || p.id == avBindings
	})
	return append(theirs, ours...)
}

// respond computes the two responses and the session base key (MS-NLMP §3.3.2).
// With the server's time at hand the older response is left empty (§3.1.5.1.2).
func respond(key []byte, c *Challenge, pairs []pair, now time.Time, client [8]byte) (nt, lm, base []byte) {
	stamp, told := c.timestamp()
	if !told {
		stamp = filetime(now)
	}
	temp := []byte{1, 1, 0, 0, 0, 0, 0, 0}
	temp = binary.LittleEndian.AppendUint64(temp, stamp)
	temp = append(temp, client[:]...)
	temp = append(temp, 0, 0, 0, 0)
	temp = appendPairs(temp, pairs)
	temp = append(temp, 0, 0, 0, 0)
	proof := mac(key, c.server[:], temp)
	lm = make([]byte, 24)
	if !told {
		lm = append(mac(key, c.server[:], client[:]), client[:]...)
	}
	return append(slices.Clone(proof), temp...), lm, mac(key, proof)
}

// filetime is t in hundreds of nanoseconds since 1601 (MS-DTYP §2.3.3).
func filetime(t time.Time) uint64 {
	const since1601 = 11644473600 // seconds to 1970
	return uint64(t.Unix()+since1601)*1e7 + uint64(t.Nanosecond()/100)
}
