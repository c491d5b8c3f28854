package storebench

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	"chancery/internal/ra"
	"chancery/internal/store"
)

const day = 24 * time.Hour

// derSize is about that of a certificate of an RSA-2048 key by a P-256 issuer.
const derSize = 900

// certificate makes the ith certificate: issued when its turn was, for 90, 365
// or 825 days, and since then renewed, revoked, held or forgotten like others.
func (f *filler) certificate(i int) *ra.Certificate {
	made := f.at(i, f.s.Certificates)
	days := []time.Duration{365, 365, 90, 365, 365, 90, 365, 825, 365, 90}[i%10]
	device := int(uint64(i) * 7919 % uint64(f.s.Devices))
	name := deviceName(device)
	serial := sum("serial", i)
	c := &ra.Certificate{
		ID: ra.NewID[ra.CertificateID](ra.CertificatePrefix, made), GroupID: pick(f.w.Groups, device), AuthorityID: pick(f.w.Authorities, i),
		TemplateID: pick(f.w.Templates, i), DeviceID: f.w.Devices[device], UserID: pick(f.w.Users, device), IssuerHash: f.w.IssuerHash,
		Serial: hex.EncodeToString(serial[:16]), Subject: "CN=" + name + ",OU=Clients,O=Example", SANs: []string{"dns:" + name + ".corp.example.test"},
		KeyType: "rsa-2048", KeyPlace: ra.KeyOnDevice, DER: der(serial), Fingerprint: digest("fingerprint", i), SPKIHash: digest("spki", i),
		NotBefore: made, NotAfter: made.Add(days * day), State: ra.Valid,
	}
	// Which ones are exceptional has nothing to do with whose they are.
	fate := int(serial[16])<<8 | int(serial[17])
	renewal := made.Add(c.Lifetime() * 2 / 3)
	switch {
	case fate%50 == 7:
		c.State, c.RevokedAt, c.Reason = ra.Revoked, made.Add(c.Lifetime()/10), ra.SupersededReason
	case c.NotAfter.Before(f.s.Now):
		c.State = ra.Expired
	case fate%1000 == 3:
		c.State, c.RevokedAt, c.Reason = ra.OnHold, made.Add(day), ra.CertificateHold
		c.Obligation = ra.Obligation{Action: ra.ActionExpire, At: c.NotAfter}
	case renewal.Before(f.s.Now) && fate%20 != 0:
		c.State = ra.Superseded
		c.Obligation = ra.Obligation{Action: ra.ActionRetire, At: f.s.Now.Add(time.Duration(i%28) * day)}
	case renewal.Before(f.s.Now): // nobody has renewed it so far
		c.Obligation = ra.Obligation{Action: ra.ActionAwait, At: f.s.Now.Add(time.Duration(i%24) * time.Hour), Deadline: c.NotAfter.Add(-14 * day)}
	case fate%3 == 0:
		c.Obligation = ra.Obligation{Action: ra.ActionRenew, At: renewal, Deadline: c.NotAfter.Add(-14 * day)}
	case fate%3 == 1:
		c.Obligation = ra.Obligation{Action: ra.ActionAwait, At: renewal, Deadline: c.NotAfter.Add(-14 * day)}
	default:
		c.Obligation = ra.Obligation{Action: ra.ActionExpire, At: c.NotAfter}
	}
	return c
}

// der gives bytes of a certificate's length that do not compress.
func der(seed [32]byte) []byte {
	out := make([]byte, 0, derSize+32)
	for n := uint64(0); len(out) < derSize; n++ {
		block := sum(string(seed[:]), int(n))
		out = append(out, block[:]...)
	}
	return out[:derSize]
}

func (f *filler) certificates() error {
	return f.each("certificates", f.s.Certificates, func(tx *store.Tx, i int) error {
		c := f.certificate(i)
		if i >= f.s.Certificates-f.s.Requests {
			r := f.request(i, c)
			c.RequestID = r.ID
			if err := tx.CreateRequest(r); err != nil {
				return err
			}
		}
		return tx.CreateCertificate(c)
	})
}

// request makes the request that led to a certificate.
func (f *filler) request(i int, c *ra.Certificate) *ra.Request {
	r := &ra.Request{
		ID: ra.NewID[ra.RequestID](ra.RequestPrefix, c.NotBefore), GroupID: c.GroupID, AuthorityID: c.AuthorityID, TemplateID: c.TemplateID, TemplateRev: 1,
		DeviceID: c.DeviceID, UserID: c.UserID, Door: "scep", EndpointID: f.w.Endpoint, TransactionID: digest("transaction", i)[:40], KeyPlace: ra.KeyOnDevice,
		SPKIHash: c.SPKIHash, Subject: c.Subject, Fill: []byte(`{}`), State: ra.Issued, CertificateID: c.ID,
		AskedBy: ra.Actor{Kind: ra.ActorDevice, ID: string(c.DeviceID), Via: "scep"}, SubmittedAt: c.NotBefore,
	}
	r.IdempotencyKey = string(r.ID)
	return r
}

// requests writes those that still wait, some of them late.
func (f *filler) requests() error {
	states := []ra.RequestState{ra.AwaitingApproval, ra.Submitted, ra.PendingAtCA, ra.Approved}
	actions := []ra.Action{ra.ActionApprove, ra.ActionIssue, ra.ActionFetch, ra.ActionIssue}
	return f.each("open requests", f.s.Requests/1000, func(tx *store.Tx, i int) error {
		c := f.certificate(i)
		c.NotBefore = f.s.Now.Add(-time.Duration(i%48) * time.Hour)
		r := f.request(f.s.Certificates+i, c)
		r.State, r.CertificateID, r.SPKIHash = states[i%4], "", digest("open", i)
		r.Obligation = ra.Obligation{Action: actions[i%4], At: f.s.Now.Add(time.Duration(i%60) * time.Minute), Deadline: r.SubmittedAt.Add(day)}
		return tx.CreateRequest(r)
	})
}

func (f *filler) entries() error {
	codes := []string{"certificate.issued", "request.submitted", "certificate.revoked", "device.created", "session.opened"}
	return f.eachBy(max(f.s.Entries/400, 1), "audit entries", f.s.Entries, func(tx *store.Tx, i int) error {
		device := int(binary.BigEndian.Uint32(der(sum("entry", i))[:4])) % f.s.Devices
		return tx.Append(&ra.AuditEntry{Code: pick(codes, i), Actor: ra.Actor{Kind: ra.ActorDevice, ID: string(f.w.Devices[device]), Name: deviceName(device), Via: "scep"},
			GroupID: pick(f.w.Groups, device), Object: string(f.w.Devices[device]), Result: "ok", Message: fmt.Sprintf("Device %s asked at door %d.", deviceName(device), i%7)})
	})
}
