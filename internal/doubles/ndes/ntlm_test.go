package ndes

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rc4"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/spnego"
	"golang.org/x/crypto/md4"
)

// said is what a client of the tests puts into its AUTHENTICATE_MESSAGE.
type said struct {
	user, domain, password string
	unicode                bool
	pairs                  []pair
	time, challenge        []byte // 8 octets each
	key                    []byte // exported session key; nil: no key exchange
	mic                    bool
	negotiate, question    []byte // the two messages before, for the MIC
}

// authenticate builds the message from the formulas of MS-NLMP 3.3.2 and
// 3.1.5.1.2; nonce is the server's.
func (c said) authenticate(nonce []byte) []byte {
	le := binary.LittleEndian
	h := md4.New()
	h.Write(wide(c.password))
	owner := mac(h.Sum(nil), wide(strings.ToUpper(c.user)+c.domain))
	blob := append([]byte{1, 1, 0, 0, 0, 0, 0, 0}, c.time...)
	blob = append(append(blob, c.challenge...), 0, 0, 0, 0)
	blob = append(appendPairs(blob, c.pairs), 0, 0, 0, 0)
	proof := mac(owner, nonce, blob)
	session := mac(owner, proof)

	flags := uint32(flagUnicode)
	user, domain := wide(c.user), wide(c.domain)
	if !c.unicode {
		flags, user, domain = flagOEM, []byte(c.user), []byte(c.domain)
	}
	var sent []byte
	if c.key != nil {
		flags |= flagKeyExchange
		stream, _ := rc4.NewCipher(session)
		sent = make([]byte, 16)
		stream.XORKeyStream(sent, c.key)
		session = c.key
	}
	b := append([]byte(ntlmSignature), 3, 0, 0, 0)
	payload := make([]byte, 0, 512)
	for _, v := range [][]byte{make([]byte, 24), append(proof, blob...), domain, user, nil, sent} {
		b = le.AppendUint16(b, uint16(len(v)))
		b = le.AppendUint16(b, uint16(len(v)))
		b = le.AppendUint32(b, uint32(micEnd+len(payload)))
		payload = append(payload, v...)
	}
	b = le.AppendUint32(b, flags)
	b = append(b, make([]byte, micEnd-len(b))...)
	b = append(b, payload...)
	if c.mic {
		copy(b[micOffset:], mac(session, c.negotiate, c.question, b))
	}
	return b
}

// TestNTLMVector checks the proof with the numbers of MS-NLMP 4.2.4.
func TestNTLMVector(t *testing.T) {
	x := &exchange{unicode: true, info: []pair{{avDomain, wide("Domain")}, {avComputer, wide("Server")}}}
	copy(x.nonce[:], "\x01\x23\x45\x67\x89\xab\xcd\xef")
	message := said{user: "User", domain: "Domain", password: "Password", unicode: true, pairs: []pair{{2, wide("Domain")}, {1, wide("Server")}},
		time: make([]byte, 8), challenge: bytes.Repeat([]byte{0xaa}, 8)}.authenticate(x.nonce[:])
	a, err := parseAuthenticate(message, true)
	if err != nil || hex.EncodeToString(a.proof) != "68cd0ab851e51c96aabc927bebef6a1c" {
		t.Fatalf("proof %x: %v", a.proof, err)
	}
	h := md4.New()
	h.Write(wide("Password"))
	if key := mac(mac(h.Sum(nil), wide("USERDomain")), a.proof); hex.EncodeToString(key) != "8de40ccadbc14a82f15cb0ad0de95ca3" {
		t.Errorf("session key %x", key)
	}
}

func TestNTLM(t *testing.T) {
	s, err := New(Config{CAKey: P256, Accounts: []Account{{User: "Enroller", Password: "pass wörd"}}})
	if err != nil {
		t.Fatal(err)
	}
	negotiate := binary.LittleEndian.AppendUint32([]byte(ntlmSignature+"\x01\x00\x00\x00"), flagUnicode|flagExtended|flagNTLM|flagKeyExchange|flag128)
	good := func() (*exchange, said) {
		x, err := s.newExchange(negotiate)
		if err != nil {
			t.Fatal(err)
		}
		return x, said{user: "enroller", domain: "CORP", password: "pass wörd", unicode: true,
			pairs: append(x.info[:len(x.info):len(x.info)], pair{avFlags, []byte{2, 0, 0, 0}}, pair{9, wide("HTTP/localhost")}),
			time:  make([]byte, 8), challenge: []byte("12345678"), key: []byte("0123456789abcdef"), mic: true, negotiate: negotiate, question: x.challenge}
	}
	for name, c := range map[string]struct {
		change func(*said)
		bytes  func([]byte) []byte
		want   error
	}{
		"good":               {},
		"no key exchange":    {change: func(c *said) { c.key = nil }},
		"no MIC":             {change: func(c *said) { c.mic, c.pairs = false, c.pairs[:5] }},
		"DNS domain":         {change: func(c *said) { c.domain = "corp.EXAMPLE" }},
		"principal name":     {change: func(c *said) { c.user, c.domain = "enroller@corp.example", "" }},
		"no domain":          {change: func(c *said) { c.domain = "" }},
		"another domain":     {change: func(c *said) { c.domain = "OTHER" }, want: errNTLMAccount},
		"another user":       {change: func(c *said) { c.user = "other" }, want: errNTLMAccount},
		"nobody":             {change: func(c *said) { c.user = "" }, want: errNTLMAccount},
		"another password":   {change: func(c *said) { c.password = "Pass wörd" }, want: errNTLMProof},
		"MIC promised only":  {change: func(c *said) { c.mic = false }, want: errNTLMMIC},
		"MIC of others":      {change: func(c *said) { c.negotiate = []byte("other") }, want: errNTLMMIC},
		"MIC tampered":       {bytes: func(b []byte) []byte { b[micOffset] ^= 1; return b }, want: errNTLMMIC},
		"flags tampered":     {bytes: func(b []byte) []byte { b[61] ^= 2; return b }, want: errNTLMMIC},
		"key tampered":       {bytes: func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, want: errNTLMMIC},
		"proof tampered":     {bytes: func(b []byte) []byte { b[micEnd+24] ^= 1; return b }, want: errNTLMProof},
		"pairs tampered":     {bytes: func(b []byte) []byte { b[micEnd+24+16+28+4] ^= 1; return b }, want: errNTLMProof},
		"about another":      {change: func(c *said) { c.pairs[0].value = wide("OTHER") }, want: errNTLMEcho},
		"NTLMv1":             {bytes: func(b []byte) []byte { b[20], b[22] = 24, 24; b[21], b[23] = 0, 0; return b }, want: errNTLMv1},
		"cut off":            {bytes: func(b []byte) []byte { return b[:len(b)-1] }, want: errNTLMField},
		"field outside":      {bytes: func(b []byte) []byte { b[27] = 0x80; return b }, want: errNTLMField},
		"short":              {bytes: func(b []byte) []byte { return b[:63] }, want: errNTLMShort},
		"other message":      {bytes: func(b []byte) []byte { b[8] = 2; return b }, want: errNTLMKind},
		"odd user name":      {bytes: func(b []byte) []byte { b[36]--; return b }, want: errNTLMField},
		"MIC under the rest": {bytes: func(b []byte) []byte { b[16] = 64; return b }, want: errNTLMMIC},
	} {
		x, client := good()
		if c.change != nil {
			c.change(&client)
		}
		message := client.authenticate(x.nonce[:])
		if c.bytes != nil {
			message = c.bytes(message)
		}
		account, err := x.finish(message, s.find)
		if !errors.Is(err, c.want) || err == nil && account.User != "Enroller" {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := s.newExchange([]byte(ntlmSignature + "\x01\x00\x00\x00\x00\x00\x00\x00")); !errors.Is(err, errNTLMCharset) {
		t.Errorf("no charset: %v", err)
	}

	// In a dialect from before Unicode, as curl's.
	x, err := s.newExchange(binary.LittleEndian.AppendUint32([]byte(ntlmSignature+"\x01\x00\x00\x00"), flagOEM|flagNTLM))
	if err != nil || bytes.Contains(x.challenge[56:60], []byte{0}) {
		t.Fatalf("challenge %x: %v", x.challenge, err)
	}
	_, client := good()
	client.unicode, client.pairs, client.mic = false, x.info, false
	if _, err := x.finish(client.authenticate(x.nonce[:]), s.find); err != nil {
		t.Errorf("OEM: %v", err)
	}
	if !hmac.Equal(x.challenge[24:32], x.nonce[:]) {
		t.Error("the nonce is not at its place")
	}
}

// recorded is a logon of enroller with the password "pass word" by the library
// gss-ntlmssp 1.2.0: the three messages. It exchanges a key and sends the code
// over the messages.
var recorded = [3]string{
	"TlRMTVNTUAABAAAAF4II4gAAAAAAAAAAAAAAAAAAAAAGAgAAAAAADw==",
	"TlRMTVNTUAACAAAACAAIADgAAAAVgoniTdRo00ITk0EAAAAAAAAAAHIAcgBAAAAACgB8TwAAAA9DAE8AUgBQAAIACABDAE8AUgBQAAEADABOAEQARQBTADAA" +
		"MQAEABgAYwBvAHIAcAAuAGUAeABhAG0AcABsAGUAAwAmAG4AZABlAHMAMAAxAC4AYwBvAHIAcAAuAGUAeABhAG0AcABsAGUABwAIAM/+JDZJet0BAAAAAA==",
	"TlRMTVNTUAADAAAAAAAAAFgAAADKAMoAWAAAAAgACAAiAQAAEAAQACoBAAAEAAQAOgEAABAAEAA+AQAAFYKJ4gYCAAAAAAAPibLIvXneiXhhVm23AZlvtHh7" +
		"sqgJnljugPhFp3Nh0usBAQAAAAAAAM/+JDZJet0BkswRlh9+KT4AAAAAAQAMAE4ARABFAFMAMAAxAAIACABDAE8AUgBQAAMAJgBuAGQAZQBzADAAMQAuAGMA" +
		"bwByAHAALgBlAHgAYQBtAHAAbABlAAQAGABjAG8AcgBwAC4AZQB4AGEAbQBwAGwAZQAGAAQAAgAAAAcACADP/iQ2SXrdAQkAHABIAFQAVABQAC8AbABvAGMA" +
		"YQBsAGgAbwBzAHQAAAAAAAAAAABDAE8AUgBQAGUAbgByAG8AbABsAGUAcgBWAE0AKV9QR/kHQR66bLfjL7eaSQ==",
}

// TestNTLMRecorded: what another implementation said is understood, and nothing
// near it.
func TestNTLMRecorded(t *testing.T) {
	s := &Server{cfg: Config{Accounts: []Account{{User: "enroller", Password: "pass word"}}}}
	if err := s.cfg.complete(); err != nil {
		t.Fatal(err)
	}
	var said [3][]byte
	for i := range recorded {
		said[i] = must(base64.StdEncoding.DecodeString(recorded[i]))(t)
	}
	x, err := s.newExchange(said[0])
	if err != nil {
		t.Fatal(err)
	}
	// As if we had said it now.
	x.challenge = said[1]
	copy(x.nonce[:], said[1][24:32])
	if account, err := x.finish(said[2], s.find); err != nil || account.User != "enroller" {
		t.Errorf("refused: %v", err)
	}
	for i := range said {
		wrong := *x
		messages := [3][]byte{bytes.Clone(said[0]), bytes.Clone(said[1]), bytes.Clone(said[2])}
		messages[i][len(messages[i])-1] ^= 1
		wrong.negotiate, wrong.challenge = messages[0], messages[1]
		if _, err := wrong.finish(messages[2], s.find); !errors.Is(err, errNTLMMIC) {
			t.Errorf("message %d was another: %v", i+1, err)
		}
	}
}

// TestNTLMReplay: a challenge is answered once, whatever the answer.
func TestNTLMReplay(t *testing.T) {
	s, err := New(Config{CAKey: P256, Accounts: []Account{{User: "enroller", Password: "password"}}})
	if err != nil {
		t.Fatal(err)
	}
	negotiate := binary.LittleEndian.AppendUint32([]byte(ntlmSignature+"\x01\x00\x00\x00"), flagUnicode|flagNTLM)
	one, two := &line{}, &line{}
	for _, l := range []*line{one, two} {
		if account, question, err := s.tryNTLM(negotiate, l); account != nil || question == nil || err != nil {
			t.Fatal(err)
		}
	}
	client := said{user: "enroller", password: "password", unicode: true, pairs: one.exchange.info, time: make([]byte, 8), challenge: make([]byte, 8)}
	answer := client.authenticate(one.exchange.nonce[:])
	if _, _, err := s.tryNTLM(answer, two); !errors.Is(err, errNTLMProof) || two.account != nil {
		t.Errorf("on another line: %v", err)
	}
	if account, _, err := s.tryNTLM(answer, one); err != nil || account == nil || one.account != account {
		t.Errorf("the right answer: %v", err)
	}
	for _, l := range []*line{one, two} {
		if _, _, err := s.tryNTLM(answer, l); !errors.Is(err, errNTLMOrder) {
			t.Errorf("again: %v", err)
		}
	}
}

// TestLineForgets: whoever tries to log on again is logged off, even if that
// fails.
func TestLineForgets(t *testing.T) {
	s, err := New(Config{CAKey: P256, Accounts: []Account{{User: "enroller", Password: "password"}}})
	if err != nil {
		t.Fatal(err)
	}
	l := &line{account: &s.cfg.Accounts[0], exchange: &exchange{}}
	for i, c := range []struct {
		header string
		want   int
	}{{"", 200}, {"NTLM garbage", 401}, {"", 401}} {
		r := must(http.NewRequest("GET", "/certsrv/mscep_admin/", nil))(t)
		if c.header != "" {
			r.Header.Set("Authorization", c.header)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r.WithContext(context.WithValue(t.Context(), lineKey{}, l)))
		if w.Code != c.want {
			t.Errorf("%d: %d, want %d", i, w.Code, c.want)
		}
	}
	if l.exchange != nil || s.Counts().Minted != 1 {
		t.Errorf("the line still has %+v", l)
	}
}

// FuzzNTLM: whatever comes, the parsers end without a panic and without a field
// that was not in the message.
func FuzzNTLM(f *testing.F) {
	f.Add(binary.LittleEndian.AppendUint32([]byte(ntlmSignature+"\x01\x00\x00\x00"), flagUnicode))
	f.Add(said{user: "u", domain: "d", password: "p", unicode: true, pairs: []pair{{avFlags, []byte{2, 0, 0, 0}}}, time: make([]byte, 8),
		challenge: make([]byte, 8), key: make([]byte, 16), mic: true}.authenticate(make([]byte, 8)))
	s := &Server{cfg: Config{Accounts: []Account{{User: "u", Password: "p"}}}}
	if err := s.cfg.complete(); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if x, err := s.newExchange(b); err == nil {
			if err := ntlmKind(x.challenge, 2, 56); err != nil {
				t.Error(err)
			}
		}
		for _, unicode := range []bool{false, true} {
			a, err := parseAuthenticate(b, unicode)
			if err == nil && (!bytes.Contains(b, a.nt) || a.mic != nil && len(a.mic) != 16) {
				t.Errorf("read %+v", a)
			}
			x := &exchange{unicode: unicode}
			if _, err := x.finish(b, s.find); err == nil && a == nil {
				t.Error("finished what cannot be read")
			}
		}
	})
}

// TestNTLMInSPNEGO: NTLM comes wrapped where the client speaks SPNEGO, at once
// or after Kerberos was turned down.
func TestNTLMInSPNEGO(t *testing.T) {
	s, err := New(Config{CAKey: P256, Accounts: []Account{{User: "enroller", Password: "password"}}})
	if err != nil {
		t.Fatal(err)
	}
	send := func(l *line, token spnego.SPNEGOToken) (*Account, spnego.NegTokenResp, error) {
		t.Helper()
		b, err := token.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		account, reply, err := s.trySPNEGO(b, l, new(http.Request))
		var resp spnego.NegTokenResp
		if err == nil {
			if err := resp.Unmarshal(reply); err != nil {
				t.Fatalf("%x: %v", reply, err)
			}
		}
		return account, resp, err
	}
	negotiate := binary.LittleEndian.AppendUint32([]byte(ntlmSignature+"\x01\x00\x00\x00"), flagUnicode|flagNTLM)
	l := &line{}
	kerberos := spnego.NegTokenInit{MechTypes: mechs(gssapi.OIDKRB5.OID(), oidNTLM), MechTokenBytes: []byte("ticket")}
	if account, resp, err := send(l, spnego.SPNEGOToken{Init: true, NegTokenInit: kerberos}); account != nil || err != nil || !resp.SupportedMech.Equal(oidNTLM) || resp.NegState != 1 {
		t.Errorf("Kerberos first: %+v, %v", resp, err)
	}
	if account, resp, err := send(l, spnego.SPNEGOToken{Resp: true, NegTokenResp: spnego.NegTokenResp{NegState: 1, SupportedMech: oidNTLM, ResponseToken: negotiate}}); account != nil || err != nil || ntlmKind(resp.ResponseToken, 2, 56) != nil {
		t.Errorf("then NTLM: %+v, %v", resp, err)
	}
	ntlm := spnego.NegTokenInit{MechTypes: mechs(gssapi.OIDKRB5.OID(), oidNTLM)[1:], MechTokenBytes: negotiate}
	if account, resp, err := send(l, spnego.SPNEGOToken{Init: true, NegTokenInit: ntlm}); account != nil || err != nil || !bytes.Equal(resp.ResponseToken, l.exchange.challenge) || resp.NegState != 1 {
		t.Errorf("NTLM first: %+v, %v", resp, err)
	}
	client := said{user: "enroller", password: "password", unicode: true, pairs: l.exchange.info, time: make([]byte, 8), challenge: make([]byte, 8)}
	last := spnego.NegTokenResp{NegState: 1, SupportedMech: oidNTLM, ResponseToken: client.authenticate(l.exchange.nonce[:])}
	if account, resp, err := send(l, spnego.SPNEGOToken{Resp: true, NegTokenResp: last}); account == nil || err != nil || resp.NegState != 0 {
		t.Errorf("at the end: %+v, %v", resp, err)
	}
	if account, _, err := send(l, spnego.SPNEGOToken{Resp: true, NegTokenResp: last}); account != nil || err == nil {
		t.Error("a replay was taken")
	}
	for name, token := range map[string][]byte{"nothing": nil, "garbage": []byte("garbage"), "only Kerberos": must(kerberosOnly().Marshal())(t)} {
		if account, _, err := s.trySPNEGO(token, &line{}, new(http.Request)); account != nil || err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func kerberosOnly() *spnego.SPNEGOToken {
	return &spnego.SPNEGOToken{Init: true, NegTokenInit: spnego.NegTokenInit{MechTypes: mechs(gssapi.OIDKRB5.OID()), MechTokenBytes: []byte("ticket")}}
}

// mechs spares the import of a module's own kind of OID.
func mechs[T any](oids ...T) []T { return oids }

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
