package guard

import (
	"fmt"
	"strings"

	"chancery/internal/adpki"
	"chancery/internal/wire/secdesc"
)

// abuse is a condition of a template that matters to the extent that others
// than administrators may enrol.
type abuse struct {
	id string
	// applies says what is wrong with a template, as the end of "it …".
	applies func(*adpki.Template) (what string, wrong bool)
	broad   Severity // when everybody may enrol
	danger  string   // what whoever may enrol can do
	remedy  string
	own     string // what to say when only our account may
}

// enrollment judges all templates that issue unattended.
func (v *view) enrollment(a abuse) []Finding {
	list := v.unread(a.id, adpki.PartTemplates)
	for i := range v.Directory.Templates {
		t := &v.Directory.Templates[i]
		what, wrong := a.applies(t)
		if !wrong || !t.Unattended() {
			continue
		}
		if t.Security == nil {
			list = append(list, hidden(a.id, &t.Object))
			continue
		}
		if f, ok := v.judge(a, t, what); ok {
			list = append(list, f)
		}
	}
	return list
}

func (v *view) judge(a abuse, t *adpki.Template, what string) (Finding, bool) {
	who := v.audience(t.Enrollers())
	f := Finding{Object: t.Name, Template: t.Name, Remedy: a.remedy}
	strangers := who.strangers()
	switch {
	case len(who.broad) > 0:
		f.Severity = a.broad
	case len(who.others) > 0:
		f.Severity = Warning
	case who.own && t.MayEnroll(v.Directory.Account.Token) != secdesc.Denied:
		f.Severity, f.Remedy = Advice, "Keep it so: a dedicated account, Enroll for it alone, and a password that only this server knows."
		f.Sentence = fmt.Sprintf("The issuing template %s %s. Only our account %s may enrol: %s", t.Name, what, v.Directory.Account.Name, a.own)
		f.Who = []adpki.Principal{v.Directory.Account.Principal}
		return f.seal(a.id, "template", t.GUID, t.Print), true
	default:
		return f, false
	}
	f.Who = v.people(strangers)
	f.Sentence = fmt.Sprintf("The issuing template %s %s, and %s may enrol: %s", t.Name, what, v.list(strangers, false), a.danger)
	f.Script = restrictEnroll(t, f.Who, v.Directory.Account)
	if _, unknown := v.Directory.Gap(adpki.PartServices); len(v.Directory.PublishedBy(t.Name)) == 0 && !unknown {
		f.Severity = Advice
		f.Sentence += " No authority issues from it at present."
	}
	return f.seal(a.id, "template", t.GUID, t.Print), true
}

const restrictRemedy = "Give Enroll to our account alone, or have a manager approve each request."

func supplySubject(v *view) []Finding {
	return v.enrollment(abuse{
		id: "ESC1", broad: Danger, remedy: restrictRemedy,
		applies: func(t *adpki.Template) (string, bool) {
			return "takes the name from the request and its certificates log on", t.Names.Has(adpki.SupplySubject) && t.Authenticates()
		},
		danger: "any of them can log on as anybody, administrators included.",
		own:    "this is how a registration authority works, and makes our account as powerful as a domain administrator.",
	})
}

func anyPurpose(v *view) []Finding {
	return v.enrollment(abuse{
		id: "ESC2", broad: Danger, remedy: "Name the purposes the certificates are for, or give Enroll to fewer.",
		applies: func(t *adpki.Template) (string, bool) {
			return "makes certificates for any purpose", t.AnyPurpose()
		},
		danger: "any of them can sign requests for others, code and logons.",
		own:    "name the purposes all the same.",
	})
}

func makesAgents(v *view) []Finding {
	var targets []string
	for i := range v.Directory.Templates {
		t := &v.Directory.Templates[i]
		if t.TakesAgents() && !t.Enroll.Has(adpki.Approval) && t.Authenticates() && len(v.Directory.PublishedBy(t.Name)) > 0 {
			targets = append(targets, t.Name)
		}
	}
	a := abuse{
		id: "ESC3", broad: Warning, remedy: "Give Enroll to the agents alone, and restrict the agents at the authority to the templates and people they serve.",
		applies: func(t *adpki.Template) (string, bool) {
			return "makes enrollment agents", t.MakesAgents()
		},
		danger: "no template that is issued takes an agent's signature for a logon yet.",
		own:    "restrict it at the authority to the templates and people it serves.",
	}
	if len(targets) > 0 {
		a.broad = Danger
		a.danger = "any of them can get certificates in anybody's name, from " + few(targets) + "."
	}
	return append(v.unread("ESC3", adpki.PartServices), v.enrollment(a)...)
}

func templateWithoutSID(v *view) []Finding {
	return v.enrollment(abuse{
		id: "ESC9", broad: Warning, remedy: "Clear the flag CT_FLAG_NO_SECURITY_EXTENSION of the template.",
		applies: func(t *adpki.Template) (string, bool) {
			return "leaves the SID out of certificates that log on", t.Enroll.Has(adpki.NoSecurityExtension) && t.Authenticates()
		},
		danger: "whoever can change another account's name can log on as a third, where domain controllers still accept weak mapping.",
		own:    "put the SID in an alternative name, or map the certificates, for domain controllers that enforce strong mapping.",
	})
}

func policyGroups(v *view) []Finding {
	groups := map[string]string{}
	for _, p := range v.Directory.Policies {
		if p.Group != "" {
			groups[p.OID] = p.Group
		}
	}
	list := v.unread("ESC13", adpki.PartPolicies)
	return append(list, v.enrollment(abuse{
		id: "ESC13", broad: Danger, remedy: "Give Enroll to the members of the group alone, or remove msDS-OIDToGroupLink from the issuance policy.",
		applies: func(t *adpki.Template) (string, bool) {
			var linked []string
			for _, oid := range t.IssuancePolicies {
				if group := groups[oid]; group != "" {
					linked = append(linked, group)
				}
			}
			return "puts the holder of its certificates into " + few(linked), len(linked) > 0 && t.Authenticates()
		},
		danger: "any of them gets the rights of that group at logon.",
		own:    "everybody our account enrols for gets the rights of that group.",
	})...)
}

func oldTemplates(v *view) []Finding {
	return v.enrollment(abuse{
		id: "ESC15", broad: Danger, remedy: "Install the Windows updates of November 2024 or later on every authority, and replace the template by a copy of schema 2 or later.",
		applies: func(t *adpki.Template) (string, bool) {
			return "is of schema 1 and takes the name from the request", t.Schema == 1 && t.Names.Has(adpki.SupplySubject)
		},
		danger: "an authority without the update for CVE-2024-49019 lets any of them add key purposes, such as logging on, in anybody's name.",
		own:    "replace it by a copy of a later schema all the same.",
	})
}

// restrictEnroll is the script that takes Enroll from those who should not have
// it and gives it to our account when there is one.
func restrictEnroll(t *adpki.Template, from []adpki.Principal, to adpki.Account) string {
	var b strings.Builder
	b.WriteString(comment("Template %s: who may enrol. Run as an enterprise administrator.", t.Name))
	b.WriteString(openObject(t.GUID))
	b.WriteString(enrollRights)
	for _, p := range from {
		b.WriteString(comment("%s", p.Name))
		fmt.Fprintf(&b, "Remove-Enroll %s\n", quote(p.SID))
	}
	if to.SID != "" {
		b.WriteString(comment("%s", to.Name))
		fmt.Fprintf(&b, "Add-Enroll %s\n", quote(to.SID))
	}
	b.WriteString(commitObject)
	return b.String()
}
