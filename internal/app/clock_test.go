package app

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ra"
)

// TestClockJumps: a wrong clock issues nothing and ends nothing, says so, and
// goes on by itself when it is right again.
func TestClockJumps(t *testing.T) {
	var off atomic.Int64
	cfg := config(t, "")
	cfg.Now = func() time.Time { return time.Now().Add(time.Duration(off.Load())) }
	s := startSite(t, cfg)
	kept := s.enrol("ada-iphone")
	s.crl()
	s.isReady()
	root := must(s.Authorities.Chain(t.Context(), s.ca.ID))[1]
	for _, jump := range []struct {
		name string
		by   time.Duration
		says string
	}{
		{"a year ahead", 400 * 24 * time.Hour, "jumped ahead"},
		{"an hour back", -time.Hour, "gone back"},
		{"back before the authority", time.Until(root.NotBefore) - 24*time.Hour, "gone back"},
	} {
		ask := s.ask("ada-macbook", s.challenge("ada-macbook"))
		off.Store(int64(jump.by))
		s.watch.Look(t.Context())
		status, _, body := s.get("/readyz")
		if status != 503 || !strings.Contains(string(body), jump.says) {
			t.Errorf("%s: /readyz %d %s", jump.name, status, body)
		}
		s.last = 0
		if _, err := s.scep(ask); err == nil || s.last != 503 {
			t.Errorf("%s: the device was answered %d, %v", jump.name, s.last, err)
		}
		if r, err := s.issue("ada", jump.name); err == nil && r.State == ra.Issued {
			t.Errorf("%s: a certificate was issued", jump.name)
		}
		if err := s.mayWork(); err == nil {
			t.Errorf("%s: jobs begin", jump.name)
		}
		if row := s.row(kept); row.State != ra.Valid {
			t.Errorf("%s: a certificate is %s", jump.name, row.State)
		}
		found, err := s.doctor().Glance(t.Context(), localActor())
		if err != nil || !has(found, "clock", ca.StepFailed) {
			t.Errorf("%s: the doctor finds %+v, %v", jump.name, found, err)
		}
		off.Store(0)
		s.isReady()
		if _, err := s.scep(ask); err != nil {
			t.Errorf("after %s: %v", jump.name, err)
		}
	}
	s.sound()
	s.stop()

	// A start with a clock that is behind is loud and does no harm; a person
	// may say that it is right.
	off.Store(int64(-3 * 24 * time.Hour))
	late := startSite(t, cfg)
	late.notReady("gone back")
	late.refusedForNow(late.ask("bela-ipad", late.challenge("bela-ipad")))
	late.stop()
	cfg.TrustClock = true
	late = startSite(t, cfg)
	late.isReady()
	if err := late.mayIssue(); err != nil {
		t.Error(err)
	}
}
