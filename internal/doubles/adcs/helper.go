package adcs

import (
	"crypto/x509"
	"slices"
	"strings"
	"time"
)

// Row is a request in the CA's database, as a test sees it.
type Row struct {
	ID          uint32
	Disposition int    // 9 pending, 20 issued, 21 revoked, 30 failed, 31 denied
	Status      uint32 // HRESULT of the refusal
	Message     string
	Requester   string // DOMAIN\user the certificate is for
	Caller      string // DOMAIN\user of the connection
	Attributes  string // lines Name:Value
	Template    string
	Submitted   time.Time
	Reason      uint32 // of the revocation
	Revoked     time.Time
	Certificate *x509.Certificate // nil until issued
}

// Requests gives all rows in the order of their ids.
func (ca *CA) Requests() []Row {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	rows := make([]Row, 0, len(ca.rows))
	for _, r := range ca.rows {
		rows = append(rows, r.Row)
	}
	return rows
}

// Issued gives the certificates in the order of their requests' ids, revoked
// ones included.
func (ca *CA) Issued() []*x509.Certificate {
	var certs []*x509.Certificate
	for _, r := range ca.Requests() {
		if r.Certificate != nil {
			certs = append(certs, r.Certificate)
		}
	}
	return certs
}

// Approve issues a pending or denied request as a manager would.
func (ca *CA) Approve(id uint32) error {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if _, code := ca.resubmit(id, true); code != 0 {
		return hresult(code)
	}
	return nil
}

// Deny denies a pending request as a manager would.
func (ca *CA) Deny(id uint32) error {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	return hresult(ca.deny(id)).orNil()
}

// RevokeSerial revokes the certificate with this serial number, in lower-case
// hexadecimal, as a manager would.
func (ca *CA) RevokeSerial(serial string, reason uint32) error {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	return hresult(ca.revoke(serial, reason, ca.now())).orNil()
}

// SetTemplate adds a template, or replaces the one of the same name.
func (ca *CA) SetTemplate(t Template) {
	t.complete()
	ca.mu.Lock()
	defer ca.mu.Unlock()
	ca.catalog = slices.DeleteFunc(ca.catalog, func(old Template) bool { return strings.EqualFold(old.Name, t.Name) })
	ca.catalog = append(ca.catalog, t)
}

// Account adds an account, or replaces the one of the same name.
func (ca *CA) Account(a Account) {
	a.complete(&ca.cfg)
	ca.mu.Lock()
	defer ca.mu.Unlock()
	key := fold(a.User)
	if i, ok := ca.byName[key]; ok {
		ca.accounts[i] = a
		return
	}
	ca.byName[key] = len(ca.accounts)
	ca.accounts = append(ca.accounts, a)
}

// CRL gives the base CRL that is published now.
func (ca *CA) CRL() *x509.RevocationList {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	return ca.crls.base
}

// Publish makes and publishes a new base CRL and a new delta CRL.
func (ca *CA) Publish() error {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	return ca.publish(true, true)
}

// Certificate is the CA's own certificate.
func (ca *CA) Certificate() *x509.Certificate { return ca.keys.ca.cert }

// Chain is the CA's certificate and those above it, the root last.
func (ca *CA) Chain() []*x509.Certificate { return ca.keys.chain() }

// CRLURL is where the base CRL is published; certificates name it.
func (ca *CA) CRLURL() string { return ca.keys.cdp }

// Objects counts the DCOM objects that clients hold.
func (ca *CA) Objects() int { return ca.objects.count() }

// ExpireObjects forgets all DCOM objects, as a restart of certsvc does.
func (ca *CA) ExpireObjects() { ca.objects.expireAll() }
