package scep_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"chancery/internal/enroll"
)

const root = "../../../"

// TestFlowDocument: the flow names files that exist and draws the states as
// they are.
func TestFlowDocument(t *testing.T) {
	text := string(must(os.ReadFile(root + "docs/flows/scep-enrollment.md"))(t))
	files := regexp.MustCompile("`(internal/[^`]+)`").FindAllStringSubmatch(text, -1)
	if len(files) < 15 {
		t.Errorf("the flow names %d files", len(files))
	}
	for _, f := range files {
		if _, err := os.Stat(root + f[1]); err != nil {
			t.Errorf("the flow names a file that is not there: %v", err)
		}
	}
	if want := "```mermaid\n" + enroll.Diagram() + "```\n"; !strings.Contains(text, want) {
		t.Errorf("the diagram differs; it should be\n%s", want)
	}
}

// TestDivergences: every line of the tables names tests, and they exist.
func TestDivergences(t *testing.T) {
	known := map[string]bool{}
	for _, dir := range []string{".", "../../wire/scepmsg", "../../wire/cms", "../../wire/mscepmsg", "../../scepclient", "../../httpauth", "../../ca/scep", "../../ca/ndes"} {
		for _, file := range must(filepath.Glob(dir + "/*_test.go"))(t) {
			for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(string(must(os.ReadFile(file))(t)), -1) {
				known[m[1]] = true
			}
		}
	}
	text := string(must(os.ReadFile(root + "docs/divergences.md"))(t))
	_, text, _ = strings.Cut(text, "\n## SCEP")
	text, _, _ = strings.Cut(text, "\n## ")
	lines := 0
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| --- ") {
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		last := strings.TrimSpace(cells[len(cells)-1])
		if last == "test" {
			continue
		}
		lines++
		for _, name := range strings.Split(last, ", ") {
			if !known[name] {
				t.Errorf("there is no test %q, named by %.60s", name, line)
			}
		}
	}
	if lines < 50 {
		t.Errorf("the tables have %d lines", lines)
	}
}
