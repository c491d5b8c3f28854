// Package machine is what a measurement needs of the computer it runs on: which
// processor and system it is, programs that run on chosen cores and end with
// the benchmark, and how much processor time and memory they took. It reads
// /proc and calls taskset, so it is for Linux.
package machine

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// Facts describes the machine: processor, cores, memory, kernel, Go, and the
// file system of dir.
func Facts(dir string) [][2]string {
	return [][2]string{
		{"processor", field("/proc/cpuinfo", "model name")},
		{"cores", strconv.Itoa(runtime.NumCPU())},
		{"memory", memory()},
		{"system", "Linux " + firstLine("/proc/sys/kernel/osrelease")},
		{"Go", runtime.Version()},
		{"file system", fileSystem(dir)},
	}
}

// field gives the value of the first line of a /proc file that begins with name.
func field(file, name string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func memory() string {
	kib, err := strconv.ParseInt(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"), 10, 64)
	if err != nil {
		return "unknown"
	}
	return fmt.Sprintf("%.1f GiB", float64(kib)/(1<<20))
}

func firstLine(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return "unknown"
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return line
}

// The file systems fsync differs most on.
var fileSystems = map[int64]string{0xef53: "ext4", 0x58465342: "xfs", 0x9123683e: "btrfs", 0x01021994: "tmpfs: fsync costs nothing here", 0x794c7630: "overlay"}

func fileSystem(dir string) string {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return "unknown"
	}
	if name, ok := fileSystems[s.Type]; ok {
		return name
	}
	return fmt.Sprintf("type %#x", s.Type)
}

// Cores names processor cores, from 0. None means all.
type Cores []int

func (c Cores) String() string {
	texts := make([]string, len(c))
	for i, n := range c {
		texts[i] = strconv.Itoa(n)
	}
	return strings.Join(texts, ",")
}

// Check tells what is missing to measure here.
func Check() error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("the benchmark reads /proc and needs Linux")
	}
	if _, err := exec.LookPath("taskset"); err != nil {
		return fmt.Errorf("taskset is missing\nhint: apt-get install util-linux")
	}
	if runtime.NumCPU() < 2 {
		return fmt.Errorf("one core is not enough: the server has one and the clients another")
	}
	return nil
}

// Stay keeps this process, its present and its future threads, on some cores.
func Stay(c Cores) error {
	out, err := exec.Command("taskset", "-a", "-c", "-p", c.String(), strconv.Itoa(os.Getpid())).CombinedOutput()
	if err != nil {
		return fmt.Errorf("taskset: %w\n%s", err, out)
	}
	runtime.GOMAXPROCS(len(c))
	return nil
}

// Copy copies a folder with everything in it to a place that does not exist.
func Copy(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	out, err := exec.Command("cp", "-a", from, to).CombinedOutput()
	if err != nil {
		return fmt.Errorf("copying %s: %w\n%s", from, err, out)
	}
	return nil
}

// Settle writes to disk what earlier cases left in the system's cache, so that
// it is not written while the next one is measured.
func Settle() { syscall.Sync() }
