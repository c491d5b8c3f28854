package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"time"

	"chancery/internal/app"
)

// profiledServer is the word that makes this program our server, the very same
// one, with a processor profile of its whole run.
const profiledServer = "profiled-server"

// profileArgs are the arguments for that: where the profile goes, and what the
// server has to know.
func profileArgs(file, dir, api, devices string) []string {
	return []string{profiledServer, file, dir, api, devices}
}

// serveProfiled serves until it is told to stop.
func serveProfiled(args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("%s takes a file, a folder and two addresses", profiledServer)
	}
	file, dir := args[0], args[1]
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := pprof.StartCPUProfile(out); err != nil {
		return err
	}
	a, err := app.Start(ctx, app.Config{Data: dir, Listen: args[2], DeviceListen: args[3], PublicURL: publicURL, Database: os.Getenv("CHANCERY_DATABASE"), EgressAllow: []string{egress},
		Certificate: filepath.Join(dir, "tls.pem"), Key: filepath.Join(dir, "tls.key"), LogLevel: "info"})
	if err != nil {
		return err
	}
	<-ctx.Done()
	pprof.StopCPUProfile()
	ending, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return errors.Join(a.Close(ending), out.Close())
}

// profileFile names the profile of a server that starts now; empty when none
// are wanted.
func (b *bench) profileFile(data string) string {
	if b.profiles == "" {
		return ""
	}
	return filepath.Join(b.profiles, filepath.Base(data)+".pprof")
}

// wantProfiles readies the folder for them.
func (b *bench) wantProfiles(dir string) error {
	if dir == "" {
		return nil
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	b.profiles = dir
	b.report.Title += " (profiled, which costs a little)"
	return os.MkdirAll(dir, 0o755)
}
