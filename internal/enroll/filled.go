package enroll

import (
	"crypto/x509"
	"strings"

	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/store"
	"chancery/internal/wire/pkixmsg"
)

// Filled is a template filled for those whom an Ask names.
type Filled struct {
	Template *ra.Template
	Fill     *Fill
	Device   *ra.Device // nil for a user's own certificate
	User     *ra.User   // nil when there is none
}

// Filled checks every right and rule that Submit would check before it looks at
// a key, and fills the template. It is for certificates that a device gets
// elsewhere. Errors are those of Submit.
func (s *Service) Filled(tx *store.Tx, actor ra.Actor, ask Ask) (*Filled, error) {
	config, err := tx.Config()
	if err != nil {
		return nil, err
	}
	t, _, sub, err := s.subject(tx, config, actor, ask)
	if err != nil {
		return nil, err
	}
	f, err := fill(t, sub)
	if err != nil {
		return nil, final(err)
	}
	return &Filled{t, f, sub.Device, sub.User}, nil
}

// MarkerPrefix begins the text by which a certificate is known again.
const MarkerPrefix = "sceprenew-"

// Mark gives the renewal marker of a fill. A subject without one gets it in the
// attribute place, "cn" or "ou" in any letter case; it stays as it is when place
// is empty. A subject that cannot take it is Invalid.
func (f *Fill) Mark(place string) (string, error) {
	name, err := pkixmsg.ParseDN(f.Subject)
	if err != nil {
		return "", fieldError("subject", err)
	}
	for _, rdn := range name {
		for _, a := range rdn {
			if strings.HasPrefix(a.Value, MarkerPrefix) {
				return a.Value, nil
			}
		}
	}
	marker := renewalMarker(ra.Fold(place), f.Holder)
	if marker.Value == "" {
		return "", nil
	}
	name = append(name, pkixmsg.RDN{marker})
	if _, err := name.DER(); err != nil {
		return "", fieldError("subject", err)
	}
	f.Subject = name.String()
	return marker.Value, nil
}

// KeyUsage gives the bits of RFC 5280 §4.2.1.3 that a certificate of this fill
// has.
func (f *Fill) KeyUsage() x509.KeyUsage { return keyUsage(f.Usage, f.KeyType) }

// TemplateOptions reads the settings that a kind of authority adds to templates.
// It is nil when the kind adds none.
func TemplateOptions(kind ca.Kind, spec *ra.TemplateSpec) (setting.Describer, error) {
	return templateOptions(kind, spec)
}

// Supersede puts the certificate that c renews, if any, into its grace period.
func Supersede(tx *store.Tx, c *ra.Certificate, spec *ra.TemplateSpec) error {
	if c.Renews == "" {
		return nil
	}
	_, err := supersede(tx, c.Renews, c, spec)
	return err
}
