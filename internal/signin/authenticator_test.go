package signin

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"testing"

	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
)

// authenticator is a passkey and the browser in front of it, in software: one
// ES256 key, no attestation (WebAuthn §6, §8.7).
type authenticator struct {
	t      *testing.T
	origin string
	rp     string
	key    *ecdsa.PrivateKey
	id     []byte
	user   []byte
	count  uint32
	flags  byte // of every answer
}

const (
	userPresent  = 0x01
	userVerified = 0x04
	withKey      = 0x40
)

func newAuthenticator(t *testing.T, origin, rp string) *authenticator {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authenticator{t: t, origin: origin, rp: rp, key: key, id: make([]byte, 32), flags: userPresent | userVerified}
	rand.Read(a.id)
	return a
}

var b64 = base64.RawURLEncoding.EncodeToString

// options is what both kinds of options have for the browser.
type options struct {
	PublicKey struct {
		Challenge string
		RPID      string
		RP        struct{ ID, Name string }
		User      struct{ ID, Name, DisplayName string }
		Exclude   []struct{ ID string } `json:"excludeCredentials"`
		Allow     []struct{ ID string } `json:"allowCredentials"`
		Selection struct {
			ResidentKey      string
			UserVerification string
		} `json:"authenticatorSelection"`
		UserVerification string
		Attestation      string
	} `json:"publicKey"`
}

func (a *authenticator) read(raw json.RawMessage) (o options) {
	a.t.Helper()
	if err := json.Unmarshal(raw, &o); err != nil {
		a.t.Fatal(err)
	}
	return o
}

func (a *authenticator) client(kind, challenge string) []byte {
	return a.json(map[string]any{"type": kind, "challenge": challenge, "origin": a.origin, "crossOrigin": false})
}

func (a *authenticator) json(v any) []byte {
	a.t.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		a.t.Fatal(err)
	}
	return out
}

// data is authenticator data (WebAuthn §6.1).
func (a *authenticator) data(flags byte) []byte {
	hash := sha256.Sum256([]byte(a.rp))
	return binary.BigEndian.AppendUint32(append(hash[:], flags), a.count)
}

// create answers navigator.credentials.create.
func (a *authenticator) create(raw json.RawMessage) []byte {
	a.t.Helper()
	o := a.read(raw)
	user, err := base64.RawURLEncoding.DecodeString(o.PublicKey.User.ID)
	if err != nil {
		a.t.Fatal(err)
	}
	a.user = user
	point, err := a.key.PublicKey.Bytes()
	if err != nil {
		a.t.Fatal(err)
	}
	cose := a.cbor(map[int]any{1: 2, 3: -7, -1: 1, -2: point[1:33], -3: point[33:]}) // RFC 9053 §7.1.1
	data := append(a.data(a.flags|withKey), make([]byte, 16)...)
	data = binary.BigEndian.AppendUint16(data, uint16(len(a.id)))
	data = append(append(data, a.id...), cose...)
	return a.json(map[string]any{"id": b64(a.id), "rawId": b64(a.id), "type": "public-key", "response": map[string]any{
		"clientDataJSON":    b64(a.client("webauthn.create", o.PublicKey.Challenge)),
		"attestationObject": b64(a.cbor(map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": data})),
	}})
}

// get answers navigator.credentials.get.
func (a *authenticator) get(raw json.RawMessage) []byte {
	a.t.Helper()
	client := a.client("webauthn.get", a.read(raw).PublicKey.Challenge)
	a.count++
	data := a.data(a.flags)
	hash := sha256.Sum256(client)
	digest := sha256.Sum256(bytes.Join([][]byte{data, hash[:]}, nil))
	signature, err := ecdsa.SignASN1(rand.Reader, a.key, digest[:])
	if err != nil {
		a.t.Fatal(err)
	}
	return a.json(map[string]any{"id": b64(a.id), "rawId": b64(a.id), "type": "public-key", "response": map[string]any{
		"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(signature), "userHandle": b64(a.user),
	}})
}

func (a *authenticator) cbor(v any) []byte {
	a.t.Helper()
	out, err := webauthncbor.Marshal(v)
	if err != nil {
		a.t.Fatal(err)
	}
	return out
}
