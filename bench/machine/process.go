package machine

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Program is a server to start.
type Program struct {
	Path  string
	Args  []string
	Dir   string
	Env   []string // added to this process's own
	Cores Cores    // none: wherever the system likes
	Log   string   // file for what it prints
	User  *syscall.Credential
}

// Process is a program that runs. The kernel ends it if this process dies.
type Process struct {
	PID     int
	Started time.Time // just before it was started
	log     string
	cmd     *exec.Cmd
	done    chan struct{}
	ended   error
}

// Start starts a program. The kernel watches the thread that started a program
// and not its process, so a goroutine that owns its thread waits for it.
func Start(p Program) (*Process, error) {
	path, args := p.Path, p.Args
	if len(p.Cores) > 0 {
		path, args = "taskset", append([]string{"-c", p.Cores.String(), p.Path}, p.Args...) // becomes the program, under the same number
	}
	log, err := os.Create(p.Log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.Dir, log, log
	cmd.Env = append(os.Environ(), p.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: p.User}
	s := &Process{cmd: cmd, log: p.Log, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		s.Started = time.Now()
		err := cmd.Start()
		started <- err
		if err == nil {
			s.ended = cmd.Wait()
			close(s.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	s.PID = cmd.Process.Pid
	return s, nil
}

// startPatience is how long a server may take until its first answer: one that
// has to look through a million certificates may need some time.
const startPatience = 3 * time.Minute

// AwaitHTTP asks a URL until it answers with 200, and gives the time from the
// start of the program to that.
func (s *Process) AwaitHTTP(client *http.Client, url string) (time.Duration, error) {
	var last error
	for time.Since(s.Started) < startPatience {
		select {
		case <-s.done:
			return 0, fmt.Errorf("%s ended by itself\n%s", s.cmd.Path, s.tail())
		default:
		}
		res, err := client.Get(url)
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return time.Since(s.Started), nil
			}
			err = errors.New(res.Status)
		}
		last = err
		time.Sleep(time.Millisecond)
	}
	return 0, fmt.Errorf("%s did not answer: %w\n%s", s.cmd.Path, last, s.tail())
}

// tail gives the end of what the program printed.
func (s *Process) tail() string {
	b, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4<<10):])
}

const stopPatience = 30 * time.Second

// Stop ends the program with a signal and waits for it.
func (s *Process) Stop(signal syscall.Signal) error {
	select {
	case <-s.done:
		return fmt.Errorf("%s had ended before it was told to: %v\n%s", s.cmd.Path, s.ended, s.tail())
	default:
	}
	if err := s.cmd.Process.Signal(signal); err != nil {
		return err
	}
	select {
	case <-s.done:
		return nil
	case <-time.After(stopPatience):
		s.cmd.Process.Kill()
		<-s.done
		return fmt.Errorf("%s did not end within %s", s.cmd.Path, stopPatience)
	}
}

// tick is the unit of the times in /proc/PID/stat; Linux has had no other on
// any machine Go runs on.
const tick = 10 * time.Millisecond

// CPU is the processor time the process has used, in user mode and in the
// kernel, in steps of 10 ms.
func (s *Process) CPU() (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.PID))
	if err != nil {
		return 0, err
	}
	return parseCPU(string(b))
}

// parseCPU reads utime and stime, the 14th and 15th field. The name in the
// second may hold spaces and parentheses.
func parseCPU(stat string) (time.Duration, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, errors.New("/proc/PID/stat is too short")
	}
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, nil
}

// Memory is what the process holds in memory, in bytes: all of it, and the part
// that is not backed by files.
func (s *Process) Memory() (resident, anonymous int64, err error) {
	file := fmt.Sprintf("/proc/%d/status", s.PID)
	if resident, err = kibibytes(field(file, "VmRSS")); err != nil {
		return 0, 0, err
	}
	anonymous, err = kibibytes(field(file, "RssAnon"))
	return resident, anonymous, err
}

func kibibytes(text string) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimSuffix(text, " kB"), 10, 64)
	return n << 10, err
}

// FreeAddress gives an address on loopback nobody listens on.
func FreeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
