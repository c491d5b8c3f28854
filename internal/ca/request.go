package ca

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"time"

	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/wire/pkixmsg"
)

// Order is what a certificate shall say and how it is asked for. Package
// enroll fills it from a template; NewRequest checks it.
type Order struct {
	ID      string // stable across crashes and retries; [a-z0-9_], at most 40 characters
	Purpose ra.Purpose
	CSR     []byte        // DER PKCS#10; empty when KeyAtCA is set
	Read    *pkixmsg.CSR  // CSR, when somebody has read it already; nil otherwise
	Key     crypto.Signer // of the CSR, where it is kept here; nil when the device keeps it
	// Carries is the ID of the authority's own challenge (ChallengeOrder.ID) that
	// the device has signed into the CSR; empty: none.
	Carries     string
	KeyAtCA     string // key type the authority shall make; empty otherwise
	Subject     pkixmsg.Name
	SANs        []pkixmsg.GeneralName
	SID         string // AD security identifier for the extension; empty: none
	KeyUsage    x509.KeyUsage
	EKUs        []string      // dotted OIDs
	Validity    time.Duration // zero: the authority decides
	Template    string        // the authority's own template or profile
	Options     setting.Describer
	Fields      map[string]string // the profile's mandatory fields, filled
	Holder      string            // stable per (device, template): end entity, seat
	RequestedBy string            // DOMAIN\user, for enrol on behalf of
	Renews      *x509.Certificate // the certificate this one replaces
	RenewsKey   crypto.Signer     // of Renews, where it is kept here; nil otherwise
}

// Request is a checked Order: only NewRequest makes one, so that no connector
// ever sees an unchecked key or an empty name.
type Request struct {
	Order
	PublicKey any    // of the CSR; nil when the authority makes the key
	SPKIHash  string // SHA-256 of the SubjectPublicKeyInfo, hex; empty likewise
}

// maxValidity is far beyond any leaf; it guards against overflow, not policy.
const maxValidity = 100 * 365 * 24 * time.Hour

// NewRequest checks an Order: the ID's form, the validity's range, that the
// subject or a SAN names somebody and that every name, purpose and SID is well
// formed, and of the CSR its signature (proof of possession) and key strength.
// Errors are Invalid, name the field, and report every bad field at once.
func NewRequest(o Order) (Request, error) {
	var p ra.Problems
	if !validID(o.ID) {
		p.Add("id", "The request ID is not usable at an authority.", "Use 1 to 40 characters of a-z, 0-9 and underscore.")
	}
	if o.Validity < 0 || o.Validity > maxValidity {
		p.Add("validity_days", "The validity is out of range.", "Use a number of days between 1 and 36500.")
	}
	o.checkNames(&p)
	r := Request{Order: o}
	switch {
	case (len(o.CSR) == 0) == (o.KeyAtCA == ""):
		p.Add("csr", "A request needs either a CSR or a key made at the authority.",
			"Send a PKCS#10, or choose a template whose key is made at the authority.")
	case o.KeyAtCA != "":
		_, err := pkixmsg.ParseKeyType(o.KeyAtCA)
		problem(&p, "key_type", err)
	default:
		r.readCSR(&p)
	}
	if err := p.Err(); err != nil {
		return Request{}, ra.AsError(err).WithRetry(ra.Never)
	}
	return r, nil
}

// checkNames reports what is wrong with whom and what the certificate names.
func (o *Order) checkNames(p *ra.Problems) {
	if len(o.Subject) == 0 && len(o.SANs) == 0 {
		p.Add("subject", "The certificate would name nobody.", "Give the template a subject or a subject alternative name.")
	}
	_, err := o.Subject.DER()
	problem(p, "subject", err)
	for _, g := range o.SANs {
		problem(p, "sans", g.Check(true))
	}
	for _, oid := range o.EKUs {
		problem(p, "ekus", pkixmsg.CheckOID(oid))
	}
	if o.SID != "" {
		problem(p, "sid", pkixmsg.CheckSID(o.SID))
	}
}

// readCSR fills what the request's own PKCS#10 proves.
func (r *Request) readCSR(p *ra.Problems) {
	var err error
	csr := r.Read
	if csr == nil || !bytes.Equal(csr.Raw, r.CSR) {
		csr, err = pkixmsg.ParseCSR(r.CSR)
	}
	if err == nil {
		err = csr.CheckSignature()
	}
	if err == nil {
		err = csr.CheckKey()
	}
	if err != nil {
		problem(p, "csr", err)
		return
	}
	r.PublicKey, r.SPKIHash = csr.PublicKey, hex.EncodeToString(csr.SPKIHash[:])
}

// problem records an error of pkixmsg, whose sentences are for people.
func problem(p *ra.Problems, field string, err error) {
	if err == nil {
		return
	}
	var e *pkixmsg.Error
	if errors.As(err, &e) {
		p.Add(field, e.Message, e.Remedy)
		return
	}
	p.Merge(field, ra.Errorf(ra.Invalid, "The value cannot be used.").WithRemedy("Correct it and send it again.").WithCause(err))
}

func validID(id string) bool {
	if id == "" || len(id) > 40 {
		return false
	}
	for _, c := range id {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}
