package enroll

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"chancery/internal/ca"
	"chancery/internal/lookup"
	"chancery/internal/ra"
	"chancery/internal/wire/pkixmsg"
)

// Fill is a template filled for one device or user: everything a certificate
// will say besides its key. It is stored with the request as JSON.
type Fill struct {
	Subject  string                `json:"subject"` // RFC 4514
	SANs     []pkixmsg.GeneralName `json:"sans,omitempty"`
	SID      string                `json:"sid,omitempty"`
	KeyType  string                `json:"key_type"`
	KeyPlace ra.KeyPlace           `json:"key_place"`
	Usage    string                `json:"usage"`
	EKUs     []string              `json:"ekus,omitempty"`
	Validity ra.Days               `json:"validity_days,omitempty"`
	Holder   string                `json:"holder"`
	Fields   map[string]string     `json:"fields,omitempty"`
	Behalf   string                `json:"behalf,omitempty"` // DOMAIN\account the authority is asked on behalf of
	Values   map[string]string     `json:"values,omitempty"` // the lookup values as they were
	Warnings []string              `json:"warnings,omitempty"`
	Stripped []string              `json:"stripped,omitempty"` // what a CSR asked for and did not get
}

// Order is the fill as an order to the authority.
func (f *Fill) Order(id ra.RequestID, t *ra.Template) (ca.Order, error) {
	name, err := pkixmsg.ParseDN(f.Subject)
	if err != nil {
		return ca.Order{}, fieldError("subject", err)
	}
	return ca.Order{
		ID: string(id), Subject: name, SANs: f.SANs, SID: f.SID, KeyUsage: keyUsage(f.Usage, f.KeyType), EKUs: f.EKUs,
		Validity: f.Validity.Duration(), Template: t.Spec.IssuingTemplate, Fields: f.Fields, Holder: f.Holder, RequestedBy: f.Behalf,
	}, nil
}

// fill fills a template for a subject. Errors are Invalid and name the
// template's field, the lookup value, the device and the template.
func fill(t *ra.Template, s lookup.Subject) (*Fill, error) {
	spec := &t.Spec
	s.Template = t.Name
	f := &Fill{KeyType: spec.KeyType, KeyPlace: spec.KeyPlace, Usage: spec.Usage, EKUs: spec.EKUs, Validity: spec.Validity,
		Values: map[string]string{}, Fields: map[string]string{}, Holder: holder(t, s)}
	var p ra.Problems
	name, err := fillName(spec.Subject, s, f.Values)
	p.Merge("subject", err)
	if marker := renewalMarker(spec.RenewalMarker, f.Holder); marker.Value != "" && s.Fixture == nil { // an imagined device has no marker a test could know
		name = append(name, pkixmsg.RDN{marker})
	}
	if _, malformed := name.DER(); err == nil && malformed != nil {
		p.Merge("subject", s.Named(plain(malformed)))
	}
	for i, san := range spec.SANs {
		g, err := fillSAN(san, s, f.Values)
		var empty *lookup.EmptyError
		if san.Optional && errors.As(err, &empty) {
			f.Warnings = append(f.Warnings, fmt.Sprintf("The optional alternative name %q is left out: {%s} is empty.", san.Value, empty.Name))
			continue
		}
		p.Merge(fmt.Sprintf("sans[%d]", i), err)
		if err == nil {
			f.SANs = append(f.SANs, g)
		}
	}
	if spec.SID || spec.SIDInURI {
		sid, err := s.Expand("{SecurityIdentifier}", lookup.Plain, f.Values)
		if err == nil {
			if err = pkixmsg.CheckSID(sid); err != nil {
				err = s.Named(plain(err))
			}
		}
		p.Merge("sid", err)
		if err == nil && spec.SID {
			f.SID = sid
		}
		if err == nil && spec.SIDInURI {
			g, err := pkixmsg.SIDURI(sid)
			p.Merge("sid_in_uri", plain(err))
			f.SANs = append(f.SANs, g)
		}
	}
	f.Behalf, err = s.Expand(requester(spec), lookup.Plain, f.Values)
	p.Merge("options."+ca.RequesterOption, err)
	for _, key := range slices.Sorted(maps.Keys(spec.Fields)) {
		v, err := s.Expand(spec.Fields[key], lookup.Plain, f.Values)
		p.Merge("fields."+key, err)
		f.Fields[key] = v
	}
	if err := p.Err(); err != nil {
		return nil, err
	}
	f.Subject = name.String()
	if len(name) == 0 && len(f.SANs) == 0 {
		return nil, ra.Errorf(ra.Invalid, "Template %q gives a certificate that names nobody.", t.Name).WithField("subject").
			WithRemedy("Give it a subject or an alternative name.")
	}
	if spec.Publish.Certificate && s.Fixture == nil && (s.User == nil || s.User.Directory == "") {
		f.Warnings = append(f.Warnings, "The certificate is not published: its user does not come from a directory.")
	}
	if spec.Publish.Key == ra.KeyToDirectory && s.Fixture == nil && (s.User == nil || s.User.Directory == "") {
		f.Warnings = append(f.Warnings, "The key is not brought to a directory: its user does not come from one.")
	}
	if s.Device != nil && s.Device.Platform == ra.Windows && len(spec.EKUs) == 0 {
		f.Warnings = append(f.Warnings, "Windows uses a certificate for sign-in only with an extended key usage such as clientAuth.")
	}
	return f, nil
}

// requester is the text that names on whose behalf a template asks; empty: nobody's.
func requester(spec *ra.TemplateSpec) string {
	text, _ := spec.Options[ca.RequesterOption].(string)
	return text
}

// fillName fills the attribute values of a subject. The text is read as a
// distinguished name first and filled afterwards, so that no inserted value
// can add an attribute, whatever it holds.
func fillName(text string, s lookup.Subject, used map[string]string) (pkixmsg.Name, error) {
	name, err := pkixmsg.ParseDN(text)
	if err != nil {
		return nil, plain(err)
	}
	for _, rdn := range name {
		for i := range rdn {
			if rdn[i].Value, err = s.Expand(rdn[i].Value, lookup.Plain, used); err != nil {
				return nil, err
			}
		}
	}
	return name, nil
}

func fillSAN(san ra.SANSpec, s lookup.Subject, used map[string]string) (pkixmsg.GeneralName, error) {
	kind, err := pkixmsg.ParseNameType(san.Type)
	if err != nil {
		return pkixmsg.GeneralName{}, plain(err)
	}
	g := pkixmsg.GeneralName{Type: kind}
	switch kind {
	case pkixmsg.DirName:
		name, err := fillName(san.Value, s, used)
		if err != nil {
			return g, err
		}
		g.Value = name.String()
	case pkixmsg.URI:
		g.Value, err = s.Expand(san.Value, uriEscape(san.Value), used)
	default:
		g.Value, err = s.Expand(san.Value, lookup.Plain, used)
	}
	if err != nil {
		return g, err
	}
	if err := g.Check(true); err != nil {
		return g, s.Named(plain(err))
	}
	if addr, err := netip.ParseAddr(g.Value); err == nil && kind == pkixmsg.IP {
		g.Value = addr.String() // one spelling, so that a request that asks for the same address is recognised
	}
	return g, nil
}

// uriEscape leaves a value alone that is the whole URI, and encodes it where
// it is only a part of one.
func uriEscape(text string) lookup.Escape {
	if strings.HasPrefix(text, "{") && strings.HasSuffix(text, "}") && strings.Count(text, "{") == 1 {
		return lookup.Plain
	}
	return lookup.URI
}

// holder is stable for a device (or user) and a template: authorities that
// keep their own record of a holder find the same one at every renewal.
func holder(t *ra.Template, s lookup.Subject) string {
	switch {
	case s.Device != nil && s.Device.ID != "":
		return string(t.ID) + "." + string(s.Device.ID)
	case s.User != nil && s.User.ID != "":
		return string(t.ID) + "." + string(s.User.ID)
	}
	return string(t.ID)
}

// renewalMarker is the attribute that lets an outside SCEP server's
// certificates be recognised again: sceprenew- and a GUID that is the same for
// every certificate of one holder.
func renewalMarker(place, holder string) pkixmsg.Attribute {
	oid := map[string]string{"cn": "2.5.4.3", "ou": "2.5.4.11"}[place]
	if oid == "" {
		return pkixmsg.Attribute{}
	}
	h := sha256.Sum256([]byte("sceprenew\x00" + holder))
	return pkixmsg.Attribute{OID: oid, Value: fmt.Sprintf("sceprenew-%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16])}
}

// keyUsage gives the bits of RFC 5280 §4.2.1.3 for a usage and a key type:
// only RSA keys encipher keys, only EC keys agree on them.
func keyUsage(usage, keyType string) x509.KeyUsage {
	var bits x509.KeyUsage
	if usage == "signing" || usage == "both" {
		bits |= x509.KeyUsageDigitalSignature
	}
	if usage == "encryption" || usage == "both" {
		switch {
		case strings.HasPrefix(keyType, "rsa"):
			bits |= x509.KeyUsageKeyEncipherment
		case strings.HasPrefix(keyType, "p-"):
			bits |= x509.KeyUsageKeyAgreement
		}
	}
	return bits
}

// plain turns a wire package's refusal into an error for people.
func plain(err error) error {
	var e *pkixmsg.Error
	if errors.As(err, &e) {
		return &ra.Error{Kind: ra.Invalid, Message: e.Message, Remedy: e.Remedy, Err: e.Kind}
	}
	return err
}

func fieldError(field string, err error) error {
	var p ra.Problems
	p.Merge(field, plain(err))
	return p.Err()
}
