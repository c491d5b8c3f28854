package guard

import (
	"fmt"
	"strings"

	"chancery/internal/adpki"
)

// webPages judges web enrollment: a login somebody was tricked into is relayed
// to it unless it is bound to the TLS channel.
func webPages(v *view) []Finding {
	a := v.Authority
	if !a.Web.Known {
		return []Finding{unreadable("ESC8", a.Name, a.Web.Why)}
	}
	var list []Finding
	for _, p := range a.Web.Value {
		secured := strings.HasPrefix(strings.ToLower(p.URL), "https:")
		f := Finding{Object: p.URL, Severity: Danger, Remedy: "Remove web enrollment when nobody needs it; else require TLS and extended protection, and switch NTLM off."}
		switch {
		case !p.Windows:
			continue
		case !secured:
			f.Sentence = fmt.Sprintf("Web enrollment at %s takes Windows logins without TLS: a relayed login of a computer gets a certificate in its name.", p.URL)
		case !p.Binding.Known:
			list = append(list, unreadable("ESC8", p.URL, p.Binding.Why))
			continue
		case p.Binding.Value:
			continue
		default:
			f.Sentence = fmt.Sprintf("Web enrollment at %s takes Windows logins that are not bound to the TLS channel: a relayed login of a computer gets a certificate in its name.", p.URL)
		}
		f.Script = comment("On the web server: extended protection for web enrollment.") +
			"Set-WebConfigurationProperty -PSPath IIS:\\ -Location 'Default Web Site/CertSrv' -Filter system.webServer/security/authentication/windowsAuthentication -Name extendedProtection.tokenChecking -Value Require\n" +
			"Set-WebConfigurationProperty -PSPath IIS:\\ -Location 'Default Web Site/CertSrv' -Filter system.webServer/security/access -Name sslFlags -Value Ssl\n"
		list = append(list, f.seal("ESC8", "web", p.URL, fmt.Sprint(secured)))
	}
	return list
}

// weakControllers cannot be seen: it is in the registry of each domain
// controller.
func weakControllers(*view) []Finding {
	return []Finding{{
		Key: "ESC10", State: Unseen, Object: "domain controllers",
		Sentence: "Whether domain controllers accept weak mapping of certificates is in their registry, which nobody reads from here.",
		Remedy:   "On every domain controller StrongCertificateBindingEnforcement must be 2 or absent, and CertificateMappingMethods without 0x4.",
		Script: comment("On every domain controller.") +
			"reg query HKLM\\SYSTEM\\CurrentControlSet\\Services\\Kdc /v StrongCertificateBindingEnforcement\n" +
			"reg query HKLM\\SYSTEM\\CurrentControlSet\\Control\\SecurityProviders\\Schannel /v CertificateMappingMethods\n",
	}}
}

// keyInReach cannot be seen either: it is on the authority's own machine.
func keyInReach(v *view) []Finding {
	return []Finding{{
		Key: "ESC12", State: Unseen, Object: v.Authority.Name,
		Sentence: "Whether somebody with a shell on the authority can use its key, such as by an HSM password in the registry, cannot be seen from here.",
		Remedy:   "Let administrators of the domain alone log on to the authority's machine, and keep the HSM's password out of the registry.",
		Script: comment("On the authority: its key provider, and who may log on.") +
			"certutil -getreg CA\\CSP\n" +
			"Get-LocalGroupMember -SID S-1-5-32-544\n" +
			"Get-LocalGroupMember -SID S-1-5-32-555\n",
	}}
}

// mappings judges the certificates privileged accounts are mapped to, and who
// may change that.
func mappings(v *view) []Finding {
	list := v.unread("ESC14", adpki.PartPrivileged)
	for i := range v.Directory.Privileged {
		p := &v.Directory.Privileged[i]
		name := v.Directory.Name(p.SID)
		if weak := p.WeakMappings(); len(weak) > 0 {
			f := Finding{
				Object: name, Severity: Warning, Who: []adpki.Principal{{SID: p.SID, Name: name, DN: p.DN}},
				Sentence: fmt.Sprintf("The privileged account %s has %s in altSecurityIdentities that other people's certificates can meet, where domain controllers accept weak mapping.", name, count(len(weak), "mapping", "mappings")),
				Remedy:   "Map by issuer and serial number, by key identifier or by public key, or not at all.",
				Script: comment("Account %s: the mappings it has. Replace the weak ones.", name) + openObject(p.GUID) +
					"$object.Properties['altSecurityIdentities']\n",
			}
			list = append(list, f.seal("ESC14", "mapping", p.GUID, strings.Join(p.Mappings, "\n")))
		}
		if p.Security == nil {
			list = append(list, hidden("ESC14", &p.Object))
			continue
		}
		if f, found := v.written("ESC14", "account", "The certificate mappings of the privileged account "+name+" can be changed by others than administrators",
			"They can log on as it with a certificate of their own.", &p.Object, p.Mappers()); found {
			f.Object = name
			list = append(list, f)
		}
	}
	return list
}

func count(n int, one, many string) string {
	if n == 1 {
		return "one " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
