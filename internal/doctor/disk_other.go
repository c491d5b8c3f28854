//go:build !linux && !darwin

package doctor

// freeSpace does not know the way to ask this system.
func freeSpace(string) (free uint64, known bool, err error) { return 0, false, nil }
