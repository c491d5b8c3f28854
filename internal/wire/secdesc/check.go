package secdesc

import "slices"

// Rights every securable object has, and the generic ones that stand for a
// choice of others (MS-DTYP §2.4.3).
const (
	Delete      uint32 = 0x00010000
	ReadControl uint32 = 0x00020000
	WriteDACL   uint32 = 0x00040000
	WriteOwner  uint32 = 0x00080000

	GenericAll     uint32 = 0x10000000
	GenericExecute uint32 = 0x20000000
	GenericWrite   uint32 = 0x40000000
	GenericRead    uint32 = 0x80000000
)

// Rights on a directory object (MS-ADTS §5.1.3.2).
const (
	CreateChild   uint32 = 0x001
	DeleteChild   uint32 = 0x002
	ListContents  uint32 = 0x004
	WriteValid    uint32 = 0x008 // validated writes ("self")
	ReadProperty  uint32 = 0x010
	WriteProperty uint32 = 0x020
	DeleteTree    uint32 = 0x040
	ListObject    uint32 = 0x080
	ControlAccess uint32 = 0x100 // extended rights, such as Enroll
)

// Mapping says which rights the generic ones stand for on a kind of object.
type Mapping struct{ Read, Write, Execute, All uint32 }

// Directory is the mapping of directory objects (MS-ADTS §5.1.3.2).
var Directory = Mapping{
	Read:    ReadControl | ListContents | ReadProperty | ListObject,
	Write:   ReadControl | WriteValid | WriteProperty,
	Execute: ReadControl | ListContents,
	All:     Delete | ReadControl | WriteDACL | WriteOwner | 0x1FF,
}

// Expand replaces the generic rights in a mask.
func (m Mapping) Expand(mask uint32) uint32 {
	for _, g := range []struct{ generic, means uint32 }{
		{GenericRead, m.Read}, {GenericWrite, m.Write}, {GenericExecute, m.Execute}, {GenericAll, m.All},
	} {
		if mask&g.generic != 0 {
			mask = mask&^g.generic | g.means
		}
	}
	return mask
}

// Verdict is the answer of an access check.
type Verdict uint8

// The answers. Unsure means that a conditional entry, which only Windows can
// decide, makes the difference.
const (
	Denied Verdict = iota
	Unsure
	Granted
)

// Question asks whether somebody may do something.
type Question struct {
	SIDs []string // all that somebody is: the account, its groups, Everyone…
	Mask uint32   // all of these rights, none generic
	// Objects names what the right is about: the GUID of an extended right, of a
	// property and the set it is in. Entries for another object do not count;
	// with no names only entries for the whole object do.
	Objects []string
	Mapping Mapping
}

const ownerRights = "S-1-3-4"

// Check walks the access list in its order, as Windows does (MS-DTYP §2.5.3.2):
// each right is decided by the first entry that speaks of it, so a deny that
// stands behind the allow comes too late. The owner may read and write the
// access list unless an entry for Owner Rights says otherwise.
func (d *Descriptor) Check(q Question) Verdict {
	switch {
	case d.Open || d.walk(q, false):
		return Granted
	case d.walk(q, true):
		return Unsure
	}
	return Denied
}

// walk decides with conditional entries taken for the worse, or for the better.
func (d *Descriptor) walk(q Question, hopeful bool) bool {
	left, sids := q.Mask, q.SIDs
	if d.Owner != "" && slices.Contains(sids, d.Owner) {
		if slices.ContainsFunc(d.Access, func(e Entry) bool { return e.Effective() && e.SID == ownerRights }) {
			sids = append(slices.Clone(sids), ownerRights)
		} else {
			left &^= ReadControl | WriteDACL
		}
	}
	for _, e := range d.Access {
		if left == 0 {
			return true
		}
		if !e.Effective() || !slices.Contains(sids, e.SID) || e.Object != "" && !slices.Contains(q.Objects, e.Object) {
			continue
		}
		if e.Kind.conditional() && e.Kind.allows() != hopeful {
			continue // it gives nothing for sure, or takes nothing for sure
		}
		switch mask := q.Mapping.Expand(e.Mask); {
		case e.Kind.allows():
			left &^= mask
		case left&mask != 0:
			return false
		}
	}
	return left == 0
}
