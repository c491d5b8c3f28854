package adcs

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/wire/pkixmsg"
)

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// checkNames holds a device's own request against the order. What it asks for
// beyond the order is refused always: the CA may believe it. What it lacks is
// refused when the CA is to take the names from it.
func checkNames(r ca.Request) error {
	csr := r.Read
	if csr == nil {
		var err error
		if csr, err = pkixmsg.ParseCSR(r.CSR); err != nil {
			return err
		}
	}
	var beyond, missing []string
	if !r.Subject.Contains(csr.Subject) {
		beyond = append(beyond, fmt.Sprintf("the subject %.100q", csr.Subject))
	} else if !csr.Subject.Contains(r.Subject) {
		missing = append(missing, "the subject")
	}
	for _, san := range csr.SANs {
		if !holds(r.SANs, san) {
			beyond = append(beyond, fmt.Sprintf("the name %.100q", san.Value))
		}
	}
	for _, san := range r.SANs {
		if !holds(csr.SANs, san) {
			missing = append(missing, fmt.Sprintf("the %s name", san.Type))
		}
	}
	for _, sid := range csr.SIDs {
		if sid != r.SID && !slices.ContainsFunc(r.SANs, func(g pkixmsg.GeneralName) bool { return g.Type == pkixmsg.URI && isURIOf(g.Value, sid) }) {
			beyond = append(beyond, fmt.Sprintf("the security identifier %.100q", sid))
		}
	}
	beyond = append(beyond, besides(r, csr)...)
	if r.SID != "" && !slices.Contains(csr.SIDs, r.SID) {
		missing = append(missing, "the security identifier")
	}
	switch {
	case len(beyond) > 0:
		return ra.Errorf(ra.Invalid, "The device's request asks for %s, which the template does not give; a Microsoft CA would take it as it is in the request.", list(beyond)).
			WithField("csr").WithRemedy("Have the device ask without it, add it to the template if it is wanted (purposes under extended key usages), or have the key made here.").WithRetry(ra.Never)
	case len(missing) > 0 && r.RequestedBy == "":
		return ra.Errorf(ra.Invalid, "The device's request lacks %s, and only the holder of the key can add that.", list(missing)).
			WithField("csr").WithRemedy("Have the key made here, have the device put the names into its request, or ask on behalf of the user with a CA template that builds them from the directory (requester name in the template).").WithRetry(ra.Never)
	}
	return nil
}

// plainExtensions and plainAttributes are what a device's request may have besides
// names and purposes: what says nothing but of the key, and what Windows tells of
// itself.
var (
	plainExtensions = []string{pkixmsg.OIDSubjectAltName, pkixmsg.OIDSecurityIdentifier, pkixmsg.OIDExtKeyUsage, pkixmsg.OIDKeyUsage, pkixmsg.OIDBasicConstraints, pkixmsg.OIDSubjectKeyIdentifier}
	plainAttributes = []string{"1.3.6.1.4.1.311.13.2.3", "1.3.6.1.4.1.311.13.2.2", "1.3.6.1.4.1.311.21.20", "1.2.840.113549.1.9.2", "1.2.840.113549.1.9.20"}
)

// besides gives what a device's request has that could make the CA do more than its
// order says: application policies, another template, name-value pairs, a
// certificate to be renewed.
func besides(r ca.Request, csr *pkixmsg.CSR) (out []string) {
	for _, oid := range csr.ExtKeyUsages {
		if !slices.Contains(r.EKUs, oid) {
			out = append(out, "the purpose "+pkixmsg.OIDName(oid))
		}
	}
	for _, e := range csr.Extensions {
		if !slices.Contains(plainExtensions, e.OID) {
			out = append(out, "the extension "+pkixmsg.OIDName(e.OID))
		}
	}
	for _, a := range csr.Attributes {
		if !slices.Contains(plainAttributes, a.OID) {
			out = append(out, "the attribute "+pkixmsg.OIDName(a.OID))
		}
	}
	return out
}

func isURIOf(uri, sid string) bool {
	got, ok := pkixmsg.ParseSIDURI(uri)
	return ok && got == sid
}

// holds reports whether a name is in a list: host names, mail addresses and
// principal names without regard to case, directory names as names.
func holds(names []pkixmsg.GeneralName, want pkixmsg.GeneralName) bool {
	return slices.ContainsFunc(names, func(n pkixmsg.GeneralName) bool {
		if n.Type != want.Type {
			return false
		}
		switch n.Type {
		case pkixmsg.DNS, pkixmsg.Email, pkixmsg.UPN:
			return ra.Fold(n.Value) == ra.Fold(want.Value)
		case pkixmsg.DirName:
			a, errA := pkixmsg.ParseDN(n.Value)
			b, errB := pkixmsg.ParseDN(want.Value)
			return errA == nil && errB == nil && a.Equal(b)
		}
		return n.Value == want.Value
	})
}

// list joins what a person may have to read; nobody can make it long.
func list(items []string) string {
	if len(items) > 4 {
		items = append(slices.Clone(items[:4]), "more")
	}
	return strings.Join(items, ", ")
}

// lacks gives what a certificate should say by its order and does not: the CA has
// put other names into it, those of the service account as a rule. Of one that was
// asked for on behalf of somebody the CA knows the names.
func lacks(r ca.Request, leaf *x509.Certificate) []string {
	if r.RequestedBy != "" {
		return nil
	}
	var out []string
	if len(r.SANs) == 0 && !sameCommonName(r.Subject, leaf) {
		out = append(out, "the common name")
	}
	var names []pkixmsg.GeneralName
	var sid string
	for _, e := range leaf.Extensions {
		switch e.Id.String() {
		case pkixmsg.OIDSubjectAltName:
			names, _ = pkixmsg.ParseSubjectAltName(e.Value) // unreadable ones are lacking
		case pkixmsg.OIDSecurityIdentifier:
			sid, _ = pkixmsg.ParseSIDExtension(e.Value)
		}
	}
	for _, san := range r.SANs {
		if !holds(names, san) {
			out = append(out, fmt.Sprintf("the %s name", san.Type))
		}
	}
	if r.SID != "" && sid != r.SID {
		out = append(out, "the security identifier")
	}
	return out
}

// sameCommonName reports whether a certificate has the common name of an order, if
// that has one. The CA may leave out and reorder other parts of a subject.
func sameCommonName(want pkixmsg.Name, leaf *x509.Certificate) bool {
	names := want.Values(pkixmsg.OIDCommonName)
	got, err := pkixmsg.ParseNameDER(leaf.RawSubject)
	return len(names) == 0 || err == nil && slices.ContainsFunc(got.Values(pkixmsg.OIDCommonName), func(cn string) bool { return ra.Fold(cn) == ra.Fold(names[0]) })
}
