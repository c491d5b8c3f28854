package ldapdir

import (
	"bytes"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"chancery/internal/ra"
	"chancery/internal/wire/pkixmsg"
)

func TestSID(t *testing.T) {
	domain := []byte{1, 5, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0, 0xa1, 0xb2, 0xc3, 0xd4, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x50, 4, 0, 0}
	for _, tt := range []struct {
		in   []byte
		want string // empty: refused
	}{
		{domain, "S-1-5-21-3569595041-1-4294967295-1104"},
		{[]byte{1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0}, "S-1-5-18"},
		{[]byte{1, 1, 1, 2, 3, 4, 5, 6, 18, 0, 0, 0}, "S-1-0x010203040506-18"},
		{nil, ""},
		{domain[:27], ""},
		{append([]byte{2}, domain[1:]...), ""},
		{append(bytes.Clone(domain), 0, 0, 0, 0), ""},
		{append([]byte{1, 16, 0, 0, 0, 0, 0, 5}, make([]byte, 64)...), ""},
	} {
		got, err := SID(tt.in)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("SID(%x) = %q, %v; want %q", tt.in, got, err, tt.want)
		}
	}
}

func FuzzSID(f *testing.F) {
	f.Add([]byte{1, 5, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0, 0xa1, 0xb2, 0xc3, 0xd4, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x50, 4, 0, 0})
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 5})
	f.Fuzz(func(t *testing.T, b []byte) {
		sid, err := SID(b)
		if err == nil && len(b) >= 12 && b[2] == 0 && b[3] == 0 {
			if err := pkixmsg.CheckSID(sid); err != nil {
				t.Errorf("%x reads as %s, which is refused elsewhere: %v", b, sid, err)
			}
		}
	})
}

func TestLargeValue(t *testing.T) {
	_, err := newEntry(&ldap.Entry{DN: "CN=a", Attributes: []*ldap.EntryAttribute{{Name: "thumbnailPhoto", ByteValues: [][]byte{make([]byte, maxValue+1)}}}})
	if ra.KindOf(err) != ra.TooLarge {
		t.Errorf("a value of more than the limit: %v", err)
	}
	e, err := newEntry(&ldap.Entry{DN: "CN=a", Attributes: []*ldap.EntryAttribute{{Name: "userCertificate;binary", ByteValues: [][]byte{{1}, {2}}}}})
	if err != nil || len(e.All("usercertificate")) != 2 {
		t.Errorf("an attribute with an option: %v, %v", e, err)
	}
}
