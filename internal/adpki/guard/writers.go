package guard

import (
	"fmt"
	"strings"

	"chancery/internal/adpki"
)

// written judges who may change one object. Our own account needs no such right
// and counts with the others.
func (v *view) written(id, kind, title, danger string, o *adpki.Object, holders []adpki.Holder) (Finding, bool) {
	var strangers, operators []adpki.Holder
	for _, h := range holders {
		switch class := v.class(h.SID); {
		case v.Directory.Account.Is(h.SID):
			strangers = append(strangers, h)
		case class == adpki.Admin:
		case class == adpki.Operator:
			operators = append(operators, h)
		default:
			strangers = append(strangers, h)
		}
	}
	f := Finding{Object: o.Name, Severity: Danger, Remedy: "Leave changes to administrators; name a group of yours that may make them among the administrators the guard trusts."}
	who := strangers
	if len(strangers) == 0 {
		if len(operators) == 0 {
			return f, false
		}
		who = operators
		f.Severity, f.Remedy = Advice, "Such groups and protected accounts often have this right by default; keep the groups empty, and the accounts few."
	}
	f.Who = v.people(who)
	f.Sentence = fmt.Sprintf("%s: %s. %s", title, v.list(who, true), danger)
	f.Script = restrictWriters(o, f.Who)
	return f.seal(id, kind, o.GUID, o.Print), true
}

func templateWriters(v *view) []Finding {
	list := v.unread("ESC4", adpki.PartTemplates)
	for i := range v.Directory.Templates {
		t := &v.Directory.Templates[i]
		if t.Security == nil {
			list = append(list, hidden("ESC4", &t.Object))
			continue
		}
		f, found := v.written("ESC4", "template", "The issuing template "+t.Name+" can be changed by others than administrators",
			"They can turn it into one that logs on as anybody.", &t.Object, t.Writers())
		if !found {
			continue
		}
		f.Template = t.Name
		if _, unknown := v.Directory.Gap(adpki.PartServices); len(v.Directory.PublishedBy(t.Name)) == 0 && !unknown && f.Severity == Danger {
			f.Severity = Warning
			f.Sentence += " No authority issues from it at present."
			f = f.seal("ESC4", "template", t.GUID, t.Print)
		}
		list = append(list, f)
	}
	return list
}

// objectWriters judges everything but templates and their revocation lists. The
// authorities' own computers may write what is theirs.
func objectWriters(v *view) []Finding {
	list := v.unread("ESC5", adpki.PartContainers, adpki.PartServices, adpki.PartNTAuth, adpki.PartPolicies, adpki.PartHosts)
	own := map[string]bool{}
	for _, h := range v.Directory.Hosts {
		own[h.SID] = true
	}
	add := func(o *adpki.Object, kind, title, danger string, holders func() []adpki.Holder) {
		if o.Security == nil {
			list = append(list, hidden("ESC5", o))
			return
		}
		var others []adpki.Holder
		for _, h := range holders() {
			if !own[h.SID] {
				others = append(others, h)
			}
		}
		if f, found := v.written("ESC5", kind, title+" can be changed by others than administrators", danger, o, others); found {
			list = append(list, f)
		}
	}
	s := v.Directory
	for i := range s.Containers {
		o := &s.Containers[i]
		if strings.EqualFold(o.Name, "CDP") {
			continue // revocation lists: whoever writes them becomes nobody
		}
		add(o, "container", "The container "+o.Name, "They can add authorities, templates or trust of their own.", o.Creators)
	}
	if s.NTAuth != nil {
		add(&s.NTAuth.Object, "ntauth", "The NTAuth store", "They can make the domain accept logons of an authority of their own.", s.NTAuth.Writers)
	}
	for i := range s.Services {
		o := &s.Services[i].Object
		add(o, "service", "The enrollment service "+o.Name, "They can have it issue from other templates.", o.Writers)
	}
	for i := range s.Policies {
		p := &s.Policies[i]
		if p.Kind != 2 {
			continue // only an issuance policy can put somebody into a group
		}
		add(&p.Object, "policy", "The issuance policy "+p.DisplayName, "They can link it to a group and be in that group at logon.", p.Writers)
	}
	for i := range s.Hosts {
		h := &s.Hosts[i]
		add(&h.Object, "host", "The computer "+h.Name+" of an authority", "They can become the authority.", h.Masters)
	}
	return list
}

func restrictWriters(o *adpki.Object, from []adpki.Principal) string {
	var b strings.Builder
	b.WriteString(comment("%s: who may change it. Run as an enterprise administrator; look at each line, it takes all explicit rights.", o.Name))
	b.WriteString(openObject(o.GUID))
	for _, p := range from {
		b.WriteString(comment("%s", p.Name))
		fmt.Fprintf(&b, "$object.ObjectSecurity.PurgeAccessRules([System.Security.Principal.SecurityIdentifier]%s)\n", quote(p.SID))
		if o.Security.Owner == p.SID {
			b.WriteString("$object.ObjectSecurity.SetOwner([System.Security.Principal.SecurityIdentifier]'S-1-5-32-544')\n")
		}
	}
	b.WriteString(commitObject)
	return b.String()
}
