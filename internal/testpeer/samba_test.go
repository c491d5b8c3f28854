package testpeer

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"strings"
	"testing"

	"github.com/cloudsoda/go-smb2"
	"github.com/go-ldap/ldap/v3"
	"github.com/jcmturner/gokrb5/v8/keytab"
)

// TestSamba: two controllers run side by side; each knows its users only, over
// LDAP with TLS and over Kerberos.
func TestSamba(t *testing.T) {
	s, other := SharedSamba(t), StartSamba(t)
	s.AddUser("ann", "Pa55-word", "mail", "ann@corp.example", "displayName", "Änn")
	s.AddUser("bob", "Pa55-word")
	s.AddGroup("clerks", "ann")
	s.AddComputer("pc7", "Pa55-word")

	conn := s.bind(t, "ann@corp.example", "Pa55-word")
	found, err := conn.Search(ldap.NewSearchRequest(s.BaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false,
		"(memberOf="+s.DN("clerks")+")", []string{"mail", "displayName"}, nil))
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Entries) != 1 || found.Entries[0].GetAttributeValue("mail") != "ann@corp.example" || found.Entries[0].GetAttributeValue("displayName") != "Änn" {
		t.Errorf("found %v", found.Entries)
	}

	s.Set(s.DN("bob"), "mail", "bob@corp.example")
	s.Rename(s.DN("bob"), "CN=robert", "CN=Users,"+s.BaseDN)
	found, err = conn.Search(ldap.NewSearchRequest(s.DN("robert"), ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false,
		"(objectClass=user)", []string{"mail"}, nil))
	if err != nil || len(found.Entries) != 1 || found.Entries[0].GetAttributeValue("mail") != "bob@corp.example" {
		t.Errorf("the renamed user: %v, %v", found, err)
	}
	s.Delete(s.DN("robert"))
	if found, err = conn.Search(ldap.NewSearchRequest(s.DN("robert"), ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false,
		"(objectClass=user)", nil, nil)); !ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject) {
		t.Errorf("the deleted user: %v, %v", found, err)
	}

	env, err := s.Login("ann", "Pa55-word")
	if err != nil {
		t.Fatal(err)
	}
	kvno := command{path: program(t, "kvno"), args: []string{"ldap/" + s.Host}, dir: s.dir, env: env, timeout: kerberosTimeout}
	if out, errs, err := kvno.run(); err != nil || !strings.Contains(string(out), "ldap/"+s.Host+"@"+s.Realm) {
		t.Errorf("kvno: %v", withOutput(err, string(out)+string(errs)))
	}
	if _, err := other.Login("ann", "Pa55-word"); err == nil {
		t.Error("the other controller knows ann")
	}
	tcp, err := s.Dial(t.Context(), "tcp", s.Host+":445")
	if err != nil {
		t.Fatal(err)
	}
	session, err := (&smb2.Dialer{Initiator: &smb2.NTLMInitiator{User: "ann", Password: "Pa55-word", Domain: s.NetBIOS}}).DialConn(t.Context(), tcp, s.Host+":445")
	if err != nil {
		t.Fatalf("SMB: %v", err)
	}
	if err := session.Logoff(); err != nil {
		t.Error(err)
	}
	var keys keytab.Keytab
	if err := keys.Unmarshal(s.Keytab("ann")); err != nil || len(keys.Entries) == 0 {
		t.Errorf("a keytab of %d keys: %v", len(keys.Entries), err)
	}

	pid := other.daemon.cmd.Process.Pid
	children := childrenOf(pid)
	if len(children) == 0 {
		t.Error("the controller has no processes but the first")
	}
	if err := other.stop(); err != nil {
		t.Fatal(err)
	}
	for _, one := range append(children, pid) {
		if alive(one) {
			t.Errorf("process %d outlives the controller", one)
		}
	}
	if _, err := os.Stat(other.dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there", other.dir)
	}
}

func (s *Samba) bind(t *testing.T, user, password string) *ldap.Conn {
	t.Helper()
	tcp, err := s.Dial(t.Context(), "tcp", s.Host+":636")
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.CA)
	conn := ldap.NewConn(tls.Client(tcp, &tls.Config{ServerName: s.Host, RootCAs: roots}), true)
	conn.Start()
	t.Cleanup(func() { conn.Close() })
	if err := conn.Bind(user, password); err != nil {
		t.Fatal(err)
	}
	return conn
}
