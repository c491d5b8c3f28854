package posture

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"testing"
	"time"

	"chancery/internal/adpki"
	"chancery/internal/adpki/guard"
)

// TestLogons: an authority of the directory whose certificate is good and not in the
// NTAuth store is found, and no other.
func TestLogons(t *testing.T) {
	now := time.Now()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	certificate := func(serial int64, end time.Time) []byte {
		c := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: now.Add(-time.Hour), NotAfter: end}
		der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	own, ended := certificate(1, now.Add(time.Hour)), certificate(2, now.Add(-time.Minute))
	store := func(certificates ...[]byte) *adpki.NTAuth { return &adpki.NTAuth{Certificates: certificates} }
	for name, c := range map[string]struct {
		issuer string
		store  *adpki.NTAuth
		gaps   []adpki.Gap
		want   int
	}{
		"missing":              {"CORP-CA", store(ended), nil, 1},
		"an empty store":       {"CORP-CA", nil, nil, 1},
		"there":                {"CORP-CA", store(own), nil, 0}, // one that has ended need not be
		"not in the directory": {"OTHER-CA", store(), nil, 0},
		"unreadable":           {"CORP-CA", nil, []adpki.Gap{{Part: adpki.PartNTAuth, Why: "no right"}}, 0},
	} {
		l := &look{Input: guard.Input{Authority: guard.Authority{Name: c.issuer}, Directory: &adpki.Snapshot{NTAuth: c.store, Gaps: c.gaps,
			Services: []adpki.Service{{DisplayName: "CORP-CA", Certificates: [][]byte{ended, own}}}}}}
		got := l.ofLogons(now)
		if len(got) != c.want {
			t.Errorf("%s: %+v", name, got)
		}
		for _, f := range got {
			if f.Dangerous() || f.Remedy == "" || f.Object != "CORP-CA" {
				t.Errorf("%s: %+v", name, f)
			}
		}
	}
}
