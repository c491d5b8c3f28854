package machine

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestParseCPU(t *testing.T) {
	const stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 900 0 0 0 123 45 0 0 20 0 9 0 500 1000 200"
	got, err := parseCPU(stat)
	if want := 1680 * time.Millisecond; err != nil || got != want {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for _, bad := range []string{"", "42 (x) S 1 2", strings.Replace(stat, "123", "many", 1)} {
		if _, err := parseCPU(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestProcess(t *testing.T) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "log")
	p, err := Start(Program{Path: shell, Args: []string{"-c", "echo begun; while :; do :; done"}, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		cpu, err := p.CPU()
		if err != nil {
			t.Fatal(err)
		}
		if cpu > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a busy process used no processor time in a minute")
		}
		time.Sleep(tick)
	}
	resident, anonymous, err := p.Memory()
	if err != nil || resident <= 0 || anonymous <= 0 || anonymous > resident {
		t.Errorf("memory: %d of which %d anonymous, %v", resident, anonymous, err)
	}
	if err := p.Stop(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(log); err != nil || string(b) != "begun\n" {
		t.Errorf("log: %q, %v", b, err)
	}
	if err := p.Stop(syscall.SIGTERM); err == nil {
		t.Error("stopping what has ended is not noticed")
	}
}

func TestFacts(t *testing.T) {
	for _, f := range Facts(t.TempDir()) {
		if f[0] == "" || f[1] == "" {
			t.Errorf("fact %q is %q", f[0], f[1])
		}
	}
	if got := (Cores{0, 1}).String(); got != "0,1" {
		t.Errorf("cores %q", got)
	}
}
