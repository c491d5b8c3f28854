package posture

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"strings"
	"testing"
	"time"
)

// TestAgent: an enrollment agent is a danger in the month before its certificate
// ends and afterwards, and a sign-off of the one is none of the other.
func TestAgent(t *testing.T) {
	end := time.Date(2027, 3, 31, 12, 0, 0, 0, time.UTC)
	c := &x509.Certificate{Raw: []byte("one"), Subject: pkix.Name{CommonName: "agent"}, NotAfter: end}
	if f := ofAgent(nil, end); f != nil {
		t.Errorf("without an agent: %+v", f)
	}
	if f := ofAgent(c, end.Add(-30*24*time.Hour-time.Second)); f != nil {
		t.Errorf("in time: %+v", f)
	}
	soon, over := ofAgent(c, end.Add(-30*24*time.Hour)), ofAgent(c, end.Add(time.Second))
	for want, f := range map[string]int{"ends on 2027-03-31": 0, "has ended on 2027-03-31": 1} {
		got := append(soon, over...)[f]
		if !strings.Contains(got.Sentence, want) || !got.Dangerous() || got.Authority || got.Template != "" || got.Object != "CN=agent" || got.Remedy == "" {
			t.Errorf("%+v", got)
		}
	}
	if soon[0].Hash == over[0].Hash || soon[0].Key != over[0].Key {
		t.Errorf("%q, %q", soon[0].Hash, over[0].Hash)
	}
	other := ofAgent(&x509.Certificate{Raw: []byte("other"), NotAfter: end}, end)
	if other[0].Hash == soon[0].Hash {
		t.Error("another certificate counts as the same")
	}
}
