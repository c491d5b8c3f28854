package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"chancery/internal/api/client"
)

// node is one place a server runs at: a data folder and, from life to life,
// another process with another port.
type node struct {
	order
	log     string // path of what all its lives wrote to standard error
	address atomic.Pointer[string]
	cmd     *exec.Cmd
	stdin   io.Closer
	done    chan struct{} // closed when the process has ended
	lives   int
}

// startTimeout is how long a server may take until it listens.
const startTimeout = time.Minute

// errKilled says that a server was killed before it listened.
var errKilled = errors.New("the server ended before it listened")

// launch starts a process without waiting for it; the channel gives its address
// once it listens, and is closed when the process will not.
func (n *node) launch(label string, nth int) (<-chan string, error) {
	n.Label, n.Nth = label, nth
	text, err := json.Marshal(n.order)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(n.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	n.lives++
	fmt.Fprintf(log, "--- life %d: %s %d\n", n.lives, label, nth)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), orders+"="+string(text))
	cmd.Stderr = log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ready, done := make(chan string, 1), make(chan struct{})
	go func() {
		lines := bufio.NewScanner(stdout)
		if lines.Scan() {
			address := lines.Text()
			n.address.Store(&address)
			ready <- address
		}
		close(ready)
		_, _ = io.Copy(io.Discard, stdout)
		_ = cmd.Wait() // how it ended is in its log
		close(done)
	}()
	n.cmd, n.stdin, n.done = cmd, stdin, done
	return ready, nil
}

// start starts a process and waits until it listens.
func (n *node) start(label string, nth int) error {
	ready, err := n.launch(label, nth)
	if err != nil {
		return err
	}
	select {
	case _, ok := <-ready:
		if !ok {
			<-n.done
			return errKilled
		}
		return nil
	case <-time.After(startTimeout):
		n.kill()
		return fmt.Errorf("the server did not listen within %s\n%s", startTimeout, n.tail())
	}
}

// running tells whether the process has not ended yet.
func (n *node) running() bool {
	if n.done == nil {
		return false
	}
	select {
	case <-n.done:
		return false
	default:
		return true
	}
}

// kill ends the process as a crash would.
func (n *node) kill() {
	if n.running() {
		_ = n.cmd.Process.Kill()
		<-n.done
		n.stdin.Close()
	}
}

// stop ends the process in good order.
func (n *node) stop() error {
	if !n.running() {
		return nil
	}
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-n.done:
		n.stdin.Close()
	case <-time.After(startTimeout):
		n.kill()
		return fmt.Errorf("the server did not end within %s of SIGTERM\n%s", startTimeout, n.tail())
	}
	if code := n.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("the server ended with code %d after SIGTERM\n%s", code, n.tail())
	}
	return nil
}

// tail gives the end of what the node's servers logged.
func (n *node) tail() string {
	b, err := os.ReadFile(n.log)
	if err != nil {
		return err.Error()
	}
	const most = 12 << 10
	if len(b) > most {
		b = b[len(b)-most:]
	}
	return strings.TrimSpace(string(b))
}

// dial connects to the process that serves now, whatever address was asked for.
func (n *node) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	address := n.address.Load()
	if address == nil {
		return nil, syscall.ECONNREFUSED
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", *address)
}

// web is an HTTP client of the node's doors, with connections of its own.
func (n *node) web() *http.Client {
	return &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DialContext: n.dial, MaxIdleConnsPerHost: 4}}
}

// owner is the API as the owner of the data folder sees it.
func (n *node) owner() *client.Client {
	socket := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(n.Data, "chancery.sock"))
	}
	return &client.Client{Base: "http://local", HTTP: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DialContext: socket, MaxIdleConnsPerHost: 4}}}
}
