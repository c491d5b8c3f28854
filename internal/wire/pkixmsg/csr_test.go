package pkixmsg

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// TestParseCSRCaptures reads requests made by OpenSSL with everything in them.
func TestParseCSRCaptures(t *testing.T) {
	tests := []struct {
		file, algorithm string
		key             KeyType
		weak            bool
	}{
		{"rsa-sha256.csr", "SHA256-RSA", RSA2048, false},
		{"rsa-sha1.csr", "SHA1-RSA", RSA2048, true},
		{"rsa-pss.csr", "SHA384-RSAPSS", RSA2048, false},
		{"psskey.csr", "SHA256-RSAPSS", RSA2048, false},
		{"p521.csr", "ECDSA-SHA512", P521, false},
		{"ed25519.csr", "Ed25519", Ed25519, false},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			der := testdata(t, tt.file)
			c, err := ParseCSR(der)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.CheckSignature(); err != nil {
				t.Error(err)
			}
			if c.SignatureAlgorithm != tt.algorithm || c.WeakSignature != tt.weak || c.Key.Type != tt.key {
				t.Errorf("algorithm %s, weak %v, key %s; want %s, %v, %s", c.SignatureAlgorithm, c.WeakSignature, c.Key.Type, tt.algorithm, tt.weak, tt.key)
			}
			if err := CheckKey(c.PublicKey); err != nil {
				t.Error(err)
			}
			if !bytes.Equal(c.Raw, der) || c.SPKIHash != sha256.Sum256(c.RawSPKI) {
				t.Error("the raw request or the key hash is not of what arrived")
			}
			wantRichRequest(t, c)
			changed := bytes.Clone(der)
			changed[bytes.Index(changed, []byte("pad-0042"))] = 'q'
			if c, err = ParseCSR(changed); err != nil {
				t.Fatal(err)
			}
			wantKind(t, c.CheckSignature(), ErrSignature)
		})
	}
}

func wantRichRequest(t *testing.T, c *CSR) {
	t.Helper()
	if got, want := c.Subject.String(), `emailAddress=ada@example.com,serialNumber=F00D-1,CN=pad-0042,OU=Été,OU=Devices,O=Example\, Ltd,C=GB`; got != want {
		t.Errorf("subject = %s, want %s", got, want)
	}
	wantSANs := []GeneralName{
		{Email, "ada@example.com"}, {DNS, "pad-0042.example.com"}, {IP, "192.0.2.7"}, {IP, "2001:db8::7"},
		{URI, "tag:microsoft.com,2022-09-14:sid:" + testSID}, {UPN, "ada@corp.example"}, {Other, "1.2.3.4:16036f6464"},
		{RegisteredID, "1.2.3.4.5"}, {DirName, "CN=Directory,C=GB"},
	}
	if !reflect.DeepEqual(c.SANs, wantSANs) {
		t.Errorf("SANs = %v, want %v", c.SANs, wantSANs)
	}
	if want := []string{"1.3.6.1.5.5.7.3.2", "1.3.6.1.4.1.311.20.2.2"}; !slices.Equal(c.ExtKeyUsages, want) {
		t.Errorf("extended key usages = %v, want %v", c.ExtKeyUsages, want)
	}
	if want := x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment; c.KeyUsage != want {
		t.Errorf("key usage = %v, want %v", c.KeyUsage, want)
	}
	if c.BasicConstraints == nil || c.BasicConstraints.CA {
		t.Errorf("basic constraints = %v, want no CA", c.BasicConstraints)
	}
	if !slices.Equal(c.SIDs, []string{testSID}) {
		t.Errorf("SIDs = %v", c.SIDs)
	}
	if password, ok := c.ChallengePassword(); !ok || password != "letmein-42" {
		t.Errorf("challenge password = %q, %v", password, ok)
	}
	if len(c.Attributes) != 1 || c.Attributes[0].OID != "1.2.840.113549.1.9.2" || len(c.Attributes[0].Values) != 1 {
		t.Errorf("other attributes = %v, want unstructuredName", c.Attributes)
	}
	ext, ok := c.Extension(OIDTemplateName)
	if name, err := ParseTemplateName(ext.Value); !ok || err != nil || name != "User" {
		t.Errorf("template = %q, %v, %v", name, ok, err)
	}
	if _, ok := c.Extension("1.2.3"); ok {
		t.Error("an extension that is not there is found")
	}
}

func TestParseCSRWeakKeys(t *testing.T) {
	small, err := ParseCSR(testdata(t, "rsa-1024.csr"))
	if err != nil {
		t.Fatal(err)
	}
	if small.Key != (KeyInfo{"rsa-1024", 1024}) {
		t.Errorf("key = %v", small.Key)
	}
	wantKind(t, CheckKey(small.PublicKey), ErrKey)
	old, err := ParseCSR(testdata(t, "rsa-md5.csr"))
	if err != nil {
		t.Fatal(err)
	}
	wantKind(t, old.CheckSignature(), ErrSignature)
	_, err = ParseCSR(testdata(t, "secp256k1.csr"))
	wantKind(t, err, ErrKey)
}

// TestHugeKeyIsNotComputedWith builds a request with a modulus as large as fits.
func TestHugeKeyIsNotComputedWith(t *testing.T) {
	c, err := ParseCSR(testdata(t, "rsa-sha256.csr"))
	if err != nil {
		t.Fatal(err)
	}
	c.PublicKey = &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 400_000), E: 1<<31 - 1}
	wantKind(t, c.CheckSignature(), ErrKey)
}

// TestSecretsStayOut prints a request every way a log might.
func TestSecretsStayOut(t *testing.T) {
	c, err := ParseCSR(testdata(t, "ed25519.csr"))
	if err != nil {
		t.Fatal(err)
	}
	js, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	holder := struct{ C *CSR }{c}
	all := string(js)
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		all += fmt.Sprintf(format, c) + fmt.Sprintf(format, holder)
	}
	tree, err := Tree(c.Raw)
	if err != nil {
		t.Fatal(err)
	}
	all += tree.Text()
	for _, secret := range []string{"letmein", "6c65746d65696e", "bGV0bWVpbi"} {
		if strings.Contains(all, secret) {
			t.Errorf("%s is printed:\n%s", secret, all)
		}
	}
}

func richRequest(t testing.TB, signer crypto.Signer) CSRRequest {
	t.Helper()
	usage, err := KeyUsageExtension(x509.KeyUsageDigitalSignature)
	if err != nil {
		t.Fatal(err)
	}
	purposes, err := ExtKeyUsageExtension([]string{"1.3.6.1.5.5.7.3.2", "1.3.6.1.4.1.311.20.2.2"}, false)
	if err != nil {
		t.Fatal(err)
	}
	sid, err := SIDExtension(testSID)
	if err != nil {
		t.Fatal(err)
	}
	uri, err := SIDURI("S-1-5-21-1-2-3-500")
	if err != nil {
		t.Fatal(err)
	}
	return CSRRequest{
		Name: mustDN(t, `CN=Ada Lovelace+UID=ada,OU=Engines\, Analytical,O=Example,DC=corp,E=ada@example.com,C=GB`),
		SANs: []GeneralName{{Email, "ada@example.com"}, {UPN, "zoë@corp.example"}, {DNS, "*.example.com"}, {IP, "2001:db8::7"}, uri,
			{DirName, "CN=Ada,C=GB"}, {GUID, "12345678-9abc-def0-1234-56789abcdef0"}, {RegisteredID, "1.2.3.4"}, {Other, "1.2.3.4:0c0161"}},
		Extensions:        []Extension{usage, purposes, sid},
		Attributes:        []RequestAttribute{{OID: "1.3.6.1.4.1.311.13.2.3", Values: [][]byte{unhex(t, "160a31302e302e3139303435")}}},
		ChallengePassword: "letmein_42",
		Signer:            signer,
	}
}

func TestBuildCSR(t *testing.T) {
	for _, kind := range []KeyType{RSA2048, P256, P384, P521, Ed25519} {
		t.Run(string(kind), func(t *testing.T) {
			signer, err := GenerateKey(kind)
			if err != nil {
				t.Fatal(err)
			}
			r := richRequest(t, signer)
			der, err := BuildCSR(r)
			if err != nil {
				t.Fatal(err)
			}
			c, err := ParseCSR(der)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.CheckSignature(); err != nil {
				t.Error(err)
			}
			if !c.Subject.Equal(r.Name) || !reflect.DeepEqual(c.SANs, r.SANs) || c.Key.Type != kind {
				t.Errorf("subject %s, SANs %v, key %v", c.Subject, c.SANs, c.Key)
			}
			if !slices.Equal(c.SIDs, []string{testSID, "S-1-5-21-1-2-3-500"}) {
				t.Errorf("SIDs = %v", c.SIDs)
			}
			if !reflect.DeepEqual(c.Extensions[1:], r.Extensions) || !reflect.DeepEqual(c.Attributes, r.Attributes) {
				t.Errorf("extensions %v, attributes %v", c.Extensions, c.Attributes)
			}
			if password, _ := c.ChallengePassword(); password != r.ChallengePassword {
				t.Errorf("challenge password = %q", password)
			}
			std, err := x509.ParseCertificateRequest(der)
			if err != nil || std.CheckSignature() != nil {
				t.Errorf("crypto/x509: %v, %v", err, std.CheckSignature())
			}
		})
	}
}

func TestBuildCSRPlain(t *testing.T) {
	der, err := BuildCSR(CSRRequest{Signer: fixedKey()})
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseCSR(der)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := c.ChallengePassword(); ok || len(c.Subject)+len(c.Extensions)+len(c.Attributes) != 0 {
		t.Errorf("a plain request holds %v", c)
	}
}

func TestBuildCSRRefuses(t *testing.T) {
	small, err := BuildCSR(CSRRequest{})
	wantKind(t, err, ErrKey)
	if small != nil {
		t.Error("bytes come with an error")
	}
	for _, tt := range []struct {
		name   string
		kind   error
		change func(*CSRRequest)
	}{
		{"name too long", ErrBounds, func(r *CSRRequest) { r.Name = mustDN(t, "C=GBR") }},
		{"bad SAN", ErrSyntax, func(r *CSRRequest) { r.SANs = []GeneralName{{IP, "x"}} }},
		{"SAN twice", ErrBounds, func(r *CSRRequest) { r.Extensions = []Extension{{OID: OIDSubjectAltName}} }},
		{"bad extension", ErrSyntax, func(r *CSRRequest) { r.Extensions = []Extension{{OID: "x"}} }},
		{"attribute twice", ErrBounds, func(r *CSRRequest) { r.Attributes = append(r.Attributes, r.Attributes...) }},
		{"empty attribute", ErrEncoding, func(r *CSRRequest) { r.Attributes = []RequestAttribute{{OID: "1.2.3"}} }},
		{"bad attribute", ErrSyntax, func(r *CSRRequest) { r.Attributes[0].OID = "x" }},
		{"long challenge", ErrBounds, func(r *CSRRequest) { r.ChallengePassword = strings.Repeat("x", maxChallenge+1) }},
		{"challenge not text", ErrBounds, func(r *CSRRequest) { r.ChallengePassword = "\xff" }},
		{"too large", ErrTooLarge, func(r *CSRRequest) { r.Extensions[0].Value = make([]byte, MaxCSRBytes) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := richRequest(t, fixedKey())
			tt.change(&r)
			_, err := BuildCSR(r)
			wantKind(t, err, tt.kind)
		})
	}
}

// attribute encodes an attribute with values, without any check.
func attribute(oid string, values ...[]byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addOID(b, oid)
		b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) { b.AddBytes(bytes.Join(values, nil)) })
	})
	return b.BytesOrPanic()
}

func extensionList(list ...Extension) []byte {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, e := range list {
			e.add(b)
		}
	})
	return b.BytesOrPanic()
}

// request signs a request of any version with any attributes; nil leaves the
// attributes out altogether.
func request(t testing.TB, version int64, attributes []byte) []byte {
	t.Helper()
	key := fixedKey()
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	var info cryptobyte.Builder
	info.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(version)
		b.AddBytes([]byte{0x30, 0})
		b.AddBytes(spki)
		if attributes != nil {
			b.AddASN1(tagExplicit0, func(b *cryptobyte.Builder) { b.AddBytes(attributes) })
		}
	})
	tbs := info.BytesOrPanic()
	signature, err := key.Sign(nil, tbs, crypto.Hash(0))
	if err != nil {
		t.Fatal(err)
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { addOID(b, oidEd25519) })
		b.AddASN1BitString(signature)
	})
	return b.BytesOrPanic()
}

func TestParseCSRChallenge(t *testing.T) {
	for _, tt := range []struct{ name, value, want string }{
		{"PrintableString", "1301 61", "a"}, {"UTF8String", "0c02 c3a9", "é"}, {"IA5String", "1601 40", "@"},
		{"T61String", "1401 e9", "é"}, {"BMPString", "1e02 00e9", "é"}, {"empty", "1300", ""},
	} {
		c, err := ParseCSR(request(t, 0, attribute(OIDChallengePassword, unhex(t, tt.value))))
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if got, ok := c.ChallengePassword(); got != tt.want || ok != (tt.want != "") {
			t.Errorf("%s = %q, %v; want %q", tt.name, got, ok, tt.want)
		}
	}
	a := unhex(t, "130161")
	for name, attributes := range map[string][]byte{
		"two values":     attribute(OIDChallengePassword, a, unhex(t, "130162")),
		"two attributes": append(attribute(OIDChallengePassword, a), attribute(OIDChallengePassword, a)...),
		"no string":      attribute(OIDChallengePassword, unhex(t, "020101")),
	} {
		if _, err := ParseCSR(request(t, 0, attributes)); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: error = %v, want ErrEncoding", name, err)
		}
	}
}

func TestParseCSRExtensionAttributes(t *testing.T) {
	san, err := SubjectAltName(nil, []GeneralName{{DNS, "a.example"}})
	if err != nil {
		t.Fatal(err)
	}
	policies := Extension{OID: OIDApplicationPolicies, Value: unhex(t, "300c300a06082b06010505070302")}
	both := append(attribute(OIDMicrosoftExtensionsAttr, extensionList(policies)), attribute(OIDExtensionRequest, extensionList(san))...)
	c, err := ParseCSR(request(t, 0, both))
	if err != nil || len(c.Extensions) != 2 || c.SANs[0].Value != "a.example" {
		t.Fatalf("two attributes: %v, %v", c, err)
	}
	if c, err := ParseCSR(request(t, 0, nil)); err != nil || c.CheckSignature() != nil {
		t.Errorf("without attributes: %v", err)
	}
	value := func(oid, hex string) []byte {
		return attribute(OIDExtensionRequest, extensionList(Extension{OID: oid, Value: unhex(t, hex)}))
	}
	for name, attributes := range map[string][]byte{
		"one extension in both": append(attribute(OIDMicrosoftExtensionsAttr, extensionList(san)), attribute(OIDExtensionRequest, extensionList(san))...),
		"two lists":             attribute(OIDExtensionRequest, extensionList(san), extensionList(policies)),
		"no list":               attribute(OIDExtensionRequest),
		"list is no sequence":   attribute(OIDExtensionRequest, unhex(t, "0500")),
		"extension is none":     attribute(OIDExtensionRequest, unhex(t, "30023000")),
		"bad SAN":               value(OIDSubjectAltName, "0500"),
		"bad key usage":         value(OIDKeyUsage, "0500"),
		"bad purposes":          value(OIDExtKeyUsage, "3000"),
		"bad constraints":       value(OIDBasicConstraints, "0500"),
		"bad SID":               value(OIDSecurityIdentifier, "3000"),
		"attribute is none":     unhex(t, "3000"),
	} {
		if _, err := ParseCSR(request(t, 0, attributes)); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: error = %v, want ErrEncoding", name, err)
		}
	}
	many := bytes.Repeat(attribute("1.2.3", unhex(t, "0500")), maxAttributes+1)
	if _, err := ParseCSR(request(t, 0, many)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("65 attributes: error = %v, want ErrTooLarge", err)
	}
	ca, err := ParseCSR(request(t, 0, value(OIDBasicConstraints, "30060101ff020100")))
	if err != nil || *ca.BasicConstraints != (BasicConstraints{true, 0}) {
		t.Errorf("a request for a CA: %v, %v", ca, err)
	}
}

func TestParseCSRRefuses(t *testing.T) {
	good := testdata(t, "ed25519.csr")
	for name, der := range map[string][]byte{
		"nothing": nil, "trailing byte": append(bytes.Clone(good), 0), "truncated": good[:len(good)-1],
		"version 1": request(t, 1, nil), "a certificate": testdata(t, "ca.crt"),
	} {
		if _, err := ParseCSR(der); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: error = %v, want ErrEncoding", name, err)
		}
	}
	if _, err := ParseCSR(make([]byte, MaxCSRBytes+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("65537 bytes: error = %v, want ErrTooLarge", err)
	}
}

// TestCheckSignatureConfusion puts the algorithm of one request on the key of
// another.
func TestCheckSignatureConfusion(t *testing.T) {
	var requests []*CSR
	for _, file := range []string{"rsa-sha256.csr", "rsa-pss.csr", "p521.csr", "ed25519.csr"} {
		c, err := ParseCSR(testdata(t, file))
		if err != nil {
			t.Fatal(err)
		}
		requests = append(requests, c)
	}
	for i, c := range requests {
		for j, other := range requests {
			if i == j {
				continue
			}
			mixed := *c
			mixed.algorithm = other.algorithm
			wantKind(t, mixed.CheckSignature(), ErrSignature)
		}
	}
}

// TestPSSParameters reads AlgorithmIdentifiers of RSASSA-PSS in every shape.
func TestPSSParameters(t *testing.T) {
	const (
		pss    = "06092a864886f70d01010a"
		sha256 = "300d06096086480165030402010500"
		bare   = "300b0609608648016503040201" // without NULL
		mgf    = "301a06092a864886f70d010108" + sha256
	)
	for _, tt := range []struct {
		name, der string
		want      signatureAlgorithm
	}{
		{"no parameters", "300b" + pss, signatureAlgorithm{"SHA1-RSAPSS", pssScheme, crypto.SHA1, 20}},
		{"defaults", "300d" + pss + "3000", signatureAlgorithm{"SHA1-RSAPSS", pssScheme, crypto.SHA1, 20}},
		{"SHA-256", "3041" + pss + "3034" + "a00f" + sha256 + "a11c" + mgf + "a203020120",
			signatureAlgorithm{"SHA256-RSAPSS", pssScheme, crypto.SHA256, 32}},
		{"hash without NULL", "303f" + pss + "3032" + "a00d" + bare + "a11c" + mgf + "a203020120",
			signatureAlgorithm{"SHA256-RSAPSS", pssScheme, crypto.SHA256, 32}},
		{"mask of another hash", "301e" + pss + "3011" + "a00f" + sha256, signatureAlgorithm{name: oidPSS}},
		{"other trailer", "3012" + pss + "3005" + "a303020102", signatureAlgorithm{name: oidPSS}},
	} {
		got, err := parseSignatureAlgorithm(unhex(t, tt.der))
		if err != nil || got != tt.want {
			t.Errorf("%s = %v, %v; want %v", tt.name, got, err, tt.want)
		}
	}
	for name, der := range map[string]string{
		"nothing": "", "no identifier": "3000", "two parameters": "300f" + pss + "05000500", "parameters are none": "300d" + pss + "0500",
		"negative salt": "3012" + pss + "3005" + "a2030201ff", "empty field": "300f" + pss + "3002" + "a200", "unknown field": "300f" + pss + "3002" + "a400",
	} {
		if _, err := parseSignatureAlgorithm(unhex(t, der)); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: error = %v, want ErrEncoding", name, err)
		}
	}
}
