package testpeer

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sambaTemplate provisions a domain into the user's cache folder, once per
// version of Samba and manner of provisioning, and gives where: that takes far
// longer than a copy. Several test processes may do so at a time.
func sambaTemplate(t testing.TB) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	parent := filepath.Join(cache, "chancery-testpeer")
	if err := os.MkdirAll(parent, 0o755); err != nil {
		t.Fatal(err)
	}
	tool := program(t, "samba-tool")
	args := []string{"domain", "provision", "--realm=" + sambaRealm, "--domain=" + sambaNetBIOS, "--server-role=dc",
		"--dns-backend=NONE", "--host-name=dc", "--host-ip=127.0.0.1", "--use-rfc2307", "--adminpass=" + sambaPassword,
		"--option=interfaces=lo", "--option=bind interfaces only=yes", "--option=vfs objects=dfs_samba4 acl_xattr xattr_tdb"}
	// Samba adds these while it runs, with a script that is slow to start.
	names := "dn: CN=DC,OU=Domain Controllers," + sambaBase + "\nchangetype: modify\nadd: servicePrincipalName\n"
	for _, name := range []string{"ldap/DC", "ldap/" + sambaHost, "ldap/" + sambaHost + "/" + sambaDomain, "RestrictedKrbHost/" + sambaHost} {
		names += "servicePrincipalName: " + name + "\n"
	}
	asked := command{path: tool, args: []string{"--version"}, dir: parent, timeout: sambaTimeout}
	version, errs, err := asked.run()
	if err != nil {
		t.Fatal(withOutput(err, string(errs)))
	}
	recipe := sha256.Sum256([]byte(strings.Join(args, "\n") + names))
	template := filepath.Join(parent, "samba-"+strings.TrimSpace(string(version))+"-"+hex.EncodeToString(recipe[:6]))
	if provisioned(template) {
		return template
	}

	// Beside the final place, so that the rename is atomic.
	work, err := os.MkdirTemp(parent, "samba-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(work)
	provision := command{path: tool, args: append(args, "--targetdir="+work), dir: work, timeout: sambaTimeout}
	if out, errs, err := provision.run(); err != nil {
		t.Fatal(withOutput(err, string(out)+string(errs)))
	}
	modify := command{path: program(t, "ldbmodify"), args: []string{"--configfile=" + filepath.Join(work, "etc", "smb.conf"), "-H", filepath.Join(work, "private", "sam.ldb")},
		dir: work, stdin: []byte(names), timeout: sambaTimeout}
	if out, errs, err := modify.run(); err != nil {
		t.Fatal(withOutput(err, string(out)+string(errs)))
	}
	if err := os.Rename(work, template); err != nil && !provisioned(template) {
		t.Fatal(err)
	}
	return template
}

func provisioned(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "private", "sam.ldb"))
	return err == nil
}
