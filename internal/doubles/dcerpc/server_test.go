package dcerpc

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/md4"
)

var (
	echoID  = MustUUID("11111111-2222-3333-4444-555555555555")
	otherID = MustUUID("11111111-2222-3333-4444-666666666666")
)

// wire is a client that a test puts together PDU by PDU.
type wire struct {
	t    *testing.T
	conn net.Conn
	seen []Caller
}

func dial(t *testing.T, change func(*Server)) *wire {
	t.Helper()
	w := &wire{t: t}
	s := &Server{Logon: Logon{Domain: "CORP", DNSDomain: "corp.example", Computer: "CA1", Now: time.Now,
		Account: func(user, _ string) (string, string, bool) { return user, "password", user == "ra" },
		Seen:    func(c Caller) { w.seen = append(w.seen, c) }},
		Interfaces: []Interface{{ID: echoID, Serve: func(c *Call) Reply { return Reply{Stub: c.Stub} }}, {ID: otherID, Level: LevelPrivacy, Serve: func(c *Call) Reply { return Reply{Stub: c.Stub} }}}}
	if change != nil {
		change(s)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		s.Serve(l)
		close(done)
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
		s.Close()
	})
	if w.conn, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.conn.Close() })
	return w
}

// send sends a PDU; t may be nil.
func (w *wire) send(kind, flags byte, body []byte, t *trailer, token []byte) {
	w.t.Helper()
	raw := makePDU(kind, flags, 1, body, t, len(token))
	copy(raw[len(raw)-len(token):], token)
	if _, err := w.conn.Write(raw); err != nil {
		w.t.Fatal(err)
	}
}

func (w *wire) receive(kind byte) *pdu {
	w.t.Helper()
	w.conn.SetReadDeadline(time.Now().Add(time.Minute))
	p, err := readPDU(w.conn)
	if err != nil {
		w.t.Fatal(err)
	}
	if p.kind != kind {
		w.t.Fatalf("PDU %d, not %d: %x", p.kind, kind, p.body)
	}
	return p
}

// faults wants a fault of this status.
func (w *wire) faults(status uint32) {
	w.t.Helper()
	if p := w.receive(kindFault); binary.LittleEndian.Uint32(p.body[8:]) != status {
		w.t.Errorf("status 0x%x, not 0x%x", p.body[8:12], status)
	}
}

// ends wants the connection to end.
func (w *wire) ends() {
	w.t.Helper()
	w.conn.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := readPDU(w.conn); !errors.Is(err, io.EOF) && err == nil {
		w.t.Error("the connection goes on")
	}
}

func bindOf(maxRecv uint16, ids ...UUID) []byte {
	le := binary.LittleEndian
	b := le.AppendUint16(nil, DefaultFrag)
	b = le.AppendUint16(b, maxRecv)
	b = append(b, 0, 0, 0, 0, byte(len(ids)), 0, 0, 0)
	for i, id := range ids {
		b = append(b, byte(i), 0, 1, 0)
		b = append(append(b, id[:]...), 0, 0, 0, 0)
		b = append(append(b, ndr20[:]...), 2, 0, 0, 0)
	}
	return b
}

func requestOf(context, opnum uint16, stub []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(stub)))
	b = binary.LittleEndian.AppendUint16(b, context)
	b = binary.LittleEndian.AppendUint16(b, opnum)
	return append(b, stub...)
}

const whole = flagFirst | flagLast

func TestCalls(t *testing.T) {
	w := dial(t, func(s *Server) { s.MaxFrag = MinFrag })
	w.send(kindBind, whole, bindOf(DefaultFrag, echoID, otherID, MustUUID("99999999-2222-3333-4444-666666666666")), nil, nil)
	ack := w.receive(kindBindAck)
	if recv := binary.LittleEndian.Uint16(ack.body[2:]); recv != MinFrag {
		t.Errorf("max_recv_frag %d", recv)
	}
	if results := ack.body[len(ack.body)-72:]; results[0] != 0 || results[24] != 0 || results[48] != 2 || results[50] != 1 {
		t.Errorf("results %x", results)
	}
	long := bytes.Repeat([]byte("12345678"), 100)
	for rest, flags := long, byte(flagFirst); ; flags = 0 {
		n := min(200, len(rest))
		if n == len(rest) {
			flags |= flagLast
		}
		w.send(kindRequest, flags, requestOf(0, 0, rest[:n]), nil, nil)
		if rest = rest[n:]; len(rest) == 0 {
			break
		}
	}
	var got []byte
	for fragments := 1; ; fragments++ {
		p := w.receive(kindResponse)
		if len(p.raw) > MinFrag {
			t.Errorf("a fragment of %d", len(p.raw))
		}
		got = append(got, p.body[8:]...)
		if p.flags&flagLast != 0 {
			if fragments < 4 {
				t.Errorf("%d fragments", fragments)
			}
			break
		}
	}
	if !bytes.Equal(got, long) {
		t.Error("the echo is another")
	}
	w.send(kindRequest, whole, requestOf(1, 0, nil), nil, nil)
	w.faults(FaultDenied)
	w.send(kindRequest, whole, requestOf(2, 0, nil), nil, nil)
	w.faults(FaultInterface)
	w.send(kindAlter, whole, bindOf(DefaultFrag, otherID), nil, nil) // the number is taken
	if p := w.receive(kindAlterResp); p.body[len(p.body)-24] != 2 {
		t.Errorf("results %x", p.body)
	}
}

func TestBrokenPDUs(t *testing.T) {
	for name, spoil := range map[string]func(*wire){
		"a piece of 12 octets": func(w *wire) { w.send(kindRequest, flagFirst, requestOf(0, 0, make([]byte, 12)), nil, nil) },
		"no first fragment":    func(w *wire) { w.send(kindRequest, flagLast, requestOf(0, 0, nil), nil, nil) },
		"another opnum": func(w *wire) {
			w.send(kindRequest, flagFirst, requestOf(0, 0, make([]byte, 8)), nil, nil)
			w.send(kindRequest, flagLast, requestOf(0, 1, make([]byte, 8)), nil, nil)
		},
		"too large": func(w *wire) { w.send(kindRequest, whole, requestOf(0, 0, make([]byte, DefaultFrag)), nil, nil) },
		"too short": func(w *wire) { w.send(kindRequest, whole, make([]byte, 4), nil, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			w := dial(t, nil)
			w.send(kindBind, whole, bindOf(DefaultFrag, echoID), nil, nil)
			w.receive(kindBindAck)
			spoil(w)
			w.faults(FaultProtocol)
			w.ends()
		})
	}
	w := dial(t, nil)
	w.send(kindRequest, whole, requestOf(0, 0, nil), nil, nil)
	w.ends()
	w = dial(t, nil)
	w.conn.Write(append([]byte{4, 0, kindBind, 3, 0x10, 0, 0, 0, 72, 0, 0, 0, 1, 0, 0, 0}, bindOf(DefaultFrag, echoID)...))
	if p := w.receive(kindBindNak); p.body[0] != nakVersion {
		t.Errorf("reason %x", p.body)
	}
	w = dial(t, nil)
	w.send(kindBind, whole, bindOf(DefaultFrag, echoID), &trailer{kind: 0x44, level: 6}, []byte("xxxx"))
	if p := w.receive(kindBindNak); p.body[0] != nakAuthType {
		t.Errorf("reason %x", p.body)
	}
}

// login is a client's NTLM, from the server's own parts turned around.
type login struct {
	negotiate []byte
	password  string
	noMIC     bool
	badMIC    bool
	spn       string
}

func newLogin() *login {
	b := append([]byte(signatureNTLM), 1, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, ntlmUnicode|ntlmTarget|ntlmSign|ntlmSeal|ntlmNTLM|ntlmAlwaysSign|ntlmExtended|ntlm128|ntlmKeyExchange|ntlm56)
	return &login{negotiate: append(b, make([]byte, 16)...), password: "password", spn: "host/ca1.corp.example"}
}

// answer makes the AUTHENTICATE_MESSAGE and the keys.
func (l *login) answer(t *testing.T, challenge []byte) ([]byte, *ntlmGuard) {
	t.Helper()
	le := binary.LittleEndian
	pairs, err := parsePairs(challenge[le.Uint32(challenge[44:]):])
	if err != nil {
		t.Fatal(err)
	}
	stamp, _ := findPair(pairs, avTimestamp)
	if !l.noMIC {
		pairs = append(pairs, avPair{avFlags, []byte{2, 0, 0, 0}})
	}
	pairs = append(pairs, avPair{avTarget, Wide(l.spn)})
	blob := append([]byte{1, 1, 0, 0, 0, 0, 0, 0}, stamp...)
	blob = append(blob, "12345678\x00\x00\x00\x00"...)
	blob = append(appendPairs(blob, pairs), 0, 0, 0, 0)
	h := md4.New()
	h.Write(Wide(l.password))
	mac := func(key []byte, parts ...[]byte) []byte {
		m := hmac.New(md5.New, key)
		for _, p := range parts {
			m.Write(p)
		}
		return m.Sum(nil)
	}
	owner := mac(h.Sum(nil), Wide("RACORP"))
	proof := mac(owner, challenge[24:32], blob)
	exported := []byte("sixteen octets!!")
	key := rc4Once(mac(owner, proof), exported)
	m := append([]byte(signatureNTLM), 3, 0, 0, 0)
	payload := make([]byte, micEnd)
	for _, field := range [][]byte{make([]byte, 24), append(proof, blob...), Wide("CORP"), Wide("ra"), nil, key} {
		m = le.AppendUint16(m, uint16(len(field)))
		m = le.AppendUint16(m, uint16(len(field)))
		m = le.AppendUint32(m, uint32(len(payload)))
		payload = append(payload, field...)
	}
	m = le.AppendUint32(m, le.Uint32(l.negotiate[12:])|ntlmTargetInfo)
	m = append(m, payload[len(m):]...)
	if !l.noMIC {
		copy(m[micOffset:], mac(exported, l.negotiate, challenge, m))
	}
	if l.badMIC {
		m[micOffset] ^= 1
	}
	g := newNTLMGuard(exported, true)
	g.in, g.out = g.out, g.in
	return m, g
}

func TestNTLM(t *testing.T) {
	raw := &trailer{kind: kindNTLM, level: LevelPrivacy, id: 7}
	log := func(t *testing.T, change func(*login)) (*wire, *ntlmGuard) {
		w, l := dial(t, nil), newLogin()
		if change != nil {
			change(l)
		}
		w.send(kindBind, whole|flagHeaderSign, bindOf(DefaultFrag, otherID), raw, l.negotiate)
		message, guard := l.answer(t, w.receive(kindBindAck).token)
		w.send(kindAuth3, whole, make([]byte, 4), raw, message)
		return w, guard
	}
	// sealed sends a request; spoil changes the PDU.
	sealed := func(w *wire, g *ntlmGuard, spoil func([]byte)) {
		pdu := makePDU(kindRequest, whole, 1, requestOf(0, 0, []byte("0123456789abcdef")), raw, 16)
		at := len(pdu) - 24
		token, _ := g.seal(pdu[:24], pdu[24:at], pdu[at:at+8], true, true)
		copy(pdu[at+8:], token)
		if spoil != nil {
			spoil(pdu)
		}
		w.conn.Write(pdu)
	}
	w, g := log(t, nil)
	for range 3 {
		sealed(w, g, nil)
		p := w.receive(kindResponse)
		stub := p.body[8:]
		if err := g.unseal(p.raw[:24], stub, p.trailer.raw, p.token, true, true); err != nil || string(stub[:16]) != "0123456789abcdef" {
			t.Fatalf("%q: %v", stub, err)
		}
	}
	if len(w.seen) != 1 || !w.seen[0].MIC || w.seen[0].SPN != "host/ca1.corp.example" || !w.seen[0].Header {
		t.Errorf("seen %+v", w.seen)
	}
	for name, spoil := range map[string]func([]byte){
		"the stub":      func(b []byte) { b[30] ^= 1 },
		"the header":    func(b []byte) { b[22] ^= 1 },
		"the signature": func(b []byte) { b[len(b)-10] ^= 1 },
		"the sequence":  func(b []byte) { b[len(b)-4] ^= 1 },
	} {
		t.Run(name, func(t *testing.T) {
			w, g := log(t, nil)
			sealed(w, g, spoil)
			w.faults(FaultSecurity)
			w.ends()
		})
	}
	for name, change := range map[string]func(*login){
		"another password": func(l *login) { l.password = "x" },
		"a broken MIC":     func(l *login) { l.badMIC = true },
	} {
		t.Run(name, func(t *testing.T) {
			w, g := log(t, change)
			sealed(w, g, nil)
			w.faults(FaultDenied)
		})
	}
	w, _ = log(t, nil)
	w.send(kindRequest, whole, requestOf(0, 0, nil), nil, nil) // bare, where sealed was agreed
	w.faults(FaultDenied)
}

func TestSPNEGOWithNTLM(t *testing.T) {
	for name, spoil := range map[string]func([]byte) []byte{
		"right":       func(mic []byte) []byte { return mic },
		"without MIC": func([]byte) []byte { return nil },
		"broken MIC":  func(mic []byte) []byte { mic[5] ^= 1; return mic },
	} {
		t.Run(name, func(t *testing.T) {
			w, l := dial(t, func(s *Server) { s.Logon.RequireListMIC = true }), newLogin()
			tr := &trailer{kind: kindSPNEGO, level: LevelPrivacy, id: 1}
			mechs := unhex(t, "300c060a2b06010401823702020a")
			inner := append(append([]byte{0xa0, byte(len(mechs))}, mechs...), 0xa2, byte(len(l.negotiate)+2), 4, byte(len(l.negotiate)))
			inner = append(inner, l.negotiate...)
			first := append([]byte{0x60, byte(len(inner) + 12), 6, 6, 0x2b, 6, 1, 5, 5, 2, 0xa0, byte(len(inner) + 2), 0x30, byte(len(inner))}, inner...)
			w.send(kindBind, whole, bindOf(DefaultFrag, otherID), tr, first)
			challenge, _, err := parseNegTokenResp(w.receive(kindBindAck).token)
			if err != nil {
				t.Fatal(err)
			}
			message, g := l.answer(t, challenge)
			mic := spoil(g.mic(mechs))
			w.send(kindAlter, whole, bindOf(DefaultFrag, otherID), tr, negTokenResp(acceptIncomplete, nil, message, mic))
			if name != "right" {
				w.faults(FaultDenied)
				return
			}
			_, theirs, err := parseNegTokenResp(w.receive(kindAlterResp).token)
			if err != nil || g.checkMIC(mechs, theirs) != nil {
				t.Fatalf("the server's MIC %x: %v", theirs, err)
			}
			pdu := makePDU(kindRequest, whole, 1, requestOf(0, 0, []byte(strings.Repeat("x", 16))), tr, 16)
			at := len(pdu) - 24
			token, _ := g.seal(pdu[:24], pdu[24:at], pdu[at:at+8], true, true)
			copy(pdu[at+8:], token)
			w.conn.Write(pdu)
			if g.out.seq != 2 { // the code took the first number
				t.Errorf("sequence %d", g.out.seq)
			}
			w.receive(kindResponse)
		})
	}
}

func TestActs(t *testing.T) {
	for act, want := range map[Act]func(*wire){
		Cut:         func(w *wire) { w.ends() },
		Half:        func(w *wire) { w.ends() },
		WrongCallID: func(w *wire) { w.receive(kindResponse) },
		Hang: func(w *wire) {
			w.conn.(*net.TCPConn).CloseWrite()
			w.ends()
		},
	} {
		w := dial(t, func(s *Server) {
			s.Interfaces[0].Serve = func(*Call) Reply { return Reply{Stub: make([]byte, 100), Act: act} }
		})
		w.send(kindBind, whole, bindOf(DefaultFrag, echoID), nil, nil)
		w.receive(kindBindAck)
		w.send(kindRequest, whole, requestOf(0, 0, nil), nil, nil)
		want(w)
	}
}

// A pipe as Samba hands it on: its greeting, then messages with their length.
func TestPipe(t *testing.T) {
	le := binary.LittleEndian
	for name, greeting := range map[string]string{"good": "00000014 4e50414d 07000000 07000000 00000000 00000000", "another magic": "00000014 4e50414e 07000000 07000000 00000000 00000000",
		"an old level": "00000014 4e50414d 01000000 01000000 00000000 00000000", "huge": "7fffffff 4e50414d 07000000 07000000 00000000 00000000"} {
		t.Run(name, func(t *testing.T) {
			s := &Server{Interfaces: []Interface{{ID: echoID, Serve: func(c *Call) Reply { return Reply{Stub: c.Stub} }}}}
			l, err := net.Listen("unix", t.TempDir()+"/cert")
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				s.ServePipes(l, `\PIPE\cert`)
				close(done)
			}()
			t.Cleanup(func() {
				l.Close()
				<-done
				s.Close()
			})
			c, err := net.Dial("unix", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(time.Minute))
			c.Write(unhex(t, greeting))
			reply := make([]byte, 36)
			_, err = io.ReadFull(c, reply)
			if name != "good" {
				if err == nil {
					t.Error("the greeting was taken")
				}
				return
			}
			if err != nil || le.Uint16(reply[16:]) != messagePipe || le.Uint32(reply[32:]) != 0 {
				t.Fatalf("%x, %v", reply, err)
			}
			for _, pdu := range [][]byte{makePDU(kindBind, whole, 1, bindOf(DefaultFrag, echoID), nil, 0), makePDU(kindRequest, whole, 1, requestOf(0, 0, []byte("hello")), nil, 0)} {
				message := append(le.AppendUint16(nil, uint16(len(pdu))), pdu...)
				c.Write(message[:7])
				c.Write(message[7:])
				head := make([]byte, 2)
				if _, err := io.ReadFull(c, head); err != nil {
					t.Fatal(err)
				}
				answer := make([]byte, le.Uint16(head))
				if _, err := io.ReadFull(c, answer); err != nil {
					t.Fatal(err)
				}
				p, err := parsePDU(answer)
				if err != nil || p.kind == kindResponse && string(p.body[8:]) != "hello" {
					t.Errorf("%x, %v", answer, err)
				}
			}
		})
	}
}
