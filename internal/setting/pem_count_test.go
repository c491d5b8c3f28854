package setting

import (
	"strings"
	"testing"
)

// TestCertificateBundleCounts: a bundle holds so many certificates, and not one
// more.
func TestCertificateBundleCounts(t *testing.T) {
	a := certificate(t, "A")
	if bad := certificates(strings.Repeat(a, maxItems)); bad != nil {
		t.Errorf("%d certificates: %v", maxItems, bad)
	}
	if bad := certificates(strings.Repeat(a, maxItems+1)); bad == nil || !strings.Contains(bad.what, "at most 500 certificates") || bad.remedy == "" {
		t.Errorf("%d certificates: %v", maxItems+1, bad)
	}
}
