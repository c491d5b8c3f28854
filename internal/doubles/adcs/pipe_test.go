package adcs_test

import (
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"chancery/internal/doubles/adcs"
	"chancery/internal/testpeer"
)

// smbConf is a Samba that lets everybody in as a guest: directory, then port.
const smbConf = `[global]
  server role = standalone
  smb ports = %[2]d
  interfaces = lo
  bind interfaces only = yes
  disable netbios = yes
  map to guest = bad user
  lock directory = %[1]s
  state directory = %[1]s
  cache directory = %[1]s
  pid directory = %[1]s
  private dir = %[1]s
  ncalrpc dir = %[1]s/ncalrpc
  log file = %[1]s/log
  rpc start on demand helpers = no
  load printers = no
  printcap name = /dev/null
`

// startSamba runs an SMB server and gives its port, and the directory of its
// pipes.
func startSamba(t *testing.T) (port int, pipes string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "chancery-smb-") // short: it is the path of a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	port = testpeer.FreePort(t)
	conf := filepath.Join(dir, "smb.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, smbConf, dir, port), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/usr/sbin/smbd", "--foreground", "--no-process-group", "--configfile="+conf)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v\nhint: scripts/deps", err)
	}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		cmd.Wait()
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // its children
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			c.Close()
			return port, filepath.Join(dir, "ncalrpc", "np")
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Fatalf("smbd: %v\n%s", err, log)
		}
	}
}

// A real SMB server hands the pipe on.
func TestPassageOverPipe(t *testing.T) {
	ca := start(t, adcs.Config{PassageOnPipe: true, MaxFrag: 1024})
	port, pipes := startSamba(t)
	if err := ca.ListenPipe(pipes); err != nil {
		t.Fatal(err)
	}
	p := startPython(t, ca, "ra")
	p.fails(0x16C9A0D6, "map", object{"port": portOf(t, ca.MapperAddress()), "interface": "91ae6020-9e3c-11cf-8d7c-00aa00c091be"})
	p.ok("pipe", object{"port": port})
	note := strings.Repeat("n", 2000)
	certificate(t, p.enrol("", csr(t, keys()[0], "www.corp.example"), object{"attributes": "CertificateTemplate:WebServer\nnote:" + note}))
	if r := ca.Requests()[0]; r.Caller != `CORP\ra` || !strings.Contains(r.Attributes, note) {
		t.Errorf("by %s", r.Caller)
	}
	p = startPython(t, ca, "ra")
	p.ok("pipe", object{"port": port, "level": 5})
	p.fails(5, "enrol", object{"authority": ca.Name(), "id": 1, "request": hex.EncodeToString(nil)})
}
