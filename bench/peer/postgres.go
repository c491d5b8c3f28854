package peer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"chancery/bench/machine"
)

// Postgres is a PostgreSQL server of this run alone, configured as initdb
// leaves it: it synchronises every commit.
type Postgres struct {
	*machine.Process
	Version string
	dir     string
	bin     string
	address string
	secret  string
	user    *syscall.Credential // nil: this process's own
}

// StartPostgres makes a server from the newest installed programs and starts it.
func StartPostgres() (*Postgres, error) {
	p := &Postgres{secret: rand.Text()}
	var err error
	if p.bin, err = newestPostgres(); err != nil {
		return nil, err
	}
	if p.dir, err = os.MkdirTemp("", "chancery-bench-postgres-"); err != nil {
		return nil, err
	}
	if err := p.start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(p.dir))
	}
	return p, nil
}

func newestPostgres() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	best, newest := "", 0
	for _, program := range found {
		bin := filepath.Dir(program)
		if v, err := strconv.Atoi(filepath.Base(filepath.Dir(bin))); err == nil && v > newest {
			best, newest = bin, v
		}
	}
	if best == "" {
		return "", errors.New("no PostgreSQL server under /usr/lib/postgresql\nhint: run \"make deps\" as root")
	}
	return best, nil
}

func (p *Postgres) start() error {
	password := filepath.Join(p.dir, "password")
	if err := os.WriteFile(password, []byte(p.secret), 0o600); err != nil {
		return err
	}
	if os.Geteuid() == 0 { // which PostgreSQL refuses to run as
		if err := p.lower(p.dir, password); err != nil {
			return err
		}
	}
	if err := p.run("initdb", "--pgdata="+p.data(), "--username=postgres", "--pwfile="+password, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"); err != nil {
		return err
	}
	if err := os.Remove(password); err != nil {
		return err
	}
	address, err := machine.FreeAddress()
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	p.address = address
	if p.Process, err = machine.Start(machine.Program{Path: filepath.Join(p.bin, "postgres"), Dir: p.dir, User: p.user, Log: p.dir + ".log",
		Args: []string{"-D", p.data(), "-c", "listen_addresses=" + host, "-c", "port=" + port, "-c", "unix_socket_directories="}}); err != nil {
		return err
	}
	for deadline := time.Now().Add(time.Minute); ; {
		err := p.run("pg_isready", "--host="+host, "--port="+port, "--username=postgres")
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			return errors.Join(err, p.Process.Stop(syscall.SIGQUIT))
		}
		time.Sleep(100 * time.Millisecond)
	}
	out, err := exec.Command(filepath.Join(p.bin, "postgres"), "--version").Output()
	p.Version = strings.TrimPrefix(strings.TrimSpace(string(out)), "postgres (PostgreSQL) ")
	return err
}

// lower has the server's programs run as the user postgres.
func (p *Postgres) lower(files ...string) error {
	account, err := user.Lookup("postgres")
	if err != nil {
		return fmt.Errorf("PostgreSQL cannot run as root: %w", err)
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	if err != nil {
		return err
	}
	p.user = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	for _, f := range files {
		if err := os.Chown(f, int(uid), int(gid)); err != nil {
			return err
		}
	}
	return nil
}

func (p *Postgres) data() string { return filepath.Join(p.dir, "data") }

// run runs one of PostgreSQL's programs.
func (p *Postgres) run(program string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, program), args...)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "PGPASSWORD="+p.secret)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.user}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", program, err, out)
	}
	return nil
}

// Database makes an empty database and gives its address.
func (p *Postgres) Database(name string) (string, error) {
	host, port, err := net.SplitHostPort(p.address)
	if err != nil {
		return "", err
	}
	if err := p.run("createdb", "--host="+host, "--port="+port, "--username=postgres", name); err != nil {
		return "", err
	}
	u := url.URL{Scheme: "postgres", User: url.UserPassword("postgres", p.secret), Host: p.address, Path: "/" + name, RawQuery: "sslmode=disable"}
	return u.String(), nil
}

// Close ends the server and removes its data.
func (p *Postgres) Close() error {
	return errors.Join(p.Process.Stop(syscall.SIGINT), os.RemoveAll(p.dir), os.Remove(p.dir+".log"))
}
