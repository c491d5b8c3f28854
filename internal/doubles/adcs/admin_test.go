package adcs_test

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"chancery/internal/doubles/adcs"
	"chancery/internal/doubles/dcerpc"
)

const adminIID = "ICertAdminD2"

func TestRevocation(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second)
	ca := start(t, adcs.Config{Now: func() time.Time { return now }})
	ra := startPython(t, ca, "ra").passage()
	for range 2 {
		certificate(t, ra.enrol("WebServer", csr(t, keys()[0], "host")))
	}
	p := startPython(t, ca, "admin").dcom("admin", adminIID)
	serial := func(n int) string { return hex.EncodeToString(ca.Issued()[n].SerialNumber.Bytes()) }
	revoke := func(code uint32, serial string, reason uint32, at time.Time) {
		t.Helper()
		args := object{"serial": serial, "reason": reason, "when": dcerpc.Filetime(at)}
		if code != 0 {
			p.refused(code, adminIID, "RevokeCertificate", args)
			return
		}
		p.call(adminIID, "RevokeCertificate", args)
	}
	state := func(serial string) (reason, disposition float64) {
		r := p.call(adminIID, "IsValidCertificate", object{"serial": serial})
		return r["reason"].(float64), r["disposition"].(float64)
	}
	const release = 0xffffffff
	revoke(0x80070057, "61", 0, now)
	revoke(0x80070057, strings.ToUpper(serial(0)), 0, now)
	revoke(0x80070057, serial(0), 7, now)
	revoke(0x80070057, serial(0), 9, now)
	revoke(0x8007000D, serial(0), release, now)
	revoke(0, serial(0), 6, now)
	if reason, d := state(serial(0)); reason != 6 || d != 2 {
		t.Errorf("on hold: %v, %v", reason, d)
	}
	revoke(0, serial(0), release, now)
	if _, d := state(serial(0)); d != 3 {
		t.Errorf("released: %v", d)
	}
	revoke(0, serial(0), 4, now)
	revoke(0x8007000D, serial(0), 6, now)
	revoke(0x8007000D, serial(0), release, now)
	revoke(0, serial(0), 1, now)
	revoke(0, serial(1), 1, now.Add(time.Hour))
	if _, d := state(serial(1)); d != 3 {
		t.Errorf("revoked in an hour: %v", d)
	}
	if _, d := state("6100"); d != 4 {
		t.Errorf("never issued: %v", d)
	}

	before := ca.CRL()
	if len(before.RevokedCertificateEntries) != 0 {
		t.Error("published by itself")
	}
	p.call(adminIID, "PublishCRLs", object{"when": 0, "flags": 3})
	after := ca.CRL()
	if after.Number.Cmp(before.Number) <= 0 || len(after.RevokedCertificateEntries) != 1 || after.RevokedCertificateEntries[0].ReasonCode != 1 || after.CheckSignatureFrom(ca.Certificate()) != nil {
		t.Errorf("CRL %v: %v", after.Number, after.RevokedCertificateEntries)
	}
	p.refused(0x80070057, adminIID, "PublishCRLs", object{"when": 0, "flags": 0})
}

func TestDecisions(t *testing.T) {
	ca := start(t, adcs.Config{})
	ra := startPython(t, ca, "ra").passage()
	for range 2 {
		ra.enrol("Manual", csr(t, keys()[0], "host"))
	}
	p := startPython(t, ca, "manager").dcom("admin", "ICertAdminD", adminIID)
	if d := disposition(p.call("ICertAdminD", "ResubmitRequest", object{"id": 1})); d != 3 {
		t.Errorf("approved: %d", d)
	}
	p.call("ICertAdminD", "DenyRequest", object{"id": 2})
	p.refused(0x80094003, "ICertAdminD", "ResubmitRequest", object{"id": 2})
	p.refused(0x80094003, "ICertAdminD", "DenyRequest", object{"id": 1})
	p.refused(0x80094004, "ICertAdminD", "ResubmitRequest", object{"id": 3})
	if rows := ca.Requests(); rows[0].Certificate == nil || rows[1].Status != 0x80094014 {
		t.Errorf("rows: %+v", rows)
	}
	if roles := p.call(adminIID, "GetMyRoles", nil)["roles"]; roles != 770.0 {
		t.Errorf("roles: %v", roles)
	}
	p.refused(0x80070005, adminIID, "PublishCRLs", object{"when": 0, "flags": 1})
	admin := startPython(t, ca, "admin").dcom("admin", adminIID)
	if d := disposition(admin.call(adminIID, "ResubmitRequest", object{"id": 2})); d != 3 {
		t.Errorf("approved after all: %d", d)
	}

	p = startPython(t, ca, "ra").dcom("admin", adminIID)
	for method, args := range map[string]object{"ResubmitRequest": {"id": 1}, "DenyRequest": {"id": 1}, "PublishCRLs": {"when": 0, "flags": 1}, "RevokeCertificate": {"serial": "61", "reason": 0, "when": 0}} {
		p.refused(0x80070005, adminIID, method, args)
	}
	off := start(t, adcs.Config{InterfaceFlags: adcs.IfNoRemoteAdmin | adcs.IfEncryptAdmin})
	startPython(t, off, "admin").dcom("admin", adminIID).refused(0x80070005, adminIID, "GetMyRoles", nil)
}

func TestConfigEntries(t *testing.T) {
	ca := start(t, adcs.Config{EditFlags: adcs.EditAltName})
	p := startPython(t, ca, "admin").dcom("admin", adminIID)
	entry := func(node, entry string) string {
		return p.ok("config", object{"iid": adminIID, "authority": ca.Name(), "node": node, "entry": entry})["stub"].(string)
	}
	const policy = `PolicyModules\CertificateAuthority_MicrosoftDefault.Policy`
	if got := entry(policy, "EditFlags"); got != "0000000000000000"+"0000020000000000"+"0300000000000000"+"0300000000000000"+"0300000000000400"+"00000000" {
		t.Errorf("EditFlags: %s", got)
	}
	if got := entry("", "CommonName"); !strings.Contains(got, hex.EncodeToString(dcerpc.Wide("CORP-CA"))) || !strings.Contains(got, "0800000000000000"+"08000000") {
		t.Errorf("CommonName: %s", got)
	}
	if got := entry("", "Nothing"); !strings.HasSuffix(got, "02000780") {
		t.Errorf("no such entry: %s", got)
	}
	p = startPython(t, ca, "ra").dcom("admin", adminIID)
	if got := entry(policy, "EditFlags"); !strings.HasSuffix(got, "05000780") {
		t.Errorf("for anybody: %s", got)
	}
	descriptor := blobOf(t, p.call(adminIID, "GetCASecurity", nil))
	if len(descriptor) < 60 || descriptor[0] != 1 || binary.LittleEndian.Uint16(descriptor[2:]) != 0x8004 {
		t.Errorf("descriptor %x", descriptor)
	}
}

func TestView(t *testing.T) {
	ca := start(t, adcs.Config{})
	ra := startPython(t, ca, "ra").passage()
	for _, name := range []string{"one", "two", "three"} {
		ra.enrol("", csr(t, keys()[0], name), object{"attributes": "CertificateTemplate:WebServer\nrequestid:tx-" + name})
	}
	ra.enrol("Manual", csr(t, keys()[0], "four"))
	p := startPython(t, ca, "admin").dcom("admin", adminIID)
	le := binary.LittleEndian

	ids := func(table int) map[string]uint32 {
		r := p.call(adminIID, "EnumViewColumnTable", object{"table": table, "first": 0, "count": 1000})
		blob, found := blobOf(t, r), map[string]uint32{}
		for i := range int(r["count"].(float64)) {
			c := blob[20*i:]
			name := blob[le.Uint32(c[12:]):]
			text, _, _ := strings.Cut(dcerpc.Narrow(name[:len(name)&^1]), "\x00")
			found[text] = le.Uint32(c[4:])
		}
		return found
	}
	columns := ids(0)
	open := func(c []object, columns ...uint32) object {
		return p.call(adminIID, "OpenView", object{"conditions": len(c), "restrictions": c, "wanted": len(columns), "columns": columns, "first": 1, "count": 2})
	}
	// rows reads the first cell of each row, and how many the end mark says there are.
	rows := func(r object) (cells []string, end uint32) {
		blob := blobOf(t, r)
		for len(blob) > 0 {
			id, n, size := le.Uint32(blob), le.Uint32(blob[4:]), le.Uint32(blob[8:])
			if n == ^id {
				return cells, id
			}
			at, length := le.Uint32(blob[20:]), le.Uint32(blob[24:])
			cells = append(cells, hex.EncodeToString(blob[at:at+length]))
			blob = blob[size:]
		}
		return cells, 0
	}
	wideZ := func(s string) string { return hex.EncodeToString(append(dcerpc.Wide(s), 0, 0)) }

	first := open([]object{{"column": columns["Request.Disposition"], "seek": 1, "sort": 0, "value": "14000000"}, {"column": columns["RequestID"], "seek": 0x10, "sort": 2, "value": "00000000"}}, columns["CommonName"])
	if cells, end := rows(first); len(cells) != 2 || cells[0] != wideZ("three") || end != 0 || first["fetched"] != 2.0 {
		t.Errorf("first page: %v, %d", cells, end)
	}
	p.refused(0x8000FFFF, adminIID, "OpenView", object{"conditions": 0, "restrictions": []object{}, "wanted": 1, "columns": []uint32{0}, "first": 1, "count": 1})
	if cells, end := rows(p.call(adminIID, "EnumView", object{"first": 3, "count": 2})); len(cells) != 1 || cells[0] != wideZ("one") || end != 4 {
		t.Errorf("last page: %v, %d", cells, end)
	}
	p.call(adminIID, "CloseView", nil)
	p.refused(0x80070006, adminIID, "EnumView", object{"first": 1, "count": 1})
	p.refused(0x8000FFFF, adminIID, "CloseView", nil)

	attributes := ids(0x4000)
	if cells, _ := rows(open([]object{{"column": attributes["AttributeValue"], "seek": 1, "sort": 0, "value": wideZ("tx-two")}}, attributes["AttributeRequestId"])); len(cells) != 1 || cells[0] != "02000000" {
		t.Errorf("by attribute: %v", cells)
	}
	p.call(adminIID, "CloseView", nil)
	if cells, _ := rows(open([]object{{"column": 0xFFFFFFFF, "seek": 0, "sort": 0, "value": ""}}, columns["Request.RequestID"])); len(cells) != 1 || cells[0] != "04000000" {
		t.Errorf("pending: %v", cells)
	}
}
