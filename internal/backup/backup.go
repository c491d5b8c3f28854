// Package backup keeps a database safe and brings it back. A backup is one
// file, a tar archive that any tar can open: manifest.json says what the
// database holds and which master key it needs, chancery.db is the database as
// it was at one instant. The archive is written under another name, synced and
// then given its name, so that a file with the name of a backup is one; and
// every copy was read through before. The master key is never in it.
//
// Read is the way back, as far as the file goes: it believes nothing that the
// manifest says before it has counted itself. What must happen to a database
// that was put back, so that nothing works twice and no number is used again,
// is Settle; the record of it (Last) is what the doctor tells people.
//
// A PostgreSQL database is copied by its own tools; Settle is for it too.
package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"chancery/internal/ra"
	"chancery/internal/seal"
	"chancery/internal/store"
)

// Suffix ends the name of a backup.
const Suffix = ".backup"

// Options say what is copied and where to.
type Options struct {
	Database string // address of a SQLite database; a server may work on it meanwhile
	// To is the file to make, or a folder that is there, in which a file is
	// named after the time. Empty: the backup is written to Out.
	To    string
	Out   io.Writer
	Force bool   // a file that is there may be replaced
	By    string // version of the program, for the manifest
	Now   func() time.Time
	// Progress, unless nil, hears of pages copied and pages in all.
	Progress func(done, all int)
}

// Create makes a backup and gives its path, empty when it went to Out, and its
// manifest. While it works it needs room for two copies of the database beside
// the file, or for one in the folder for temporary files and one at Out. When
// it fails nothing is left behind.
//
// A file that is there is a Conflict, a database of another engine Invalid.
func Create(ctx context.Context, o Options) (path string, m Manifest, err error) {
	if _, ok := store.SQLitePath(o.Database); !ok {
		return "", m, ra.Errorf(ra.Invalid, "Only a SQLite database is backed up into a file of Chancery.").WithField("database").
			WithRemedy("Use the tools of the database server.")
	}
	made := o.Now().UTC().Truncate(time.Second)
	folder := os.TempDir()
	if o.To != "" {
		path = o.To
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			path = filepath.Join(path, "chancery-"+made.Format("20060102T150405Z")+Suffix)
		}
		if _, err := os.Lstat(path); err == nil && !o.Force {
			return "", m, taken(path)
		}
		folder = filepath.Dir(path)
	}
	copied, err := os.CreateTemp(folder, ".chancery-*.db") // made with mode 0600
	if err != nil {
		return "", m, noPlace(folder, err)
	}
	defer removeDatabase(copied.Name())
	if err := copied.Close(); err != nil {
		return "", m, noPlace(folder, err)
	}
	if err := store.CopySQLite(ctx, o.Database, copied.Name(), o.Progress); err != nil {
		return "", m, err
	}
	if m, err = describe(ctx, copied.Name()); err != nil {
		return "", m, err
	}
	m.Made, m.By = made, o.By
	if o.To == "" {
		return "", m, noPlace("standard output", pack(o.Out, m, copied.Name()))
	}
	return path, m, place(path, o.Force, m, copied.Name())
}

// describe reads a copy through.
func describe(ctx context.Context, file string) (m Manifest, err error) {
	c, err := store.LookSQLite(ctx, file)
	if err != nil {
		return m, err
	}
	m = Manifest{Format: format, Schema: c.Schema, Certificates: c.Certificates, Requests: c.Requests, AuditEntries: c.AuditEntries, AuditHead: c.AuditHead, LastEntry: c.LastEntry}
	if m.MasterKeys, err = keyNames(c.SealedWith); err != nil {
		return m, err
	}
	f, err := os.Open(file)
	if err != nil {
		return m, err
	}
	defer f.Close()
	h := sha256.New()
	if m.Bytes, err = io.Copy(h, f); err != nil {
		return m, err
	}
	m.SHA256 = hex.EncodeToString(h.Sum(nil))
	return m, nil
}

// Lines tells people about a backup that was made at a path, or at standard
// output when that is empty.
func (m Manifest) Lines(path string) []string {
	if path == "" {
		path = "standard output"
	}
	key := "It needs no master key: nothing in it is sealed."
	if len(m.MasterKeys) > 0 {
		key = "Restoring it needs master key " + strings.Join(m.MasterKeys, ", ") + ", which is not in it: keep a copy of the key file elsewhere."
	}
	return []string{fmt.Sprintf("The backup is in %s: %d KiB, %d certificates, %d audit entries, schema %d.", path, m.Bytes>>10, m.Certificates, m.AuditEntries, m.Schema),
		"SHA-256 of the database: " + m.SHA256, "Audit log ends with:     " + m.AuditHead, key}
}

// keyNames names the keys that sealed values begin with.
func keyNames(prefixes [][]byte) (names []string, err error) {
	for _, p := range prefixes {
		id, ok := seal.KeyOf(p)
		if !ok {
			return nil, ra.Errorf(ra.Invalid, "A sealed value in the database is damaged.").WithRemedy("Run chancery doctor on it, or use another backup.")
		}
		names = append(names, id)
	}
	return names, nil
}

// place writes the archive beside its place and then gives it its name.
func place(path string, force bool, m Manifest, database string) (err error) {
	folder := filepath.Dir(path)
	f, err := os.CreateTemp(folder, ".chancery-*"+Suffix)
	if err != nil {
		return noPlace(folder, err)
	}
	defer os.Remove(f.Name()) // does nothing once it was renamed
	if err := errors.Join(pack(f, m, database), f.Sync(), f.Close()); err != nil {
		return noPlace(folder, err)
	}
	if force {
		err = os.Rename(f.Name(), path)
	} else {
		err = os.Link(f.Name(), path) // unlike a rename, never over what is there
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		return taken(path)
	case err != nil:
		return noPlace(folder, err)
	}
	return noPlace(folder, syncFolder(folder))
}

func taken(path string) error {
	return ra.Errorf(ra.Conflict, "%s is there already.", path).WithRemedy("Choose another name, name a folder, or replace it with --force.")
}

// noPlace is why a file could not be written.
func noPlace(where string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return ra.Errorf(ra.Unreachable, "There is no room for the backup in %s.", where).WithRemedy("Make room there, or choose another place; while a backup is made it needs room for the database twice.").WithCause(err)
	}
	return ra.Errorf(ra.Invalid, "The backup cannot be written to %s.", where).WithRemedy("Choose a folder that is there and that this account may write to.").WithCause(err)
}

func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// removeDatabase removes a SQLite file with what SQLite may have put beside it.
func removeDatabase(path string) {
	for _, end := range []string{"", "-wal", "-shm", "-journal"} {
		os.Remove(path + end)
	}
}

// PostgresAdvice says how a PostgreSQL database is backed up and put back. The
// address comes without its password, which belongs in a password file.
func PostgresAdvice(address string) string {
	return strings.TrimSpace(fmt.Sprintf(`
Run, on a machine with the PostgreSQL client programs:
  pg_dump --format=custom --no-owner --no-privileges --file=chancery.dump --dbname='%[1]s'
To put it back into a new, empty database:
  pg_restore --exit-on-error --single-transaction --no-owner --no-privileges --dbname='postgres://USER@HOST/NEW' chancery.dump
  chancery restore --database 'postgres://USER@HOST/NEW'
The password belongs in ~/.pgpass. Keep a copy of the master key file elsewhere: it is not in the dump.`, address))
}
