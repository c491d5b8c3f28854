package cms_test

import (
	"crypto"
	"errors"
	"slices"
	"testing"

	"chancery/internal/wire/cms"
	"chancery/internal/wire/cms/cmstest"
)

// TestCertificateCounts: certificates without end in a message are refused by
// their number, before their keys are looked at.
func TestCertificateCounts(t *testing.T) {
	key := cmstest.RSAKey(0)
	cert := cmstest.Plain(t, key, "signer")
	for n, want := range map[int]error{1: nil, 64: nil, 65: cms.ErrTooMany, 500: cms.ErrTooMany} {
		s := cmstest.Signed{Content: []byte("x"), Key: key, Certificate: cert, Certificates: slices.Repeat([][]byte{cert}, n), Digest: crypto.SHA256, DigestOID: oidSHA256}
		if _, err := cms.ParseSignedData(s.Message(t), cms.Limits{}); !errors.Is(err, want) {
			t.Errorf("%d certificates: got %v, want %v", n, err, want)
		}
	}
}
