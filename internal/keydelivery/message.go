package keydelivery

import (
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"chancery/internal/keypolicy"
	"chancery/internal/wire/cms"
)

// The types of messages to a key service.
const (
	typeIssued = "key.issued"
	typePing   = "ping"
)

// message is the body of a POST (Standard Webhooks 1.0, payload structure).
type message struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"` // of what happened, not of the attempt
	Data      any       `json:"data"`
}

// issued says whose key it is. Octets are in base64 without line breaks.
type issued struct {
	Delivery    string    `json:"delivery_id"`
	Certificate string    `json:"certificate_id"`
	Renews      string    `json:"renews,omitempty"`
	Template    string    `json:"template,omitempty"`
	Subject     string    `json:"subject"`
	SANs        []string  `json:"sans"`
	Serial      string    `json:"serial"`
	Fingerprint string    `json:"fingerprint"` // SHA-256 of the certificate
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	User        *holder   `json:"user,omitempty"`
	Device      *holder   `json:"device,omitempty"`
	DER         []byte    `json:"certificate_der"`
	Chain       [][]byte  `json:"chain_der"` // the issuer first
	Key         []byte    `json:"key_cms"`   // EnvelopedData (RFC 5652) with a PrivateKeyInfo (RFC 5958)
}

// holder is the user or the device of a certificate.
type holder struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Email string `json:"email,omitempty"`
	UPN   string `json:"upn,omitempty"`
}

// ping is the data of a test.
type ping struct {
	Service string `json:"key_service_id,omitempty"`
	Name    string `json:"name,omitempty"`
}

// issuedMessage writes the message with the key of a parcel, encrypted for the
// recipient alone.
func issuedMessage(p *parcel, recipient *x509.Certificate) ([]byte, error) {
	sealed, err := encrypt(p.key, recipient)
	if err != nil {
		return nil, err
	}
	c := p.certificate
	data := issued{Delivery: string(p.ID), Certificate: string(c.ID), Renews: string(c.Renews), Template: p.template, Subject: c.Subject, SANs: c.SANs, Serial: c.Serial,
		Fingerprint: c.Fingerprint, NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(), DER: c.DER, Chain: [][]byte{}, Key: sealed}
	for _, i := range p.chain[1:] {
		data.Chain = append(data.Chain, i.Raw)
	}
	if u := p.user; u != nil {
		data.User = &holder{ID: string(u.ID), Name: u.Name, Email: u.Email, UPN: u.UPN}
	}
	if d := p.device; d != nil {
		data.Device = &holder{ID: string(d.ID), Name: d.Name}
	}
	return json.Marshal(message{typeIssued, p.CreatedAt.UTC(), data})
}

// encrypt puts a key into an EnvelopedData: AES-256-CBC under a content key that
// goes by RSA-OAEP with SHA-256, or by ephemeral-static ECDH. That the message
// is whole is the signature's part.
func encrypt(key any, recipient *x509.Certificate) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	c, err := cms.ParseCertificate(recipient.Raw)
	if err != nil {
		return nil, err
	}
	address := cms.To
	if _, ok := recipient.PublicKey.(*rsa.PublicKey); ok {
		address = cms.ToOAEP
	}
	to, err := address(c)
	if err != nil {
		return nil, err
	}
	return cms.Encrypt(der, cms.OIDAES256CBC, to)
}

// sign gives the headers of a message: its ID, the time of this attempt, and a
// signature by each secret over both and the body (Standard Webhooks 1.0,
// symmetric scheme v1: HMAC-SHA256).
func sign(v *keypolicy.Settings, id string, at time.Time, body []byte) (http.Header, error) {
	stamp := strconv.FormatInt(at.Unix(), 10)
	var signatures []string
	for _, s := range v.Secrets() {
		key, err := keypolicy.SecretBytes(s)
		if err != nil {
			return nil, err
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + stamp + "."))
		mac.Write(body)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	h := http.Header{}
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", stamp)
	h.Set("webhook-signature", strings.Join(signatures, " "))
	h.Set("content-type", "application/json")
	return h, nil
}
