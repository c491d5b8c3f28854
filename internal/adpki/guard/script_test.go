package guard

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chancery/internal/adpki"
	"chancery/internal/ra"
)

var update = flag.Bool("update", false, "write the scripts in testdata anew")

// golden compares a script with its file; read the difference like code.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(path); err != nil || string(want) != got {
		t.Errorf("%s: %v; got\n%s", path, err, got)
	}
}

func TestLeastPrivilege(t *testing.T) {
	in := clean()
	in.logon(supply, enrol(users), enrol(helpdesk), enrol(admins), enrol(service), allow(0x100, helpdesk))
	bad, _ := in.Directory.Template("Bad")
	for name, revoke := range map[string]bool{"least.ps1": false, "least-revoke.ps1": true} {
		got, err := LeastPrivilege(in.Directory, bad, in.Authority, in.Trust, revoke)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, got)
		if strings.Contains(got, "Remove-Enroll '"+admins) || strings.Contains(got, "Remove-Enroll '"+service) {
			t.Errorf("%s takes rights from administrators or from us", name)
		}
		for _, once := range []string{"Remove-Enroll '" + helpdesk, "Remove-Enroll '" + users, "Add-Enroll '" + service} {
			if strings.Count(got, once) != 1 {
				t.Errorf("%s: %q %d times", name, once, strings.Count(got, once))
			}
		}
	}
	in.Directory.Account = adpki.Account{}
	if _, err := LeastPrivilege(in.Directory, bad, in.Authority, in.Trust, false); !errors.Is(err, &ra.Error{Kind: ra.Invalid}) {
		t.Errorf("without an account: %v", err)
	}
	in.Directory.Account = clean().Directory.Account
	bad.Security = nil
	if _, err := LeastPrivilege(in.Directory, bad, in.Authority, in.Trust, false); !errors.Is(err, &ra.Error{Kind: ra.Invalid}) {
		t.Errorf("without an access list: %v", err)
	}
}

// TestScripts keeps one script of each form.
func TestScripts(t *testing.T) {
	in := clean()
	in.logon(func(t *adpki.Template) { supply(t); t.Security.Owner = helpdesk }, allow(0x20, users))
	in.manage(3, helpdesk)
	in.Authority.EditFlags = Known[uint32](0x40000)
	in.Authority.InterfaceFlags = Known[uint32](0)
	in.Authority.DisabledExtensions = Known([]string{oidSIDExtension})
	in.Authority.Web = Known([]WebPage{{URL: "http://ca1/certsrv/", Windows: true}})
	in.Directory.Privileged[0].Mappings = []string{"X509:<S>CN=chief"}
	var b strings.Builder
	for _, f := range Evaluate(*in) {
		if f.Script != "" {
			b.WriteString("## " + f.Key + "\n" + f.Script)
		}
	}
	golden(t, "findings.ps1", b.String())
}

// TestNothingOfTheDirectoryRuns: names from the directory stay in the comment
// or the string they are put in, whatever they hold.
func TestNothingOfTheDirectoryRuns(t *testing.T) {
	const evil = "x\nRemove-Item C:\\\r\u2028\u0085'; calc #\u2019; calc"
	in := clean()
	in.logon(func(t *adpki.Template) { supply(t); t.Name = evil; t.Security.Owner = helpdesk }, enrol(users), allow(0x20, users))
	in.Directory.Names[users] = adpki.Principal{SID: users, Name: evil}
	in.Directory.Account.Name, in.Authority.Name = evil, evil
	in.Authority.EditFlags = Known[uint32](0x40000)
	in.manage(1, users)
	in.Directory.Names[chief] = adpki.Principal{SID: chief, Name: evil}
	in.Directory.Privileged[0].Mappings = []string{"X509:<S>CN=chief"}
	scripts := []string{}
	for _, f := range Evaluate(*in) {
		scripts = append(scripts, f.Script)
	}
	bad, _ := in.Directory.Template(evil)
	least, err := LeastPrivilege(in.Directory, bad, in.Authority, in.Trust, true)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, s := range append(scripts, least) {
		for line := range strings.Lines(s) {
			if !strings.Contains(line, "calc") && !strings.Contains(line, "Remove-Item") {
				continue
			}
			if seen++; !strings.HasPrefix(line, "# ") || strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\n\r\u2028\u0085") {
				t.Errorf("it could run: %q", line)
			}
		}
	}
	if seen < 5 {
		t.Errorf("the name was met only %d times", seen)
	}
	if got, want := quote("a'b\u2019c\nd"), "'a''b\u2019\u2019c?d'"; got != want {
		t.Errorf("quote: %s, want %s", got, want)
	}
}
