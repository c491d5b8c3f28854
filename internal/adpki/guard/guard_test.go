package guard

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"chancery/internal/adpki"
	"chancery/internal/wire/secdesc"
)

const (
	domain   = "S-1-5-21-3981832230-819177259-90020688"
	users    = domain + "-513"
	admins   = domain + "-512"
	service  = domain + "-1105"
	helpdesk = domain + "-1200"
	chief    = domain + "-1300" // a protected account
	caHost   = domain + "-1001"
	mapped   = "00fbf30c-91fe-11d1-aebc-0000f80367c1"
)

func allow(mask uint32, sid string) secdesc.Entry { return secdesc.Entry{Mask: mask, SID: sid} }

func enrol(sid string) secdesc.Entry {
	// As Windows writes it: with read and "write" of the right itself.
	return secdesc.Entry{Kind: secdesc.AllowObject, Mask: 0x130, SID: sid, Object: adpki.RightEnroll}
}

func access(entries ...secdesc.Entry) *secdesc.Descriptor {
	return &secdesc.Descriptor{Owner: admins, Control: 0x8004, Access: append([]secdesc.Entry{allow(0xF01FF, admins), allow(0x20094, "S-1-5-11")}, entries...)}
}

func object(name string, entries ...secdesc.Entry) adpki.Object {
	return adpki.Object{Name: name, DN: "CN=" + name, GUID: fmt.Sprintf("%032x", name), Print: "print of " + name, Security: access(entries...)}
}

// clean is a forest and an authority nobody can complain about.
func clean() *Input {
	web := adpki.Template{Object: object("WebServer", enrol(users)), Schema: 2, KeyPurposes: []string{"1.3.6.1.5.5.7.3.1"}}
	user := adpki.Template{Object: object("User", enrol(users)), Schema: 2, Names: adpki.SubjectDirectory | adpki.AltUPN, KeyPurposes: []string{adpki.PurposeClientAuth}}
	return &Input{
		Directory: &adpki.Snapshot{
			Templates:  []adpki.Template{web, user},
			Services:   []adpki.Service{{Object: object("CORP-CA", allow(0xF01FF, caHost)), Templates: []string{"WebServer", "User"}}},
			NTAuth:     &adpki.NTAuth{Object: object("NTAuthCertificates")},
			Policies:   []adpki.Policy{{Object: object("Gold"), OID: "1.2.3.4", DisplayName: "Gold", Kind: 2}},
			Containers: []adpki.Object{object("Public Key Services"), object("CDP", allow(0xF01FF, users)), object("AIA", allow(0xF01FF, domain+"-517"))},
			Hosts:      []adpki.Host{{Object: object("CA1", allow(0x28, "S-1-5-10")), SID: caHost}},
			Privileged: []adpki.Privileged{{Object: object("chief"), SID: chief, Mappings: []string{"X509:<I>DC=com,CN=CA<SR>120000", "Kerberos:x@Y"}}},
			Names:      map[string]adpki.Principal{users: {SID: users, Name: `CORP\Domain Users`}, helpdesk: {SID: helpdesk, Name: `CORP\Helpdesk`}, chief: {SID: chief, Name: `CORP\chief`}},
			Account:    adpki.Account{Principal: adpki.Principal{SID: service, Name: `CORP\svc`}, Token: []string{service, helpdesk, "S-1-1-0", "S-1-5-11"}},
		},
		Authority: Authority{
			Name: "CORP-CA", Host: "ca1.corp.example",
			EditFlags: Known[uint32](0x11014E), InterfaceFlags: Known[uint32](0x641), DisabledExtensions: Known([]string{"1.2.3"}),
			Security: Known(&secdesc.Descriptor{Owner: "S-1-5-32-544", Access: []secdesc.Entry{allow(3, "S-1-5-32-544"), allow(3, admins), allow(0x200, "S-1-5-11")}}),
			Web:      Known([]WebPage{{URL: "https://ca1/certsrv/", Windows: true, Binding: Known(true)}, {URL: "http://ca1/", Windows: false}}),
		},
	}
}

// template adds a template that the authority issues from.
func (in *Input) template(t adpki.Template) {
	in.Directory.Templates = append(in.Directory.Templates, t)
	in.Directory.Services[0].Templates = append(in.Directory.Services[0].Templates, t.Name)
}

func logon(name string, entries ...secdesc.Entry) adpki.Template {
	return adpki.Template{Object: object(name, entries...), Schema: 2, Names: adpki.SubjectDirectory, KeyPurposes: []string{adpki.PurposeClientAuth}}
}

func (in *Input) logon(change func(*adpki.Template), entries ...secdesc.Entry) {
	t := logon("Bad", entries...)
	change(&t)
	in.template(t)
}

func supply(t *adpki.Template) { t.Names = adpki.SupplySubject }
func agents(t *adpki.Template) { t.KeyPurposes = []string{adpki.PurposeEnrollAgent} }
func noSID(t *adpki.Template)  { t.Enroll = adpki.NoSecurityExtension }
func gold(in *Input)           { in.Directory.Policies[0].Group = "CN=Gold,DC=corp" }
func old(t *adpki.Template)    { t.Schema, t.Names = 1, adpki.SupplySubject }
func every(t *adpki.Template)  { t.KeyPurposes = nil }

type fixture struct {
	id       string
	name     string
	change   func(*Input)
	state    State
	severity Severity
}

// fixtures say, for a change of the clean forest, what the check finds. Every
// check has one that it finds and one close to it that it does not.
var fixtures = []fixture{
	{"ESC1", "everybody", func(in *Input) { in.logon(supply, enrol(users)) }, Found, Danger},
	{"ESC1", "plain extended rights for Everyone", func(in *Input) { in.logon(supply, allow(0x100, "S-1-1-0")) }, Found, Danger},
	{"ESC1", "a large group", func(in *Input) { in.Trust.Large = []string{helpdesk}; in.logon(supply, enrol(helpdesk)) }, Found, Danger},
	{"ESC1", "a small group", func(in *Input) { in.logon(supply, enrol(helpdesk)) }, Found, Warning},
	{"ESC1", "a condition", func(in *Input) {
		in.logon(supply, secdesc.Entry{Kind: secdesc.AllowCallback, Mask: 0x100, SID: users, Rest: []byte("artx")})
	}, Found, Danger},
	{"ESC1", "no purposes at all", func(in *Input) { in.logon(func(t *adpki.Template) { supply(t); every(t) }, enrol(users)) }, Found, Danger},
	{"ESC1", "PKINIT among the application policies", func(in *Input) {
		in.logon(func(t *adpki.Template) {
			supply(t)
			t.ApplicationPolicies, t.KeyPurposes = []string{adpki.PurposePKINIT}, nil
		}, enrol(users))
	}, Found, Danger},
	{"ESC1", "ours alone", func(in *Input) { in.logon(supply, enrol(service)) }, Found, Advice},
	{"ESC1", "ours and everybody", func(in *Input) { in.logon(supply, enrol(service), enrol(users)) }, Found, Danger},
	{"ESC1", "not issued", func(in *Input) { in.logon(supply, enrol(users)); in.Directory.Services[0].Templates = nil }, Found, Advice},
	{"ESC1", "issued for all we know", func(in *Input) {
		in.logon(supply, enrol(users))
		in.Directory.Services, in.Directory.Gaps = nil, []adpki.Gap{{Part: adpki.PartServices, Why: "x"}}
	}, Found, Danger},
	{"ESC1", "ours, and we are denied", func(in *Input) {
		in.logon(supply, secdesc.Entry{Kind: secdesc.Deny, Mask: 0x100, SID: helpdesk}, enrol(service))
	}, NotFound, ""},
	{"ESC1", "administrators", func(in *Input) { in.logon(supply, enrol(admins)) }, NotFound, ""},
	{"ESC1", "our administrators", func(in *Input) { in.Trust.Admins = []string{helpdesk}; in.logon(supply, enrol(helpdesk)) }, NotFound, ""},
	{"ESC1", "denied before", func(in *Input) {
		in.logon(supply, secdesc.Entry{Kind: secdesc.Deny, Mask: 0x100, SID: "S-1-1-0"}, enrol(users))
	}, NotFound, ""},
	{"ESC1", "autoenrol alone", func(in *Input) {
		in.logon(supply, secdesc.Entry{Kind: secdesc.AllowObject, Mask: 0x100, SID: users, Object: adpki.RightAutoEnroll})
	}, NotFound, ""},
	{"ESC1", "approval", func(in *Input) {
		in.logon(func(t *adpki.Template) { supply(t); t.Enroll = adpki.Approval }, enrol(users))
	}, NotFound, ""},
	{"ESC1", "an agent's signature", func(in *Input) { in.logon(func(t *adpki.Template) { supply(t); t.Signatures = 1 }, enrol(users)) }, NotFound, ""},
	{"ESC1", "no logon", func(in *Input) {
		in.logon(func(t *adpki.Template) { supply(t); t.KeyPurposes = []string{"1.3.6.1.5.5.7.3.1"} }, enrol(users))
	}, NotFound, ""},
	{"ESC1", "the ignored flag", func(in *Input) { in.logon(func(t *adpki.Template) { t.Names = adpki.SupplyAltName }, enrol(users)) }, NotFound, ""},
	{"ESC1", "a hidden list", func(in *Input) {
		in.logon(func(t *adpki.Template) { supply(t); t.Security, t.Hidden = nil, "hidden" })
	}, Unreadable, ""},
	{"ESC1", "no templates", func(in *Input) {
		in.Directory.Templates, in.Directory.Gaps = nil, []adpki.Gap{{Part: adpki.PartTemplates, Why: "x"}}
	}, Unreadable, ""},

	{"ESC2", "any purpose", func(in *Input) {
		in.logon(func(t *adpki.Template) { t.KeyPurposes = []string{adpki.PurposeAny} }, enrol(users))
	}, Found, Danger},
	{"ESC2", "no purpose", func(in *Input) { in.logon(every, enrol(users)) }, Found, Danger},
	{"ESC2", "ours", func(in *Input) { in.logon(every, enrol(service)) }, Found, Advice},
	{"ESC2", "one purpose", func(in *Input) { in.logon(func(*adpki.Template) {}, enrol(users)) }, NotFound, ""},

	{"ESC3", "with a target", func(in *Input) {
		in.logon(agents, enrol(users))
		t := logon("Target")
		t.Signatures, t.Agent.ApplicationPolicies = 1, []string{adpki.PurposeEnrollAgent}
		in.template(t)
	}, Found, Danger},
	{"ESC3", "with a target of schema 1", func(in *Input) {
		in.logon(agents, enrol(users))
		t := logon("Target")
		t.Schema = 1
		in.template(t)
	}, Found, Danger},
	{"ESC3", "without a target", func(in *Input) { in.logon(agents, enrol(users)) }, Found, Warning},
	{"ESC3", "ours", func(in *Input) { in.logon(agents, enrol(service)) }, Found, Advice},
	{"ESC3", "with approval", func(in *Input) {
		in.logon(func(t *adpki.Template) { agents(t); t.Enroll = adpki.Approval }, enrol(users))
	}, NotFound, ""},

	{"ESC4", "all properties", func(in *Input) { in.logon(supply, allow(0x20, users)) }, Found, Danger},
	{"ESC4", "one property", func(in *Input) {
		in.logon(supply, secdesc.Entry{Kind: secdesc.AllowObject, Mask: 0x20, SID: users, Object: "ea1dddc4-60ff-416e-8cc0-17cee534bce7"})
	}, Found, Danger},
	{"ESC4", "generic all", func(in *Input) { in.logon(supply, allow(secdesc.GenericAll, helpdesk)) }, Found, Danger},
	{"ESC4", "the list", func(in *Input) { in.logon(supply, allow(secdesc.WriteDACL, users)) }, Found, Danger},
	{"ESC4", "the owner", func(in *Input) { in.logon(func(t *adpki.Template) { t.Security.Owner = helpdesk }) }, Found, Danger},
	{"ESC4", "taking ownership", func(in *Input) { in.logon(supply, allow(secdesc.WriteOwner, users)) }, Found, Danger},
	{"ESC4", "no list", func(in *Input) { in.logon(func(t *adpki.Template) { t.Security.Open, t.Security.Access = true, nil }) }, Found, Danger},
	{"ESC4", "our account", func(in *Input) { in.logon(supply, allow(0x20, service)) }, Found, Danger},
	{"ESC4", "a protected account", func(in *Input) { in.logon(supply, allow(0x20, chief)) }, Found, Advice},
	{"ESC4", "not issued", func(in *Input) { in.logon(supply, allow(0x20, users)); in.Directory.Services[0].Templates = nil }, Found, Warning},
	{"ESC4", "Windows' own entry for Enroll", func(in *Input) { in.logon(supply, enrol(users)) }, NotFound, ""},
	{"ESC4", "for the children", func(in *Input) {
		in.logon(supply, secdesc.Entry{Mask: secdesc.GenericAll, SID: users, Flags: secdesc.InheritOnly})
	}, NotFound, ""},
	{"ESC4", "creator owner", func(in *Input) { in.logon(supply, allow(secdesc.GenericAll, "S-1-3-0")) }, NotFound, ""},
	{"ESC4", "enterprise administrators", func(in *Input) {
		in.logon(supply, allow(secdesc.GenericAll, domain+"-519"), allow(secdesc.GenericAll, "S-1-5-9"))
	}, NotFound, ""},
	{"ESC4", "hidden", func(in *Input) { in.Directory.Templates[0].Security = nil }, Unreadable, ""},

	{"ESC5", "NTAuth", func(in *Input) { in.Directory.NTAuth.Security = access(allow(0x20, helpdesk)) }, Found, Danger},
	{"ESC5", "a container's children", func(in *Input) { in.Directory.Containers[0].Security = access(allow(1, helpdesk)) }, Found, Danger},
	{"ESC5", "a service", func(in *Input) { in.Directory.Services[0].Security = access(allow(0x20, helpdesk)) }, Found, Danger},
	{"ESC5", "a policy", func(in *Input) { in.Directory.Policies[0].Security = access(allow(0x20, helpdesk)) }, Found, Danger},
	{"ESC5", "the host's delegation", func(in *Input) {
		in.Directory.Hosts[0].Security = access(secdesc.Entry{Kind: secdesc.AllowObject, Mask: 0x20, SID: helpdesk, Object: "3f78c3e5-f79a-46bd-a0b8-9d18116ddc79"})
	}, Found, Danger},
	{"ESC5", "the host's password", func(in *Input) {
		in.Directory.Hosts[0].Security = access(secdesc.Entry{Kind: secdesc.AllowObject, Mask: 0x100, SID: helpdesk, Object: "00299570-246d-11d0-a768-00aa006e0529"})
	}, Found, Danger},
	{"ESC5", "account operators on the host", func(in *Input) { in.Directory.Hosts[0].Security = access(allow(0xF01FF, "S-1-5-32-548")) }, Found, Advice},
	{"ESC5", "the host's description", func(in *Input) {
		in.Directory.Hosts[0].Security = access(secdesc.Entry{Kind: secdesc.AllowObject, Mask: 0x20, SID: helpdesk, Object: "bf967950-0de6-11d0-a285-00aa003049e2"})
	}, NotFound, ""},
	{"ESC5", "a template's identifier", func(in *Input) {
		in.Directory.Policies[0].Kind = 1
		in.Directory.Policies[0].Security = access(allow(0x20, helpdesk))
	}, NotFound, ""},
	{"ESC5", "hidden", func(in *Input) { in.Directory.NTAuth.Security = nil }, Unreadable, ""},

	{"ESC6", "set", func(in *Input) { in.Authority.EditFlags = Known[uint32](0x15014E) }, Found, Danger},
	{"ESC6", "unknown", func(in *Input) { in.Authority.EditFlags = Unknown[uint32]("denied") }, Unreadable, ""},
	{"ESC6", "not set", func(in *Input) { in.Authority.EditFlags = Known[uint32](0xFFFBFFFF) }, NotFound, ""},

	{"ESC7", "a stranger manages the authority", func(in *Input) { in.manage(1, helpdesk) }, Found, Danger},
	{"ESC7", "everybody manages certificates", func(in *Input) { in.manage(2, users) }, Found, Danger},
	{"ESC7", "a group manages certificates", func(in *Input) { in.manage(2, helpdesk) }, Found, Warning},
	{"ESC7", "we manage certificates", func(in *Input) { in.manage(2, service) }, Found, Advice},
	{"ESC7", "we manage the authority", func(in *Input) { in.manage(1, service) }, Found, Warning},
	{"ESC7", "we and a stranger", func(in *Input) { in.manage(2, service); in.manage(1, helpdesk) }, Found, Danger},
	{"ESC7", "a stranger and we", func(in *Input) { in.manage(1, helpdesk); in.manage(2, service) }, Found, Danger},
	{"ESC7", "unknown", func(in *Input) { in.Authority.Security = Unknown[*secdesc.Descriptor]("denied") }, Unreadable, ""},
	{"ESC7", "our administrators", func(in *Input) { in.Trust.Admins = []string{helpdesk}; in.manage(3, helpdesk) }, NotFound, ""},

	{"ESC8", "in clear", func(in *Input) {
		in.Authority.Web = Known([]WebPage{{URL: "http://ca1/certsrv/", Windows: true, Binding: Known(true)}})
	}, Found, Danger},
	{"ESC8", "not bound", func(in *Input) {
		in.Authority.Web = Known([]WebPage{{URL: "HTTPS://ca1/certsrv/", Windows: true, Binding: Known(false)}})
	}, Found, Danger},
	{"ESC8", "binding unknown", func(in *Input) {
		in.Authority.Web = Known([]WebPage{{URL: "https://ca1/certsrv/", Windows: true, Binding: Unknown[bool]("x")}})
	}, Unreadable, ""},
	{"ESC8", "unknown", func(in *Input) { in.Authority.Web = Fact[[]WebPage]{} }, Unreadable, ""},
	{"ESC8", "no pages", func(in *Input) { in.Authority.Web = Known[[]WebPage](nil) }, NotFound, ""},

	{"ESC9", "everybody", func(in *Input) { in.logon(noSID, enrol(users)) }, Found, Warning},
	{"ESC9", "ours", func(in *Input) { in.logon(noSID, enrol(service)) }, Found, Advice},
	{"ESC9", "no logon", func(in *Input) {
		in.logon(func(t *adpki.Template) { noSID(t); t.KeyPurposes = []string{"1.2.3"} }, enrol(users))
	}, NotFound, ""},

	{"ESC10", "always", func(*Input) {}, Unseen, ""},

	{"ESC11", "missing", func(in *Input) { in.Authority.InterfaceFlags = Known[uint32](0x441) }, Found, Danger},
	{"ESC11", "unknown", func(in *Input) { in.Authority.InterfaceFlags = Fact[uint32]{} }, Unreadable, ""},
	{"ESC11", "there", func(in *Input) { in.Authority.InterfaceFlags = Known[uint32](0x200) }, NotFound, ""},

	{"ESC12", "always", func(*Input) {}, Unseen, ""},

	{"ESC13", "linked", func(in *Input) {
		gold(in)
		in.logon(func(t *adpki.Template) { t.IssuancePolicies = []string{"1.2.3.4"} }, enrol(users))
	}, Found, Danger},
	{"ESC13", "another policy", func(in *Input) {
		gold(in)
		in.logon(func(t *adpki.Template) { t.IssuancePolicies = []string{"1.2.3.5"} }, enrol(users))
	}, NotFound, ""},
	{"ESC13", "no link", func(in *Input) {
		in.logon(func(t *adpki.Template) { t.IssuancePolicies = []string{"1.2.3.4"} }, enrol(users))
	}, NotFound, ""},
	{"ESC13", "no policies", func(in *Input) { in.Directory.Gaps = []adpki.Gap{{Part: adpki.PartPolicies, Why: "x"}} }, Unreadable, ""},

	{"ESC14", "weak", func(in *Input) {
		in.Directory.Privileged[0].Mappings = []string{"X509:<RFC822>chief@corp.example"}
	}, Found, Warning},
	{"ESC14", "writable", func(in *Input) {
		in.Directory.Privileged[0].Security = access(secdesc.Entry{Kind: secdesc.AllowObject, Mask: 0x20, SID: helpdesk, Object: mapped})
	}, Found, Danger},
	{"ESC14", "writable by the set", func(in *Input) {
		in.Directory.Privileged[0].Security = access(secdesc.Entry{Kind: secdesc.AllowObject, Mask: 0x20, SID: helpdesk, Object: "e48d0154-bcf8-11d1-8702-00c04fb96050"})
	}, Found, Danger},
	{"ESC14", "another property", func(in *Input) {
		in.Directory.Privileged[0].Security = access(secdesc.Entry{Kind: secdesc.AllowObject, Mask: 0x20, SID: helpdesk, Object: "bf967950-0de6-11d0-a285-00aa003049e2"})
	}, NotFound, ""},
	{"ESC14", "hidden", func(in *Input) { in.Directory.Privileged[0].Security = nil }, Unreadable, ""},

	{"ESC15", "everybody", func(in *Input) { in.logon(old, enrol(users)) }, Found, Danger},
	{"ESC15", "without a logon", func(in *Input) {
		in.logon(func(t *adpki.Template) { old(t); t.KeyPurposes = []string{"1.3.6.1.5.5.7.3.1"} }, enrol(users))
	}, Found, Danger},
	{"ESC15", "schema 2", func(in *Input) { in.logon(supply, enrol(users)) }, NotFound, ""},

	{"ESC16", "disabled", func(in *Input) { in.Authority.DisabledExtensions = Known([]string{"1.3.6.1.4.1.311.25.2"}) }, Found, Danger},
	{"ESC16", "unknown", func(in *Input) { in.Authority.DisabledExtensions = Fact[[]string]{} }, Unreadable, ""},
	{"ESC16", "another one", func(in *Input) { in.Authority.DisabledExtensions = Known([]string{"1.3.6.1.4.1.311.25.2.1"}) }, NotFound, ""},
}

func (in *Input) manage(right uint32, sid string) {
	d := in.Authority.Security.Value
	d.Access = append(d.Access, allow(right, sid))
}

func TestFixtures(t *testing.T) {
	tried := map[string]map[State]bool{}
	for _, x := range fixtures {
		in := clean()
		x.change(in)
		got := worst(Evaluate(*in), x.id)
		if got.State != x.state || got.Severity != x.severity {
			t.Errorf("%s, %s: %s %s, want %s %s (%s)", x.id, x.name, got.State, got.Severity, x.state, x.severity, got.Sentence)
		}
		if tried[x.id] == nil {
			tried[x.id] = map[State]bool{}
		}
		tried[x.id][x.state] = true
	}
	for n := 1; n <= 16; n++ {
		id := fmt.Sprintf("ESC%d", n)
		if n == 10 || n == 12 {
			if !tried[id][Unseen] {
				t.Errorf("%s is not tried", id)
			}
		} else if !tried[id][Found] || !tried[id][NotFound] {
			t.Errorf("%s has no fixture for found or for not found: %v", id, tried[id])
		}
	}
}

// worst gives the finding of a check that matters most.
func worst(findings []Finding, id string) Finding {
	rank := func(f Finding) int {
		return slices.Index([]Severity{Advice, Warning, Danger}, f.Severity) + 10*slices.Index([]State{NotFound, Unseen, Unreadable, Found}, f.State)
	}
	var best Finding
	for _, f := range findings {
		if f.ID == id && (best.ID == "" || rank(f) > rank(best)) {
			best = f
		}
	}
	return best
}

// TestClean: every condition says something, and nothing is found in a forest
// that is as it should be.
func TestClean(t *testing.T) {
	seen := map[string]int{}
	for _, f := range Evaluate(*clean()) {
		seen[f.ID]++
		want := NotFound
		if f.ID == "ESC10" || f.ID == "ESC12" {
			want = Unseen
		}
		if f.State != want || f.Sentence == "" {
			t.Errorf("%s: %s %q", f.ID, f.State, f.Sentence)
		}
	}
	for n := 1; n <= 16; n++ {
		if id := fmt.Sprintf("ESC%d", n); seen[id] != 1 {
			t.Errorf("%s spoke %d times", id, seen[id])
		}
	}
}

// TestFindingsAreComplete: whatever is found names object, people, remedy, key
// and hash; keys are unique.
func TestFindingsAreComplete(t *testing.T) {
	for _, x := range fixtures {
		in := clean()
		x.change(in)
		keys := map[string]bool{}
		for _, f := range Evaluate(*in) {
			if keys[f.Key] || f.Key == "" {
				t.Errorf("%s, %s: key %q twice or empty", x.id, x.name, f.Key)
			}
			keys[f.Key] = true
			if f.State == NotFound {
				continue
			}
			if f.Sentence == "" || f.Remedy == "" || f.Object == "" {
				t.Errorf("%s, %s: incomplete %+v", x.id, x.name, f)
			}
			about := slices.Contains([]string{"ESC6", "ESC8", "ESC11", "ESC16"}, f.ID) // all callers
			if f.State == Found && (f.Hash == "" || f.Severity == "" || len(f.Who) == 0 && !about) {
				t.Errorf("%s, %s: incomplete %+v", x.id, x.name, f)
			}
			if f.State == Found && f.Severity == Danger && f.Script == "" {
				t.Errorf("%s, %s: no script", x.id, x.name)
			}
		}
	}
}

// TestHash: what somebody signs off is a finding by key and hash, and its hash is
// another one when the object or its danger changes.
func TestHash(t *testing.T) {
	in := clean()
	in.logon(supply, enrol(users))
	found := func(in *Input) Finding {
		t.Helper()
		f := worst(Evaluate(*in), "ESC1")
		if f.State != Found || f.Key == "" || f.Hash == "" {
			t.Fatalf("%+v", f)
		}
		return f
	}
	signed := found(in)
	if signed.Severity != Danger {
		t.Errorf("%+v", signed)
	}
	for name, change := range map[string]func(*adpki.Template){
		"the object":     func(t *adpki.Template) { t.Print = "changed" },
		"who may enrol":  func(t *adpki.Template) { t.Security.Access = append(t.Security.Access, enrol(helpdesk)) },
		"another object": func(t *adpki.Template) { t.GUID = strings.Repeat("9", 32) },
	} {
		in := clean()
		in.logon(func(t *adpki.Template) { supply(t); change(t) }, enrol(users))
		if now := found(in); now.Key == signed.Key && now.Hash == signed.Hash {
			t.Errorf("%s changed and the sign-off still holds", name)
		}
	}
	in.Directory.Services[0].Templates = nil
	if idle := found(in); idle.Severity != Advice || idle.Hash == signed.Hash {
		t.Errorf("what was signed off while nobody issued from it stays so when somebody does: %+v", idle)
	}
	findings := Evaluate(*in)
	again := Evaluate(*in)
	if a, b := text(t, findings), text(t, again); a != b {
		t.Errorf("two evaluations differ:\n%s\n%s", a, b)
	}
}

func text(t *testing.T, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
