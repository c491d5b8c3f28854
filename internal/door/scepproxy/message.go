package scepproxy

import (
	"context"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"chancery/internal/authority"
	"chancery/internal/pass"
	"chancery/internal/ra"
	"chancery/internal/wire/cms"
	"chancery/internal/wire/pkixmsg"
	"chancery/internal/wire/scepmsg"
)

// message is a pkiMessage at the gate.
type message struct {
	raw     []byte
	hash    string
	parsed  *scepmsg.Message
	ca      said // what the server shows
	arrival pass.Arrival
}

var limits = cms.Limits{MaxBytes: scepmsg.MaxBodyBytes, MaxElements: 8192}

// read checks everything that is in clear and needs no look into the database.
// Cheap things come first; the signature is verified before anything it covers
// is believed.
func (x *visit) read(ctx context.Context, b *backend, raw []byte, hash, method string) (*message, *pass.Refusal, error) {
	m := &message{raw: raw, hash: hash}
	floor := b.server.Floor
	var err error
	m.parsed, err = scepmsg.Parse(raw, scepmsg.Options{Floor: floor, Limits: limits})
	var below *scepmsg.FloorError
	if errors.As(err, &below) {
		return m, belowFloor(below), nil
	}
	if err != nil {
		x.strike()
		return m, pass.Refuse(pass.Malformed, "The bytes are no SCEP message, or its signature does not match.", "Look at what sends it; something in between may have changed it."), nil
	}
	p := m.parsed
	m.arrival = pass.Arrival{Hash: hash, Type: p.Type, Transaction: transaction(p), Signer: authority.Hash(p.Signer.RawSPKI), Certificate: authority.Hash(p.Signer.Raw),
		SelfSigned: string(p.Signer.RawIssuer) == string(p.Signer.RawSubject), Remote: x.remote}
	if p.Type != scepmsg.PKCSReq && p.Type != scepmsg.RenewalReq && p.Type != scepmsg.CertPoll {
		return m, pass.Refuse(pass.BadType, fmt.Sprintf("Messages of type %s are not passed on.", p.Type), "A device enrols with PKCSReq, renews with RenewalReq or PKCSReq, and polls with CertPoll."), nil
	}
	if errors.As(p.Check(), &below) {
		return m, belowFloor(below), nil
	}
	if _, ok := p.Signer.PublicKey.(*rsa.PublicKey); !ok {
		return m, pass.Refuse(pass.BadKey, "The message is signed with a key that is not RSA, to which no answer can be encrypted.", "Have the device make an RSA key of 2048 bits or more."), nil
	}
	if err := pkixmsg.CheckKey(p.Signer.PublicKey); err != nil {
		return m, pass.Refuse(pass.BadKey, "The key that signed the message is not acceptable: "+err.Error(), "Have the device make an RSA key of 2048 bits or more."), nil
	}
	// A device that holds an outdated certificate of the server, or newer ones
	// than we do.
	for _, age := range [2]bool{false, true} {
		max := freshFor
		if age {
			max = 0
		}
		if m.ca, err = b.say(ctx, x, scepmsg.OpGetCACert, max); err != nil {
			return m, nil, err
		}
		if at := slices.IndexFunc(m.ca.certs, p.AddressedTo); at >= 0 {
			m.arrival.Hops = []ra.Hop{{Step: pass.StepMessage, Result: ra.HopOK, Fields: x.fields(m, method, m.ca.certs[at])}}
			return m, nil, nil
		}
	}
	return m, pass.Refuse(pass.StaleCA, "The message is encrypted to a certificate that the server does not show.",
		"Have the device fetch the CA certificates again; if the server got a new RA certificate, give the device its settings again."), nil
}

func belowFloor(err *scepmsg.FloorError) *pass.Refusal {
	return pass.Refuse(pass.BadAlgorithm, fmt.Sprintf("The message uses %s as %s, which the %s floor does not allow.", err.Algorithm.Name(), err.Use, err.Floor),
		"Have the device use AES and SHA-256, or lower the floor of the authority.")
}

// fields decodes for the trace what a message says in clear.
func (x *visit) fields(m *message, method string, to *cms.Certificate) map[string]string {
	p := m.parsed
	f := map[string]string{"type": p.Type.String(), "transaction": m.arrival.Transaction, "signer": m.arrival.Signer, "digest": p.Algorithms.Digest.Name(),
		"bytes": fmt.Sprint(len(m.raw)), "method": method, "remote": x.remote}
	if p.Algorithms.Cipher != "" {
		f["cipher"] = p.Algorithms.Cipher.Name()
	}
	if name, err := pkixmsg.ParseNameDER(p.Signer.RawSubject); err == nil {
		f["signer_subject"] = name.String()
	}
	if to != nil {
		f["recipient"] = serial(to)
	}
	return f
}

// serial is a certificate's serial number as rows keep it.
func serial(c *cms.Certificate) string {
	return strings.TrimLeft(hex.EncodeToString(c.Serial), "0")
}

// transaction is the client's transaction ID as rows and logs keep it: text, or
// hex where a client's octets are not.
func transaction(m *scepmsg.Message) string {
	if id := m.TransactionID.Value; utf8.ValidString(id) {
		return id
	}
	return "0x" + hex.EncodeToString([]byte(m.TransactionID.Value))
}

// tooHasty refuses messages that come faster than any client sends them, without
// a look at them.
func (x *visit) tooHasty() error {
	if !x.hasty() {
		return nil
	}
	return &httpError{Status: http.StatusTooManyRequests, Text: "Messages come too fast. Try again later."}
}
