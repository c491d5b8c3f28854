package dcerpc

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

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

// The parameters of CertServerRequest, and of its answer, octet by octet.
func TestNDR(t *testing.T) {
	r := NewReader(unhex(t, `0001000000000200080000000000000008000000 43004f00520050002d00430041000000 00000000 05000000 04000200 05000000 3003020105`))
	flags := r.U32()
	name, ok := r.UniqueString(1536)
	id := r.U32()
	blob := r.Blob()
	if err := r.End(); err != nil || flags != 0x100 || name != "CORP-CA" || !ok || id != 0 || !bytes.Equal(blob, []byte{0x30, 3, 2, 1, 5}) {
		t.Errorf("%x %q %d %x: %v", flags, name, id, blob, err)
	}
	var w Writer
	w.U32(42)
	w.U32(3)
	w.Blob([]byte{0x30, 0x80})
	w.Blob([]byte{0x30, 3, 2, 1, 5})
	w.Blob(append(Wide("Issued"), 0, 0))
	w.U32(0)
	if want := unhex(t, `2a000000030000000200000000000200 02000000308000000500000004000200 05000000300302010500 00000e000000
		08000200 0e000000 49007300730075006500640000000000 00000000`); !bytes.Equal(w.Bytes(), want) {
		t.Errorf("%x\n%x", w.Bytes(), want)
	}
}

func TestNDRIsStrict(t *testing.T) {
	for name, c := range map[string]struct {
		stub string
		read func(*Reader)
	}{
		"short":                {"010000", func(r *Reader) { r.U32() }},
		"left over":            {"0100000000000000 0000000000000000", func(r *Reader) { r.U32() }},
		"offset":               {"02000000 01000000 02000000 41000000", func(r *Reader) { r.String(0) }},
		"too long":             {"04000000 00000000 04000000 4100410041000000", func(r *Reader) { r.String(3) }},
		"no NUL":               {"02000000 00000000 02000000 41004100", func(r *Reader) { r.String(0) }},
		"NUL inside":           {"03000000 00000000 03000000 410000000000", func(r *Reader) { r.String(0) }},
		"empty":                {"00000000 00000000 00000000", func(r *Reader) { r.String(0) }},
		"more actual than max": {"01000000 00000000 02000000 41000000", func(r *Reader) { r.String(0) }},
		"huge":                 {"ffffffff 00000000 ffffffff", func(r *Reader) { r.String(0) }},
		"blob counts":          {"02000000 00000200 03000000 000000", func(r *Reader) { r.Blob() }},
		"blob at NULL":         {"02000000 00000000", func(r *Reader) { r.Blob() }},
		"huge array":           {"ffffffff", func(r *Reader) { r.Count(24) }},
	} {
		r := NewReader(unhex(t, c.stub))
		c.read(r)
		if !errors.Is(r.End(), ErrNDR) {
			t.Errorf("%s: %v", name, r.End())
		}
	}
}

func TestUUID(t *testing.T) {
	const text = "91ae6020-9e3c-11cf-8d7c-00aa00c091be"
	u := MustUUID(text)
	if hex.EncodeToString(u[:]) != "2060ae913c9ecf118d7c00aa00c091be" || u.String() != text {
		t.Errorf("%x, %s", u[:], u)
	}
}

// MS-NLMP 4.2.4, and the same key around a PDU.
func TestNTLMSeal(t *testing.T) {
	g := newNTLMGuard(bytes.Repeat([]byte{0x55}, 16), true)
	if hex.EncodeToString(g.in.signKey) != "4788dc861b4782f35d43fd98fe1a2d39" || hex.EncodeToString(g.in.sealKey) != "59f600973cc4960a25480a7c196e4c58" {
		t.Errorf("keys %x, %x", g.in.signKey, g.in.sealKey)
	}
	g.out = g.in
	text := Wide("Plaintext")
	token, err := g.seal(nil, text, nil, true, true)
	if err != nil || hex.EncodeToString(text) != "54e50165bf1936dc996020c1811b0f06fb5f" || hex.EncodeToString(token) != "010000007fb38ec5c55d497600000000" {
		t.Errorf("%x, %x, %v", text, token, err)
	}
	g = newNTLMGuard(bytes.Repeat([]byte{0x55}, 16), true)
	header, rest := unhex(t, "05000003 10000000 40001000 02000000 10000000 00000600"), unhex(t, "0a060000 01000000")
	stub, token := unhex(t, "45a42c249f581e9db6211580a55a3647"), unhex(t, "01000000 e4d71217226102d6 00000000")
	if err := g.unseal(header, stub, rest, token, true, true); err != nil || !bytes.Equal(stub, bytes.Repeat([]byte{0x41}, 16)) {
		t.Errorf("%x, %v", stub, err)
	}
	if err := g.unseal(header, stub, rest, token, true, true); err == nil {
		t.Error("the same PDU twice")
	}
}

func kerberosVector(t *testing.T) (g *kerberosGuard, header, stub, rest, token []byte) {
	t.Helper()
	key := make([]byte, 32)
	for i := range key {
		key[i] = byte(i)
	}
	g, err := newKerberosGuard(types.EncryptionKey{KeyType: 18, KeyValue: key}, 7, 0)
	if err != nil {
		t.Fatal(err)
	}
	return g, unhex(t, "05000003 10000000 7c004c00 02000000 10000000 00000600"), unhex(t, "7268a78ca9a31690684888b8f1de92b3"), unhex(t, "10060000 01000000"),
		unhex(t, `050406ff0010001c 0000000000000007 48114ef9197157abbaff74a4f60fb9010e1e32a7df0b47e4b974d40e57151d970adcee230e054791e495d23fdf12fef6a780547451c0e2c4163bce87`)
}

func TestKerberosSeal(t *testing.T) {
	g, header, stub, rest, token := kerberosVector(t)
	if hex.EncodeToString(g.in.seal) != "d87ffc255e3713f6cbc13887002b78cdb87d0eed7f465fa1414570a7e3da1248" {
		t.Errorf("Ke %x", g.in.seal)
	}
	if err := g.unseal(header, stub, rest, token, true, true); err != nil || !bytes.Equal(stub, bytes.Repeat([]byte{0x41}, 16)) {
		t.Errorf("%x, %v", stub, err)
	}
	for name, spoil := range map[string]func(header, stub, rest, token []byte) []byte{
		"a header":       func(header, _, _, token []byte) []byte { header[12] ^= 1; return token },
		"a trailer":      func(_, _, rest, token []byte) []byte { rest[2] ^= 1; return token },
		"a stub":         func(_, stub, _, token []byte) []byte { stub[0] ^= 1; return token },
		"a number":       func(_, _, _, token []byte) []byte { token[15] = 8; return token },
		"a rotation":     func(_, _, _, token []byte) []byte { token[7] = 27; return token },
		"a short token":  func(_, _, _, token []byte) []byte { return token[:75] },
		"another sender": func(_, _, _, token []byte) []byte { token[2] |= 1; return token },
	} {
		g, header, stub, rest, token := kerberosVector(t)
		if err := g.unseal(header, stub, rest, spoil(header, stub, rest, token), true, true); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	g, header, stub, rest, token = kerberosVector(t)
	if g.unseal(header, stub, rest, token, false, true) == nil {
		t.Error("a signed header where none is")
	}
}

func FuzzPDU(f *testing.F) {
	f.Add(unhex(f, "05000b0310000000480000000100000016d016d00000000001000000000001002060ae913c9ecf118d7c00aa00c091be00000000045d888aeb1cc9119fe808002b10486002000000"))
	f.Add(unhex(f, "050000031000000040001000020000001000000000000600 41414141414141414141414141414141 0a06000001000000 01000000e4d71217226102d600000000"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parsePDU(b)
		if err != nil {
			return
		}
		if len(p.body)+headerSize > len(b) {
			t.Fatal("a body beyond the PDU")
		}
		parseBind(p.body)
	})
}

func FuzzTokens(f *testing.F) {
	f.Add(unhex(f, "604806062b0601050502a03e303ca00e300c060a2b06010401823702020aa22a04284e544c4d535350000100000097820862000000000000000000000000000000000a00614a0000000f"))
	f.Add(unhex(f, "a1073005a0030a0100"))
	f.Fuzz(func(t *testing.T, b []byte) {
		parseNegTokenInit(b)
		parseNegTokenResp(b)
		parseNegotiate(b)
		if a, err := parseAuthenticate(b); err == nil && len(a.proof) != 16 {
			t.Fatal("a proof of another size")
		}
		parsePairs(b)
		unwrapGSS(b)
	})
}
