package adcsclient_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"chancery/internal/adcsclient"
	played "chancery/internal/doubles/adcs"
	"chancery/internal/ra"
	"chancery/internal/wire/adcsmsg"
	"chancery/internal/wire/hresult"
)

var ways = []adcsclient.Way{adcsclient.DCOM, adcsclient.RPC}

// TestEnrol: issued, pending then issued, denied, unknown: the same both ways.
func TestEnrol(t *testing.T) {
	for _, way := range ways {
		t.Run(string(way), func(t *testing.T) {
			w := newWorld(t, played.Config{})
			c := w.client(way)
			if err := c.Ping(t.Context()); err != nil {
				t.Fatalf("Ping: %v", err)
			}
			r := must(t, c, "WebServer", "pad")
			if r.Pending() || !r.Chain[0].Equal(w.Issued()[0]) || r.RequestID != w.Requests()[0].ID || len(r.Chain) != 1+len(w.Chain()) || !r.Chain[1].Equal(w.Certificate()) {
				t.Errorf("%d certificates, request %d", len(r.Chain), r.RequestID)
			}
			again, err := c.Retrieve(t.Context(), r.RequestID)
			if err != nil || !again.Chain[0].Equal(r.Chain[0]) {
				t.Errorf("retrieving it: %v", err)
			}

			waiting := must(t, c, "Manual", "waits")
			if !waiting.Pending() || waiting.RequestID == 0 {
				t.Fatalf("%+v", waiting)
			}
			if still, err := c.Retrieve(t.Context(), waiting.RequestID); err != nil || !still.Pending() {
				t.Errorf("still pending: %v %v", still.Pending(), err)
			}
			if err := w.Approve(waiting.RequestID); err != nil {
				t.Fatal(err)
			}
			if done, err := c.Retrieve(t.Context(), waiting.RequestID); err != nil || done.Pending() {
				t.Errorf("approved: %v", err)
			}

			denied := must(t, c, "Manual", "denied")
			if err := w.Deny(denied.RequestID); err != nil {
				t.Fatal(err)
			}
			_, err = c.Retrieve(t.Context(), denied.RequestID)
			wantCode(t, err, ra.RefusedByCA, hresult.AdminDenied)

			_, err = c.Retrieve(t.Context(), 4711)
			wantCode(t, err, ra.NotFound, hresult.PropertyEmpty)
		})
	}
}

func wantCode(t *testing.T, err error, kind ra.Kind, code hresult.Code) {
	t.Helper()
	if ra.KindOf(err) != kind || adcsclient.Code(err) != code || adcsclient.IsLost(err) || ra.AsError(err).Remedy == "" {
		t.Errorf("kind %s, code %s, lost %v, remedy %q: %v; want %s, %s", ra.KindOf(err), adcsclient.Code(err), adcsclient.IsLost(err), ra.AsError(err).Remedy, err, kind, code)
	}
}

// TestRefused: a refusal has its code, the CA's own words and its number.
func TestRefused(t *testing.T) {
	for _, way := range ways {
		w := newWorld(t, played.Config{Templates: append(played.DefaultTemplates(), played.Template{Name: "Never", NameFlags: played.SuppliesSubject, Deny: 0x80094016},
			played.Template{Name: "Others", NameFlags: played.SuppliesSubject, Enroll: []string{"plain"}}, played.Template{Name: "Later", NameFlags: played.SuppliesSubject, Deny: 0x800706ba})})
		c := w.client(way)
		for template, code := range map[string]hresult.Code{"Never": 0x80094016, "Others": 0x80094012, "Nope": 0x80094800} {
			r, err := submit(t, c, template, "x")
			wantCode(t, err, ra.RefusedByCA, code)
			if r.RequestID == 0 || ra.AsError(err).Retry != ra.Never {
				t.Errorf("%s %s: request %d, retry %v", way, template, r.RequestID, ra.AsError(err).Retry)
			}
		}
		_, err := submit(t, c, "Later", "x")
		if wantCode(t, err, ra.RefusedByCA, 0x800706ba); ra.AsError(err).Retry <= 0 {
			t.Errorf("what the CA could not reach: retry %v", ra.AsError(err).Retry)
		}
		w.SetFault(played.Fault{At: op(way), Act: played.Message("Verweigert vom Richtlinienmodul\r\nheute")})
		if _, err = submit(t, c, "Never", "x"); !strings.Contains(ra.AsError(err).Message, "The CA says: Verweigert vom Richtlinienmodul heute") {
			t.Errorf("%s: %v", way, err)
		}
		_, err = submit(t, w.as(way, "nobody"), "WebServer", "x")
		if ra.KindOf(err) != ra.RefusedByCA || adcsclient.IsLost(err) {
			t.Errorf("%s without the right: %v", way, err)
		}
	}
}

// TestCodes: every refusal has a sentence and a remedy of its own, whether the CA
// denies a request with it or fails the call.
func TestCodes(t *testing.T) {
	codes := []hresult.Code{0x80070005, 0x80070057, 0x80070490, 0x80070525, 0x80070534, 0x8007054b, 0x8007202b, 0x80072030, 0x80092010, 0x80092013, 0x80093103, 0x80094001, 0x80094009,
		0x8009400e, 0x8009400f, 0x80094011, 0x80094012, 0x80094014, 0x80094015, 0x80094016, 0x80094800, 0x80094801, 0x80094802, 0x80094803, 0x80094806, 0x80094807, 0x80094809, 0x8009480a,
		0x8009480d, 0x8009480f, 0x80094811, 0x80094812, 0x80094815, 0x80094816, 0x80094821, 0x800b0101, 0x800b0109, 0x800b0110, 0x800b0112}
	w := newWorld(t, played.Config{})
	c := w.client(adcsclient.DCOM)
	messages, remedies := map[string]bool{}, map[string]bool{}
	for _, code := range codes {
		w.SetTemplate(played.Template{Name: "Denies", NameFlags: played.SuppliesSubject, Deny: uint32(code)})
		_, denied := submit(t, c, "Denies", "x")
		w.SetFault(played.Fault{At: played.Request, Act: played.Result(uint32(code))})
		_, failed := submit(t, c, "WebServer", "x")
		for _, err := range []error{denied, failed} {
			wantCode(t, err, ra.RefusedByCA, code)
		}
		e := ra.AsError(failed)
		if messages[e.Message] || remedies[e.Remedy] || !strings.Contains(e.Message, code.String()) || !strings.HasPrefix(ra.AsError(denied).Message, e.Message) || ra.AsError(denied).Remedy != e.Remedy {
			t.Errorf("%s: %q, %q", code, ra.AsError(denied).Message, e.Remedy)
		}
		messages[e.Message], remedies[e.Remedy] = true, true
	}
	if len(messages) < 35 {
		t.Errorf("%d codes", len(messages))
	}
}

// op is the double's name for the call of a way.
func op(way adcsclient.Way) played.Op {
	if way == adcsclient.DCOM {
		return played.Request
	}
	return played.Passage
}

// TestLost: after the request has left and no believable answer came, the outcome
// is unknown; the CA may have issued.
func TestLost(t *testing.T) {
	for _, way := range ways {
		for name, c := range map[string]struct {
			act    played.Act
			issued int
		}{
			"cut after": {played.CutAfter, 1}, "half an answer": {played.HalfPDU, 1}, "cut before": {played.CutBefore, 0}, "no certificate": {played.EmptyBlobs, 1},
			"other call": {played.WrongCallID, 1}, "strange fault": {played.RPCFault(0x6be), 0}, "nonsense": {played.RPCFault(0xc0ffee00), 0},
		} {
			t.Run(string(way)+" "+name, func(t *testing.T) {
				w := newWorld(t, played.Config{})
				w.SetFault(played.Fault{At: op(way), Act: c.act})
				client := w.client(way)
				_, err := submit(t, client, "WebServer", "x")
				if !adcsclient.IsLost(err) || ra.KindOf(err) != ra.Unreachable || ra.AsError(err).Remedy == "" {
					t.Errorf("lost %v, kind %s: %v", adcsclient.IsLost(err), ra.KindOf(err), err)
				}
				if n := len(w.Issued()); n != c.issued {
					t.Errorf("%d issued", n)
				}
				must(t, client, "WebServer", "y") // the client recovers
			})
		}
	}
}

// TestHang: a CA that does not answer is given up when the caller's time is up.
func TestHang(t *testing.T) {
	for _, way := range ways {
		w := newWorld(t, played.Config{})
		c := w.client(way)
		must(t, c, "WebServer", "first") // connected and logged in
		w.SetFault(played.Fault{At: op(way), Act: played.Hang})
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		_, err := c.Submit(ctx, adcsmsg.FlagPKCS10, csr(t, "x"), nil)
		cancel()
		if !adcsclient.IsLost(err) || ra.KindOf(err) != ra.Unreachable {
			t.Errorf("%s: %v", way, err)
		}
		must(t, c, "WebServer", "after")
	}
}

// TestNotLost: what the server refuses before it does anything is no unknown
// outcome.
func TestNotLost(t *testing.T) {
	for _, way := range ways {
		for _, status := range []uint32{5, 0x721, 0x6f7, 0x1c010002, 0x1c00001a, 0x1c01000b} {
			w := newWorld(t, played.Config{})
			w.SetFault(played.Fault{At: op(way), Act: played.RPCFault(status), Times: -1})
			_, err := submit(t, w.client(way), "WebServer", "x")
			if adcsclient.IsLost(err) || adcsclient.Code(err) != hresult.Normalize(status) || ra.AsError(err).Remedy == "" {
				t.Errorf("%s, fault %#x: lost %v, code %s: %v", way, status, adcsclient.IsLost(err), adcsclient.Code(err), err)
			}
		}
	}
}

// TestUnsent: nothing left us for a CA that cannot be reached or does not know us.
func TestUnsent(t *testing.T) {
	w := newWorld(t, played.Config{})
	stopped := newWorld(t, played.Config{NotRegistered: true})
	_, err := submit(t, stopped.client(adcsclient.RPC), "WebServer", "x")
	wantCode(t, err, ra.Unreachable, 0x800706d9)
	_, err = submit(t, w.as(adcsclient.DCOM, "away"), "WebServer", "x")
	wantCode(t, err, ra.RefusedByCA, hresult.AccessDenied)
	for _, code := range []hresult.Code{0x80040154, 0x80080005} {
		w.SetFault(played.Fault{At: played.Activate, Act: played.Result(uint32(code))})
		_, err = submit(t, w.client(adcsclient.DCOM), "WebServer", "x")
		wantCode(t, err, ra.RefusedByCA, code)
	}
	for _, way := range ways {
		_, err := submit(t, w.open(way, w.options("svc-ra", "wrong")), "WebServer", "x")
		if ra.KindOf(err) != ra.RefusedByCA || adcsclient.IsLost(err) || ra.AsError(err).Remedy == "" {
			t.Errorf("%s with a wrong password: %v", way, err)
		}
		o := w.options("svc-ra", password)
		o.RPC.MapperPort = 1
		_, err = submit(t, w.open(way, o), "WebServer", "x")
		if ra.KindOf(err) != ra.Unreachable || adcsclient.IsLost(err) {
			t.Errorf("%s with nobody there: %v", way, err)
		}
		o = w.options("svc-ra", password)
		o.Authority = "OTHER-CA"
		_, err = submit(t, w.open(way, o), "WebServer", "x")
		wantCode(t, err, ra.RefusedByCA, hresult.InvalidArgument)
		if err := w.open(way, o).Ping(t.Context()); adcsclient.Code(err) != hresult.InvalidArgument {
			t.Errorf("%s: Ping of another CA: %v", way, err)
		}
		_, err = w.client(way).Submit(t.Context(), adcsmsg.FlagPKCS10, csr(t, "x"), adcsmsg.Attributes{{Name: adcsmsg.AttributeTemplate, Value: "User\nSAN:upn=admin@corp.example"}})
		if ra.KindOf(err) != ra.Invalid || adcsclient.IsLost(err) {
			t.Errorf("%s with an attribute in an attribute: %v", way, err)
		}
	}
	o := w.options("svc-ra", password)
	o.RPC.SMBPort = 1
	_, err = submit(t, w.open(adcsclient.Pipe, o), "WebServer", "x")
	if ra.KindOf(err) != ra.Unreachable || adcsclient.IsLost(err) {
		t.Errorf("by a pipe that is not there: %v", err)
	}
	if n := len(w.Requests()); n != 0 {
		t.Errorf("%d requests arrived", n)
	}
}

// TestStale: an object that the CA has forgotten is made again.
func TestStale(t *testing.T) {
	w := newWorld(t, played.Config{})
	c := w.client(adcsclient.DCOM)
	must(t, c, "WebServer", "x")
	w.ExpireObjects()
	must(t, c, "WebServer", "y")
	if n := len(w.Issued()); n != 2 {
		t.Errorf("%d issued", n)
	}
}
