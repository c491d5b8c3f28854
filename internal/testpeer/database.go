package testpeer

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// prepared is what the databases of this test process begin with, see [Main].
var prepared prepare

type prepare struct {
	steps []func(address string) error

	once sync.Once // of the SQLite file
	file []byte    // nil without steps
	err  error
}

// run prepares the database at the address.
func (p *prepare) run(address string) error {
	for _, step := range p.steps {
		if err := step(address); err != nil {
			return err
		}
	}
	return nil
}

// sqlite gives the content of a prepared file.
func (p *prepare) sqlite() ([]byte, error) {
	p.once.Do(func() {
		if len(p.steps) == 0 {
			return
		}
		dir, err := os.MkdirTemp("", "chancery-sqlite-")
		if err != nil {
			p.err = err
			return
		}
		defer os.RemoveAll(dir)
		path := filepath.Join(dir, "chancery.db")
		if p.err = p.run("sqlite:" + path); p.err == nil {
			p.file, p.err = closedFile(path)
		}
	})
	return p.file, p.err
}

// closedFile reads a SQLite file that nobody has open: without a log beside it.
func closedFile(path string) ([]byte, error) {
	if log, err := os.Stat(path + "-wal"); err == nil && log.Size() > 0 {
		return nil, errors.New("the prepared SQLite database is still open")
	}
	return os.ReadFile(path)
}

// SQLite gives the address of a database of this test, "sqlite:" and a path:
// of a file that does not exist yet, or of a prepared one, see [Main].
func SQLite(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "chancery.db")
	file, err := prepared.sqlite()
	if err == nil && file != nil {
		err = os.WriteFile(path, file, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return "sqlite:" + path
}

// EachDatabase runs a subtest on each engine the product supports. The name is
// "sqlite" or "postgres", and that of the subtest; the address is that of an
// empty database or of a prepared one, as [SQLite] and [Postgres] give it.
func EachDatabase(t *testing.T, test func(t *testing.T, name, address string)) {
	t.Run("sqlite", func(t *testing.T) {
		test(t, "sqlite", SQLite(t))
	})
	t.Run("postgres", func(t *testing.T) {
		test(t, "postgres", Postgres(t))
	})
}
