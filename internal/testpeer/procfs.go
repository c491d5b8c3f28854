package testpeer

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// childrenOf lists the processes whose parent is pid.
func childrenOf(pid int) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var children []int
	for _, entry := range entries {
		child, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if _, parent := processStatus(child); parent == pid {
			children = append(children, child)
		}
	}
	return children
}

// alive tells whether a process still runs; one that ended and was not waited
// for does not.
func alive(pid int) bool {
	state, _ := processStatus(pid)
	return state != "" && state != "Z"
}

// processStatus reads the one-letter state and the parent of a process from
// /proc; the state is empty when there is no such process. The name in front of
// them may hold spaces and parentheses.
func processStatus(pid int) (state string, parent int) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return "", 0
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(fields) < 2 {
		return "", 0
	}
	parent, err = strconv.Atoi(fields[1])
	if err != nil {
		return "", 0
	}
	return fields[0], parent
}
