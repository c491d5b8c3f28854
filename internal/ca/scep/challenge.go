package scep

import (
	"context"
	"unicode/utf8"

	"chancery/internal/ca"
	"chancery/internal/ra"
)

// maxNameLength is the upper bound of common names and organizational units (RFC
// 5280 appendix A.1), which Microsoft's CA and others enforce.
const maxNameLength = 64

// Challenge gives what a device needs to enrol at the server itself, or through
// the proxy: the address and the challenge, if there is one.
func (c *Connector) Challenge(ctx context.Context, o ca.ChallengeOrder) (ca.SCEPChallenge, error) {
	for _, rdn := range o.Subject {
		for _, a := range rdn {
			if n := utf8.RuneCountInString(a.Value); n > maxNameLength && c.devices.Marker != NoMarker {
				return ca.SCEPChallenge{}, ra.Errorf(ra.Invalid, "A part of the subject has %d characters, and the CA would shorten or refuse it; a renewal could then not be recognised.", n).WithField("subject").
					WithRemedy("Keep each part of the subject within %d characters, the renewal marker included, or use no marker.", maxNameLength).WithRetry(ra.Never)
			}
		}
	}
	given, err := c.challenges.Get(ctx, o.ID)
	if err != nil {
		return ca.SCEPChallenge{}, err
	}
	pin := digits(c.server.Fingerprint)
	if pin == "" {
		pin = digits(c.server.Thumbprint)
	}
	return ca.SCEPChallenge{URL: c.server.URL, Secret: given.Secret, ExpiresAt: given.ExpiresAt, Fingerprint: pin}, nil
}
