package adpki

import (
	"slices"

	"chancery/internal/wire/secdesc"
)

// GUIDs of the extended rights of templates (MS-CRTD §2.5) and of what decides
// about somebody else's account.
const (
	RightEnroll     = "0e10c968-78fb-11d2-90d4-00c04f79dc55"
	RightAutoEnroll = "a05b8cc2-17bc-4802-a710-e7c15ab866a2"

	rightResetPassword = "00299570-246d-11d0-a768-00aa006e0529"
	setPublicInfo      = "e48d0154-bcf8-11d1-8702-00c04fb96050"
	propertyMappings   = "00fbf30c-91fe-11d1-aebc-0000f80367c1" // altSecurityIdentities
)

// propertyNames are the properties an access list is likely to name, by
// schemaIDGUID.
var propertyNames = map[string]string{
	"ea1dddc4-60ff-416e-8cc0-17cee534bce7": "msPKI-Certificate-Name-Flag",
	"d15ef7d8-f226-46db-ae79-b34e560bd12c": "msPKI-Enrollment-Flag",
	"fe17e04b-937d-4f7e-8e0e-9292c8d5683e": "msPKI-RA-Signature",
	"3c91fbbf-4773-4ccd-a87b-85d53e7bcf6a": "msPKI-RA-Application-Policies",
	"bab04ac2-0435-4709-9307-28380e7c7001": "msPKI-Private-Key-Flag",
	"38942346-cc5b-424b-a7d8-6ffd12029c5f": "msPKI-Certificate-Policy",
	"dbd90548-aa37-4202-9966-8c537ba5ce32": "msPKI-Certificate-Application-Policy",
	"18976af6-3b9e-11d2-90cc-00c04fd91ab1": "pKIExtendedKeyUsage",
	"2a39c5b1-8960-11d1-aebc-0000f80367c1": "certificateTemplates",
	"bf967932-0de6-11d0-a285-00aa003049e2": "cACertificate",
	"f9c9a57c-3941-438d-bebf-0edaf2aca187": "msDS-OIDToGroupLink",
	propertyMappings:                       "altSecurityIdentities",
	setPublicInfo:                          "the public information",
	"f3a64788-5306-11d1-a9c5-0000f80367c1": "servicePrincipalName",
	"3f78c3e5-f79a-46bd-a0b8-9d18116ddc79": "msDS-AllowedToActOnBehalfOfOtherIdentity",
	"5b47d60f-6090-40b2-9f37-2a4de88f3063": "msDS-KeyCredentialLink",
}

// takesOver are the properties whose writer becomes the computer.
var takesOver = []string{"f3a64788-5306-11d1-a9c5-0000f80367c1", "3f78c3e5-f79a-46bd-a0b8-9d18116ddc79", "5b47d60f-6090-40b2-9f37-2a4de88f3063", propertyMappings, setPublicInfo}

// Holder is somebody an access list lets do something.
type Holder struct {
	SID string
	How []string // in words, such as "owns it"
	// Unsure means that the entry has a condition which only Windows can decide.
	Unsure bool
}

// MayEnroll says whether somebody who is all these SIDs may enrol; Unsure when
// the access list could not be read.
func (t *Template) MayEnroll(sids []string) secdesc.Verdict {
	if t.Security == nil {
		return secdesc.Unsure
	}
	return t.Security.Check(secdesc.Question{SIDs: sids, Mask: secdesc.ControlAccess, Objects: []string{RightEnroll}, Mapping: secdesc.Directory})
}

// Enrollers lists who may enrol, AutoEnrollers who may do so unasked; nobody
// when the access list could not be read.
func (t *Template) Enrollers() []Holder {
	return t.who(way{"may enrol", secdesc.ControlAccess, []string{RightEnroll}})
}

// AutoEnrollers lists who may autoenrol.
func (t *Template) AutoEnrollers() []Holder {
	return t.who(way{"may autoenrol", secdesc.ControlAccess, []string{RightAutoEnroll}})
}

// way is one way to hold a right.
type way struct {
	how     string
	mask    uint32
	objects []string
}

var (
	changeList  = way{"may change its access list", secdesc.WriteDACL, nil}
	takeIt      = way{"may take ownership", secdesc.WriteOwner, nil}
	writeAll    = way{"may write all properties", secdesc.WriteProperty, nil}
	addChildren = way{"may create objects in it", secdesc.CreateChild, nil}
	resetSecret = way{"may reset its password", secdesc.ControlAccess, []string{rightResetPassword}}
)

// Writers lists who may change the object in a way that matters: whole, by its
// access list, or any property of it.
func (o *Object) Writers() []Holder {
	return o.who(append([]way{changeList, takeIt, writeAll}, o.scopedWrites(nil)...)...)
}

// Creators lists Writers and those who may create objects in a container.
func (o *Object) Creators() []Holder {
	return o.who(append([]way{changeList, takeIt, writeAll, addChildren}, o.scopedWrites(nil)...)...)
}

// Masters lists who may become a computer: those who may change it whole, its
// password or one of the properties that stand in for one.
func (h *Host) Masters() []Holder {
	return h.who(append([]way{changeList, takeIt, writeAll, resetSecret}, h.scopedWrites(takesOver)...)...)
}

// Mappers lists who may write the certificate mappings of an account.
func (p *Privileged) Mappers() []Holder {
	return p.who(changeList, takeIt, way{"may write all properties", secdesc.WriteProperty, nil},
		way{"may write " + propertyNames[propertyMappings], secdesc.WriteProperty, []string{propertyMappings, setPublicInfo}})
}

// scopedWrites makes a way of each property the access list lets somebody
// write, of those in only. Entries of Windows' own templates give "write" on
// the extended right Enroll, which is no property and gives nothing.
func (o *Object) scopedWrites(only []string) []way {
	if o.Security == nil {
		return nil
	}
	var ways []way
	var seen []string
	for _, e := range o.Security.Access {
		if e.Object == "" || !e.Effective() || secdesc.Directory.Expand(e.Mask)&secdesc.WriteProperty == 0 || slices.Contains(seen, e.Object) ||
			e.Object == RightEnroll || e.Object == RightAutoEnroll || only != nil && !slices.Contains(only, e.Object) {
			continue
		}
		seen = append(seen, e.Object)
		name := propertyNames[e.Object]
		if name == "" {
			name = "the property " + e.Object
		}
		ways = append(ways, way{"may write " + name, secdesc.WriteProperty, []string{e.Object}})
	}
	return ways
}

// who asks for everybody the access list names whether one of the ways is open
// to them.
func (o *Object) who(ways ...way) []Holder {
	if o.Security == nil {
		return nil
	}
	return holders(o.Security, secdesc.Directory, ways)
}

func holders(d *secdesc.Descriptor, m secdesc.Mapping, ways []way) []Holder {
	var list []Holder
	for _, sid := range named(d) {
		h := Holder{SID: sid, Unsure: true}
		for _, w := range ways {
			if !concerns(d, m, sid, w) {
				continue
			}
			// Whoever it is, the entries for everybody count for them, too.
			q := secdesc.Question{SIDs: []string{sid, sidEveryone, sidAuthenticated}, Mask: w.mask, Objects: w.objects, Mapping: m}
			verdict := d.Check(q)
			if verdict == secdesc.Denied {
				continue
			}
			h.Unsure = h.Unsure && verdict == secdesc.Unsure
			if how := w.how; how == changeList.how && sid == d.Owner {
				h.How = append(h.How, "owns it")
			} else if !slices.Contains(h.How, how) {
				h.How = append(h.How, how)
			}
		}
		if len(h.How) > 0 {
			list = append(list, h)
		}
	}
	return list
}

// named lists the owner and everybody an entry gives something to; Everyone
// when there is no list.
func named(d *secdesc.Descriptor) []string {
	if d.Open {
		return []string{sidEveryone}
	}
	var list []string
	if d.Owner != "" {
		list = append(list, d.Owner)
	}
	for _, e := range d.Access {
		// Creator Owner and its kin stand for whoever makes an object; no token
		// ever holds them.
		if e.Allows() && e.Effective() && !slices.Contains(list, e.SID) && !slices.Contains(placeholders, e.SID) {
			list = append(list, e.SID)
		}
	}
	return list
}

// concerns reports whether the list itself gives the right to sid: as owner, or
// by an entry. Without it everybody would be listed for what Everyone may.
func concerns(d *secdesc.Descriptor, m secdesc.Mapping, sid string, w way) bool {
	return d.Open || sid == d.Owner && (w.mask == secdesc.WriteDACL || slices.ContainsFunc(d.Access, func(e secdesc.Entry) bool { return e.SID == sidOwnerRights })) ||
		slices.ContainsFunc(d.Access, func(e secdesc.Entry) bool {
			return e.SID == sid && e.Allows() && e.Effective() && m.Expand(e.Mask)&w.mask != 0 && (e.Object == "" || slices.Contains(w.objects, e.Object))
		})
}
