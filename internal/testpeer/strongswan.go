package testpeer

import (
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// strongSwanPlugins are the parts of strongSwan that pki needs for SCEP. Left to
// itself it tries all there are and complains about those not installed.
const strongSwanPlugins = `pki {
  load = random drbg aes sha1 sha2 md5 mgf1 x509 revocation pubkey pkcs1 pkcs7 pkcs8 pem openssl gmp hmac curl
  scep { http_timeout = 10s }
}
`

// StrongSwan drives "pki --scepca" and "pki --scep" of strongSwan. A pending
// answer makes it send CertPoll every PollInterval for PollTime.
type StrongSwan struct {
	PollInterval time.Duration // whole seconds; 1 second from NewStrongSwan
	PollTime     time.Duration // whole seconds; 10 seconds from NewStrongSwan

	t    testing.TB
	url  string
	path string
	dir  string
	env  []string
}

// NewStrongSwan gives a client of the server at url.
func NewStrongSwan(t testing.TB, url string) *StrongSwan {
	t.Helper()
	s := &StrongSwan{PollInterval: time.Second, PollTime: 10 * time.Second,
		t: t, url: url, path: program(t, "pki"), dir: t.TempDir()}
	config := filepath.Join(s.dir, "strongswan.conf")
	if err := os.WriteFile(config, []byte(strongSwanPlugins), 0o600); err != nil {
		t.Fatal(err)
	}
	s.env = cleanEnv(s.dir, "STRONGSWAN_CONF="+config)
	return s
}

// StrongSwanCAs are the certificates of a GetCACert answer as strongSwan sorted
// them.
type StrongSwanCAs struct {
	CA, RA []*x509.Certificate

	files map[*x509.Certificate]string
}

// CACertificates asks GetCACert.
func (s *StrongSwan) CACertificates() (StrongSwanCAs, error) {
	s.t.Helper()
	cas := StrongSwanCAs{files: map[*x509.Certificate]string{}}
	dir := s.t.TempDir()
	if _, _, err := s.run(scepTimeout, "--scepca", "--url", s.url, "--outform", "pem",
		"--caout", filepath.Join(dir, "ca.pem"), "--raout", filepath.Join(dir, "ra.pem")); err != nil {
		return cas, err
	}
	for prefix, list := range map[string]*[]*x509.Certificate{"ca": &cas.CA, "ra": &cas.RA} {
		files, err := filepath.Glob(filepath.Join(dir, prefix+"*.pem")) // several are numbered
		if err != nil {
			return cas, err
		}
		for _, file := range files {
			certs, err := readCertificates(file)
			if err != nil {
				return cas, err
			}
			for _, cert := range certs {
				*list = append(*list, cert)
				cas.files[cert] = file
			}
		}
	}
	if len(cas.files) == 0 {
		return cas, errors.New("pki --scepca wrote no certificate")
	}
	return cas, nil
}

// responder picks the file of the certificate that does a job: that of an RA if
// there is one, else of the CA at the end of the chain; among several the first
// with the key usage, because some servers have one for each job.
func (c StrongSwanCAs) responder(usage x509.KeyUsage) (string, error) {
	candidates := c.RA
	if len(candidates) == 0 {
		for _, ca := range c.CA {
			if len(c.CA) == 1 || ca.CheckSignatureFrom(ca) != nil {
				candidates = append(candidates, ca)
			}
		}
	}
	var best *x509.Certificate
	for _, cert := range candidates {
		_, isRSA := cert.PublicKey.(*rsa.PublicKey)
		if isRSA && (best == nil || best.KeyUsage&usage == 0) {
			best = cert
		}
	}
	if best == nil {
		return "", fmt.Errorf("none of the %d certificates from GetCACert has an RSA key", len(c.files))
	}
	return c.files[best], nil
}

// Enrol makes a key and sends PKCSReq.
func (s *StrongSwan) Enrol(req SCEPRequest) (SCEPResult, error) {
	s.t.Helper()
	return s.enrol(req)
}

// Renew makes a new key and sends RenewalReq signed by the old certificate and
// without a challenge.
func (s *StrongSwan) Renew(old SCEPResult, req SCEPRequest) (SCEPResult, error) {
	s.t.Helper()
	req.Challenge = ""
	return s.enrol(req, "--cert", old.CertFile, "--key", old.KeyFile)
}

func (s *StrongSwan) enrol(req SCEPRequest, more ...string) (SCEPResult, error) {
	s.t.Helper()
	dir := s.t.TempDir()
	result := SCEPResult{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	cas, err := s.CACertificates()
	if err != nil {
		return result, err
	}
	encrypt, err := cas.responder(x509.KeyUsageKeyEncipherment)
	if err != nil {
		return result, err
	}
	verify, err := cas.responder(x509.KeyUsageDigitalSignature)
	if err != nil {
		return result, err
	}
	key, _, err := s.run(scepTimeout, "--gen", "--type", "rsa", "--size", "2048", "--outform", "pem")
	if err != nil {
		return result, err
	}
	if err := os.WriteFile(result.KeyFile, key, 0o600); err != nil {
		return result, err
	}
	args := append([]string{"--scep", "--url", s.url, "--outform", "pem", "--in", result.KeyFile,
		"--dn", subject(req), "--cacert-enc", encrypt, "--cacert-sig", verify,
		"--interval", seconds(s.PollInterval), "--maxpolltime", seconds(s.PollTime)}, more...)
	for _, ca := range cas.CA {
		args = append(args, "--cacert", cas.files[ca])
	}
	for _, name := range req.DNSNames {
		args = append(args, "--san", name)
	}
	if req.Challenge != "" {
		// From a file, because anybody can read the arguments of a program.
		options := filepath.Join(dir, "options")
		if err := os.WriteFile(options, fmt.Appendf(nil, "--password %q\n", req.Challenge), 0o600); err != nil {
			return result, err
		}
		args = append(args, "--options", options)
	}
	cert, output, err := s.run(scepTimeout+s.PollTime, args...)
	result.Output = string(output)
	if err != nil {
		return result, err
	}
	if err := os.WriteFile(result.CertFile, cert, 0o600); err != nil {
		return result, err
	}
	return result, result.load()
}

func (s *StrongSwan) run(timeout time.Duration, args ...string) (stdout, stderr []byte, err error) {
	cmd := command{path: s.path, args: args, dir: s.dir, env: s.env, timeout: timeout}
	stdout, stderr, err = cmd.run()
	return stdout, stderr, withOutput(err, string(stderr))
}

// subject writes the distinguished name in the form both strongSwan and
// certmonger read.
func subject(req SCEPRequest) string {
	rdns := []string{"CN=" + req.CommonName}
	if req.Organization != "" {
		rdns = append(rdns, "O="+req.Organization)
	}
	if req.Unit != "" {
		rdns = append(rdns, "OU="+req.Unit)
	}
	return strings.Join(rdns, ", ")
}

func seconds(d time.Duration) string {
	return fmt.Sprintf("%d", d/time.Second)
}
