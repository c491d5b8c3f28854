package testpeer

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// goTool builds a program of another module into the user's cache folder, once
// per version, and gives its path. Several test processes may do so at a time.
func goTool(t testing.TB, pkg, version string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	name := path.Base(pkg)
	dir := filepath.Join(cache, "chancery-testpeer", runtime.Version())
	tool := filepath.Join(dir, name+"-"+version)
	if executable(tool) {
		return tool
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	// Beside the final place, so that the rename is atomic.
	work, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(work)
	gocmd, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	build := command{
		path: gocmd,
		args: []string{"install", pkg + "@" + version},
		dir:  work,
		// The caller's environment says where modules come from; its flags are for another module.
		env:     append(os.Environ(), "GOBIN="+work, "GOFLAGS=-mod=mod", "CGO_ENABLED=0"),
		timeout: 10 * time.Minute,
	}
	if _, errs, err := build.run(); err != nil {
		t.Fatalf("building %s: %v", pkg, withOutput(err, string(errs)))
	}
	if err := os.Rename(filepath.Join(work, name), tool); err != nil {
		t.Fatal(err)
	}
	return tool
}
