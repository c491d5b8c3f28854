package pkixmsg

import (
	"crypto"
	"testing"
)

// TestBuildCSRForAnotherKey: a request for a key that does not sign it is written,
// and passes for proof of nothing.
func TestBuildCSRForAnotherKey(t *testing.T) {
	theirs, err := GenerateKey(P256)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := GenerateKey(RSA2048)
	if err != nil {
		t.Fatal(err)
	}
	name, err := ParseDN("CN=Ada")
	if err != nil {
		t.Fatal(err)
	}
	der, err := BuildCSR(CSRRequest{Name: name, PublicKey: theirs.Public(), Signer: ours, ChallengePassword: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	csr, err := ParseCSR(der)
	if err != nil {
		t.Fatal(err)
	}
	if key, ok := csr.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !key.Equal(theirs.Public()) {
		t.Error("the request is for another key")
	}
	if err := csr.CheckSignature(); err == nil {
		t.Error("the request passes for proof of possession")
	}
	if password, _ := csr.ChallengePassword(); password != "secret" {
		t.Error("the challenge is missing")
	}
}
