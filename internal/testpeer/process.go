package testpeer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// stopTimeout is how long a peer may take to end after it was asked to.
const stopTimeout = 10 * time.Second

// logTail is how many bytes of a peer's log an error carries.
const logTail = 10 << 10

// daemon is a server program that runs beside the tests.
type daemon struct {
	cmd     *exec.Cmd
	logFile string
	done    chan struct{} // closed when the program has ended and was waited for
}

// start runs cmd in its own process group with its output in logFile. If the
// test process dies the kernel sends it lastSignal.
//
// The kernel watches the thread that started a program, not its process, and
// the Go runtime may end a thread at any time. So a goroutine that owns its
// thread starts the program and stays until it has ended.
func start(cmd *exec.Cmd, logFile string, lastSignal syscall.Signal) (*daemon, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = lastSignal
	cmd.SysProcAttr.Setpgid = true

	d := &daemon{cmd: cmd, logFile: logFile, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait() // how it ended is in the log
			close(d.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return d, nil
}

// running tells whether the program has not ended yet.
func (d *daemon) running() bool {
	select {
	case <-d.done:
		return false
	default:
		return true
	}
}

// stop sends the signal and waits for the end; a program that takes too long is
// killed, which is an error. Helpers it left in its process group go with it.
func (d *daemon) stop(signal syscall.Signal) error {
	if !d.running() {
		return nil
	}
	defer syscall.Kill(-d.cmd.Process.Pid, syscall.SIGKILL)
	if err := d.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-d.done:
		return nil
	case <-time.After(stopTimeout):
		d.cmd.Process.Kill()
		<-d.done
		return fmt.Errorf("%s did not end within %s after %s\n%s", d.cmd.Path, stopTimeout, signal, d.log())
	}
}

// log gives what the program has written so far, the end of it if it is long.
func (d *daemon) log() string {
	b, err := os.ReadFile(d.logFile)
	if err != nil {
		return err.Error()
	}
	if len(b) > logTail {
		b = b[len(b)-logTail:]
	}
	return string(b)
}

// await calls ready until it gives nil. It gives up when the program ends or the
// time is over, with the program's log in the error.
func (d *daemon) await(timeout time.Duration, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-d.done:
			return fmt.Errorf("%s ended by itself\n%s", d.cmd.Path, d.log())
		case <-ctx.Done():
			return fmt.Errorf("%s was given %s: %w\n%s", d.cmd.Path, timeout, err, d.log())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// command is a program to run to its end.
type command struct {
	path    string
	args    []string
	dir     string
	env     []string // the whole environment; nil means cleanEnv of dir
	stdin   []byte
	user    *syscall.Credential // nil means the test's user
	timeout time.Duration
}

// run gives standard output and standard error; both are given when the program
// fails, and the error then holds the exit status only.
func (c command) run() (stdout, stderr []byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.path, c.args...)
	cmd.Dir = c.dir
	cmd.Env = c.env
	if cmd.Env == nil {
		cmd.Env = cleanEnv(c.dir)
	}
	cmd.Stdin = bytes.NewReader(c.stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: c.user}
	cmd.WaitDelay = time.Second
	runtime.LockOSThread() // see start
	defer runtime.UnlockOSThread()
	err = cmd.Run()
	if ctx.Err() != nil {
		err = fmt.Errorf("no end after %s: %w", c.timeout, ctx.Err())
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", filepath.Base(c.path), err)
	}
	return out.Bytes(), errs.Bytes(), err
}

// cleanEnv is an environment without the caller's proxies, locale and
// configuration, with home as the home directory.
func cleanEnv(home string, more ...string) []string {
	env := []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=" + home,
		"LC_ALL=C.UTF-8",
		"TZ=UTC",
	}
	return append(env, more...)
}

// withOutput adds what a program said to the error it ended with.
func withOutput(err error, output string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w\n%s", err, strings.TrimSpace(output))
}
