package ldapdir

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/testpeer"
	"chancery/internal/wire/secdesc"
)

func TestMain(m *testing.M) { testpeer.Main(m) }

const password = "Pa55-word"

func pool(t *testing.T, pem []byte) *x509.CertPool {
	t.Helper()
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate")
	}
	return p
}

// options log in as the administrator.
func options(t *testing.T, s *testpeer.Samba) Options {
	t.Helper()
	return Options{Servers: []string{s.Host}, Roots: pool(t, s.CA), User: "Administrator@corp.example", Password: secret.New(s.Password), Dial: s.Dial}
}

func open(t *testing.T, o Options) *Conn {
	t.Helper()
	c, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// said checks that an error is of a kind and says something, with a remedy.
func said(t *testing.T, err error, kind ra.Kind, words string) {
	t.Helper()
	e := ra.AsError(err)
	if err == nil || e.Kind != kind || !strings.Contains(e.Message, words) || e.Remedy == "" {
		t.Errorf("got %v, want %s: ...%s... with a remedy", err, kind, words)
	}
}

func TestWays(t *testing.T) {
	s := testpeer.SharedSamba(t)
	s.AddUser("way", password)
	for _, security := range []string{"", LDAPS, StartTLS} {
		o := options(t, s)
		o.Security = security
		r, err := open(t, o).Root(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !r.ActiveDirectory || r.Host != s.Host || r.Domain != s.BaseDN || r.Configuration != "CN=Configuration,"+s.BaseDN || r.USN == 0 || !slices.Contains(r.Contexts, s.BaseDN) {
			t.Errorf("the root entry over %q: %+v", security, r)
		}
	}
	o := options(t, s)
	c := open(t, o)
	r, err := c.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first, err := c.Invocation(t.Context(), r)
	if err != nil || len(first) != 32 {
		t.Errorf("invocation %q: %v", first, err)
	}

	o.Servers = []string{"nobody.corp.example", s.Host}
	o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == "nobody.corp.example:636" {
			return nil, errors.New("no such host")
		}
		return s.Dial(ctx, network, address)
	}
	if c := open(t, o); c.Server() != s.Host {
		t.Errorf("the server is %s", c.Server())
	}

	for _, way := range []string{LDAPS, StartTLS} {
		o := options(t, s)
		o.Security, o.User, o.Password = way, "", secret.Text{}
		o.Kerberos = &Kerberos{User: "way", Realm: s.Realm, KDCs: []string{s.Address}, Keytab: secret.NewBytes(s.Keytab("way"))}
		if _, err := open(t, o).Read(t.Context(), s.DN("way"), "cn"); err != nil {
			t.Errorf("after a login by Kerberos over %s: %v", way, err)
		}
		o.Kerberos.Keytab, o.Kerberos.Password = secret.Bytes{}, secret.New("wrong")
		_, err := Open(t.Context(), o)
		said(t, err, ra.RefusedByCA, "password or the keytab")
	}
}

func TestRefusedConnections(t *testing.T) {
	s := testpeer.SharedSamba(t)
	other := options(t, s)
	try := func(change func(*Options)) error {
		o := options(t, s)
		change(&o)
		c, err := Open(t.Context(), o)
		if err == nil {
			c.Close()
		}
		return err
	}
	said(t, try(func(o *Options) { o.Servers = nil }), ra.Invalid, "No directory server")
	said(t, try(func(o *Options) { o.Roots = x509.NewCertPool() }), ra.Unreachable, "CA that is not trusted")
	said(t, try(func(o *Options) { o.Roots, o.Security = x509.NewCertPool(), StartTLS }), ra.Unreachable, "CA that is not trusted")
	said(t, try(func(o *Options) { o.Servers = []string{s.Address} }), ra.Unreachable, "another name than "+s.Address)
	said(t, try(func(o *Options) { o.Servers = []string{s.Host + ":389"} }), ra.Unreachable, "encrypting")
	said(t, try(func(o *Options) { o.Servers, o.Security = []string{s.Host + ":88"}, StartTLS }), ra.Unreachable, "does not answer")
	said(t, try(func(o *Options) { o.User = "" }), ra.Invalid, "user and a password")
	said(t, try(func(o *Options) { o.Password = secret.Text{} }), ra.Invalid, "user and a password")
	said(t, try(func(o *Options) {
		o.Dial = func(context.Context, string, string) (net.Conn, error) {
			return nil, ra.Errorf(ra.Denied, "This server may not connect there.").WithRemedy("Allow it.")
		}
	}), ra.Denied, "may not connect")

	// A server that refuses the login is the last that is asked.
	asked := 0
	err := try(func(o *Options) {
		o.Servers, o.Password = []string{s.Host, s.Host}, secret.New("wrong")
		o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			asked++
			return other.Dial(ctx, network, address)
		}
	})
	said(t, err, ra.RefusedByCA, "password")
	if asked != 1 {
		t.Errorf("%d servers were asked", asked)
	}
	if strings.Contains(err.Error(), "wrong") {
		t.Errorf("the error has the password in it: %v", err)
	}
}

func TestRefusedLogins(t *testing.T) {
	s := testpeer.SharedSamba(t)
	s.AddUser("off", password)
	s.Set(s.DN("off"), "userAccountControl", "514")
	s.AddUser("ended", password, "accountExpires", "116444736010000000")
	s.AddUser("must", password)
	s.Set(s.DN("must"), "pwdLastSet", "0")
	s.AddUser("bad", password)
	for _, tt := range []struct{ user, password, words string }{
		{"bad", "wrong", "did not accept the password"},
		{"off", password, "disabled"},
		{"ended", password, "has expired"},
		{"must", password, "must change its password"},
	} {
		o := options(t, s)
		o.User, o.Password = tt.user+"@corp.example", secret.New(tt.password)
		_, err := Open(t.Context(), o)
		said(t, err, ra.RefusedByCA, tt.words)
		if ra.AsError(err).Retry == 0 {
			t.Errorf("%s: a refused login is tried again at once", tt.user)
		}
	}
	o := options(t, s)
	o.User = "nobody@corp.example"
	if _, err := Open(t.Context(), o); ra.KindOf(err) != ra.RefusedByCA {
		t.Errorf("a user who is not there: %v", err)
	}
}

func TestSearch(t *testing.T) {
	s := testpeer.SharedSamba(t)
	const many = pageSize + 20
	var text strings.Builder
	unit := "OU=many," + s.BaseDN
	text.WriteString("dn: " + unit + "\nchangetype: add\nobjectClass: organizationalUnit\n\n")
	for i := range many {
		n := string(rune('a'+i/26%26)) + string(rune('a'+i%26)) + string(rune('a'+i/676))
		text.WriteString("dn: CN=" + n + "," + unit + "\nchangetype: add\nobjectClass: contact\n\n")
	}
	s.Modify(text.String())
	c := open(t, options(t, s))

	pages, found := 0, map[string]bool{}
	_, err := c.Search(t.Context(), Query{Base: unit, Scope: OneLevel, Filter: "(objectClass=contact)", Attributes: []string{"objectGUID"}}, func(page []*Entry) error {
		pages++
		for _, e := range page {
			guid, err := GUID(e.Bytes("OBJECTguid"))
			if err != nil {
				return err
			}
			found[guid] = true
		}
		return nil
	})
	if err != nil || len(found) != many || pages != 2 {
		t.Errorf("%d entries on %d pages: %v", len(found), pages, err)
	}

	_, err = c.Search(t.Context(), Query{Base: unit, Scope: OneLevel, Filter: "(objectClass=contact)", Limit: pageSize + 1}, func([]*Entry) error { return nil })
	said(t, err, ra.TooLarge, "more than")
	stop := errors.New("enough")
	if _, err = c.Search(t.Context(), Query{Base: unit, Scope: OneLevel, Filter: "(objectClass=contact)"}, func([]*Entry) error { return stop }); err != stop {
		t.Errorf("the error of a page comes back as %v", err)
	}
	_, err = c.Read(t.Context(), "OU=none,"+s.BaseDN)
	said(t, err, ra.NotFound, "OU=none")
	_, err = c.Read(t.Context(), "none")
	said(t, err, ra.Invalid, "distinguished name")
	_, err = c.Read(t.Context(), "DC=elsewhere,DC=example")
	said(t, err, ra.NotFound, "DC=elsewhere")

	// The domain points to what else the forest has, and nobody goes there.
	elsewhere, err := c.Search(t.Context(), Query{Base: s.BaseDN, Scope: Subtree, Filter: "(cn=aaa)", Attributes: []string{"cn"}}, func(page []*Entry) error {
		if page[0].Text("cn") != "aaa" {
			t.Errorf("found %s", page[0].DN)
		}
		return nil
	})
	if err != nil || len(elsewhere) == 0 || !strings.HasPrefix(elsewhere[0], "ldap") {
		t.Errorf("elsewhere: %v, %v", elsewhere, err)
	}
}

func TestIdentity(t *testing.T) {
	s := testpeer.SharedSamba(t)
	s.AddUser("sid", password)
	c := open(t, options(t, s))
	if _, err := c.Search(t.Context(), Query{Base: s.DN("sid"), Scope: BaseOnly, Filter: "(objectClass=*)", Attributes: []string{"nTSecurityDescriptor"}, Security: true}, func(page []*Entry) error {
		if len(page[0].Bytes("nTSecurityDescriptor")) < 20 {
			t.Error("the entry has no security descriptor")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	e, err := c.Read(t.Context(), s.DN("sid"), "objectSid", "objectGUID", "memberOf", "userAccountControl")
	if err != nil {
		t.Fatal(err)
	}
	sid, err := secdesc.ParseSID(e.Bytes("objectSid"))
	if err != nil || !strings.HasPrefix(sid, "S-1-5-21-") {
		t.Fatalf("the SID %q: %v", sid, err)
	}
	if again, err := c.Read(t.Context(), "<SID="+sid+">", "cn"); err != nil || again.Text("cn") != "sid" {
		t.Errorf("the server does not know its own SID %s: %v", sid, err)
	}
	guid, err := GUID(e.Bytes("objectGUID"))
	if err != nil {
		t.Fatal(err)
	}
	s.Rename(s.DN("sid"), "CN=sidney", "CN=Users,"+s.BaseDN)
	if again, err := c.Read(t.Context(), "<GUID="+guid+">", "cn"); err != nil || again.Text("cn") != "sidney" {
		t.Errorf("the renamed user by GUID: %v, %v", again, err)
	}
	var names []string
	if _, err := c.Search(t.Context(), Query{Base: s.BaseDN, Scope: Subtree, Filter: ByGUID(guid, strings.Repeat("0", 32)), Attributes: []string{"cn"}}, func(page []*Entry) error {
		for _, e := range page {
			names = append(names, e.Text("cn"))
		}
		return nil
	}); err != nil || !slices.Equal(names, []string{"sidney"}) {
		t.Errorf("found %v: %v", names, err)
	}
	if uac, ok := e.Number("userAccountControl"); !ok || uac != 512 {
		t.Errorf("userAccountControl is %d", uac)
	}
	if _, ok := e.Number("memberOf"); ok || len(e.Texts("memberOf")) != 0 || e.Bytes("memberOf") != nil {
		t.Error("the user is in a group")
	}
}

func TestWrite(t *testing.T) {
	s := testpeer.SharedSamba(t)
	s.AddUser("write", password)
	s.AddUser("powerless", password)
	c := open(t, options(t, s))
	dn, ctx := s.DN("write"), t.Context()
	values := func() int {
		e, err := c.Read(ctx, dn, "userCertificate")
		if err != nil {
			t.Fatal(err)
		}
		return len(e.All("userCertificate"))
	}
	one, two := []byte{0x30, 1, 0}, []byte{0x30, 2, 0, 0}
	for i, step := range []struct {
		do    func(context.Context, string, string, []byte) error
		value []byte
		want  int // values afterwards
	}{
		{c.AddValue, one, 1}, {c.AddValue, one, 1}, {c.AddValue, two, 2}, {c.RemoveValue, one, 1}, {c.RemoveValue, one, 1}, {c.RemoveValue, two, 0}, {c.RemoveValue, two, 0},
	} {
		if err := step.do(ctx, dn, "userCertificate", step.value); err != nil {
			t.Errorf("step %d: %v", i, err)
		}
		if n := values(); n != step.want {
			t.Errorf("step %d leaves %d values, want %d", i, n, step.want)
		}
	}
	said(t, c.AddValue(ctx, s.DN("nobody"), "userCertificate", one), ra.NotFound, "nobody")

	o := options(t, s)
	o.User, o.Password = "powerless@corp.example", secret.New(password)
	said(t, open(t, o).AddValue(ctx, dn, "userCertificate", one), ra.Denied, "may not write userCertificate")
}

// TestSilence: a server that stops answering holds nobody for longer than the
// context says, and its connection is done with.
func TestSilence(t *testing.T) {
	s := testpeer.StartSamba(t)
	c := open(t, options(t, s))
	s.Pause()
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := c.Read(ctx, s.BaseDN)
		failed <- err
	}()
	cancel()
	said(t, <-failed, ra.Unreachable, "does not answer")
	if !c.Closed() {
		t.Error("the connection is still open")
	}
	s.Resume()
	if _, err := Open(ctx, options(t, s)); ra.KindOf(err) != ra.Unreachable {
		t.Errorf("with a context that has ended: %v", err)
	}
	open(t, options(t, s))
}

func TestTyped(t *testing.T) {
	for _, bad := range []string{"", "department=Sales", "(department=Sales", "(&(a=b)"} {
		if ra.KindOf(CheckFilter(bad)) != ra.Invalid {
			t.Errorf("the filter %q is accepted", bad)
		}
	}
	if err := CheckFilter("(department=" + Escape("a)(b*") + ")"); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "Staff", "OU=Staff,DC", "OU=a\\zz"} {
		if ra.KindOf(CheckDN(bad)) != ra.Invalid {
			t.Errorf("the name %q is accepted", bad)
		}
	}
	if err := CheckDN("OU=Staff,DC=example,DC=com"); err != nil {
		t.Error(err)
	}
}
