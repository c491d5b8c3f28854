// Command chancery is the registration authority: the server, and the command
// line that works with it. This file only joins package app to package cli.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/term"

	"chancery/internal/app"
	"chancery/internal/cli"
)

func main() { os.Exit(run(os.Args[1:])) }

// stopWithin is how long work that is under way has to end when the server is
// told to stop.
const stopWithin = 20 * time.Second

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg := &app.Config{}
	p := &cli.Program{
		Version: app.Version, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, LookupEnv: os.LookupEnv, Contexts: contexts(), Now: time.Now,
		Terminal: term.IsTerminal(int(os.Stdin.Fd())), ReadPassword: readPassword, Config: cfg,
		Serve: func(ctx context.Context) error {
			tune()
			a, err := app.Start(ctx, *cfg)
			if err != nil {
				return err
			}
			a.Log.Info("ready", "listen", a.Config.Listen, "device_listen", a.Config.DeviceListen, "public_url", a.Config.PublicURL, "version", app.Version)
			notify(daemon.SdNotifyReady)
			<-ctx.Done()
			stop() // a second interrupt ends at once
			a.Log.Info("stopping")
			notify(daemon.SdNotifyStopping)
			ending, cancel := context.WithTimeout(context.Background(), stopWithin)
			defer cancel()
			return a.Close(ending)
		},
		Quickstart: func(ctx context.Context, exit bool) error {
			return app.Quickstart(ctx, app.QuickstartOptions{Config: *cfg, Exit: exit, Program: os.Args[0], Out: os.Stdout})
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
			quiet := *cfg
			if quiet.LogLevel == "info" {
				quiet.LogLevel = "error"
			}
			client, done, err := app.Local(ctx, quiet)
			return client, app.LocalURL, done, err
		},
	}
	return p.Run(ctx, args)
}

// notify tells the service manager, when one started us, how far we are
// (sd_notify(3)). Without one it does nothing; one that does not listen is its
// own business.
func notify(state string) { _, _ = daemon.SdNotify(false, state) }

// contexts is where login remembers servers: a folder of the user's own, or
// the present one where there is none.
func contexts() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		dir = "."
	}
	return filepath.Join(dir, "chancery", "contexts.json")
}

func readPassword(prompt string) (string, error) {
	fmt.Fprint(os.Stderr, prompt)
	b, err := term.ReadPassword(int(os.Stdin.Fd()))
	fmt.Fprintln(os.Stderr)
	return string(b), err
}
