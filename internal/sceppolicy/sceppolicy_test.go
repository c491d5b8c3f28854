package sceppolicy

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/setting"
)

func TestDefaultsAreStrict(t *testing.T) {
	e := &Endpoint{}
	setting.Defaults(e)
	if e.Floor != Modern || e.StaticOn || e.SubjectKeyOther || e.ChallengeUses != 1 || len(e.Findings("door", time.Now())) > 0 {
		t.Errorf("the defaults open something: %+v", e)
	}
	if err := setting.Check(e); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
}

func TestWhatOpensNeedsAWord(t *testing.T) {
	for name, c := range map[string]struct{ in, field string }{
		"legacy without a word":  {`{"floor":"legacy","legacy_until":"2027-01-01"}`, "legacy_accepted"},
		"legacy without an end":  {`{"floor":"legacy","legacy_accepted":true}`, "legacy_until"},
		"legacy without a date":  {`{"floor":"legacy","legacy_accepted":true,"legacy_until":"soon"}`, "legacy_until"},
		"short static challenge": {`{"static_on":true,"static":"short"}`, "static"},
		"no static challenge":    {`{"static_on":true}`, "static"},
	} {
		t.Run(name, func(t *testing.T) {
			e := &Endpoint{}
			setting.Defaults(e)
			err := setting.FromJSON(e, json.RawMessage(c.in))
			if ra.KindOf(err) != ra.Invalid {
				t.Fatalf("got %v", err)
			}
			bad := ra.AsError(err)
			fields := []string{bad.Field}
			for _, d := range bad.Details {
				fields = append(fields, d.Field)
			}
			if !strings.Contains(strings.Join(fields, " "), c.field) {
				t.Errorf("fields %q, want %q", fields, c.field)
			}
		})
	}
}

func TestStaticChallengeStaysSecret(t *testing.T) {
	e := &Endpoint{StaticOn: true, Static: secret.New("canary-0123456789abcdef")}
	out, err := setting.ToJSON(e)
	if err != nil || strings.Contains(string(out), "canary") {
		t.Errorf("%s, %v", out, err)
	}
}

func TestLegacyEnds(t *testing.T) {
	e := &Endpoint{Floor: Legacy, LegacyUntil: "2026-06-30"}
	for at, want := range map[string]string{"2026-06-01": Legacy, "2026-06-30": Legacy, "2026-07-02": Modern} {
		now, err := time.Parse(time.DateOnly, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.FloorAt(now); got != want {
			t.Errorf("on %s: %s, want %s", at, got, want)
		}
	}
}

func TestFindings(t *testing.T) {
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		settings Endpoint
		want     []string
	}{
		"strict":    {Endpoint{Floor: Modern}, nil},
		"compat":    {Endpoint{Floor: Compat}, nil},
		"open":      {Endpoint{Floor: Legacy, LegacyUntil: "2026-07-01"}, []string{"open until 2026-07-01"}},
		"ended":     {Endpoint{Floor: Legacy, LegacyUntil: "2026-05-01"}, []string{"ended on 2026-05-01"}},
		"two sorts": {Endpoint{Floor: Legacy, LegacyUntil: "2026-07-01", StaticOn: true}, []string{"open until", "static challenge"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.settings.Findings("door", now)
			if len(got) != len(c.want) {
				t.Fatalf("got %d findings, want %d", len(got), len(c.want))
			}
			for i, f := range got {
				if !strings.Contains(f.Message, c.want[i]) || f.Remedy == "" {
					t.Errorf("got %q, remedy %q", f.Message, f.Remedy)
				}
			}
		})
	}
}
