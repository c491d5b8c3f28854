package cms_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"chancery/internal/wire/cms"
	"chancery/internal/wire/cms/cmstest"
)

func TestNormalize(t *testing.T) {
	for _, c := range []struct {
		name, in, want string
		err            error
	}{
		{"DER stays", "3003020105", "3003020105", nil},
		{"empty sequence", "3000", "3000", nil},
		{"indefinite", "30800201050000", "3003020105", nil},
		{"indefinite in indefinite", "3080a080020105000030000000", "3007a0030201053000", nil},
		{"long length", "30820003020105", "3003020105", nil},
		{"very long length with zeros", "3087000000000000030201 05", "3003020105", nil},
		{"octets in pieces", "24800402aabb0401cc0000", "0403aabbcc", nil},
		{"octets in pieces, definite", "24070402aabb0401cc", "0403aabbcc", nil},
		{"pieces in pieces", "24802480040 1aa00000401bb0000", "0402aabb", nil},
		{"no pieces", "24800000", "0400", nil},
		{"primitive contents are left alone", "0406308002010500", "0406308002010500", nil},
		{"unsorted set stays", "3106020102020101", "3106020102020101", nil},

		{"nothing", "", "", cms.ErrEncoding},
		{"tag alone", "30", "", cms.ErrEncoding},
		{"truncated", "300302", "", cms.ErrEncoding},
		{"truncated length", "3082", "", cms.ErrEncoding},
		{"length overflow", "308affffffffffffffffffff", "", cms.ErrEncoding},
		{"reserved length", "30ff", "", cms.ErrEncoding},
		{"never ends", "3080020105", "", cms.ErrEncoding},
		{"half an end", "308002010500", "", cms.ErrEncoding},
		{"end in definite", "30020000", "", cms.ErrEncoding},
		{"end alone", "0000", "", cms.ErrEncoding},
		{"end with content", "30800001ff0000", "", cms.ErrEncoding},
		{"primitive indefinite", "0480000000", "", cms.ErrEncoding},
		{"long tag", "1f8101020000", "", cms.ErrEncoding},
		{"other piece", "2480020105 0000", "", cms.ErrEncoding},
		{"text in pieces", "2c800c01410000", "", cms.ErrEncoding},
		{"bits in pieces", "2380030200410000", "", cms.ErrEncoding},
		{"trailing", "300000", "", cms.ErrTrailing},
		{"trailing after indefinite", "3080000000", "", cms.ErrTrailing},
		{"too deep", strings.Repeat("3080", 33) + strings.Repeat("0000", 33), "", cms.ErrTooDeep},
		{"pieces too deep", strings.Repeat("2480", 33) + strings.Repeat("0000", 33), "", cms.ErrTooDeep},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := unhex(t, c.in)
			got, err := cms.Normalize(in, cms.Limits{})
			if !errors.Is(err, c.err) || !bytes.Equal(got, unhex(t, c.want)) {
				t.Errorf("Normalize(%s) = %x, %v; want %s, %v", c.in, got, err, c.want, c.err)
			}
		})
	}
}

func TestNormalizeLimits(t *testing.T) {
	if _, err := cms.Normalize(make([]byte, 11), cms.Limits{MaxBytes: 10}); err != cms.ErrTooLarge {
		t.Errorf("size: got %v, want ErrTooLarge", err)
	}
	many := cmstest.Seq(bytes.Repeat([]byte{5, 0}, 10))
	if _, err := cms.Normalize(many, cms.Limits{MaxElements: 10}); err != cms.ErrTooMany {
		t.Errorf("elements: got %v, want ErrTooMany", err)
	}
	if _, err := cms.Normalize(many, cms.Limits{MaxElements: 11}); err != nil {
		t.Errorf("elements: got %v, want none", err)
	}
	pieces := cmstest.Element(0x24, bytes.Repeat([]byte{4, 0}, 10))
	if _, err := cms.Normalize(pieces, cms.Limits{MaxElements: 10}); err != cms.ErrTooMany {
		t.Errorf("pieces: got %v, want ErrTooMany", err)
	}
}

// TestNormalizeStreamed takes a large nested message through the form of
// streaming writers and back.
func TestNormalizeStreamed(t *testing.T) {
	for _, size := range []int{0, 1, 127, 128, 255, 256, 65535, 65536, 200_000} {
		der := cmstest.Seq(cmstest.OID(1, 2, 3), cmstest.Element(0xa0, cmstest.Seq(cmstest.Element(4, bytes.Repeat([]byte{7}, size)))))
		got, err := cms.Normalize(cmstest.Indefinite(t, der, 1000), cms.Limits{})
		if err != nil || !bytes.Equal(got, der) {
			t.Errorf("%d octets: %v, came back equal: %v", size, err, bytes.Equal(got, der))
		}
	}
}

func FuzzBER(f *testing.F) {
	for _, seed := range []string{
		"3003020105", "30800201050000", "24802480040 1aa00000401bb0000", "3087000000000000030201 05",
		"3080a0802480040100040200ff00000000 0000", "1f8101020000", "308affffffffffffffffffff",
	} {
		f.Add(unhex(f, seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		der, err := cms.Normalize(b, cms.Limits{})
		if err != nil {
			return
		}
		again, err := cms.Normalize(der, cms.Limits{})
		if err != nil || !bytes.Equal(again, der) {
			t.Errorf("Normalize(%x) = %x, which is not its own normal form: %x, %v", b, der, again, err)
		}
	})
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
