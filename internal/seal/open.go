package seal

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"chancery/internal/ra"
)

// Open reads the master key file at path. Errors are *ra.Error with a remedy:
// ra.NotFound when there is no file, ra.Denied when it cannot be read or others
// could read it too, ra.Invalid when it is damaged.
func Open(path string) (*Box, error) {
	text, err := read(path)
	if err != nil {
		return nil, err
	}
	b, err := parseFile(text)
	if err != nil {
		return nil, ra.Errorf(ra.Invalid, "The master key file %s is damaged.", path).
			WithRemedy("Restore the file from your copy. Do not make a new one: secrets sealed with this key would be lost.").WithCause(err)
	}
	return b, nil
}

// Create makes the master key file at path for the first start, readable by
// its owner only, and opens it. The file appears complete or not at all, and
// is on disk when Create returns. When the file is already there, or another
// process makes it at the same moment, that file is opened. A caller whose
// database already holds sealed values uses Open: a new key cannot open them.
func Create(path string) (*Box, error) {
	if _, err := os.Stat(path); err == nil {
		return Open(path)
	}
	h, err := newKeyset()
	if err != nil {
		return nil, createError(path, err)
	}
	text, err := appendFile(h)
	if err != nil {
		return nil, createError(path, err)
	}
	temp := tempName(path)
	if err := writeNew(temp, text); err != nil {
		_ = os.Remove(temp)
		return nil, createError(path, err)
	}
	// A hard link gives the complete file its name and fails when the name is
	// taken, so of two creators one wins and the other opens the winner's key.
	err = os.Link(temp, path)
	_ = os.Remove(temp)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, createError(path, err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return nil, createError(path, err)
	}
	return Open(path)
}

func createError(path string, err error) error {
	return ra.Errorf(ra.Denied, "The master key file %s cannot be made.", path).
		WithRemedy("Check that the folder exists, that the service account may write there, and that it is on a local disk with hard links.").WithCause(err)
}

func read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() { // asked before opening: a pipe would wait for its writer
		return nil, ra.Errorf(ra.Invalid, "The master key %s is not a file.", path).
			WithRemedy("Name the master key file itself.")
	}
	var f *os.File
	if err == nil {
		f, err = os.Open(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ra.Errorf(ra.NotFound, "There is no master key file at %s.", path).
			WithRemedy("Put the file that belongs to this database there, or correct the path in the configuration.").WithCause(err)
	}
	if err != nil {
		return nil, unreadable(path, err)
	}
	defer f.Close()
	info, err = f.Stat()
	if err != nil {
		return nil, unreadable(path, err)
	}
	// Windows keeps access rights elsewhere; its mode bits say nothing.
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, ra.Errorf(ra.Denied, "The master key file %s can be read or changed by other accounts (mode %04o).", path, info.Mode().Perm()).
			WithRemedy("Run chmod 600 on it. When others may have read it, replace the secrets it protects.")
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, unreadable(path, err)
	}
	return text, nil
}

func unreadable(path string, err error) error {
	return ra.Errorf(ra.Denied, "The master key file %s cannot be read.", path).
		WithRemedy("Make the service account its owner and give it mode 0600.").WithCause(err)
}

// writeNew writes a file that must not exist yet and waits until it is on disk.
func writeNew(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// syncDir waits until the folder's list of names is on disk. Windows has no
// such call and needs none.
func syncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
