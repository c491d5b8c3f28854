package testpeer

import (
	"path/filepath"
	"testing"
)

// EachDatabase runs a subtest on each engine the product supports. The name is
// "sqlite" or "postgres", and that of the subtest; the address is that of an
// empty database: "sqlite:" and the path of a file that does not exist yet, or
// a postgres:// URL.
func EachDatabase(t *testing.T, test func(t *testing.T, name, address string)) {
	t.Run("sqlite", func(t *testing.T) {
		test(t, "sqlite", "sqlite:"+filepath.Join(t.TempDir(), "chancery.db"))
	})
	t.Run("postgres", func(t *testing.T) {
		test(t, "postgres", Postgres(t))
	})
}
