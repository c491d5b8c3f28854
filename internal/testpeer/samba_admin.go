package testpeer

import (
	"encoding/base64"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf16"
)

// DN gives the entry of a user, computer or group that was added here.
func (s *Samba) DN(name string) string {
	return "CN=" + strings.TrimSuffix(name, "$") + ",CN=Users," + s.BaseDN
}

// AddUser adds a user who may log on at once, with attributes such as "mail",
// "e@corp.example". The user principal name is name@domain.
func (s *Samba) AddUser(name, password string, attributes ...string) {
	s.t.Helper()
	s.Add(s.DN(name), append([]string{"objectClass", "user", "sAMAccountName", name, "userPrincipalName", name + "@" + sambaDomain,
		"unicodePwd", sambaSecret(password), "userAccountControl", "512"}, attributes...)...)
}

// AddComputer adds a computer; its account's name has a dollar sign at the end.
func (s *Samba) AddComputer(name, password string, attributes ...string) {
	s.t.Helper()
	name = strings.TrimSuffix(name, "$")
	host := strings.ToLower(name) + "." + sambaDomain
	s.Add(s.DN(name), append([]string{"objectClass", "computer", "sAMAccountName", name + "$", "dNSHostName", host,
		"servicePrincipalName", "HOST/" + host, "unicodePwd", sambaSecret(password), "userAccountControl", "4096"}, attributes...)...)
}

// AddGroup adds a security group with members by name.
func (s *Samba) AddGroup(name string, members ...string) {
	s.t.Helper()
	attributes := []string{"objectClass", "group", "sAMAccountName", name}
	for _, m := range members {
		attributes = append(attributes, "member", s.DN(m))
	}
	s.Add(s.DN(name), attributes...)
}

// Add adds any entry, of attributes and values in turns.
func (s *Samba) Add(dn string, attributes ...string) {
	s.t.Helper()
	text := ldif("dn", dn) + "changetype: add\n"
	for i := 0; i+1 < len(attributes); i += 2 {
		text += ldif(attributes[i], attributes[i+1])
	}
	s.Modify(text)
}

// Set gives an entry's attribute these values and no others.
func (s *Samba) Set(dn, attribute string, values ...string) {
	s.t.Helper()
	text := ldif("dn", dn) + "changetype: modify\nreplace: " + attribute + "\n"
	for _, v := range values {
		text += ldif(attribute, v)
	}
	s.Modify(text + "-\n")
}

// Rename gives an entry another relative name and place, such as "CN=Ann" and
// "CN=Users,DC=corp,DC=example".
func (s *Samba) Rename(dn, rdn, parent string) {
	s.t.Helper()
	s.Modify(ldif("dn", dn) + "changetype: modrdn\n" + ldif("newrdn", rdn) + "deleteoldrdn: 1\n" + ldif("newsuperior", parent))
}

// Delete removes an entry; the directory keeps its tombstone.
func (s *Samba) Delete(dn string) {
	s.t.Helper()
	s.Modify(ldif("dn", dn) + "changetype: delete\n")
}

// Modify applies changes in LDIF with changetype, past the access rules.
func (s *Samba) Modify(text string) {
	s.t.Helper()
	records := strings.Count(text, "changetype:")
	cmd := command{path: program(s.t, "ldbmodify"), args: []string{"--configfile=" + s.smbConf(), "-H", filepath.Join(s.dir, "private", "sam.ldb"), "-v"},
		dir: s.dir, env: s.env, stdin: []byte(text), timeout: sambaTimeout}
	if out, errs, err := cmd.run(); err != nil {
		s.t.Fatalf("%d changes: %v", records, withOutput(err, string(out)+string(errs)))
	}
}

// Tool runs samba-tool with the controller's configuration at the end of the
// arguments and gives what it says.
func (s *Samba) Tool(args ...string) string {
	s.t.Helper()
	cmd := command{path: program(s.t, "samba-tool"), args: append(args, "--configfile="+s.smbConf()), dir: s.dir, env: s.env, timeout: sambaTimeout}
	out, errs, err := cmd.run()
	if err != nil {
		s.t.Fatal(withOutput(err, string(out)+string(errs)))
	}
	return string(out)
}

// Keytab gives the keys of an account, such as "enroller" or "DC$".
func (s *Samba) Keytab(account string) []byte {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "keytab")
	s.Tool("domain", "exportkeytab", file, "--principal="+account)
	b, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// Login asks for a user's ticket with kinit and gives the environment in which
// other programs find it.
func (s *Samba) Login(user, password string) (env []string, err error) {
	s.t.Helper()
	env = append(s.env[:len(s.env):len(s.env)], "KRB5CCNAME=FILE:"+filepath.Join(s.t.TempDir(), "tickets"))
	kinit := command{path: program(s.t, "kinit"), args: []string{user}, dir: s.dir, env: env, stdin: []byte(password + "\n"), timeout: kerberosTimeout}
	out, errs, err := kinit.run()
	return env, withOutput(err, string(out)+string(errs))
}

// ldif is a line of LDIF with the value in base64, whatever is in it
// (RFC 2849).
func ldif(name, value string) string {
	return name + ":: " + base64.StdEncoding.EncodeToString([]byte(value)) + "\n"
}

// sambaSecret is a password as unicodePwd takes it: in quotation marks and
// UTF-16 (MS-ADTS 3.1.1.3.1.5).
func sambaSecret(password string) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune(`"` + password + `"`)) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return string(b)
}
