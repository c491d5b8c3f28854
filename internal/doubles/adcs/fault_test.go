package adcs_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"chancery/internal/doubles/adcs"
)

func TestFaults(t *testing.T) {
	ca := start(t, adcs.Config{})
	request := csr(t, keys()[0], "host")
	enrol := object{"authority": ca.Name(), "attributes": "CertificateTemplate:WebServer", "request": hex.EncodeToString(request)}
	p := startPython(t, ca, "ra")
	lost := func(act adcs.Act, rows int) {
		t.Helper()
		ca.SetFault(adcs.Fault{At: adcs.Passage, Act: act})
		before := len(ca.Requests())
		if result := p.passage().do("enrol", enrol); result["error"] == nil {
			t.Errorf("an answer came: %v", result)
		}
		if n := len(ca.Requests()) - before; n != rows {
			t.Errorf("%d requests were committed, not %d", n, rows)
		}
	}
	lost(adcs.CutBefore, 0)
	lost(adcs.CutAfter, 1)
	lost(adcs.HalfPDU, 1)
	lost(adcs.RPCFault(0x1C00001A), 0)
	lost(adcs.Result(0x8009400F), 0)

	p.passage()
	ca.SetFault(adcs.Fault{At: adcs.Passage, Act: adcs.Refusal(0x80094012)})
	if answer := p.ok("enrol", enrol); disposition(answer) != 0x80094012 {
		t.Errorf("refused: %v", answer)
	}
	ca.SetFault(adcs.Fault{At: adcs.Passage, Act: adcs.EmptyBlobs})
	if answer := p.ok("enrol", enrol); disposition(answer) != 3 || answer["cert"] != "" || answer["chain"] != "" {
		t.Errorf("without blobs: %v", answer)
	}
	ca.SetFault(adcs.Fault{At: adcs.Passage, Act: adcs.Message("Ausgestellt")})
	if answer := p.ok("enrol", enrol); answer["message"] != "Ausgestellt" {
		t.Errorf("in German: %v", answer["message"])
	}
	straight := p.ok("enrol", enrol)["chain"].(string)
	ca.SetFault(adcs.Fault{At: adcs.Passage, Act: adcs.ReverseChain})
	issuer := hex.EncodeToString(ca.Certificate().Raw)
	root := hex.EncodeToString(ca.Chain()[1].Raw)
	if reversed := p.ok("enrol", enrol)["chain"].(string); strings.Index(straight, issuer) > strings.Index(straight, root) || strings.Index(reversed, root) > strings.Index(reversed, issuer) {
		t.Error("the chain is not turned around")
	}
	ca.SetFault(adcs.Fault{At: adcs.Revoke, Times: -1, Act: adcs.CutBefore})
	certificate(t, p.ok("enrol", enrol)) // a fault elsewhere
	ca.Heal()

	ca.SetFault(adcs.Fault{At: adcs.Map, Act: adcs.Result(0x16C9A0D6)})
	p.fails(0x16C9A0D6, "map", object{"port": portOf(t, ca.MapperAddress()), "interface": "91ae6020-9e3c-11cf-8d7c-00aa00c091be"})
	for _, code := range []uint32{0x80070005, 0x80040154} {
		p.ok("dcom", object{"port": portOf(t, ca.MapperAddress())})
		ca.SetFault(adcs.Fault{At: adcs.Activate, Act: adcs.Result(code)})
		p.fails(code, "activate", object{"class": "request", "iid": "ICertRequestD"})
	}
	p.dcom("request", "ICertRequestD")
	ca.SetFault(adcs.Fault{At: adcs.QueryInterface, Act: adcs.NoInterface("ICertRequestD2")})
	p.fails(0x80004002, "query", object{"from": "ICertRequestD", "iid": "ICertRequestD2"})
	ca.SetFault(adcs.Fault{At: adcs.Ping, Act: adcs.RPCFault(0x80010114)})
	p.refused(0x80010114, "ICertRequestD", "Ping", nil)
	p.call("ICertRequestD", "Ping", nil)

	for _, c := range []struct {
		op     adcs.Op
		method string
		args   object
		done   func() bool
	}{
		{adcs.Resubmit, "ResubmitRequest", object{}, func() bool { rows := ca.Requests(); return rows[len(rows)-1].Disposition == 20 }},
		{adcs.Revoke, "RevokeCertificate", object{"reason": 1, "when": 0}, func() bool { return ca.Requests()[0].Disposition == 21 }},
	} {
		pending := p.passage().enrol("Manual", request)
		c.args["id"] = pending["id"]
		if c.op == adcs.Revoke {
			delete(c.args, "id")
			c.args["serial"] = hex.EncodeToString(ca.Issued()[0].SerialNumber.Bytes())
		}
		admin := startPython(t, ca, "admin").dcom("admin", "ICertAdminD")
		ca.SetFault(adcs.Fault{At: c.op, Act: adcs.CutAfter})
		if result := admin.do("call", p.method("ICertAdminD", c.method, c.args)); result["error"] == nil || !c.done() {
			t.Errorf("%s: %v, done %v", c.op, result, c.done())
		}
	}
}
