// Package ra holds the nouns of a registration authority: organization groups,
// users, devices, authorities, templates, requests, certificates, the people
// who act on them, and the one error type. It imports the standard library
// only, so that every other package can speak of the same things; it has no
// rules beyond what a noun says about itself, and no idea of storage, HTTP or
// any certificate authority.
//
// Two ideas run through the nouns. A typed ID carries a readable prefix, so
// that mixing two kinds does not compile and reads wrong at first sight. And
// whatever somebody waits for carries an Obligation: what happens next and
// when, so that nothing waits in silence.
package ra

import (
	"crypto/rand"
	"encoding/base32"
	"strings"
	"time"
)

// Typed IDs. The text form is prefix, underscore, and 26 characters that sort
// by the time of creation.
type (
	GroupID       string // og_
	UserID        string // usr_
	DeviceID      string // dev_
	AuthorityID   string // ca_
	TemplateID    string // tpl_
	EndpointID    string // sep_
	ChallengeID   string // chl_
	RequestID     string // req_
	ApprovalID    string // apv_
	CertificateID string // crt_
	AdminID       string // adm_
	TokenID       string // tok_
	PasskeyID     string // pky_
	PassID        string // pass_
	DirectoryID   string // dir_
	SyncID        string // syn_
	PublicationID string // pub_
	DangerID      string // dng_
	KeyServiceID  string // ksv_
	KeyDeliveryID string // kdl_
	CAImportRunID string // cir_
	DifferenceID  string // dif_
)

// Prefixes of the typed IDs.
const (
	GroupPrefix       = "og"
	UserPrefix        = "usr"
	DevicePrefix      = "dev"
	AuthorityPrefix   = "ca"
	TemplatePrefix    = "tpl"
	EndpointPrefix    = "sep"
	ChallengePrefix   = "chl"
	RequestPrefix     = "req"
	ApprovalPrefix    = "apv"
	CertificatePrefix = "crt"
	AdminPrefix       = "adm"
	TokenPrefix       = "tok"
	PasskeyPrefix     = "pky"
	PassPrefix        = "pass"
	DirectoryPrefix   = "dir"
	SyncPrefix        = "syn"
	PublicationPrefix = "pub"
	DangerPrefix      = "dng"
	KeyServicePrefix  = "ksv"
	KeyDeliveryPrefix = "kdl"
	CAImportRunPrefix = "cir"
	DifferencePrefix  = "dif"
)

var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// NewID makes an ID of a kind: the prefix, 48 bits of time in milliseconds and
// 80 random bits, so that IDs sort by age and cannot be guessed.
func NewID[T ~string](prefix string, now time.Time) T {
	var b [16]byte
	ms := uint64(now.UnixMilli())
	for i := range 6 {
		b[i] = byte(ms >> (40 - 8*i))
	}
	rand.Read(b[6:])
	return T(prefix + "_" + idEncoding.EncodeToString(b[:]))
}

// FirstID gives the text that sorts before every ID of a kind made at t or
// later, and behind those made before.
func FirstID(prefix string, t time.Time) string {
	var b [16]byte
	ms := uint64(t.UnixMilli())
	for i := range 6 {
		b[i] = byte(ms >> (40 - 8*i))
	}
	return prefix + "_" + idEncoding.EncodeToString(b[:])
}

// Fold gives the form in which names are compared and kept unique: trimmed and
// lower case.
func Fold(s string) string { return strings.ToLower(strings.TrimSpace(s)) }
