package dirpolicy

import (
	"testing"

	"chancery/internal/ldapdir"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/setting"
)

// TestWithin: what somebody typed stays inside its place in the filter.
func TestWithin(t *testing.T) {
	s := &Settings{Filter: "(department=Sales)", OnlyGroup: `CN=VPN (all\2C here)*,DC=corp,DC=example`}
	const want = `(&(objectCategory=person)(objectClass=user)(department=Sales)(memberOf:1.2.840.113556.1.4.1941:=CN=VPN \28all\5c2C here\29\2a,DC=corp,DC=example)(cn=x))`
	got := s.Within("(cn=x)")
	if got != want {
		t.Errorf("the filter is %s\nwant %s", got, want)
	}
	if err := ldapdir.CheckFilter(got); err != nil {
		t.Error(err)
	}
	if got, want := (&Settings{}).Within(""), "(&(objectCategory=person)(objectClass=user))"; got != want {
		t.Errorf("without anything the filter is %s", got)
	}
}

// TestBasis: another scope or another set of attributes is another basis; how
// the directory is reached is not.
func TestBasis(t *testing.T) {
	base := func() *Settings {
		s := &Settings{}
		setting.Defaults(s)
		return s
	}
	first := base().Basis("DC=corp")
	for name, change := range map[string]func(*Settings){
		"filter":     func(s *Settings) { s.Filter = "(a=b)" },
		"group":      func(s *Settings) { s.OnlyGroup = "CN=a" },
		"groups":     func(s *Settings) { s.Groups = []string{"CN=a"} },
		"attributes": func(s *Settings) { s.Attributes = []string{"a=b"} },
	} {
		s := base()
		if change(s); s.Basis("DC=corp") == first {
			t.Errorf("another %s is the same basis", name)
		}
	}
	s := base()
	if s.Servers, s.Password = []string{"dc2"}, secret.New("x"); s.Basis("DC=corp") != first || s.Basis("DC=other") == first {
		t.Error("the basis is not that of the scope")
	}
}

// TestLogin: each way to log in has what it needs.
func TestLogin(t *testing.T) {
	for name, tt := range map[string]struct {
		json  string
		field string // at fault; empty: none
	}{
		"password":           {`{"password":"x"}`, ""},
		"nothing":            {`{}`, "password"},
		"keytab":             {`{"login":"kerberos","realm":"CORP","keytab":"BQI="}`, ""},
		"kerberos, password": {`{"login":"kerberos","realm":"CORP","password":"x"}`, ""},
		"no realm":           {`{"login":"kerberos","keytab":"BQI="}`, "realm"},
		"neither":            {`{"login":"kerberos","realm":"CORP"}`, "keytab"},
		"no base64":          {`{"login":"kerberos","realm":"CORP","keytab":"?"}`, "keytab"},
		"a key twice":        {`{"password":"x","attributes":["a=b","a=c"]}`, "attributes"},
		"our own key":        {`{"password":"x","attributes":["groups=memberOf"]}`, "attributes"},
		"no name":            {`{"password":"x","groups":["VPN"]}`, "groups"},
	} {
		s := &Settings{}
		setting.Defaults(s)
		err := setting.FromJSON(s, []byte(`{"servers":["dc1"],"user":"svc",`+tt.json[1:]))
		if tt.json == `{}` {
			err = setting.FromJSON(s, []byte(`{"servers":["dc1"],"user":"svc"}`))
		}
		if (err == nil) != (tt.field == "") || err != nil && ra.AsError(err).Field != tt.field {
			t.Errorf("%s: %v, want a fault in %q", name, err, tt.field)
		}
	}
}
