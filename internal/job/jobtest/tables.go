// Package jobtest makes the tables of a database once for all tests of a
// package, which get copies of it:
//
//	func TestMain(m *testing.M) { testpeer.Main(m, jobtest.Tables) }
package jobtest

import (
	"context"
	"errors"

	"chancery/internal/job"
	"chancery/internal/store"
)

// Tables opens the database at the address as the server does, which brings the
// tables of the nouns and of the jobs up to date, and closes it again.
func Tables(address string) error {
	ctx := context.Background()
	db, err := store.Open(ctx, address, nil)
	if err != nil {
		return err
	}
	_, err = job.Open(ctx, db, job.Options{})
	return errors.Join(err, db.Close())
}
