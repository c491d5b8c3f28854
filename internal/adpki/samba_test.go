package adpki_test

import (
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"

	"chancery/internal/adpki"
	"chancery/internal/adpki/guard"
	"chancery/internal/ldapdir"
	"chancery/internal/secret"
	"chancery/internal/testpeer"
	"chancery/internal/wire/secdesc"
)

func TestMain(m *testing.M) { testpeer.Main(m) }

const (
	password = "Pa55-of-svc"
	year     = "\x00\x40\x39\x87\x2e\xe1\xfe\xff"
	sixWeeks = "\x00\x80\xa6\x0a\xff\xde\xff\xff"
)

// connect logs in as somebody.
func connect(t *testing.T, s *testpeer.Samba, user, word string) *ldapdir.Conn {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(s.CA) {
		t.Fatal("no certificate")
	}
	c, err := ldapdir.Open(t.Context(), ldapdir.Options{Servers: []string{s.Host}, Roots: roots, User: user + "@corp.example", Password: secret.New(word), Dial: s.Dial})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// read reads the forest as our account, which is nobody in particular.
func read(t *testing.T, s *testpeer.Samba, account string) *adpki.Snapshot {
	t.Helper()
	snapshot, err := adpki.Read(t.Context(), adpki.FromLDAP(connect(t, s, account, password)), adpki.Options{Account: `CORP\` + account, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

// sidOf asks the directory for a SID.
func sidOf(t *testing.T, s *testpeer.Samba, c *ldapdir.Conn, name string) string {
	t.Helper()
	e, err := c.Read(t.Context(), s.DN(name), "objectSid")
	if err != nil {
		t.Fatal(err)
	}
	sid, err := secdesc.ParseSID(e.Bytes("objectSid"))
	if err != nil {
		t.Fatal(err)
	}
	return sid
}

func packed(t *testing.T, owner string, entries ...secdesc.Entry) string {
	t.Helper()
	d := secdesc.Descriptor{Owner: owner, Group: owner, Control: secdesc.ControlProtected, Access: entries}
	b, err := d.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestSamba reads public key services that a real directory holds, with an
// account that is no administrator, and lets the guard judge them.
func TestSamba(t *testing.T) {
	s := testpeer.StartSamba(t)
	s.AddUser("svc", password)
	s.AddUser("eve", password)
	s.AddGroup("Inner", "svc")
	s.AddGroup("Outer", "Inner")
	s.AddGroup("Gold")
	s.AddComputer("ca1", password)
	admin := connect(t, s, "Administrator", s.Password)
	service, eve, outer, host := sidOf(t, s, admin, "svc"), sidOf(t, s, admin, "eve"), sidOf(t, s, admin, "Outer"), sidOf(t, s, admin, "ca1")
	domain := service[:strings.LastIndex(service, "-")]
	admins, users := domain+"-512", domain+"-513"
	all := secdesc.Entry{Mask: 0xF01FF, SID: admins}
	look := secdesc.Entry{Mask: 0x20094, SID: "S-1-5-11"}
	enrol := func(sid string) secdesc.Entry {
		return secdesc.Entry{Kind: secdesc.AllowObject, Mask: 0x130, SID: sid, Object: adpki.RightEnroll}
	}

	pki := "CN=Public Key Services,CN=Services,CN=Configuration," + s.BaseDN
	template := func(name string, attributes ...string) {
		s.Add("CN="+name+",CN=Certificate Templates,"+pki, append([]string{"objectClass", "pKICertificateTemplate", "displayName", name + " shown",
			"pKIExpirationPeriod", year, "pKIOverlapPeriod", sixWeeks, "revision", "100", "msPKI-Template-Minor-Revision", "7",
			"msPKI-Minimal-Key-Size", "2048"}, attributes...)...)
	}
	template("Supply", "msPKI-Template-Schema-Version", "2", "msPKI-Certificate-Name-Flag", "1", "pKIExtendedKeyUsage", adpki.PurposeClientAuth,
		"flags", "131680", "msPKI-Private-Key-Flag", "16842768", "pKIKeyUsage", "\xa0\x00", "pKIDefaultKeySpec", "1", "pKICriticalExtensions", "2.5.29.15", "msPKI-Cert-Template-OID", "1.3.6.1.4.1.311.21.8.1",
		"nTSecurityDescriptor", packed(t, admins, all, look, enrol(users), enrol(service)))
	template("Ours", "msPKI-Template-Schema-Version", "2", "msPKI-Certificate-Name-Flag", "1", "pKIExtendedKeyUsage", adpki.PurposeClientAuth,
		"nTSecurityDescriptor", packed(t, admins, all, look, enrol(service)))
	template("Behalf", "msPKI-Template-Schema-Version", "4", "msPKI-Certificate-Name-Flag", "-1509949440", "msPKI-RA-Signature", "1",
		"msPKI-RA-Application-Policies", "msPKI-Asymmetric-Algorithm`PZPWSTR`ECDSA_P256`msPKI-Hash-Algorithm`PZPWSTR`SHA256`msPKI-Key-Usage`DWORD`16777215`msPKI-RA-Application-Policies`PZPWSTR`1.3.6.1.4.1.311.20.2.1`",
		"msPKI-Certificate-Application-Policy", adpki.PurposeClientAuth, "msPKI-Enrollment-Flag", "524329", "msPKI-Certificate-Policy", "1.2.3.4",
		"nTSecurityDescriptor", packed(t, eve, all, look, enrol(outer)))
	template("Locked", "msPKI-Template-Schema-Version", "2", "msPKI-Private-Key-Flag", "1",
		"nTSecurityDescriptor", packed(t, admins, all, look, secdesc.Entry{Kind: secdesc.Deny, Mask: 0x100, SID: outer}, enrol(service)))
	template("Unseen", "nTSecurityDescriptor", packed(t, admins, all, secdesc.Entry{Mask: 0x94, SID: "S-1-5-11"}))
	s.Add("CN=CORP-CA,CN=Enrollment Services,"+pki, "objectClass", "pKIEnrollmentService", "displayName", "CORP-CA", "dNSHostName", "ca1.corp.example",
		"cACertificate", "not a certificate", "cACertificateDN", "CN=CORP-CA,DC=corp,DC=example", "flags", "10", "certificateTemplates", "Supply", "certificateTemplates", "Ours", "certificateTemplates", "Behalf",
		"msPKI-Enrollment-Servers", "1\n4\n0\nhttps://ca1.corp.example/CORP-CA_CES_UsernamePassword/service.svc/CES\n0",
		"nTSecurityDescriptor", packed(t, admins, all, look, secdesc.Entry{Mask: 0xF01FF, SID: host}))
	if _, err := admin.Read(t.Context(), "CN=NTAuthCertificates,"+pki, "cn"); err != nil {
		s.Add("CN=NTAuthCertificates,"+pki, "objectClass", "certificationAuthority", "cACertificate", "der", "authorityRevocationList", "\x00", "certificateRevocationList", "\x00",
			"nTSecurityDescriptor", packed(t, admins, all, look))
	}
	s.Add("CN=4.ABC,CN=OID,"+pki, "objectClass", "msPKI-Enterprise-Oid", "displayName", "Gold", "flags", "2", "msPKI-Cert-Template-OID", "1.2.3.4",
		"nTSecurityDescriptor", packed(t, admins, all, look, secdesc.Entry{Mask: secdesc.WriteProperty, SID: eve}))
	s.Set("CN=Administrator,CN=Users,"+s.BaseDN, "altSecurityIdentities", "X509:<S>CN=Administrator")

	got := read(t, s, "svc")
	if len(got.Gaps) != 0 {
		t.Errorf("gaps: %+v", got.Gaps)
	}
	supply, ok := got.Template("Supply")
	if !ok || supply.DisplayName != "Supply shown" || supply.Schema != 2 || supply.Major != 100 || supply.Minor != 7 || supply.OID != "1.3.6.1.4.1.311.21.8.1" ||
		supply.Validity != 365*24*time.Hour || supply.Overlap != 42*24*time.Hour || supply.MinKeyBits != 2048 || supply.KeySpec != 1 ||
		supply.KeyUsage != x509.KeyUsageDigitalSignature|x509.KeyUsageKeyEncipherment || supply.Key != adpki.Exportable || !supply.General.Has(adpki.MachineType|adpki.ModifiedFlag) ||
		!slices.Equal(supply.Critical, []string{"2.5.29.15"}) || len(supply.GUID) != 36 {
		t.Errorf("%+v", supply)
	}
	behalf, _ := got.Template("Behalf")
	if behalf.Names != adpki.SubjectDirectory|adpki.SubjectEmail|adpki.AltUPN|adpki.AltEmail || behalf.Enroll != 0x80029 || behalf.Signatures != 1 ||
		behalf.Agent.Algorithm != "ECDSA_P256" || behalf.Agent.Hash != "SHA256" || behalf.Agent.Usage != 0xFFFFFF || !behalf.TakesAgents() || !behalf.Authenticates() {
		t.Errorf("%+v", behalf)
	}
	if got.Account.SID != service || got.Account.Name != `CORP\svc` || !got.Account.Includes(outer) || !got.Account.Includes(users) || got.Account.Includes(admins) {
		t.Errorf("%+v", got.Account)
	}
	for name, want := range map[string]secdesc.Verdict{"Supply": secdesc.Granted, "Behalf": secdesc.Granted, "Locked": secdesc.Denied, "Unseen": secdesc.Unsure} {
		template, _ := got.Template(name)
		if may := template.MayEnroll(got.Account.Token); may != want {
			t.Errorf("we may enrol from %s: %d, want %d (%s)", name, may, want, template.Hidden)
		}
	}
	if unseen, _ := got.Template("Unseen"); unseen.Hidden == "" {
		t.Error("a hidden access list was read")
	}
	if got.Name(users) != `CORP\Domain Users` || got.Name(eve) != `CORP\eve` || got.Name("S-1-5-11") != "Authenticated Users" {
		t.Errorf("names: %v", got.Names)
	}
	if len(got.Services) != 1 || got.Services[0].Host != "ca1.corp.example" || !got.Services[0].Offers("Ours") || got.Services[0].Web[0].Login != adpki.WebUserName ||
		len(got.Hosts) != 1 || got.Hosts[0].SID != host || got.NTAuth == nil || len(got.Privileged) == 0 {
		t.Errorf("%+v\n%+v\n%+v", got.Services, got.Hosts, got.NTAuth)
	}
	if i := slices.IndexFunc(got.Policies, func(p adpki.Policy) bool { return p.OID == "1.2.3.4" }); i < 0 || got.Policies[i].DisplayName != "Gold" || got.Policies[i].Kind != 2 {
		t.Errorf("%+v", got.Policies)
	}
	if !slices.ContainsFunc(got.Containers, func(o adpki.Object) bool { return o.Name == "OID" && o.Security != nil }) {
		t.Errorf("%+v", got.Containers)
	}

	judged := guard.Evaluate(guard.Input{Directory: got, Authority: guard.Authority{Name: "CORP-CA"}})
	var found []string
	for _, f := range judged {
		if f.State == guard.Found || f.State == guard.Unreadable && f.Object != "CORP-CA" {
			found = append(found, strings.TrimSpace(f.ID+" "+f.Object+" "+string(f.Severity)))
		}
	}
	want := []string{
		"ESC1 Ours advice", "ESC1 Supply danger", "ESC14 CORP\\Administrator advice", "ESC14 CORP\\Administrator warning", "ESC14 CORP\\krbtgt advice",
		"ESC2 Unseen", "ESC4 Behalf danger", "ESC4 Unseen", "ESC5 4.ABC danger", "ESC5 ca1 advice",
	}
	if slices.Sort(found); !slices.Equal(found, want) {
		t.Errorf("found %q\nwant  %q", found, want)
	}

	again, _ := read(t, s, "svc").Template("Supply")
	if before, after := supply.Print, again.Print; before != after {
		t.Error("the same object has another print")
	}
	s.Set(supply.DN, "msPKI-Minimal-Key-Size", "4096")
	changed := read(t, s, "svc")
	if now, _ := changed.Template("Supply"); now.Print == supply.Print || now.MinKeyBits != 4096 {
		t.Error("the object changed and its print did not")
	}
}
