package posture

import (
	"crypto/x509"
	"slices"
	"time"

	"chancery/internal/adpki"
	"chancery/internal/ra"
)

// ofLogons finds that the domain does not take the authority's certificates for
// logons: Windows, Exchange and network access servers map a certificate to an
// account only when its issuer is in the NTAuth store. Nothing is said of an
// authority that is not in the directory, or of a store that could not be read.
func (l *look) ofLogons(now time.Time) []ra.Finding {
	service := l.service()
	if _, unread := l.Directory.Gap(adpki.PartNTAuth); unread || service == nil {
		return nil
	}
	store := l.Directory.NTAuth
	if !slices.ContainsFunc(service.Certificates, func(der []byte) bool {
		c, err := x509.ParseCertificate(der)
		return err == nil && now.Before(c.NotAfter) && (store == nil || !store.Trusts(der))
	}) {
		return nil
	}
	return []ra.Finding{{Condition: "NTAUTH", Key: "NTAUTH:authority:" + service.DN, State: ra.FindingFound, Severity: ra.SeverityWarning, Object: service.DisplayName,
		Sentence: "The domain does not take the authority's certificates for logons: its own certificate is not in the NTAuth store.",
		Remedy:   "Put it there if certificates are to log on to Windows, Exchange or the network; it needs an administrator of the forest.",
		Script:   "certutil -dspublish -f ca.cer NTAuthCA"}}
}
