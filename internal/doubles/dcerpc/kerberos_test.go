package dcerpc

import (
	"encoding/asn1"
	"encoding/binary"
	"testing"
	"time"

	gofork "github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// ticket is a ticket as a KDC would make it, with what a client needs of it.
type ticket struct {
	keytab  []byte
	request messages.APReq
	session types.EncryptionKey
}

func newTicket(t *testing.T, gss uint32, user string) *ticket {
	t.Helper()
	const realm = "CORP.EXAMPLE"
	now := time.Now().UTC().Truncate(time.Second)
	keys := keytab.New()
	if err := keys.AddEntry("host/ca1.corp.example", realm, "machine password", now, 1, 18); err != nil {
		t.Fatal(err)
	}
	raw, err := keys.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	client := types.PrincipalName{NameType: 1, NameString: []string{user}}
	service := types.PrincipalName{NameType: 2, NameString: []string{"host", "ca1.corp.example"}}
	made, session, err := messages.NewTicket(client, realm, service, realm, gofork.BitString{Bytes: make([]byte, 4), BitLength: 32}, keys, 18, 1, now, now, now.Add(time.Hour), now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	a, err := types.NewAuthenticator(realm, client)
	if err != nil {
		t.Fatal(err)
	}
	sum := append([]byte{16, 0, 0, 0}, make([]byte, 16)...)
	a.Cksum = types.Checksum{CksumType: 0x8003, Checksum: binary.LittleEndian.AppendUint32(sum, gss)}
	a.SeqNumber = 41
	request, err := messages.NewAPReq(made, session, a)
	if err != nil {
		t.Fatal(err)
	}
	types.SetFlag(&request.APOptions, 2)
	return &ticket{keytab: raw, request: request, session: session}
}

// answer reads the AP-REP, and makes the third leg and the client's seal.
func (k *ticket) answer(t *testing.T, token []byte, shift int64) ([]byte, *kerberosGuard) {
	t.Helper()
	var rep messages.APRep
	if err := rep.Unmarshal(token); err != nil {
		t.Fatal(err)
	}
	plain, err := crypto.DecryptEncPart(rep.EncPart, k.session, usageAPRep)
	if err != nil {
		t.Fatal(err)
	}
	var part messages.EncAPRepPart
	if err := part.Unmarshal(plain); err != nil {
		t.Fatal(err)
	}
	mine, err := application(27, struct {
		Time     time.Time `asn1:"generalized,explicit,tag:0"`
		Micro    int       `asn1:"explicit,tag:1"`
		Sequence int64     `asn1:"explicit,tag:3"`
	}{time.Now().UTC(), 1, part.SequenceNumber + shift})
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := crypto.GetEncryptedData(mine, k.session, usageAPRep, 0)
	if err != nil {
		t.Fatal(err)
	}
	third, err := application(15, apRep{kerberosPvo, 15, encryptedData{18, sealed.Cipher}})
	if err != nil {
		t.Fatal(err)
	}
	g, err := newKerberosGuard(part.Subkey, 41, uint64(part.SequenceNumber))
	if err != nil {
		t.Fatal(err)
	}
	g.in, g.out = g.out, g.in
	return third, g
}

const dceStyle = gssMutual | 4 | gssSequence | gssConf | gssInteg | gssDCE

func (k *ticket) serve(s *Server) {
	s.Logon.Keytab = k.keytab
	s.Logon.Principal = func(name, realm string) (string, bool) { return name, name == "ra" && realm == "CORP.EXAMPLE" }
}

// echo has one sealed call answered.
func (w *wire) echo(g *kerberosGuard, tr *trailer, signed bool) {
	w.t.Helper()
	pdu := makePDU(kindRequest, whole, 1, requestOf(0, 0, []byte("0123456789abcdef")), tr, 76)
	at := len(pdu) - 84
	token, err := g.seal(pdu[:24], pdu[24:at], pdu[at:at+8], signed, true)
	if err != nil || len(token) != 76 {
		w.t.Fatalf("a token of %d: %v", len(token), err)
	}
	copy(pdu[at+8:], token)
	w.conn.Write(pdu)
	p := w.receive(kindResponse)
	if err := g.unseal(p.raw[:24], p.body[8:], p.trailer.raw, p.token, signed, true); err != nil || string(p.body[8:24]) != "0123456789abcdef" {
		w.t.Errorf("%q: %v", p.body[8:], err)
	}
}

func TestKerberos(t *testing.T) {
	raw := &trailer{kind: kindKerberos, level: LevelPrivacy, id: 3}
	for _, signed := range []bool{true, false} {
		k := newTicket(t, dceStyle, "ra")
		w := dial(t, k.serve)
		first, err := k.request.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		flags := byte(whole)
		if signed {
			flags |= flagHeaderSign
		}
		w.send(kindBind, flags, bindOf(DefaultFrag, otherID), raw, first)
		third, g := k.answer(t, w.receive(kindBindAck).token, 0)
		w.send(kindAuth3, whole, make([]byte, 4), raw, third)
		w.echo(g, raw, signed)
		w.echo(g, raw, signed)
		if len(w.seen) != 1 || w.seen[0].User != "ra" || w.seen[0].SPN != "host/ca1.corp.example" || w.seen[0].Header != signed {
			t.Errorf("seen %+v", w.seen)
		}

		again := dial(t, k.serve)
		again.send(kindBind, flags, bindOf(DefaultFrag, otherID), raw, first)
		again.receive(kindBindNak) // a replay
	}
	for name, k := range map[string]*ticket{"not in DCE style": newTicket(t, dceStyle&^gssDCE, "ra"), "not mutual": newTicket(t, dceStyle&^gssMutual, "ra"), "a stranger": newTicket(t, dceStyle, "x")} {
		w := dial(t, k.serve)
		first, _ := k.request.Marshal()
		w.send(kindBind, whole, bindOf(DefaultFrag, otherID), raw, first)
		if p := w.receive(kindBindNak); p.body[0] != nakChecksum {
			t.Errorf("%s: reason %x", name, p.body)
		}
	}
	k := newTicket(t, dceStyle, "ra")
	w := dial(t, k.serve)
	first, _ := k.request.Marshal()
	w.send(kindBind, whole, bindOf(DefaultFrag, otherID), raw, first)
	third, _ := k.answer(t, w.receive(kindBindAck).token, 1)
	w.send(kindAuth3, whole, make([]byte, 4), raw, third)
	w.send(kindRequest, whole, requestOf(0, 0, nil), raw, make([]byte, 76))
	w.faults(FaultDenied)
}

// nested encodes elements under tags, the outermost last.
func nested(t *testing.T, content []byte, tags ...byte) []byte {
	t.Helper()
	for _, tag := range tags {
		b, err := asn1.Marshal(asn1.RawValue{Class: int(tag >> 6), Tag: int(tag & 31), IsCompound: tag&32 != 0, Bytes: content})
		if err != nil {
			t.Fatal(err)
		}
		content = b
	}
	return content
}

func TestSPNEGOWithKerberos(t *testing.T) {
	tr := &trailer{kind: kindSPNEGO, level: LevelPrivacy, id: 1}
	k := newTicket(t, dceStyle, "ra")
	w := dial(t, func(s *Server) {
		k.serve(s)
		s.Logon.RequireListMIC = true
	})
	request, err := k.request.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	mechs := nested(t, append(unhex(t, "06092a864882f71201020 2"), unhex(t, "06092a864886f712010202")...), 0x30)
	inner := append(nested(t, mechs, 0xa0), nested(t, request, 0x04, 0xa2)...)
	first := nested(t, append(unhex(t, "06062b0601050502"), nested(t, inner, 0x30, 0xa0)...), 0x60)
	w.send(kindBind, whole|flagHeaderSign, bindOf(DefaultFrag, otherID), tr, first)
	token, _, err := parseNegTokenResp(w.receive(kindBindAck).token)
	if err != nil {
		t.Fatal(err)
	}
	third, g := k.answer(t, token, 0)
	w.send(kindAlter, whole, bindOf(DefaultFrag, otherID), tr, negTokenResp(acceptIncomplete, nil, third, g.mic(mechs)))
	_, mic, err := parseNegTokenResp(w.receive(kindAlterResp).token)
	if err != nil || g.checkMIC(mechs, mic) != nil {
		t.Fatalf("the server's MIC %x: %v", mic, err)
	}
	w.echo(g, tr, true)
	if len(w.seen) != 1 || !w.seen[0].ListMIC {
		t.Errorf("seen %+v", w.seen)
	}
}
