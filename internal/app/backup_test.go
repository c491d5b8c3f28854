package app

import (
	"bytes"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"chancery/internal/ca"
	"chancery/internal/doctor"
	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// gate holds what passes a step back until it is opened.
type gate struct {
	mu      sync.Mutex
	label   string // of the step that is held; empty: none
	reached chan struct{}
	open    chan struct{}
}

func (g *gate) step(label string) {
	g.mu.Lock()
	if label == "" || label != g.label {
		g.mu.Unlock()
		return
	}
	g.label = "" // one only
	reached, open := g.reached, g.open
	g.mu.Unlock()
	close(reached)
	<-open
}

func (g *gate) hold(label string) (reached <-chan struct{}, open func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	wait := make(chan struct{})
	g.label, g.reached, g.open = label, make(chan struct{}), wait
	return g.reached, func() { close(wait) }
}

// TestBackupAndRestore takes a backup beside a server that works, with
// enrolments, revocations and requests under way before and after it, puts it
// back elsewhere and holds everything against OpenSSL.
func TestBackupAndRestore(t *testing.T) {
	g := &gate{}
	cfg := config(t, "")
	cfg.Step = g.step
	before := startSite(t, cfg)
	kept := before.enrol("ada-iphone")
	open := before.challenge("ada-macbook")
	admin, err := (&quickstart{app: before.App}).owner(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	link, err := before.Signin.CreateLink(t.Context(), localActor(), admin.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	before.crl()

	// Two requests are under way: one is not asked for yet, one not recorded.
	type outcome struct {
		r   *ra.Request
		err error
	}
	under := map[string]chan outcome{}
	release := map[string]func(){}
	for user, step := range map[string]string{"ada": enroll.StepAsk, "bela": enroll.StepAnswer} {
		reached, let := g.hold(step)
		done := make(chan outcome, 1)
		under[user], release[user] = done, let
		go func() {
			r, err := before.issue(user, "under way "+user)
			done <- outcome{r, err}
		}()
		<-reached
	}
	file := filepath.Join(t.TempDir(), "some.backup")
	path, manifest, err := Backup(t.Context(), cfg, BackupOptions{To: file})
	if err != nil || path != file {
		t.Fatal(path, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup has mode %v, %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), ".*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if len(manifest.MasterKeys) != 1 || manifest.Schema != store.NewestSchema() || manifest.AuditHead == "" || manifest.Certificates < 2 {
		t.Errorf("manifest: %+v", manifest)
	}
	if _, _, err := Backup(t.Context(), cfg, BackupOptions{To: file}); ra.KindOf(err) != ra.Conflict {
		t.Errorf("a backup was made over another: %v", err)
	}

	// Life goes on after it.
	answers := map[string]*ra.Request{}
	for user, let := range release {
		let()
		done := <-under[user]
		if done.err != nil || done.r.State != ra.Issued {
			t.Fatalf("%s: %+v, %v", user, done.r, done.err)
		}
		answers[user] = done.r
	}
	lost, err := before.scep(before.ask("ada-macbook", open))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := before.Lifecycle.Revoke(t.Context(), localActor(), before.row(kept).ID, ra.KeyCompromise, ""); err != nil {
		t.Fatal(err)
	}
	published := before.crl()
	if !revokes(published, kept) || before.ocsp(lost) != "good" {
		t.Fatal("the server before the loss does not work")
	}
	decided := map[string]string{"ada": serialOf(t, before, answers["ada"]), "bela": serialOf(t, before, answers["bela"])}
	before.sound()
	key := before.Config.MasterKey
	before.stop()

	// Restored elsewhere.
	there := config(t, "")
	if _, err := Restore(t.Context(), there, RestoreOptions{From: file}); ra.KindOf(err) != ra.NotFound || ra.AsError(err).Field != "master_key" {
		t.Errorf("restored without a master key: %v", err)
	}
	there.MasterKey = filepath.Join(t.TempDir(), "wrong.key")
	copyFile(t, "testdata/first/master.key", there.MasterKey)
	if _, err := Restore(t.Context(), there, RestoreOptions{From: file}); ra.KindOf(err) != ra.Conflict || !strings.Contains(err.Error(), manifest.MasterKeys[0]) {
		t.Errorf("restored with another master key: %v", err)
	}
	there.MasterKey = key
	report, err := Restore(t.Context(), there, RestoreOptions{From: file})
	if err != nil {
		t.Fatal(err)
	}
	r := report.Restored
	if r.Settled.Challenges != 1 || r.Settled.Links != 1 || r.Settled.CRLs < 1 || r.Answered != 2 || r.Ended != 0 || r.Left != 0 || !r.From.Equal(manifest.Made) {
		t.Errorf("report: %+v", report)
	}
	if text := strings.Join(report.Lines(), "\n"); !strings.Contains(text, "1 challenges") || !strings.Contains(text, "OCSP says unknown") {
		t.Errorf("people are told\n%s", text)
	}
	if _, err := Restore(t.Context(), there, RestoreOptions{From: file}); ra.KindOf(err) != ra.Conflict || !strings.Contains(ra.AsError(err).Remedy, "--replace") {
		t.Errorf("restored over a database: %v", err)
	}

	after := startSite(t, there)
	after.sound()
	after.verifies(lost)
	if got := after.ocsp(lost); got != "unknown" {
		t.Errorf("OCSP says %q of a certificate issued after the backup", got)
	}
	if got := after.ocsp(kept); got != "good" {
		t.Errorf("OCSP says %q of a certificate whose revocation is lost", got)
	}
	if list := after.crl(); list.Number.Cmp(published.Number) <= 0 {
		t.Errorf("CRL number %s follows %s", list.Number, published.Number)
	}
	if _, err := after.scep(after.ask("ada-macbook", open)); err == nil {
		t.Error("a challenge works that was open at the backup")
	}
	if _, err := after.Signin.UseLink(t.Context(), link, "127.0.0.1"); err == nil {
		t.Error("a sign-in link works that was open at the backup")
	}
	// What was decided before the backup is the very same certificate.
	for user, want := range decided {
		again, _, err := after.Enroll.Request(t.Context(), localActor(), answers[user].ID)
		if err != nil || again.State != ra.Issued {
			t.Fatalf("the request of %s: %+v, %v", user, again, err)
		}
		if serialOf(t, after, again) != want {
			t.Errorf("the request of %s has a second certificate", user)
		}
	}
	if _, err := after.Lifecycle.Revoke(t.Context(), localActor(), after.row(kept).ID, ra.KeyCompromise, ""); err != nil {
		t.Fatal(err)
	}
	if !revokes(after.crl(), kept) {
		t.Error("a revocation is not in the CRL")
	}
	fresh := after.enrol("bela-ipad")
	after.verifies(fresh)
	if got := after.ocsp(fresh); got != "good" {
		t.Errorf("OCSP says %q of a new certificate", got)
	}
	found, err := after.doctor().Glance(t.Context(), localActor())
	if err != nil || !has(found, "restored database", ca.StepWarning) {
		t.Errorf("the doctor says nothing of the gap: %+v, %v", found, err)
	}
	after.stop()

	// Over itself, when somebody says so.
	report, err = Restore(t.Context(), there, RestoreOptions{From: file, Replace: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(report.Moved); err != nil {
		t.Errorf("the former database is gone: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(there.Data, "*.restoring*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func has(found []doctor.Finding, name string, state ca.StepState) bool {
	for _, f := range found {
		if f.Name == name && f.State == state && (state == ca.StepOK || f.Remedy != "") {
			return true
		}
	}
	return false
}

func serialOf(t *testing.T, s *site, r *ra.Request) string {
	t.Helper()
	var c *ra.Certificate
	if err := s.DB.Read(t.Context(), func(tx *store.Tx) (err error) {
		c, err = tx.Certificate(r.CertificateID)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(c.DER)
	if err != nil {
		t.Fatal(err)
	}
	return enroll.Serial(cert)
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestDamagedBackupIsRefused: whatever is wrong with the file, nothing of it
// gets to the place of the database.
func TestDamagedBackupIsRefused(t *testing.T) {
	cfg := config(t, "")
	a, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.closeParts(); err != nil {
		t.Fatal(err)
	}
	var whole bytes.Buffer
	if _, _, err := Backup(t.Context(), cfg, BackupOptions{Out: &whole}); err != nil {
		t.Fatal(err)
	}
	flip := func(at int) []byte {
		b := bytes.Clone(whole.Bytes())
		b[at] ^= 0x40
		return b
	}
	text := func(old, fresh string) []byte { return bytes.Replace(whole.Bytes(), []byte(old), []byte(fresh), 1) }
	newer := text(`"schema": `, `"schema":9`)
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"nothing":             {nil, "not a backup"},
		"something else":      {[]byte(strings.Repeat("x", 2000)), "not a backup"},
		"cut in the manifest": {whole.Bytes()[:600], "not a backup"},
		"cut in the database": {whole.Bytes()[:whole.Len()/2], "damaged or was cut short"},
		"a flipped bit":       {flip(whole.Len() / 2), "damaged or was cut short"},
		"another count":       {text(`"audit_entries": `, `"audit_entries":9`), "damaged or was cut short"},
		"a newer program":     {newer, "newer version"},
	} {
		there := config(t, "")
		there.MasterKey = cfg.Data + "/master.key"
		_, err := Restore(t.Context(), there, RestoreOptions{From: "-", In: bytes.NewReader(c.file)})
		if ra.KindOf(err) != ra.Invalid || !strings.Contains(err.Error(), c.want) || ra.AsError(err).Remedy == "" {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := filepath.Glob(filepath.Join(there.Data, "*.db*")); len(left) != 0 {
			t.Errorf("%s: left behind: %v", name, left)
		}
	}
	there := config(t, "")
	there.MasterKey = cfg.Data + "/master.key"
	if _, err := Restore(t.Context(), there, RestoreOptions{From: "-", In: &whole}); err != nil {
		t.Errorf("the whole backup: %v", err)
	}
	if _, err := Start(t.Context(), Config{Data: filepath.Join(t.TempDir(), "x"), Database: "sqlite:" + there.Data, Log: quiet()}); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder was taken for a database: %v", err)
	}
}
