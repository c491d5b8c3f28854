package app

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"chancery/internal/api/resource"
	"chancery/internal/directory"
	played "chancery/internal/doubles/adcs"
	"chancery/internal/ra"
	"chancery/internal/testpeer"
)

// inDirectory is what a domain's own tool shows of somebody.
type inDirectory struct {
	sid          string
	certificates []string // DER
}

// shown asks the domain's own tool about a user.
func shown(t *testing.T, dc *testpeer.Samba, user string) (out inDirectory) {
	t.Helper()
	text := regexp.MustCompile(`\n `).ReplaceAllString(dc.Tool("user", "show", user, "--attributes=objectSid,userCertificate"), "") // lines that go on
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if sid, ok := strings.CutPrefix(line, "objectSid: "); ok {
			out.sid = sid
		}
		if b64, ok := strings.CutPrefix(line, "userCertificate:: "); ok {
			der, err := base64.StdEncoding.DecodeString(b64)
			if err != nil {
				t.Fatal(err)
			}
			out.certificates = append(out.certificates, string(der))
		}
	}
	if out.sid == "" {
		t.Fatalf("samba-tool shows\n%s", text)
	}
	return out
}

// staff takes over the users in a part of the domain, over the API, and gives the
// directory and the users by name.
func (c *corp) staff(dc *testpeer.Samba, base string) (resource.Directory, map[string]resource.User) {
	c.t.Helper()
	raw, err := json.Marshal(map[string]any{"servers": []string{dc.Host}, "roots": string(dc.CA), "user": "Administrator@corp.example", "password": dc.Password, "base": base})
	if err != nil {
		c.t.Fatal(err)
	}
	name, group := "Corp directory", string(c.site.ca.GroupID)
	d, err := c.office.CreateDirectory(c.t.Context(), resource.DirectoryInput{GroupID: &group, Name: &name, Settings: raw})
	if err != nil {
		c.t.Fatal(err)
	}
	if report, err := c.office.TestDirectory(c.t.Context(), d.ID); err != nil || !report.OK {
		c.t.Fatalf("the connection: %v %+v", err, report)
	}
	run, err := c.office.OrderSync(c.t.Context(), d.ID, resource.SyncOrder{})
	c.until("the users are taken over", func() bool {
		if err == nil {
			run, err = c.office.Sync(c.t.Context(), run.ID)
		}
		if err != nil {
			c.t.Fatal(err)
		}
		return run.State != "waiting" && run.State != "running"
	})
	users := map[string]resource.User{}
	list, err := c.office.Users(c.t.Context(), resource.UserQuery{})
	for _, u := range list.Items {
		if u.DirectoryID == d.ID {
			users[u.Name] = u
		}
	}
	if run.State != "done" || err != nil || len(users) != run.Added+run.Changed {
		c.t.Fatalf("%+v: %d users, %v", run, len(users), err)
	}
	return d, users
}

// orderFor asks for a certificate of a user, or of the user's device.
func (c *corp) orderFor(t resource.Template, user resource.User, device string) (resource.Request, error) {
	in := resource.RequestInput{TemplateID: t.ID, UserID: user.ID, DeviceID: device, Wait: true}
	return c.office.CreateRequest(c.t.Context(), in, "")
}

// logsOn makes the CA an enterprise CA of the domain. Exchange and Windows take its
// certificates for logons when it is in the NTAuth store, too, which the guard looks
// after.
func (c *corp) logsOn(dc *testpeer.Samba, a resource.Authority, d resource.Directory) {
	c.t.Helper()
	services := "CN=Public Key Services,CN=Services,CN=Configuration," + dc.BaseDN
	enterprise, store, own := "CN=CORP-CA,CN=Enrollment Services,"+services, "CN=NTAuthCertificates,"+services, string(c.ca.Certificate().Raw)
	dc.Add(enterprise, "objectClass", "pKIEnrollmentService", "displayName", c.ca.Name(), "dNSHostName", caHost, "cACertificate", own, "certificateTemplates", "MobileUser")
	c.t.Cleanup(func() { dc.Delete(enterprise) })
	other := string(c.ca.Chain()[1].Raw)
	dc.Add(store, "objectClass", "certificationAuthority", "cACertificate", other, "authorityRevocationList", "\x00", "certificateRevocationList", "\x00")
	c.t.Cleanup(func() { dc.Delete(store) })
	raw, err := json.Marshal(map[string]any{"directory": d.ID})
	if err == nil {
		_, err = c.office.UpdateAuthority(c.t.Context(), a.ID, resource.AuthorityInput{Settings: raw})
	}
	if err != nil {
		c.t.Fatal(err)
	}
	missing := func() bool {
		c.t.Helper()
		report, err := c.office.RunGuard(c.t.Context(), a.ID)
		if err != nil || report.LastError != "" {
			c.t.Fatalf("the guard: %+v, %v", report, err)
		}
		return slices.ContainsFunc(report.Findings, func(f resource.Finding) bool { return f.Condition == "NTAUTH" && f.State == "found" && f.Remedy != "" })
	}
	if !missing() {
		c.t.Error("nobody is told that the CA is not in the NTAuth store")
	}
	dc.Set(store, "cACertificate", other, own)
	if missing() {
		c.t.Error("a CA that is in the NTAuth store is missed there")
	}
}

// TestADCSDirectory: somebody in a real Active Directory gets certificates for mail
// on a phone, as Exchange wants them: asked for on behalf of the user, with the user's
// security identifier and principal name, and in the user's entry while, and only
// while, they are good.
func TestADCSDirectory(t *testing.T) {
	dc := domain(t)
	base := "OU=Phones," + dc.BaseDN
	dc.Add(base, "objectClass", "organizationalUnit")
	t.Cleanup(func() { dc.Delete(base) })
	for _, name := range []string{"ann", "ben"} {
		t.Cleanup(func() { dc.Delete("CN=" + name + "," + base) })
		dc.Add("CN="+name+","+base, "objectClass", "user", "sAMAccountName", name, "userPrincipalName", name+"@corp.example", "mail", name+"@corp.example",
			"displayName", name, "userAccountControl", "544")
	}
	ann := shown(t, dc, "ann")
	c := startInDomain(t, dc, played.Config{Accounts: []played.Account{{User: "ann", UPN: "ann@corp.example", SID: ann.sid, DN: "CN=ann," + base}}})
	d, users := c.staff(dc, base)
	if len(users) != 2 || users["ann"].SID != ann.sid || users["ann"].UPN != "ann@corp.example" {
		t.Fatalf("taken over are %+v", users)
	}
	a := c.authority("Corp CA", byTickets(dc))
	c.agentOf(a, "EnrollmentAgent")
	c.logsOn(dc, a, d)
	publish := func(s *ra.TemplateSpec) {
		s.Publish.Certificate, s.RevokeOn = true, []string{"unenrolment"}
	}
	mail, vpn := c.template(a, "MobileUser", onBehalf(`CORP\{EnrollmentUser}`), publish), c.template(a, "WebServer", publish)
	inEntry := func(want ...resource.Request) {
		t.Helper()
		if err := c.Directories.WorkPublish(t.Context(), directory.PublishJob{Directory: ra.DirectoryID(d.ID)}); err != nil {
			t.Fatal(err)
		}
		var der []string
		for _, r := range want {
			der = append(der, string(c.certificate(r).Raw))
		}
		slices.Sort(der)
		c.until("the entry has what is good, and nothing else", func() bool { // the server works at it, too
			got := shown(t, dc, "ann").certificates
			slices.Sort(got)
			return slices.Equal(got, der)
		})
	}

	// The phone.
	group, platform, id, name, user := string(c.site.ca.GroupID), string(ra.IOS), "00008120-ANN", "ann-iphone", users["ann"].ID
	phone, err := c.office.CreateDevice(t.Context(), resource.DeviceInput{GroupID: &group, Platform: &platform, PlatformID: &id, Name: &name, UserID: &user})
	if err != nil {
		t.Fatal(err)
	}
	first, err := c.orderFor(mail, users["ann"], phone.ID)
	if err != nil {
		t.Fatal(err)
	}
	cert := c.certificate(first)
	if cn, upn, sid := says(t, cert); cn != "ann" || upn != "ann@corp.example" || sid != ann.sid {
		t.Errorf("the certificate says %q, %q, %q; the directory %q", cn, upn, sid, ann.sid)
	}
	if row := c.caRow(first); row.Requester != `CORP\ann` || row.Caller != `CORP\`+ticketAccount {
		t.Errorf("the CA has it that %s asked for %s", row.Caller, row.Requester)
	}
	inEntry(first)

	// The CA takes this one's identifier from the request, and that has it from the
	// directory.
	second, err := c.orderFor(vpn, users["ann"], "")
	if err != nil {
		t.Fatal(err)
	}
	if _, upn, sid := says(t, c.certificate(second)); upn != "ann@corp.example" || sid != ann.sid {
		t.Errorf("the certificate says %q, %q; the directory %q", upn, sid, ann.sid)
	}
	inEntry(first, second)

	renewal, err := c.office.RenewCertificate(t.Context(), c.now(first).CertificateID, true)
	if err != nil {
		t.Fatal(err)
	}
	inEntry(renewal, second)

	if _, err := c.office.RevokeCertificate(t.Context(), c.now(second).CertificateID, resource.RevokeInput{Reason: "keyCompromise"}); err != nil {
		t.Fatal(err)
	}
	c.listed(c.certificate(second), "Key Compromise")
	inEntry(renewal)

	// The phone leaves; its certificate goes with it.
	if _, err := c.office.UnenrolDevice(t.Context(), phone.ID); err != nil {
		t.Fatal(err)
	}
	inEntry()
	c.confirmed(renewal)
	c.listed(c.certificate(renewal), "Cessation Of Operation")

	// Who is locked out of the domain gets nothing more, at once.
	dc.Set("CN=ann,"+base, "userAccountControl", "546")
	if r, err := c.orderFor(vpn, users["ann"], ""); ra.KindOf(err) != ra.Denied || ra.AsError(err).Remedy == "" {
		t.Errorf("somebody who is disabled: %+v, %v", r, err)
	}
}
