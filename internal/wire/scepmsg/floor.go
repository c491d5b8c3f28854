package scepmsg

import (
	"crypto"
	"fmt"

	"chancery/internal/wire/cms"
)

// Floor is the weakest set of algorithms an authority accepts. GetCACaps is
// not authenticated, so a server must hold the floor itself (RFC 8894 §7.5).
// The zero value is Modern.
type Floor int

// The floors. RSA key transport and OAEP are allowed on all of them.
const (
	Modern Floor = iota // AES, SHA-256 and up
	Compat              // and 3DES, SHA-1
	Legacy              // and DES and MD5, to read and verify only
)

// String gives the floor's word in settings.
func (f Floor) String() string {
	switch f {
	case Modern:
		return "modern"
	case Compat:
		return "compat"
	}
	return "legacy"
}

// Algorithms are what a message was made with. Cipher and KeyTransport are
// empty for a message without encrypted content.
type Algorithms struct {
	Digest       cms.OID
	Signature    cms.OID
	Cipher       cms.OID
	KeyTransport cms.OID // of the first recipient
}

// FloorError names an algorithm that the floor does not allow. Its reply is
// BadAlg.
type FloorError struct {
	Floor     Floor
	Use       string // "digest" or "content cipher"
	Algorithm cms.OID
}

// Error says what is below which floor.
func (e *FloorError) Error() string {
	return fmt.Sprintf("scepmsg: %s %s is not allowed by the %s floor", e.Use, e.Algorithm.Name(), e.Floor)
}

// Check gives nil, or a *FloorError naming the first algorithm that is below
// the floor or unknown. An empty Cipher is nothing to check; the signature
// algorithm uses the same digest, which reading the message made sure of.
func (f Floor) Check(a Algorithms) error {
	if need, ok := digestFloor(a.Digest); !ok || need > f {
		return &FloorError{f, "digest", a.Digest}
	}
	if a.Cipher == "" {
		return nil
	}
	if need, ok := cipherFloor(a.Cipher); !ok || need > f {
		return &FloorError{f, "content cipher", a.Cipher}
	}
	return nil
}

// digestFloor is the first floor that allows a digest.
func digestFloor(o cms.OID) (Floor, bool) {
	h, ok := o.Hash()
	if !ok {
		return 0, false
	}
	switch h {
	case crypto.MD5:
		return Legacy, true
	case crypto.SHA1, crypto.SHA224:
		return Compat, true
	}
	return Modern, true
}

func cipherFloor(o cms.OID) (Floor, bool) {
	switch o {
	case cms.OIDAES128CBC, cms.OIDAES192CBC, cms.OIDAES256CBC:
		return Modern, true
	case cms.OIDTripleDESCBC:
		return Compat, true
	case cms.OIDDESCBC:
		return Legacy, true
	}
	return 0, false
}
