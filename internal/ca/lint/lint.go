// Package lint looks at a certificate before it is signed.
//
// What comes in is the TBSCertificate exactly as it would be signed, and the
// Intent it was built from. What goes out is nothing, or a refusal that names
// the rule. Nothing here ever signs with an authority's key: where a whole
// certificate is needed, a throw-away key of the same algorithm signs it, so
// that no valid signature exists before the checks have passed.
//
// There are two passes. Our own rules (profile.go) read every TBS: they compare
// it with the intent and check each value, for a few microseconds. The zlint
// library (zlint.go) knows many more rules but takes as long as several
// signatures. Nearly all of its rules look at how a certificate is put together,
// not at the values in it, so it runs once for each shape (shape.go): the
// hash of everything but names, dates, serial and key. The rules of zlint that
// do look at values have a counterpart in the first pass; a test holds the list
// of those and fails when a new version of zlint brings one that is in neither.
//
// The rules are those of RFC 5280 and the RFCs that amend it. The package knows
// nothing of public-trust programmes, of templates or of storage.
package lint

import (
	"crypto/x509"
	"fmt"
	"strings"
	"sync"
	"time"

	"chancery/internal/ra"
)

// Intent is what was decided before the TBS was built. The certificate must say
// exactly that.
type Intent struct {
	// Issuer is the certificate whose key will sign; nil when the certificate
	// signs itself.
	Issuer *x509.Certificate
	// CA is true for the certificate of an authority.
	CA bool
	// Validity is the time from the first to the last second, both included
	// (RFC 5280 §4.1.2.5). A shorter one is right only when it ends with the
	// issuer's.
	Validity time.Duration
	// SID is the security identifier the certificate must carry; empty: none.
	SID string
}

// Finding is one rule that a certificate breaks.
type Finding struct {
	Rule    string // stable name: ours, or zlint's
	Message string // a sentence
	Remedy  string
}

// maxShapes bounds the memory of a Linter. A template makes a few shapes, so a
// server with a thousand templates still fits; beyond that all are forgotten at
// once, which costs each one more lint and nothing else.
const maxShapes = 4096

// Linter checks certificates and remembers the shapes it has seen. The zero
// value is ready; it is safe for concurrent use. Share one: a shape learned for
// one connector serves all.
type Linter struct {
	mu    sync.Mutex
	known map[shape]struct{}
}

// Check reads a DER TBSCertificate. A certificate that breaks a rule is
// ra.RefusedByCA with Retry Never; the message names the first rule, and when
// there are several Details has them all. Warnings are rules of good practice that do not stop the
// signature; zlint's come with the first certificate of a shape only.
func (l *Linter) Check(tbs []byte, in Intent) (warnings []Finding, err error) {
	cert, bad := parse(tbs)
	if bad != nil {
		return nil, refuse([]Finding{*bad})
	}
	if broken := cert.check(in); len(broken) > 0 {
		return nil, refuse(broken)
	}
	s := cert.shape(in)
	if l.knows(s) {
		return nil, nil
	}
	broken, warnings, err := runZLint(cert)
	if err != nil {
		return nil, err
	}
	if len(broken) > 0 {
		return warnings, refuse(broken)
	}
	l.learn(s)
	return warnings, nil
}

func (l *Linter) knows(s shape) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.known[s]
	return ok
}

func (l *Linter) learn(s shape) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known == nil || len(l.known) >= maxShapes {
		l.known = map[shape]struct{}{}
	}
	l.known[s] = struct{}{}
}

// refuse joins findings into the one error type.
func refuse(broken []Finding) error {
	first := broken[0]
	more := ""
	if n := len(broken) - 1; n > 0 {
		more = fmt.Sprintf(", and %d more", n)
	}
	e := ra.Errorf(ra.RefusedByCA, "The certificate was not signed: %s (rule %s%s).", strings.TrimSuffix(first.Message, "."), first.Rule, more).
		WithRemedy("%s", first.Remedy).WithRetry(ra.Never)
	if more != "" {
		for _, f := range broken {
			e.Details = append(e.Details, &ra.Error{Kind: ra.RefusedByCA, Field: f.Rule, Message: f.Message, Remedy: f.Remedy})
		}
	}
	return e
}
