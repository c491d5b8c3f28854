package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/testpeer"
)

func TestMain(m *testing.M) {
	if how := os.Getenv(killedServer); how != "" {
		var k killed
		if err := errors.Join(json.Unmarshal([]byte(how), &k), k.serve()); err != nil {
			panic(err)
		}
		os.Exit(0) // who started it is gone
	}
	testpeer.Main(m)
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func config(t *testing.T, database string) Config {
	return Config{Data: filepath.Join(t.TempDir(), "data"), Database: database, Listen: "127.0.0.1:0", Log: quiet()}
}

// TestQuickstartTwice runs the main job on both databases, and again on the
// same data: the second run changes nothing.
func TestQuickstartTwice(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, name, address string) {
		cfg := config(t, address)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var first, second bytes.Buffer
		if err := Quickstart(ctx, QuickstartOptions{Config: cfg, Exit: true, Out: &first}); err != nil {
			t.Fatalf("%v\n%s", err, first.String())
		}
		for _, want := range []string{"SCEP PKCSReq: SUCCESS", "BEGIN CERTIFICATE", "/sign-in/link?t=", "CN=00008120-000A1D2E3F4A5B6C"} {
			if !strings.Contains(first.String(), want) {
				t.Errorf("the first run does not say %q:\n%s", want, first.String())
			}
		}
		if err := Quickstart(ctx, QuickstartOptions{Config: cfg, Exit: true, Out: &second}); err != nil {
			t.Fatalf("second run: %v\n%s", err, second.String())
		}
		if !strings.Contains(second.String(), "holds a valid certificate already") {
			t.Errorf("the second run enrolled again:\n%s", second.String())
		}
		a, err := Open(ctx, cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer a.closeParts()
		list, _, err := a.Lifecycle.FindCertificates(ctx, localActor(), store.CertificateFilter{})
		if err != nil || len(list) != 1 {
			t.Fatalf("%d certificates, %v; want 1", len(list), err)
		}
		chain, err := a.Lifecycle.Chain(ctx, list[0])
		if err != nil || len(chain) != 3 {
			t.Fatalf("chain of %d, %v; want 3", len(chain), err)
		}
		report, err := a.Audit.Verify(ctx, localActor())
		if err != nil || report.Broken != 0 || report.Entries == 0 {
			t.Errorf("audit: %+v, %v", report, err)
		}
		if out, err := exec.Command("openssl", "x509", "-in", filepath.Join(cfg.Data, "demo", "ada-iphone", "cert.pem"), "-noout", "-subject").CombinedOutput(); err != nil || !strings.Contains(string(out), "00008120") {
			t.Errorf("openssl: %v %s", err, out)
		}
	})
}

func TestOneServerPerFolder(t *testing.T) {
	cfg := config(t, "")
	a, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close(t.Context())
	if _, err := Start(t.Context(), cfg); ra.KindOf(err) != ra.Conflict {
		t.Errorf("a second server started: %v", err)
	}
}

func TestMissingMasterKeyIsALoss(t *testing.T) {
	cfg := config(t, "")
	a, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.closeParts(); err != nil {
		t.Fatal(err)
	}
	cfg.MasterKey = filepath.Join(t.TempDir(), "elsewhere.key")
	if _, err := Open(t.Context(), cfg); ra.KindOf(err) != ra.NotFound || ra.AsError(err).Remedy == "" {
		t.Errorf("a lost master key was replaced: %v", err)
	}
}
