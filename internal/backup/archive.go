package backup

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"chancery/internal/ra"
	"chancery/internal/store"
)

// The entries of the archive, in this order and no others.
const (
	manifestName = "manifest.json"
	databaseName = "chancery.db"

	format      = 1
	maxManifest = 64 << 10 // bytes
	maxDatabase = 1 << 42  // bytes, 4 TiB
)

// Manifest says what a backup holds. Whoever reads it learns no secret.
type Manifest struct {
	Format       int       `json:"format"`
	By           string    `json:"program"` // version of the program that made it
	Made         time.Time `json:"made"`
	Schema       int64     `json:"schema"` // version of the database's tables
	Bytes        int64     `json:"bytes"`  // of the database
	SHA256       string    `json:"sha256"` // of the database, hex
	Certificates int64     `json:"certificates"`
	Requests     int64     `json:"requests"`
	AuditEntries int64     `json:"audit_entries"`
	AuditHead    string    `json:"audit_head"` // hash of the last audit entry, hex
	LastEntry    time.Time `json:"last_entry"` // when that was written
	MasterKeys   []string  `json:"master_keys"`
}

// pack writes the archive.
func pack(w io.Writer, m Manifest, database string) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.Open(database)
	if err != nil {
		return err
	}
	defer f.Close()
	t := tar.NewWriter(w)
	header := func(name string, size int64) error {
		return t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: m.Made, Format: tar.FormatPAX})
	}
	if err := header(manifestName, int64(len(text))); err != nil {
		return err
	}
	if _, err := t.Write(text); err != nil {
		return err
	}
	if err := header(databaseName, m.Bytes); err != nil {
		return err
	}
	if _, err := io.Copy(t, f); err != nil {
		return err
	}
	return t.Close()
}

// Read reads a backup: the manifest is shown to accept first, and unless that
// says no the database is written to a new file. What is given back was held
// against the database itself. Nothing is left at the file after an error.
//
// Invalid is a file that is no backup, is damaged or cut short, or was made by a
// newer program.
func Read(ctx context.Context, r io.Reader, to string, accept func(Manifest) error) (Manifest, error) {
	t := tar.NewReader(r)
	m, err := readManifest(t)
	if err != nil {
		return m, err
	}
	if err := accept(m); err != nil {
		return m, err
	}
	if err := extract(ctx, t, m, to); err != nil {
		removeDatabase(to)
		return m, err
	}
	return m, nil
}

func readManifest(t *tar.Reader) (m Manifest, err error) {
	h, err := t.Next()
	if err != nil || h.Name != manifestName || h.Typeflag != tar.TypeReg || h.Size > maxManifest {
		return m, notOne(err)
	}
	text, err := io.ReadAll(t)
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		return m, notOne(err)
	}
	switch {
	case m.Format != format || m.Schema > store.NewestSchema():
		return m, ra.Errorf(ra.Invalid, "The backup was made by a newer version of Chancery (%q, schema %d; this program knows %d).", m.By, m.Schema, store.NewestSchema()).
			WithRemedy("Restore it with that version or a later one.")
	case m.Schema < 1 || m.Bytes < 0 || m.Bytes > maxDatabase:
		return m, damaged(errors.New("figures that cannot be"))
	}
	return m, nil
}

// extract writes the database to a file that did not exist, and reads it
// through.
func extract(ctx context.Context, t *tar.Reader, m Manifest, to string) error {
	h, err := t.Next()
	if err != nil || h.Name != databaseName || h.Typeflag != tar.TypeReg || h.Size != m.Bytes {
		return damaged(err)
	}
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return noPlaceFor(to, err)
	}
	sum := sha256.New()
	read := &faulty{r: t}
	_, err = io.Copy(io.MultiWriter(f, sum), read)
	if err = errors.Join(err, f.Sync(), f.Close()); read.err != nil {
		return damaged(read.err)
	} else if err != nil {
		return noPlaceFor(to, err)
	}
	if hex.EncodeToString(sum.Sum(nil)) != m.SHA256 {
		return damaged(errors.New("the checksum does not match"))
	}
	if _, err := t.Next(); err != io.EOF {
		return damaged(err)
	}
	found, err := describe(ctx, to)
	if err != nil {
		return err
	}
	found.Format, found.By, found.Made = m.Format, m.By, m.Made
	if !same(found, m) {
		return damaged(errors.New("the database is not the one the manifest describes"))
	}
	return nil
}

func same(a, b Manifest) bool {
	slices.Sort(a.MasterKeys)
	slices.Sort(b.MasterKeys)
	return slices.Equal(a.MasterKeys, b.MasterKeys) && a.Schema == b.Schema && a.Bytes == b.Bytes && a.SHA256 == b.SHA256 && a.Certificates == b.Certificates &&
		a.Requests == b.Requests && a.AuditEntries == b.AuditEntries && a.AuditHead == b.AuditHead && a.LastEntry.Equal(b.LastEntry)
}

// faulty tells an error of reading from one of writing.
type faulty struct {
	r   io.Reader
	err error
}

func (f *faulty) Read(b []byte) (int, error) {
	n, err := f.r.Read(b)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}

func notOne(err error) error {
	return ra.Errorf(ra.Invalid, "This is not a backup of Chancery.").WithRemedy("Name a file that chancery backup made.").WithCause(err)
}

func damaged(err error) error {
	return ra.Errorf(ra.Invalid, "The backup is damaged or was cut short.").WithRemedy("Fetch it again, or use another backup.").WithCause(err)
}

func noPlaceFor(path string, err error) error {
	return ra.Errorf(ra.Invalid, "The database cannot be put into %s.", filepath.Dir(path)).WithField("data").
		WithRemedy("Choose a folder with room that this account may write to.").WithCause(err)
}
