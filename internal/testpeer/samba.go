package testpeer

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// sambaTimeout bounds making, starting and changing a domain controller.
	sambaTimeout = 2 * time.Minute

	sambaRealm    = "CORP.EXAMPLE"
	sambaDomain   = "corp.example"
	sambaHost     = "dc.corp.example"
	sambaBase     = "DC=corp,DC=example"
	sambaNetBIOS  = "CORP"
	sambaPassword = "Adm1n.of.Corp"
)

// sambaPorts are where a domain controller answers; Samba cannot be told
// others.
var sambaPorts = []string{"636", "389", "88", "135", "445"}

// sambaKerberos is krb5.conf: realm, address, DNS domain. There is no DNS in
// it, and TCP only.
const sambaKerberos = `[libdefaults]
  default_realm = %[1]s
  dns_lookup_realm = false
  dns_lookup_kdc = false
  dns_canonicalize_hostname = false
  rdns = false
  udp_preference_limit = 1
  default_tkt_enctypes = aes256-cts-hmac-sha1-96 aes128-cts-hmac-sha1-96
  default_tgs_enctypes = aes256-cts-hmac-sha1-96 aes128-cts-hmac-sha1-96
  permitted_enctypes = aes256-cts-hmac-sha1-96 aes128-cts-hmac-sha1-96

[realms]
  %[1]s = {
    kdc = %[2]s:88
    kpasswd_server = %[2]s:464
  }

[domain_realm]
  .%[3]s = %[1]s
  %[3]s = %[1]s
`

// sambaConfig is smb.conf: the directory, then what [StartSamba] chose. File
// systems without extended attributes are fine. As on Windows, and unlike
// Samba's default, Kerberos may be used over TLS.
const sambaConfig = `[global]
	realm = %[2]s
	workgroup = %[3]s
	netbios name = DC
	server role = active directory domain controller
	server services = s3fs, rpc, ldap, cldap, kdc, winbindd
	interfaces = %[4]s/8
	bind interfaces only = yes
	private dir = %[1]s/private
	state directory = %[1]s/state
	cache directory = %[1]s/cache
	lock directory = %[1]s/lock
	pid directory = %[1]s/pid
	ncalrpc dir = %[1]s/ncalrpc
	ntp signd socket directory = %[1]s/ntp
	ldap server require strong auth = allow_sasl_over_tls
	tls certfile = %[1]s/tls/cert.pem
	tls keyfile = %[1]s/tls/key.pem
	tls cafile = %[1]s/tls/ca.pem
	load printers = no
	printcap name = /dev/null
	disable spoolss = yes
	usershare path =
	panic action =
	log file = %[1]s/log
	vfs objects = dfs_samba4 acl_xattr xattr_tdb

[sysvol]
	path = %[1]s/state/sysvol
	read only = no
`

// Samba is an Active Directory domain controller. Its methods end the test when
// they fail unless they give an error, so they belong on the test's goroutine.
type Samba struct {
	Host       string // the name it is known by in DNS and Kerberos, which only Dial resolves
	Address    string // where it listens on loopback: 636 and 389 LDAP, 88 Kerberos, 135 and 445 RPC
	Realm      string // of Kerberos; in small letters it is the DNS domain
	NetBIOS    string // name of the domain for NTLM
	BaseDN     string
	Password   string // of the user Administrator
	CA         []byte // PEM of the issuer of its TLS certificate
	CAFile     string // the same, as a file
	ConfigFile string // krb5.conf, for KRB5_CONFIG

	t      testing.TB
	dir    string
	env    []string
	daemon *daemon
	stop   func() error
}

// sharedSamba is the controller behind SharedSamba, one for the test process.
var sharedSamba sambaShare

type sambaShare struct {
	sync.Mutex
	samba *Samba
}

// end stops the controller if it was ever started.
func (s *sambaShare) end() {
	if s.samba != nil {
		s.samba.stop() // a controller that had to be killed is gone as well
	}
}

// StartSamba starts a domain controller of CORP.EXAMPLE for this test, with
// nobody in it but its administrator. It has the fixed ports of a controller
// at an address of its own, so several run side by side; that needs root.
func StartSamba(t testing.TB) *Samba {
	t.Helper()
	s := newSamba(t)
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// SharedSamba is [StartSamba] with one controller for all tests of the process,
// which must not get in each other's way. [Main] stops it.
func SharedSamba(t testing.TB) *Samba {
	t.Helper()
	sharedSamba.Lock()
	defer sharedSamba.Unlock()
	if sharedSamba.samba == nil {
		sharedSamba.samba = newSamba(t)
	}
	s := *sharedSamba.samba
	s.t = t
	return &s
}

func newSamba(t testing.TB) *Samba {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("a domain controller has ports that only root may listen at\nhint: run the tests as root")
	}
	template := sambaTemplate(t)
	dir, err := os.MkdirTemp("", "chancery-samba-")
	if err != nil {
		t.Fatal(err)
	}
	sweeper, err := sweep(dir)
	if err != nil {
		os.RemoveAll(dir)
		t.Fatal(err)
	}
	s := &Samba{
		Host: sambaHost, Realm: sambaRealm, NetBIOS: sambaNetBIOS, Password: sambaPassword,
		BaseDN: sambaBase,
		CAFile: filepath.Join(dir, "tls", "ca.pem"), ConfigFile: filepath.Join(dir, "krb5.conf"),
		t: t, dir: dir, env: cleanEnv(dir, "KRB5_CONFIG="+filepath.Join(dir, "krb5.conf")),
	}
	s.stop = sync.OnceValue(func() error {
		var err error
		if s.daemon != nil {
			err = s.daemon.stop(syscall.SIGKILL) // nothing in it is kept
		}
		return errors.Join(err, sweeper.Close())
	})
	started := false
	defer func() {
		if !started {
			s.stop()
		}
	}()
	if err := os.CopyFS(dir, os.DirFS(template)); err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"cache", "lock", "pid", "ncalrpc", "ntp", "tls", "run"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	root := newIssuer(t, issuerOrder{name: "Corp Test Root", ca: true, usage: caUsage})
	server := newIssuer(t, issuerOrder{name: s.Host, usage: x509.KeyUsageDigitalSignature, hosts: []string{s.Host}, by: root})
	server.save(t, filepath.Join(dir, "tls", "cert.pem"), filepath.Join(dir, "tls", "key.pem"))
	s.CA = root.certPEM()
	s.write(s.CAFile, string(s.CA))

	// Somebody may take the address before Samba does.
	for attempt := 1; ; attempt++ {
		s.Address = sambaAddress(t)
		s.write(s.ConfigFile, fmt.Sprintf(sambaKerberos, s.Realm, s.Address, sambaDomain))
		s.write(s.smbConf(), fmt.Sprintf(sambaConfig, dir, s.Realm, s.NetBIOS, s.Address))
		err := s.start()
		if err == nil {
			break
		}
		if attempt == 3 {
			t.Fatal(err)
		}
		if err := s.daemon.stop(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	started = true
	return s
}

// start runs Samba where it is alone among processes, so that all of it ends
// with the first of them, and where the folder of winbindd's socket, which has
// to be the built-in one, is its own.
func (s *Samba) start() error {
	const script = `mkdir -p /run/samba && mount --bind "$1/run" /run/samba && exec "$2" --foreground --no-process-group -M single -s "$1/smb.conf" --debug-stdout`
	cmd := exec.Command("/bin/sh", "-c", script, "sh", s.dir, program(s.t, "samba"))
	cmd.Dir = s.dir
	cmd.Env = s.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Unshareflags: syscall.CLONE_NEWNS}
	var err error
	if s.daemon, err = start(cmd, filepath.Join(s.dir, "log"), syscall.SIGKILL); err != nil {
		return err
	}
	return s.daemon.await(sambaTimeout, s.answers)
}

// answers asks all ports, 636 with the certificate that only this Samba has.
func (s *Samba) answers(ctx context.Context) error {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.CA)
	for _, port := range sambaPorts {
		conn, err := s.Dial(ctx, "tcp", net.JoinHostPort(s.Host, port))
		if err != nil {
			return err
		}
		if port == "636" {
			err = tls.Client(conn, &tls.Config{ServerName: s.Host, RootCAs: roots}).HandshakeContext(ctx)
		}
		conn.Close()
		if err != nil {
			return err
		}
	}
	_, err := os.Stat(filepath.Join(s.dir, "run", "winbindd", "pipe"))
	return err
}

// Dial connects as net.Dialer does and knows where Host is.
func (s *Samba) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if host, port, err := net.SplitHostPort(address); err == nil && strings.EqualFold(host, s.Host) {
		address = net.JoinHostPort(s.Address, port)
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// Pause makes the controller stop answering while its connections stay open,
// until Resume.
func (s *Samba) Pause() { s.signal(syscall.SIGSTOP) }

// Resume ends Pause.
func (s *Samba) Resume() { s.signal(syscall.SIGCONT) }

func (s *Samba) signal(signal syscall.Signal) {
	s.t.Helper()
	if err := s.daemon.cmd.Process.Signal(signal); err != nil {
		s.t.Fatal(err)
	}
}

// sambaAddress finds an address of loopback where nobody listens at the ports
// of a controller.
func sambaAddress(t testing.TB) string {
	t.Helper()
	var last error
	for range 20 {
		b := make([]byte, 3)
		rand.Read(b)
		address := fmt.Sprintf("127.%d.%d.%d", 64+b[0]%63, b[1], 1+b[2]%254)
		if last = portsFree(address); last == nil {
			return address
		}
	}
	t.Fatal(last)
	return ""
}

func portsFree(address string) error {
	for _, port := range sambaPorts {
		l, err := net.Listen("tcp", net.JoinHostPort(address, port))
		if err != nil {
			return err
		}
		l.Close()
	}
	return nil
}

func (s *Samba) smbConf() string { return filepath.Join(s.dir, "smb.conf") }

func (s *Samba) write(file, text string) {
	s.t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}
