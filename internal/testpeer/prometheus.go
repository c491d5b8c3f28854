package testpeer

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Prometheus is a running server that reads the metrics of one address.
type Prometheus struct {
	URL string
}

// StartPrometheus starts Debian's Prometheus on a folder of its own. It reads
// target (host:port) every second under the job chancery, and evaluates the
// rules of a file as often. It is stopped with the test.
func StartPrometheus(t *testing.T, target, rules string) *Prometheus {
	t.Helper()
	path, dir := program(t, "prometheus"), t.TempDir()
	rules, err := filepath.Abs(rules)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\n  evaluation_interval: 1s\nrule_files: [%q]\nscrape_configs:\n- job_name: chancery\n  static_configs:\n  - targets: [%q]\n", rules, target)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// It cannot be asked which port it got, so one that is free is found first,
	// again when somebody else was faster.
	var last error
	for range 5 {
		address, err := freeAddress()
		if err != nil {
			t.Fatal(err)
		}
		d, err := start(exec.Command(path, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address), filepath.Join(dir, "log"), syscall.SIGKILL)
		if err != nil {
			t.Fatal(err)
		}
		p := &Prometheus{URL: "http://" + address}
		last = d.await(time.Minute, func(ctx context.Context) error { return ready(ctx, p.URL+"/-/ready") })
		if last == nil {
			t.Cleanup(func() { d.stop(syscall.SIGTERM) })
			return p
		}
		d.stop(syscall.SIGKILL)
	}
	t.Fatal(last)
	return nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func ready(ctx context.Context, url string) error {
	r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return err
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	a.Body.Close()
	if a.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, a.Status)
	}
	return nil
}
