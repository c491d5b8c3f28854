// Package peer builds the programs the product is measured against, sets them
// up and starts them: scepserver of micromdm/scep and step-ca of
// smallstep/certificates. They are run and never imported, so they are no
// dependency of this module. nginx and PostgreSQL are those of the machine.
//
// A peer is set up once, in a folder that is then copied for every start: each
// measurement begins with an empty store and the same keys. Everything is as
// the peer's own documentation or its setup command has it, except for what
// would make the comparison unequal; package comments of the two files and
// bench/README.md say which.
package peer

import (
	"net/http"
	"time"

	"chancery/bench/machine"
)

// Challenge is the static challenge of every SCEP server that has one.
const Challenge = "Bench-4f1c7a90d2"

// Server is a program that serves.
type Server struct {
	*machine.Process
	SCEP  string        // URL of its SCEP service, without a query
	API   string        // host:port of its HTTPS API; empty: it has none
	Ready time.Duration // from the start of the program to the first answer
}

// orFree gives the address, or a free one if there is none.
func orFree(address string) (string, error) {
	if address != "" {
		return address, nil
	}
	return machine.FreeAddress()
}

// await fills Ready by asking url.
func (s *Server) await(client *http.Client, url string) (*Server, error) {
	took, err := s.AwaitHTTP(client, url)
	if err != nil {
		return nil, err
	}
	s.Ready = took
	return s, nil
}
