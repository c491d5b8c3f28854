package testpeer

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// victim, set in the environment, makes the test binary start a server, say
// where it is, and wait to be killed.
const victim = "TESTPEER_VICTIM"

func TestMain(m *testing.M) {
	if os.Getenv(victim) == "" {
		Main(m)
	}
	server, err := newPostgres()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(server.daemon.cmd.Process.Pid, server.dir)
	time.Sleep(time.Minute)
}

func TestNothingOutlivesAKilledTest(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), victim+"=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	var dir string
	line, err := bufio.NewReader(out).ReadString('\n')
	cmd.Process.Kill()
	cmd.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(line, &pid, &dir); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	gone := func() bool {
		_, err := os.Stat(dir)
		return os.IsNotExist(err) && !alive(pid)
	}
	for deadline := time.Now().Add(stopTimeout); !gone(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after %s: process %d alive: %v; directory %s still there", stopTimeout, pid, alive(pid), dir)
		}
	}
}

func TestFreePort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(FreePort(t)))
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestOpenSSL(t *testing.T) {
	out, err := OpenSSL(t, "", []byte("abc"), "dgst", "-sha256", "-r")
	if err != nil {
		t.Fatal(err)
	}
	const want = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad *stdin\n"
	if string(out) != want {
		t.Errorf("got %q, want %q", out, want)
	}
	if _, err := OpenSSL(t, "", []byte("abc"), "x509", "-noout"); err == nil || !strings.Contains(err.Error(), "Could not read") {
		t.Errorf("reading a certificate that is none: got %v, want what openssl said about it", err)
	}
}

func TestChromium(t *testing.T) {
	const page = `data:text/html,<p id=x></p><script>x.textContent=6*7</script>`
	browser := command{
		path: Chromium(t),
		args: []string{"--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom", page},
		dir:  t.TempDir(), timeout: time.Minute,
	}
	out, errs, err := browser.run()
	if err != nil {
		t.Fatal(withOutput(err, string(errs)))
	}
	if !strings.Contains(string(out), ">42</p>") {
		t.Errorf("the page came out as %q", out)
	}
}
