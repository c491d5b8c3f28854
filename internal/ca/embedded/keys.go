package embedded

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/url"
	"os"

	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/wire/pkixmsg"
)

// loaders open a key by the scheme of its URI. A key store of another sort is
// one more line here: all that is asked of it is a crypto.Signer.
var loaders = map[string]func(*url.URL) (crypto.Signer, error){
	"file": loadFile,
}

// maxKeyFile bounds what is read of a key file.
const maxKeyFile = 64 << 10

// loadKey opens the key a URI names, such as file:///etc/chancery/ca.key.
func loadKey(uri string) (crypto.Signer, error) {
	u, err := url.Parse(uri)
	if err == nil {
		if load := loaders[u.Scheme]; load != nil {
			return load(u)
		}
	}
	return nil, ra.Errorf(ra.Invalid, "The key address is of no kind this server knows.").WithField("key_uri").
		WithRemedy("Write it as file:///path/to/key.pem.")
}

func loadFile(u *url.URL) (crypto.Signer, error) {
	if u.Host != "" || u.Path == "" || u.RawQuery != "" {
		return nil, ra.Errorf(ra.Invalid, "The key address does not name a file.").WithField("key_uri").
			WithRemedy("Write it with three slashes and the whole path: file:///path/to/key.pem.")
	}
	info, err := os.Stat(u.Path)
	if err == nil && info.Size() > maxKeyFile {
		err = errors.New("larger than 64 KiB")
	}
	var raw []byte
	if err == nil {
		raw, err = os.ReadFile(u.Path)
	}
	if err != nil {
		return nil, ra.Errorf(ra.Invalid, "The key file cannot be read.").WithField("key_uri").
			WithRemedy("Check that %s exists and that the user of the server may read it.", u.Path).WithCause(err)
	}
	key, err := parseKey(raw)
	if err != nil {
		return nil, ra.AsError(err).WithField("key_uri")
	}
	return key, nil
}

// parseKey reads the first private key of a PEM text: PKCS #8, PKCS #1 or SEC 1.
// Errors never hold bytes of it.
func parseKey(text []byte) (crypto.Signer, error) {
	keys, err := parseKeys(text)
	if err != nil {
		return nil, err
	}
	return keys[0], nil
}

// parseKeys reads every private key of a PEM text, at least one.
func parseKeys(text []byte) ([]crypto.Signer, error) {
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

// encodeKey writes a key as PEM PKCS #8.
func encodeKey(key crypto.Signer) (secret.Text, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return secret.Text{}, err
	}
	return secret.New(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))), nil
}

// makeKey generates a key of a type from the settings.
func makeKey(keyType string) (crypto.Signer, secret.Text, error) {
	key, err := pkixmsg.GenerateKey(pkixmsg.KeyType(keyType))
	if err != nil {
		return nil, secret.Text{}, refusedSetting(err)
	}
	text, err := encodeKey(key)
	return key, text, err
}

// parseCertificates reads a bundle that the form has already accepted.
func parseCertificates(text string) ([]*x509.Certificate, error) {
	var list []*x509.Certificate
	rest := []byte(text)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return list, nil
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, ra.Errorf(ra.Invalid, "A certificate in the settings cannot be read.").
				WithRemedy("Export it again as PEM.").WithCause(err)
		}
		list = append(list, c)
	}
}

func encodeCertificates(list []*x509.Certificate) string {
	var out []byte
	for _, c := range list {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return string(out)
}

// refusedSetting makes an error of pkixmsg one about a setting.
func refusedSetting(err error) error {
	var e *pkixmsg.Error
	if errors.As(err, &e) {
		return ra.Errorf(ra.Invalid, "%s", e.Message).WithRemedy("%s", e.Remedy)
	}
	return ra.AsError(err)
}
