package enroll

import (
	"encoding/pem"
	"fmt"
	"slices"
	"strings"

	"chancery/internal/ra"
	"chancery/internal/wire/pkixmsg"
)

// parseCSR reads a DER or PEM PKCS#10. What fails is final: the same bytes fail
// again.
func parseCSR(b []byte) (*pkixmsg.CSR, error) {
	if block, _ := pem.Decode(b); block != nil {
		if block.Type != "CERTIFICATE REQUEST" && block.Type != "NEW CERTIFICATE REQUEST" {
			return nil, refusal("The PEM block is not a certificate request.", "Send the block that begins with BEGIN CERTIFICATE REQUEST.")
		}
		b = block.Bytes
	}
	csr, err := pkixmsg.ParseCSR(b)
	if err != nil {
		return nil, final(fieldError("csr", err))
	}
	return csr, nil
}

// readCSR is parseCSR and checkCSR.
func readCSR(b []byte) (*pkixmsg.CSR, error) {
	csr, err := parseCSR(b)
	if err != nil {
		return nil, err
	}
	return csr, checkCSR(csr)
}

// checkCSR checks possession and strength of the key of a PKCS#10.
func checkCSR(csr *pkixmsg.CSR) error {
	err := csr.CheckSignature()
	if err == nil {
		err = csr.CheckKey()
	}
	if err != nil {
		return final(fieldError("csr", err))
	}
	return nil
}

// judged are the extensions of a CSR that are compared with the template, or
// that say nothing beyond the key. All others are left out.
var judged = []string{pkixmsg.OIDSubjectAltName, pkixmsg.OIDExtKeyUsage, pkixmsg.OIDKeyUsage, pkixmsg.OIDBasicConstraints,
	pkixmsg.OIDSecurityIdentifier, pkixmsg.OIDSubjectKeyIdentifier}

// judge compares what a CSR asks for with what the template gives. Under the
// policy "match" anything beyond the template is refused; under "overwrite" it
// is left out and listed in Fill.Stripped. A CA flag is refused always.
func judge(t *ra.Template, f *Fill, csr *pkixmsg.CSR) error {
	if csr.BasicConstraints != nil && csr.BasicConstraints.CA {
		return refusal("The request asks for a CA certificate.", "Devices get end entity certificates only; take the basic constraints out of the request.")
	}
	if err := allowedKey(t, string(csr.Key.Type)); err != nil {
		return err
	}
	var beyond []string
	want, err := pkixmsg.ParseDN(f.Subject)
	if err != nil {
		return fieldError("subject", err)
	}
	if !want.Contains(csr.Subject) {
		beyond = append(beyond, fmt.Sprintf("subject %q", csr.Subject.String()))
	}
	for _, san := range csr.SANs {
		if !slices.ContainsFunc(f.SANs, func(g pkixmsg.GeneralName) bool { return sameName(g, san) }) {
			beyond = append(beyond, fmt.Sprintf("alternative name %s:%q", san.Type, san.Value))
		}
	}
	for _, sid := range csr.SIDs {
		if sid != f.SID && !slices.Contains(f.sidURIs(), sid) {
			beyond = append(beyond, fmt.Sprintf("security identifier %q", sid))
		}
	}
	for _, oid := range csr.ExtKeyUsages {
		if !slices.Contains(f.EKUs, oid) {
			f.Stripped = append(f.Stripped, "extended key usage "+pkixmsg.OIDName(oid))
		}
	}
	if extra := csr.KeyUsage &^ keyUsage(f.Usage, string(csr.Key.Type)); extra != 0 {
		f.Stripped = append(f.Stripped, "key usage "+strings.Join(pkixmsg.KeyUsageNames(extra), ", "))
	}
	for _, e := range csr.Extensions {
		if !slices.Contains(judged, e.OID) {
			f.Stripped = append(f.Stripped, "extension "+pkixmsg.OIDName(e.OID))
		}
	}
	if len(beyond) == 0 {
		return nil
	}
	if t.Spec.CSRPolicy == "overwrite" {
		f.Stripped = append(f.Stripped, beyond...)
		return nil
	}
	return refusal(fmt.Sprintf("The request asks for more than template %q gives: %s.", t.Name, list(beyond)),
		"Make the request with the names the template preview shows for this device, or with none, or let the template overwrite them.")
}

func (f *Fill) sidURIs() []string {
	var out []string
	for _, g := range f.SANs {
		if sid, ok := pkixmsg.ParseSIDURI(g.Value); ok && g.Type == pkixmsg.URI {
			out = append(out, sid)
		}
	}
	return out
}

// sameName compares alternative names: host names, mail addresses and
// principal names without regard to case, directory names as names, the rest
// exactly. The certificate has the template's spelling in any case.
func sameName(a, b pkixmsg.GeneralName) bool {
	if a.Type != b.Type {
		return false
	}
	switch a.Type {
	case pkixmsg.DNS, pkixmsg.Email, pkixmsg.UPN:
		return ra.Fold(a.Value) == ra.Fold(b.Value)
	case pkixmsg.DirName:
		x, errX := pkixmsg.ParseDN(a.Value)
		y, errY := pkixmsg.ParseDN(b.Value)
		return errX == nil && errY == nil && x.Equal(y)
	}
	return a.Value == b.Value
}

// allowedKey: the template's own key type, a larger one of the same family, or
// one of its further types.
func allowedKey(t *ra.Template, got string) error {
	if got == t.Spec.KeyType || slices.Contains(t.Spec.KeyTypes, got) {
		return nil
	}
	rsa := []string{"rsa-2048", "rsa-3072", "rsa-4096"}
	if i := slices.Index(rsa, t.Spec.KeyType); i >= 0 && slices.Index(rsa, got) > i {
		return nil
	}
	return refusal(fmt.Sprintf("The key is %s; template %q asks for %s.", got, t.Name, t.Spec.KeyType),
		"Make a key of that type, or add the type to the template.")
}

// refusal is the final no to what a requester brought.
func refusal(message, remedy string) error {
	return &ra.Error{Kind: ra.Invalid, Message: message, Remedy: remedy, Field: "csr", Retry: ra.Never}
}

func final(err error) error {
	if err == nil {
		return nil
	}
	e := *ra.AsError(err)
	e.Retry = ra.Never
	return &e
}

// list joins what a person may have to read; a hostile request cannot make it
// long.
func list(items []string) string {
	out := ""
	for i, s := range items {
		if i == 5 {
			return out + fmt.Sprintf(" and %d more", len(items)-i)
		}
		if i > 0 {
			out += ", "
		}
		out += fmt.Sprintf("%.120s", s)
	}
	return out
}

// sealCSR keeps the CSR with the request. It is sealed, because the challenge
// in it is a secret, and its signature allows no other form.
func (s *Service) sealCSR(r *ra.Request, der []byte) (err error) {
	if len(der) > 0 {
		r.SealedCSR, err = s.Box.Seal("requests", string(r.ID), "csr", der)
	}
	return err
}

// CSR gives the DER PKCS#10 of a request for the authority or for a comparison
// with another; nil when the authority made the key. It may hold a challenge:
// people see PublicCSR.
func (s *Service) CSR(r *ra.Request) ([]byte, error) {
	if len(r.SealedCSR) == 0 {
		return nil, nil
	}
	return s.Box.Open("requests", string(r.ID), "csr", r.SealedCSR)
}

// PublicCSR is CSR for people: nil when it holds a challenge.
func (s *Service) PublicCSR(r *ra.Request) ([]byte, error) {
	der, err := s.CSR(r)
	if err != nil || der == nil {
		return nil, err
	}
	csr, err := pkixmsg.ParseCSR(der)
	if err != nil {
		return nil, err
	}
	if _, secret := csr.ChallengePassword(); secret {
		return nil, nil
	}
	return der, nil
}
