package adcsclient_test

import (
	"fmt"
	"math/big"
	"slices"
	"testing"
	"time"

	"chancery/internal/adcsclient"
	played "chancery/internal/doubles/adcs"
	"chancery/internal/ra"
	"chancery/internal/wire/adcsmsg"
	"chancery/internal/wire/hresult"
)

// TestAbout: what the CA tells of itself.
func TestAbout(t *testing.T) {
	w := newWorld(t, played.Config{Name: "Beispiel-CA ß"})
	c := w.client(adcsclient.DCOM)
	if name, err := c.CAName(t.Context()); err != nil || name != w.Name() {
		t.Errorf("CAName: %q, %v", name, err)
	}
	chain, err := c.CACertificates(t.Context())
	if err != nil || len(chain) != len(w.Chain()) || !chain[0].Equal(w.Certificate()) {
		t.Errorf("CACertificates: %d, %v", len(chain), err)
	}
	list, err := c.Templates(t.Context())
	if err != nil || len(list) != len(played.DefaultTemplates()) || !slices.ContainsFunc(list, func(x adcsmsg.Template) bool { return x.Name == "User" && x.OID == "" }) {
		t.Errorf("Templates: %v, %v", list, err)
	}
	if b, err := c.CAProperty(t.Context(), adcsmsg.Property{ID: 0x0a, Type: adcsmsg.PropLong}, 0); err != nil || len(b) != 4 {
		t.Errorf("CAProperty: %x, %v", b, err)
	}
	crl, err := c.CRL(t.Context())
	if err != nil || string(crl) != string(w.CRL().Raw) {
		t.Errorf("CRL: %d octets, %v", len(crl), err)
	}
}

// TestRevoke: reasons, hold and off it, the status in between, and the CRL.
func TestRevoke(t *testing.T) {
	w := newWorld(t, played.Config{})
	c := w.client(adcsclient.DCOM)
	leaf := must(t, c, "WebServer", "x").Chain[0]
	status := func(want uint32, reason int32) {
		t.Helper()
		if got, why, err := c.Status(t.Context(), leaf.SerialNumber); err != nil || got != want || got == adcsmsg.CertificateRevoked && why != reason {
			t.Errorf("status %d, reason %d, %v; want %d, %d", got, why, err, want, reason)
		}
	}
	status(adcsmsg.CertificateValid, 0)
	for _, reason := range []uint32{6, adcsmsg.Unhold, 6, 1} {
		if err := c.Revoke(t.Context(), leaf.SerialNumber, reason, time.Now()); err != nil {
			t.Fatalf("reason %d: %v", reason, err)
		}
	}
	status(adcsmsg.CertificateRevoked, 1)
	if row := w.Requests()[0]; row.Reason != 1 || time.Since(row.Revoked) > time.Hour {
		t.Errorf("%+v", row)
	}
	if err := c.PublishCRL(t.Context()); err != nil || len(w.CRL().RevokedCertificateEntries) != 1 {
		t.Errorf("PublishCRL: %v, %d entries", err, len(w.CRL().RevokedCertificateEntries))
	}
	wantCode(t, c.Revoke(t.Context(), leaf.SerialNumber, 6, time.Now()), ra.RefusedByCA, hresult.InvalidData)
	wantCode(t, c.Revoke(t.Context(), big.NewInt(12345), 1, time.Now()), ra.RefusedByCA, hresult.InvalidArgument)
	if got, _, err := c.Status(t.Context(), big.NewInt(12345)); got == adcsmsg.CertificateValid || got == adcsmsg.CertificateRevoked {
		t.Errorf("an unknown certificate: %d, %v", got, err)
	}
	if _, err := c.Retrieve(t.Context(), w.Requests()[0].ID); ra.KindOf(err) != ra.RefusedByCA || adcsclient.IsLost(err) {
		t.Errorf("retrieving what is revoked: %v", err)
	}
	plain := w.as(adcsclient.DCOM, "plain")
	wantCode(t, plain.Revoke(t.Context(), leaf.SerialNumber, 1, time.Now()), ra.RefusedByCA, hresult.AccessDenied)
	wantCode(t, plain.PublishCRL(t.Context()), ra.RefusedByCA, hresult.AccessDenied)
}

// TestDecide: pending requests are decided on from here.
func TestDecide(t *testing.T) {
	w := newWorld(t, played.Config{})
	c := w.client(adcsclient.DCOM)
	yes, no := must(t, c, "Manual", "yes").RequestID, must(t, c, "Manual", "no").RequestID
	if err := c.Approve(t.Context(), yes); err != nil {
		t.Error(err)
	}
	if err := c.Deny(t.Context(), no); err != nil {
		t.Error(err)
	}
	if rows := w.Requests(); rows[0].Disposition != adcsclient.RowIssued || rows[1].Disposition != adcsclient.RowDenied {
		t.Errorf("%d and %d", rows[0].Disposition, rows[1].Disposition)
	}
	if err := c.Approve(t.Context(), 4711); ra.KindOf(err) != ra.RefusedByCA {
		t.Errorf("an unknown request: %v", err)
	}
	plain := w.as(adcsclient.DCOM, "plain")
	wantCode(t, plain.Approve(t.Context(), no), ra.RefusedByCA, hresult.AccessDenied)
}

// TestConfiguration: rights, flags and the security descriptor.
func TestConfiguration(t *testing.T) {
	w := newWorld(t, played.Config{EditFlags: played.EditAltName | played.EditEndDate, DisabledExts: []string{"1.3.6.1.4.1.311.25.2"}})
	c := w.client(adcsclient.DCOM)
	if roles, err := c.MyRoles(t.Context()); err != nil || roles != adcsmsg.RoleManageCA|adcsmsg.RoleManageRequest|adcsmsg.RoleRead|adcsmsg.RoleRequest {
		t.Errorf("%#x, %v", roles, err)
	}
	if roles, err := w.as(adcsclient.DCOM, "plain").MyRoles(t.Context()); err != nil || roles != adcsmsg.RoleRead|adcsmsg.RoleRequest {
		t.Errorf("%#x, %v", roles, err)
	}
	if flags, err := c.EditFlags(t.Context()); err != nil || flags != played.EditAltName|played.EditEndDate {
		t.Errorf("EditFlags %#x, %v", flags, err)
	}
	if flags, err := c.InterfaceFlags(t.Context()); err != nil || flags != played.DefaultInterfaceFlags {
		t.Errorf("InterfaceFlags %#x, %v", flags, err)
	}
	if b, err := c.Security(t.Context()); err != nil || len(b) < 20 || b[0] != 1 {
		t.Errorf("Security %x, %v", b, err)
	}
}

// TestFind: a request is found by its attribute among many, more than one answer
// holds.
func TestFind(t *testing.T) {
	w := newWorld(t, played.Config{})
	c := w.client(adcsclient.DCOM)
	request := csr(t, "x")
	for i := range 120 {
		template := "Manual"
		if i%50 == 7 {
			template = "WebServer"
		}
		if _, err := c.Submit(t.Context(), adcsmsg.FlagPKCS10, request, adcsmsg.Attributes{{Name: "CertificateTemplate", Value: template}, {Name: "ChanceryRequest", Value: fmt.Sprintf("req_%d", i)}}); err != nil {
			t.Fatal(err)
		}
	}
	since := time.Now().Add(-time.Hour)
	for i, disposition := range map[int]uint32{0: adcsclient.RowPending, 7: adcsclient.RowIssued, 119: adcsclient.RowPending} {
		rows, err := c.Find(t.Context(), since, "ChanceryRequest", fmt.Sprintf("req_%d", i))
		if err != nil || len(rows) != 1 || rows[0].Disposition != disposition || rows[0].RequestID != w.Requests()[i].ID || string(rows[0].Request) != string(request) {
			t.Errorf("req_%d: %d rows, %v", i, len(rows), err)
		}
	}
	if rows, err := c.Find(t.Context(), since, "ChanceryRequest", "req_"); err != nil || len(rows) != 0 {
		t.Errorf("nothing: %d rows, %v", len(rows), err)
	}
	w = newWorld(t, played.Config{EndsFalse: true})
	must(t, w.client(adcsclient.DCOM), "WebServer", "y")
	if rows, err := w.client(adcsclient.DCOM).Find(t.Context(), since, "ChanceryRequest", "req_y"); err != nil || len(rows) != 1 {
		t.Errorf("a view that ends with S_FALSE: %d rows, %v", len(rows), err)
	}
	if rows, err := c.Find(t.Context(), time.Now().Add(time.Hour), "ChanceryRequest", "req_7"); err != nil || len(rows) != 0 {
		t.Errorf("since tomorrow: %d rows, %v", len(rows), err)
	}
	_, err := w.as(adcsclient.DCOM, "nobody").Find(t.Context(), since, "ChanceryRequest", "req_7")
	if ra.KindOf(err) != ra.RefusedByCA || adcsclient.IsLost(err) {
		t.Errorf("without the right: %v", err)
	}
}

// TestRetrieveBySerial: a certificate by its serial number, in the states that it can
// be in.
func TestRetrieveBySerial(t *testing.T) {
	w := newWorld(t, played.Config{})
	c := w.client(adcsclient.DCOM)
	leaf := must(t, c, "WebServer", "x").Chain[0]
	if der, err := c.RetrieveBySerial(t.Context(), leaf.SerialNumber); err != nil || string(der) != string(leaf.Raw) {
		t.Errorf("%d octets, %v", len(der), err)
	}
	_, err := c.RetrieveBySerial(t.Context(), big.NewInt(0x0a61))
	wantCode(t, err, ra.NotFound, hresult.PropertyEmpty)
	if err := c.Revoke(t.Context(), leaf.SerialNumber, 1, time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.RetrieveBySerial(t.Context(), leaf.SerialNumber); ra.KindOf(err) != ra.RefusedByCA || adcsclient.IsLost(err) {
		t.Errorf("revoked: %v", err)
	}
	if _, err := c.RetrieveBySerial(t.Context(), big.NewInt(-1)); ra.KindOf(err) != ra.Invalid {
		t.Errorf("a number below zero: %v", err)
	}
	w.SetFault(played.Fault{At: played.Request2, Act: played.EmptyBlobs})
	second := must(t, c, "WebServer", "y").Chain[0]
	if _, err := c.RetrieveBySerial(t.Context(), second.SerialNumber); ra.KindOf(err) != ra.Unreachable {
		t.Errorf("issued, without a certificate: %v", err)
	}
	_, err = w.as(adcsclient.DCOM, "nobody").RetrieveBySerial(t.Context(), second.SerialNumber)
	wantCode(t, err, ra.RefusedByCA, 0x80094011)
}

// TestSigningCertificates: one for each renewal, the present one first.
func TestSigningCertificates(t *testing.T) {
	w := newWorld(t, played.Config{FormerKeys: 2})
	list, err := w.client(adcsclient.DCOM).SigningCertificates(t.Context())
	if err != nil || len(list) != 3 || !list[0].Equal(w.Certificate()) || !list[1].NotAfter.After(list[2].NotAfter) {
		t.Errorf("%d certificates, %v", len(list), err)
	}
	_, err = w.as(adcsclient.DCOM, "nobody").SigningCertificates(t.Context())
	wantCode(t, err, ra.RefusedByCA, hresult.AccessDenied)
}

// TestRecords: a view in order, in answers that grow with what they hold.
func TestRecords(t *testing.T) {
	for _, ends := range []bool{false, true} {
		t.Run(fmt.Sprintf("ends with S_FALSE %v", ends), func(t *testing.T) {
			records(t, newWorld(t, played.Config{EllipticKeys: true, EndsFalse: ends}))
		})
	}
}

func records(t *testing.T, w *world) {
	const rows = 700
	if _, err := w.Seed(rows, func(i int) played.Seed {
		if i%7 == 3 {
			return played.Seed{Disposition: 31}
		}
		return played.Seed{Caller: fmt.Sprintf(`CORP\u%d`, i)}
	}); err != nil {
		t.Fatal(err)
	}
	c := w.client(adcsclient.DCOM)
	read := func(q adcsclient.Query) (sizes []int, last uint32) {
		t.Helper()
		r, err := c.OpenRecords(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close(t.Context())
		for {
			list, err := r.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(list) == 0 {
				return sizes, last
			}
			for _, x := range list {
				if x.RequestID <= last || x.Disposition != adcsclient.RowIssued || x.Caller != fmt.Sprintf(`CORP\u%d`, x.RequestID-1) || len(x.Certificate) == 0 || x.Serial == "" {
					t.Fatalf("%+v behind %d", x, last)
				}
				last = x.RequestID
			}
			sizes = append(sizes, len(list))
		}
	}
	if sizes, last := read(adcsclient.Query{}); sum(sizes) != 600 || last != rows || sizes[0] != 20 || sizes[1] < 100 {
		t.Errorf("sizes %v, last %d", sizes, last)
	}
	if sizes, last := read(adcsclient.Query{After: 600, AtOnce: 9}); sum(sizes) != 86 || last != rows || slices.Max(sizes) != 9 {
		t.Errorf("sizes %v, last %d", sizes, last)
	}
	if sizes, _ := read(adcsclient.Query{EndsAfter: time.Now().AddDate(2, 0, 0)}); len(sizes) != 0 {
		t.Errorf("of those that end in two years: %v", sizes)
	}
	_, err := w.as(adcsclient.DCOM, "nobody").OpenRecords(t.Context(), adcsclient.Query{})
	wantCode(t, err, ra.RefusedByCA, hresult.AccessDenied)
	if _, err := w.as(adcsclient.RPC, "svc-ra").OpenRecords(t.Context(), adcsclient.Query{}); ra.KindOf(err) != ra.Invalid {
		t.Errorf("without DCOM: %v", err)
	}
}

func sum(list []int) (n int) {
	for _, x := range list {
		n += x
	}
	return n
}

// TestNeedsDCOM: what ICertPassage does not know is told so.
func TestNeedsDCOM(t *testing.T) {
	w := newWorld(t, played.Config{})
	c := w.client(adcsclient.RPC)
	for name, call := range map[string]func() error{
		"CAName":         func() error { _, err := c.CAName(t.Context()); return err },
		"CACertificates": func() error { _, err := c.CACertificates(t.Context()); return err },
		"Templates":      func() error { _, err := c.Templates(t.Context()); return err },
		"Revoke":         func() error { return c.Revoke(t.Context(), big.NewInt(1), 0, time.Now()) },
		"Status":         func() error { _, _, err := c.Status(t.Context(), big.NewInt(1)); return err },
		"PublishCRL":     func() error { return c.PublishCRL(t.Context()) },
		"MyRoles":        func() error { _, err := c.MyRoles(t.Context()); return err },
		"Security":       func() error { _, err := c.Security(t.Context()); return err },
		"BySerial":       func() error { _, err := c.RetrieveBySerial(t.Context(), big.NewInt(1)); return err },
		"Signing":        func() error { _, err := c.SigningCertificates(t.Context()); return err },
		"Find":           func() error { _, err := c.Find(t.Context(), time.Now(), "a", "b"); return err },
	} {
		if err := call(); ra.KindOf(err) != ra.Invalid || ra.AsError(err).Remedy == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
