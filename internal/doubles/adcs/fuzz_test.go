package adcs

import (
	"encoding/hex"
	"strings"
	"testing"

	"chancery/internal/doubles/dcerpc"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// worked is the OBJREF of a whole RemoteCreateInstance for two interfaces.
const worked = `4d454f5704000000a201000000000000 c0000000000000463803000000000000 c0000000000000460000000088010000
	78010000000000000110 0800cccccccc 88000000000000007801000098000000 00000000020000000400000000000000
	00000000000000000000000000000200 04000200000000000400 0000ab010000 00000000c000000000000046a5010000
	00000000c000000000000046a4010000 00000000c000000000000046aa010000 00000000c00000000000004604000000
	68000000280000002000000030000000 01100800cccccccc5800000000000000 746e9ed988fcd011b49800a0c90312f3
	14000000000000000000000002000000 00000000000002006800000005000700 02000000706e9ed988fcd011b49800a0
	c90312f33afd2254b8d4ef4ca12ee87d 4ca22e90000000000110 0800cccccccc 18000000000000000000000000000000
	00000000000000000000000000000000 01100800cccccccc1000000000000000 00000000000000000000000000000000
	01100800cccccccc2000000000000000 00000000000002000200000001000000 04000200010000000700000000000000`

func TestActivationProperties(t *testing.T) {
	want, err := parseActivation(unhex(t, worked))
	if err != nil || want.class != clsidCertReq || len(want.iids) != 2 || want.iids[0] != iidCertRequest || want.iids[1] != iidCertRequest2 {
		t.Fatalf("%+v, %v", want, err)
	}
	for name, spoil := range map[string]func([]byte){
		"the sizes of properties":      func(b []byte) { b[0xc0] -= 8 },
		"the total":                    func(b []byte) { b[0x48] ^= 8 },
		"the size of the header":       func(b []byte) { b[0x4c] ^= 8 },
		"the count of interfaces":      func(b []byte) { b[0xfc]++ },
		"the frame of a property":      func(b []byte) { b[0xd0] = 2 },
		"the name of a property":       func(b []byte) { b[0xac] = 0xff },
		"the class of the properties":  func(b []byte) { b[0x18] = 0x39 },
		"the only protocol":            func(b []byte) { b[0x1a8] = 8 },
		"the version":                  func(b []byte) { b[0x10c] = 6 },
		"the length of a property":     func(b []byte) { b[0xd8] += 8 },
		"the count of properties":      func(b []byte) { b[0x58]++ },
		"the class of another request": func(b []byte) { b[0x08] = 0xa3 },
	} {
		b := unhex(t, worked)
		spoil(b)
		if _, err := parseActivation(b); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestNamesOfCAs(t *testing.T) {
	for name, want := range map[string]string{"CORP-CA": "CORP-CA", "A #1 (x)%^": "A !00231 !0028x!0029!0025!005e", "Ä": "!00c4"} {
		if got := sanitize(name); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
	long := strings.Repeat("a", 48) + "#" + strings.Repeat("b", 20)
	short := shorten(sanitize(long))
	if !strings.HasPrefix(short, strings.Repeat("a", 48)+"-") || len(short) != 54 {
		t.Errorf("%s", short)
	}
	ca := &CA{cfg: Config{Name: long}}
	for _, name := range []string{long, sanitize(long), short, strings.ToUpper(short)} {
		if !ca.known(name) {
			t.Errorf("%s is not known", name)
		}
	}
	if ca.known("") || ca.known(`CA1\`+long) {
		t.Error("another is known")
	}
}

func TestAttributes(t *testing.T) {
	a := parseAttributes("Certificate-Template: User \nSAN:upn=a@b&dns=c\nno colon\nCertificateTemplate:Other\r\n cdc :dc1\r")
	if a["certificatetemplate"] != "User" || a["san"] != "upn=a@b&dns=c" || a["cdc"] != "dc1" || len(a) != 3 {
		t.Errorf("%q", a)
	}
	if names, ok := altNames("upn=a@b&ipaddress=10.0.0.1"); !ok || len(names) != 2 {
		t.Errorf("%v", names)
	}
	for _, text := range []string{"", "upn", "color=red", "ipaddress=x"} {
		if _, ok := altNames(text); ok {
			t.Errorf("%q was taken", text)
		}
	}
}

func FuzzActivation(f *testing.F) {
	f.Add(unhex(f, worked))
	f.Fuzz(func(t *testing.T, b []byte) {
		if w, err := parseActivation(b); err == nil && len(w.iids) == 0 {
			t.Fatal("nothing was wanted")
		}
	})
}

// Whatever comes as parameters is answered, by a stub or a fault.
func FuzzStubs(f *testing.F) {
	ca := Start(f, Config{Accounts: []Account{{User: "ra", Password: "x", Rights: Everybody | ManageCA | Officer, SID: "S-1-5-21-1-2-3-4"}}})
	const seeded = 10
	if _, err := ca.Seed(seeded, func(int) Seed { return Seed{Template: "User"} }); err != nil {
		f.Fatal(err)
	}
	this := "05000700000000000000000000000000000000000000000000000000000000 00"
	f.Add(byte(0), byte(0), unhex(f, "0001000000000200080000000000000008000000 43004f00520050002d00430041000000 00000000 00000000 00000000 05000000 04000200 05000000 3003020105"))
	f.Add(byte(3), byte(10), unhex(f, this+"00000200080000000000000008000000 43004f00520050002d00430041000000 040002000b000000000000000b000000 36003100300030003000300030003000300032000000 0000 04000000 00803ed5deb19d01"))
	f.Add(byte(3), byte(14), unhex(f, this+"00000200080000000000000008000000 43004f00520050002d00430041000000 01000000 01000000 0e000000 10000000 01000000 04000200 04000000 04000000 02000000 03000000 03000000 0e000000 0f000000 10000000 01000000 64000000"))
	f.Add(byte(2), byte(6), unhex(f, this+"00000200080000000000000008000000 43004f00520050002d00430041000000 00000000 04000200 05000000 00000000 05000000 36003100 30003000 00000000 00000000 00000000 00000000 00000000"))
	f.Add(byte(8), byte(4), unhex(f, "05000700010000000000000000000000000000000000000000000000000000000000000000000200b0010000b0010000"+worked))
	f.Add(byte(7), byte(3), unhex(f, "0000000001000000 4b000000 4b000000 0500 13000d2060ae913c9ecf118d7c00aa00c091be0000 02000000 13000d045d888aeb1cc9119fe808002b10486002000200000001000b020000000100070200000001000904000000000000"+strings.Repeat("00", 20)+"01000000"))
	f.Fuzz(func(t *testing.T, which, opnum byte, stub []byte) {
		who := &dcerpc.Caller{User: "ra", Level: dcerpc.LevelPrivacy}
		call := &dcerpc.Call{Opnum: uint16(opnum), Stub: stub, Level: dcerpc.LevelPrivacy, Caller: who}
		all := append(append([]dcerpc.Interface{}, ca.back.Interfaces...), ca.front.Interfaces...)
		i := all[int(which)%len(all)]
		call.Interface = &i
		switch i.ID {
		case iidCertRequest, iidCertRequest2:
			ipid := ca.objects.export(ca.objects.make(clsidCertReq, "ra"), i.ID, 1)
			call.Object = &ipid
		case iidCertAdmin, iidCertAdmin2:
			ipid := ca.objects.export(ca.objects.make(clsidCertAdmin, "ra"), i.ID, 1)
			call.Object = &ipid
		case iidRemUnknown, iidRemUnknown2:
			call.Object = &ca.objects.remUnknown
		}
		if r := i.Serve(call); r.Fault == 0 && len(r.Stub) < 4 {
			t.Fatalf("a stub of %d octets", len(r.Stub))
		}
		ca.ExpireObjects()
		ca.mu.Lock()
		ca.rows = ca.rows[:seeded] // or views become slow
		ca.mu.Unlock()
	})
}

func FuzzIncoming(f *testing.F) {
	f.Add(uint32(0), []byte{0x30, 3, 2, 1, 5})
	f.Add(uint32(0x300), unhex(f, "300b06092a864886f70d010702"))
	f.Fuzz(func(t *testing.T, flags uint32, b []byte) {
		if in, code := parseIncoming(flags, b); code == 0 && in.csr == nil {
			t.Fatal("no request in a request")
		}
	})
}
