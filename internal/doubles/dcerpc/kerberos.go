package dcerpc

import (
	"bytes"
	"crypto/rand"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/service"
	"github.com/jcmturner/gokrb5/v8/types"
)

// Flags of the GSS checksum in an authenticator (RFC 4121 4.1.1.1).
const (
	gssMutual   = 0x0002
	gssSequence = 0x0008
	gssConf     = 0x0010
	gssInteg    = 0x0020
	gssDCE      = 0x1000

	usageAPRep  = 12
	kerberosPvo = 5
	skew        = 5 * time.Minute
)

var errKerberos = errors.New("kerberos: the exchange is not in DCE style, mutual, with AES")

// kerberos is the server's end of the three legs in DCE style (RFC 4121, MS-KILE
// 3.4.5): AP-REQ, AP-REP, and the client's AP-REP.
type kerberos struct {
	logon   *Logon
	who     string
	spn     string
	session types.EncryptionKey
	subkey  types.EncryptionKey
	theirs  uint64 // first sequence numbers
	ours    uint64
	begun   bool
	ready   bool
	guard   *kerberosGuard
}

func newKerberos(l *Logon) *kerberos { return &kerberos{logon: l} }

func (k *kerberos) done() bool             { return k.ready }
func (k *kerberos) protection() protection { return k.guard }

func (k *kerberos) describe(c *Caller) { c.User, c.SPN = k.who, k.spn }

func (k *kerberos) accept(token []byte) (reply []byte, err error) {
	defer func() {
		if recover() != nil { // of a broken token, in the library
			reply, err = nil, errLogon
		}
	}()
	switch {
	case k.ready || k.logon.Keytab == nil:
		return nil, errLogon
	case !k.begun:
		k.begun = true
		return k.open(token)
	}
	return nil, k.close(token)
}

// open takes the AP-REQ.
func (k *kerberos) open(token []byte) ([]byte, error) {
	var keys keytab.Keytab
	if err := keys.Unmarshal(k.logon.Keytab); err != nil {
		return nil, err
	}
	var request messages.APReq
	if err := request.Unmarshal(unwrapGSS(token)); err != nil {
		return nil, err
	}
	if ok, err := request.Verify(&keys, skew, types.HostAddress{}, nil); err != nil || !ok {
		return nil, errors.Join(errLogon, err)
	}
	a := request.Authenticator
	if service.GetReplayCache(skew).IsReplay(request.Ticket.SName, a) {
		return nil, errLogon
	}
	const want = gssMutual | gssSequence | gssConf | gssInteg | gssDCE
	if sum := a.Cksum; sum.CksumType != 0x8003 || len(sum.Checksum) < 24 || binary.LittleEndian.Uint32(sum.Checksum) != 16 ||
		binary.LittleEndian.Uint32(sum.Checksum[20:])&want != want || !types.IsFlagSet(&request.APOptions, 2) {
		return nil, errKerberos
	}
	k.session = request.Ticket.DecryptedEncPart.Key
	if !isAES(k.session) || len(a.SubKey.KeyValue) > 0 && !isAES(a.SubKey) {
		return nil, errKerberos
	}
	name := strings.Join(a.CName.NameString, "/")
	account, ok := k.logon.Principal(name, a.CRealm)
	if !ok {
		return nil, errLogon
	}
	k.who, k.spn = account, strings.Join(request.Ticket.SName.NameString, "/")
	k.theirs = uint64(uint32(a.SeqNumber))
	return k.reply(a)
}

func isAES(key types.EncryptionKey) bool {
	return key.KeyType == 18 && len(key.KeyValue) == 32 || key.KeyType == 17 && len(key.KeyValue) == 16
}

// The parts of an AP-REP, which the library can only read (RFC 4120 5.5.2).
type (
	encryptionKey struct {
		Type  int    `asn1:"explicit,tag:0"`
		Value []byte `asn1:"explicit,tag:1"`
	}
	encAPRepPart struct {
		Time     time.Time     `asn1:"generalized,explicit,tag:0"`
		Micro    int           `asn1:"explicit,tag:1"`
		Subkey   encryptionKey `asn1:"explicit,tag:2"`
		Sequence int64         `asn1:"explicit,tag:3"`
	}
	encryptedData struct {
		Type   int    `asn1:"explicit,tag:0"`
		Cipher []byte `asn1:"explicit,tag:2"`
	}
	apRep struct {
		Version int           `asn1:"explicit,tag:0"`
		Kind    int           `asn1:"explicit,tag:1"`
		Part    encryptedData `asn1:"explicit,tag:2"`
	}
)

// reply makes the AP-REP: a subkey, our sequence number, and the client's own
// time as proof that we could read it.
func (k *kerberos) reply(a types.Authenticator) ([]byte, error) {
	key := make([]byte, len(k.session.KeyValue))
	rand.Read(key)
	k.subkey = types.EncryptionKey{KeyType: k.session.KeyType, KeyValue: key}
	var start [4]byte
	rand.Read(start[:])
	k.ours = uint64(binary.BigEndian.Uint32(start[:]) & 0x3fffffff)
	plain, err := application(27, encAPRepPart{Time: a.CTime.UTC(), Micro: a.Cusec,
		Subkey: encryptionKey{int(k.subkey.KeyType), key}, Sequence: int64(k.ours)})
	if err != nil {
		return nil, err
	}
	sealed, err := crypto.GetEncryptedData(plain, k.session, usageAPRep, 0)
	if err != nil {
		return nil, err
	}
	if k.guard, err = newKerberosGuard(k.subkey, k.theirs, k.ours); err != nil {
		return nil, err
	}
	return application(15, apRep{kerberosPvo, 15, encryptedData{int(sealed.EType), sealed.Cipher}})
}

// application encodes v under an application tag.
func application(tag int, v any) ([]byte, error) {
	inner, err := asn1.Marshal(v)
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(asn1.RawValue{Class: asn1.ClassApplication, Tag: tag, IsCompound: true, Bytes: inner})
}

// close takes the client's AP-REP, which has our sequence number in it.
func (k *kerberos) close(token []byte) error {
	var rep messages.APRep
	if err := rep.Unmarshal(unwrapGSS(token)); err != nil {
		return err
	}
	plain, err := crypto.DecryptEncPart(rep.EncPart, k.session, usageAPRep)
	if err != nil {
		return err
	}
	var part messages.EncAPRepPart
	if err := part.Unmarshal(plain); err != nil {
		return err
	}
	if uint64(part.SequenceNumber) != k.ours {
		return errLogon
	}
	k.ready = true
	return nil
}

// unwrapGSS takes the frame of RFC 2743 3.1 away that some clients put around
// Kerberos messages in SPNEGO.
func unwrapGSS(token []byte) []byte {
	oids := [][]byte{{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02}, {0x06, 0x09, 0x2a, 0x86, 0x48, 0x82, 0xf7, 0x12, 0x01, 0x02, 0x02}}
	if len(token) == 0 || token[0] != 0x60 {
		return token
	}
	for _, oid := range oids {
		if at := bytes.Index(token[:min(len(token), 24)], oid); at > 0 {
			rest := token[at+len(oid):]
			if len(rest) > 2 && slices.Contains([]byte{1, 2}, rest[0]) && rest[1] == 0 {
				return rest[2:]
			}
		}
	}
	return token
}
