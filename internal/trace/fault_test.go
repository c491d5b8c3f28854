package trace_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	double "chancery/internal/doubles/ndes"
	"chancery/internal/pass"
	"chancery/internal/trace"
)

// TestNineteenSteps: a proxied enrolment that goes well has all its steps in
// order, and is over when the device reports its certificate.
func TestNineteenSteps(t *testing.T) {
	e := begin(t, double.Config{}).look()
	cert, err := e.send()
	if err != nil {
		t.Fatal(err)
	}
	got := e.show(string(e.pass.ID))
	if got.Result != trace.Done || got.Problem != nil {
		t.Errorf("%s, problem %+v", got.Result, got.Problem)
	}
	if _, _, err := e.passes.Learn(t.Context(), admin, pass.LearnInput{DER: cert.Raw, Device: e.device.ID}); err != nil {
		t.Fatal(err)
	}
	got = e.show(string(e.device.ID))
	last := time.Time{}
	for i, l := range got.Lines[:19] {
		if l.Number != i+1 || l.Title == "" || l.Who != trace.Device && l.Who != trace.Chancery && l.Who != trace.Authority {
			t.Errorf("line %d: %+v", i, l)
		}
		switch l.State {
		case pass.StepDone:
			if l.At.IsZero() {
				t.Errorf("step %d was done at no time", l.Number)
			}
			// The capabilities may be asked for before the certificates.
			if l.Number < 6 || l.Number > 14 {
				if l.At.Before(last) {
					t.Errorf("step %d comes before the one above it", l.Number)
				}
				last = l.At
			}
		case pass.StepInferred:
			if l.Number != 4 && l.Number != 5 && l.Number != 10 {
				t.Errorf("step %d is only inferred", l.Number)
			}
		default:
			t.Errorf("step %d is %s", l.Number, l.State)
		}
	}
	if fields := got.Lines[14].Fields; fields["transaction"] == "" || fields["signer"] == "" {
		t.Errorf("what was decoded of the message: %v", fields)
	}
}

// TestSeededFaults: whatever is broken, the trace names the hop, why, and what
// to do.
func TestSeededFaults(t *testing.T) {
	for _, f := range []struct {
		name    string
		server  double.Config
		seed    func(t *testing.T, e *enrolment)
		result  trace.Result
		step    int
		who     string
		message string
		remedy  string
	}{
		{"cache full", double.Config{}, func(t *testing.T, e *enrolment) {
			for range 5 { // somebody else takes all there are
				resp := must(http.Get(e.server.AdminURL()))(t)
				resp.Body.Close()
			}
			if _, err := e.passes.Parameters(t.Context(), admin, e.pass.ID); err == nil {
				t.Error("there was a challenge all the same")
			}
		}, trace.Waiting, 2, trace.Authority, "full", "PasswordMax"},
		{"wrong length", double.Config{PasswordLength: 4}, func(t *testing.T, e *enrolment) {
			if _, err := e.passes.Parameters(t.Context(), admin, e.pass.ID); err == nil {
				t.Error("a challenge of the wrong length was given away")
			}
		}, trace.Failed, 2, trace.Authority, "8", "length"},
		{"expired token", double.Config{}, func(t *testing.T, e *enrolment) {
			e.look()
			e.clock.advance(40 * time.Minute)
			refused(t, e)
		}, trace.Failed, 16, trace.Chancery, "expired", "new pass"},
		{"server down", double.Config{}, func(t *testing.T, e *enrolment) {
			e.look()
			if err := e.server.Close(); err != nil {
				t.Fatal(err)
			}
			refused(t, e)
		}, trace.Failed, 16, trace.Chancery, "does not answer", "Test the connection"},
		{"expired RA certificate", double.Config{RALife: 4 * time.Minute}, func(t *testing.T, e *enrolment) {
			e.look()
			e.clock.advance(6 * time.Minute)
			refused(t, e)
		}, trace.Failed, 17, trace.Authority, "HTTP status", "RA certificates"},
		{"query too long", double.Config{Caps: []string{"AES", "SHA-256"}}, func(t *testing.T, e *enrolment) {
			e.look()
			refused(t, e)
		}, trace.Failed, 17, trace.Authority, "404", "query that is too long"},
	} {
		t.Run(f.name, func(t *testing.T) {
			e := begin(t, f.server)
			f.seed(t, e)
			got := e.show(string(e.pass.ID))
			p := got.Problem
			if p == nil {
				t.Fatalf("no problem in %+v", got.Lines)
			}
			if got.Result != f.result || p.Number != f.step || p.Who != f.who || !strings.Contains(p.Message, f.message) || !strings.Contains(p.Remedy, f.remedy) {
				t.Errorf("%s: step %d (%s): %q, do: %q", got.Result, p.Number, p.Who, p.Message, p.Remedy)
			}
		})
	}
}

func refused(t *testing.T, e *enrolment) {
	t.Helper()
	if _, err := e.send(); err == nil {
		t.Error("the device got a certificate all the same")
	}
}
