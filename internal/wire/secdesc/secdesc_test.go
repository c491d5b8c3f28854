package secdesc_test

import (
	"encoding/hex"
	"errors"
	"reflect"
	"testing"

	"chancery/internal/wire/pkixmsg"
	. "chancery/internal/wire/secdesc"
)

const (
	domain   = "S-1-5-21-3981832230-819177259-90020688"
	users    = domain + "-513"
	admins   = domain + "-512"
	service  = domain + "-1105"
	everyone = "S-1-1-0"
	enroll   = "0e10c968-78fb-11d2-90d4-00c04f79dc55"
	auto     = "a05b8cc2-17bc-4802-a710-e7c15ab866a2"
)

func TestSID(t *testing.T) {
	for text, bytes := range map[string]string{
		everyone:                   "010100000000000100000000",
		"S-1-5-32-544":             "01020000000000052000000020020000",
		"S-1-5-21-1-2-3-1105":      "010500000000000515000000010000000200000003000000" + "51040000",
		"S-1-281474976710655-7":    "0101ffffffffffff07000000",
		"S-1-16-4294967295-0-0-12": "01040000000000" + "10" + "ffffffff00000000000000000c000000",
	} {
		b, err := hex.DecodeString(bytes)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseSID(b); err != nil || got != text {
			t.Errorf("ParseSID(%s) = %s, %v; want %s", bytes, got, err, text)
		}
		if got, err := AppendSID(nil, text); err != nil || hex.EncodeToString(got) != bytes {
			t.Errorf("AppendSID(%s) = %x, %v; want %s", text, got, err, bytes)
		}
		if err := pkixmsg.CheckSID(text); err != nil {
			t.Errorf("CheckSID(%s) = %v", text, err)
		}
	}
	for _, bad := range []string{"", "01", "0100000000000005", "0201000000000005" + "12000000", "0101000000000005120000",
		"010100000000000512000000ff", "0110000000000005" + "00000000000000000000000000000000" + "00000000000000000000000000000000" + "00000000000000000000000000000000" + "00000000000000000000000000000000"} {
		b, err := hex.DecodeString(bad)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseSID(b); !errors.Is(err, ErrSID) {
			t.Errorf("ParseSID(%s) = %s, %v; want ErrSID", bad, got, err)
		}
	}
	for _, bad := range []string{"", "S-1-5", "S-1-", "S-2-5-18", "s-1-5-18", "S-1-5-018", "S-1-5-4294967296", "S-1-0x5-18", "S-1-5--18", "S-1-281474976710656-1",
		"S-1-5-1-2-3-4-5-6-7-8-9-10-11-12-13-14-15-16"} {
		if got, err := AppendSID(nil, bad); !errors.Is(err, ErrSID) {
			t.Errorf("AppendSID(%s) = %x, %v; want ErrSID", bad, got, err)
		}
	}
}

func TestGUID(t *testing.T) {
	b, err := hex.DecodeString("68c9100efb78d21190d400c04f79dc55")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseGUID(b); err != nil || got != enroll {
		t.Errorf("ParseGUID = %s, %v", got, err)
	}
	if _, err := ParseGUID(b[1:]); !errors.Is(err, ErrDescriptor) {
		t.Errorf("15 bytes: %v", err)
	}
	for _, bad := range []string{"0e10c968", "0e10c96878fb11d290d400c04f79dc55", "{0e10c968-78fb-11d2-90d4-00c04f79dc55}", "0e10c968-78fb-11d2-90d4-00c04f79dcxx"} {
		d := Descriptor{Access: []Entry{{Kind: AllowObject, SID: everyone, Object: bad}}}
		if _, err := d.Append(nil); !errors.Is(err, ErrDescriptor) {
			t.Errorf("object %q: %v; want ErrDescriptor", bad, err)
		}
	}
}

// every is a descriptor with an entry of every kind.
func every() *Descriptor {
	return &Descriptor{Owner: admins, Group: users, Control: ControlProtected | 0x8004, Access: []Entry{
		{Kind: Deny, Mask: WriteProperty, SID: everyone},
		{Kind: AllowObject, Mask: 0x130, SID: users, Object: enroll},
		{Kind: DenyObject, Flags: 0x12, Mask: ControlAccess, SID: users, Object: enroll, Inherited: auto},
		{Kind: AllowObject, Mask: ControlAccess, SID: users, Inherited: auto},
		{Kind: AllowCallback, Mask: 1, SID: users, Rest: []byte("artx")},
		{Kind: DenyCallbackObject, Mask: 1, SID: users, Object: enroll, Rest: []byte("artx")},
		{Kind: 0x13, Flags: 0x10, Rest: []byte{1, 2, 3, 4}},
		{Kind: Allow, Flags: InheritOnly, Mask: GenericAll, SID: admins},
	}}
}

func TestRoundTrip(t *testing.T) {
	for name, d := range map[string]*Descriptor{
		"every kind": every(),
		"no list":    {Owner: admins, Control: 0x8000, Open: true},
		"empty list": {Group: admins, Control: 0x8004, Access: []Entry{}},
		"nothing":    {Control: 0x8000, Open: true},
	} {
		b, err := d.Append([]byte("before"))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, err := Parse(b[len("before"):]); err != nil || !reflect.DeepEqual(got, d) {
			t.Errorf("%s: got %+v, %v\nwant %+v", name, got, err, d)
		}
	}
}

// TestParseCutOff: no beginning of a descriptor is one, and none panics.
func TestParseCutOff(t *testing.T) {
	whole, err := every().Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if _, err := Parse(whole[:n]); !errors.Is(err, ErrDescriptor) && !errors.Is(err, ErrSID) {
			t.Errorf("the first %d bytes: %v", n, err)
		}
	}
	if _, err := Parse(make([]byte, 200_000)); !errors.Is(err, ErrTooBig) {
		t.Errorf("200,000 bytes: %v", err)
	}
	for name, spoil := range map[string]func([]byte){
		"revision":         func(b []byte) { b[0] = 2 },
		"absolute":         func(b []byte) { b[3] = 0 },
		"owner in header":  func(b []byte) { b[4] = 19 },
		"owner far away":   func(b []byte) { b[7] = 0xff },
		"list revision":    func(b []byte) { b[b[16]] = 9 },
		"list too long":    func(b []byte) { b[int(b[16])+3] = 0xff },
		"too many entries": func(b []byte) { b[int(b[16])+5] = 0xff },
		"entry too short":  func(b []byte) { b[int(b[16])+8+2] = 3 },
		"entry without id": func(b []byte) { b[int(b[16])+8+2] = 8 },
	} {
		b := append([]byte(nil), whole...)
		spoil(b)
		if _, err := Parse(b); !errors.Is(err, ErrDescriptor) && !errors.Is(err, ErrSID) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAppendLimits(t *testing.T) {
	long := Descriptor{}
	for range 4000 {
		long.Access = append(long.Access, Entry{Mask: 1, SID: everyone})
	}
	if _, err := long.Append(nil); !errors.Is(err, ErrTooBig) {
		t.Errorf("4,000 entries: %v", err)
	}
	if _, err := (&Descriptor{Access: []Entry{{Kind: 0x13, Rest: make([]byte, 70_000)}}}).Append(nil); !errors.Is(err, ErrTooBig) {
		t.Errorf("an entry of 70,000 bytes: %v", err)
	}
	for _, d := range []Descriptor{{Owner: "x"}, {Group: "x"}, {Access: []Entry{{SID: "x"}}}} {
		if _, err := d.Append(nil); !errors.Is(err, ErrSID) {
			t.Errorf("%+v: %v", d, err)
		}
	}
}

func TestCheck(t *testing.T) {
	may := func(k Kind, mask uint32, sid string) Entry { return Entry{Kind: k, Mask: mask, SID: sid} }
	about := func(k Kind, mask uint32, sid, object string) Entry {
		return Entry{Kind: k, Mask: mask, SID: sid, Object: object}
	}
	enrol := Question{SIDs: []string{service, users, everyone}, Mask: ControlAccess, Objects: []string{enroll}}
	write := Question{SIDs: []string{service, users, everyone}, Mask: WriteProperty}
	control := Question{SIDs: []string{service, users, everyone}, Mask: WriteDACL}
	for name, c := range map[string]struct {
		d    Descriptor
		q    Question
		want Verdict
	}{
		"nobody is named":                     {Descriptor{}, enrol, Denied},
		"no list at all":                      {Descriptor{Open: true}, write, Granted},
		"the right itself":                    {Descriptor{Access: []Entry{about(AllowObject, 0x130, users, enroll)}}, enrol, Granted},
		"another right":                       {Descriptor{Access: []Entry{about(AllowObject, 0x130, users, auto)}}, enrol, Denied},
		"the right gives no write":            {Descriptor{Access: []Entry{about(AllowObject, 0x130, users, enroll)}}, write, Denied},
		"all extended rights, object":         {Descriptor{Access: []Entry{about(AllowObject, 0x100, users, "")}}, enrol, Granted},
		"all extended rights, plain":          {Descriptor{Access: []Entry{may(Allow, 0x100, users)}}, enrol, Granted},
		"somebody else":                       {Descriptor{Access: []Entry{may(Allow, 0x100, admins)}}, enrol, Denied},
		"generic all":                         {Descriptor{Access: []Entry{may(Allow, GenericAll, users)}}, enrol, Granted},
		"generic write":                       {Descriptor{Access: []Entry{may(Allow, GenericWrite, users)}}, write, Granted},
		"generic read":                        {Descriptor{Access: []Entry{may(Allow, GenericRead|GenericExecute, users)}}, write, Denied},
		"for the children only":               {Descriptor{Access: []Entry{{Kind: Allow, Flags: InheritOnly, Mask: GenericAll, SID: users}}}, enrol, Denied},
		"deny first":                          {Descriptor{Access: []Entry{may(Deny, 0x100, users), may(Allow, 0x100, service)}}, enrol, Denied},
		"deny too late":                       {Descriptor{Access: []Entry{may(Allow, 0x100, service), may(Deny, 0x100, users)}}, enrol, Granted},
		"deny of another object":              {Descriptor{Access: []Entry{about(DenyObject, 0x100, users, auto), may(Allow, 0x100, service)}}, enrol, Granted},
		"deny of this object":                 {Descriptor{Access: []Entry{about(DenyObject, 0x100, users, enroll), may(Allow, 0x100, service)}}, enrol, Denied},
		"deny for the children":               {Descriptor{Access: []Entry{{Kind: Deny, Flags: InheritOnly, Mask: 0x100, SID: users}, may(Allow, 0x100, service)}}, enrol, Granted},
		"deny of another bit":                 {Descriptor{Access: []Entry{may(Deny, 0x20, users), may(Allow, 0x100, service)}}, enrol, Granted},
		"deny generic all":                    {Descriptor{Access: []Entry{may(Deny, GenericAll, users), may(Allow, 0x100, service)}}, enrol, Denied},
		"conditional allow":                   {Descriptor{Access: []Entry{may(AllowCallback, 0x100, users)}}, enrol, Unsure},
		"conditional deny":                    {Descriptor{Access: []Entry{may(DenyCallback, 0x100, users), may(Allow, 0x100, users)}}, enrol, Unsure},
		"conditional allow, then plain":       {Descriptor{Access: []Entry{may(AllowCallback, 0x100, users), may(Allow, 0x100, users)}}, enrol, Granted},
		"conditional object":                  {Descriptor{Access: []Entry{about(AllowCallbackObject, 0x100, users, enroll)}}, enrol, Unsure},
		"conditional deny, nothing to deny":   {Descriptor{Access: []Entry{may(DenyCallback, 0x100, users)}}, enrol, Denied},
		"an unknown kind":                     {Descriptor{Access: []Entry{{Kind: 4, Mask: 0x100, SID: users}, {Kind: 0x11, Mask: 0x100, SID: users}}}, enrol, Denied},
		"the owner":                           {Descriptor{Owner: users}, control, Granted},
		"the owner does not write":            {Descriptor{Owner: users}, write, Denied},
		"another owner":                       {Descriptor{Owner: admins}, control, Denied},
		"owner rights take it away":           {Descriptor{Owner: users, Access: []Entry{may(Allow, ReadControl, ownerRights)}}, control, Denied},
		"owner rights give more":              {Descriptor{Owner: users, Access: []Entry{may(Allow, WriteProperty, ownerRights)}}, write, Granted},
		"owner rights of the children":        {Descriptor{Owner: users, Access: []Entry{{Kind: Allow, Flags: InheritOnly, Mask: ReadControl, SID: ownerRights}}}, control, Granted},
		"owner rights are the owner's":        {Descriptor{Owner: admins, Access: []Entry{may(Allow, WriteProperty, ownerRights)}}, write, Denied},
		"two entries together":                {Descriptor{Access: []Entry{may(Allow, 0x100, users), may(Allow, 0x20, everyone)}}, Question{SIDs: enrol.SIDs, Mask: 0x120}, Granted},
		"one of two rights":                   {Descriptor{Access: []Entry{may(Allow, 0x100, users)}}, Question{SIDs: enrol.SIDs, Mask: 0x120}, Denied},
		"a property by the set it belongs to": {Descriptor{Access: []Entry{about(AllowObject, 0x20, users, auto)}}, Question{SIDs: enrol.SIDs, Mask: 0x20, Objects: []string{enroll, auto}}, Granted},
	} {
		c.q.Mapping = Directory
		if got := c.d.Check(c.q); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

const ownerRights = "S-1-3-4"

// FuzzParse: whatever Parse takes, Append writes back with the same meaning.
func FuzzParse(f *testing.F) {
	for _, d := range []*Descriptor{every(), {Open: true}, {Owner: admins}} {
		b, err := d.Append(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Parse(b)
		if err != nil {
			return
		}
		d.Check(Question{SIDs: []string{users, everyone}, Mask: 0x1ff, Objects: []string{enroll}, Mapping: Directory})
		again, err := d.Append(nil)
		if err != nil {
			t.Fatalf("%+v does not go back: %v", d, err)
		}
		back, err := Parse(again)
		if err != nil {
			t.Fatal(err)
		}
		back.Control, d.Control = 0, 0
		if !reflect.DeepEqual(back, d) {
			t.Fatalf("got %+v, want %+v", back, d)
		}
	})
}
