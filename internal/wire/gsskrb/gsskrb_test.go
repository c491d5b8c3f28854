package gsskrb

import (
	"bytes"
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func equal(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s is %x; want %x", what, got, want)
	}
}

// counting is the key 00 01 02 … of n octets.
func counting(n int) types.EncryptionKey {
	k := types.EncryptionKey{KeyType: etypeID.AES256_CTS_HMAC_SHA1_96}
	if n == 16 {
		k.KeyType = etypeID.AES128_CTS_HMAC_SHA1_96
	}
	for i := range n {
		k.KeyValue = append(k.KeyValue, byte(i))
	}
	return k
}

func started(t testing.TB, key types.EncryptionKey, sub bool, out, in uint64) *Context {
	t.Helper()
	c, err := newContext(key, sub, out, in)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// acceptor is the other side of a context.
func acceptor(t testing.TB, key types.EncryptionKey, sub bool, out, in uint64) *Context {
	t.Helper()
	c := started(t, key, sub, in, out)
	c.in, c.out = c.out, c.in
	return c
}

// TestSealValues: a sealed request of remote procedure calls, octet by octet, and
// the keys it is sealed with.
func TestSealValues(t *testing.T) {
	c := started(t, counting(32), true, 7, 0)
	equal(t, "Ke", c.out.ke, unhex(t, "d87ffc255e3713f6cbc13887002b78cdb87d0eed7f465fa1414570a7e3da1248"))
	equal(t, "Ki", c.out.ki, unhex(t, "f0e26e3af0fc1d4921dd1e21d86fb6af3dde9ed39c021cefff85dc55ec7d8446"))
	c.random = bytes.NewReader(bytes.Repeat([]byte{0xc0}, 16))
	stub := bytes.Repeat([]byte{0x41}, 16)
	token, err := c.Seal(unhex(t, "05000003 10000000 7c004c00 02000000 10000000 00000600"), stub, unhex(t, "10060000 01000000"))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "token", token, unhex(t, `050406ff0010001c 0000000000000007
		48114ef9197157abbaff74a4f60fb9010e1e32a7df0b47e4b974d40e57151d97 0adcee230e054791e495d23f df12fef6a780547451c0e2c4163bce87`))
	equal(t, "stub", stub, unhex(t, "7268a78ca9a31690684888b8f1de92b3"))
	if len(token) != TokenSize {
		t.Errorf("the token has %d octets; want %d", len(token), TokenSize)
	}
	if _, err := c.Seal(nil, stub, nil); err == nil {
		t.Error("sealed without randomness")
	}
}

// TestBothWays: messages of any length, with and without what stands around them,
// by keys of both lengths.
func TestBothWays(t *testing.T) {
	for _, key := range []types.EncryptionKey{counting(32), counting(16)} {
		for _, sub := range []bool{true, false} {
			c, s := started(t, key, sub, 100, 1<<32-2), acceptor(t, key, sub, 1<<32-2, 100)
			mic := c.Sign([]byte("list"))
			if err := s.Verify([]byte("list"), mic); err != nil {
				t.Fatal(err)
			}
			if err := c.Verify([]byte("list"), s.Sign([]byte("list"))); err != nil {
				t.Fatal(err)
			}
			for n := range 70 {
				text := bytes.Repeat([]byte{byte(n)}, n)
				data := bytes.Clone(text)
				token, err := c.Seal([]byte("before"), data, []byte("behind"))
				if err != nil || len(token) != TokenSize || n > 16 && bytes.Equal(data, text) {
					t.Fatalf("%d octets: a token of %d, %v", n, len(token), err)
				}
				if err := s.Unseal([]byte("before"), data, []byte("behind"), token); err != nil || !bytes.Equal(data, text) {
					t.Fatalf("%d octets: %v", n, err)
				}
				if token, err = s.Seal(nil, data, nil); err != nil {
					t.Fatal(err)
				}
				if err := c.Unseal(nil, data, nil, token); err != nil || !bytes.Equal(data, text) {
					t.Fatalf("answer of %d octets: %v", n, err)
				}
			}
			if s.out.flags != map[bool]byte{true: 5, false: 1}[sub] || c.in.seq != 1<<32-2+71 {
				t.Errorf("flags %d, number %d", s.out.flags, c.in.seq)
			}
		}
	}
}

// TestSignAsLibrary: the library's signatures are ours.
func TestSignAsLibrary(t *testing.T) {
	c := started(t, counting(32), true, 9, 0)
	m := gssapi.MICToken{Flags: 4, SndSeqNum: 9, Payload: []byte("list of mechanisms")}
	if err := m.SetChecksum(counting(32), usageInitiatorSign); err != nil {
		t.Fatal(err)
	}
	want, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "signature", c.Sign([]byte("list of mechanisms")), want)
}

// TestOtherFiller: a server may round up by another count and turn by another.
func TestOtherFiller(t *testing.T) {
	for _, filling := range []int{0, 5, 16, 100} {
		for _, turn := range []int{0, 1, 28, 300} {
			c, s := started(t, counting(32), true, 0, 3), acceptor(t, counting(32), true, 3, 0)
			data, confounder, filler := []byte("some data"), make([]byte, 16), bytes.Repeat([]byte{0xff}, filling)
			h := s.out.header(flagSealed)
			binary.BigEndian.PutUint16(h[4:], uint16(filling))
			sum := checksumOf(s.out.ki, confounder, data, filler, h)
			_, sealed, err := s.cipher.EncryptData(s.out.ke, bytes.Join([][]byte{confounder, data, filler, h}, nil))
			if err != nil {
				t.Fatal(err)
			}
			turned := rotate(append(sealed, sum...), turn+filling)
			binary.BigEndian.PutUint16(h[6:], uint16(turn))
			copy(data, turned[len(turned)-len(data):])
			if err := c.Unseal(nil, data, nil, append(h, turned[:len(turned)-len(data)]...)); err != nil || string(data) != "some data" {
				t.Errorf("filler %d turned by %d: %v", filling, turn, err)
			}
		}
	}
}

// TestTampered: no changed, repeated, cut or reflected message opens, and what
// was refused changes nothing.
func TestTampered(t *testing.T) {
	for name, change := range map[string]func(before, data, behind, token []byte) []byte{
		"data":        func(_, data, _, token []byte) []byte { data[0] ^= 1; return token },
		"header":      func(before, _, _, token []byte) []byte { before[0] ^= 1; return token },
		"trailer":     func(_, _, behind, token []byte) []byte { behind[0] ^= 1; return token },
		"flags":       func(_, _, _, token []byte) []byte { token[2] ^= 4; return token },
		"kind":        func(_, _, _, token []byte) []byte { token[0] = 4; return token },
		"filler":      func(_, _, _, token []byte) []byte { token[5] ^= 1; return token },
		"turned":      func(_, _, _, token []byte) []byte { token[7] ^= 1; return token },
		"number":      func(_, _, _, token []byte) []byte { token[15] ^= 1; return token },
		"cipher text": func(_, _, _, token []byte) []byte { token[20] ^= 1; return token },
		"last octet":  func(_, _, _, token []byte) []byte { token[75] ^= 1; return token },
		"cut token":   func(_, _, _, token []byte) []byte { return token[:75] },
		"half token":  func(_, _, _, token []byte) []byte { return token[:20] },
		"long token":  func(_, _, _, token []byte) []byte { return append(token, make([]byte, 5000)...) },
		"no token":    func(_, _, _, _ []byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			c, s := started(t, counting(32), true, 0, 0), acceptor(t, counting(32), true, 0, 0)
			before, data, behind := []byte("before"), []byte("some data of a message"), []byte("behind")
			token, err := s.Seal(before, data, behind)
			if err != nil {
				t.Fatal(err)
			}
			token = change(before, data, behind, token)
			if err := c.Unseal(before, data, behind, token); !errors.Is(err, Tampered) || c.in.seq != 0 {
				t.Errorf("got %v, number %d; want %v", err, c.in.seq, Tampered)
			}
		})
	}
	c, s := started(t, counting(32), true, 0, 0), acceptor(t, counting(32), true, 0, 0)
	data := []byte("some data")
	token, err := c.Seal(nil, data, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Unseal(nil, bytes.Clone(data), nil, token); !errors.Is(err, Tampered) {
		t.Errorf("a reflected message: %v; want %v", err, Tampered)
	}
	if err := s.Unseal(nil, bytes.Clone(data), nil, token); err != nil {
		t.Fatal(err)
	}
	if err := s.Unseal(nil, data, nil, token); !errors.Is(err, Tampered) {
		t.Errorf("a repeated message: %v; want %v", err, Tampered)
	}
	if err := c.Verify([]byte("another list"), s.Sign([]byte("list"))); !errors.Is(err, Tampered) || c.in.seq != 0 {
		t.Errorf("another list: %v; want %v", err, Tampered)
	}
}

// shown is a ticket as its holder has it. Nobody here looks into the ticket itself.
func shown(key types.EncryptionKey) Ticket {
	return Ticket{
		Ticket: messages.Ticket{TktVNO: 5, Realm: "CORP.EXAMPLE", SName: types.NewPrincipalName(1, "host/ca1.corp.example"), EncPart: types.EncryptedData{EType: 18, KVNO: 1, Cipher: []byte("sealed for the service")}},
		Key:    key, Client: types.NewPrincipalName(1, "enroller"), Realm: "CORP.EXAMPLE",
	}
}

var noon = time.Date(2024, 5, 6, 12, 0, 0, 123456789, time.UTC)

// answer makes a server's AP-REP to a first message.
func answer(t testing.TB, key types.EncryptionKey, p replyPart) []byte {
	t.Helper()
	clear, err := asn1.MarshalWithParams(p, replyPartTag)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := crypto.GetEncryptedData(clear, key, usageAPRep, 0)
	if err != nil {
		t.Fatal(err)
	}
	b, err := asn1.MarshalWithParams(reply{Version: 5, Type: replyType, Part: encrypted{Type: sealed.EType, Cipher: sealed.Cipher}}, replyTag)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// read opens a first message the way a server does.
func read(t *testing.T, style Style, key types.EncryptionKey, token []byte) types.Authenticator {
	t.Helper()
	if style != DCE {
		id, inner, ok := unframe(token)
		if !ok || id != tokenRequest {
			t.Fatalf("no frame, or of type %x", id)
		}
		token = inner
	}
	var q messages.APReq
	if err := q.Unmarshal(token); err != nil {
		t.Fatal(err)
	}
	if err := q.DecryptAuthenticator(key); err != nil {
		t.Fatal(err)
	}
	if mutual := types.IsFlagSet(&q.APOptions, 2); mutual != (style != OneWay) {
		t.Errorf("the server is to prove itself: %v", mutual)
	}
	return q.Authenticator
}

// TestLogin: the three styles with a server that answers as it should, with a key
// of its own or without.
func TestLogin(t *testing.T) {
	for name, c := range map[string]struct {
		style  Style
		want   string // flags in the authenticator
		subkey []byte
		seq    int64
	}{
		"DCE":                    {DCE, "3e100000", counting(32).KeyValue, 1 << 20},
		"DCE with number zero":   {DCE, "3e100000", counting(32).KeyValue, 0},
		"DCE, a negative number": {DCE, "3e100000", counting(32).KeyValue, -2},
		"DCE without a subkey":   {DCE, "3e100000", nil, 77},
		"mutual":                 {Mutual, "3e000000", counting(32).KeyValue, 77},
		"one way":                {OneWay, "30000000", nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			key := counting(16)
			l, token, err := Start(c.style, shown(key), noon)
			if err != nil {
				t.Fatal(err)
			}
			a := read(t, c.style, key, token)
			if a.Cksum.CksumType != checksumGSS {
				t.Errorf("checksum of type %x", a.Cksum.CksumType)
			}
			equal(t, "checksum", a.Cksum.Checksum, unhex(t, "10000000"+strings.Repeat("00", 16)+c.want))
			if !a.CTime.Equal(noon.Truncate(time.Second)) || a.Cusec < 0 || a.Cusec > 999999 || a.CName.PrincipalNameString() != "enroller" || a.CRealm != "CORP.EXAMPLE" {
				t.Errorf("authenticator %+v", a)
			}
			if c.style == OneWay {
				return
			}
			part := replyPart{Time: a.CTime, Micros: a.Cusec, Seq: c.seq}
			if c.subkey != nil {
				part.Subkey = subkey{etypeID.AES256_CTS_HMAC_SHA1_96, c.subkey}
			}
			reply := answer(t, key, part)
			if c.style == Mutual {
				reply = frame(tokenReply, reply)
			}
			ours, third, err := l.Finish(reply)
			if err != nil {
				t.Fatal(err)
			}
			if (third != nil) != (c.style == DCE) {
				t.Fatalf("third message %x", third)
			}
			if third != nil {
				// The server reads the third message as we read its answer.
				back, err := (&Login{ticket: Ticket{Key: key}}).open(third)
				if err != nil || back.Seq != int64(uint32(c.seq)) || len(back.Subkey.Value) != 0 {
					t.Errorf("third message %+v, %v; want number %d", back, err, uint32(c.seq))
				}
			}
			final, sub := key, false
			if c.subkey != nil {
				final, sub = counting(32), true
			}
			equal(t, "key", ours.Key(), final.KeyValue)
			theirs := acceptor(t, final, sub, uint64(uint32(c.seq)), uint64(a.SeqNumber))
			data := []byte("data")
			sealed, err := ours.Seal(nil, data, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := theirs.Unseal(nil, data, nil, sealed); err != nil {
				t.Error(err)
			}
			if sealed, err = theirs.Seal(nil, data, nil); err != nil {
				t.Fatal(err)
			}
			if err := ours.Unseal(nil, data, nil, sealed); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestRefused: answers that are none, of somebody else, or a no.
func TestRefused(t *testing.T) {
	key := counting(32)
	good := replyPart{Time: noon.Truncate(time.Second), Micros: 123456, Seq: 5}
	change := func(f func(*replyPart)) []byte { p := good; f(&p); return answer(t, key, p) }
	no := messages.NewKRBError(types.NewPrincipalName(1, "host/ca1"), "CORP.EXAMPLE", CodeSkew, "")
	refusal, err := no.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	shortReply, err := asn1.MarshalWithParams(reply{Version: 5, Type: replyType, Part: encrypted{Type: key.KeyType, Cipher: make([]byte, 20)}}, replyTag)
	if err != nil {
		t.Fatal(err)
	}
	rc4Reply, err := asn1.MarshalWithParams(reply{Version: 5, Type: replyType, Part: encrypted{Type: 23, Cipher: make([]byte, 40)}}, replyTag)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		style Style
		b     []byte
		want  error
	}{
		"nothing":             {DCE, nil, Malformed},
		"noise":               {DCE, []byte("noise"), Malformed},
		"too long":            {DCE, make([]byte, maxAnswer+1), Malformed},
		"more behind it":      {DCE, append(answer(t, key, good), 0), Malformed},
		"too short inside":    {DCE, shortReply, Malformed},
		"of another cipher":   {DCE, rc4Reply, NotAES},
		"of another key":      {DCE, answer(t, types.EncryptionKey{KeyType: key.KeyType, KeyValue: make([]byte, 32)}, good), Forged},
		"of another login":    {DCE, change(func(p *replyPart) { p.Micros++ }), Forged},
		"of another time":     {DCE, change(func(p *replyPart) { p.Time = p.Time.Add(time.Second) }), Forged},
		"subkey of RC4":       {DCE, change(func(p *replyPart) { p.Subkey = subkey{23, make([]byte, 16)} }), NotAES},
		"subkey too short":    {DCE, change(func(p *replyPart) { p.Subkey = subkey{18, make([]byte, 16)} }), Malformed},
		"frame not asked for": {DCE, frame(tokenReply, answer(t, key, good)), Malformed},
		"frame missing":       {Mutual, answer(t, key, good), Malformed},
		"error that is none":  {DCE, frame(tokenError, answer(t, key, good)), Malformed},
		"frame of a request":  {Mutual, frame(tokenRequest, answer(t, key, good)), Malformed},
		"right":               {DCE, answer(t, key, good), nil},
	} {
		t.Run(name, func(t *testing.T) {
			l, _, err := Start(c.style, shown(key), noon)
			if err != nil {
				t.Fatal(err)
			}
			l.micros = good.Micros // what it is counted to be is open
			if _, _, err := l.Finish(c.b); !errors.Is(err, c.want) {
				t.Errorf("got %v; want %v", err, c.want)
			}
		})
	}
	for _, c := range []struct {
		style Style
		b     []byte
	}{{DCE, refusal}, {DCE, frame(tokenError, refusal)}, {Mutual, frame(tokenError, refusal)}} {
		l, _, err := Start(c.style, shown(key), noon)
		if err != nil {
			t.Fatal(err)
		}
		var refused *Refused
		if _, _, err := l.Finish(c.b); !errors.As(err, &refused) || refused.Code != CodeSkew {
			t.Errorf("style %d: got %v; want a refusal for skew", c.style, err)
		}
	}
	for _, bad := range []types.EncryptionKey{{KeyType: 23, KeyValue: make([]byte, 16)}, {}} {
		if _, _, err := Start(DCE, shown(bad), noon); !errors.Is(err, NotAES) {
			t.Errorf("a key of type %d: %v; want %v", bad.KeyType, err, NotAES)
		}
	}
	if _, _, err := Start(DCE, Ticket{Key: key}, noon); !errors.Is(err, Malformed) {
		t.Errorf("no ticket: %v; want %v", err, Malformed)
	}
}

// TestLoginsDiffer: the numbers that messages start at are random.
func TestLoginsDiffer(t *testing.T) {
	seen := map[uint32]bool{}
	for range 8 {
		l, _, err := Start(DCE, shown(counting(32)), noon)
		if err != nil {
			t.Fatal(err)
		}
		seen[l.seq] = true
	}
	if len(seen) < 7 {
		t.Errorf("%d numbers in 8 logins", len(seen))
	}
}

// TestNoTwoAlike: a server that remembers logins to refuse their replay sees no two
// of one microsecond, however fast they follow one another.
func TestNoTwoAlike(t *testing.T) {
	seen := map[int]bool{}
	for range 1000 {
		l, _, err := Start(DCE, shown(counting(32)), noon)
		if err != nil {
			t.Fatal(err)
		}
		if seen[l.micros] || l.micros < 0 || l.micros > 999999 {
			t.Fatalf("microsecond %d again, or none", l.micros)
		}
		seen[l.micros] = true
	}
}
