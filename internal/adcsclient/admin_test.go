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
	if rows, err := c.Find(t.Context(), time.Now().Add(time.Hour), "ChanceryRequest", "req_7"); err != nil || len(rows) != 0 {
		t.Errorf("since tomorrow: %d rows, %v", len(rows), err)
	}
	_, err := w.as(adcsclient.DCOM, "nobody").Find(t.Context(), since, "ChanceryRequest", "req_7")
	if ra.KindOf(err) != ra.RefusedByCA || adcsclient.IsLost(err) {
		t.Errorf("without the right: %v", err)
	}
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
		"Find":           func() error { _, err := c.Find(t.Context(), time.Now(), "a", "b"); return err },
	} {
		if err := call(); ra.KindOf(err) != ra.Invalid || ra.AsError(err).Remedy == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
