package dcom

import (
	"errors"
	"fmt"

	"chancery/internal/ra"
	"chancery/internal/rpc"
	"chancery/internal/wire/msrpc"
)

// Refused is the HRESULT of an activation that failed: no right to, no such class,
// or a service that does not start.
type Refused struct{ HRESULT uint32 }

func (e *Refused) Error() string { return fmt.Sprintf("activation refused (0x%08X)", e.HRESULT) }

// NoInterface is an interface that the object does not have, or that was not asked
// for: then HRESULT is 0x80004002, too.
type NoInterface struct {
	IID     msrpc.UUID
	HRESULT uint32
}

func (e *NoInterface) Error() string {
	return fmt.Sprintf("no interface %v (0x%08X)", e.IID, e.HRESULT)
}

// noInterface is E_NOINTERFACE.
const noInterface uint32 = 0x80004002

var errNoPort = errors.New("the object's server names no port")

// refuse makes the error of a *Refused or *NoInterface.
func refuse(host string, err error) error {
	return ra.Errorf(ra.RefusedByCA, "%s does not offer the object that was asked for: %v.", host, err).
		WithRemedy("Check that certificate services run on that host, and that the service account may activate them: it needs the group Certificate Service DCOM Access.").
		WithCause(&rpc.NotSent{Err: err})
}

// nonsense makes the error of an answer that cannot be read.
func nonsense(host string, err error) error {
	return ra.Errorf(ra.Unreachable, "The answer of %s cannot be read.", host).WithRemedy("Check that it is the right host.").WithCause(err)
}
