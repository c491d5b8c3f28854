package secdesc_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"

	. "chancery/internal/wire/secdesc"
)

type sambaEntry struct {
	Kind, Flags       uint8
	Mask              uint32
	SID               string
	Object, Inherited string
}

type sambaView struct {
	Owner, Group string
	Open         bool
	Entries      []sambaEntry
	Granted      []bool
	Hex          string
}

type sambaAsk struct {
	SIDs []string `json:"sids"`
	Mask uint32   `json:"mask"`
}

type sambaItem struct {
	Hex  string     `json:"hex"`
	Asks []sambaAsk `json:"asks"`
}

// TestSambaAgrees: Samba reads what Append writes, Parse reads what Samba
// writes, and both answer the same questions alike.
func TestSambaAgrees(t *testing.T) {
	random := rand.New(rand.NewPCG(20, 4))
	var descriptors []*Descriptor
	var in struct {
		Packed []sambaItem `json:"packed"`
		SDDL   []string    `json:"sddl"`
	}
	for range 400 {
		d := randomDescriptor(random)
		b, err := d.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		item := sambaItem{Hex: hex.EncodeToString(b)}
		for range 5 {
			item.Asks = append(item.Asks, sambaAsk{SIDs: some(random), Mask: 1<<random.IntN(9) | uint32(random.IntN(2))*WriteDACL})
		}
		descriptors, in.Packed = append(descriptors, d), append(in.Packed, item)
	}
	in.SDDL = []string{
		"O:EAG:EAD:PAI(OA;;RPWPCR;0e10c968-78fb-11d2-90d4-00c04f79dc55;;DU)(A;;CCDCLCSWRPWPDTLOSDRCWDWO;;;DA)(A;;LCRPLORC;;;AU)",
		"O:DAG:DAD:AI(OD;CI;CR;a05b8cc2-17bc-4802-a710-e7c15ab866a2;;WD)(OA;CIIO;WP;bf9679c0-0de6-11d0-a285-00aa003049e2;bf967a9c-0de6-11d0-a285-00aa003049e2;PS)(A;CIID;GA;;;SY)",
		"O:BAG:BAD:(D;;WP;;;AN)S:(AU;SA;WP;;;WD)",
		"O:BAG:SY",
	}
	answer := askSamba(t, in)

	granted := map[bool]int{}
	for i, d := range descriptors {
		compare(t, d, answer.Packed[i])
		for n, ask := range in.Packed[i].Asks {
			want := answer.Packed[i].Granted[n]
			granted[want]++
			got := d.Check(Question{SIDs: ask.SIDs, Mask: ask.Mask})
			if got != Granted && got != Denied || (got == Granted) != want {
				t.Errorf("%+v\nmay %+v: %d, Samba says %v", d, ask, got, want)
			}
		}
	}
	if granted[true] < 200 || granted[false] < 200 {
		t.Errorf("the questions are one-sided: %v", granted)
	}
	for i, view := range answer.SDDL {
		b, err := hex.DecodeString(view.Hex)
		if err != nil {
			t.Fatal(err)
		}
		d, err := Parse(b)
		if err != nil {
			t.Errorf("%s: %v", in.SDDL[i], err)
			continue
		}
		compare(t, d, view)
	}
}

// compare checks that d says what Samba sees.
func compare(t *testing.T, d *Descriptor, view sambaView) {
	t.Helper()
	mine := []sambaEntry{}
	for _, e := range d.Access {
		mine = append(mine, sambaEntry{uint8(e.Kind), e.Flags, e.Mask, e.SID, e.Object, e.Inherited})
	}
	if d.Owner != view.Owner || d.Group != view.Group || d.Open != view.Open || !reflect.DeepEqual(mine, view.Entries) {
		t.Errorf("we see %+v\nSamba sees %+v", d, view)
	}
}

var crowd = []string{domain + "-1", domain + "-2", domain + "-3", everyone, "S-1-5-11"}

func some(random *rand.Rand) []string {
	var sids []string
	for _, sid := range crowd {
		if random.IntN(2) == 0 {
			sids = append(sids, sid)
		}
	}
	return append(sids, domain+"-9")
}

// randomDescriptor makes one of what Samba's check evaluates: plain entries.
func randomDescriptor(random *rand.Rand) *Descriptor {
	d := &Descriptor{Owner: crowd[random.IntN(3)], Group: users, Control: 0x8004}
	for range random.IntN(6) {
		e := Entry{Kind: Kind(random.IntN(5) / 3), Mask: uint32(random.IntN(512)), SID: crowd[random.IntN(len(crowd))]}
		switch random.IntN(8) {
		case 0:
			e.Flags = InheritOnly
		case 1:
			e.SID = ownerRights
		case 2:
			e.Mask |= WriteDACL
		}
		d.Access = append(d.Access, e)
	}
	return d
}

// askSamba runs testdata/answer.py with the Python that samba-tool runs with.
func askSamba(t *testing.T, in any) (answer struct{ Packed, SDDL []sambaView }) {
	t.Helper()
	question, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/usr/bin/python3", filepath.Join("testdata", "answer.py"))
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(question), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("Samba's Python: %v\n%s\nhint: run \"make deps\" as root", err, stderr.String())
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatal(err)
	}
	return answer
}
