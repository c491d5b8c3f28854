package testpeer

import (
	"context"
	"crypto/x509"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// serverTimeout is how long a server may take to its first answer.
const serverTimeout = time.Minute

// SCEPServerOptions are how scepserver is to be started.
type SCEPServerOptions struct {
	Challenge string // the static challenge; empty: none is asked for
}

// SCEPServer is a running scepserver of micromdm/scep. One RSA-2048 key signs
// certificates and reads and signs messages. It answers with DES and SHA-1
// whatever it was asked with, issues a second certificate for the same message,
// and does not look at the signature of the PKCS #10.
type SCEPServer struct {
	URL string            // of the SCEP service, without a query
	CA  *x509.Certificate // self-signed
}

// StartSCEPServer starts scepserver on a folder of its own. It is stopped with
// the test.
func StartSCEPServer(t testing.TB, o SCEPServerOptions) *SCEPServer {
	t.Helper()
	path, dir := goTool(t, micromdmSCEP+"scepserver", micromdmSCEPVersion), t.TempDir()
	ca := newIssuer(t, issuerOrder{name: "scepserver CA", rsa: true, ca: true, usage: caUsage | x509.KeyUsageKeyEncipherment})
	depot := filepath.Join(dir, "depot")
	if err := os.Mkdir(depot, 0o700); err != nil {
		t.Fatal(err)
	}
	ca.save(t, filepath.Join(depot, "ca.pem"), filepath.Join(depot, "ca.key"))
	address := startServer(t, filepath.Join(dir, "log"), func(address string) *exec.Cmd {
		args := []string{"-depot", depot, "-http-addr", address, "-allowrenew", "0"}
		if o.Challenge != "" {
			args = append(args, "-challenge", o.Challenge)
		}
		cmd := exec.Command(path, args...)
		cmd.Dir, cmd.Env = dir, cleanEnv(dir)
		return cmd
	}, "/scep?operation=GetCACaps")
	return &SCEPServer{URL: "http://" + address + "/scep", CA: ca.cert}
}

// startServer starts a program that is told its address on the command line and
// waits until it answers path there. It cannot be asked which port it got, so
// one that is free is found first, again when somebody else was faster.
func startServer(t testing.TB, log string, program func(address string) *exec.Cmd, path string) (address string) {
	t.Helper()
	var last error
	for range 5 {
		address, err := freeAddress()
		if err != nil {
			t.Fatal(err)
		}
		d, err := start(program(address), log, syscall.SIGKILL)
		if err != nil {
			t.Fatal(err)
		}
		if last = d.await(serverTimeout, func(ctx context.Context) error { return answers(ctx, "http://"+address+path) }); last == nil {
			t.Cleanup(func() {
				if err := d.stop(syscall.SIGTERM); err != nil {
					t.Error(err)
				}
			})
			return address
		}
		if err := d.stop(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal(last)
	return ""
}

// answers asks once; any answer will do.
func answers(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}
