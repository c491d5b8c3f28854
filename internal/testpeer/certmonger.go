package testpeer

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Certmonger is a certmonger daemon of one test. It listens on a socket of its
// own, without a message bus, and keeps its state in a temporary directory, so
// it does not meet a certmonger that serves the machine.
type Certmonger struct {
	t      testing.TB
	dir    string
	env    []string
	getter string
	daemon *daemon
	next   int // numbers the requests
}

// CertmongerStatus is where certmonger is with a request.
type CertmongerStatus struct {
	State   string // "MONITORING" when it has the certificate; see "getcert list"
	CAError string // what the CA's helper said last; empty when it had nothing to say
	Stuck   bool   // certmonger will not go on without being told to
	Text    string // all of it, as "getcert list" prints it
}

// CertmongerCert is a certificate that certmonger looks after.
type CertmongerCert struct {
	SCEPResult
	ID     string
	Status CertmongerStatus
}

// StartCertmonger starts a daemon that knows no SCEP server yet.
func StartCertmonger(t testing.TB) *Certmonger {
	t.Helper()
	// Not t.TempDir: its name is as long as the test's, and the path of a socket
	// may have 107 bytes.
	dir, err := os.MkdirTemp("", "chancery-certmonger-")
	if err != nil {
		t.Fatal(err)
	}
	sweeper, err := sweep(dir)
	if err != nil {
		os.RemoveAll(dir)
		t.Fatal(err)
	}
	t.Cleanup(func() { sweeper.Close() })

	socket := filepath.Join(dir, "socket")
	env := cleanEnv(dir,
		"CERTMONGER_PVT_ADDRESS=unix:path="+socket,
		"CERTMONGER_SYSTEM_LOCK_FILE="+filepath.Join(dir, "lock"))
	for variable, name := range map[string]string{
		"CERTMONGER_CONFIG_DIR":   "config",
		"CERTMONGER_REQUESTS_DIR": "requests",
		"CERTMONGER_CAS_DIR":      "cas",
		"CERTMONGER_LOCAL_CA_DIR": "local",
		"CERTMONGER_TMPDIR":       "tmp",
	} {
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		env = append(env, variable+"="+path)
	}
	c := &Certmonger{t: t, dir: dir, env: env, getter: program(t, "getcert")}
	cmd := exec.Command(program(t, "certmonger"), "-n", "-L", "-P", socket, "-d", "2")
	cmd.Dir = dir
	cmd.Env = env
	if c.daemon, err = start(cmd, filepath.Join(dir, "log"), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.daemon.stop(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
	})
	err = c.daemon.await(scepTimeout, func(context.Context) error {
		_, err := c.getcert("list-cas")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Log gives the end of the daemon's log, with what its helpers sent and got.
func (c *Certmonger) Log() string { return c.daemon.log() }

// CAs lists the names of the CAs the daemon knows.
func (c *Certmonger) CAs() ([]string, error) {
	out, err := c.getcert("list-cas")
	if err != nil {
		return nil, err
	}
	var names []string
	for line := range strings.Lines(out) {
		if rest, ok := strings.CutPrefix(line, "CA '"); ok {
			name, _, _ := strings.Cut(rest, "'")
			names = append(names, name)
		}
	}
	return names, nil
}

// AddSCEP makes the SCEP server at url known by name, and waits until the daemon
// has its certificates. The root is needed only when the server's GetCACert does
// not send one.
func (c *Certmonger) AddSCEP(name, url string, root *x509.Certificate) error {
	args := []string{"add-scep-ca", "-c", name, "-u", url}
	if root != nil {
		file := filepath.Join(c.dir, name+"-root.pem")
		block := &pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			return err
		}
		args = append(args, "-N", file)
	}
	if _, err := c.getcert(args...); err != nil {
		return err
	}
	return c.daemon.await(scepTimeout, func(context.Context) error {
		out, err := c.getcert("list-cas", "-v", "-c", name)
		if err == nil && !strings.Contains(out, "SCEP CA certificate thumbprint") {
			err = errors.New("certmonger has not got the server's certificates yet: " + out)
		}
		return err
	})
}

// Enrol makes a key, sends PKCSReq to the named CA, and waits until certmonger
// has the certificate, has given up, or will try again later. An error says
// that it has no certificate; the status then says why.
func (c *Certmonger) Enrol(ca string, req SCEPRequest) (CertmongerCert, error) {
	c.next++
	cert := CertmongerCert{ID: fmt.Sprintf("request-%d", c.next)}
	cert.CertFile = filepath.Join(c.dir, cert.ID+"-cert.pem")
	cert.KeyFile = filepath.Join(c.dir, cert.ID+"-key.pem")
	args := []string{"request", "-c", ca, "-I", cert.ID, "-f", cert.CertFile, "-k", cert.KeyFile, "-N", subject(req)}
	for _, name := range req.DNSNames {
		args = append(args, "-D", name)
	}
	if req.Challenge != "" {
		file := filepath.Join(c.dir, cert.ID+"-challenge")
		if err := os.WriteFile(file, []byte(req.Challenge), 0o600); err != nil {
			return cert, err
		}
		args = append(args, "-l", file)
	}
	return c.follow(cert, args...)
}

// Resubmit asks for a new certificate for the same key: PKCSReq with the first
// challenge again.
func (c *Certmonger) Resubmit(cert CertmongerCert) (CertmongerCert, error) {
	return c.follow(cert, "resubmit", "-i", cert.ID)
}

// Rekey asks for a new certificate for a new key: PKCSReq signed by the old
// certificate, with the first challenge again.
func (c *Certmonger) Rekey(cert CertmongerCert) (CertmongerCert, error) {
	return c.follow(cert, "rekey", "-i", cert.ID)
}

// RekeyAt is Rekey with another CA of the daemon, and with a new challenge.
func (c *Certmonger) RekeyAt(ca string, cert CertmongerCert, challenge string) (CertmongerCert, error) {
	args := []string{"rekey", "-i", cert.ID, "-c", ca}
	if challenge != "" {
		file := filepath.Join(c.dir, cert.ID+"-next")
		if err := os.WriteFile(file, []byte(challenge), 0o600); err != nil {
			return cert, err
		}
		args = append(args, "-l", file)
	}
	return c.follow(cert, args...)
}

// Poll has the daemon ask now about a request in the state CA_WORKING, which it
// does by itself only much later. Version 0.79.17 repeats PKCSReq under the same
// transaction ID for that, with a new nonce, and does not send CertPoll.
func (c *Certmonger) Poll(cert CertmongerCert) (CertmongerCert, error) {
	return c.follow(cert, "refresh", "-i", cert.ID)
}

// follow runs a getcert command about a request and waits for what comes of it.
func (c *Certmonger) follow(cert CertmongerCert, args ...string) (CertmongerCert, error) {
	cert.Certificate = nil
	if _, err := c.getcert(args...); err != nil {
		return cert, err
	}
	err := c.daemon.await(scepTimeout, func(context.Context) error {
		var err error
		if cert.Status, err = c.status(cert.ID); err != nil {
			return err
		}
		if !settled[cert.Status.State] {
			return errors.New("certmonger is still at " + cert.Status.State)
		}
		return nil
	})
	cert.Output = cert.Status.Text
	if err != nil {
		return cert, err
	}
	if cert.Status.State != "MONITORING" {
		return cert, fmt.Errorf("certmonger has no certificate\n%s", cert.Status.Text)
	}
	return cert, cert.load()
}

// settled holds the states in which certmonger waits for somebody else.
var settled = map[string]bool{
	"MONITORING":          true,
	"CA_WORKING":          true, // pending
	"CA_REJECTED":         true,
	"CA_UNREACHABLE":      true,
	"CA_UNCONFIGURED":     true,
	"NEED_CA":             true,
	"NEED_GUIDANCE":       true,
	"NEED_KEY_GEN_PERMS":  true,
	"NEED_CERTSAVE_PERMS": true,
}

func (c *Certmonger) status(id string) (CertmongerStatus, error) {
	out, err := c.getcert("list", "-v", "-u", "-i", id)
	if err != nil {
		return CertmongerStatus{}, err
	}
	status := CertmongerStatus{Text: out}
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch name {
		case "status":
			status.State = value
		case "ca-error":
			status.CAError = value
		case "stuck":
			status.Stuck = value == "yes"
		}
	}
	return status, nil
}

// getcert runs the control program and gives what it printed.
func (c *Certmonger) getcert(args ...string) (string, error) {
	cmd := command{path: c.getter, args: args, dir: c.dir, env: c.env, timeout: scepTimeout}
	out, errs, err := cmd.run()
	return string(out), withOutput(err, string(out)+string(errs))
}
