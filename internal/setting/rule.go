package setting

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

func onText(rule func(string) *flaw) func(value) *flaw {
	return func(v value) *flaw { return rule(at[string](v)) }
}

// each applies a rule to the items of a list and says which one breaks it.
func each(rule func(string) *flaw) func(value) *flaw {
	return func(v value) *flaw {
		for i, s := range at[[]string](v) {
			if bad := rule(s); bad != nil {
				return &flaw{what: fmt.Sprintf("has a wrong item, number %d: it %s", i+1, bad.what), remedy: bad.remedy}
			}
		}
		return nil
	}
}

func fewItems(v value) *flaw {
	if len(at[[]string](v)) > maxItems {
		return &flaw{what: fmt.Sprintf("must have at most %d items", maxItems), remedy: "Leave some out."}
	}
	return nil
}

// short holds a list item to the field's length limit.
func (x *field) short(s string) *flaw {
	if x.MaxLength > 0 && utf8.RuneCountInString(s) > x.MaxLength {
		return &flaw{what: fmt.Sprintf("must have at most %d characters", x.MaxLength), remedy: "Shorten it."}
	}
	return nil
}

// offered asks a choice to be one of its options, unless a catalog has others.
func (x *field) offered(v value) *flaw {
	if x.Lookup != "" || slices.ContainsFunc(x.Options, func(o Option) bool { return o.Value == at[string](v) }) {
		return nil
	}
	names := make([]string, len(x.Options))
	for i, o := range x.Options {
		names[i] = o.Value
	}
	return &flaw{what: "must be one of the values offered", remedy: "Choose one of: " + strings.Join(names, ", ") + "."}
}

func oneLine(s string) *flaw {
	if strings.ContainsFunc(s, unicode.IsControl) || !utf8.ValidString(s) {
		return &flaw{what: "must be one line of plain text", remedy: "Remove line breaks and other control characters."}
	}
	return nil
}

func manyLines(s string) *flaw {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }) {
		return &flaw{what: "must be plain text", remedy: "Remove control characters other than line breaks and tabs."}
	}
	return nil
}

// newlines ends lines with \n, also those of a browser's form.
func newlines(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
}

// hostName accepts what a resolver would: labels of letters, digits, hyphens
// and, as Windows networks have them, underscores (RFC 1123 §2.1).
func hostName(s string) *flaw {
	if _, err := netip.ParseAddr(s); err == nil {
		return nil
	}
	if _, err := netip.ParseAddrPort(s); err == nil || strings.Count(s, ":") == 1 || strings.Contains(s, "/") {
		return &flaw{what: "must be a host name or an IP address only", remedy: "Leave out the scheme, the port and the path."}
	}
	bad := &flaw{what: "must be a host name or an IP address", remedy: "Write it like ca1.example.com or 192.0.2.7; names in other scripts in their xn-- form."}
	labels := strings.Split(strings.TrimSuffix(s, "."), ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return bad
		}
		for _, c := range []byte(label) {
			if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
				return bad
			}
		}
	}
	if last := labels[len(labels)-1]; strings.Trim(last, "0123456789") == "" {
		return bad // an IP address gone wrong: no top-level domain is a number
	}
	return nil
}

func absoluteURL(s string, schemes []string) *flaw {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.Opaque != "" || hostName(u.Hostname()) != nil || strings.HasSuffix(u.Host, ":") {
		return &flaw{what: "must be a complete address", remedy: fmt.Sprintf("Write it with scheme and host, such as %s://host.example.com/path.", schemes[0])}
	}
	if !slices.Contains(schemes, u.Scheme) {
		return &flaw{what: "must begin with " + strings.Join(schemes, ":// or ") + "://", remedy: "Correct the beginning of the address."}
	}
	if u.User != nil {
		return &flaw{what: "must not hold a user name or password", remedy: "Remove what is before the @ and use the fields for credentials."}
	}
	if u.Fragment != "" || strings.Contains(s, "#") {
		return &flaw{what: "must not hold a fragment", remedy: "Remove the # and what follows it."}
	}
	return nil
}

// objectID accepts the one dotted form of an object identifier (X.660).
func objectID(s string) *flaw {
	if oid, err := x509.ParseOID(s); err != nil || oid.String() != s {
		return &flaw{what: "must be an object identifier", remedy: "Write it in dotted form, such as 1.3.6.1.5.5.7.3.2."}
	}
	return nil
}

// readPEM gives the certificates of a bundle. Text between them is skipped;
// any other kind of block, and text without a block, is a flaw.
func readPEM(s string) ([]*x509.Certificate, *flaw) {
	var out []*x509.Certificate
	rest := []byte(s)
	for {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			break
		}
		if strings.Contains(block.Type, "PRIVATE KEY") {
			return nil, &flaw{what: "must hold certificates only, and there is a private key in it", remedy: "Remove the private key; treat it as disclosed if others saw it."}
		}
		if block.Type != "CERTIFICATE" {
			return nil, &flaw{what: "must hold certificates only", remedy: "Remove the other PEM blocks."}
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, &flaw{what: fmt.Sprintf("has a damaged certificate, number %d", len(out)+1), remedy: "Export the certificate again as PEM."}
		}
		out = append(out, c)
	}
	// The decoder passes over blocks it cannot read; none may get lost that way.
	if len(out) == 0 || strings.Count(s, "-----BEGIN ") != len(out) {
		return nil, &flaw{what: "must be PEM certificates", remedy: "Paste everything from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----."}
	}
	return out, nil
}

func certificates(s string) *flaw {
	list, bad := readPEM(s)
	if bad == nil && len(list) > maxItems {
		return &flaw{what: fmt.Sprintf("must have at most %d certificates", maxItems), remedy: "Leave some out."}
	}
	return bad
}

// tidyPEM rewrites a bundle as its PEM blocks alone. What is no bundle stays
// as it is, for the rule to refuse.
func tidyPEM(s string) string {
	list, bad := readPEM(s)
	if bad != nil {
		return strings.TrimSpace(s)
	}
	var b strings.Builder
	for _, c := range list {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return b.String()
}

// describePEM names the certificates of a bundle by subject and fingerprint.
func describePEM(s string) string {
	list, bad := readPEM(s)
	if bad != nil {
		return ""
	}
	names := make([]string, len(list))
	for i, c := range list {
		names[i] = fmt.Sprintf("%s (SHA-256 %x)", c.Subject, sha256.Sum256(c.Raw))
	}
	return strings.Join(names, ", ")
}
