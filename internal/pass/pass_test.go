package pass_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"chancery/internal/audit"
	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/ca/scripted"
	"chancery/internal/enroll"
	"chancery/internal/job"
	"chancery/internal/job/jobtest"
	"chancery/internal/pass"
	"chancery/internal/pass/passtest"
	"chancery/internal/ra"
	"chancery/internal/seal"
	"chancery/internal/store"
	"chancery/internal/testpeer"
	"chancery/internal/wire/cms"
	"chancery/internal/wire/scepmsg"
)

func TestMain(m *testing.M) { testpeer.Main(m, jobtest.Tables) }

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

type world struct {
	*pass.Service
	t         *testing.T
	clock     *clock
	server    *passtest.Server
	enroll    *enroll.Service
	group     ra.GroupID
	authority *ra.Authority
	template  *ra.Template
	device    *ra.Device
	n         int
}

func each(t *testing.T, test func(w *world)) {
	t.Helper()
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) {
		w := &world{t: t, clock: &clock{at: time.Now()}}
		log := slog.New(slog.DiscardHandler)
		db := must(store.Open(t.Context(), address, w.clock.now))(t)
		t.Cleanup(func() { db.Close() })
		db.Rehearse()
		box := must(seal.Create(filepath.Join(t.TempDir(), "master.key")))(t)
		queue := must(job.Open(t.Context(), db, job.Options{Log: log}))(t)
		w.server = passtest.New(w.clock.now)
		script := must(scripted.New(w.clock.now))(t)
		auth := &authority.Service{DB: db, Box: box, Kinds: []ca.Kind{w.server.Kind(), script.Kind()}, Now: w.clock.now, Log: log}
		w.enroll = &enroll.Service{DB: db, Box: box, Authorities: auth, Queue: queue, Now: w.clock.now, Log: log}
		w.Service = &pass.Service{DB: db, Box: box, Authorities: auth, Enroll: w.enroll, Queue: queue, Now: w.clock.now, Log: log, PublicURL: "https://ra.example.test/"}
		w.group = ra.NewID[ra.GroupID](ra.GroupPrefix, w.clock.now())
		w.write(func(tx *store.Tx) error { return tx.CreateGroup(&ra.Group{ID: w.group, Name: "Example"}) })
		w.authority = w.newAuthority("test-scep", "{}")
		w.template = w.newTemplate(nil)
		w.device = w.newDevice()
		test(w)
	})
}

var admin = ra.Actor{Kind: ra.ActorAdmin, ID: "adm_1", Name: "admin", Via: "test", Grants: []ra.Grant{{Role: ra.RoleOwner}}}

func (w *world) write(f func(*store.Tx) error) {
	w.t.Helper()
	if err := w.DB.Write(w.t.Context(), f); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) newAuthority(kind, settings string) *ra.Authority {
	w.t.Helper()
	w.n++
	name := fmt.Sprintf("Authority %d", w.n)
	return must(w.Authorities.Create(w.t.Context(), admin, kind, authority.Input{GroupID: &w.group, Name: &name, Settings: []byte(settings)}))(w.t)
}

func (w *world) newTemplate(change func(*ra.Template)) *ra.Template {
	w.t.Helper()
	w.n++
	t := &ra.Template{AuthorityID: w.authority.ID, Name: fmt.Sprintf("Template %d", w.n), Spec: ra.TemplateSpec{Subject: "CN={DeviceUid},O=Example",
		SANs: []ra.SANSpec{{Type: "dns", Value: "{DeviceUid}.example.org"}}, KeyType: "rsa-2048", KeyPlace: ra.KeyOnDevice, Usage: "both", EKUs: []string{"clientAuth"}, Validity: 90, AutoRenew: true}}
	if change != nil {
		change(t)
	}
	return must(w.enroll.CreateTemplate(w.t.Context(), admin, enroll.TemplateInput{GroupID: &w.group, AuthorityID: &t.AuthorityID, Name: &t.Name, Spec: &t.Spec}))(w.t)
}

func (w *world) newDevice() *ra.Device {
	w.t.Helper()
	w.n++
	uid := fmt.Sprintf("device-%d", w.n)
	d := &ra.Device{ID: ra.NewID[ra.DeviceID](ra.DevicePrefix, w.clock.now()), GroupID: w.group, Platform: ra.Linux, PlatformID: uid, Name: uid, State: ra.DeviceEnrolled, Attributes: map[string]string{}}
	w.write(func(tx *store.Tx) error { return tx.CreateDevice(d) })
	return d
}

func (w *world) create(model ra.PassModel) *ra.Pass {
	w.t.Helper()
	return must(w.Create(w.t.Context(), admin, pass.CreateInput{Template: w.template.ID, Device: w.device.ID, Model: model}))(w.t)
}

func (w *world) get(id ra.PassID) *ra.Pass {
	w.t.Helper()
	return must(w.Get(w.t.Context(), admin, id))(w.t)
}

func (w *world) sweep() {
	w.t.Helper()
	if err := w.Sweep(w.t.Context(), pass.SweepJob{}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) audited(id ra.PassID) (codes []string) {
	w.t.Helper()
	must(0, w.DB.Read(w.t.Context(), func(tx *store.Tx) error {
		list, _, err := tx.Audit(store.AuditFilter{Object: string(id)})
		for _, e := range list {
			codes = append(codes, e.Code)
		}
		return err
	}))(w.t)
	return codes
}

func wantKind(t *testing.T, what string, err error, kind ra.Kind) {
	t.Helper()
	if ra.KindOf(err) != kind || ra.AsError(err).Remedy == "" {
		t.Errorf("%s: %q (%v), want %q with a remedy", what, ra.KindOf(err), err, kind)
	}
}

func TestCreateRefuses(t *testing.T) {
	each(t, func(w *world) {
		t := w.t
		script := w.newAuthority("scripted", scripted.SettingsJSON)
		in := func(change func(*pass.CreateInput)) pass.CreateInput {
			i := pass.CreateInput{Template: w.template.ID, Device: w.device.ID, Model: ra.PassProxy}
			change(&i)
			return i
		}
		template := func(change func(*ra.Template)) pass.CreateInput {
			id := w.newTemplate(change).ID
			return in(func(i *pass.CreateInput) { i.Template = id })
		}
		blocked := w.newDevice()
		w.write(func(tx *store.Tx) error { blocked.State = ra.DeviceBlocked; return tx.UpdateDevice(blocked) })
		for name, tc := range map[string]struct {
			in   pass.CreateInput
			kind ra.Kind
		}{
			"without a device":          {in(func(i *pass.CreateInput) { i.Device = "" }), ra.Invalid},
			"for a device not there":    {in(func(i *pass.CreateInput) { i.Device = "dev_none" }), ra.NotFound},
			"for a blocked device":      {in(func(i *pass.CreateInput) { i.Device = blocked.ID }), ra.Denied},
			"of no model":               {in(func(i *pass.CreateInput) { i.Model = "carrier pigeon" }), ra.Invalid},
			"too short":                 {in(func(i *pass.CreateInput) { i.Life = time.Minute }), ra.Invalid},
			"too long":                  {in(func(i *pass.CreateInput) { i.Life = 31 * 24 * time.Hour }), ra.Invalid},
			"for a key made here":       {template(func(t *ra.Template) { t.AuthorityID, t.Spec.KeyPlace = script.ID, ra.KeyHere }), ra.Invalid},
			"at no SCEP server":         {template(func(t *ra.Template) { t.AuthorityID = script.ID }), ra.Invalid},
			"for an EC key":             {template(func(t *ra.Template) { t.Spec.KeyType = "p-256" }), ra.Invalid},
			"for what wants approval":   {template(func(t *ra.Template) { t.Spec.Approvals = 1 }), ra.Conflict},
			"renewing somebody else's":  {in(func(i *pass.CreateInput) { i.Renews = "crt_none" }), ra.NotFound},
			"with a template not there": {in(func(i *pass.CreateInput) { i.Template = "tpl_none" }), ra.NotFound},
		} {
			_, err := w.Create(t.Context(), admin, tc.in)
			wantKind(t, name, err, tc.kind)
		}
		stranger := ra.Actor{Kind: ra.ActorAdmin, ID: "adm_2", Name: "stranger", Grants: []ra.Grant{{Role: ra.RoleOwner, Group: "og_other", Path: "/og_other/"}}}
		viewer := ra.Actor{Kind: ra.ActorAdmin, ID: "adm_3", Name: "viewer", Grants: []ra.Grant{{Role: ra.RoleViewer}}}
		_, err := w.Create(t.Context(), stranger, in(func(*pass.CreateInput) {}))
		wantKind(t, "by a stranger", err, ra.NotFound)
		_, err = w.Create(t.Context(), viewer, in(func(*pass.CreateInput) {}))
		wantKind(t, "by a viewer", err, ra.Denied)
		p := w.create(ra.PassProxy)
		_, err = w.Parameters(t.Context(), viewer, p.ID)
		wantKind(t, "parameters for a viewer", err, ra.Denied)
		_, err = w.Revoke(t.Context(), viewer, p.ID, "")
		wantKind(t, "revoked by a viewer", err, ra.Denied)
		if _, err := w.Get(t.Context(), viewer, p.ID); err != nil {
			t.Errorf("a viewer may not see: %v", err)
		}
		_, _, err = w.Trace(t.Context(), stranger, p.ID)
		wantKind(t, "a stranger's look", err, ra.NotFound)
		list, _, err := w.Find(t.Context(), stranger, store.PassFilter{})
		if err != nil || len(list) != 0 {
			t.Errorf("a stranger sees %d passes (%v)", len(list), err)
		}
		list, _, err = w.Find(t.Context(), viewer, store.PassFilter{Device: w.device.ID})
		if err != nil || len(list) != 1 || list[0].ID != p.ID {
			t.Errorf("a viewer sees %d passes (%v)", len(list), err)
		}
	})
}

func TestParameters(t *testing.T) {
	each(t, func(w *world) {
		t := w.t
		w.server.SCEP.Marker = "CN"
		p := w.create(ra.PassDelegate)
		if w.server.Fetched() != 0 || p.Action != ra.ActionDeliver {
			t.Errorf("a challenge was fetched when the pass was made; it waits for %q", p.Action)
		}
		v := must(w.Parameters(t.Context(), admin, p.ID))(t)
		if v.URL != w.server.SCEP.URL || !v.Challenge.IsSet() || v.Subject != p.Subject || !strings.Contains(v.Subject, "CN="+p.Marker) || !strings.HasPrefix(p.Marker, "sceprenew-") ||
			v.KeyType != "rsa-2048" || len(v.SANs) != 1 || v.SANs[0].Value != w.device.PlatformID+".example.org" || v.Retries != 3 || v.RetryDelay != 10*time.Second ||
			v.CAIdentifier != "main" || v.CAFingerprint != "AA:BB" || v.KeyUsage == 0 || len(v.EKUs) != 1 {
			t.Errorf("the parameters are %+v", v)
		}
		if left := v.ChallengeUntil.Sub(w.clock.now()); left != 57*time.Minute {
			t.Errorf("the challenge is good for %s", left)
		}
		again := must(w.Parameters(t.Context(), admin, p.ID))(t)
		if !again.Challenge.Equal(v.Challenge) || w.server.Fetched() != 1 {
			t.Error("a second challenge was fetched while the first one lives")
		}
		if got := w.get(p.ID); got.Action != ra.ActionAwait || !got.At.Equal(got.ChallengeUntil) || got.RevealedAt.IsZero() {
			t.Errorf("the pass waits for %+v", got.Obligation)
		}
		w.clock.advance(58 * time.Minute)
		w.sweep()
		if got := w.get(p.ID); got.Action != ra.ActionDeliver || got.LastError == "" || got.State != ra.PassIssued {
			t.Errorf("after the challenge ran out: %+v", got.Obligation)
		}
		fresh := must(w.Parameters(t.Context(), admin, p.ID))(t)
		if fresh.Challenge.Equal(v.Challenge) || w.server.Fetched() != 2 {
			t.Error("an old challenge was given away again")
		}
		// A proxy has the same address every time, and none of the server's.
		proxy := w.create(ra.PassProxy)
		one, two := must(w.Parameters(t.Context(), admin, proxy.ID))(t), must(w.Parameters(t.Context(), admin, proxy.ID))(t)
		if one.URL != two.URL || !strings.HasPrefix(one.URL, "https://ra.example.test/scep-proxy/") || strings.Count(one.URL, "//") != 1 {
			t.Errorf("the addresses are %s and %s", one.URL, two.URL)
		}
		if got := w.audited(p.ID); !slices.Equal(got, []string{audit.PassRevealed, audit.PassRevealed, audit.PassRevealed, audit.PassCreated}) {
			t.Errorf("the audit log has %v", got)
		}
		must(w.Revoke(t.Context(), admin, p.ID, "lost"))(t)
		_, err := w.Parameters(t.Context(), admin, p.ID)
		wantKind(t, "of a revoked pass", err, ra.Conflict)
		_, err = w.Revoke(t.Context(), admin, p.ID, strings.Repeat("x", 5000))
		wantKind(t, "too long a reason", err, ra.Invalid)
	})
}

// TestNoChallenge: what keeps the server from making one is in the trace with
// what to do, and the pass goes on waiting.
func TestNoChallenge(t *testing.T) {
	each(t, func(w *world) {
		t := w.t
		w.server.Slots = 0 // the server's own idea
		p := w.create(ra.PassProxy)
		_, err := w.Parameters(t.Context(), admin, p.ID)
		if err == nil {
			t.Fatal("a challenge came from nowhere")
		}
		got, hops, traceErr := w.Trace(t.Context(), admin, p.ID)
		if traceErr != nil || got.Action != ra.ActionDeliver || got.Attempts != 1 || got.LastError == "" {
			t.Errorf("the pass is %+v (%v)", got, traceErr)
		}
		steps := pass.Steps(got, hops)
		if steps[0].State != pass.StepDone || steps[1].State != pass.StepFails || steps[1].Remedy == "" || steps[2].State != pass.StepNotReached {
			t.Errorf("the first steps are %+v", steps[:3])
		}
		w.server.Slots = 5
		must(w.Parameters(t.Context(), admin, p.ID))(t)
		if steps := pass.Steps(w.trace(p.ID)); steps[1].State != pass.StepDone || steps[2].State != pass.StepDone || steps[1].Times != 2 {
			t.Errorf("the first steps are %+v", steps[:3])
		}
	})
}

func (w *world) trace(id ra.PassID) (*ra.Pass, []ra.Hop) {
	w.t.Helper()
	p, hops, err := w.Trace(w.t.Context(), admin, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return p, hops
}

func TestSweep(t *testing.T) {
	each(t, func(w *world) {
		t := w.t
		arrival := func(hash string) pass.Arrival {
			return pass.Arrival{Hash: hash, Type: scepmsg.PKCSReq, Transaction: "T", Signer: "aa", SelfSigned: true}
		}
		unused, lost, gone, pending := w.create(ra.PassProxy), w.create(ra.PassProxy), w.create(ra.PassProxy), w.create(ra.PassProxy)
		must(w.Claim(t.Context(), lost.ID, arrival("1")))(t)
		c := must(w.Claim(t.Context(), pending.ID, arrival("2")))(t)
		if err := w.Result(t.Context(), c, pass.Outcome{Reply: &scepmsg.Message{Type: scepmsg.CertRep, Status: scepmsg.Pending}, Body: []byte{1}}); err != nil {
			t.Fatal(err)
		}
		w.write(func(tx *store.Tx) error {
			p, err := tx.Pass(gone.ID)
			if err == nil {
				p.At = tx.Now
				err = tx.UpdatePass(p)
			}
			return err
		})
		w.sweep()
		for _, p := range []*ra.Pass{unused, gone} {
			if got := w.get(p.ID); got.State != ra.PassIssued || got.Action != ra.ActionDeliver || !got.At.Equal(got.ExpiresAt) {
				t.Errorf("before its time: %+v", got)
			}
		}
		w.clock.advance(2 * time.Hour)
		w.sweep()
		if got := w.get(lost.ID); got.State != ra.PassFailed || got.Action != ra.ActionNone || !strings.Contains(got.Reason, "stopped") {
			t.Errorf("a claim nobody ended: %+v", got)
		}
		if got := w.get(pending.ID); got.State != ra.PassPending {
			t.Errorf("a pending pass is %s", got.State)
		}
		w.clock.advance(7 * 24 * time.Hour)
		w.sweep()
		if got := w.get(unused.ID); got.State != ra.PassExpired || got.Action != ra.ActionNone || got.SealedToken != nil {
			t.Errorf("an old pass is %+v", got)
		}
		if got := w.audited(unused.ID); got[0] != audit.PassExpired {
			t.Errorf("the audit log has %v", got)
		}
		w.clock.advance(14 * 24 * time.Hour)
		w.sweep()
		if got := w.get(pending.ID); got.State != ra.PassFailed {
			t.Errorf("a server that never decided: %s", got.State)
		}
	})
}

// issue takes a pass to its end as the door does.
func (w *world) issue(p *ra.Pass) *ra.Pass {
	w.t.Helper()
	issuer, recipient := w.server.CA()
	if err := w.Trust(w.t.Context(), w.authority.ID, []*cms.Certificate{recipient, must(cms.ParseCertificate(issuer.Raw))(w.t)}); err != nil {
		w.t.Fatal(err)
	}
	v := must(w.Parameters(w.t.Context(), admin, p.ID))(w.t)
	key := passtest.Key()
	leaf := w.server.Sign(key.Public(), v.Subject)
	m := &scepmsg.Message{Type: scepmsg.CertRep, Status: scepmsg.Success, Certificates: []*cms.Certificate{must(cms.ParseCertificate(leaf.Raw))(w.t)}}
	c := must(w.Claim(w.t.Context(), p.ID, pass.Arrival{Hash: string(p.ID), Type: scepmsg.PKCSReq, Transaction: "T", Signer: authority.Hash(leaf.RawSubjectPublicKeyInfo), SelfSigned: true}))(w.t)
	if err := w.Result(w.t.Context(), c, pass.Outcome{Reply: m, Body: []byte{1}, CA: []*x509.Certificate{issuer}}); err != nil {
		w.t.Fatal(err)
	}
	return w.get(p.ID)
}

// TestReenrolment: when its time has come there is a further pass for a
// certificate, which waits for somebody to bring it to the device, and people
// hear of it when nobody does.
func TestReenrolment(t *testing.T) {
	each(t, func(w *world) {
		t := w.t
		first := w.issue(w.create(ra.PassProxy))
		if first.State != ra.PassDone || first.CertificateID == "" || first.RenewAt.IsZero() {
			t.Fatalf("the pass is %+v", first)
		}
		w.sweep()
		if list, _, _ := w.Find(t.Context(), admin, store.PassFilter{}); len(list) != 1 {
			t.Fatalf("%d passes before the time has come", len(list))
		}
		w.clock.advance(first.RenewAt.Sub(w.clock.now()) + time.Second)
		w.sweep()
		w.sweep()
		list, _, err := w.Find(t.Context(), admin, store.PassFilter{Action: ra.ActionDeliver})
		if err != nil || len(list) != 1 || list[0].Renews != first.CertificateID || list[0].Model != ra.PassProxy || list[0].DeviceID != w.device.ID {
			t.Fatalf("the renewals are %+v (%v)", list, err)
		}
		if got := w.get(first.ID); !got.RenewAt.IsZero() {
			t.Errorf("it is to be renewed again at %s", got.RenewAt)
		}
		_, err = w.Renew(t.Context(), admin, first.CertificateID)
		wantKind(t, "a second renewal", err, ra.Conflict)
		renewal := list[0]
		w.clock.advance(renewal.Deadline.Sub(w.clock.now()) + time.Second)
		w.sweep()
		if got := w.get(renewal.ID); got.State == ra.PassIssued && got.Escalated.IsZero() || !slices.Contains(w.audited(renewal.ID), audit.PassOverdue) && got.State == ra.PassIssued {
			t.Errorf("nobody heard of %+v", got)
		}
		_, err = w.Renew(t.Context(), admin, "crt_none")
		wantKind(t, "of a certificate that is not there", err, ra.NotFound)
	})
}

func TestLearn(t *testing.T) {
	each(t, func(w *world) {
		t := w.t
		w.server.SCEP.Marker = "OU"
		p := w.create(ra.PassDelegate)
		must(w.Parameters(t.Context(), admin, p.ID))(t)
		leaf := w.server.Sign(passtest.Key().Public(), p.Subject)
		in := pass.LearnInput{Authority: w.authority.ID, DER: leaf.Raw}
		_, _, err := w.Learn(t.Context(), admin, in)
		wantKind(t, "of a CA nobody knows", err, ra.Invalid)
		issuer, recipient := w.server.CA()
		if err := w.Trust(t.Context(), w.authority.ID, []*cms.Certificate{recipient, must(cms.ParseCertificate(issuer.Raw))(t)}); err != nil {
			t.Fatal(err)
		}
		viewer := ra.Actor{Kind: ra.ActorAdmin, ID: "adm_3", Name: "viewer", Grants: []ra.Grant{{Role: ra.RoleViewer}}}
		_, _, err = w.Learn(t.Context(), viewer, in)
		wantKind(t, "by a viewer", err, ra.NotFound)
		_, _, err = w.Learn(t.Context(), admin, pass.LearnInput{DER: []byte("x")})
		wantKind(t, "no certificate", err, ra.Invalid)
		out := func() int {
			n, _, err := w.Authorities.Slots(w.authority.ID).Out(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		if out() != 1 {
			t.Errorf("%d challenges are out before the certificate was seen", out())
		}
		other := w.server.Sign(passtest.Key().Public(), "CN=somebody else")
		_, _, err = w.Learn(t.Context(), admin, pass.LearnInput{Authority: w.authority.ID, DER: other.Raw, Device: w.device.ID})
		wantKind(t, "of nobody's pass", err, ra.NotFound)
		for range 2 { // once is enough, twice does no harm
			got, c, err := w.Learn(t.Context(), admin, in)
			if err != nil || got.ID != p.ID || !got.Confirmed || got.State != ra.PassDone || c.DeviceID != w.device.ID || c.State != ra.Valid || got.CertificateID != c.ID {
				t.Fatalf("%+v %+v %v", got, c, err)
			}
		}
		if out() != 0 {
			t.Error("the challenge that was used is still out")
		}
		for _, s := range pass.Steps(w.trace(p.ID)) {
			if want := pass.StepInferred; s.Number > 3 && s.Number < 19 && s.State != want {
				t.Errorf("step %d of a delegate is %s", s.Number, s.State)
			}
		}
	})
}

// stepsOf gives the steps of a trace in order, and fails when their positions
// are not.
func (w *world) stepsOf(hops []ra.Hop) (steps []string) {
	w.t.Helper()
	for i, h := range hops {
		if h.Position != i+1 {
			w.t.Errorf("hop %d of %d has position %d", i+1, len(hops), h.Position)
		}
		steps = append(steps, h.Step)
	}
	return steps
}

// stored gives the trace as it is in the database, without what this server has
// in memory.
func (w *world) stored(id ra.PassID) (hops []ra.Hop) {
	w.t.Helper()
	must(0, w.DB.Read(w.t.Context(), func(tx *store.Tx) (err error) {
		hops, err = tx.Hops(string(id))
		return err
	}))(w.t)
	return hops
}

// TestTraceOfAClaim: how a message came is stored with what became of it, in
// order, and whoever looks in between sees it.
func TestTraceOfAClaim(t *testing.T) {
	each(t, func(w *world) {
		t := w.t
		arrival := func(hash string) pass.Arrival {
			return pass.Arrival{Hash: hash, Type: scepmsg.PKCSReq, Transaction: "T", Signer: "aa", SelfSigned: true, Hops: []ra.Hop{{Step: pass.StepMessage, Result: ra.HopOK}}}
		}
		pending := pass.Outcome{Reply: &scepmsg.Message{Type: scepmsg.CertRep, Status: scepmsg.Pending}, Body: []byte{1}}
		looked := func(id ra.PassID) {
			w.Looked(id, ra.Hop{Step: pass.StepCapsAsked, Result: ra.HopOK}, ra.Hop{Step: pass.StepCapsReturned, Result: ra.HopOK})
		}
		way := []string{pass.StepCapsAsked, pass.StepCapsReturned, pass.StepMessage, pass.StepForwarded}
		back := append(slices.Clone(way), pass.StepReply, pass.StepReturned)
		for name, between := range map[string]func(p *ra.Pass){
			"nobody looks": func(p *ra.Pass) {
				if got := w.stored(p.ID); len(got) != 0 {
					t.Errorf("%+v is stored before the answer", got)
				}
			},
			"somebody looks": func(p *ra.Pass) {
				if got := w.stepsOf(hopsOf(w.trace(p.ID))); !slices.Equal(got, way) {
					t.Errorf("under way the trace is %v", got)
				}
			},
		} {
			p := w.create(ra.PassProxy)
			looked(p.ID)
			c := must(w.Claim(t.Context(), p.ID, arrival(name)))(t)
			at := w.clock.now()
			w.clock.advance(time.Second)
			between(p)
			if err := w.Result(t.Context(), c, pending); err != nil {
				t.Fatal(err)
			}
			hops := w.stored(p.ID)
			if got := w.stepsOf(hops); !slices.Equal(got, back) {
				t.Errorf("%s: the trace is %v", name, got)
			} else if !hops[3].At.Equal(at.UTC().Truncate(time.Millisecond)) || !hops[4].At.After(hops[3].At) {
				t.Errorf("%s: it left at %s and came back at %s", name, hops[3].At, hops[4].At)
			}
		}

		p := w.create(ra.PassProxy)
		c := must(w.Claim(t.Context(), p.ID, arrival("undone")))(t)
		if err := w.Undo(t.Context(), c, ra.Errorf(ra.Unreachable, "Away.").WithRemedy("Wait.")); err != nil {
			t.Fatal(err)
		}
		if got := w.stepsOf(w.stored(p.ID)); !slices.Equal(got, []string{pass.StepMessage, pass.StepForwarded, pass.StepForwarded}) {
			t.Errorf("of a claim that was undone the trace is %v", got)
		}
	})
}

func hopsOf(_ *ra.Pass, hops []ra.Hop) []ra.Hop { return hops }

// TestTraceAfterACrash: the trace says so when a server was stopped between a
// message and its answer, whoever finds out.
func TestTraceAfterACrash(t *testing.T) {
	each(t, func(w *world) {
		t := w.t
		arrival := func(hash string) pass.Arrival {
			return pass.Arrival{Hash: hash, Type: scepmsg.PKCSReq, Transaction: "T", Signer: "aa", SelfSigned: true, Hops: []ra.Hop{{Step: pass.StepMessage, Result: ra.HopOK}}}
		}
		swept, repeated := w.create(ra.PassProxy), w.create(ra.PassProxy)
		gone := &pass.Service{DB: w.DB, Box: w.Box, Authorities: w.Authorities, Enroll: w.enroll, Queue: w.Queue, Now: w.Now, Log: w.Log} // with its memory
		for _, p := range []*ra.Pass{swept, repeated} {
			must(gone.Claim(t.Context(), p.ID, arrival("1")))(t)
			if got := w.get(p.ID); got.SignerHash != "aa" || got.TransactionID != "T" || got.State != ra.PassClaimed || got.Messages != 1 {
				t.Errorf("a pass is not bound before its message leaves: %+v", got)
			}
		}
		refused := func(what string) {
			t.Helper()
			var r *pass.Refusal
			if _, err := w.Claim(t.Context(), repeated.ID, arrival("2")); !errors.As(err, &r) || r.Reason != pass.InFlight {
				t.Errorf("%s: %v", what, err)
			}
		}
		// The device does not stop to try, with another message each time.
		w.clock.advance(30 * time.Second)
		refused("while the first may be under way")
		w.clock.advance(20 * time.Second)
		c := must(w.Claim(t.Context(), repeated.ID, arrival("3")))(t)
		if err := w.Result(t.Context(), c, pass.Outcome{Reply: &scepmsg.Message{Type: scepmsg.CertRep, Status: scepmsg.Pending}, Body: []byte{1}}); err != nil {
			t.Fatal(err)
		}
		w.clock.advance(2 * time.Hour)
		w.sweep()
		for p, want := range map[*ra.Pass][]string{
			swept:    {pass.StepReply},
			repeated: {pass.StepMessage, pass.StepForwarded, pass.StepReply, pass.StepMessage, pass.StepForwarded, pass.StepReply, pass.StepReturned},
		} {
			now, hops := w.trace(p.ID)
			if got := w.stepsOf(hops); !slices.Equal(got, want) {
				t.Errorf("the trace is %v, want %v", got, want)
			}
			lost := hops[slices.IndexFunc(hops, func(h ra.Hop) bool { return h.Step == pass.StepReply })]
			if lost.Result != ra.HopFailed || lost.Remedy == "" || !strings.Contains(lost.Message, "stopped before it wrote down the answer") {
				t.Errorf("the trace says %+v", lost)
			}
			for _, s := range pass.Steps(now, hops) {
				if p == swept && (s.Number == 4 || s.Number == 10 || s.Number == 15 || s.Number == 16) && s.State != pass.StepInferred {
					t.Errorf("step %d is %s, though a message was passed on", s.Number, s.State)
				}
			}
		}
	})
}
