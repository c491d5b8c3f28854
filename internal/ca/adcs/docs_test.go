package adcs_test

import (
	"os"
	"regexp"
	"testing"
)

// TestFlow: the files that the flow names are there.
func TestFlow(t *testing.T) {
	const root = "../../../"
	text, err := os.ReadFile(root + "docs/flows/adcs-request.md")
	if err != nil {
		t.Fatal(err)
	}
	files := regexp.MustCompile("`(internal/[a-z0-9/_]+\\.go)`").FindAllStringSubmatch(string(text), -1)
	if len(files) < 15 {
		t.Errorf("the flow names %d files", len(files))
	}
	for _, f := range files {
		if _, err := os.Stat(root + f[1]); err != nil {
			t.Errorf("the flow names a file that is not there: %v", err)
		}
	}
}
