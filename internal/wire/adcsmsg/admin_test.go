package adcsmsg

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"chancery/internal/wire/ndr"
)

const ca = "00000200 02000000 00000000 02000000 41000000" // the authority "A"

func TestEncodeCalls(t *testing.T) {
	for name, c := range map[string]struct {
		got  func() ([]byte, error)
		want string
	}{
		"authority": {func() ([]byte, error) { return EncodeAuthority("A") }, ca},
		"nobody":    {func() ([]byte, error) { return EncodeAuthority("") }, "00000200 01000000 00000000 01000000 0000"},
		"GetCACert": {func() ([]byte, error) { return EncodeGetCACert(CACertName, "") }, "656d616e 00000200 01000000 00000000 01000000 0000"},
		"property": {func() ([]byte, error) { return EncodeGetCAProperty("A", PropTemplates, 0) },
			ca + "1d000000 00000000 04000000"},
		"by id": {func() ([]byte, error) { return EncodeByID("A", 9) }, ca + "09000000"},
		"valid": {func() ([]byte, error) { return EncodeIsValid("A", "01") },
			ca + "04000200 03000000 00000000 03000000 30003100 0000"},
		"publish": {func() ([]byte, error) { return EncodePublishCRLs("A", time.Time{}, PublishBase|PublishDelta) },
			ca + "00000000 00000000 03000000"},
		"config": {func() ([]byte, error) { return EncodeGetConfigEntry("A", "p", "q") },
			ca + "04000200 02000000 00000000 02000000 70000000  02000000 00000000 02000000 71000000"},
		"view table": {func() ([]byte, error) { return EncodeViewTable("A", 3, 50) }, ca + "00000000 03000000 32000000"},
		"view": {func() ([]byte, error) {
			return EncodeOpenView("A", []Restriction{{Column: Column{Type: ColumnLong, Index: 7}, Seek: SeekEqual, Value: Value{Long: 20}}}, Columns{{Index: 5}, {Index: 6}}, 100)
		}, ca + "01000000 01000000 07000000 01000000 00000000 04000200 04000000  04000000 14000000" +
			"02000000 02000000 05000000 06000000 01000000 64000000"},
		"more of it": {func() ([]byte, error) { return EncodeEnumView("A", 101, 50) }, ca + "65000000 32000000"},
	} {
		if got, err := c.got(); err != nil || !bytes.Equal(got, unhex(t, c.want)) {
			t.Errorf("%s: %v\n got %x\nwant %x", name, err, got, unhex(t, c.want))
		}
	}
	for name, encode := range map[string]func(string) ([]byte, error){
		"authority": EncodeAuthority,
		"GetCACert": func(s string) ([]byte, error) { return EncodeGetCACert(0, s) },
		"property":  func(s string) ([]byte, error) { return EncodeGetCAProperty(s, PropTemplates, 0) },
		"by id":     func(s string) ([]byte, error) { return EncodeByID(s, 1) },
		"valid":     func(s string) ([]byte, error) { return EncodeIsValid("A", s) },
		"revoke":    func(s string) ([]byte, error) { return EncodeRevoke("A", s, 0, time.Unix(0, 0)) },
		"publish":   func(s string) ([]byte, error) { return EncodePublishCRLs(s, time.Time{}, 1) },
		"config":    func(s string) ([]byte, error) { return EncodeGetConfigEntry("A", "", s) },
		"table":     func(s string) ([]byte, error) { return EncodeViewTable(s, 0, 1) },
		"view":      func(s string) ([]byte, error) { return EncodeOpenView(s, nil, nil, 1) },
		"rows":      func(s string) ([]byte, error) { return EncodeEnumView(s, 1, 1) },
	} {
		if b, err := encode("a\x00b"); err == nil {
			t.Errorf("%s: a text with NUL was written as %x", name, b)
		}
	}
}

func TestDecodeValues(t *testing.T) {
	if v, err := DecodeLong(unhex(t, "02030000")); v != 0x302 || err != nil {
		t.Errorf("%x, %v", v, err)
	}
	if reason, disposition, err := DecodeIsValid(unhex(t, "06000000 02000000")); reason != 6 || disposition != CertificateRevoked || err != nil {
		t.Errorf("%d %d %v", reason, disposition, err)
	}
	b, err := DecodeBlob(unhex(t, "04000000 00000200 04000000 05000000"))
	if v, lerr := Long(b); err != nil || lerr != nil || v != 5 {
		t.Errorf("%x, %v", b, err)
	}
	if _, err := Long([]byte{1, 2}); !errors.Is(err, ErrAnswer) {
		t.Errorf("%v", err)
	}
	if s, err := Text(utf16LE("Zürich")); s != "Zürich" || err != nil {
		t.Errorf("%q, %v", s, err)
	}
}

const (
	variantLong = "00000200 00000000  03000000 00000000 0300 0000 0000 0000 03000000 00000400"
	variantText = "00000200 00000000  05000000 00000000 0800 0000 0000 0000 08000000 04000200 02000000 04000000 02000000 41004200"
)

func TestDecodeVariant(t *testing.T) {
	if v, err := DecodeVariant(unhex(t, variantLong)); err != nil || v.Type != VariantLong || v.Long != 0x40000 {
		t.Errorf("%+v, %v", v, err)
	}
	if v, err := DecodeVariant(unhex(t, variantText)); err != nil || v.Type != VariantString || v.String != "AB" {
		t.Errorf("%+v, %v", v, err)
	}
	for name, c := range map[string]struct {
		stub string
		want error
	}{
		"null":      {"00000000", ErrVariant},
		"array":     {"00000200 00000000 03000000 00000000 1120 0000 0000 0000 11200000", ErrVariant},
		"two types": {"00000200 00000000 03000000 00000000 0300 0000 0000 0000 08000000", ErrAnswer},
		"short":     {"00000200 00000000 03000000", ndr.ErrShort},
		"overrun":   {"00000200 00000000 05000000 00000000 0800 0000 0000 0000 08000000 04000200 01000000 04000000 02000000 41004200", ErrAnswer},
	} {
		if _, err := DecodeVariant(unhex(t, c.stub)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v; want %v", name, err, c.want)
		}
	}
}

func FuzzDecodeVariant(f *testing.F) {
	f.Add(unhex(f, variantLong))
	f.Add(unhex(f, variantText))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := DecodeVariant(b)
		if err == nil && v.Type != VariantLong && v.Type != VariantString {
			t.Errorf("type %d", v.Type)
		}
	})
}
