package cli_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"chancery/internal/app"
	"chancery/internal/cli"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"chancery": func() { os.Exit(run()) }})
}

// run is what cmd/chancery does, without a terminal.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg := &app.Config{}
	p := &cli.Program{Version: "test", Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, LookupEnv: os.LookupEnv,
		Contexts: filepath.Join(os.Getenv("HOME"), "contexts.json"), Now: time.Now, Config: cfg,
		Serve: func(ctx context.Context) error {
			a, err := app.Start(ctx, *cfg)
			if err != nil {
				return err
			}
			<-ctx.Done()
			return a.Close(context.Background())
		},
		Quickstart: func(ctx context.Context, exit bool) error {
			return app.Quickstart(ctx, app.QuickstartOptions{Config: *cfg, Exit: exit, Out: os.Stdout})
		},
		Backup: func(ctx context.Context, o cli.BackupOrder) (cli.Done, error) {
			path, m, err := app.Backup(ctx, *cfg, app.BackupOptions(o))
			return cli.Done{Document: m, Lines: m.Lines(path)}, err
		},
		Restore: func(ctx context.Context, o cli.RestoreOrder) (cli.Done, error) {
			report, err := app.Restore(ctx, *cfg, app.RestoreOptions(o))
			return cli.Done{Document: report, Lines: report.Lines()}, err
		},
		Local: func(ctx context.Context) (*http.Client, string, func() error, error) {
			cfg.LogLevel = "error"
			client, done, err := app.Local(ctx, *cfg)
			return client, app.LocalURL, done, err
		},
	}
	return p.Run(ctx, os.Args[1:])
}

// TestTranscripts runs the terminal sessions in testdata, each with a data
// folder of its own.
func TestTranscripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			defer l.Close()
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("PORT", strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code":  code,
			"await": await,
			"grab":  grab,
		},
	})
}

// code runs chancery and holds its exit code against the first argument.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N ARGS...")
	}
	got := 0
	err := ts.Exec("chancery", args[1:]...)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if fmt.Sprint(got) != args[0] {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}

// await waits until a file is there.
func await(ts *testscript.TestScript, _ bool, args []string) {
	for range 200 {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("%s does not appear", args[0])
}

// grab puts the first match of a pattern in the last output into a variable.
func grab(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: grab VARIABLE PATTERN")
	}
	found := regexp.MustCompile(args[1]).FindString(ts.ReadFile("stdout"))
	if found == "" {
		ts.Fatalf("%s is not in the output", args[1])
	}
	ts.Setenv(args[0], found)
}
