// Package keydelivery brings private keys that were made here, or at the
// authority, to where else their templates want them: into the entry of their
// user in a directory, or to a key service, a web service of the company's own.
//
// In the transaction that stores a certificate, what is owed is written down
// with a sealed copy of the key, which is destroyed once the receiver has it.
// What is handed out to people is another copy. A job brings the key there,
// again and again with growing waits, and people are told when it is late. A
// certificate that has ended or was revoked before its key arrived has it
// brought nowhere any more.
//
// In a directory the key is a PKCS #12 under the directory's password for keys.
// The digest of a value is stored before the value is written, so that one that
// is there is recognised after a crash, and what others wrote is never touched.
// A key service gets a signed POST by the conventions of Standard Webhooks with
// the key in a CMS EnvelopedData for its certificate; the ID of a delivery stays
// the same however often it is sent.
//
// No network call is made inside a database transaction, and no key or secret
// is ever in a log, an error or the audit log.
package keydelivery

import (
	"context"
	"log/slog"
	"net"
	"time"

	"chancery/internal/directory"
	"chancery/internal/egress"
	"chancery/internal/job"
	"chancery/internal/seal"
	"chancery/internal/store"
)

// Service is the capability. Fill the fields, then use it; it is safe for
// concurrent use.
type Service struct {
	DB          *store.DB
	Box         *seal.Box
	Queue       *job.Queue
	Directories *directory.Service
	Now         func() time.Time
	Log         *slog.Logger
	// Dial connects to key services; nil: nothing may be reached.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Step, when set, is called with the label of a step just before it is
	// taken. Fault tests stop the process there.
	Step func(label string)
}

// The labels of the steps of a delivery, in order.
const (
	StepMark = "keydelivery.mark" // what will be written to a directory is made, and nobody knows of it
	StepTell = "keydelivery.tell" // the receiver is not asked yet
	StepNote = "keydelivery.note" // it has done it, the row does not say so
)

func (s *Service) step(label string) {
	if s.Step != nil {
		s.Step(label)
	}
}

func (s *Service) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if s.Dial == nil {
		return egress.Policy{}.Dial(ctx, network, address) // nobody said where it may go
	}
	return s.Dial(ctx, network, address)
}
