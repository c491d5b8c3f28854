package guard

import (
	"fmt"
	"slices"

	"chancery/internal/adpki"
	"chancery/internal/wire/secdesc"
)

// Bits of an authority's registry values.
const (
	editNamesFromAttributes = 0x40000 // EDITF_ATTRIBUTESUBJECTALTNAME2
	interfaceEncrypts       = 0x200   // IF_ENFORCEENCRYPTICERTREQUEST
	oidSIDExtension         = "1.3.6.1.4.1.311.25.2"
)

// onAuthority is a finding about the authority itself.
func (v *view) onAuthority(id string, s Severity, sentence, remedy, script, print string) []Finding {
	f := Finding{Object: v.Authority.Name, Severity: s, Sentence: sentence, Remedy: remedy, Script: script}
	return []Finding{f.seal(id, "authority", v.Authority.Name, print)}
}

func attributeNames(v *view) []Finding {
	a := v.Authority
	if !a.EditFlags.Known {
		return []Finding{unreadable("ESC6", a.Name, a.EditFlags.Why)}
	}
	if a.EditFlags.Value&editNamesFromAttributes == 0 {
		return nil
	}
	return v.onAuthority("ESC6", Danger,
		fmt.Sprintf("The authority %s has EDITF_ATTRIBUTESUBJECTALTNAME2: whoever may enrol from any template that logs on can do so as anybody.", a.Name),
		"Clear the bit. Names travel inside our requests and need none of it.",
		registry(a, `policy\EditFlags`, "-EDITF_ATTRIBUTESUBJECTALTNAME2"), fmt.Sprint(a.EditFlags.Value&editNamesFromAttributes))
}

func clearRequests(v *view) []Finding {
	a := v.Authority
	if !a.InterfaceFlags.Known {
		return []Finding{unreadable("ESC11", a.Name, a.InterfaceFlags.Why)}
	}
	if a.InterfaceFlags.Value&interfaceEncrypts != 0 {
		return nil
	}
	return v.onAuthority("ESC11", Danger,
		fmt.Sprintf("The authority %s takes requests that are not encrypted: a login to another service can be relayed to it.", a.Name),
		"Set the bit. All requests of ours are encrypted.",
		registry(a, `CA\InterfaceFlags`, "+IF_ENFORCEENCRYPTICERTREQUEST"), "clear")
}

func authorityWithoutSID(v *view) []Finding {
	a := v.Authority
	if !a.DisabledExtensions.Known {
		return []Finding{unreadable("ESC16", a.Name, a.DisabledExtensions.Why)}
	}
	if !slices.Contains(a.DisabledExtensions.Value, oidSIDExtension) {
		return nil
	}
	return v.onAuthority("ESC16", Danger,
		fmt.Sprintf("The authority %s leaves the SID out of all certificates: where domain controllers accept weak mapping, whoever can change an account's name can log on as another.", a.Name),
		"Take "+oidSIDExtension+" off the list of disabled extensions.",
		registry(a, `policy\DisableExtensionList`, "-"+oidSIDExtension), "disabled")
}

// managers judges who manages the authority. Whoever manages it can switch all
// the rest on; whoever manages certificates can approve what a template leaves
// to a manager.
func managers(v *view) []Finding {
	a := v.Authority
	if !a.Security.Known {
		return []Finding{unreadable("ESC7", a.Name, a.Security.Why)}
	}
	holders := adpki.AuthorityHolders(a.Security.Value, adpki.ManageAuthority, adpki.ManageCertificates)
	var who []adpki.Holder
	worst := Advice
	for _, h := range holders {
		class := v.class(h.SID)
		if class == adpki.Admin {
			continue
		}
		if s := v.manager(h, class); s == Danger || worst == Advice {
			worst = s
		}
		who = append(who, h)
	}
	if len(who) == 0 {
		return nil
	}
	remedy := "Take these rights away; name certificate managers of yours among the administrators the guard trusts."
	if worst == Advice {
		remedy = "Revoking needs Issue and Manage Certificates: keep it to our account, and keep operators' groups empty."
	}
	f := Finding{Object: a.Name, Severity: worst, Who: v.people(who), Remedy: remedy,
		Sentence: fmt.Sprintf("The authority %s is managed by others than administrators: %s.", a.Name, v.list(who, true))}
	if worst != Advice {
		f.Script = authorityRights(a, nil, v.strangers(who))
	}
	print := secdescPrint(a.Security.Value)
	return []Finding{f.seal("ESC7", "authority", a.Name, print)}
}

// manager grades one holder. Our account revokes with Issue and Manage
// Certificates; more than that it does not need.
func (v *view) manager(h adpki.Holder, class adpki.Class) Severity {
	manages := adpki.AuthorityGrants(v.Authority.Security.Value, []string{h.SID}, adpki.ManageAuthority) != secdesc.Denied
	switch {
	case v.Directory.Account.Is(h.SID) && manages:
		return Warning
	case v.Directory.Account.Is(h.SID), class == adpki.Operator:
		return Advice
	case manages, class == adpki.Broad:
		return Danger
	}
	return Warning
}

// strangers leaves our account out.
func (v *view) strangers(who []adpki.Holder) []adpki.Principal {
	return v.people(slices.DeleteFunc(slices.Clone(who), func(h adpki.Holder) bool { return v.Directory.Account.Is(h.SID) }))
}

func secdescPrint(d *secdesc.Descriptor) string {
	b, err := d.Append(nil)
	if err != nil {
		return fmt.Sprintf("%+v", d)
	}
	return string(b)
}
