package adcs_test

import (
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"chancery/internal/doubles/adcs"
	"chancery/internal/doubles/dcerpc"
)

// columnsOf asks for the columns of the table of requests, by name.
func columnsOf(t *testing.T, p *python) map[string]uint32 {
	t.Helper()
	r := p.call(adminIID, "EnumViewColumnTable", object{"table": 0, "first": 0, "count": 1000})
	blob, found := blobOf(t, r), map[string]uint32{}
	for i := range int(r["count"].(float64)) {
		c := blob[20*i:]
		name := blob[binary.LittleEndian.Uint32(c[12:]):]
		text, _, _ := strings.Cut(dcerpc.Narrow(name[:len(name)&^1]), "\x00")
		found[text] = binary.LittleEndian.Uint32(c[4:])
	}
	return found
}

// cells reads the rows of an answer: type and value of each cell.
func cells(t *testing.T, r object) (rows [][]string) {
	t.Helper()
	le := binary.LittleEndian
	for blob := blobOf(t, r); len(blob) > 0; {
		id, n, size := le.Uint32(blob), le.Uint32(blob[4:]), le.Uint32(blob[8:])
		if n == ^id {
			return rows
		}
		var row []string
		for i := range n {
			head := blob[12+16*i:]
			at, length := le.Uint32(head[8:]), le.Uint32(head[12:])
			row = append(row, string('0'+rune(head[0]))+hex.EncodeToString(blob[at:at+length]))
		}
		rows, blob = append(rows, row), blob[size:]
	}
	return rows
}

// TestSeededView: what was seeded shows in views as what was issued does, with
// types, restrictions and orders as they are, and is signed by the key that it says.
func TestSeededView(t *testing.T) {
	ca := start(t, adcs.Config{FormerKeys: 2, EllipticKeys: true})
	now := time.Now().UTC().Truncate(time.Second)
	seeds := []adcs.Seed{
		{Template: "WebServer", Key: 0, NotAfter: now.Add(time.Hour)},
		{Template: "User", Key: 1, Requester: `CORP\bob`, Caller: `CORP\ra`, Attributes: "a:b"},
		{Template: "User", Key: 2, Disposition: 21, Reason: 4, Revoked: now.Add(-time.Minute)},
		{Template: "User", Key: 2, Hidden: true},
		{Disposition: 31}, {Disposition: 9}, {Disposition: 30},
	}
	if first, err := ca.Seed(len(seeds), func(i int) adcs.Seed { return seeds[i] }); err != nil || first != 1 {
		t.Fatalf("%d, %v", first, err)
	}
	for _, bad := range []adcs.Seed{{Disposition: 7}, {Key: 3}} {
		if _, err := ca.Seed(1, func(int) adcs.Seed { return bad }); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
	rows := ca.Requests()
	if len(rows) != len(seeds) {
		t.Fatalf("%d rows", len(rows))
	}
	p := startPython(t, ca, "manager").dcom("admin", adminIID)
	id := columnsOf(t, p)
	p.refused(0x80070216, adminIID, "EnumViewColumnTable", object{"table": 0, "first": len(id), "count": 1})
	open := func(c []object, columns ...uint32) object {
		return object{"conditions": len(c), "restrictions": c, "wanted": len(columns), "columns": columns, "first": 1, "count": 100}
	}
	condition := func(name string, seek, sort int, value string) object {
		return object{"column": id[name], "seek": seek, "sort": sort, "value": value}
	}
	view := func(c []object, columns ...uint32) [][]string {
		t.Helper()
		defer p.call(adminIID, "CloseView", nil)
		return cells(t, p.call(adminIID, "OpenView", open(c, columns...)))
	}
	number := func(v uint32) string { return hex.EncodeToString(binary.LittleEndian.AppendUint32(nil, v)) }
	date := func(at time.Time) string {
		return hex.EncodeToString(binary.LittleEndian.AppendUint64(nil, dcerpc.Filetime(at)))
	}
	text := func(s string) string { return hex.EncodeToString(append(dcerpc.Wide(s), 0, 0)) }

	issued := []object{condition("RequestID", 0x10, 1, number(1)), condition("Request.Disposition", 8, 0, number(20)), condition("Request.Disposition", 4, 0, number(21))}
	got := view(issued, id["RequestID"], id["Request.Disposition"], id["Request.RequesterName"], id["Request.CallerName"], id["Request.RequestAttributes"],
		id["Request.RevokedWhen"], id["Request.RevokedReason"], id["CertificateTemplate"], id["SerialNumber"], id["RawCertificate"])
	want := [][]string{
		{"1" + number(2), "1" + number(20), "4" + text(`CORP\bob`), "4" + text(`CORP\ra`), "4" + text("a:b"), "2", "1", "4" + text("User"),
			"4" + text(hex.EncodeToString(rows[1].Certificate.SerialNumber.Bytes())), "3" + hex.EncodeToString(rows[1].Certificate.Raw)},
		{"1" + number(3), "1" + number(21), "4" + text(`CORP\somebody`), "4" + text(`CORP\somebody`), "4", "2" + date(now.Add(-time.Minute)), "1" + number(4), "4" + text("User"),
			"4" + text(hex.EncodeToString(rows[2].Certificate.SerialNumber.Bytes())), "3" + hex.EncodeToString(rows[2].Certificate.Raw)},
		{"1" + number(4), "1" + number(20), "4" + text(`CORP\somebody`), "4" + text(`CORP\somebody`), "4", "2", "1", "4" + text("User"),
			"4" + text(hex.EncodeToString(rows[3].Certificate.SerialNumber.Bytes())), "3"},
	}
	if !slices.EqualFunc(got, want, slices.Equal[[]string]) {
		t.Errorf("rows\n%v, want\n%v", got, want)
	}
	if got := view([]object{condition("RequestID", 0, 2, ""), condition("NotAfter", 0x10, 0, date(now.Add(time.Hour)))}, id["RequestID"]); len(got) != 3 || got[0][0] != "1"+number(4) {
		t.Errorf("those that end later, the last first: %v", got)
	}
	if got := view([]object{condition("CertificateTemplate", 1, 0, text("WebServer"))}, id["RequestID"]); len(got) != 0 {
		t.Errorf("a template of version 2 by its name: %v", got)
	}
	for name, c := range map[string][]object{
		"two orders":              {condition("RequestID", 0x10, 1, number(0)), condition("NotAfter", 0x10, 1, date(now))},
		"an order without index":  {condition("Request.RevokedWhen", 8, 1, date(now))},
		"no such order":           {condition("RequestID", 0x10, 3, number(0))},
		"no such way to compare":  {condition("RequestID", 0x20, 0, number(0))},
		"a number of eight bytes": {condition("RequestID", 0x10, 1, number(0)+number(0))},
		"a date of four bytes":    {condition("NotAfter", 0x10, 0, number(0))},
	} {
		t.Run(name, func(t *testing.T) {
			p.refused(0x80070057, adminIID, "OpenView", open(c, id["RequestID"]))
		})
	}

	r := startPython(t, ca, "ra").dcom("request", "ICertRequestD2")
	signer := func(index int) object { return object{"property": 0x0C, "index": index, "type": 3} }
	if n := blobOf(t, r.call("ICertRequestD2", "GetCAProperty", object{"property": 0x0B, "index": 0, "type": 1})); !bytes.Equal(n, []byte{3, 0, 0, 0}) {
		t.Errorf("count of the CA's certificates: %x", n)
	}
	for i := range 3 {
		raw := blobOf(t, r.call("ICertRequestD2", "GetCAProperty", signer(i)))
		for n, row := range rows[:4] {
			if ok := row.Certificate.CheckSignatureFrom(parse(t, raw)) == nil; ok != (seeds[n].Key == uint32(i)) {
				t.Errorf("row %d signed by key %d: %v", row.ID, i, ok)
			}
		}
	}
	r.refused(0x80070002, "ICertRequestD2", "GetCAProperty", signer(3))
	if got := blobOf(t, r.call("ICertRequestD2", "GetCAProperty", signer(-1))); !bytes.Equal(got, ca.Certificate().Raw) {
		t.Error("the newest is not the present one")
	}
	bySerial := func(serial string, request string) object {
		return object{"dwFlags": 0, "serial": serial, "id": 0, "attributes": nil, "request": request}
	}
	hidden := hex.EncodeToString(rows[3].Certificate.SerialNumber.Bytes())
	if got := certificate(t, r.call("ICertRequestD2", "Request2", bySerial(hidden, ""))); !got.Equal(rows[3].Certificate) {
		t.Error("another certificate by serial number")
	}
	r.refused(0x80070057, "ICertRequestD2", "Request2", bySerial(hidden, "3000"))
	if d := disposition(r.call("ICertRequestD2", "Request2", bySerial("6100", ""))); d != 0x80094004 {
		t.Errorf("a serial number that is none: 0x%x", d)
	}
	if d := disposition(r.call("ICertRequestD2", "Request2", bySerial(hex.EncodeToString(rows[2].Certificate.SerialNumber.Bytes()), ""))); d != 6 {
		t.Errorf("revoked: 0x%x", d)
	}
}

// TestCutAfterRows: the line breaks with the row that is said, once for each.
func TestCutAfterRows(t *testing.T) {
	ca := start(t, adcs.Config{EllipticKeys: true})
	if _, err := ca.Seed(30, func(int) adcs.Seed { return adcs.Seed{} }); err != nil {
		t.Fatal(err)
	}
	ca.CutAfterRows(11, 5)
	enum := object{"first": 1, "count": 5}
	for _, answers := range []int{2, 0, 5} { // before the line breaks, for eleven rows, five, and none any more
		p := startPython(t, ca, "manager").dcom("admin", adminIID)
		id := columnsOf(t, p)["RequestID"]
		result := p.do("call", p.method(adminIID, "OpenView", object{"conditions": 0, "restrictions": []object{}, "wanted": 1, "columns": []uint32{id}, "first": 1, "count": 5}))
		got := 0
		for got < 5 && result["error"] == nil {
			got++
			result = p.do("call", p.method(adminIID, "EnumView", enum))
		}
		if got != answers {
			t.Errorf("%d answers, want %d: %v", got, answers, result)
		}
	}
}

func parse(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
