package app

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"chancery/internal/api/resource"
	played "chancery/internal/doubles/adcs"
)

// told runs the command line and reads what it says as JSON.
func told[T any](c *corp, args ...string) (out T) {
	c.t.Helper()
	text := c.chancery(append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		c.t.Fatalf("%v: %v\n%s", args, err, text)
	}
	return out
}

// TestADCSImport: what a Microsoft CA issued to others comes into the inventory from
// the command line, previewed first; from then on it is revoked from here, what the CA
// revokes by itself is so here, and what does not agree is shown until it is settled.
func TestADCSImport(t *testing.T) {
	c := startCorp(t, played.Config{})
	a := c.authority("Corp CA", map[string]any{"protocols": []string{"dcom"}})
	now := c.clock.now()
	const hosts = 6
	seeds := []played.Seed{
		{CommonName: "bela-laptop", Template: "User", Requester: `CORP\BELA-LAPTOP$`, Caller: `CORP\BELA-LAPTOP$`},
		{CommonName: "old", Template: "WebServer", NotBefore: now.AddDate(-2, 0, 0), NotAfter: now.AddDate(-1, 0, 0)},
		{CommonName: "waits", Template: "WebServer", Disposition: 9},
		{CommonName: "stolen", Template: "WebServer", Requester: `CORP\` + caAccount, Caller: `CORP\` + caAccount},
		{CommonName: "gone", Template: "WebServer", Disposition: 21, Reason: 1, Revoked: now.Add(-20 * 60e9)},
	}
	if _, err := c.ca.Seed(hosts+len(seeds), func(i int) played.Seed {
		if i < hosts {
			return played.Seed{CommonName: fmt.Sprintf("host-%d.corp.example", i), Template: "WebServer", Requester: `CORP\web$`, Caller: `CORP\web$`}
		}
		return seeds[i-hosts]
	}); err != nil {
		t.Fatal(err)
	}
	ours := c.certificate(c.order(c.template(a, "WebServer"), "ada"))

	c.chancery("authority", "import", "setup", a.Name, "--group", string(c.site.ca.GroupID))
	preview := told[resource.CAImportRun](c, "authority", "import", "preview", a.Name)
	const others = hosts + 3 // the laptop, stolen and gone: what has ended or waits is not read
	if preview.State != "done" || preview.Read != others+1 || preview.Known != 1 || preview.Added != others || preview.Skipped != 0 || preview.Matched < 1 || preview.Differences != 1 {
		t.Errorf("the preview: %+v", preview)
	}
	imported := func() []resource.Certificate {
		t.Helper()
		return told[[]resource.Certificate](c, "certificate", "list", "--imported", "--limit", "0")
	}
	if list := imported(); len(list) != 0 {
		t.Errorf("the preview has kept %+v", list)
	}
	run := told[resource.CAImportRun](c, "authority", "import", "run", a.Name)
	if run.State != "done" || run.Read != run.Known+run.Added+run.Skipped || run.Added != others || run.Known != 1 || run.Templates[0].Name != "WebServer" {
		t.Errorf("the run: %+v", run)
	}
	found := map[string]resource.Certificate{}
	for _, one := range imported() {
		found[strings.TrimPrefix(one.Subject, "CN=")] = one
	}
	if len(found) != others || found["gone"].State != "revoked" || found["gone"].Reason != "keyCompromise" || found["host-0.corp.example"].State != "valid" {
		t.Errorf("imported are %+v", found)
	}
	laptop := found["bela-laptop"]
	if laptop.DeviceID != string(c.d.devices["bela-laptop"].ID) {
		t.Errorf("the laptop's certificate is of %q", laptop.DeviceID)
	}
	if text := c.chancery("certificate", "show", laptop.ID); !strings.Contains(text, `CORP\BELA-LAPTOP$`) || !strings.Contains(text, "imported") {
		t.Errorf("the laptop's certificate:\n%s", text)
	}
	if row := c.row(ours); row == nil {
		t.Error("our own certificate is gone")
	}

	// One is revoked from here, one at the CA.
	c.chancery("certificate", "revoke", found["host-0.corp.example"].ID, "--reason", "superseded", "-y")
	there := map[string]played.Row{}
	for _, row := range c.ca.Requests() {
		if row.Certificate != nil {
			there[row.Certificate.Subject.CommonName] = row
		}
	}
	if row := there["host-0.corp.example"]; row.Disposition != 21 || row.Reason != 4 {
		t.Errorf("revoked from here, the CA has %+v", row)
	}
	if err := c.ca.RevokeSerial(fmt.Sprintf("%x", there["host-1.corp.example"].Certificate.SerialNumber.Bytes()), 1); err != nil {
		t.Fatal(err)
	}
	again := told[resource.CAImportRun](c, "authority", "import", "run", a.Name)
	if again.State != "done" || again.Full || again.Changed != 1 || again.Added != 0 || again.Read != again.Known {
		t.Errorf("the run after it: %+v", again)
	}
	if one := told[resource.Certificate](c, "certificate", "show", found["host-1.corp.example"].ID); one.State != "revoked" || one.Reason != "keyCompromise" {
		t.Errorf("revoked at the CA, here it is %s %s", one.State, one.Reason)
	}

	open := told[[]resource.Difference](c, "difference", "list", "--open")
	if len(open) != 1 || open[0].Kind != "not_ours" || open[0].Subject != "CN=stolen" || open[0].CertificateID != found["stolen"].ID {
		t.Fatalf("differences: %+v", open)
	}
	if text := c.chancery("difference", "show", open[0].ID); !strings.Contains(text, "Find out who asked with the account") {
		t.Errorf("the difference:\n%s", text)
	}
	c.chancery("difference", "settle", open[0].ID, "--comment", "Made by hand, before Chancery came.")
	if text := c.chancery("difference", "list", "--open"); !strings.Contains(text, "There is no difference.") {
		t.Errorf("what is settled is open:\n%s", text)
	}
	if runs := c.chancery("authority", "import", "runs", a.Name); strings.Count(runs, "done") != 3 {
		t.Errorf("runs:\n%s", runs)
	}
}
