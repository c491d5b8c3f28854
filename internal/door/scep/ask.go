package scep

import (
	"context"
	"crypto"
	"encoding/hex"

	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/sceppolicy"
	"chancery/internal/store"
)

// ask gives the request a message stands for: the one that is known, or a new
// one, acted on as far as it goes while the client waits.
func (x *exchange) ask(ctx context.Context, do decision) (*ra.Request, error) {
	if err := x.sameKey(do); err != nil {
		return nil, err
	}
	if do == repeat {
		return x.facts.known, nil
	}
	if do == enrolStatic {
		x.Log.Warn("a static challenge was accepted: whoever knows it can enrol any device of the group", "endpoint", x.endpoint.Name,
			"device", x.facts.device.Name, "remote", x.remote, "remedy", sceppolicy.StaticRemedy)
	}
	return x.Enroll.SubmitPrepared(ctx, x.prepared)
}

// prepare prepares the request that the facts allow, in the view they are from.
func (x *exchange) prepare(tx *store.Tx) {
	do := decide(x.facts)
	if do != enrol && do != enrolStatic && do != renew || x.sameKey(do) != nil {
		return
	}
	f := &x.facts
	ask := enroll.Ask{
		Template: x.endpoint.TemplateID, Device: f.device.ID, Loaded: f.device, CSR: x.csr.Raw, Read: x.csr, Door: "scep", Endpoint: x.endpoint.ID,
		Transaction: x.transaction(), Key: f.key, Wait: true,
	}
	if do == renew {
		ask.Renews = f.row.ID
	}
	if do != renew && hex.EncodeToString(x.csr.SPKIHash[:]) != spki(x.message.Signer) {
		ask.Bearer = x.bearer() // the client will poll with the key it signed with, which no row has
	}
	if f.ticket != nil {
		ask.Challenge = f.ticket.ID
	}
	x.prepared = x.Enroll.Prepare(tx, x.actor(), ask)
}

// sameKey wants the key of a first request to be the one that signed the
// message (RFC 8894 §2.3), unless the endpoint allows others. A renewal is
// signed with the old key; the new one signed the PKCS #10.
func (x *exchange) sameKey(do decision) error {
	renewal := do == renew || do == repeat && x.facts.known.Renews != ""
	if x.csr == nil || renewal || x.settings.SubjectKeyOther {
		return nil
	}
	if k, ok := x.csr.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); ok && k.Equal(x.message.Signer.PublicKey) {
		return nil
	}
	return ra.Errorf(ra.Denied, "The request is for another key than the one that signed the message.").
		WithRemedy("Have the device sign the message with the key it wants a certificate for, or allow other keys at the endpoint.")
}

// actor is who asks: the device, once it is known.
func (x *exchange) actor() ra.Actor {
	a := ra.Actor{Kind: ra.ActorDevice, Name: "unknown device", Via: "scep", Remote: x.remote}
	if d := x.facts.device; d != nil {
		a.ID, a.Name = string(d.ID), d.Name
	}
	if x.facts.challenge == staticChallenge {
		a.Name += " (static challenge)"
	}
	return a
}
