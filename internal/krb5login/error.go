package krb5login

import (
	"errors"
	"strings"

	"chancery/internal/ra"
)

// UnknownService is wrapped by the error of a KDC that does not know the service.
var UnknownService = errors.New("KDC_ERR_S_PRINCIPAL_UNKNOWN")

// words are what a KDC says, by the names the library gives its codes, and what it
// means for whoever filled in the form.
var words = []struct{ word, message, remedy string }{
	// First, since the library says it together with others.
	{"clock skew with KDC too large", "This server's clock and the KDC's differ too much.", "Set both clocks by the same source."},
	{"KDC_ERR_PREAUTH_FAILED", "The KDC did not accept the password or the keytab.", "Enter the account's password again, or make a new keytab."},
	// A KDC that asks for no pre-authentication leaves it to us to find out.
	{"client password/keytab incorrect", "The password or the keytab is not the account's.", "Enter the account's password again, or make a new keytab."},
	{"KDC_ERR_C_PRINCIPAL_UNKNOWN", "The KDC does not know the user.", "Check the user name and the realm."},
	{"KDC_ERR_CLIENT_REVOKED", "The account is disabled or locked.", "Unlock it in the directory."},
	{"KDC_ERR_KEY_EXPIRED", "The account's password has expired.", "Set a new one and enter it here."},
	{"KDC_ERR_ETYPE_NOSUPP", "The KDC has no AES key of the account or of the service.", "Allow AES for both, and set their passwords anew once."},
	{"KDC_ERR_WRONG_REALM", "The KDC is not of this realm.", "Check the realm."},
	{"KRB_AP_ERR_SKEW", "This server's clock and the KDC's differ too much.", "Set both clocks by the same source."},
	{"KDC_ERR_NEVER_VALID", "This server's clock and the KDC's differ too much.", "Set both clocks by the same source."},
}

// explain says what went wrong; line is what went wrong on the way to the KDC, if
// anything did.
func explain(err, line error, service string) error {
	if errors.Is(err, errKeytab) {
		return ra.Errorf(ra.Invalid, "The keytab cannot be read.").WithRemedy("Export it again and send the whole file, in base64.")
	}
	if strings.Contains(err.Error(), UnknownService.Error()) {
		return ra.Errorf(ra.RefusedByCA, "The KDC does not know the service %s.", service).
			WithRemedy("Address the server by the name its service principal has, or enter that name.").WithCause(UnknownService)
	}
	for _, w := range words {
		if strings.Contains(err.Error(), w.word) {
			return ra.Errorf(ra.RefusedByCA, "%s", w.message).WithRemedy("%s", w.remedy).WithCause(errors.New(w.word))
		}
	}
	if line != nil {
		var mine *ra.Error
		if errors.As(line, &mine) { // the dialler's own word, such as an address that may not be reached
			return line
		}
		return ra.Errorf(ra.Unreachable, "The KDC does not answer.").WithRemedy("Check the KDC's address and the network.").WithCause(line)
	}
	// The library's sentence names principals and addresses, and no secret.
	return ra.Errorf(ra.RefusedByCA, "Logging in by Kerberos failed.").WithRemedy("Check user, realm and keytab, and that the account can use AES.").WithCause(err)
}
