//go:build pkcs11 && cgo

package adcs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"chancery/internal/ca"
	played "chancery/internal/doubles/adcs"
	"chancery/internal/ra"
)

const softHSM = "/usr/lib/softhsm/libsofthsm2.so"

// TestTokenAgent: the enrollment agent's key stays in a PKCS#11 token, and requests on
// behalf of a user are signed there.
func TestTokenAgent(t *testing.T) {
	d := newDouble(t, played.Config{})
	leaf, key := agentOf(t, d)
	cert, private := pemOf(t, leaf, key)
	dir := t.TempDir()
	tokens, file, conf := filepath.Join(dir, "tokens"), filepath.Join(dir, "agent.pem"), filepath.Join(dir, "softhsm2.conf")
	if err := os.Mkdir(tokens, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{file: private, conf: "directories.tokendir = " + tokens + "\nlog.level = ERROR\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("SOFTHSM2_CONF", conf)
	for _, args := range [][]string{
		{"--init-token", "--free", "--label", "RA", "--pin", "hush-1234", "--so-pin", "5678"},
		{"--import", file, "--token", "RA", "--label", "agent", "--id", "a1", "--pin", "hush-1234"},
	} {
		if out, err := exec.Command("softhsm2-util", args...).CombinedOutput(); err != nil {
			t.Fatalf("softhsm2-util (Debian package softhsm2): %v %s", err, out)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	settings := map[string]any{"agent": "uri", "agent_certificate": cert, "agent_key_uri": "pkcs11:token=RA;object=agent?module-path=" + softHSM, "agent_key_pin": "hush-1234"}
	w := newWorld(t, d, settings)
	w.issue(w.request("by_token", "MobileUser", behalfOf(`CORP\alice`)))
	if row := d.Requests()[len(d.Requests())-1]; row.Requester != `CORP\alice` || row.Caller != user {
		t.Errorf("for %s, by %s", row.Requester, row.Caller)
	}
	if _, steps := w.check(); steps["enrollment agent"].State != ca.StepOK {
		t.Errorf("%+v", steps["enrollment agent"])
	}

	// A token that is gone says so, and the request waits for it.
	if err := os.Rename(tokens, tokens+".gone"); err != nil {
		t.Fatal(err)
	}
	w = newWorld(t, d, settings)
	_, err := w.Issue(t.Context(), w.request("no_token", "MobileUser", behalfOf(`CORP\alice`)))
	if e := ra.AsError(err); e.Kind != ra.Unreachable || e.Remedy == "" || strings.Contains(e.Error(), "hush") {
		t.Errorf("%v", err)
	}
}
