// Package testpeer gives tests the real programs this product has to get along
// with: PostgreSQL servers, the openssl command, a browser, a Kerberos KDC,
// Samba as an Active Directory domain controller, tshark as a reader of what
// went over the wire, the SCEP clients certmonger, strongSwan pki and micromdm
// scepclient, and the SCEP servers micromdm scepserver and step-ca.
//
// A test names what it wants and gets it running, in a temporary directory, on
// loopback only, under the rights of the test; what needs its own user (the
// PostgreSQL server refuses root) is given one. Nothing outlives the test
// process: a peer is stopped by the cleanup of the test that started it, and
// the kernel ends it should the test process be killed. A missing program fails
// the test with the command that installs it; tests are never skipped. The set
// of programs is installed by "make deps".
//
// The package runs on Linux and is imported by tests only. It knows how to
// drive its peers and nothing about the product.
package testpeer

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Main runs the tests of a package and then stops what [Postgres] and
// [SharedSamba] shared between them. It does not return.
//
//	func TestMain(m *testing.M) { testpeer.Main(m) }
//
// Without it the shared server still ends with the process, only not in order.
//
// With prepare the databases of [Postgres], [SQLite] and [EachDatabase] are not
// empty: prepare is given the address of one on each engine, leaves nothing
// open, and all others are copies of that. To copy a database with its tables
// takes a fraction of the time that making them anew does.
func Main(m *testing.M, prepare ...func(address string) error) {
	prepared.steps = prepare
	code := m.Run()
	shared.stop()
	sharedSamba.end()
	os.Exit(code)
}

// FreePort gives a TCP port on loopback that nobody listened on a moment ago.
// Another process can take it before the caller does, so whoever can bind port
// 0 should do that instead.
func FreePort(t testing.TB) int {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Chromium gives the path of an installed Chromium or Chrome. As root it has to
// be started with --no-sandbox.
func Chromium(t testing.TB) string {
	t.Helper()
	return program(t, "chromium", "chromium-browser", "google-chrome")
}

// program finds the first of the named programs, on the PATH or where Debian
// keeps what only root needs.
func program(t testing.TB, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
		if path := filepath.Join("/usr/sbin", name); executable(path) {
			return path
		}
	}
	t.Fatalf("%s is not installed\nhint: run \"make deps\" as root", names[0])
	return ""
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
