package scep

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math/big"
	"strings"
	"time"
	"unicode"

	"chancery/internal/authority"
	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/store"
	"chancery/internal/wire/cms"
	"chancery/internal/wire/pkixmsg"
	"chancery/internal/wire/scepmsg"
)

// learn gathers the facts about an opened message, all from one view of the
// database: between two, a parallel request of the same kind could spend the
// challenge that makes this one the same. What may become a request is prepared
// in that view too.
func (x *exchange) learn(ctx context.Context) error {
	x.facts = facts{kind: x.message.Type, challenge: noChallenge, history: fresh}
	return x.DB.Read(ctx, func(tx *store.Tx) (err error) {
		// Of a first request there is nothing to be found but its challenge, so
		// whether there is anything is asked first.
		traces := store.Traces{Signer: true, Request: true, Transaction: true}
		if x.csr != nil {
			traces, err = tx.Traces(store.Message{Fingerprint: authority.Hash(x.message.Signer.Raw), Key: requestKey(x.endpoint.ID, x.transaction(), x.csr, nil),
				Endpoint: x.endpoint.ID, Transaction: x.transaction()})
			if err != nil {
				return err
			}
		}
		if err = x.learnSigner(tx, traces); err != nil {
			return err
		}
		switch x.facts.kind {
		case scepmsg.PKCSReq, scepmsg.RenewalReq:
			if err = x.learnHistory(tx, traces); err == nil {
				err = x.learnChallenge(tx)
			}
		case scepmsg.CertPoll:
			err = x.learnPoll(tx)
		}
		if err == nil {
			x.prepare(tx)
		}
		return err
	})
}

// learnSigner looks the signing certificate up. Only the very same octets are
// the same certificate; issuer and serial number alone are on anybody's paper.
func (x *exchange) learnSigner(tx *store.Tx, traces store.Traces) error {
	f, c := &x.facts, x.message.Signer
	if !traces.Signer {
		return x.learnStranger(tx)
	}
	row, err := tx.CertificateByFingerprint(authority.Hash(c.Raw))
	if ra.KindOf(err) == ra.NotFound {
		return x.learnStranger(tx)
	}
	if err != nil {
		return err
	}
	f.row = row
	if row.DeviceID == "" || row.Purpose != ra.PurposeLeaf {
		f.signer = noDevice
		return nil
	}
	if f.device, err = tx.Device(row.DeviceID); ra.KindOf(err) == ra.NotFound {
		f.signer = noDevice
		return nil
	} else if err != nil {
		return err
	}
	f.signer = x.standing(row, tx.Now)
	return nil
}

// learnStranger says whose a signing certificate is that is not in the
// inventory.
func (x *exchange) learnStranger(tx *store.Tx) error {
	f, c := &x.facts, x.message.Signer
	issuers, err := issuersNamed(tx, x.template.AuthorityID, c.RawIssuer)
	switch {
	case len(issuers) > 0:
		f.signer = unknown
	case c.SelfIssued():
		f.signer = selfSigned
	default:
		f.signer = foreign
	}
	return err
}

// windowGrace lets a device with a fast clock renew a little early.
const windowGrace = 24 * time.Hour

// standing is what a device's certificate may do at this endpoint now.
func (x *exchange) standing(c *ra.Certificate, now time.Time) signer {
	window := time.Duration(x.settings.RenewalWindow) * 24 * time.Hour
	switch {
	case c.State == ra.Revoked || c.State == ra.OnHold:
		return revoked
	case c.State == ra.Expired || !now.Before(c.NotAfter) || now.Before(c.NotBefore):
		return expired
	case c.State != ra.Valid && c.State != ra.Superseded:
		return unknown
	case c.TemplateID != x.endpoint.TemplateID:
		return otherTemplate
	case !x.renewal:
		return closed
	case window > 0 && now.Before(c.NotAfter.Add(-window-windowGrace)):
		return early
	}
	return valid
}

// learnHistory looks for the request this message repeats, or for another key
// under its transaction ID.
func (x *exchange) learnHistory(tx *store.Tx, traces store.Traces) error {
	f := &x.facts
	f.key = requestKey(x.endpoint.ID, x.transaction(), x.csr, f.row)
	if traces.Request || f.row != nil { // the trace is that of a stranger's key
		known, err := tx.RequestByKey(f.key)
		if err == nil {
			f.known, f.history = known, same
			return nil
		} else if ra.KindOf(err) != ra.NotFound {
			return err
		}
	}
	if !traces.Transaction {
		return nil
	}
	other, err := tx.RequestByTransaction(x.endpoint.ID, x.transaction())
	switch {
	case ra.KindOf(err) == ra.NotFound:
		return nil
	case err != nil:
		return err
	case other.SPKIHash != hex.EncodeToString(x.csr.SPKIHash[:]):
		f.history = otherKey
	}
	return nil
}

// requestKey is what makes two messages the same request: endpoint,
// transaction, key, what is asked for, and the certificate that signed. The
// signature of the PKCS #10 does not count: ECDSA makes another one each time.
func requestKey(e ra.EndpointID, transaction string, csr *pkixmsg.CSR, signer *ra.Certificate) string {
	renews := ""
	if signer != nil {
		renews = string(signer.ID)
	}
	tbs := sha256.Sum256(csr.RawTBS)
	return "scep-" + digest("request", string(e), transaction, string(csr.SPKIHash[:]), string(tbs[:]), renews)
}

// digest is SHA-256 over texts that cannot run into each other, hex.
func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write(binary.AppendUvarint(nil, uint64(len(p))))
		h.Write([]byte(p))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// learnPoll finds the request of the transaction and whether the poll is signed
// with its key (RFC 8894 §3.3.3). The names in the poll say less: clients put
// the RA's, the CA's, or nothing useful there.
func (x *exchange) learnPoll(tx *store.Tx) error {
	f := &x.facts
	r, err := tx.RequestByTransaction(x.endpoint.ID, x.transaction())
	if ra.KindOf(err) == ra.NotFound {
		return nil
	} else if err != nil {
		return err
	}
	f.history = otherKey
	fits, err := x.signedBy(tx, r)
	if fits {
		f.known, f.history = r, same
	}
	return err
}

// signedBy tells whether the message is signed with the key a request was
// signed with: that of the request, of the certificate it renews, or the one
// remembered when it was a third.
func (x *exchange) signedBy(tx *store.Tx, r *ra.Request) (bool, error) {
	key := spki(x.message.Signer)
	if r.SPKIHash == key {
		return true, nil
	}
	if r.Renews != "" {
		old, err := tx.Certificate(r.Renews)
		return err == nil && old.SPKIHash == key, err
	}
	id, err := tx.Bearer(x.endpoint.ID, x.bearer())
	if ra.KindOf(err) == ra.NotFound {
		return false, nil
	}
	return id == r.ID, err
}

// bearer is the memory of who asked with a key that is not the one to be
// certified.
func (x *exchange) bearer() string {
	return digest("bearer", x.transaction(), spki(x.message.Signer))
}

// learnChallenge looks at the challengePassword, where it is missing at the
// address. An empty one is none. A renewal needs none, and clients renew at the
// address they enrolled at.
func (x *exchange) learnChallenge(tx *store.Tx) error {
	f := &x.facts
	password, present := x.csr.ChallengePassword()
	text := secret.New(password)
	if password == "" && f.row == nil && x.settings.ByAddress && x.inAddress.IsSet() {
		text, present = x.inAddress, true
	}
	if !present {
		return nil
	}
	if f.row != nil {
		if own, err := x.enrolledWith(tx, f.row, text); err != nil || own {
			f.challenge = ownChallenge
			return err
		}
	}
	device, err := x.bearerOf(tx, text)
	if err != nil {
		return err
	}
	if device == nil {
		return nil
	}
	if f.row != nil && f.row.DeviceID != device.ID && f.signer != revoked {
		f.signer = otherDevice
	}
	f.device = device
	return nil
}

// bearerOf classifies a challenge and gives the device it stands for, or nil.
func (x *exchange) bearerOf(tx *store.Tx, text secret.Text) (*ra.Device, error) {
	f := &x.facts
	if x.wrong.count(x.Now(), wrongWindow, x.remote) >= maxWrong {
		f.challenge = lockedChallenge
		return nil, nil
	}
	if x.settings.StaticOn && x.settings.Static.IsSet() && x.settings.Static.Equal(text) {
		f.challenge = staticChallenge
		device, err := x.named(tx)
		if ra.KindOf(err) == ra.NotFound {
			f.challenge = staticNobody
			return nil, nil
		}
		return device, err
	}
	ticket, err := enroll.Challenge(tx, x.endpoint, text)
	switch {
	case err == nil:
		f.challenge, f.ticket = goodChallenge, ticket
		return tx.Device(ticket.DeviceID)
	case ra.KindOf(err) != ra.Denied:
		return nil, err
	case ticket != nil:
		f.challenge, f.cause = spentChallenge, err
	default:
		f.challenge, f.cause = wrongChallenge, err
	}
	return nil, nil
}

// enrolledWith reports whether a challenge is the one a certificate was asked
// for with: certmonger and scepclient send it again with every renewal.
func (x *exchange) enrolledWith(tx *store.Tx, c *ra.Certificate, text secret.Text) (bool, error) {
	if c.RequestID == "" {
		return false, nil
	}
	r, err := tx.Request(c.RequestID)
	if ra.KindOf(err) == ra.NotFound {
		return false, nil
	} else if err != nil {
		return false, err
	}
	der, err := x.Enroll.CSR(r)
	if err != nil {
		return false, err
	}
	csr, err := pkixmsg.ParseCSR(der)
	if err != nil {
		return false, nil // the authority made the key
	}
	password, present := csr.ChallengePassword()
	return present && secret.New(password).Equal(text), nil
}

// named gives the device of the endpoint's group that a request with the
// static challenge is for: by serialNumber, else by common name, exactly its
// platform ID. NotFound when there is none.
func (x *exchange) named(tx *store.Tx) (*ra.Device, error) {
	nobody := ra.Errorf(ra.NotFound, "The request names no device.").WithRemedy("Put the platform ID into its serial number or common name.")
	names := x.csr.Subject.Values(pkixmsg.OIDSerialNumber)
	if len(names) == 0 {
		names = x.csr.Subject.Values(pkixmsg.OIDCommonName)
	}
	if len(names) != 1 || names[0] == "" || strings.ContainsFunc(names[0], unicode.IsControl) {
		return nil, nobody
	}
	home, err := tx.Group(x.endpoint.GroupID)
	if err != nil {
		return nil, err
	}
	organization, _, _ := strings.Cut(strings.TrimPrefix(home.Path, "/"), "/")
	device, err := tx.DeviceByPlatformID(ra.GroupID(organization), names[0])
	if err != nil {
		return nil, err
	}
	group, err := tx.Group(device.GroupID)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(group.Path, home.Path) {
		return nil, nobody
	}
	return device, nil
}

// issuersNamed gives those certificates of an authority, present and former,
// that have a name.
func issuersNamed(tx *store.Tx, id ra.AuthorityID, rawName []byte) ([]store.Issuer, error) {
	config, err := tx.Config()
	if err != nil {
		return nil, err
	}
	all, err := store.Keep(config, "scep issuers", string(id), func(*store.Tx) ([]namedIssuer, error) {
		list, err := config.Issuers(id)
		var named []namedIssuer
		for _, i := range list {
			if c, err := cms.ParseCertificate(i.DER); err == nil {
				named = append(named, namedIssuer{c.RawSubject, i})
			}
		}
		return named, err
	})
	if err != nil {
		return nil, err
	}
	var found []store.Issuer
	for _, i := range all {
		if bytes.Equal(i.name, rawName) {
			found = append(found, i.issuer)
		}
	}
	return found, nil
}

// namedIssuer is a certificate of an authority with its subject, DER.
type namedIssuer struct {
	name   []byte
	issuer store.Issuer
}

// serialOf writes a serial number as rows keep it; a negative one is none of
// ours.
func serialOf(octets []byte) (string, bool) {
	if len(octets) == 0 || octets[0]&0x80 != 0 {
		return "", false
	}
	return new(big.Int).SetBytes(octets).Text(16), true
}
