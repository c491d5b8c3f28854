package adcs_test

import (
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"chancery/internal/doubles/adcs"
	"chancery/internal/doubles/dcerpc"
)

func blobOf(t *testing.T, result object) []byte {
	t.Helper()
	b, err := hex.DecodeString(result["blob"].(string))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// textOf reads a text with its NUL.
func textOf(t *testing.T, result object) string {
	t.Helper()
	text, ok := strings.CutSuffix(dcerpc.Narrow(blobOf(t, result)), "\x00")
	if !ok {
		t.Errorf("no NUL: %v", result)
	}
	return text
}

func TestRequestOverDCOM(t *testing.T) {
	ca := start(t, adcs.Config{})
	p := startPython(t, ca, "ra").dcom("request", "ICertRequestD", "ICertRequestD2")
	request := hex.EncodeToString(csr(t, keys()[0], "host"))
	first := object{"dwFlags": 0x100, "id": 0, "attributes": "CertificateTemplate:WebServer", "request": request}
	cert := certificate(t, p.call("ICertRequestD", "Request", first))
	second := object{"dwFlags": 0, "serial": nil, "id": 0, "attributes": "CertificateTemplate:WebServer", "request": request}
	again := certificate(t, p.call("ICertRequestD2", "Request2", second))
	if cert.SerialNumber.Cmp(again.SerialNumber) == 0 || len(ca.Issued()) != 2 {
		t.Error("one certificate for two requests")
	}

	byID := object{"dwFlags": 0, "id": 1, "attributes": nil, "request": ""}
	if got := certificate(t, p.call("ICertRequestD", "Request", byID)); !got.Equal(cert) {
		t.Error("another certificate by id")
	}
	serial := hex.EncodeToString(again.SerialNumber.Bytes())
	if got := certificate(t, p.call("ICertRequestD2", "Request2", object{"dwFlags": 0, "serial": serial, "id": 0, "attributes": nil, "request": ""})); !got.Equal(again) {
		t.Error("another certificate by serial number")
	}
	if got := certificate(t, p.call("ICertRequestD", "Request", object{"dwFlags": 0, "id": 1, "attributes": serial, "request": ""})); !got.Equal(again) {
		t.Error("attributes are no serial number")
	}
	p.refused(0x80070057, "ICertRequestD2", "Request2", object{"dwFlags": 0, "serial": serial, "id": 1, "attributes": nil, "request": ""})
	p.refused(0x80070057, "ICertRequestD2", "Request2", object{"dwFlags": 0, "serial": serial[1:], "id": 0, "attributes": nil, "request": ""})
	p.refused(0x80070057, "ICertRequestD", "Request", object{"authority": "Other", "dwFlags": 0, "id": 1, "attributes": nil, "request": ""})
	if d := disposition(p.call("ICertRequestD", "Request", object{"dwFlags": 0, "id": 77, "attributes": nil, "request": ""})); d != 0x80094004 {
		t.Errorf("an id that is none: 0x%x", d)
	}
	long := "CertificateTemplate:WebServer\nnote:" + strings.Repeat("x", 1536)
	if text, _ := p.do("call", p.method("ICertRequestD", "Request", object{"dwFlags": 0, "id": 0, "attributes": long, "request": request}))["text"].(string); text != "rpc_x_bad_stub_data" {
		t.Errorf("attributes that are too long: %s", text)
	}
	off := start(t, adcs.Config{InterfaceFlags: adcs.IfNoRemoteRequest | adcs.IfEncryptRequest})
	p = startPython(t, off, "ra").dcom("request", "ICertRequestD")
	p.refused(0x80094011, "ICertRequestD", "Request", first)
}

func TestPropertiesOverDCOM(t *testing.T) {
	ca := start(t, adcs.Config{})
	p := startPython(t, ca, "ra").dcom("request", "ICertRequestD2")
	const iid = "ICertRequestD2"
	property := func(id, index, kind int) object { return object{"property": id, "index": index, "type": kind} }
	if name := textOf(t, p.call(iid, "GetCACert", object{"what": 0x6E616D65, "authority": ""})); name != ca.Name() {
		t.Errorf("the CA is named %s", name)
	}
	if got := blobOf(t, p.call(iid, "GetCACert", object{"what": 0})); string(got) != string(ca.Certificate().Raw) {
		t.Error("another certificate")
	}
	if got := blobOf(t, p.call(iid, "GetCACert", object{"what": 0x6363726C})); string(got) != string(ca.CRL().Raw) {
		t.Error("another CRL")
	}
	if got := blobOf(t, p.call(iid, "GetCACert", object{"what": 0x696E666F})); len(got) != 40 || got[0] != 40 {
		t.Errorf("CAINFO %x", got)
	}
	lines := strings.Split(strings.TrimSuffix(textOf(t, p.call(iid, "GetCAProperty", property(0x1D, 0, 4))), "\n"), "\n")
	if len(lines) != 10 || lines[0] != "WebServer" || lines[1] == "" || lines[2] != "User" || lines[3] != "" {
		t.Errorf("templates: %q", lines)
	}
	if got := blobOf(t, p.call(iid, "GetCAProperty", property(0x11, 0, 3))); string(got) != string(ca.CRL().Raw) {
		t.Error("another CRL")
	}
	if got := blobOf(t, p.call(iid, "GetCAProperty", property(0x0A, 0, 1))); !slices.Equal(got, []byte{1, 0, 0, 0}) {
		t.Errorf("kind %x", got)
	}
	p.refused(0x80070057, iid, "GetCAProperty", property(0x06, 0, 3))
	p.refused(0x80070057, iid, "GetCAProperty", property(0x7777, 0, 4))
	p.refused(0x80070002, iid, "GetCAProperty", property(0x0C, 9, 3))
	p.refused(0x80070057, iid, "Ping", object{"authority": "Other"})
	p.call(iid, "Ping", object{"authority": ""})
	p.call(iid, "Ping2", nil)
}

func TestObjects(t *testing.T) {
	ca := start(t, adcs.Config{})
	ca.Account(adcs.Account{User: "local", Password: "secret of local", NoDCOM: true})
	p := startPython(t, ca, "ra").dcom("request", "ICertRequestD", "ICertRequestD2")
	if n := ca.Objects(); n != 1 {
		t.Errorf("%d objects", n)
	}
	p.fails(0x80004002, "query", object{"from": "ICertRequestD", "iid": "ICertAdminD"})
	p.call("ICertRequestD", "Ping", nil)
	p.ok("release", object{"iid": "ICertRequestD2", "count": 1})
	p.ok("release", object{"iid": "ICertRequestD", "count": 4})
	p.call("ICertRequestD", "Ping", nil)
	p.ok("release", object{"iid": "ICertRequestD", "count": 1})
	if n := ca.Objects(); n != 0 {
		t.Errorf("%d objects after their release", n)
	}
	p.refused(0x80010114, "ICertRequestD", "Ping", nil)
	p = startPython(t, ca, "ra").dcom("request", "ICertRequestD")
	ca.ExpireObjects()
	p.refused(0x80010114, "ICertRequestD", "Ping", nil)
	p = startPython(t, ca, "ra")
	p.ok("dcom", object{"port": portOf(t, ca.MapperAddress())})
	p.fails(0x80004002, "activate", object{"class": "request", "iid": "ICertAdminD"})

	port := portOf(t, ca.MapperAddress())
	for name, login := range map[string]object{"may not": {"user": "local", "password": "secret of local"}, "connect": {"level": 2}, "wrong": {"password": "wrong"}} {
		p := startPython(t, ca, "ra")
		args := object{"port": port}
		for k, v := range login {
			args[k] = v
		}
		p.ok("dcom", args)
		result := p.do("activate", object{"class": "request", "iid": "ICertRequestD"})
		if errorOf(result) != 0x80070005 && result["text"] != "rpc_s_access_denied" {
			t.Errorf("%s: %v", name, result)
		}
	}
	if n := ca.Objects(); n != 0 {
		t.Errorf("%d objects of those who may not have any", n)
	}
}
