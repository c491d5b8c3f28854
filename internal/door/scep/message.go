package scep

import (
	"context"
	"crypto"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"time"
	"unicode/utf8"

	"chancery/internal/authority"
	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/sceppolicy"
	"chancery/internal/secret"
	"chancery/internal/wire/cms"
	"chancery/internal/wire/pkixmsg"
	"chancery/internal/wire/scepmsg"
)

// exchange is one pkiMessage on its way to its answer.
type exchange struct {
	*Door
	*place
	remote    string
	inAddress secret.Text // what may be a challenge
	message   *scepmsg.Message
	ras       []scepmsg.RA // current first
	responder scepmsg.Responder
	content   *scepmsg.Content
	csr       *pkixmsg.CSR // of PKCSReq and RenewalReq
	facts     facts
	result    string           // success, pending, failure, or refused: for those who watch
	failed    string           // the name of the failInfo
	prepared  *enroll.Prepared // when the facts allow a new request
}

// pkiOperation answers a pkiMessage. As soon as there is somebody to answer, a
// refusal is a CertRep too; what comes before is an httpError.
func (d *Door) pkiOperation(ctx context.Context, p *place, remote string, inAddress secret.Text, raw []byte) ([]byte, error) {
	leave, ok := d.enter()
	if !ok {
		return nil, later
	}
	defer leave()
	if d.broken.count(d.Now(), brokenWindow, remote) >= maxBroken {
		return nil, &httpError{Status: http.StatusTooManyRequests, Text: "Too many unreadable messages came from this address."}
	}
	began := time.Now()
	ctx, span := d.Observer.Start(ctx, "scep.message", "endpoint", p.endpoint.Name)
	x := &exchange{Door: d, place: p, remote: remote, inAddress: inAddress, result: "refused"}
	defer func() {
		kind := ""
		if x.message != nil {
			kind = x.message.Type.String()
		}
		d.Observer.SCEP(kind, x.result, x.failed, time.Since(began))
		span.Note("type", kind, "result", x.result, "fail_info", x.failed)
		span.End(nil)
	}()
	err := x.read(raw)
	if x.message == nil {
		d.broken.add(d.Now(), brokenWindow, remote, raw)
		x.note(ctx, ra.Errorf(ra.Invalid, "The bytes are no SCEP message, or its signature does not match.").
			WithRemedy("Look at what sends it; a browser or a scanner needs no attention.").WithCause(err))
		return nil, &httpError{Status: http.StatusBadRequest, Text: "The message cannot be read."}
	}
	if keyErr := x.takeKeys(ctx); keyErr != nil {
		return nil, keyErr
	}
	if err == nil {
		err = x.check()
	}
	if err == nil {
		err = x.openContent()
	}
	var body []byte
	if err == nil {
		body, err = x.work(ctx)
	}
	if err != nil {
		return x.refuse(ctx, raw, err)
	}
	if x.result == "refused" {
		x.result = "success"
	}
	return body, nil
}

// read parses the message and verifies its signature. A message below the
// floor for its MD5 signature is read all the same, to be refused properly.
func (x *exchange) read(raw []byte) (err error) {
	x.message, err = scepmsg.Parse(raw, scepmsg.Options{Floor: x.floor, Limits: messageLimits})
	var floor *scepmsg.FloorError
	if errors.As(err, &floor) {
		var again error
		if x.message, again = scepmsg.Parse(raw, scepmsg.Options{Floor: scepmsg.Legacy, Limits: messageLimits}); again != nil {
			return again
		}
		return belowFloor(floor)
	}
	return err
}

var messageLimits = cms.Limits{MaxBytes: scepmsg.MaxBodyBytes, MaxElements: 8192}

// takeKeys gets the RA's certificates and picks the one to answer with: the
// one the client knows, which is the former one after a roll-over.
func (x *exchange) takeKeys(ctx context.Context) error {
	own, err := x.Lifecycle.Own(ctx, x.ra, ra.PurposeSCEPRA)
	if err != nil {
		return err
	}
	for _, o := range own {
		c, err := cms.ParseCertificate(o.Certificate.Raw)
		if err != nil {
			return err
		}
		key, ok := o.Key.(crypto.Decrypter)
		if !ok {
			return ra.Errorf(ra.Internal, "The RA's key cannot decrypt.").WithRemedy("SCEP needs an RSA key.")
		}
		x.ras = append(x.ras, scepmsg.RA{Certificate: c, Key: key})
	}
	at := max(0, slices.IndexFunc(x.ras, func(r scepmsg.RA) bool { return x.message.AddressedTo(r.Certificate) }))
	x.responder = scepmsg.Responder{Certificate: x.ras[at].Certificate, Key: own[at].Key, SHA1: x.floor == scepmsg.Legacy}
	return nil
}

// check looks at everything that is in clear: type, algorithms, the requester's
// key, the time. It comes before the RA's key is used.
func (x *exchange) check() error {
	m := x.message
	if x.floor == scepmsg.Legacy {
		x.Log.Warn("SCEP endpoint has the legacy floor: messages may be read or forged on the way", "endpoint", x.endpoint.Name, "until", x.settings.LegacyUntil,
			"remote", x.remote, "cipher", m.Algorithms.Cipher.Name(), "digest", m.Algorithms.Digest.Name(), "remedy", sceppolicy.LegacyRemedy)
	}
	if !accepted(m.Type) {
		return refusedType(m.Type)
	}
	var floor *scepmsg.FloorError
	if errors.As(m.Check(), &floor) {
		return belowFloor(floor)
	}
	if err := pkixmsg.CheckKey(m.Signer.PublicKey); err != nil {
		return ra.Errorf(ra.Invalid, "The key that signed the message is not acceptable: %s", err).
			WithRemedy("Make an RSA key of 2048 bits or more, or an EC key, on the device.").WithCause(err)
	}
	if skew := x.Now().Sub(m.SigningTime).Abs(); !m.SigningTime.IsZero() && skew > x.settings.ClockSkew {
		return &fault{scepmsg.BadTime, ra.Errorf(ra.Invalid, "The device's clock is %s off.", skew.Round(time.Second)).
			WithRemedy("Set the device's clock, or allow a larger clock difference at the endpoint.")}
	}
	return nil
}

// openContent decrypts the message and reads the PKCS #10 in it. From the
// choice of the recipient to the proof of possession everything that is wrong
// is one and the same answer.
func (x *exchange) openContent() (err error) {
	if x.content, err = x.message.Open(x.ras...); err != nil {
		return unreadable(err)
	}
	if x.content.CSR == nil {
		return nil
	}
	if x.csr, err = pkixmsg.ParseCSR(x.content.CSR); err == nil {
		err = x.csr.CheckSignature()
	}
	if err != nil {
		return unreadable(err)
	}
	return nil
}

// work does what the message asks for, if it may.
func (x *exchange) work(ctx context.Context) ([]byte, error) {
	if err := x.learn(ctx); err != nil {
		return nil, err
	}
	switch do := decide(x.facts); do {
	case enrol, enrolStatic, renew, repeat:
		r, err := x.ask(ctx, do)
		if err != nil {
			return nil, err
		}
		return x.answer(ctx, r)
	case giveCertificate:
		return x.getCert(ctx)
	case giveCRL:
		return x.getCRL(ctx)
	}
	x.strike()
	return nil, x.facts.why()
}

// refuse notes a refusal and gives the CertRep that says as little as SCEP
// allows, or asks the client to come back when it is our fault.
func (x *exchange) refuse(ctx context.Context, raw []byte, err error) ([]byte, error) {
	info, now := failInfo(err)
	if !now {
		x.Log.Error("SCEP request cannot be answered now", "endpoint", x.endpoint.Name, "remote", x.remote, "transaction", x.transaction(), "error", err)
		return nil, later
	}
	if info == scepmsg.BadMessageCheck {
		x.broken.add(x.Now(), brokenWindow, x.remote, raw)
	}
	x.note(ctx, err)
	x.result, x.failed = "failure", info.String()
	return x.responder.Failure(x.message, info, "")
}

func belowFloor(err *scepmsg.FloorError) error {
	return &fault{scepmsg.BadAlg, ra.Errorf(ra.Denied, "The message uses %s as %s, which the %s floor does not allow.", err.Algorithm.Name(), err.Use, err.Floor).
		WithRemedy("Have the device use AES and SHA-256, or lower the endpoint's floor.").WithCause(err)}
}

func refusedType(t scepmsg.MessageType) error {
	return ra.Errorf(ra.Denied, "Messages of type %s are not accepted.", t).
		WithRemedy("A device enrols with PKCSReq and renews with RenewalReq or PKCSReq.")
}

func unreadable(cause error) error {
	return &fault{scepmsg.BadMessageCheck, ra.Errorf(ra.Invalid, "The message could not be opened, or the request in it is not signed with its key.").
		WithRemedy("Have the device fetch the certificates of the endpoint again (GetCACert); it may use an outdated RA certificate.").WithCause(cause)}
}

// transaction is the client's transaction ID as rows and logs keep it: text, or
// hex where a client's octets are not.
func (x *exchange) transaction() string {
	id := x.message.TransactionID.Value
	if !utf8.ValidString(id) {
		return "0x" + hex.EncodeToString([]byte(id))
	}
	return id
}

// spki is how rows name the key of a certificate.
func spki(c *cms.Certificate) string { return authority.Hash(c.RawSPKI) }
