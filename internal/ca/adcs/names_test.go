package adcs_test

import (
	"strings"
	"testing"

	"chancery/internal/ca"
	"chancery/internal/ca/adcs"
	played "chancery/internal/doubles/adcs"
	"chancery/internal/ra"
	"chancery/internal/wire/adcsmsg"
	"chancery/internal/wire/pkixmsg"
)

func names(list ...string) (out []pkixmsg.GeneralName) {
	for _, text := range list {
		kind, value, _ := strings.Cut(text, ":")
		out = append(out, pkixmsg.GeneralName{Type: pkixmsg.NameType(kind), Value: value})
	}
	return out
}

// TestNamesOfDevice: a device's own request says what the order says, no more and no
// less; what is refused never leaves.
func TestNamesOfDevice(t *testing.T) {
	d := newDouble(t, played.Config{})
	w := newWorld(t, d, nil)
	mine, err := pkixmsg.SIDExtension(sid)
	if err != nil {
		t.Fatal(err)
	}
	admin, err := pkixmsg.SIDExtension("S-1-5-21-1-2-3-500")
	if err != nil {
		t.Fatal(err)
	}
	subject := dn(t, "CN=pad,O=Example")
	order := func(o *ca.Order) {
		o.Subject, o.SANs, o.SID, o.EKUs = subject, names("dns:pad.example", "upn:ada@corp.example"), sid, []string{"1.3.6.1.5.5.7.3.2"}
	}
	all := func() pkixmsg.CSRRequest {
		return pkixmsg.CSRRequest{Name: subject, SANs: names("dns:pad.example", "upn:ada@corp.example"), Extensions: []pkixmsg.Extension{mine}}
	}
	with := func(e pkixmsg.Extension, err error) pkixmsg.CSRRequest {
		if err != nil {
			t.Fatal(err)
		}
		q := all()
		q.Extensions = append(q.Extensions, e)
		return q
	}
	attribute := func(oid string) pkixmsg.CSRRequest {
		q := all()
		q.Attributes = []pkixmsg.RequestAttribute{{OID: oid, Values: [][]byte{{0x16, 1, 'x'}}}}
		return q
	}
	issued := 0
	for name, c := range map[string]struct {
		csr   pkixmsg.CSRRequest
		words []string // of the refusal; none: issued
	}{
		"all of it":     {pkixmsg.CSRRequest{Name: subject, SANs: names("upn:ADA@corp.example", "dns:PAD.example"), Extensions: []pkixmsg.Extension{mine}}, nil},
		"another name":  {pkixmsg.CSRRequest{Name: subject, SANs: names("dns:pad.example", "upn:ada@corp.example", "upn:admin@corp.example"), Extensions: []pkixmsg.Extension{mine}}, []string{"admin@corp.example"}},
		"another SID":   {pkixmsg.CSRRequest{Name: subject, SANs: names("dns:pad.example", "upn:ada@corp.example"), Extensions: []pkixmsg.Extension{admin}}, []string{"S-1-5-21-1-2-3-500"}},
		"SID as URI":    {pkixmsg.CSRRequest{Name: subject, SANs: names("uri:tag:microsoft.com,2022-09-14:sid:S-1-5-21-1-2-3-500")}, []string{"S-1-5-21-1-2-3-500"}},
		"another CN":    {pkixmsg.CSRRequest{Name: dn(t, "CN=Administrator"), SANs: names("dns:pad.example", "upn:ada@corp.example"), Extensions: []pkixmsg.Extension{mine}}, []string{"Administrator"}},
		"nothing":       {pkixmsg.CSRRequest{}, []string{"the subject", "the dns name", "the upn name", "the security identifier", "on behalf of the user"}},
		"no SID":        {pkixmsg.CSRRequest{Name: subject, SANs: names("dns:pad.example", "upn:ada@corp.example")}, []string{"lacks the security identifier"}},
		"purpose":       {with(pkixmsg.ExtKeyUsageExtension([]string{"1.3.6.1.5.5.7.3.2"}, false)), nil},
		"agent purpose": {with(pkixmsg.ExtKeyUsageExtension([]string{"1.3.6.1.4.1.311.20.2.1"}, false)), []string{"the purpose"}},
		"policies":      {with(pkixmsg.Extension{OID: "1.3.6.1.4.1.311.21.10", Value: []byte{0x30, 0x0c, 0x30, 0x0a, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 2}}, nil), []string{"the extension"}},
		"name pairs":    {attribute("1.3.6.1.4.1.311.13.2.1"), []string{"the attribute enrollmentNameValuePair"}},
		"old one":       {attribute(adcsmsg.OIDRenewalCertificate), []string{"the attribute"}},
		"OS version":    {attribute("1.3.6.1.4.1.311.13.2.3"), nil},
		"no SAN at all": {pkixmsg.CSRRequest{Name: subject, Extensions: []pkixmsg.Extension{mine}}, []string{"the dns name"}},
	} {
		id := strings.ToLower(strings.ReplaceAll(name, " ", "_"))
		reply, err := w.Issue(t.Context(), w.request(id, "WebServer", order, w.byDevice(c.csr)))
		if c.words == nil {
			issued++
			if err != nil || sidOf(t, reply) != sid {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if e := wantError(t, err, ra.Invalid, c.words...); e.Retry != ra.Never || e.Field != "csr" {
			t.Errorf("%s: %+v", name, e)
		}
	}
	if n := len(d.Requests()); n != issued {
		t.Errorf("%d requests reached the CA", n)
	}
}

func sidOf(t *testing.T, r ca.Reply) string {
	t.Helper()
	for _, e := range r.Chain[0].Extensions {
		if e.Id.String() == pkixmsg.OIDSecurityIdentifier {
			got, err := pkixmsg.ParseSIDExtension(e.Value)
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
	}
	return ""
}

// TestNamesHere: with the key here the request has every name and the security
// identifier of the order.
func TestNamesHere(t *testing.T) {
	d := newDouble(t, played.Config{})
	w := newWorld(t, d, nil)
	want := names("dns:pad.example", "upn:ada@corp.example", "email:ada@corp.example", "uri:urn:x:1", "ip:192.0.2.7")
	reply := w.issue(w.request("pad", "WebServer", func(o *ca.Order) { o.SANs, o.SID = want, sid }))
	if got := sidOf(t, reply); got != sid {
		t.Errorf("security identifier %q", got)
	}
	for _, e := range reply.Chain[0].Extensions {
		if e.Id.String() != pkixmsg.OIDSubjectAltName {
			continue
		}
		if got, err := pkixmsg.ParseSubjectAltName(e.Value); err != nil || len(got) != len(want) {
			t.Errorf("%v, %v", got, err)
		}
	}
}

// TestServiceAccountNamed: a template that takes names from the directory finds the
// service account there; such a certificate is revoked and not handed out.
func TestServiceAccountNamed(t *testing.T) {
	d := newDouble(t, played.Config{})
	w := newWorld(t, d, nil)
	_, err := w.Issue(t.Context(), w.request("pad", "User"))
	if e := wantError(t, err, ra.RefusedByCA, "the dns name", "It was revoked", "Supply in the request"); e.Retry != ra.Never {
		t.Errorf("retry %v", e.Retry)
	}
	if row := d.Requests()[0]; row.Disposition != 21 || row.Reason != 5 {
		t.Errorf("%+v", row)
	}
	_, err = newWorld(t, d, map[string]any{"protocols": []string{"rpc"}}).Issue(t.Context(), w.request("cn_only", "User", func(o *ca.Order) { o.SANs = nil }))
	wantError(t, err, ra.RefusedByCA, "the common name", "Revoke it at the CA")
}

// TestRenewal: a renewal is a new request, or one that the old key signs.
func TestRenewal(t *testing.T) {
	d := newDouble(t, played.Config{EditFlags: played.EditRenewOnBehalf})
	w := newWorld(t, d, nil)
	old := w.request("old", "WebServer")
	before := w.issue(old).Chain[0]
	signed := func(o *ca.Order) {
		o.Subject, o.SANs, o.Renews, o.RenewsKey = old.Subject, old.SANs, before, old.Key
		o.Options = &adcs.Options{Renewal: "signed"}
	}
	after := w.issue(w.request("renewed", "WebServer", signed)).Chain[0]
	if after.Equal(before) || len(d.Issued()) != 2 {
		t.Errorf("%d issued", len(d.Issued()))
	}
	plain := w.issue(w.request("again", "WebServer", signed, func(o *ca.Order) { o.Options = &adcs.Options{Renewal: "new"} }))
	if plain.Pending() {
		t.Error("pending")
	}
	key := newKey(t) // not that of the certificate
	_, err := w.Issue(t.Context(), w.request("forged", "WebServer", signed, func(o *ca.Order) { o.RenewsKey = key }))
	wantError(t, err, ra.RefusedByCA)
	if v, _ := adcsmsg.ParseAttributes(d.Requests()[1].Attributes).Get("ChanceryRequest"); v != "renewed" {
		t.Errorf("attributes %q", d.Requests()[1].Attributes)
	}
}
