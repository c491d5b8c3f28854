package peer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"chancery/bench/machine"
)

// StepCAPackage is the server of smallstep/certificates.
const StepCAPackage = "github.com/smallstep/certificates/cmd/step-ca"

// StepCAVersions are tried in order, newest first: a module proxy may refuse
// one, or something it needs.
var StepCAVersions = []string{"v0.30.2", "v0.30.1", "v0.30.0", "v0.29.0", "v0.28.4"}

const (
	stepHost        = "localhost"
	stepProvisioner = "bench"
	aes128          = 1 // step-ca's number for AES-128-CBC
)

// StepCA is step-ca as "step ca init" sets it up (badgerv2 database, which
// writes synchronously, text log) with a SCEP and a JWK provisioner. What
// differs: its replies use AES-128, as ours do, instead of its default of DES;
// and its keys lie unencrypted, which matters only at its start.
type StepCA struct {
	Program string
	Dir     string // set up by SetUp, copied by Start
	Key     KeyType
	Plain   string // host:port of its listener without TLS, which SCEP has; empty: any free one
	token   *ecdsa.PrivateKey
	kid     string
}

// SetUp makes the folder with keys and configuration. A P-256 issuing CA gets an
// RSA certificate for SCEP messages; an RSA one does both, as is the default.
func (c *StepCA) SetUp() error {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return err
	}
	root, err := issue("Bench step-ca root", P256, caUsage, true, nil)
	if err != nil {
		return err
	}
	issuing, err := issue("Bench step-ca issuing", c.Key, caUsage, true, root)
	if err != nil {
		return err
	}
	if err := root.save(c.file("root.pem"), c.file("root.key")); err != nil {
		return err
	}
	if err := issuing.save(c.file("issuing.pem"), c.file("issuing.key")); err != nil {
		return err
	}
	scep := map[string]any{"type": "SCEP", "name": "scep", "challenge": Challenge, "minimumPublicKeyLength": 2048, "encryptionAlgorithmIdentifier": aes128}
	if c.Key != RSA2048 {
		messages, err := issue("Bench step-ca SCEP", RSA2048, x509.KeyUsageDigitalSignature, false, issuing)
		if err != nil {
			return err
		}
		key, err := messages.keyPEM()
		if err != nil {
			return err
		}
		scep["decrypterCertificate"], scep["decrypterKeyPEM"] = messages.certPEM(), key
	}
	jwk, err := c.makeTokenKey()
	if err != nil {
		return err
	}
	config, err := json.MarshalIndent(map[string]any{
		"dnsNames": []string{stepHost, "127.0.0.1"}, "logger": map[string]string{"format": "text"},
		"authority": map[string]any{"provisioners": []any{scep, jwk}},
	}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(c.file("ca.json"), config, 0o600)
}

func (c *StepCA) file(name string) string { return filepath.Join(c.Dir, name) }

// makeTokenKey makes the key that signs one-time tokens, and gives the
// provisioner that trusts it.
func (c *StepCA) makeTokenKey() (map[string]any, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, err
	}
	x, y := encode(point[1:33]), encode(point[33:])
	thumbprint := sha256.Sum256(fmt.Appendf(nil, `{"crv":"P-256","kty":"EC","x":%q,"y":%q}`, x, y)) // RFC 7638
	c.token, c.kid = key, encode(thumbprint[:])
	return map[string]any{"type": "JWK", "name": stepProvisioner,
		"key": map[string]string{"use": "sig", "kty": "EC", "kid": c.kid, "crv": "P-256", "alg": "ES256", "x": x, "y": y}}, nil
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// Start starts it on a copy of its folder.
func (c *StepCA) Start(dir string, cores machine.Cores) (*Server, error) {
	if err := machine.Copy(c.Dir, dir); err != nil {
		return nil, err
	}
	api, err := machine.FreeAddress()
	if err != nil {
		return nil, err
	}
	plain, err := orFree(c.Plain)
	if err != nil {
		return nil, err
	}
	if err := place(filepath.Join(dir, "ca.json"), map[string]any{
		"root": filepath.Join(dir, "root.pem"), "crt": filepath.Join(dir, "issuing.pem"), "key": filepath.Join(dir, "issuing.key"),
		"address": api, "insecureAddress": plain, "db": map[string]string{"type": "badgerv2", "dataSource": filepath.Join(dir, "db")},
	}); err != nil {
		return nil, err
	}
	p, err := machine.Start(machine.Program{Path: c.Program, Args: []string{filepath.Join(dir, "ca.json")}, Dir: dir, Cores: cores, Log: dir + ".log",
		Env: []string{"STEPPATH=" + filepath.Join(dir, "step")}})
	if err != nil {
		return nil, err
	}
	s := &Server{Process: p, SCEP: "http://" + plain + "/scep/scep", API: api}
	tlsConfig, err := c.TLS()
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{TLSClientConfig: tlsConfig}
	defer transport.CloseIdleConnections()
	return s.await(&http.Client{Transport: transport}, "https://"+api+"/health")
}

// place adds to a JSON file what is known only when a server starts.
func place(file string, values map[string]any) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	config := map[string]any{}
	if err := json.Unmarshal(b, &config); err != nil {
		return err
	}
	for k, v := range values {
		config[k] = v
	}
	if b, err = json.MarshalIndent(config, "", "  "); err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o600)
}

// TLS trusts its root and nothing else.
func (c *StepCA) TLS() (*tls.Config, error) {
	root, err := os.ReadFile(c.file("root.pem"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(root) {
		return nil, fmt.Errorf("no certificate in %s", c.file("root.pem"))
	}
	return &tls.Config{RootCAs: pool, ServerName: stepHost}, nil
}

// Token makes the one-time token for one certificate with that name. The server
// must run already: it refuses tokens that are older than itself.
func (c *StepCA) Token(name string) (string, error) {
	now := time.Now().Unix()
	header, err := json.Marshal(map[string]string{"alg": "ES256", "kid": c.kid, "typ": "JWT"})
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{"iss": stepProvisioner, "aud": "https://" + stepHost + "/1.0/sign", "sub": name, "sans": []string{name},
		"iat": now, "nbf": now - 5, "exp": now + 3600, "jti": rand.Text()})
	if err != nil {
		return "", err
	}
	signed := encode(header) + "." + encode(claims)
	hash := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, c.token, hash[:])
	if err != nil {
		return "", err
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signed + "." + encode(signature), nil
}
