package ldapdir

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"regexp"
	"syscall"
	"time"

	"github.com/go-ldap/ldap/v3"

	"chancery/internal/ra"
)

func unreachable(server string, err error) error {
	return ra.Errorf(ra.Unreachable, "The directory server %s does not answer.", server).
		WithRemedy("Check the name and the port (636 for LDAPS, 389 for StartTLS), and that a firewall lets this server through.").WithCause(err)
}

func noStartTLS(server string, err error) error {
	var refused *ldap.Error
	if errors.As(err, &refused) {
		return ra.Errorf(ra.Unreachable, "The directory server %s does not do StartTLS.", server).
			WithRemedy("Give the domain controller a certificate for TLS, or use LDAPS.").WithCause(err)
	}
	return unreachable(server, err)
}

// tlsError says why a server's certificate was not accepted.
func tlsError(server, host string, err error) error {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &unknown):
		return ra.Errorf(ra.Unreachable, "The certificate of the directory server %s comes from a CA that is not trusted here.", server).WithField("roots").
			WithRemedy("Add the root certificate of that CA to the trusted roots of the directory.").WithCause(err)
	case errors.As(err, &name):
		return ra.Errorf(ra.Unreachable, "The certificate of the directory server %s is for another name than %s.", server, host).WithField("servers").
			WithRemedy("Enter the server by the name that is in its certificate.").WithCause(err)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return ra.Errorf(ra.Unreachable, "The certificate of the directory server %s has expired, or the clock here is wrong.", server).
			WithRemedy("Renew the certificate of the domain controller.").WithCause(err)
	case errors.As(err, &invalid):
		return ra.Errorf(ra.Unreachable, "The certificate of the directory server %s is not fit for TLS.", server).
			WithRemedy("Give the domain controller a certificate for server authentication.").WithCause(err)
	case errors.As(err, &record):
		return ra.Errorf(ra.Unreachable, "The directory server %s does not speak TLS at this port.", server).WithField("servers").
			WithRemedy("Use port 636 for LDAPS, or choose StartTLS for port 389.").WithCause(err)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return ra.Errorf(ra.Unreachable, "The directory server %s ended the connection instead of encrypting it.", server).
			WithRemedy("Give the domain controller a certificate for TLS.").WithCause(err)
	}
	return unreachable(server, err)
}

// subcode finds what Active Directory means by "invalid credentials".
var subcode = regexp.MustCompile(`\bdata ([0-9a-f]{3,4}),`)

// subcodes are what they mean (system error codes in hexadecimal).
var subcodes = map[string]struct{ message, remedy string }{
	"525": {"The directory does not know the account.", "Check the user name; write it as name@domain."},
	"52e": {"The directory did not accept the password.", "Enter the account's name and password again."},
	"52f": {"The account is restricted: it may not log in this way.", "Lift the restriction, such as a blank password, in the directory."},
	"530": {"The account may not log in at this hour.", "Allow all hours for it in the directory."},
	"531": {"The account may not log in from this machine.", "Add the domain controller to the workstations it may use, or lift the restriction."},
	"532": {"The account's password has expired.", "Set a new one, let it never expire, and enter it here."},
	"533": {"The account is disabled.", "Enable it in the directory."},
	"701": {"The account has expired.", "Lift its end date in the directory."},
	"773": {"The account must change its password first.", "Clear that option of the account in the directory, or set a new password."},
	"775": {"The account is locked.", "Unlock it in the directory and look at who tried the wrong password."},
}

func (c *Conn) loginError(err error) error {
	if err == nil {
		return nil
	}
	var e *ldap.Error
	if !errors.As(err, &e) || e.ResultCode >= ldap.ErrorNetwork {
		return unreachable(c.server, err)
	}
	refused := func(message, remedy string) error {
		// Trying a refused login again and again locks the account.
		return ra.Errorf(ra.RefusedByCA, "%s", message).WithField("user").WithRemedy("%s", remedy).WithRetry(time.Hour).WithCause(causeOf(e))
	}
	switch e.ResultCode {
	case ldap.LDAPResultInvalidCredentials:
		if found := subcode.FindStringSubmatch(e.Err.Error()); found != nil {
			if known, ok := subcodes[found[1]]; ok {
				return refused(known.message, known.remedy)
			}
		}
		return refused("The directory refused the login.", "Check the user name, as name@domain, and the password.")
	case ldap.LDAPResultInvalidDNSyntax:
		return refused("The directory does not understand the user name.", "Write it as name@domain.")
	case ldap.LDAPResultStrongAuthRequired, ldap.LDAPResultConfidentialityRequired, ldap.LDAPResultAuthMethodNotSupported:
		return refused("The directory does not allow this way to log in.", "Use a name with a password. For Kerberos, Samba needs ldap server require strong auth = allow_sasl_over_tls.")
	}
	return c.otherError(e)
}

func (c *Conn) searchError(base string, err error) error {
	var e *ldap.Error
	if !errors.As(err, &e) || e.ResultCode >= ldap.ErrorNetwork {
		return unreachable(c.server, err)
	}
	switch e.ResultCode {
	case ldap.LDAPResultNoSuchObject:
		return notThere(base, causeOf(e))
	case ldap.LDAPResultInvalidDNSyntax:
		return ra.Errorf(ra.Invalid, "%.200q is not a distinguished name.", base).WithRemedy("Write it as OU=Staff,DC=example,DC=com.").WithCause(causeOf(e))
	case ldap.LDAPResultInsufficientAccessRights:
		return ra.Errorf(ra.Denied, "The account may not read %s.", base).WithRemedy("Give it the right to list and read there.").WithCause(causeOf(e))
	case ldap.LDAPResultReferral:
		return ra.Errorf(ra.NotFound, "The server %s does not hold %s and refers to another.", c.server, base).
			WithRemedy("Name a domain controller of that domain: referrals are not followed.").WithCause(causeOf(e))
	}
	return c.otherError(e)
}

func notThere(base string, err error) error {
	return ra.Errorf(ra.NotFound, "There is no %s in the directory, or the account may not see it.", base).
		WithRemedy("Check the distinguished name, and that the account may read it.").WithCause(err)
}

func (c *Conn) modifyError(dn, attribute string, err error) error {
	var e *ldap.Error
	if err == nil {
		return nil
	}
	if !errors.As(err, &e) || e.ResultCode >= ldap.ErrorNetwork {
		return unreachable(c.server, err)
	}
	switch e.ResultCode {
	case ldap.LDAPResultInsufficientAccessRights:
		return ra.Errorf(ra.Denied, "The account may not write %s of %s.", attribute, dn).
			WithRemedy("Make it a member of Cert Publishers, or delegate it the right to write %s of the users there.", attribute).WithCause(causeOf(e))
	case ldap.LDAPResultNoSuchObject:
		return notThere(dn, causeOf(e))
	case ldap.LDAPResultReferral:
		return ra.Errorf(ra.Unreachable, "The server %s cannot write and refers to another.", c.server).
			WithRemedy("Name a domain controller that is writable: referrals are not followed.").WithCause(causeOf(e))
	}
	return c.otherError(e)
}

// otherError is for what the directory says about itself.
func (c *Conn) otherError(e *ldap.Error) error {
	switch e.ResultCode {
	case ldap.LDAPResultBusy, ldap.LDAPResultUnavailable, ldap.LDAPResultTimeLimitExceeded:
		return ra.Errorf(ra.Unreachable, "The directory server %s is busy.", c.server).WithRemedy("It is asked again later; look at its load if this stays.").WithCause(causeOf(e))
	case ldap.LDAPResultSizeLimitExceeded, ldap.LDAPResultAdminLimitExceeded:
		return ra.Errorf(ra.TooLarge, "The directory server %s gives only a part of what was asked for.", c.server).
			WithRemedy("Narrow the search, or raise the server's limits for this account.").WithCause(causeOf(e))
	}
	return ra.Errorf(ra.RefusedByCA, "The directory server %s answered: %s.", c.server, ldap.LDAPResultCodeMap[e.ResultCode]).
		WithRemedy("Look at the log of the domain controller.").WithCause(causeOf(e))
}

// causeOf keeps the code and what the server says of it, bounded: the text is
// the server's.
func causeOf(e *ldap.Error) error {
	text := ""
	if e.Err != nil {
		text = e.Err.Error()
	}
	return errors.New(ldap.LDAPResultCodeMap[e.ResultCode] + ": " + text[:min(len(text), 300)])
}
