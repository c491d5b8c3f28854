package keystore

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"os"
	"strings"

	"chancery/internal/ra"
	"chancery/internal/secret"
)

// maxFile bounds what is read of a file.
const maxFile = 64 << 10

func openFile(path string) (crypto.Signer, error) {
	raw, err := read(path)
	if err != nil {
		return nil, ra.Errorf(ra.Invalid, "The key file cannot be read.").
			WithRemedy("Check that %s exists and that the user of the server may read it.", path).WithCause(err)
	}
	keys, err := ParsePEM(raw)
	if err != nil {
		return nil, err
	}
	return keys[0], nil
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(raw) > maxFile {
		err = errors.New("larger than 64 KiB")
	}
	return raw, err
}

// ParsePEM reads every private key of a PEM text, at least one: PKCS #8,
// PKCS #1 or SEC 1. Errors are Invalid and never hold bytes of the text.
func ParsePEM(text []byte) ([]crypto.Signer, error) {
	const remedy = "Give the key as PEM without a password, such as openssl pkey writes it."
	var keys []crypto.Signer
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		var key any
		var err error
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
			return nil, ra.Errorf(ra.Invalid, "The private key is locked with a password.").
				WithRemedy("Unlock it first, for example with openssl pkey -in locked.pem; it is sealed again here.")
		case block.Type == "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case block.Type == "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case block.Type == "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		default:
			continue // EC PARAMETERS, certificates
		}
		signer, ok := key.(crypto.Signer)
		if err != nil || !ok {
			return nil, ra.Errorf(ra.Invalid, "The private key cannot be read.").WithRemedy(remedy)
		}
		keys = append(keys, signer)
	}
	if len(keys) == 0 {
		return nil, ra.Errorf(ra.Invalid, "There is no private key in the text.").WithRemedy(remedy)
	}
	return keys, nil
}

// pinFile gives the path that a pin-source attribute names: a file: URI or the
// path itself (RFC 7512 §2.4). Commands are not run.
func pinFile(source string) (string, error) {
	path := strings.TrimPrefix(strings.TrimPrefix(source, "file://"), "file:")
	if source != "" && !strings.HasPrefix(path, "/") {
		return "", ra.Errorf(ra.Invalid, "The pin-source of the key address does not name a file.").
			WithRemedy("Write it as pin-source=file:/path/to/pin; the file holds the PIN and nothing else.")
	}
	return path, nil
}

// readPIN gives the PIN for an address: the one from the settings, or what the
// file of pin-source holds now.
func readPIN(a Address, given secret.Text) (secret.Text, error) {
	path, err := pinFile(a.values["pin-source"])
	if err != nil || path == "" || given.IsSet() {
		return given, err
	}
	raw, err := read(path)
	if err != nil {
		return secret.Text{}, ra.Errorf(ra.Denied, "The file with the PIN of the token cannot be read.").
			WithRemedy("Check that the file of pin-source exists and that the user of the server may read it.").WithCause(err)
	}
	return secret.New(string(bytes.TrimRight(raw, "\r\n \t"))), nil
}
