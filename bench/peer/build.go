package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// buildPatience bounds fetching and building one program.
const buildPatience = 10 * time.Minute

// Build builds a program of another module into dir, from wherever the go
// command takes modules, and gives its path and version. The versions are tried
// in order: a proxy may refuse one, or something it needs. Nothing is added to
// this module; the go command makes one for the program's own sake.
func Build(dir, pkg string, versions ...string) (program, version string, err error) {
	var refused error
	for _, version := range versions {
		if err := run(dir, []string{"GOBIN=" + dir, "GOFLAGS=-mod=mod", "GOWORK=off"}, "go", "install", pkg+"@"+version); err != nil {
			refused = errors.Join(refused, fmt.Errorf("%s: %w", version, err))
			continue
		}
		return filepath.Join(dir, path.Base(pkg)), version, nil
	}
	return "", "", fmt.Errorf("no version of %s can be built: %w", pkg, refused)
}

// BuildHere builds a program of this module, in its folder root.
func BuildHere(root, dir, pkg string) (string, error) {
	program := filepath.Join(dir, path.Base(pkg))
	return program, run(root, nil, "go", "build", "-trimpath", "-o", program, pkg)
}

// run runs a command to its end; what it printed is in the error.
func run(dir string, env []string, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), buildPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(bytes.ToValidUTF8(out, nil))), "\n")
		return fmt.Errorf("%s: %w: %s", name, err, lines[len(lines)-1])
	}
	return nil
}
