// Package scep is any SCEP server as an authority: one that asks for no
// challenge, or for the same one from everybody. Package ndes builds on it and
// adds the challenges of Microsoft's server.
//
// A certificate comes from the server by one of three ways. Delegate: Challenge
// and SCEP give what a device needs to go there itself. Proxy: Forward passes a
// device's messages on as they are, and knows nothing of them. Or Issue asks in
// the device's place, as registration authority: the message is signed by a
// transport key made for it, and never by the device.
//
// SCEP has no word for "did you get my last message?". So Issue writes down what
// it is about to send, with the transport key, before it sends it; after an
// answer was lost it polls for the transaction, then sends the very same octets
// once more, and asks for nothing new until the server has said no. A server
// that remembers transactions, as RFC 8894 §3.2.1.1 wants it, issues once. One
// that does not (micromdm/scep, step-ca) may issue twice then, which is why
// Traits.Sure is not claimed.
//
// What it refuses to know: who may have which certificate, and revocation, which
// SCEP has not. Facts are from RFC 8894 and from servers in the field.
package scep

import (
	"chancery/internal/ca"
	"chancery/internal/ra"
)

// Kind is a SCEP server as something to choose.
func Kind() ca.Kind {
	return ca.Kind{
		ID: "scep", Title: "SCEP server",
		Help: "For any SCEP server that wants no challenge or a static one. Devices reach it themselves, through this server, or are served from here.",
		New:  func() ca.Settings { return &Settings{} },
		Traits: Traits("Revocation is done at the server; SCEP has none. A server that forgets transactions may issue twice after an answer was lost. " +
			"A static challenge fits every request: whoever learns it gets what the server gives."),
	}
}

// Traits are those of any SCEP server, with what an administrator must know.
func Traits(limits string) ca.Traits {
	return ca.Traits{
		KeyPlaces: []ra.KeyPlace{ra.KeyOnDevice, ra.KeyHere},
		KeyTypes:  []string{"rsa-2048", "rsa-3072", "rsa-4096", "p-256", "p-384"},
		Renew:     true, Pending: true,
		Ports:  "TCP 443 or 80 to the SCEP server",
		Limits: limits,
	}
}
