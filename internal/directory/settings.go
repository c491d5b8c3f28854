package directory

import (
	"crypto/x509"

	"chancery/internal/dirpolicy"
	"chancery/internal/ldapdir"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/setting"
	"chancery/internal/store"
)

// options say how to reach the directory.
func (s *Service) options(v *dirpolicy.Settings) (ldapdir.Options, error) {
	o := ldapdir.Options{Servers: v.Servers, Security: v.Security, User: v.User, Password: v.Password, Timeout: v.Timeout, Dial: s.dial}
	if v.Roots != "" {
		o.Roots = x509.NewCertPool()
		o.Roots.AppendCertsFromPEM([]byte(v.Roots))
	}
	if v.Login != dirpolicy.LoginKerberos {
		return o, nil
	}
	keytab, err := v.KeytabBytes()
	if err != nil {
		return o, ra.Errorf(ra.Invalid, "The keytab is not a file in base64.").WithField("settings.keytab").WithRemedy("Send what base64 -w0 makes of the file.")
	}
	o.Kerberos = &ldapdir.Kerberos{User: v.User, Realm: v.Realm, KDCs: v.KDCs, Keytab: keytab, Password: v.Password}
	return o, nil
}

// settings reads a directory's settings with its secrets unsealed.
func (s *Service) settings(tx *store.Tx, d *ra.Directory) (*dirpolicy.Settings, error) {
	v := &dirpolicy.Settings{}
	setting.Defaults(v)
	if err := setting.Load(v, d.Settings); err != nil {
		return nil, err
	}
	boxes, err := tx.Sealed(string(d.ID))
	if err != nil {
		return nil, err
	}
	for _, f := range setting.Secrets(v) {
		if box, ok := boxes[f.Name]; ok {
			plain, err := s.Box.Open(table, string(d.ID), f.Name, box)
			if err != nil {
				return nil, err
			}
			*f.Value = secret.New(string(plain))
		}
	}
	return v, nil
}

// put stores settings into the row's JSON and the sealed table. The row itself
// is stored by the caller.
func (s *Service) put(tx *store.Tx, d *ra.Directory, v *dirpolicy.Settings) (err error) {
	if d.Settings, err = setting.ToJSON(v); err != nil {
		return err
	}
	for _, f := range setting.Secrets(v) {
		if !f.Value.IsSet() {
			if err := tx.DeleteSealed(string(d.ID), f.Name); err != nil {
				return err
			}
			continue
		}
		box, err := s.Box.Seal(table, string(d.ID), f.Name, []byte(f.Value.Reveal()))
		if err != nil {
			return err
		}
		if err := tx.PutSealed(string(d.ID), f.Name, box); err != nil {
			return err
		}
	}
	return nil
}
