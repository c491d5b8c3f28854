package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestReadme runs the README's transcript with the built program and compares
// what it prints. Three dots stand for any text of a line; a line of three
// dots for any lines.
func TestReadme(t *testing.T) {
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(bin, "chancery"), ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	work := t.TempDir()
	ran := 0
	for _, step := range transcript(t, "../../README.md") {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		c := exec.CommandContext(ctx, "sh", "-c", step.command)
		c.Dir = work
		c.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+work, "XDG_CONFIG_HOME="+work, "CHANCERY_LISTEN="+freeAddress(t))
		out, err := c.CombinedOutput()
		cancel()
		if err != nil {
			t.Fatalf("$ %s\n%v\n%s", step.command, err, out)
		}
		if !step.want.Match(out) {
			t.Errorf("$ %s printed\n%s\nwhich is not what the README shows", step.command, out)
		}
		ran++
	}
	if ran < 6 {
		t.Errorf("the README shows %d commands only", ran)
	}
}

type readmeStep struct {
	command string
	want    *regexp.Regexp
}

// transcript reads the console blocks of a Markdown file.
func transcript(t *testing.T, path string) (steps []readmeStep) {
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range strings.Split(string(b), "```console\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		for _, part := range strings.Split(block, "$ ")[1:] {
			command, output, _ := strings.Cut(part, "\n")
			steps = append(steps, readmeStep{command, pattern(output)})
		}
	}
	return steps
}

// pattern turns the shown output into an expression. Columns are as wide as
// their longest value, so any run of blanks stands for any other.
func pattern(output string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`(?s)^`)
	for line := range strings.Lines(output) {
		line = strings.TrimRight(line, "\n")
		if line == "..." {
			b.WriteString(`(?:.*\n)?`)
			continue
		}
		words := strings.Fields(line)
		for i, w := range words {
			words[i] = strings.ReplaceAll(regexp.QuoteMeta(w), `\.\.\.`, `[^\n]*`)
		}
		b.WriteString(`[ ]*` + strings.Join(words, `[ ]*`) + `[ ]*\n`)
	}
	b.WriteString(`$`)
	return regexp.MustCompile(b.String())
}

func freeAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
