package dcerpc

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/binary"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/crypto/common"
	"github.com/jcmturner/gokrb5/v8/crypto/etype"
	"github.com/jcmturner/gokrb5/v8/types"
)

// Key usages (RFC 4121 2).
const (
	usageAcceptorSeal  = 22
	usageAcceptorSign  = 23
	usageInitiatorSeal = 24
	usageInitiatorSign = 25

	wrapHeader   = 16
	confounder   = 16
	checksumSize = 12
	wrapFill     = 16 // octets of filler in our tokens: EC
)

// kerberosGuard seals with the acceptor's subkey: the wrap tokens of RFC 4121
// 4.2.6.2 with AES, turned so that the stub's ciphertext is as long as the stub
// (MS-KILE 3.4.5.4.1).
type kerberosGuard struct {
	in, out kerberosWay
	kind    etype.EType
}

// kerberosWay is one direction.
type kerberosWay struct {
	seal, integrity, sign []byte // Ke, Ki, Kc
	seq                   uint64
	acceptor              bool // it is ours
}

func newKerberosGuard(key types.EncryptionKey, theirs, ours uint64) (*kerberosGuard, error) {
	kind, err := crypto.GetEtype(key.KeyType)
	if err != nil {
		return nil, err
	}
	g := &kerberosGuard{kind: kind, in: kerberosWay{seq: theirs}, out: kerberosWay{seq: ours, acceptor: true}}
	derive := func(usage []byte) []byte {
		k, e := kind.DeriveKey(key.KeyValue, usage)
		if e != nil {
			err = e
		}
		return k
	}
	fill := func(w *kerberosWay, sealing, signing uint32) {
		w.seal, w.integrity = derive(common.GetUsageKe(sealing)), derive(common.GetUsageKi(sealing))
		w.sign = derive(common.GetUsageKc(signing))
	}
	fill(&g.in, usageInitiatorSeal, usageInitiatorSign)
	fill(&g.out, usageAcceptorSeal, usageAcceptorSign)
	return g, err
}

// header is the first 16 octets of a wrap token.
func (w *kerberosWay) header(extra, rotated int) []byte {
	h := []byte{5, 4, 2 | 4, 0xff} // sealed, with the acceptor's subkey
	if w.acceptor {
		h[2] |= 1
	}
	h = binary.BigEndian.AppendUint16(h, uint16(extra))
	h = binary.BigEndian.AppendUint16(h, uint16(rotated))
	return binary.BigEndian.AppendUint64(h, w.seq)
}

func sha1MAC(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha1.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)[:checksumSize]
}

// sum is the checksum of a wrap token: over the whole PDU where headers are
// signed.
func (w *kerberosWay) sum(confounder, header, stub, rest, filler, inner []byte, signed bool) []byte {
	if !signed {
		return sha1MAC(w.integrity, confounder, stub, filler, inner)
	}
	return sha1MAC(w.integrity, confounder, header, stub, rest, filler, inner)
}

func (g *kerberosGuard) tokenSize() int {
	return wrapHeader + confounder + wrapFill + wrapHeader + checksumSize
}

func (g *kerberosGuard) seal(header, stub, rest []byte, signed, privacy bool) ([]byte, error) {
	if !privacy {
		return nil, errSeal
	}
	w := &g.out
	mess := make([]byte, confounder)
	rand.Read(mess)
	filler, inner := bytes.Repeat([]byte{0xff}, wrapFill), w.header(wrapFill, 0)
	sum := w.sum(mess, header, stub, rest, filler, inner, signed)
	_, sealed, err := g.kind.EncryptData(w.seal, bytes.Join([][]byte{mess, stub, filler, inner}, nil))
	if err != nil {
		return nil, err
	}
	const rotation = wrapHeader + checksumSize
	buffer := rotateRight(append(sealed, sum...), rotation+wrapFill)
	token := append(w.header(wrapFill, rotation), buffer[:len(buffer)-len(stub)]...)
	copy(stub, buffer[len(buffer)-len(stub):])
	w.seq++
	return token, nil
}

func (g *kerberosGuard) unseal(header, stub, rest, token []byte, signed, privacy bool) error {
	if !privacy || len(token) < wrapHeader+confounder+wrapHeader+checksumSize {
		return errSeal
	}
	w := &g.in
	extra, rotated := int(binary.BigEndian.Uint16(token[4:])), int(binary.BigEndian.Uint16(token[6:]))
	if len(token) != wrapHeader+confounder+extra+wrapHeader+checksumSize || !bytes.Equal(token[:wrapHeader], w.header(extra, rotated)) {
		return errSeal
	}
	buffer := append(bytes.Clone(token[wrapHeader:]), stub...)
	buffer = rotateRight(buffer, -(extra + rotated))
	sealed, sum := buffer[:len(buffer)-checksumSize], buffer[len(buffer)-checksumSize:]
	plain, err := g.kind.DecryptData(w.seal, sealed)
	if err != nil || len(plain) != confounder+len(stub)+extra+wrapHeader {
		return errSeal
	}
	mess, text := plain[:confounder], plain[confounder:confounder+len(stub)]
	filler, inner := plain[confounder+len(stub):len(plain)-wrapHeader], plain[len(plain)-wrapHeader:]
	if !hmac.Equal(sum, w.sum(mess, header, text, rest, filler, inner, signed)) || !bytes.Equal(inner, w.header(extra, 0)) {
		return errSeal
	}
	copy(stub, text)
	w.seq++
	return nil
}

// rotateRight turns b right by n, or left where n is negative.
func rotateRight(b []byte, n int) []byte {
	n = ((n % len(b)) + len(b)) % len(b)
	return append(bytes.Clone(b[len(b)-n:]), b[:len(b)-n]...)
}

// micHeader is the first 16 octets of a MIC token (RFC 4121 4.2.6.1).
func (w *kerberosWay) micHeader() []byte {
	h := []byte{4, 4, 4, 0xff, 0xff, 0xff, 0xff, 0xff}
	if w.acceptor {
		h[2] |= 1
	}
	return binary.BigEndian.AppendUint64(h, w.seq)
}

func (w *kerberosWay) nextMIC(data []byte) []byte {
	h := w.micHeader()
	w.seq++
	return append(h, sha1MAC(w.sign, data, h)...)
}

func (g *kerberosGuard) mic(data []byte) []byte { return g.out.nextMIC(data) }

func (g *kerberosGuard) checkMIC(data, mic []byte) error {
	if !hmac.Equal(g.in.nextMIC(data), mic) {
		return errSeal
	}
	return nil
}
