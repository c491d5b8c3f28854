package console

import (
	"encoding/csv"
	"net/http"
	"strings"
	"testing"

	"chancery/internal/caimport"
	"chancery/internal/inventory"
	"chancery/internal/pass"
	"chancery/internal/ra"
)

// TestFilesRunNoFormula puts what a spreadsheet would run into everything a
// device or a directory may name itself, and looks at every file of the console.
func TestFilesRunNoFormula(t *testing.T) {
	w := newWorld(t)
	w.fill()
	group := ra.GroupID(w.ids["groups"])
	for _, start := range []string{"=", "+", "-", "@"} {
		evil := start + `HYPERLINK("http://evil.example","x")`
		d, err := w.c.Inventory.CreateDevice(t.Context(), system, inventory.DeviceInput{GroupID: &group, Platform: p(ra.Linux), PlatformID: p(evil), Name: p(evil), SerialNumber: p(evil), Model: p(evil), OSVersion: p(evil)})
		must(t, err)
		_, err = w.c.Passes.Create(t.Context(), system, pass.CreateInput{Template: ra.TemplateID(w.ids["template-network"]), Device: d.ID, Model: ra.PassDelegate})
		must(t, err)
		_, err = w.c.Inventory.CreateUser(t.Context(), system, inventory.UserInput{GroupID: &group, Name: p(evil), DisplayName: p(evil), FirstName: p(evil), LastName: p(evil)})
		must(t, err)
	}
	for i, kind := range caimport.Kinds[1:] { // whoever asks an authority names himself, too
		w.storeDifference(ra.Difference{GroupID: group, Kind: kind, Subject: "=@+"[i:i+1] + "HYPERLINK", Requester: "-HYPERLINK"})
	}
	b := w.visit(w.owner)
	files := 0
	for _, r := range routes {
		method, path := w.addressOf(r)
		if method != http.MethodGet || !strings.HasSuffix(path, ".csv") {
			continue
		}
		files++
		rows, err := csv.NewReader(strings.NewReader(b.get(path).body)).ReadAll()
		must(t, err)
		evil := 0
		for _, row := range rows {
			for _, cell := range row {
				if cell != "" && strings.ContainsAny(cell[:1], "=+-@\t\r\n") {
					t.Errorf("%s: a cell begins with %q", path, cell[:1])
				}
				if strings.Contains(cell, "HYPERLINK") {
					evil++
				}
			}
		}
		if path != "/certificates.csv" && evil == 0 {
			t.Errorf("%s does not show the names", path)
		}
	}
	// No certificate's row begins so today; what makes the rows must not rely on it.
	for _, cell := range cells("=1+1", "+1", "-1", "@x", "\tx", "\rx") {
		if cell[0] != '\'' {
			t.Errorf("the cell %q would run", cell)
		}
	}
	if files < 3 {
		t.Errorf("only %d files were found", files)
	}
}
