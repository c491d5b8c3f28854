package testpeer

import (
	"crypto/x509"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// step-ca of smallstep/certificates is built when a test first needs it. It is
// run, not imported, so it is no dependency of this module.
const (
	stepCA        = "github.com/smallstep/certificates/cmd/step-ca"
	stepCAVersion = "v0.30.2"
)

// StepCAOptions are how step-ca is to be started.
type StepCAOptions struct {
	Challenge string // the provisioner's static challenge; empty: none is asked for
	// IncludeRoot gives the root as well in GetCACert, which certmonger needs.
	IncludeRoot bool
	// DES answers with DES, as step-ca does unless told otherwise; OpenSSL 3
	// cannot open that. Else it answers with AES-128.
	DES bool
	// SeparateRA has a P-256 CA issue, and an RSA certificate under it read and
	// sign messages. Else one RSA-2048 CA does both, as is step-ca's default.
	SeparateRA bool
	// ForceCN puts a subject alternative name into the common name where the
	// request has none.
	ForceCN bool
}

// StepCA is a running step-ca with one SCEP provisioner and an empty store. It
// signs answers with SHA-1, drops user principal names, and issues a second
// certificate for the same message.
type StepCA struct {
	URL       string            // of the SCEP service over HTTP, without a query
	SecureURL string            // the same over HTTPS; its certificate chains to Root and names 127.0.0.1
	Issuing   *x509.Certificate // signs the certificates
	Root      *x509.Certificate
}

// StartStepCA starts step-ca on a folder of its own. It is stopped with the
// test.
func StartStepCA(t testing.TB, o StepCAOptions) *StepCA {
	t.Helper()
	path, dir := goTool(t, stepCA, stepCAVersion), t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	root := newIssuer(t, issuerOrder{name: "step-ca root", ca: true, usage: caUsage})
	order := issuerOrder{name: "step-ca issuing", ca: true, usage: caUsage, by: root}
	if !o.SeparateRA {
		order.rsa, order.usage = true, caUsage|x509.KeyUsageKeyEncipherment
	}
	issuing := newIssuer(t, order)
	root.save(t, file("root.pem"), file("root.key"))
	issuing.save(t, file("issuing.pem"), file("issuing.key"))
	scep := map[string]any{"type": "SCEP", "name": "scep", "challenge": o.Challenge, "minimumPublicKeyLength": 2048,
		"includeRoot": o.IncludeRoot, "forceCN": o.ForceCN, "encryptionAlgorithmIdentifier": 1} // AES-128-CBC
	if o.DES {
		scep["encryptionAlgorithmIdentifier"] = 0
	}
	if o.SeparateRA {
		ra := newIssuer(t, issuerOrder{name: "step-ca SCEP", rsa: true, usage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, by: issuing})
		scep["decrypterCertificate"], scep["decrypterKeyPEM"] = ra.certPEM(), ra.keyPEM(t)
	}
	secure, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	plain := startServer(t, file("log"), func(address string) *exec.Cmd {
		config, err := json.MarshalIndent(map[string]any{
			"root": file("root.pem"), "crt": file("issuing.pem"), "key": file("issuing.key"), "dnsNames": []string{"localhost", "127.0.0.1"},
			"address": secure, "insecureAddress": address, "logger": map[string]string{"format": "text"},
			"db":        map[string]string{"type": "badgerv2", "dataSource": file("db")},
			"authority": map[string]any{"provisioners": []any{scep}},
		}, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file("ca.json"), config, 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(path, file("ca.json"))
		cmd.Dir, cmd.Env = dir, cleanEnv(dir, "STEPPATH="+file("step"))
		return cmd
	}, "/scep/scep?operation=GetCACaps")
	return &StepCA{URL: "http://" + plain + "/scep/scep", SecureURL: "https://" + secure + "/scep/scep", Issuing: issuing.cert, Root: root.cert}
}
