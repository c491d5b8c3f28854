package console

import (
	"net/url"

	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/setting"
)

func certificateURL(c *ra.Certificate) string { return "/certificates/" + string(c.ID) }

// commentForm is a sentence for the record.
type commentForm struct{ Comment string }

// Describe names the field.
func (f *commentForm) Describe(s *setting.Form) {
	s.Multiline(&f.Comment, "comment", "Comment").MaxLength(512).Help("Kept in the audit log.")
}

// reasonWords are the reasons of RFC 5280 as people say them.
var reasonWords = map[ra.RevocationReason]string{ra.Unspecified: "Not said", ra.KeyCompromise: "The key is known to others", ra.CACompromise: "The authority is compromised",
	ra.AffiliationChanged: "The holder's affiliation changed", ra.SupersededReason: "It was replaced", ra.CessationOfOperation: "It is no longer needed", ra.CertificateHold: "On hold",
	ra.PrivilegeWithdrawn: "A privilege was withdrawn", ra.AACompromise: "An attribute authority is compromised"}

// revokeForm says why a certificate is revoked.
type revokeForm struct {
	Reason  string
	Comment string
}

// Describe names the fields.
func (f *revokeForm) Describe(s *setting.Form) {
	c := s.Choice(&f.Reason, "reason", "Reason").Default(ra.Unspecified.String())
	for _, r := range ra.Reasons {
		if r != ra.CertificateHold {
			c.Options(setting.Option{Value: r.String(), Label: reasonWords[r]})
		}
	}
	s.Multiline(&f.Comment, "comment", "Comment").MaxLength(512).Help("Kept in the audit log, never in the certificate.")
}

func (v *visit) revokePage() error {
	f := &revokeForm{}
	setting.Defaults(f)
	return v.askRevoke(f, nil, nil)
}

func (v *visit) askRevoke(f *revokeForm, posted url.Values, wrong error) error {
	c, err := v.loadCertificate()
	if err != nil {
		return err
	}
	return v.confirm(confirmView{Title: "Revoke the certificate", About: c.Subject,
		Effect: []string{"It counts as revoked at once; the next revocation list and OCSP answer say so.", "This cannot be taken back. To stop it for a while only, put it on hold."},
		Form:   form{Cancel: certificateURL(c), Danger: true}, CLI: []string{"chancery certificate revoke " + string(c.ID) + " --reason keyCompromise"}}, f, posted, wrong)
}

func (v *visit) revoke() error {
	c, err := v.loadCertificate()
	if err != nil {
		return err
	}
	posted, err := v.form()
	if err != nil {
		return err
	}
	f := &revokeForm{}
	setting.Defaults(f)
	if err := setting.FromForm(f, posted); err != nil {
		return v.askRevoke(f, posted, err)
	}
	reason, err := ra.ParseReason(f.Reason)
	if err == nil {
		_, err = v.Lifecycle.Revoke(v.ctx(), v.actor, c.ID, reason, f.Comment)
	}
	if err != nil {
		return v.askRevoke(f, posted, err)
	}
	return v.done(certificateURL(c), "The certificate is revoked.")
}

func (v *visit) holdPage() error { return v.askHold(nil, nil) }

func (v *visit) askHold(posted url.Values, wrong error) error {
	c, err := v.loadCertificate()
	if err != nil {
		return err
	}
	return v.confirm(confirmView{Title: "Put the certificate on hold", About: c.Subject,
		Effect: []string{"Relying parties refuse it from the next revocation list or OCSP answer on.", "You can lift the hold at any time before it expires."},
		Form:   form{Cancel: certificateURL(c), Danger: true}, CLI: []string{"chancery certificate revoke " + string(c.ID) + " --reason certificateHold"}}, &commentForm{}, posted, wrong)
}

func (v *visit) hold() error {
	return v.changeHold(ra.CertificateHold, v.askHold, "The certificate is on hold.")
}

func (v *visit) unholdPage() error { return v.askUnhold(nil, nil) }

func (v *visit) askUnhold(posted url.Values, wrong error) error {
	c, err := v.loadCertificate()
	if err != nil {
		return err
	}
	return v.confirm(confirmView{Title: "Lift the hold", About: c.Subject, Effect: []string{"It is valid again; the next revocation list no longer names it."},
		Form: form{Cancel: certificateURL(c)}, CLI: []string{"chancery certificate unhold " + string(c.ID)}}, &commentForm{}, posted, wrong)
}

func (v *visit) unhold() error {
	return v.changeHold(ra.RemoveFromCRL, v.askUnhold, "The hold is lifted.")
}

func (v *visit) changeHold(reason ra.RevocationReason, again func(url.Values, error) error, notice string) error {
	c, err := v.loadCertificate()
	if err != nil {
		return err
	}
	posted, err := v.form()
	if err != nil {
		return err
	}
	var f commentForm
	if err := setting.FromForm(&f, posted); err != nil {
		return again(posted, err)
	}
	if _, err := v.Lifecycle.Revoke(v.ctx(), v.actor, c.ID, reason, f.Comment); err != nil {
		return again(posted, err)
	}
	return v.done(certificateURL(c), notice)
}

func (v *visit) renewPage() error { return v.askRenew(nil, nil) }

func (v *visit) askRenew(posted url.Values, wrong error) error {
	c, err := v.loadCertificate()
	if err != nil {
		return err
	}
	return v.confirm(confirmView{Title: "Renew the certificate", About: c.Subject,
		Effect: []string{"A new key is made and a new certificate asked for with the template as it is now.", "The present one stays in use until its grace period is over."},
		Form:   form{Cancel: certificateURL(c), Submit: "Renew now"}, CLI: []string{"chancery certificate renew " + string(c.ID)}}, nil, posted, wrong)
}

func (v *visit) renew() error {
	c, err := v.loadCertificate()
	if err != nil {
		return err
	}
	r, err := v.Lifecycle.Renew(v.ctx(), v.actor, c.ID, true)
	if err != nil {
		return v.askRenew(nil, err)
	}
	if r.CertificateID != "" {
		return v.done("/certificates/"+string(r.CertificateID), "The certificate is renewed. This is the new one.")
	}
	return v.done("/requests/"+string(r.ID), "The renewal is asked for.")
}

// keyForm says how a key is handed out.
type keyForm struct {
	Password string // typed or suggested; never shown again
	Encoding string
}

// Describe names the fields.
func (f *keyForm) Describe(s *setting.Form) {
	s.Text(&f.Password, "password", "Password of the file").Required().MaxLength(256).Help("Copy this one, or type your own with at least 8 characters. It is not kept and not shown again.")
	s.Choice(&f.Encoding, "encoding", "Encryption").Default(enroll.PKCS12Modern).Options(
		setting.Option{Value: enroll.PKCS12Modern, Label: "Modern: AES-256 and SHA-256"},
		setting.Option{Value: enroll.PKCS12Legacy, Label: "Legacy: 3DES and SHA-1, for Apple systems and older Windows"})
}

func (v *visit) keyPage() error { return v.askKey("", nil) }

// askKey suggests a fresh password each time; what somebody typed is not shown
// again.
func (v *visit) askKey(encoding string, wrong error) error {
	c, err := v.loadCertificate()
	if err != nil {
		return err
	}
	f := &keyForm{}
	setting.Defaults(f)
	f.Password = secret.Token("", 120).Reveal()
	if encoding != "" {
		f.Encoding = encoding
	}
	return v.confirm(confirmView{Title: "Take the private key", About: c.Subject,
		Effect: []string{"You get one PKCS#12 file with the key, the certificate and its chain.", "The key is handed out once. Afterwards it is gone from here; whoever needs another renews the certificate."},
		Form:   form{Cancel: certificateURL(c), Submit: "Download the key", Plain: true}, CLI: []string{"chancery certificate key " + string(c.ID) + " --out key.p12"}}, f, nil, wrong)
}

func (v *visit) takeKey() error {
	c, err := v.loadCertificate()
	if err != nil {
		return err
	}
	posted, err := v.form()
	if err != nil {
		return err
	}
	var f keyForm
	if err := setting.FromForm(&f, posted); err != nil {
		return v.askKey(posted.Get("encoding"), err)
	}
	file, err := v.Enroll.TakeKey(v.ctx(), v.actor, c.ID, secret.New(f.Password), f.Encoding)
	if err != nil {
		return v.askKey(posted.Get("encoding"), err)
	}
	return v.download(c.Serial+".p12", "application/x-pkcs12", file.PKCS12.Reveal())
}
