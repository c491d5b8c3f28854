package deploy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestPackage builds the Debian package, installs it with dpkg into a root of
// its own, and starts the server from there as the account the package made.
func TestPackage(t *testing.T) {
	if os.Getuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("installing a package takes root")
		}
		t.Skip("installing a package takes root; this would have installed and started it in a root of its own")
	}
	out, root := t.TempDir(), t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil { // the account inside has to pass through
		t.Fatal(err)
	}
	run(t, "..", "scripts/package", out)
	debs, err := filepath.Glob(filepath.Join(out, "chancery_*.deb"))
	if err != nil || len(debs) != 1 {
		t.Fatalf("packages: %v, %v", debs, err)
	}

	db := filepath.Join(root, "var/lib/dpkg")
	for _, dir := range []string{"info", "updates", "triggers"} {
		if err := os.MkdirAll(filepath.Join(db, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"status", "available"} {
		if err := os.WriteFile(filepath.Join(db, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	dpkg := func(args ...string) string {
		return run(t, out, "dpkg", append([]string{"--root=" + root, "--log=" + filepath.Join(out, "dpkg.log"), "--force-depends", "--force-script-chrootless"}, args...)...)
	}
	dpkg("--install", debs[0])
	if status := dpkg("--status", "chancery"); !strings.Contains(status, "Status: install ok installed") {
		t.Errorf("after the installation:\n%s", status)
	}
	account := accountOf(t, root)

	// The unit says how it is started and where it may write.
	unit, err := os.ReadFile(filepath.Join(root, "lib/systemd/system/chancery.service"))
	if err != nil {
		t.Fatal(err)
	}
	command := strings.Fields(directive(t, string(unit), "ExecStart"))
	if directive(t, string(unit), "User") != "chancery" || directive(t, string(unit), "Type") != "notify" {
		t.Errorf("the unit:\n%s", unit)
	}
	data := filepath.Join(root, "var/lib", directive(t, string(unit), "StateDirectory"))
	if st, err := os.Stat(data); err != nil || st.Mode().Perm() != 0o700 || st.Sys().(*syscall.Stat_t).Uid != account.Uid {
		t.Fatalf("the data folder: %v, %v", st, err)
	}

	ready := listenNotify(t, data, account)
	c := exec.Command(command[0], append(command[1:], "--listen", "127.0.0.1:0", "--device-listen", "127.0.0.1:0")...)
	c.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: account, Pdeathsig: syscall.SIGKILL}
	c.Dir, c.Env = "/", []string{"NOTIFY_SOCKET=/var/lib/chancery/notify"}
	log, err := os.Create(filepath.Join(out, "server.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatalf("the server ended: %v\n%s", err, read(t, log.Name()))
	case <-time.After(60 * time.Second):
		c.Process.Kill()
		<-ended
		t.Fatalf("the server did not say that it is ready:\n%s", read(t, log.Name()))
	}
	started := readyLine(t, read(t, log.Name()))
	for _, address := range []string{started.Listen, started.DeviceListen} {
		if body := get(t, "http://"+address+"/readyz"); strings.TrimSpace(body) != "ready" {
			t.Errorf("%s: %q", address, body)
		}
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("told to stop, the server ended with %v\n%s", err, read(t, log.Name()))
	}
	dpkg("--purge", "chancery")
	if _, err := os.Stat(filepath.Join(root, "usr/bin/chancery")); !os.IsNotExist(err) {
		t.Errorf("the program is still there: %v", err)
	}
	if _, err := os.Stat(filepath.Join(data, "chancery.db")); err != nil {
		t.Errorf("a purge took the data: %v", err)
	}
}

// TestUnit has systemd judge how much the unit gives away.
func TestUnit(t *testing.T) {
	report := run(t, ".", "systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", "systemd/chancery.service")
	if !strings.Contains(report, "Overall exposure level for chancery.service") {
		t.Errorf("systemd-analyze said:\n%s", report)
	}
}

func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	c.Dir = dir
	c.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

// accountOf reads the account the package made in the root.
func accountOf(t *testing.T, root string) *syscall.Credential {
	t.Helper()
	passwd, err := os.ReadFile(filepath.Join(root, "etc/passwd"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(passwd)) {
		f := strings.Split(line, ":")
		if f[0] != "chancery" {
			continue
		}
		var c syscall.Credential
		if _, err := fmt.Sscan(f[2]+" "+f[3], &c.Uid, &c.Gid); err != nil || c.Uid == 0 || c.Gid == 0 {
			t.Fatalf("account %q: %v", line, err)
		}
		return &c
	}
	t.Fatalf("no account chancery in:\n%s", passwd)
	return nil
}

func directive(t *testing.T, unit, name string) string {
	t.Helper()
	for line := range strings.Lines(unit) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
			return value
		}
	}
	t.Fatalf("the unit has no %s", name)
	return ""
}

// listenNotify plays the service manager: the channel closes when the server
// says that it is ready.
func listenNotify(t *testing.T, dir string, account *syscall.Credential) <-chan struct{} {
	t.Helper()
	path := filepath.Join(dir, "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if err := os.Chown(path, int(account.Uid), int(account.Gid)); err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := l.Read(b)
			if err != nil {
				return
			}
			if strings.Contains(string(b[:n]), "READY=1") {
				close(ready)
				return
			}
		}
	}()
	return ready
}

// readyLine finds, in a log of JSON lines as the shipped configuration asks
// for, where the server listens.
func readyLine(t *testing.T, log string) (line struct {
	Msg          string `json:"msg"`
	Listen       string `json:"listen"`
	DeviceListen string `json:"device_listen"`
}) {
	t.Helper()
	for text := range strings.Lines(log) {
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("a line of the log is not JSON: %q", text)
		}
		if line.Msg == "ready" {
			return line
		}
	}
	t.Fatalf("no line says ready:\n%s", log)
	return line
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func get(t *testing.T, url string) string {
	t.Helper()
	r, err := (&http.Client{Timeout: 20 * time.Second}).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
