package adpki

import "chancery/internal/wire/secdesc"

// Rights on a certification authority itself, in the descriptor GetCASecurity
// gives (MS-CSRA §3.1.1.7).
const (
	ManageAuthority    uint32 = 0x001
	ManageCertificates uint32 = 0x002 // issue, deny, revoke
	ReadAuthority      uint32 = 0x100
	RequestRight       uint32 = 0x200
)

// authorityRights maps the generic rights on an authority.
var authorityRights = secdesc.Mapping{Read: ReadAuthority, Write: ManageAuthority, Execute: RequestRight, All: 0xFFFF}

// AuthorityHolders lists who holds one of these rights on the authority, each
// with all the ways.
func AuthorityHolders(d *secdesc.Descriptor, rights ...uint32) []Holder {
	var ways []way
	for _, right := range rights {
		ways = append(ways, way{authorityWords[right], right, nil})
	}
	return holders(d, authorityRights, ways)
}

// AuthorityGrants says whether somebody who is all these SIDs has a right on
// the authority.
func AuthorityGrants(d *secdesc.Descriptor, sids []string, right uint32) secdesc.Verdict {
	return d.Check(secdesc.Question{SIDs: sids, Mask: right, Mapping: authorityRights})
}

var authorityWords = map[uint32]string{
	ManageAuthority:    "may manage the authority",
	ManageCertificates: "may issue and manage certificates",
	ReadAuthority:      "may read",
	RequestRight:       "may request certificates",
}
