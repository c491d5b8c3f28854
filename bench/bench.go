package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"chancery/bench/machine"
	"chancery/bench/peer"
	"chancery/bench/report"
)

// The cores. On a machine with more than two the others stay idle, so that
// "both cores" means the same everywhere.
var (
	serverCore = machine.Cores{0}
	clientCore = machine.Cores{1}
	bothCores  = machine.Cores{0, 1}
)

// bench is one run.
type bench struct {
	ctx      context.Context
	dir      string // scratch, removed at the end
	quick    bool
	profiles string // folder for them; empty: none
	report   *report.Report
	began    time.Time
	number   int // of folders made so far

	chancery string // our program
	micromdm string // peers; empty until a case needs them
	stepca   string

	stocks   map[string]*stock // by engine
	postgres *peer.Postgres    // nil until a case needs it
}

// aCase is one thing that is measured. Cases do not depend on each other.
type aCase struct {
	name, title string
	run         func(*bench) error
}

var cases = []aCase{
	{"scep", "SCEP enrolment", (*bench).scep},
	{"proxy", "SCEP proxy", (*bench).proxy},
	{"rest", "Certificate from a CSR over REST", (*bench).rest},
	{"ocsp", "OCSP and revocation", (*bench).ocsp},
	{"inventory", "Inventory filters", (*bench).inventory},
	{"start", "Start and memory", (*bench).start},
	{"plan", "Renewal planning", (*bench).plan},
}

func newBench(ctx context.Context, scratch string, quick bool) (*bench, error) {
	b := &bench{ctx: ctx, quick: quick, began: time.Now(), report: &report.Report{Title: "Benchmark"}, stocks: map[string]*stock{}}
	var err error
	if b.dir, err = os.MkdirTemp(scratch, "chancery-bench-"); err != nil {
		return nil, err
	}
	if b.dir, err = filepath.Abs(b.dir); err != nil {
		return nil, err
	}
	for _, dir := range []string{"bin", "data"} {
		if err := os.MkdirAll(filepath.Join(b.dir, dir), 0o755); err != nil {
			return nil, err
		}
	}
	b.say("building the server")
	if b.chancery, err = peer.BuildHere(".", filepath.Join(b.dir, "bin"), "./cmd/chancery"); err != nil {
		return nil, err
	}
	if quick {
		b.report.Title = "Benchmark (quick: numbers too small to be quoted)"
	}
	b.report.Facts = append([][2]string{{"date", b.began.UTC().Format("2006-01-02 15:04 UTC")}}, machine.Facts(b.dir)...)
	b.fact("Chancery", revision())
	return b, nil
}

func (b *bench) close() {
	if b.postgres != nil {
		if err := b.postgres.Close(); err != nil {
			b.say("%v", err)
		}
	}
	if err := os.RemoveAll(b.dir); err != nil {
		b.say("removing %s: %v", b.dir, err)
	}
}

// say tells whoever watches; the page goes to standard output, this does not.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%6s  %s\n", time.Since(b.began).Round(time.Second), fmt.Sprintf(format, args...))
}

// fact notes a version, once.
func (b *bench) fact(name, value string) {
	for _, f := range b.report.Facts {
		if f[0] == name {
			return
		}
	}
	b.report.Facts = append(b.report.Facts, [2]string{name, value})
}

// revision names what is measured, as far as git knows.
func revision() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "this folder"
	}
	return strings.TrimSpace(string(out))
}

// measure runs a case. One that breaks is in the report and the others go on;
// only an interrupt ends the run.
func (b *bench) measure(c aCase) error {
	b.say("%s", c.title)
	if err := machine.Stay(bothCores); err != nil {
		return err
	}
	sections := len(b.report.Sections)
	err := c.run(b)
	if b.ctx.Err() != nil {
		return b.ctx.Err()
	}
	if err != nil {
		b.say("%s: %v", c.name, err)
		b.report.Failed("case "+c.name, err)
		if len(b.report.Sections) == sections {
			b.report.Section(c.title)
		}
		b.report.Sections[len(b.report.Sections)-1].Err = err
	}
	return b.tidy()
}

// place names a folder that does not exist yet.
func (b *bench) place(what string) string {
	b.number++
	return filepath.Join(b.dir, "data", fmt.Sprintf("%03d-%s", b.number, what))
}

// tidy removes the folders of a case: the next one shall not fill the disk.
func (b *bench) tidy() error {
	data := filepath.Join(b.dir, "data")
	return errors.Join(os.RemoveAll(data), os.Mkdir(data, 0o755))
}

// pick gives the first number, or the second in a quick run.
func (b *bench) pick(full, quick int) int {
	if b.quick {
		return quick
	}
	return full
}

// ours gives our server with its data in a folder yet to be made.
func (b *bench) ours(dir string) *ours {
	return &ours{program: b.chancery, dir: dir, profile: b.profileFile}
}

// peers builds them, once.
func (b *bench) peers() error {
	if b.stepca != "" {
		return nil
	}
	b.say("building the peers")
	bin := filepath.Join(b.dir, "bin")
	program, version, err := peer.Build(bin, peer.MicroMDMPackage, peer.MicroMDMVersions...)
	if err != nil {
		return err
	}
	b.micromdm = program
	b.fact("micromdm/scep", version)
	if program, version, err = peer.Build(bin, peer.StepCAPackage, peer.StepCAVersions...); err != nil {
		return err
	}
	b.stepca = program
	b.fact("step-ca", version)
	return nil
}
