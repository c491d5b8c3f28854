package httpauth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"chancery/internal/ra"

	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/spnego"
)

// Prove logs in at the KDC and gets a ticket for the host, without a word to the
// server itself.
func (t *Transport) Prove(ctx context.Context) error {
	host := t.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	_, err := t.spnego(ctx, host)
	return err
}

// spnego gets a ticket for the host and gives the token that shows it. Every call
// logs in at the KDC anew and forgets the tickets afterwards.
func (t *Transport) spnego(ctx context.Context, host string) (string, error) {
	l := t.Login
	realm := strings.ToUpper(l.Realm)
	if realm == "" {
		return "", ra.Errorf(ra.Invalid, "Kerberos needs a realm.").WithRemedy("Enter the realm: the domain's DNS name in capitals.")
	}
	kdcs, err := kdcsOf(ctx, realm, l.KDCs)
	if err != nil {
		return "", err
	}
	b, err := newBridge(ctx, t.Way.Dial, kdcs)
	if err != nil {
		return "", ra.AsError(err)
	}
	defer b.close()
	header, err := l.ticket(realm, b.address(), host)
	if err != nil {
		return "", kerberosError(err, b.failure())
	}
	return header, nil
}

// kdcsOf gives the addresses to ask, those of the DNS where none are set (RFC 4120
// §7.2.3.2).
func kdcsOf(ctx context.Context, realm string, set []string) ([]string, error) {
	var out []string
	for _, a := range set {
		if _, _, err := net.SplitHostPort(a); err != nil {
			a = net.JoinHostPort(strings.Trim(a, "[]"), "88")
		}
		out = append(out, a)
	}
	if len(out) > 0 {
		return out, nil
	}
	_, found, err := net.DefaultResolver.LookupSRV(ctx, "kerberos", "tcp", realm)
	for _, s := range found {
		out = append(out, net.JoinHostPort(strings.TrimSuffix(s.Target, "."), fmt.Sprint(s.Port)))
	}
	if len(out) == 0 {
		return nil, ra.Errorf(ra.Unreachable, "The DNS names no KDC of the realm %s.", realm).WithRemedy("Enter the addresses of the domain controllers.").WithCause(err)
	}
	return out, nil
}

// aes are the only encryption types that are asked for.
var aes = []int32{etypeID.AES256_CTS_HMAC_SHA1_96, etypeID.AES128_CTS_HMAC_SHA1_96}

// ticket logs in at the KDC and wraps a service ticket. The library is kept from
// panicking over what a KDC may say.
func (l Login) ticket(realm, kdc, host string) (token string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the KDC's answer is malformed: %v", p)
		}
	}()
	c := config.New()
	c.LibDefaults.DefaultRealm, c.LibDefaults.UDPPreferenceLimit = realm, 1 // TCP only
	c.LibDefaults.DNSLookupKDC, c.LibDefaults.DNSLookupRealm, c.LibDefaults.DNSCanonicalizeHostname = false, false, false
	c.LibDefaults.DefaultTktEnctypeIDs, c.LibDefaults.DefaultTGSEnctypeIDs, c.LibDefaults.PermittedEnctypeIDs = aes, aes, aes
	c.Realms = []config.Realm{{Realm: realm, KDC: []string{kdc}}}
	user := l.User
	if _, name, ok := strings.Cut(user, `\`); ok {
		user = name
	}
	user, _, _ = strings.Cut(user, "@")
	var k *client.Client
	if l.Keytab.IsSet() {
		keys := keytab.New()
		if err := keys.Unmarshal(l.Keytab.Reveal()); err != nil {
			return "", errKeytab
		}
		k = client.NewWithKeytab(user, realm, keys, c, client.DisablePAFXFAST(true))
	} else {
		k = client.NewWithPassword(user, realm, l.Password.Reveal(), c, client.DisablePAFXFAST(true))
	}
	defer k.Destroy()
	if err := k.Login(); err != nil {
		return "", err
	}
	spn := l.SPN
	if spn == "" {
		spn = "HTTP/" + strings.ToLower(host)
	}
	r := &http.Request{Header: http.Header{}}
	if err := spnego.SetSPNEGOHeader(k, r, spn); err != nil {
		return "", err
	}
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Negotiate "), nil
}

var errKeytab = errors.New("the keytab cannot be read")

// kerberosWords are what a KDC says, by the names the library gives its codes, and
// what it means for whoever filled in the form.
var kerberosWords = []struct{ word, message, remedy string }{
	{"KDC_ERR_PREAUTH_FAILED", "The KDC did not accept the password or the keytab.", "Enter the account's password again, or make a new keytab."},
	// A KDC that asks for no pre-authentication leaves it to us to find out.
	{"client password/keytab incorrect", "The password or the keytab is not the account's.", "Enter the account's password again, or make a new keytab."},
	{"KDC_ERR_C_PRINCIPAL_UNKNOWN", "The KDC does not know the user.", "Check the user name and the realm."},
	{"KDC_ERR_S_PRINCIPAL_UNKNOWN", "The KDC does not know the service.", "Address the server by the name its service principal (HTTP/name) has, or enter that name."},
	{"KDC_ERR_CLIENT_REVOKED", "The account is disabled or locked.", "Unlock it in the directory."},
	{"KDC_ERR_KEY_EXPIRED", "The account's password has expired.", "Set a new one and enter it here."},
	{"KDC_ERR_ETYPE_NOSUPP", "The KDC has no AES key of the account or of the service.", "Allow AES for both, and set their passwords anew once."},
	{"KDC_ERR_WRONG_REALM", "The KDC is not of this realm.", "Check the realm."},
	{"KRB_AP_ERR_SKEW", "This server's clock and the KDC's differ too much.", "Set both clocks by the same source."},
	{"KDC_ERR_NEVER_VALID", "This server's clock and the KDC's differ too much.", "Set both clocks by the same source."},
}

// kerberosError says what went wrong; line is what went wrong on the way to the
// KDC, if anything did.
func kerberosError(err, line error) error {
	if errors.Is(err, errKeytab) {
		return ra.Errorf(ra.Invalid, "The keytab cannot be read.").WithRemedy("Export it again and send the whole file, in base64.")
	}
	for _, w := range kerberosWords {
		if strings.Contains(err.Error(), w.word) {
			return ra.Errorf(ra.RefusedByCA, "%s", w.message).WithRemedy("%s", w.remedy).WithCause(errors.New(w.word))
		}
	}
	if line != nil {
		return unreachable("The KDC does not answer.", line)
	}
	// The library's sentence names principals and addresses, and no secret.
	return ra.Errorf(ra.RefusedByCA, "Logging in by Kerberos failed.").WithRemedy("Check user, realm and keytab, and that the account can use AES.").WithCause(err)
}
