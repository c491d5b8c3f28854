package adpki

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Service is an enrollment service: an enterprise certification authority that
// issues from templates (pKIEnrollmentService).
type Service struct {
	Object              // Name is the sanitized short name
	DisplayName  string // the common name of the newest certificate, or Name
	Host         string // DNS name of its computer
	Subject      string // as the directory shows it
	Certificates [][]byte
	Templates    []string // cn of those it issues from
	Flags        uint32
	Web          []WebService
	Sites        []string
}

// How a web service wants its caller to log on (MS-WCCE §2.2.2.11.2).
const (
	WebAnonymous   = 1
	WebKerberos    = 2
	WebUserName    = 4
	WebCertificate = 8
)

// WebService is one address of certificate enrollment over the web.
type WebService struct {
	URL         string
	Login       int // WebKerberos and its kin
	Priority    int
	RenewalOnly bool
}

// Offers reports whether the service issues from a template.
func (s *Service) Offers(template string) bool { return slices.Contains(s.Templates, template) }

var serviceAttributes = append([]string{"displayName", "dNSHostName", "cACertificate", "cACertificateDN", "certificateTemplates", "flags",
	"msPKI-Enrollment-Servers", "msPKI-Site-Name"}, objectAttributes...)

func parseService(e Entry) (Service, error) {
	f := &fields{entry: e}
	s := Service{
		Object:       f.object(),
		DisplayName:  f.text("displayName"),
		Host:         f.text("dNSHostName"),
		Subject:      f.text("cACertificateDN"),
		Certificates: f.all("cACertificate"),
		Templates:    f.texts("certificateTemplates"),
		Flags:        f.mask("flags"),
		Sites:        f.texts("msPKI-Site-Name"),
	}
	slices.Sort(s.Templates)
	for _, text := range f.texts("msPKI-Enrollment-Servers") {
		w, err := parseWebService(text)
		if err != nil {
			f.fail("msPKI-Enrollment-Servers", err.Error())
		}
		s.Web = append(s.Web, w)
	}
	if name := newestName(s.Certificates); name != "" {
		s.DisplayName = name
	}
	if s.DisplayName == "" {
		s.DisplayName = s.Name
	}
	return s, f.err
}

// parseWebService reads lines of priority, login, renewal only and URL; newer
// servers add a flag (MS-WCCE §2.2.2.11.2).
func parseWebService(text string) (WebService, error) {
	lines := strings.Split(strings.ReplaceAll(text, "\r", ""), "\n")
	if len(lines) < 4 || lines[3] == "" {
		return WebService{}, fmt.Errorf("is not the four lines of a web service")
	}
	var numbers [3]int
	for i := range numbers {
		n, err := strconv.Atoi(lines[i])
		if err != nil {
			return WebService{}, fmt.Errorf("has a line that is not a number")
		}
		numbers[i] = n
	}
	return WebService{URL: lines[3], Priority: numbers[0], Login: numbers[1], RenewalOnly: numbers[2] != 0}, nil
}

// newestName gives the common name in the certificate that began last. Those
// Go cannot read are passed over: the names are for people.
func newestName(certificates [][]byte) string {
	var newest *x509.Certificate
	for _, der := range certificates {
		if c, err := x509.ParseCertificate(der); err == nil && (newest == nil || c.NotBefore.After(newest.NotBefore)) {
			newest = c
		}
	}
	if newest == nil {
		return ""
	}
	return newest.Subject.CommonName
}

// NTAuth is the store of authorities whose certificates log on to the domain.
type NTAuth struct {
	Object
	Certificates [][]byte
}

var ntAuthAttributes = append([]string{"cACertificate"}, objectAttributes...)

func parseNTAuth(e Entry) (NTAuth, error) {
	f := &fields{entry: e}
	n := NTAuth{Object: f.object(), Certificates: f.all("cACertificate")}
	return n, f.err
}

// Trusts reports whether an authority's certificate is in the store.
func (n *NTAuth) Trusts(der []byte) bool {
	return slices.ContainsFunc(n.Certificates, func(have []byte) bool { return bytes.Equal(have, der) })
}

// Policy is an object identifier with a meaning in the forest
// (msPKI-Enterprise-Oid).
type Policy struct {
	Object
	OID         string
	DisplayName string
	Kind        uint32 // 1 template, 2 issuance policy, 3 application policy
	// Group is the distinguished name of the group that the holder of a
	// certificate with this issuance policy is in, at logon.
	Group string
}

var policyAttributes = append([]string{"displayName", "flags", "msPKI-Cert-Template-OID", "msDS-OIDToGroupLink"}, objectAttributes...)

func parsePolicy(e Entry) (Policy, error) {
	f := &fields{entry: e}
	p := Policy{
		Object:      f.object(),
		OID:         f.text("msPKI-Cert-Template-OID"),
		DisplayName: f.text("displayName"),
		Kind:        f.mask("flags"),
		Group:       f.text("msDS-OIDToGroupLink"),
	}
	return p, f.err
}

// Host is the computer of an enrollment service.
type Host struct {
	Object
	SID     string
	DNSName string
}

var hostAttributes = append([]string{"objectSid", "dNSHostName"}, objectAttributes...)

func parseHost(e Entry) (Host, error) {
	f := &fields{entry: e}
	h := Host{Object: f.object(), SID: f.sid("objectSid"), DNSName: f.text("dNSHostName")}
	return h, f.err
}

// Privileged is an account the directory protects, with the certificates it may
// log on with.
type Privileged struct {
	Object
	SID      string
	Mappings []string // altSecurityIdentities
}

var privilegedAttributes = append([]string{"objectSid", "altSecurityIdentities"}, objectAttributes...)

func parsePrivileged(e Entry) (Privileged, error) {
	f := &fields{entry: e}
	p := Privileged{Object: f.object(), SID: f.sid("objectSid"), Mappings: f.texts("altSecurityIdentities")}
	slices.Sort(p.Mappings)
	return p, f.err
}

// WeakMappings gives the mappings that somebody else's certificate can meet:
// by subject, issuer and subject, or e-mail address (KB5014754). They log
// nobody on where the domain controllers enforce strong mapping.
func (p *Privileged) WeakMappings() []string {
	var weak []string
	for _, m := range p.Mappings {
		upper := strings.ToUpper(m)
		rest, ok := strings.CutPrefix(upper, "X509:")
		issuer := strings.HasPrefix(rest, "<I>") && (strings.Contains(rest, "<SR>") || strings.Contains(rest, "<SID>"))
		if ok && !issuer && !strings.HasPrefix(rest, "<SKI>") && !strings.HasPrefix(rest, "<SHA1-PUKEY>") {
			weak = append(weak, m)
		}
	}
	return weak
}
