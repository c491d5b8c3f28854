package main

import (
	"os"
	"runtime"
	"runtime/debug"
)

const (
	// gcPercent is how much garbage a server makes, in percent of what it holds,
	// before the collector runs. It holds little, some 20 MB, so that Go's own 100
	// has the collector run every few dozen enrolments and takes a twentieth of the
	// time.
	gcPercent = 300
	// spareProcessors is how many more processors Go is told of than there are. One
	// that waits for the disk is taken for busy for up to ten milliseconds, and
	// every enrolment waits for the disk twice; the spare ones work meanwhile.
	spareProcessors = 2
)

// tune sets Go's scheduler and collector for a server, unless GOMAXPROCS or GOGC
// says otherwise. GOMEMLIMIT works as ever.
func tune() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + spareProcessors)
	}
}
