package ldapdir

import (
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
	ldapgss "github.com/go-ldap/ldap/v3/gssapi"
	"github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/types"

	"chancery/internal/krb5login"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/wire/gsskrb"
)

// Kerberos is a login by SASL with GSSAPI (RFC 4752). Both sides prove
// themselves, and no protection of its own is asked for below TLS, which Active
// Directory does not allow. It is not bound to the TLS channel: a server that
// demands channel binding refuses it.
type Kerberos struct {
	User     string // name, or name@domain
	Realm    string
	KDCs     []string // host or host:port; none: those the DNS names
	Keytab   secret.Bytes
	Password secret.Text // unless there is a keytab
}

func (c *Conn) kerberos(ctx context.Context, o Options) error {
	_, host := addressOf(c.server, o.Security)
	service := "ldap/" + strings.ToLower(host)
	login := krb5login.Login{User: o.Kerberos.User, Realm: o.Kerberos.Realm, KDCs: o.Kerberos.KDCs, Keytab: o.Kerberos.Keytab, Password: o.Kerberos.Password}
	ticket, err := login.Ticket(ctx, o.Dial, service)
	if err != nil {
		return err
	}
	err = c.ldap.GSSAPIBind(&sasl{ticket: ticket}, service, "")
	var answer *ldap.Error
	if err == nil || errors.As(err, &answer) {
		return c.loginError(err)
	}
	return ra.Errorf(ra.RefusedByCA, "The directory server %s did not prove itself by Kerberos.", c.server).
		WithRemedy("Check that it is addressed by the name its account has in the directory, and that its clock is right.").WithCause(err)
}

// sasl is the login as the library drives it. The protection of messages that
// the server offers at the end is declined.
type sasl struct {
	ticket gsskrb.Ticket
	login  *gsskrb.Login
	key    types.EncryptionKey
	seq    uint64 // of our next message
}

// InitSecContext gives the first token, and takes the server's answer to it.
func (s *sasl) InitSecContext(_ string, in []byte) (out []byte, more bool, err error) {
	if s.login == nil {
		s.login, out, err = gsskrb.Start(gsskrb.Mutual, s.ticket, time.Now())
		return out, true, err
	}
	c, _, err := s.login.Finish(in)
	if err != nil {
		return nil, false, err
	}
	s.key = types.EncryptionKey{KeyType: etypeID.AES256_CTS_HMAC_SHA1_96, KeyValue: c.Key()}
	if len(s.key.KeyValue) == 16 {
		s.key.KeyType = etypeID.AES128_CTS_HMAC_SHA1_96
	}
	s.seq = binary.BigEndian.Uint64(c.Sign(nil)[8:]) // where a token has it (RFC 4121 §4.2.6.1)
	return nil, false, nil
}

// InitSecContextWithOptions is InitSecContext: there are no options.
func (s *sasl) InitSecContextWithOptions(service string, in []byte, _ []int) ([]byte, bool, error) {
	return s.InitSecContext(service, in)
}

// NegotiateSaslAuth reads which protection the server offers, and asks for none
// (RFC 4752 §3.1).
func (s *sasl) NegotiateSaslAuth(in []byte, identity string) ([]byte, error) {
	var offer gssapi.WrapToken
	if err := ldapgss.UnmarshalWrapToken(&offer, in, true); err != nil {
		return nil, err
	}
	if ok, err := offer.Verify(s.key, keyusage.GSSAPI_ACCEPTOR_SEAL); !ok || err != nil {
		return nil, errors.Join(errors.New("the offer was not made for this login"), err)
	}
	if len(offer.Payload) != 4 || offer.Payload[0]&1 == 0 {
		return nil, errors.New("the server demands a protection of messages beside TLS")
	}
	const sumSize = 12 // of HMAC-SHA1-96
	answer := gssapi.WrapToken{Flags: offer.Flags &^ 1, EC: sumSize, SndSeqNum: s.seq, Payload: append([]byte{1, 0, 0, 0}, identity...)}
	if err := answer.SetCheckSum(s.key, keyusage.GSSAPI_INITIATOR_SEAL); err != nil {
		return nil, err
	}
	return answer.Marshal()
}

// DeleteSecContext forgets the keys.
func (s *sasl) DeleteSecContext() error {
	*s = sasl{}
	return nil
}
