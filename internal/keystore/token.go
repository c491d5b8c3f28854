//go:build pkcs11 && cgo

package keystore

import (
	"context"
	"crypto"
	"crypto/elliptic"
	"errors"
	"strings"

	"github.com/ThalesGroup/crypto11"
	p11 "github.com/miekg/pkcs11"
	"go.step.sm/crypto/kms/apiv1"

	"chancery/internal/ra"
)

// tokenStore is a token behind its library. The store of go.step.sm/crypto is
// not taken for it: with the version of crypto11 that belongs to it, it cannot
// make keys, because crypto11 has come to report a missing key as an error.
type tokenStore struct{ token *crypto11.Context }

func openToken(_ context.Context, o apiv1.Options) (apiv1.KeyManager, error) {
	a, err := attributes(o.URI)
	if err != nil {
		return nil, err
	}
	token, err := crypto11.Configure(&crypto11.Config{
		Path: a["module-path"], TokenLabel: a["token"], Pin: o.Pin, LoginNotSupported: o.Pin == "",
		MaxSessions: maxCalls + 2, PoolWaitTimeout: callTime,
	})
	if err != nil {
		return nil, err
	}
	return &tokenStore{token}, nil
}

// find gives the one key pair of an address.
func (s *tokenStore) find(uri string) (crypto.Signer, error) {
	a, err := attributes(uri)
	if err != nil {
		return nil, err
	}
	list, err := s.token.FindKeyPairs(bytesOf(a["id"]), bytesOf(a["object"]))
	switch {
	case err != nil:
		return nil, err
	case len(list) == 0:
		return nil, errMissing
	case len(list) > 1:
		return nil, ra.Errorf(ra.Invalid, "The token has several keys of that name.").
			WithRemedy("Say which one: add its id to the address, such as id=%%0A%%10.")
	}
	return list[0], nil
}

// GetPublicKey gives the public half of a key.
func (s *tokenStore) GetPublicKey(r *apiv1.GetPublicKeyRequest) (crypto.PublicKey, error) {
	k, err := s.find(r.Name)
	if err != nil {
		return nil, err
	}
	return k.Public(), nil
}

// CreateSigner finds a key.
func (s *tokenStore) CreateSigner(r *apiv1.CreateSignerRequest) (crypto.Signer, error) {
	return s.find(r.SigningKey)
}

// CreateKey makes a key that cannot leave the token.
func (s *tokenStore) CreateKey(r *apiv1.CreateKeyRequest) (*apiv1.CreateKeyResponse, error) {
	a, err := attributes(r.Name)
	if err != nil {
		return nil, err
	}
	id, label := bytesOf(a["id"]), bytesOf(a["object"])
	for _, by := range [][2][]byte{{nil, label}, {id, nil}} {
		list, err := s.token.FindKeyPairs(by[0], by[1])
		if err != nil {
			return nil, err
		}
		if len(list) > 0 {
			return nil, apiv1.AlreadyExistsError{Message: "a key has this label or id"}
		}
	}
	var k crypto11.Signer
	switch r.SignatureAlgorithm {
	case apiv1.ECDSAWithSHA256:
		k, err = s.token.GenerateECDSAKeyPairWithLabel(id, label, elliptic.P256())
	case apiv1.ECDSAWithSHA384:
		k, err = s.token.GenerateECDSAKeyPairWithLabel(id, label, elliptic.P384())
	default:
		k, err = s.token.GenerateRSAKeyPairWithLabel(id, label, r.Bits)
	}
	if err != nil {
		return nil, err
	}
	return &apiv1.CreateKeyResponse{Name: r.Name, PublicKey: k.Public()}, nil
}

// Close ends all sessions.
func (s *tokenStore) Close() error { return s.token.Close() }

func bytesOf(s string) []byte {
	if s == "" {
		return nil
	}
	return []byte(s)
}

// attributes reads those of an address.
func attributes(uri string) (map[string]string, error) {
	a, err := Parse(uri)
	return a.values, err
}

// judgeToken reads the return values of PKCS #11 v2.40 §11.1, and the few
// sentences that the library has instead of values.
func judgeToken(err error) verdict {
	var code p11.Error
	if !errors.As(err, &code) {
		switch text := err.Error(); {
		case strings.Contains(text, "could not find PKCS#11 token"), strings.Contains(text, "context is closed"), strings.Contains(text, "cannot used closed Context"):
			return away
		}
		return unclear
	}
	switch code {
	case p11.CKR_PIN_INCORRECT, p11.CKR_PIN_INVALID, p11.CKR_PIN_LEN_RANGE:
		return badPIN
	case p11.CKR_PIN_LOCKED, p11.CKR_PIN_EXPIRED:
		return locked
	case p11.CKR_KEY_TYPE_INCONSISTENT, p11.CKR_KEY_FUNCTION_NOT_PERMITTED, p11.CKR_MECHANISM_INVALID, p11.CKR_KEY_SIZE_RANGE, p11.CKR_ATTRIBUTE_VALUE_INVALID:
		return unfit
	case p11.CKR_SESSION_COUNT, p11.CKR_HOST_MEMORY, p11.CKR_DEVICE_MEMORY:
		return busy
	case p11.CKR_TOKEN_WRITE_PROTECTED, p11.CKR_SESSION_READ_ONLY:
		return denied
	case p11.CKR_DEVICE_REMOVED, p11.CKR_TOKEN_NOT_PRESENT, p11.CKR_TOKEN_NOT_RECOGNIZED, p11.CKR_SLOT_ID_INVALID, p11.CKR_SESSION_HANDLE_INVALID,
		p11.CKR_SESSION_CLOSED, p11.CKR_OBJECT_HANDLE_INVALID, p11.CKR_KEY_HANDLE_INVALID, p11.CKR_USER_NOT_LOGGED_IN, p11.CKR_CRYPTOKI_NOT_INITIALIZED,
		p11.CKR_DEVICE_ERROR, p11.CKR_GENERAL_ERROR, p11.CKR_FUNCTION_FAILED:
		return away
	}
	return unclear
}
