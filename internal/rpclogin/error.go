package rpclogin

import (
	"errors"

	"chancery/internal/ra"
	"chancery/internal/wire/gsskrb"
	"chancery/internal/wire/ntlm"
)

// refused is a server's plain no.
func refused(target string) *ra.Error {
	return ra.Errorf(ra.RefusedByCA, "%s refused the login of the service account.", target).
		WithRemedy("Check user name, password and domain, and that the account may log on to that host over the network; or choose another way to log in.")
}

func ntlmError(err error, target string) error {
	switch {
	case errors.Is(err, ntlm.Weak):
		return ra.Errorf(ra.RefusedByCA, "%s offers NTLM in a form that is too weak.", target).
			WithRemedy("Require NTLMv2 with 128-bit encryption on that host, or log in by Kerberos.").WithCause(err)
	case errors.Is(err, ntlm.Malformed):
		return negotiationError(err, target)
	}
	return ra.Errorf(ra.Invalid, "NTLM cannot be used here.").WithRemedy("Log in by Kerberos: this server is restricted to approved cryptography, and NTLM is not.").WithCause(err)
}

// negotiationError is about an answer that cannot be read.
func negotiationError(err error, target string) error {
	return ra.Errorf(ra.RefusedByCA, "%s answers the login with something that cannot be read.", target).
		WithRemedy("Check that it is a Windows server, and choose another way to log in.").WithCause(err)
}

// tampered is about a message with a signature that does not fit. What the server
// did is open.
func tampered(err error, target string) error {
	return ra.Errorf(ra.Unreachable, "What %s sent did not arrive as it was sent.", target).
		WithRemedy("Look for devices in between that change traffic, such as inspecting firewalls, and try again.").WithCause(err)
}

// serverWords are what a server says of a ticket.
var serverWords = map[int32]struct{ message, remedy string }{
	gsskrb.CodeSkew:     {"This server's clock and that of %s differ too much.", "Set both clocks by the same source."},
	gsskrb.CodeNotYet:   {"This server's clock and that of %s differ too much.", "Set both clocks by the same source."},
	gsskrb.CodeExpired:  {"This server's clock and that of %s differ too much.", "Set both clocks by the same source."},
	gsskrb.CodeModified: {"%s cannot read the ticket: it belongs to another account.", "Enter the service principal name of that host, and look for one that two accounts have (setspn -X)."},
	gsskrb.CodeNotUs:    {"%s is not the service of the ticket.", "Enter the service principal name of that host."},
}

func kerberosError(err error, service, target string) error {
	var said *gsskrb.Refused
	switch {
	case errors.As(err, &said):
		w, ok := serverWords[said.Code]
		if !ok {
			return refused(target).WithCause(err)
		}
		return ra.Errorf(ra.RefusedByCA, w.message, target).WithRemedy("%s", w.remedy).WithCause(err)
	case errors.Is(err, gsskrb.NotAES):
		return ra.Errorf(ra.RefusedByCA, "Kerberos with %s would use RC4, which is not done.", target).
			WithRemedy("Allow AES for the service account and for the host's account (msDS-SupportedEncryptionTypes), and set their passwords anew once.").WithCause(err)
	case errors.Is(err, gsskrb.Forged):
		return ra.Errorf(ra.RefusedByCA, "%s cannot prove that it is %s.", target, service).
			WithRemedy("Check that the name leads to the right host.").WithCause(err)
	}
	return negotiationError(err, target)
}
