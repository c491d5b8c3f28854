// Package gsskrb shows Kerberos tickets to servers and protects what follows
// (RFC 4121, and MS-KILE §3.4.5 for the way in which remote procedure calls use
// it). A ticket and its session key come in; tokens of a login go out and come
// back, and then a [Context] seals, opens and signs messages.
//
// Three styles of login are known. In the one of remote procedure calls (DCE
// style) the messages of Kerberos travel bare and in three legs, and a sealed
// message keeps its length, because what it has to grow by stands in a token beside
// it. In the other two, for SMB and for web servers, they travel in the frame of
// GSS-API (RFC 2743 §3.1), in two legs or in one.
//
// Only AES with SHA-1 is spoken (RFC 3962). RC4 and DES, which have tokens of
// their own, are refused with an error that says so. A library makes the AP-REQ
// and does the ciphers; it is kept from panicking over what a server may say. The
// package has neither a connection nor a clock, and gets its tickets from elsewhere.
package gsskrb

import (
	"errors"
	"fmt"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/crypto/etype"
	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// Ticket is a ticket for a service with what its holder needs to show it.
type Ticket struct {
	Ticket messages.Ticket
	Key    types.EncryptionKey // the session key
	Client types.PrincipalName
	Realm  string // the client's
}

// Style is how the messages of a login travel.
type Style int

// The styles.
const (
	DCE    Style = iota // bare, three legs, both sides prove themselves (MS-KILE §3.4.5.1)
	Mutual              // framed, two legs, both sides prove themselves
	OneWay              // framed, one leg, the server is believed
)

// Errors of this package. Malformed is an answer that is none, Forged one by
// somebody who does not have the service's key, Tampered a message that is not
// what the other side sent, or that came out of its order. NotAES is a key of
// another kind.
var (
	Malformed = errors.New("gsskrb: malformed message")
	Forged    = errors.New("gsskrb: the answer was not made for this login")
	Tampered  = errors.New("gsskrb: the message is not what was sent")
	NotAES    = errors.New("gsskrb: the key is not one of AES")
)

// Refused is a server's answer to a ticket it does not take (KRB-ERROR, RFC 4120
// §5.9.1).
type Refused struct{ Code int32 }

// What servers say of tickets (RFC 4120 §7.5.9).
const (
	CodeSkew     = errorcode.KRB_AP_ERR_SKEW
	CodeModified = errorcode.KRB_AP_ERR_MODIFIED
	CodeNotUs    = errorcode.KRB_AP_ERR_NOT_US
	CodeExpired  = errorcode.KRB_AP_ERR_TKT_EXPIRED
	CodeNotYet   = errorcode.KRB_AP_ERR_TKT_NYV
)

func (e *Refused) Error() string {
	return fmt.Sprintf("gsskrb: the server refuses the ticket: %s", errorcode.Lookup(e.Code))
}

// Key usages (RFC 4120 §7.5.1, RFC 4121 §2).
const (
	usageAPRep         = 12
	usageAcceptorSeal  = 22
	usageAcceptorSign  = 23
	usageInitiatorSeal = 24
	usageInitiatorSign = 25
)

// aes gives the cipher of a key; the error is NotAES.
func aes(key types.EncryptionKey) (etype.EType, error) {
	if key.KeyType != etypeID.AES256_CTS_HMAC_SHA1_96 && key.KeyType != etypeID.AES128_CTS_HMAC_SHA1_96 {
		return nil, NotAES
	}
	e, err := crypto.GetEtype(key.KeyType)
	if err == nil && len(key.KeyValue) != e.GetKeyByteSize() {
		return nil, Malformed
	}
	return e, err
}

// guard turns a panic of the library into Malformed.
func guard(err *error) {
	if p := recover(); p != nil {
		*err = Malformed
	}
}
