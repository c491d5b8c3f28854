package posture

import (
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"time"

	"chancery/internal/ra"
)

// beforeEnd is how long before its end people have to see to an enrollment agent's
// certificate: another one takes an administrator of the CA.
const beforeEnd = 30 * 24 * time.Hour

// ofAgent finds that the certificate of the enrollment agent ends soon, or has
// ended: from then on nobody gets a certificate that is asked for on behalf of
// users. It stops no template, because until then all is well. None is no finding.
func ofAgent(c *x509.Certificate, now time.Time) []ra.Finding {
	if c == nil || c.NotAfter.Sub(now) > beforeEnd {
		return nil
	}
	state, when := "ends", "from then on"
	if now.After(c.NotAfter) {
		state, when = "has ended", "since then"
	}
	return []ra.Finding{{Condition: "AGENT", Key: "AGENT:certificate", State: ra.FindingFound, Severity: ra.SeverityDanger, Object: c.Subject.String(),
		Sentence: fmt.Sprintf("The enrollment agent's certificate %s on %s, and %s nothing is issued on behalf of users.", state, c.NotAfter.UTC().Format(time.DateOnly), when),
		Remedy:   "Request a new one for Certificate Request Agent, and enter it in the settings of the authority.",
		Hash:     fmt.Sprintf("%x %s", sha256.Sum256(c.Raw), state)}} // a sign-off does not outlive the certificate
}
