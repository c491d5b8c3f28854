package testpeer

import (
	"io"
	"os/exec"
	"syscall"
)

// sweeper removes a directory when it is closed, or when this process ends in
// whatever way.
type sweeper struct {
	cmd  *exec.Cmd
	pipe io.WriteCloser
}

// sweep starts a process that waits for the end of its input, which only this
// process holds open, and then removes dir. It tries for a while, because a
// server that was told to end by the kernel may still be writing there. Being
// in a group of its own it outlives an interrupt from the keyboard.
func sweep(dir string) (io.Closer, error) {
	const script = `cat >/dev/null; for i in 1 2 3 4 5 6 7 8 9 10; do rm -rf -- "$1" && exit 0; sleep 1; done; exit 1`
	cmd := exec.Command("/bin/sh", "-c", script, "sh", dir)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &sweeper{cmd, pipe}, nil
}

// Close returns when the directory is gone.
func (s *sweeper) Close() error {
	s.pipe.Close()
	return s.cmd.Wait()
}
