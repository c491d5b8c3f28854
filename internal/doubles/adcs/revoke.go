package adcs

import (
	"time"
)

// Reasons with a meaning of their own.
const (
	reasonHold    = 6
	reasonRemove  = 8
	reasonRelease = 0xFFFFFFFF
	reasonExpired = 0xFFFFFFFE
	reasonUnexp   = 0xFFFFFFFD
)

// revoke changes the state of a certificate (MS-CSRA 3.1.4.1.8); ca.mu is held.
// What is revoked for good stays revoked, what is on hold can come back.
func (ca *CA) revoke(serial string, reason uint32, at time.Time) uint32 {
	switch {
	case reason <= reasonHold, reason == reasonRemove, reason >= reasonUnexp:
	default:
		return invalidArg
	}
	r := ca.bySerial(serial) // case counts
	if r == nil {
		return invalidArg
	}
	held := r.Disposition == rowRevoked && r.Reason == reasonHold
	switch reason {
	case reasonExpired, reasonUnexp:
		return 0 // whether the CRL lists it when it has expired
	case reasonRelease, reasonRemove:
		if !held {
			return invalidData
		}
		r.Disposition, r.Message, r.Reason, r.Revoked, r.effect = rowIssued, "Issued", 0, time.Time{}, time.Time{}
		if ca.cfg.ReleaseStays {
			r.Reason, r.Revoked, r.effect = reasonRemove, ca.now(), at
		}
	case reasonHold:
		if r.Disposition == rowRevoked && !held {
			return invalidData
		}
		fallthrough
	default:
		r.Disposition, r.Message, r.Reason, r.Revoked, r.effect = rowRevoked, "Revoked", reason, ca.now(), at
	}
	if ca.cfg.PublishOnRevoke {
		if ca.publish(true, true) != nil {
			return unexpected
		}
	}
	return 0
}

// validity of a certificate as IsValidCertificate tells it; ca.mu is held.
func (ca *CA) isValid(serial string) (reason, disposition uint32) {
	r := ca.bySerial(serial)
	switch {
	case r == nil:
		return 0, 4
	case r.revoked(ca.now()):
		return r.Reason, 2
	}
	return 0, 3
}
