package testpeer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// kerberosTimeout bounds every program of Kerberos.
const kerberosTimeout = time.Minute

// kerberosRealm is the realm of every KDC; the host names of loopback belong
// to it.
const kerberosRealm = "CORP.EXAMPLE"

// kerberosConfig is krb5.conf: the realm, then the KDC's port. There is no DNS
// in it, and no encryption but AES.
const kerberosConfig = `[libdefaults]
  default_realm = %[1]s
  dns_lookup_realm = false
  dns_lookup_kdc = false
  dns_canonicalize_hostname = false
  rdns = false
  udp_preference_limit = 1
  ticket_lifetime = 10h
  default_tkt_enctypes = aes256-cts-hmac-sha1-96 aes128-cts-hmac-sha1-96
  default_tgs_enctypes = aes256-cts-hmac-sha1-96 aes128-cts-hmac-sha1-96
  permitted_enctypes = aes256-cts-hmac-sha1-96 aes128-cts-hmac-sha1-96

[realms]
  %[1]s = {
    kdc = 127.0.0.1:%[2]d
  }

[domain_realm]
  localhost = %[1]s
  127.0.0.1 = %[1]s
`

// kdcConfig is kdc.conf: the realm, the port, the directory.
const kdcConfig = `[kdcdefaults]
  kdc_listen = 127.0.0.1:%[2]d
  kdc_tcp_listen = 127.0.0.1:%[2]d

[realms]
  %[1]s = {
    database_name = %[3]s/principal
    key_stash_file = %[3]s/stash
    master_key_type = aes256-cts-hmac-sha1-96
    supported_enctypes = aes256-cts-hmac-sha1-96:normal aes128-cts-hmac-sha1-96:normal
    max_life = 10h
  }

[logging]
  kdc = STDERR
`

// KDC is an MIT Kerberos key distribution centre of one test. Its methods end
// the test when they fail unless they give an error, so they belong on the
// test's goroutine.
type KDC struct {
	Realm      string
	ConfigFile string // krb5.conf, for KRB5_CONFIG

	t      testing.TB
	dir    string
	env    []string
	daemon *daemon
}

// StartKDC makes a realm with nobody in it and starts its KDC.
func StartKDC(t testing.TB) *KDC {
	t.Helper()
	dir, err := os.MkdirTemp("", "chancery-kdc-")
	if err != nil {
		t.Fatal(err)
	}
	sweeper, err := sweep(dir)
	if err != nil {
		os.RemoveAll(dir)
		t.Fatal(err)
	}
	t.Cleanup(func() { sweeper.Close() })
	k := &KDC{Realm: kerberosRealm, ConfigFile: filepath.Join(dir, "krb5.conf"), t: t, dir: dir}
	profile := filepath.Join(dir, "kdc.conf")
	k.env = cleanEnv(dir, "KRB5_CONFIG="+k.ConfigFile, "KRB5_KDC_PROFILE="+profile)

	// Somebody may take the port before the KDC does.
	for attempt := 1; ; attempt++ {
		port := FreePort(t)
		k.write(k.ConfigFile, fmt.Sprintf(kerberosConfig, k.Realm, port))
		k.write(profile, fmt.Sprintf(kdcConfig, k.Realm, port, dir))
		if attempt == 1 {
			master := rand.Text()
			if out, err := k.run(master+"\n"+master+"\n", "kdb5_util", "create", "-s", "-r", k.Realm); err != nil {
				t.Fatal(withOutput(err, out))
			}
		}
		err := k.start(port)
		if err == nil {
			break
		}
		if attempt == 3 {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := k.daemon.stop(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
	})
	return k
}

func (k *KDC) start(port int) error {
	cmd := exec.Command(program(k.t, "krb5kdc"), "-n", "-r", k.Realm)
	cmd.Dir = k.dir
	cmd.Env = k.env
	var err error
	if k.daemon, err = start(cmd, filepath.Join(k.dir, "log"), syscall.SIGTERM); err != nil {
		return err
	}
	return k.daemon.await(kerberosTimeout, func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return err
		}
		if !k.daemon.running() {
			return errors.New("somebody else answers")
		}
		return conn.Close()
	})
}

// Config gives the text of krb5.conf.
func (k *KDC) Config() string {
	k.t.Helper()
	b, err := os.ReadFile(k.ConfigFile)
	if err != nil {
		k.t.Fatal(err)
	}
	return string(b)
}

// AddUser makes somebody known. The password has no quotation marks and no line
// breaks in it.
func (k *KDC) AddUser(name, password string) {
	k.t.Helper()
	k.admin(`add_principal -pw "`+password+`" `+name, `Principal "`+name+"@"+k.Realm+`" created`)
}

// AddService makes a service known, such as "HTTP/localhost", and gives its
// keytab.
func (k *KDC) AddService(principal string) (keytab []byte) {
	k.t.Helper()
	k.admin("add_principal -randkey "+principal, `Principal "`+principal+"@"+k.Realm+`" created`)
	file := filepath.Join(k.t.TempDir(), "keytab")
	k.admin("ktadd -k "+file+" "+principal, "added to keytab")
	keytab, err := os.ReadFile(file)
	if err != nil {
		k.t.Fatal(err)
	}
	return keytab
}

// Login asks for a user's ticket with kinit and gives the environment in which
// other programs find it.
func (k *KDC) Login(user, password string) (env []string, err error) {
	k.t.Helper()
	login := *k
	login.env = append(k.env[:len(k.env):len(k.env)], "KRB5CCNAME=FILE:"+filepath.Join(k.t.TempDir(), "tickets"))
	out, err := login.run(password+"\n", "kinit", user)
	return login.env, withOutput(err, out)
}

// admin gives kadmin.local one line, which it reads from its input because
// anybody can read the arguments of a program, and looks for what it says when
// that went well: it ends well in any case.
func (k *KDC) admin(line, want string) {
	k.t.Helper()
	out, err := k.run(line+"\n", "kadmin.local", "-r", k.Realm)
	if err == nil && !strings.Contains(out, want) {
		err = errors.New("kadmin.local did not do it")
	}
	if err != nil {
		k.t.Fatal(withOutput(err, out))
	}
}

// run gives all that a program of Kerberos says.
func (k *KDC) run(input, name string, args ...string) (string, error) {
	k.t.Helper()
	cmd := command{path: program(k.t, name), args: args, dir: k.dir, env: k.env, stdin: []byte(input), timeout: kerberosTimeout}
	out, errs, err := cmd.run()
	return string(out) + string(errs), err
}

func (k *KDC) write(file, text string) {
	k.t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		k.t.Fatal(err)
	}
}
