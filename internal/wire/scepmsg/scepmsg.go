// Package scepmsg is the byte layer of SCEP (RFC 8894), for both ends. A
// server decodes what arrived in a query or a body, Parses it into a Message
// whose signature holds, Opens it with one of its RA keys, and has a Responder
// write the CertRep. A client builds a Request and reads the answer with
// ParseReply.
//
// It follows RFC 8894 and, where deployed clients follow the older drafts
// (draft-nourse-scep, draft-gutmann-scep), the clients. Two rules are kept for
// every caller: what the Floor does not allow is never opened, and everything
// that goes wrong between finding our key and reading the plaintext is the
// same ErrOpen. Nothing weaker than 3DES is ever written.
//
// The package does not know who may enrol: it reads any message type, and
// leaves PKCS #10 contents, challenges, chains, clocks and memory of
// transactions to its callers. All functions and methods may be called
// concurrently, on the same values too.
package scepmsg

import (
	"errors"
	"strconv"

	"chancery/internal/wire/cms"
)

// MessageType is the messageType attribute (RFC 8894 §3.2.1.2). Any number may
// arrive; a server answers those it knows and refuses the rest.
type MessageType int

// The message types of RFC 8894. UpdateReq exists in drafts only: no request
// of that type can be opened (CVE-2026-30836 came of half-supporting it).
const (
	CertRep    MessageType = 3
	RenewalReq MessageType = 17
	UpdateReq  MessageType = 18
	PKCSReq    MessageType = 19
	CertPoll   MessageType = 20
	GetCert    MessageType = 21
	GetCRL     MessageType = 22
)

// String gives the name, or the number of an unknown type.
func (t MessageType) String() string {
	switch t {
	case CertRep:
		return "CertRep"
	case RenewalReq:
		return "RenewalReq"
	case UpdateReq:
		return "UpdateReq"
	case PKCSReq:
		return "PKCSReq"
	case CertPoll:
		return "CertPoll"
	case GetCert:
		return "GetCert"
	case GetCRL:
		return "GetCRL"
	}
	return strconv.Itoa(int(t))
}

// Status is the pkiStatus attribute of a CertRep (RFC 8894 §3.2.1.3).
type Status int

// The statuses.
const (
	Success Status = 0
	Failure Status = 2
	Pending Status = 3
)

// FailInfo is the failInfo attribute of a failed CertRep (RFC 8894 §3.2.1.4).
// Servers such as Dogtag have numbers of their own.
type FailInfo int

// The reasons. NoFailInfo stands for a failure that came without one.
const (
	NoFailInfo      FailInfo = -1
	BadAlg          FailInfo = 0
	BadMessageCheck FailInfo = 1
	BadRequest      FailInfo = 2
	BadTime         FailInfo = 3
	BadCertID       FailInfo = 4
)

// String gives the RFC's word, or the number of an unknown reason.
func (f FailInfo) String() string {
	switch f {
	case NoFailInfo:
		return "none given"
	case BadAlg:
		return "badAlg"
	case BadMessageCheck:
		return "badMessageCheck"
	case BadRequest:
		return "badRequest"
	case BadTime:
		return "badTime"
	case BadCertID:
		return "badCertId"
	}
	return strconv.Itoa(int(f))
}

// The attributes of RFC 8894 §3.2.1.
var (
	oidMessageType    = cms.MustOID("2.16.840.1.113733.1.9.2")
	oidPKIStatus      = cms.MustOID("2.16.840.1.113733.1.9.3")
	oidFailInfo       = cms.MustOID("2.16.840.1.113733.1.9.4")
	oidSenderNonce    = cms.MustOID("2.16.840.1.113733.1.9.5")
	oidRecipientNonce = cms.MustOID("2.16.840.1.113733.1.9.6")
	oidTransactionID  = cms.MustOID("2.16.840.1.113733.1.9.7")
	oidFailInfoText   = cms.MustOID("1.3.6.1.5.5.7.24.1")
)

// Ways for a message to be wrong, beside those of package cms: an attribute
// occurring twice is cms.ErrDuplicateAttribute.
var (
	ErrNoMessageType   = errors.New("scepmsg: messageType is missing")
	ErrNoTransactionID = errors.New("scepmsg: transactionID is missing")
	ErrNoSenderNonce   = errors.New("scepmsg: senderNonce is missing")
	ErrNoStatus        = errors.New("scepmsg: pkiStatus is missing")

	ErrMessageType    = errors.New("scepmsg: messageType is not a number")
	ErrTransactionID  = errors.New("scepmsg: transactionID is not 1 to 255 printable characters")
	ErrSenderNonce    = errors.New("scepmsg: senderNonce is not 8 to 64 octets")
	ErrRecipientNonce = errors.New("scepmsg: recipientNonce is not 8 to 64 octets")
	ErrStatus         = errors.New("scepmsg: pkiStatus is not a known number")
	ErrFailInfo       = errors.New("scepmsg: failInfo is not a number")
	ErrNoContent      = errors.New("scepmsg: the message has no encrypted content")

	// ErrOpen is the one answer to whatever goes wrong between looking for a
	// recipient and reading the plaintext; its reply is BadMessageCheck.
	ErrOpen = errors.New("scepmsg: the message could not be opened")
	// ErrRefusedType means that messages of this type are never opened.
	ErrRefusedType = errors.New("scepmsg: no request of this messageType is accepted")
)
