package adpki

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"chancery/internal/ra"
)

// book answers searches from recorded entries: those whose filter or base
// holds a key. What nothing answers is not there.
type book struct {
	answers map[string][]Entry
	fails   map[string]error
	asked   []Query
}

func (b *book) Search(_ context.Context, q Query) ([]Entry, error) {
	b.asked = append(b.asked, q)
	key := q.Base + " " + q.Filter
	for part, err := range b.fails {
		if strings.Contains(key, part) {
			return nil, err
		}
	}
	for part, entries := range b.answers {
		if strings.Contains(key, part) {
			return entries, nil
		}
	}
	return nil, ra.Errorf(ra.NotFound, "no such object")
}

func forest() *book {
	return &book{answers: map[string][]Entry{
		" (objectClass=*)": {{Values: map[string][][]byte{"configurationNamingContext": {[]byte("CN=C")}, "defaultNamingContext": {[]byte("DC=d")}, "rootDomainNamingContext": {[]byte("DC=d")},
			"objectGUID": {guid}, "cn": {[]byte("Public Key Services")}, "tokenGroups": {[]byte("\x01\x01\x00\x00\x00\x00\x00\x05\x0b\x00\x00\x00")}}}},
		"(cn=OID)":              {},
		"pKICertificateTempl":   {entryOf("flags", "64"), entryOf("flags", "rubbish")},
		"pKIEnrollmentService":  {entryOf("dNSHostName", "ca(1).d")},
		"msPKI-Enterprise-Oid":  {},
		"NTAuthCertificates":    {entryOf("cACertificate", "der")},
		"objectClass=computer)": {},
		"adminCount":            {},
		"crossRef":              {},
		"(objectSid=":           {},
		"userPrincipalName=": {{DN: "CN=svc", Values: map[string][][]byte{"objectSid": {[]byte("\x01\x05\x00\x00\x00\x00\x00\x05\x15\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00\x51\x04\x00\x00")},
			"sAMAccountName": {[]byte("svc")}}}},
	}}
}

func readBook(t *testing.T, b *book) *Snapshot {
	t.Helper()
	s, err := Read(t.Context(), b, Options{Account: `D\s*vc`, SIDs: []string{"S-1-5-18"}, Now: func() time.Time { return time.Unix(1, 0) }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestReadForest(t *testing.T) {
	b := forest()
	s := readBook(t, b)
	if len(s.Templates) != 1 || !s.Templates[0].General.Has(MachineType) || s.Templates[0].Schema != 1 || s.NTAuth == nil || !s.NTAuth.Trusts([]byte("der")) || s.NTAuth.Trusts([]byte("other")) {
		t.Errorf("%+v", s)
	}
	if s.Account.SID != "S-1-5-21-1-2-3-1105" || !s.Account.Includes("S-1-5-11") || s.Name("S-1-5-18") != "SYSTEM" || s.Name("S-1-5-99") != "S-1-5-99" {
		t.Errorf("%+v %v", s.Account, s.Names)
	}
	// One template was rubbish, and the host is not in the domain.
	if len(s.Gaps) != 2 || s.Gaps[0].Part != PartTemplates || s.Gaps[0].Object != "CN=x" || !strings.Contains(s.Gaps[0].Why, "flags") || s.Gaps[1].Part != PartHosts {
		t.Errorf("%+v", s.Gaps)
	}
	for _, want := range []string{`dNSHostName=ca\281\29.d`, `sAMAccountName=s\2avc`} {
		if !slices.ContainsFunc(b.asked, func(q Query) bool { return strings.Contains(q.Filter, want) }) {
			t.Errorf("nobody asked for %s", want)
		}
	}
	for _, q := range b.asked {
		if slices.Contains(q.Attributes, "nTSecurityDescriptor") != q.Security {
			t.Errorf("the descriptor is asked for without the control: %+v", q)
		}
	}
}

// TestGaps: whatever one search fails with, the rest is read and the reason
// kept; what is hidden does not look like what is not there.
func TestGaps(t *testing.T) {
	for part, key := range map[Part]string{
		PartTemplates: "pKICertificateTempl", PartServices: "pKIEnrollmentService", PartNTAuth: "NTAuthCertificates", PartPolicies: "msPKI-Enterprise-Oid",
		PartContainers: "(cn=OID)", PartHosts: "objectClass=computer)(|", PartPrivileged: "adminCount", PartNames: "(objectSid=", PartAccount: "userPrincipalName=",
	} {
		for _, err := range []error{ra.Errorf(ra.Unreachable, "The line is dead."), ra.Errorf(ra.NotFound, "no such object"), errors.New("private")} {
			b := forest()
			b.fails = map[string]error{key: err}
			s := readBook(t, b)
			why, missing := s.Gap(part)
			if !missing || why == "" || strings.Contains(why, "private") {
				t.Errorf("%s, %v: %q %v", part, err, why, missing)
			}
		}
	}
}

func TestReadNothing(t *testing.T) {
	for name, c := range map[string]struct {
		b    *book
		kind ra.Kind
	}{
		"no answer":     {&book{fails: map[string]error{"": ra.Errorf(ra.Unreachable, "x")}}, ra.Unreachable},
		"no controller": {&book{answers: map[string][]Entry{"": {entryOf()}}}, ra.Invalid},
		"two roots":     {&book{answers: map[string][]Entry{"": {entryOf(), entryOf()}}}, ra.Invalid},
		"no services":   {&book{answers: forest().answers, fails: map[string]error{"CN=Public": ra.Errorf(ra.NotFound, "x")}}, ra.NotFound},
		"denied":        {&book{answers: forest().answers, fails: map[string]error{"CN=Public": ra.Errorf(ra.Denied, "x")}}, ra.Denied},
	} {
		_, err := Read(t.Context(), c.b, Options{Now: time.Now})
		if !errors.Is(err, &ra.Error{Kind: c.kind}) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
