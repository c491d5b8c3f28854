//go:build linux || darwin

package doctor

import "syscall"

// freeSpace gives the bytes that this account may still write to the disk of a
// folder.
func freeSpace(folder string) (free uint64, known bool, err error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(folder, &fs); err != nil {
		return 0, false, err
	}
	return fs.Bavail * uint64(fs.Bsize), true, nil
}
