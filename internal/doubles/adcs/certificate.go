package adcs

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"strconv"
	"strings"
	"time"

	"chancery/internal/wire/pkixmsg"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

const (
	oidSubjectAlt     = "2.5.29.17"
	oidAppPolicies    = "1.3.6.1.4.1.311.21.10"
	longestCommonName = 64
)

// describe makes what is to be signed, or says what is missing for it.
func (ca *CA) describe(a *ask) (*x509.Certificate, uint32) {
	now := ca.now()
	c := &x509.Certificate{NotBefore: now.Add(-10 * time.Minute), NotAfter: now.Add(ca.validity(a)), KeyUsage: keyUsage(a.template.KeyUsage),
		CRLDistributionPoints: []string{ca.keys.cdp}, IssuingCertificateURL: []string{ca.keys.ai}}
	if end := ca.keys.ca.cert.NotAfter; c.NotAfter.After(end) {
		c.NotAfter = end
	}
	name, alt, sid, code := ca.subject(a)
	if code != 0 {
		return nil, code
	}
	c.RawSubject = name
	add := func(e pkixmsg.Extension, err error) {
		if err != nil {
			code = badRequestSubject
			return
		}
		oid, _ := parseOID(e.OID)
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: oid, Critical: e.Critical, Value: e.Value})
	}
	eku, err := pkixmsg.ExtKeyUsageExtension(a.template.EKU, false)
	add(eku, err)
	for _, e := range templateExtensions(&a.template) {
		add(e, nil)
	}
	if len(alt.Value) > 0 {
		add(alt, nil)
	}
	if sid != "" && a.template.EnrollFlags&NoSecurityExt == 0 {
		add(pkixmsg.SIDExtension(sid))
	}
	c.ExtraExtensions = slices.DeleteFunc(c.ExtraExtensions, func(e pkix.Extension) bool { return slices.Contains(ca.cfg.DisabledExts, e.Id.String()) })
	return c, code
}

func parseOID(text string) (oid asn1.ObjectIdentifier, ok bool) {
	for arc := range strings.SplitSeq(text, ".") {
		n, err := strconv.Atoi(arc)
		if err != nil {
			return nil, false
		}
		oid = append(oid, n)
	}
	return oid, true
}

// keyUsage reads the first octet of the extension's bit string.
func keyUsage(b byte) (u x509.KeyUsage) {
	for i := range 8 {
		if b&(0x80>>i) != 0 {
			u |= 1 << i
		}
	}
	return u
}

// validity is the template's, unless the request may say another.
func (ca *CA) validity(a *ask) time.Duration {
	d := a.template.Validity
	if ca.cfg.EditFlags&EditEndDate == 0 {
		return d
	}
	units := map[string]time.Duration{"seconds": time.Second, "minutes": time.Minute, "hours": time.Hour, "days": 24 * time.Hour, "weeks": 7 * 24 * time.Hour, "months": 30 * 24 * time.Hour, "years": 365 * 24 * time.Hour}
	unit := units[fold(a.attributes["validityperiod"])]
	if n, err := strconv.Atoi(a.attributes["validityperiodunits"]); err == nil && n > 0 && n < 10000 && unit > 0 {
		d = min(d, time.Duration(n)*unit)
	}
	return d
}

// templateExtensions name the template, and repeat the EKU in Microsoft's way.
func templateExtensions(t *Template) []pkixmsg.Extension {
	var b, policies cryptobyte.Builder
	if t.Schema == 1 {
		b.AddASN1(der.Tag(30), func(b *cryptobyte.Builder) {
			for _, r := range t.Name {
				b.AddUint16(uint16(r))
			}
		})
		return []pkixmsg.Extension{{OID: oidTemplateV1, Value: b.BytesOrPanic()}}
	}
	oid, _ := parseOID(t.OID)
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		b.AddASN1Int64(int64(t.Major))
		b.AddASN1Int64(int64(t.Minor))
	})
	policies.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, text := range t.EKU {
			oid, _ := parseOID(text)
			b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oid) })
		}
	})
	return []pkixmsg.Extension{{OID: oidTemplateV2, Value: b.BytesOrPanic()}, {OID: oidAppPolicies, Value: policies.BytesOrPanic()}}
}

// subject is who a certificate is for: the request says, or the directory does.
func (ca *CA) subject(a *ask) (name []byte, alt pkixmsg.Extension, sid string, code uint32) {
	old := a.old != nil && a.template.NameFlags&OldCertSubject != 0
	switch {
	case old:
		name = a.old.RawSubject
		for _, e := range a.old.Extensions {
			switch e.Id.String() {
			case oidSubjectAlt:
				alt = pkixmsg.Extension{OID: oidSubjectAlt, Critical: e.Critical, Value: e.Value}
			case securityExtension:
				sid, _ = pkixmsg.ParseSIDExtension(e.Value)
			}
		}
	case a.template.NameFlags&SuppliesSubject != 0:
		name, alt, sid, code = supplied(a)
	default:
		name, alt, code = directoryNames(&a.subject, a.template.NameFlags)
		if sid = a.subject.SID; code == 0 && sid == "" && a.template.EnrollFlags&NoSecurityExt == 0 && !slices.Contains(ca.cfg.DisabledExts, securityExtension) {
			code = sidRequired
		}
	}
	if text := a.attributes["san"]; code == 0 && text != "" && ca.cfg.EditFlags&EditAltName != 0 {
		names, ok := altNames(text)
		if !ok {
			return nil, alt, "", invalidArg
		}
		var err error
		if alt, err = pkixmsg.SubjectAltName(pkixmsg.Name{{{OID: "2.5.4.3", Value: "x"}}}, names); err != nil {
			return nil, alt, "", invalidArg
		}
	}
	return name, alt, sid, code
}

// supplied takes subject, alternative names and SID as the request has them.
func supplied(a *ask) (name []byte, alt pkixmsg.Extension, sid string, code uint32) {
	if len(a.csr.Subject) == 0 {
		return nil, alt, "", badRequestSubject
	}
	for _, cn := range a.csr.Subject.Values("2.5.4.3") {
		if len([]rune(cn)) > longestCommonName || cn == "" {
			return nil, alt, "", badRequestSubject
		}
	}
	alt, _ = a.csr.Extension(oidSubjectAlt)
	if e, ok := a.csr.Extension(securityExtension); ok {
		var err error
		if sid, err = pkixmsg.ParseSIDExtension(e.Value); err != nil {
			return nil, alt, "", asn1Corrupt
		}
	}
	return a.csr.RawSubject, alt, sid, 0
}

// directoryNames builds names from an account by the template's name flags.
func directoryNames(who *Account, flags uint32) (name []byte, alt pkixmsg.Extension, code uint32) {
	need := func(value string, lacking uint32) string {
		if value == "" && code == 0 {
			code = lacking
		}
		return value
	}
	var text string
	switch {
	case flags&SubjectFullDN != 0:
		text = who.DN
	case flags&SubjectCommonName != 0:
		text = "CN=" + escapeDN(who.Name)
	case flags&SubjectDNSAsCN != 0:
		text = "CN=" + escapeDN(need(who.DNS, dnsRequired))
	}
	if flags&SubjectEmail != 0 {
		text = strings.TrimSuffix("emailAddress="+escapeDN(need(who.Mail, emailRequired))+","+text, ",")
	}
	var names []pkixmsg.GeneralName
	add := func(flag uint32, kind pkixmsg.NameType, value string, lacking uint32) {
		if flags&flag != 0 {
			names = append(names, pkixmsg.GeneralName{Type: kind, Value: need(value, lacking)})
		}
	}
	add(AltDirectoryGUID, pkixmsg.GUID, "", guidRequired)
	add(AltUPN, pkixmsg.UPN, who.UPN, upnRequired)
	add(AltEmail, pkixmsg.Email, who.Mail, emailRequired)
	add(AltDNS, pkixmsg.DNS, who.DNS, dnsRequired)
	if code != 0 {
		return nil, alt, code
	}
	dn, err := pkixmsg.ParseDN(text)
	if err == nil {
		name, err = dn.DER()
	}
	if err == nil && len(names) > 0 {
		alt, err = pkixmsg.SubjectAltName(dn, names)
	}
	if err != nil {
		return nil, alt, badRequestSubject
	}
	return name, alt, 0
}

// sign makes the certificate of a request.
func (ca *CA) sign(a *ask, id uint32) (*x509.Certificate, uint32) {
	c, code := ca.describe(a)
	if code != 0 {
		return nil, code
	}
	c.SerialNumber = freshSerial(id)
	raw, err := x509.CreateCertificate(rand.Reader, c, ca.keys.ca.cert, a.csr.PublicKey, ca.keys.ca.key)
	if err != nil {
		return nil, unexpected
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, badRequestSubject
	}
	return cert, 0
}
