package testpeer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// oldestPostgres is the oldest major version the product supports.
	oldestPostgres = 15
	// postgresRole owns every test database. It is not a superuser, as the
	// product's role in production is not.
	postgresRole = "chancery"
	// postgresTimeout bounds making, starting and asking a server.
	postgresTimeout = time.Minute
)

// postgres is one server with its data in a directory of its own.
type postgres struct {
	bin      string // the folder of the server programs
	dir      string
	port     int
	password string              // of the superuser and of postgresRole
	user     *syscall.Credential // who runs it; nil means the test's user
	daemon   *daemon
	sweeper  io.Closer
	template string // the database that new ones are copies of; empty: none
}

// newPostgres makes a server in a new directory and starts it. The directory
// goes away with the test process, whatever ends that.
func newPostgres() (*postgres, error) {
	bin, err := postgresPrograms()
	if err != nil {
		return nil, err
	}
	p := &postgres{bin: bin, password: rand.Text()}
	if p.dir, err = os.MkdirTemp("", "chancery-postgres-"); err != nil {
		return nil, err
	}
	if p.sweeper, err = sweep(p.dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(p.dir))
	}
	if err := p.initialize(); err != nil {
		p.remove(syscall.SIGQUIT)
		return nil, err
	}
	return p, nil
}

// postgresPrograms finds the newest installed server.
func postgresPrograms() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err
	}
	best, newest := "", oldestPostgres-1
	for _, dir := range found {
		version, err := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
		if err == nil && version > newest && executable(filepath.Join(dir, "initdb")) {
			best, newest = dir, version
		}
	}
	if best == "" {
		return "", fmt.Errorf("no PostgreSQL server %d or later under /usr/lib/postgresql\nhint: run \"make deps\" as root", oldestPostgres)
	}
	return best, nil
}

func (p *postgres) initialize() error {
	if os.Geteuid() == 0 {
		if err := p.runAs("postgres"); err != nil {
			return err
		}
	}
	passwordFile := filepath.Join(p.dir, "password")
	if err := os.WriteFile(passwordFile, []byte(p.password), 0o600); err != nil {
		return err
	}
	if p.user != nil {
		if err := os.Chown(passwordFile, int(p.user.Uid), int(p.user.Gid)); err != nil {
			return err
		}
	}
	initdb := command{
		path: filepath.Join(p.bin, "initdb"),
		args: []string{"--pgdata=" + p.data(), "--username=postgres", "--pwfile=" + passwordFile,
			"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"},
		dir:     p.dir,
		user:    p.user,
		timeout: postgresTimeout,
	}
	if out, errs, err := initdb.run(); err != nil {
		return withOutput(err, string(out)+string(errs))
	}
	if err := os.Remove(passwordFile); err != nil {
		return err
	}
	var err error
	if p.port, err = freePort(); err != nil {
		return err
	}
	if err := p.start(); err != nil {
		return err
	}
	return p.admin(fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", postgresRole, p.password))
}

// runAs lets another user run the server: PostgreSQL refuses to run as root.
func (p *postgres) runAs(name string) error {
	account, err := user.Lookup(name)
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
	return os.Chown(p.dir, int(uid), int(gid))
}

func (p *postgres) data() string { return filepath.Join(p.dir, "data") }

// start starts the server and waits until it answers. Commits are not forced to
// disk, which only a crash of the whole machine would show: the data survives
// kill because the operating system holds it.
func (p *postgres) start() error {
	settings := []string{
		"listen_addresses=127.0.0.1", "port=" + strconv.Itoa(p.port), "unix_socket_directories=",
		"fsync=off", "full_page_writes=off", "wal_level=minimal", "max_wal_senders=0",
		"shared_buffers=64MB", "max_connections=200", "dynamic_shared_memory_type=mmap", // else it outlives a kill
	}
	args := []string{"-D", p.data()}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	cmd := exec.Command(filepath.Join(p.bin, "postgres"), args...)
	cmd.Dir = p.dir
	cmd.Env = cleanEnv(p.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.user}
	var err error
	if p.daemon, err = start(cmd, filepath.Join(p.dir, "server.log"), syscall.SIGQUIT); err != nil {
		return err
	}
	return p.daemon.await(postgresTimeout, func(ctx context.Context) error {
		conn, err := pgx.Connect(ctx, p.address("postgres", "postgres"))
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	})
}

// kill ends the server and its children. The server is frozen first, so that
// it cannot make more of them meanwhile; and the children are seen off, because
// no new server starts on the data while one of the old is there.
func (p *postgres) kill() error {
	if !p.daemon.running() {
		return nil
	}
	pid := p.daemon.cmd.Process.Pid
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	children := childrenOf(pid)
	for _, one := range append([]int{pid}, children...) {
		if err := syscall.Kill(one, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	<-p.daemon.done
	deadline := time.Now().Add(stopTimeout)
	for _, child := range children {
		for alive(child) {
			if time.Now().After(deadline) {
				return fmt.Errorf("PostgreSQL process %d survived being killed for %s", child, stopTimeout)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	return nil
}

// remove ends the server by the signal and removes its directory.
func (p *postgres) remove(signal syscall.Signal) {
	if p.daemon != nil {
		p.daemon.stop(signal) // a server that had to be killed is gone as well
	}
	p.sweeper.Close()
}

// createDatabase gives the new database's name.
func (p *postgres) createDatabase() (string, error) {
	name := "test_" + strings.ToLower(rand.Text()[:12])
	statement := "CREATE DATABASE " + name + " OWNER " + postgresRole
	if p.template != "" {
		statement += " TEMPLATE " + p.template
	}
	return name, p.admin(statement)
}

// prepare makes the database that all later ones are copies of. Who was just
// connected to it may still be leaving, and it cannot be copied before.
func (p *postgres) prepare() error {
	name, err := p.createDatabase()
	if err != nil {
		return err
	}
	if err := prepared.run(p.address(postgresRole, name)); err != nil {
		return err
	}
	p.template = name
	return p.daemon.await(postgresTimeout, func(ctx context.Context) error {
		conn, err := pgx.Connect(ctx, p.address("postgres", "postgres"))
		if err != nil {
			return err
		}
		defer conn.Close(ctx)
		var there int
		if err := conn.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend'", name).Scan(&there); err != nil {
			return err
		}
		if there > 0 {
			return fmt.Errorf("%d are still connected to the prepared database", there)
		}
		return nil
	})
}

// admin runs one statement as the superuser.
func (p *postgres) admin(statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), postgresTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.address("postgres", "postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}

func (p *postgres) address(role, database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(role, p.password),
		Host:     "127.0.0.1:" + strconv.Itoa(p.port),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}
