package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"chancery/internal/backup"
	"chancery/internal/ra"
	"chancery/internal/seal"
	"chancery/internal/store"
)

// BackupOptions say where a backup goes.
type BackupOptions struct {
	To       string // file or folder; empty: Out
	Out      io.Writer
	Force    bool // a file that is there may be replaced
	Progress func(done, all int)
}

// Backup makes a backup of the database that cfg names, whether or not a server
// works on it. Nothing is opened, made or brought up to date. For PostgreSQL it
// is a Conflict that says what to run instead.
func Backup(ctx context.Context, cfg Config, o BackupOptions) (path string, m backup.Manifest, err error) {
	cfg.settle()
	if _, ok := store.SQLitePath(cfg.Database); !ok {
		return "", m, ra.Errorf(ra.Conflict, "A PostgreSQL database is backed up by PostgreSQL's own tools.").WithField("database").
			WithRemedy("%s", backup.PostgresAdvice(withoutPassword(cfg.Database)))
	}
	return backup.Create(ctx, backup.Options{Database: cfg.Database, To: o.To, Out: o.Out, Force: o.Force, By: Version, Now: cfg.Now, Progress: o.Progress})
}

func withoutPassword(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.User == nil {
		return "postgres://USER@HOST/DATABASE"
	}
	u.User = url.User(u.User.Username())
	q := u.Query()
	q.Del("password")
	u.RawQuery = q.Encode()
	return u.String()
}

// RestoreOptions say what is put back.
type RestoreOptions struct {
	// From is a backup file, or "-" for In. Empty means that the database was
	// put back already by other means (pg_restore, a snapshot of the disk), and
	// only what must happen then is done.
	From    string
	In      io.Reader
	Replace bool // a database that is there may be moved aside
}

// RestoreReport tells what Restore did.
type RestoreReport struct {
	Database string           `json:"database"`         // path or address without a password
	Backup   *backup.Manifest `json:"backup,omitempty"` // of the file it came from
	Moved    string           `json:"moved,omitempty"`  // where the former database is now
	Entries  int64            `json:"audit_entries"`    // of the audit log, all of them checked
	Restored backup.Restored  `json:"restored"`         // what was put an end to
	KeyFile  string           `json:"master_key"`       // the file that opens its secrets
}

// Restore puts a database back and makes it safe to use. A backup is unpacked
// beside its place and gets there only after everything was checked: checksum,
// schema, master key, audit chain, and that every authority opens. So a
// failure leaves what was there as it was. No server may run on the data
// folder.
//
// A database that is there is a Conflict unless o.Replace; a missing master key
// is NotFound, one that does not fit Conflict, a backup that cannot be used
// Invalid.
func Restore(ctx context.Context, cfg Config, o RestoreOptions) (report RestoreReport, err error) {
	cfg.settle()
	if info, err := os.Stat(cfg.MasterKey); err != nil || info.IsDir() {
		return report, ra.Errorf(ra.NotFound, "There is no master key at %s.", cfg.MasterKey).WithField("master_key").
			WithRemedy("Put the master key file of that installation there first, or name it with --master-key: it is in no backup.").WithCause(err)
	}
	lock, err := lockData(cfg.Data)
	if err != nil {
		return report, err
	}
	defer lock.Close()
	report.KeyFile = cfg.MasterKey
	target, isFile := store.SQLitePath(cfg.Database)
	if o.From == "" {
		report.Database = target
		if !isFile {
			report.Database = withoutPassword(cfg.Database)
		} else if _, err := os.Stat(target); errors.Is(err, fs.ErrNotExist) {
			return report, ra.Errorf(ra.NotFound, "There is no database at %s.", target).WithField("database").WithRemedy("Name a backup to put there: chancery restore FILE.")
		}
		return report, settle(ctx, cfg, &report)
	}
	if !isFile {
		return report, ra.Errorf(ra.Invalid, "A backup file goes into a SQLite database only.").WithField("database").
			WithRemedy("Use pg_restore for PostgreSQL, and then chancery restore without a file.")
	}
	report.Database = target
	if _, err := os.Lstat(target); err == nil && !o.Replace {
		return report, ra.Errorf(ra.Conflict, "There is a database at %s already.", target).WithField("data").
			WithRemedy("Choose an empty folder with --data, or move the present database aside with --replace.")
	}
	return report, restoreFile(ctx, cfg, o, target, &report)
}

// restoreFile unpacks, checks and settles beside the place, and moves it there
// at last.
func restoreFile(ctx context.Context, cfg Config, o RestoreOptions, target string, report *RestoreReport) (err error) {
	if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
		return ra.Errorf(ra.Invalid, "The folder of the database cannot be made.").WithField("data").WithRemedy("Choose a folder this account may write to.").WithCause(err)
	}
	in := o.In
	if o.From != "-" {
		f, err := os.Open(o.From)
		if err != nil {
			return ra.Errorf(ra.NotFound, "The backup %s cannot be read.", o.From).WithRemedy("Check that it exists and that you may read it.").WithCause(err)
		}
		defer f.Close()
		in = f
	}
	staged := target + ".restoring"
	removeSQLite(staged)       // of an earlier try that was cut off
	defer removeSQLite(staged) // nothing is there once it was moved
	m, err := backup.Read(ctx, in, staged, func(m backup.Manifest) error { return fits(cfg.MasterKey, m) })
	if err != nil {
		return err
	}
	report.Backup = &m
	beside := cfg
	beside.Database = "sqlite:" + staged
	if err := settle(ctx, beside, report); err != nil {
		return err
	}
	if _, err := os.Stat(staged + "-wal"); err == nil {
		return ra.Errorf(ra.Conflict, "Another process has %s open.", staged).WithRemedy("End it and try again.")
	}
	if report.Moved, err = moveAside(target, cfg.Now()); err != nil {
		return err
	}
	return os.Rename(staged, target)
}

// fits asks whether a master key file opens what a backup holds.
func fits(path string, m backup.Manifest) error {
	box, err := seal.Open(path)
	if err != nil {
		return err
	}
	for _, id := range m.MasterKeys {
		if !box.Holds(id) {
			return ra.Errorf(ra.Conflict, "The backup needs master key %s, and the key in %s is %s.", id, path, box.KeyID()).WithField("master_key").
				WithRemedy("Put the right file there, or name it with --master-key.")
		}
	}
	return nil
}

// settle opens a database that was put back, checks it and makes it safe.
func settle(ctx context.Context, cfg Config, report *RestoreReport) (err error) {
	a, err := Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.closeParts()) }()
	actor := localActor()
	found, err := a.Audit.Verify(ctx, actor)
	if err != nil {
		return err
	}
	if found.Problem != "" {
		return ra.Errorf(ra.Invalid, "The audit log in it is broken: %s", found.Problem).WithRemedy("Somebody changed it before the backup was made. Use an earlier backup.")
	}
	report.Entries = found.Entries
	from, err := a.lastKnown(ctx)
	if err != nil {
		return err
	}
	if report.Backup != nil {
		from = report.Backup.Made
	}
	if now := cfg.Now(); now.Before(from) {
		return ra.Errorf(ra.Conflict, "The clock says %s, and the database is of %s.", now.UTC().Format(time.RFC3339), from.UTC().Format(time.RFC3339)).
			WithRemedy("Set the clock right first: what is signed now must not look older than what was signed before.")
	}
	if err := a.openAuthorities(ctx); err != nil {
		return err
	}
	r := backup.Restored{From: from}
	if r.Answered, r.Ended, r.Left, err = a.Enroll.Restored(ctx); err != nil {
		return err
	}
	return a.DB.Write(ctx, func(tx *store.Tx) error {
		report.Restored, err = backup.Settle(tx, actor, r)
		return err
	})
}

// lastKnown is the latest moment the database speaks of.
func (a *App) lastKnown(ctx context.Context) (at time.Time, err error) {
	err = a.DB.Read(ctx, func(tx *store.Tx) error {
		at, err = tx.Seen()
		return err
	})
	return at, err
}

// openAuthorities opens every authority whose keys are sealed: the proof that
// the master key is the right one.
func (a *App) openAuthorities(ctx context.Context) error {
	var all []*ra.Authority
	if err := a.DB.Read(ctx, func(tx *store.Tx) (err error) {
		all, err = tx.AllAuthorities()
		return err
	}); err != nil {
		return err
	}
	for _, one := range all {
		if _, err := a.Authorities.Reach(ctx, one.ID); err != nil {
			e := *ra.AsError(err)
			e.Message = fmt.Sprintf("The authority %q does not open: %s", one.Name, e.Message)
			e.Remedy = cmp.Or(e.Remedy, "Check the master key and the key store it uses.")
			return &e
		}
	}
	return nil
}

// moveAside gives the database that is there another name, with what SQLite
// keeps beside it.
func moveAside(target string, now time.Time) (moved string, err error) {
	if _, err := os.Lstat(target); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	moved = target + ".before-" + now.UTC().Format("20060102T150405Z")
	for _, end := range []string{"-wal", "-shm", ""} {
		if err := os.Rename(target+end, moved+end); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", ra.Errorf(ra.Invalid, "The present database cannot be moved aside.").WithField("data").
				WithRemedy("Check that this account may write to its folder; the files may have to be moved back from %s.", moved).WithCause(err)
		}
	}
	return moved, nil
}

func removeSQLite(path string) {
	for _, end := range []string{"", "-wal", "-shm", "-journal"} {
		os.Remove(path + end)
	}
}

// Lines tells people what a restore did, a line for each thing.
func (r RestoreReport) Lines() []string {
	s := r.Restored.Settled
	out := []string{fmt.Sprintf("The database %s is as it was at %s.", r.Database, r.Restored.From.UTC().Format(time.RFC3339))}
	if r.Moved != "" {
		out = append(out, "The former one was moved to "+r.Moved+".")
	}
	out = append(out, fmt.Sprintf("Checked: the audit log (%d entries), the master key, every authority.", r.Entries),
		fmt.Sprintf("Ended, because they may have been used since: %d challenges, %d links, %d sessions.", s.Challenges, s.Links, s.Sessions),
		fmt.Sprintf("Requests that were under way: %d answered, %d ended, %d to be looked up.", r.Restored.Answered, r.Restored.Ended, r.Restored.Left),
		fmt.Sprintf("Revocation lists that go on above every published number: %d.", s.CRLs))
	return slices.Concat(out, strings.Split(strings.TrimSpace(gap), "\n"))
}

// gap is what nobody can know after a restore.
const gap = `
Not known here is what happened since: certificates that were issued (OCSP says unknown; have those devices enrol again), revocations (revoke again),
and tokens and administrators that were removed (look through chancery token list and chancery admin list).`
