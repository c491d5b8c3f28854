package keystore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/wire/pkixmsg"
)

// awsDouble speaks the JSON 1.1 protocol of AWS KMS as its public API
// reference has it, as far as signing keys go, and refuses everything that the
// service would refuse.
type awsDouble struct {
	t       *testing.T
	mu      sync.Mutex
	keys    map[string]*awsKey
	aliases map[string]string
	next    []string // errors for the next calls
	calls   []string
}

type awsKey struct {
	signer crypto.Signer
	spec   string
	off    bool
}

// SigV4: the header's form, with the service and region it must be for.
var sigV4 = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/[0-9]{8}/eu-north-1/kms/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=[0-9a-f]{64}$`)

func (d *awsDouble) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	refuse := func(status int, code, message string) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]string{"__type": code, "message": message})
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	operation, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), "TrentService.")
	if err != nil || r.Method != http.MethodPost || r.URL.Path != "/" || !ok || r.Header.Get("Content-Type") != "application/x-amz-json-1.1" {
		refuse(400, "SerializationException", "not a call")
		return
	}
	m := sigV4.FindStringSubmatch(r.Header.Get("Authorization"))
	if m == nil || !strings.Contains(";"+m[1]+";", ";host;") || !strings.Contains(";"+m[1]+";", ";x-amz-date;") || !strings.Contains(";"+m[1]+";", ";x-amz-target;") ||
		!regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z$`).MatchString(r.Header.Get("X-Amz-Date")) {
		refuse(400, "IncompleteSignature", "the request is not signed")
		return
	}
	d.calls = append(d.calls, operation)
	if len(d.next) > 0 {
		code := d.next[0]
		d.next = d.next[1:]
		refuse(400, code, "told to")
		return
	}
	var in struct {
		KeyID                                                                             string `json:"KeyId"`
		KeySpec, KeyUsage, AliasName, TargetKeyID, Message, MessageType, SigningAlgorithm string
		Raw                                                                               []byte `json:"-"`
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil || json.Unmarshal(body, &in) != nil {
		refuse(400, "SerializationException", "not JSON")
		return
	}
	var out any
	switch operation {
	case "CreateKey":
		if in.KeyUsage != "SIGN_VERIFY" {
			refuse(400, "ValidationException", "usage")
			return
		}
		signer, err := map[string]func() (crypto.Signer, error){
			"ECC_NIST_P256": func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) },
			"RSA_2048":      func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) },
		}[in.KeySpec]()
		if err != nil {
			d.t.Error(err)
		}
		id := make([]byte, 16)
		_, _ = rand.Read(id)
		name := hex.EncodeToString(id)
		name = name[:8] + "-" + name[8:12] + "-" + name[12:16] + "-" + name[16:20] + "-" + name[20:]
		d.keys[name] = &awsKey{signer: signer, spec: in.KeySpec}
		out = map[string]any{"KeyMetadata": map[string]any{"KeyId": name, "KeyUsage": "SIGN_VERIFY", "KeySpec": in.KeySpec, "Enabled": true}}
	case "CreateAlias":
		if !strings.HasPrefix(in.AliasName, "alias/") || d.keys[in.TargetKeyID] == nil {
			refuse(400, "NotFoundException", "no such key")
			return
		}
		if d.aliases[in.AliasName] != "" {
			refuse(400, "AlreadyExistsException", "alias")
			return
		}
		d.aliases[in.AliasName] = in.TargetKeyID
		out = map[string]any{}
	case "GetPublicKey", "Sign":
		k := d.keys[in.KeyID]
		switch {
		case k == nil:
			refuse(400, "NotFoundException", "no such key")
			return
		case k.off:
			refuse(400, "DisabledException", "the key is disabled")
			return
		case operation == "GetPublicKey":
			der, err := x509.MarshalPKIXPublicKey(k.signer.Public())
			if err != nil {
				d.t.Error(err)
			}
			out = map[string]any{"KeyId": in.KeyID, "PublicKey": der, "KeyUsage": "SIGN_VERIFY", "KeySpec": k.spec}
		default:
			var message []byte
			want := map[string]string{"ECC_NIST_P256": "ECDSA_SHA_256", "RSA_2048": "RSASSA_PKCS1_V1_5_SHA_256"}[k.spec]
			if json.Unmarshal(fields["Message"], &message) != nil || in.MessageType != "DIGEST" || len(message) != 32 || in.SigningAlgorithm != want {
				refuse(400, "ValidationException", "digest or algorithm")
				return
			}
			signature, err := k.signer.Sign(rand.Reader, message, crypto.SHA256)
			if err != nil {
				d.t.Error(err)
			}
			out = map[string]any{"KeyId": in.KeyID, "Signature": signature, "SigningAlgorithm": want}
		}
	default:
		refuse(400, "UnknownOperationException", operation)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_ = json.NewEncoder(w).Encode(out)
}

// inAWS starts a double and points the surroundings of the process to it.
func inAWS(t *testing.T) (*awsDouble, *httptest.Server) {
	d := &awsDouble{t: t, keys: map[string]*awsKey{}, aliases: map[string]string{}}
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	empty := filepath.Join(t.TempDir(), "none")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_KMS": server.URL, "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": empty, "AWS_SHARED_CREDENTIALS_FILE": empty, "AWS_MAX_ATTEMPTS": "1",
	} {
		t.Setenv(name, value)
	}
	return d, server
}

func TestAWS(t *testing.T) {
	d, server := inAWS(t)
	s := &Stores{}
	for _, kind := range []pkixmsg.KeyType{pkixmsg.P256, pkixmsg.RSA2048} {
		made, address, err := s.Create(t.Context(), "awskms:name=issuing;region=eu-north-1", secret.Text{}, kind)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(address, "awskms:key-id=") || !strings.HasSuffix(address, ";region=eu-north-1") {
			t.Errorf("the address of a new key: %s", address)
		}
		k, err := s.Open(t.Context(), address, secret.Text{})
		if err != nil {
			t.Fatal(err)
		}
		if !same(made.Public(), k.Public()) {
			t.Error("the key that was made is another one than that at its address")
		}
		signature, err := k.Sign(rand.Reader, digest[:], crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		switch pub := k.Public().(type) {
		case *ecdsa.PublicKey:
			if !ecdsa.VerifyASN1(pub, digest[:], signature) {
				t.Error("the signature does not verify")
			}
		case *rsa.PublicKey:
			if err := rsa.VerifyPKCS1v15(pub, crypto.SHA256, digest[:], signature); err != nil {
				t.Error(err)
			}
		}
	}
	_, address, err := s.Create(t.Context(), "awskms:name=third;region=eu-north-1", secret.Text{}, pkixmsg.P256)
	if err != nil {
		t.Fatal(err)
	}
	k, err := s.Open(t.Context(), address, secret.Text{})
	if err != nil {
		t.Fatal(err)
	}
	for code, kind := range map[string]ra.Kind{"AccessDeniedException": ra.Denied, "KMSInvalidStateException": ra.Invalid, "KMSInternalException": ra.Unreachable, "ThrottlingException": ra.Unreachable} {
		d.mu.Lock()
		d.next = []string{code}
		d.mu.Unlock()
		_, err := k.Sign(rand.Reader, digest[:], crypto.SHA256)
		if e := ra.AsError(err); e.Kind != kind || e.Remedy == "" || strings.Contains(e.Message, "told to") {
			t.Errorf("%s: %+v", code, e)
		}
	}
	if _, err := s.Open(t.Context(), "awskms:key-id=00000000-0000-0000-0000-000000000000;region=eu-north-1", secret.Text{}); ra.KindOf(err) != ra.NotFound {
		t.Errorf("a key that is not there: %v", err)
	}
	server.CloseClientConnections()
	if err := signs(k); err != nil {
		t.Errorf("after the line was cut: %v", err)
	}
	server.Close()
	if _, err := k.Sign(rand.Reader, digest[:], crypto.SHA256); ra.KindOf(err) != ra.Unreachable {
		t.Errorf("a service that is not there: %v", err)
	}
}

func BenchmarkMemoryP256(b *testing.B) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	benchmark(b, k)
}

func BenchmarkMemoryRSA2048(b *testing.B) {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	benchmark(b, k)
}

func benchmark(b *testing.B, k crypto.Signer) {
	sum := sha256.Sum256([]byte("message"))
	for b.Loop() {
		if _, err := k.Sign(rand.Reader, sum[:], crypto.SHA256); err != nil {
			b.Fatal(err)
		}
	}
}
