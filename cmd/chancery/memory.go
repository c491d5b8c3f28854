package main

import (
	"os"
	"runtime/debug"
)

// gcPercent is how much garbage a server makes, in percent of what it holds,
// before the collector runs. It holds little, some 20 MB, so that Go's own 100
// has the collector run every few dozen enrolments and takes a twentieth of the
// time.
const gcPercent = 300

// collectLess applies it, unless GOGC says otherwise. GOMEMLIMIT works as ever.
func collectLess() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
