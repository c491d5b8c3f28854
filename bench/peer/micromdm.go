package peer

import (
	"net/http"
	"os"
	"path/filepath"

	"chancery/bench/machine"
)

// MicroMDMPackage is the server of micromdm/scep.
const MicroMDMPackage = "github.com/micromdm/scep/v2/cmd/scepserver"

// MicroMDMVersions are tried in order.
var MicroMDMVersions = []string{"v2.3.0"}

// MicroMDM is scepserver in its usual set-up: one RSA key that signs
// certificates and opens and signs messages, a static challenge, and a folder
// of files. It calls fsync nowhere and cannot be told to, knows no issuing key
// but RSA, and answers with DES and SHA-1 whatever it was asked with.
type MicroMDM struct {
	Program string
	Dir     string // set up by SetUp, copied by Start
	Plain   string // host:port to listen on; empty: any free one
}

// SetUp makes the folder with the CA.
func (m MicroMDM) SetUp() error {
	if err := os.MkdirAll(m.Dir, 0o700); err != nil {
		return err
	}
	ca, err := issue("Bench micromdm CA", RSA2048, caUsage, true, nil)
	if err != nil {
		return err
	}
	return ca.save(filepath.Join(m.Dir, "ca.pem"), filepath.Join(m.Dir, "ca.key"))
}

// Start starts it on a copy of its folder.
func (m MicroMDM) Start(dir string, cores machine.Cores) (*Server, error) {
	if err := machine.Copy(m.Dir, dir); err != nil {
		return nil, err
	}
	address, err := orFree(m.Plain)
	if err != nil {
		return nil, err
	}
	p, err := machine.Start(machine.Program{Path: m.Program, Dir: dir, Cores: cores, Log: dir + ".log",
		Args: []string{"-http-addr", address, "-depot", dir, "-challenge", Challenge}})
	if err != nil {
		return nil, err
	}
	s := &Server{Process: p, SCEP: "http://" + address + "/scep"}
	return s.await(http.DefaultClient, s.SCEP+"?operation=GetCACaps")
}
