package testpeer

import (
	"path/filepath"
	"strings"
	"testing"
)

// The programs of micromdm/scep are built when a test first needs one. They are
// run, not imported, so they are no dependency of this module.
const (
	micromdmSCEP        = "github.com/micromdm/scep/v2/cmd/"
	micromdmSCEPVersion = "v2.3.0"
)

// SCEPClient drives micromdm's scepclient. It signs with SHA-1 and encrypts
// with DES whatever the server advertises, to every certificate of GetCACert
// unless SelectEncipherment is set.
type SCEPClient struct {
	SelectEncipherment bool // encrypt only to certificates with the keyEncipherment usage

	t    testing.TB
	url  string
	path string
}

// NewSCEPClient gives a client of the server at url.
func NewSCEPClient(t testing.TB, url string) *SCEPClient {
	t.Helper()
	return &SCEPClient{t: t, url: url, path: goTool(t, micromdmSCEP+"scepclient", micromdmSCEPVersion)}
}

// Enrol makes a key and sends PKCSReq. A pending answer makes this client
// repeat the request after 30 seconds, which is taken as failure here.
func (c *SCEPClient) Enrol(req SCEPRequest) (SCEPResult, error) {
	c.t.Helper()
	dir := c.t.TempDir()
	return c.run(req, SCEPResult{
		CertFile: filepath.Join(dir, "cert.pem"),
		KeyFile:  filepath.Join(dir, "key.pem"),
	})
}

// Renew sends RenewalReq for the same key and the same PKCS#10, challenge
// included, signed by the old certificate. The new one replaces it in CertFile.
func (c *SCEPClient) Renew(old SCEPResult) (SCEPResult, error) {
	c.t.Helper()
	return c.run(SCEPRequest{}, SCEPResult{CertFile: old.CertFile, KeyFile: old.KeyFile})
}

func (c *SCEPClient) run(req SCEPRequest, result SCEPResult) (SCEPResult, error) {
	args := []string{"-server-url", c.url, "-private-key", result.KeyFile, "-certificate", result.CertFile,
		"-cn", req.CommonName, "-organization", req.Organization, "-ou", req.Unit, "-country", "",
		"-challenge", req.Challenge, "-dnsname", strings.Join(req.DNSNames, ",")}
	if c.SelectEncipherment {
		args = append(args, "-key-encipherment-selector")
	}
	cmd := command{path: c.path, args: args, dir: filepath.Dir(result.KeyFile), timeout: scepTimeout}
	out, errs, err := cmd.run()
	result.Output = string(out) + string(errs)
	if err != nil {
		return result, withOutput(err, result.Output)
	}
	return result, result.load()
}
