package guard

import (
	"fmt"
	"strings"

	"chancery/internal/adpki"
	"chancery/internal/ra"
)

const dcomGroup = "S-1-5-32-574" // Certificate Service DCOM Access

// LeastPrivilege writes the whole script that lets our account, and nobody but
// it and administrators, enrol from a template at an authority: Enroll on the
// template, Request Certificates on the authority, and the door of DCOM. With
// revoke it adds Issue and Manage Certificates. Running it twice changes
// nothing more. Invalid without an account, or when the template's access list
// was not readable, for then nobody knows from whom to take Enroll.
func LeastPrivilege(s *adpki.Snapshot, t *adpki.Template, a Authority, trust Trust, revoke bool) (string, error) {
	if s.Account.SID == "" {
		return "", ra.Errorf(ra.Invalid, "The service account is not known, so there is nobody to give rights to.").
			WithRemedy("Enter the account requests come from, and check that the directory has it.")
	}
	if t.Security == nil {
		return "", ra.Errorf(ra.Invalid, "The access list of the template %s could not be read.", t.Name).
			WithRemedy("Let the account that reads the directory read the permissions of the template.")
	}
	v := &view{Input{Directory: s, Trust: trust}}
	who := v.audience(append(t.Enrollers(), t.AutoEnrollers()...))
	rights := adpki.ReadAuthority | adpki.RequestRight
	if revoke {
		rights |= adpki.ManageCertificates
	}
	var b strings.Builder
	b.WriteString(comment("Least rights for %s to enrol from %s at %s.", s.Account.Name, t.Name, a.Name))
	b.WriteString(comment("1. The template. On any machine of the domain, as an enterprise administrator."))
	b.WriteString(restrictEnroll(t, unique(v.people(append(who.strangers(), who.operators...))), s.Account))
	b.WriteString(comment("2. The authority's access list."))
	b.WriteString(authorityRights(a, []grant{{s.Account.Principal, rights}}, nil))
	b.WriteString(comment("3. DCOM from the network, on the same machine. Who is a member already stays one."))
	fmt.Fprintf(&b, "if (-not (Get-LocalGroupMember -SID %s | Where-Object { $_.SID.Value -eq %s })) { Add-LocalGroupMember -SID %s -Member %s }\n",
		quote(dcomGroup), quote(s.Account.SID), quote(dcomGroup), quote(s.Account.SID))
	return b.String(), nil
}

func unique(list []adpki.Principal) []adpki.Principal {
	seen := map[string]bool{}
	var out []adpki.Principal
	for _, p := range list {
		if !seen[p.SID] {
			seen[p.SID] = true
			out = append(out, p)
		}
	}
	return out
}
