package adcsmsg

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"chancery/internal/wire/ndr"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const requestStub = `
00 01 00 00 00 00 02 00 08 00 00 00 00 00 00 00
08 00 00 00 43 00 4f 00 52 00 50 00 2d 00 43 00
41 00 00 00 00 00 00 00 32 00 00 00 04 00 02 00
32 00 00 00 43 00 65 00 72 00 74 00 69 00 66 00
69 00 63 00 61 00 74 00 65 00 54 00 65 00 6d 00
70 00 6c 00 61 00 74 00 65 00 3a 00 55 00 73 00
65 00 72 00 00 00 00 00 05 00 00 00 08 00 02 00
05 00 00 00 30 03 02 01 05`

const answerStub = `
2a 00 00 00 03 00 00 00 02 00 00 00 00 00 02 00
02 00 00 00 30 80 00 00 05 00 00 00 04 00 02 00
05 00 00 00 30 03 02 01 05 00 00 00 0e 00 00 00
08 00 02 00 0e 00 00 00 49 00 73 00 73 00 75 00
65 00 64 00 00 00 00 00`

// TestEncodePassage compares with a request that another implementation makes,
// but for padding.
func TestEncodePassage(t *testing.T) {
	s := Submission{Flags: FlagPKCS10, Authority: "CORP-CA", Attributes: Attributes{{AttributeTemplate, "User"}}, Request: unhex(t, "3003020105")}
	got, err := EncodePassage(s)
	if want := unhex(t, requestStub); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v\n got %x\nwant %x", err, got, want)
	}
	got, err = EncodePassage(Submission{Authority: "A", RequestID: 7})
	want := "00000000 00000200 02000000 00000000 02000000 41000000 07000000 00000000 00000000 00000000 00000000"
	if err != nil || !bytes.Equal(got, unhex(t, want)) {
		t.Errorf("retrieving: %v\n got %x", err, got)
	}
}

// TestEncodeRequest: attributes are a text, and null when retrieving.
func TestEncodeRequest(t *testing.T) {
	got, err := EncodeRequest(Submission{Flags: 0x100, Authority: "A", Attributes: Attributes{{"a", "b"}, {"c", "d"}}, Request: []byte{0x30, 0}})
	want := "00010000 00000200 02000000 00000000 02000000 41000000 00000000" +
		"04000200 08000000 00000000 08000000 61003a00 62000a00 63003a00 64000000" +
		"02000000 08000200 02000000 3000"
	if err != nil || !bytes.Equal(got, unhex(t, want)) {
		t.Errorf("%v\n got %x\nwant %x", err, got, unhex(t, want))
	}
	got, err = EncodeRequest(Submission{Authority: "A", RequestID: 7})
	want = "00000000 00000200 02000000 00000000 02000000 41000000 07000000 00000000 00000000 00000000"
	if err != nil || !bytes.Equal(got, unhex(t, want)) {
		t.Errorf("retrieving: %v\n got %x", err, got)
	}
}

// TestEncodeRetrieve: by serial number, the authority before the flags, everything
// else null.
func TestEncodeRetrieve(t *testing.T) {
	got, err := EncodeRetrieve("CORP-CA", "6100000002")
	want := "00000200 08000000 00000000 08000000 43004f00 52005000 2d004300 41000000" +
		"00000000 04000200 0b000000 00000000 0b000000 36003100 30003000 30003000 30003000 30003200 00000000" +
		"00000000 00000000 00000000 00000000"
	if err != nil || !bytes.Equal(got, unhex(t, want)) {
		t.Errorf("%v\n got %x\nwant %x", err, got, unhex(t, want))
	}
	if _, err := EncodeRetrieve("A", strings.Repeat("6", 66)); !errors.Is(err, ErrTooLong) {
		t.Errorf("a long serial number: %v", err)
	}
	if _, err := EncodeRetrieve("A\x00", "61"); !errors.Is(err, ErrValue) {
		t.Errorf("NUL: %v", err)
	}
}

func TestCannotBeSent(t *testing.T) {
	long := strings.Repeat("x", 1536)
	for name, c := range map[string]struct {
		s    Submission
		want error
	}{
		"long authority":  {Submission{Authority: long}, ErrTooLong},
		"NUL":             {Submission{Authority: "a\x00b"}, ErrValue},
		"not UTF-8":       {Submission{Authority: "a\xff"}, ErrValue},
		"second line":     {Submission{Attributes: Attributes{{"CertificateTemplate", "User\nSAN:upn=admin@corp.example"}}}, ErrValue},
		"carriage return": {Submission{Attributes: Attributes{{"CertificateTemplate", "User\rSAN:x"}}}, ErrValue},
		"NUL in value":    {Submission{Attributes: Attributes{{"CertificateTemplate", "User\x00"}}}, ErrValue},
		"line separator":  {Submission{Attributes: Attributes{{"CertificateTemplate", "User\u2028SAN:x"}}}, ErrValue},
		"empty value":     {Submission{Attributes: Attributes{{"CertificateTemplate", ""}}}, ErrValue},
		"colon in name":   {Submission{Attributes: Attributes{{"a:b", "c"}}}, ErrValue},
		"no name":         {Submission{Attributes: Attributes{{"", "c"}}}, ErrValue},
	} {
		for call, encode := range map[string]func(Submission) ([]byte, error){"passage": EncodePassage, "request": EncodeRequest} {
			if b, err := encode(c.s); !errors.Is(err, c.want) || b != nil {
				t.Errorf("%s, %s: %v, %d octets; want %v", name, call, err, len(b), c.want)
			}
		}
	}
	if _, err := EncodeRequest(Submission{Attributes: Attributes{{"a", long}}}); !errors.Is(err, ErrTooLong) {
		t.Errorf("long attributes: %v", err)
	}
}

func TestDecodeAnswer(t *testing.T) {
	a, err := DecodeAnswer(unhex(t, answerStub))
	if err != nil || a.RequestID != 42 || a.Disposition != Issued || a.Message != "Issued" ||
		!bytes.Equal(a.Chain, []byte{0x30, 0x80}) || !bytes.Equal(a.Leaf, unhex(t, "3003020105")) {
		t.Errorf("%+v, %v", a, err)
	}
	empty, err := DecodeAnswer(unhex(t, "01000000 12400980 00000000 00000000 00000000 00000000 00000000 00000000"))
	if err != nil || empty.RequestID != 1 || empty.Disposition != 0x80094012 || empty.Message != "" || empty.Leaf != nil {
		t.Errorf("%+v, %v", empty, err)
	}
}

func TestDecodeAnswerRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		stub string
		want error
	}{
		"nothing":         {"", ndr.ErrShort},
		"counts differ":   {"01000000 03000000 02000000 00000200 01000000 30000000 00000000 00000000 00000000 00000000", ErrAnswer},
		"count, no bytes": {"01000000 03000000 02000000 00000000 00000000 00000000 00000000 00000000", ErrAnswer},
		"too much":        {"01000000 03000000 01001000 00000200 01001000", ndr.ErrLimit},
		"odd message":     {"01000000 05000000 00000000 00000000 00000000 00000000 01000000 00000200 01000000 41000000", ErrText},
		"trailing":        {"01000000 05000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000", ndr.ErrTrailing},
	} {
		if _, err := DecodeAnswer(unhex(t, c.stub)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v; want %v", name, err, c.want)
		}
	}
}

// TestEncodeRevoke compares with a stub that was worked out by hand, which begins
// behind ORPCTHIS.
func TestEncodeRevoke(t *testing.T) {
	got, err := EncodeRevoke("CORP-CA", "6100000002", 4, time.Unix(0, 0))
	want := "00000200 08000000 00000000 08000000 43004f00 52005000 2d004300 41000000" +
		"04000200 0b000000 00000000 0b000000 36003100 30003000 30003000 30003000 30003200 00000000" +
		"04000000 00803ed5 deb19d01"
	if err != nil || !bytes.Equal(got, unhex(t, want)) {
		t.Errorf("%v\n got %x\nwant %x", err, got, unhex(t, want))
	}
	if _, err := EncodeRevoke("CORP-CA", "61", 4, time.Time{}); !errors.Is(err, ErrValue) {
		t.Errorf("without a time: %v", err)
	}
}

func FuzzDecodeAnswer(f *testing.F) {
	f.Add(unhex(f, answerStub))
	f.Add(unhex(f, "01000000 12400980 00000000 00000000 00000000 00000000 00000000 00000000"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := DecodeAnswer(b)
		if err != nil && (a.Leaf != nil || a.Message != "") {
			t.Error("an answer beside an error")
		}
		if len(a.Leaf)+len(a.Chain) > len(b) {
			t.Error("more came out than went in")
		}
	})
}
