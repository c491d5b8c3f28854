// Command bench measures the product beside the servers people use today, in
// one run on one machine, and writes what it found as a page of Markdown:
// SCEP enrolments, the SCEP proxy, certificates over REST, OCSP and revocation, inventory
// filters over a million certificates, start and memory, and the renewal plan.
// bench/README.md tells how each figure comes about and what was not equal.
//
// The server that is measured has one core, the clients have another; peers are
// built when the benchmark runs, into a temporary folder, and are no dependency
// of this module. Nothing here is a test: no figure fails a build.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"chancery/bench/machine"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "limit" {
		// What this core can do, asked by the benchmark itself: see limit.go.
		json.NewEncoder(os.Stdout).Encode(measureLimit())
		return
	}
	if len(os.Args) > 2 && os.Args[1] == profiledServer {
		if err := serveProfiled(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	names := make([]string, len(cases))
	for i, c := range cases {
		names[i] = c.name
	}
	only := flag.String("case", "", "measure only these, separated by commas: "+strings.Join(names, ", "))
	quick := flag.Bool("quick", false, "small numbers: shows that everything works, measures little")
	out := flag.String("out", "", "write the page to this file too")
	scratch := flag.String("scratch", "", "folder where databases and programs are put for the run, on the disk to be measured; empty: that of temporary files")
	profiles := flag.String("profiles", "", "write a processor profile of each run of our server into this folder")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("%q is not understood", flag.Arg(0))
	}
	chosen := cases
	if *only != "" {
		chosen = nil
		for name := range strings.SplitSeq(*only, ",") {
			i := slices.Index(names, name)
			if i < 0 {
				return fmt.Errorf("there is no case %q; there are %s", name, strings.Join(names, ", "))
			}
			chosen = append(chosen, cases[i])
		}
	}
	if err := machine.Check(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b, err := newBench(ctx, *scratch, *quick)
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.wantProfiles(*profiles); err != nil {
		return err
	}
	for _, c := range chosen {
		if err := b.measure(c); err != nil {
			return err
		}
	}
	var page bytes.Buffer
	if err := b.report.Write(&page); err != nil {
		return err
	}
	if _, err := os.Stdout.Write(page.Bytes()); err != nil {
		return err
	}
	if *out != "" {
		return os.WriteFile(*out, page.Bytes(), 0o644)
	}
	return nil
}
