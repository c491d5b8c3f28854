package setting

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var updateGolden = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with a file of testdata, or rewrites it with -update.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *updateGolden {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; run the test with -update and read the diff. Got:\n%s", name, got)
	}
}

func TestMarkdownGolden(t *testing.T) {
	golden(t, "sample.md", []byte(Markdown(&sample{}, "Sample settings")))
}

func TestSchemaGolden(t *testing.T) {
	raw, err := json.MarshalIndent(Schema(&sample{}), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "sample.schema.json", append(raw, '\n'))
}
