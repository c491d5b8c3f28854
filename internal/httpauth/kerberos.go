package httpauth

import (
	"context"
	"encoding/asn1"
	"encoding/base64"
	"net"
	"strings"
	"time"

	"chancery/internal/krb5login"
	"chancery/internal/ra"
	"chancery/internal/wire/gsskrb"
	"chancery/internal/wire/spnego"
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

// spnego gets a ticket for the host and gives the token that shows it (RFC 4559
// §4). Every call logs in at the KDC anew and forgets the tickets afterwards.
func (t *Transport) spnego(ctx context.Context, host string) (string, error) {
	l := t.Login
	service := l.SPN
	if service == "" {
		service = "HTTP/" + strings.ToLower(host)
	}
	login := krb5login.Login{User: l.User, Password: l.Password, Realm: l.Realm, KDCs: l.KDCs, Keytab: l.Keytab}
	ticket, err := login.Ticket(ctx, t.Way.Dial, service)
	if err != nil {
		return "", err
	}
	_, token, err := gsskrb.Start(gsskrb.OneWay, ticket, time.Now())
	if err != nil {
		return "", ra.Errorf(ra.RefusedByCA, "The KDC's ticket cannot be used.").WithRemedy("Allow AES for the account and the service, and set their passwords anew once.").WithCause(err)
	}
	return base64.StdEncoding.EncodeToString(spnego.First([]asn1.ObjectIdentifier{spnego.Kerberos}, token)), nil
}
