// Package inventory keeps what certificates are for: the tree of organization
// groups, the users in it, and their devices.
//
// Groups scope everything: a right in a group is a right in all groups below
// it, and a setting left empty is taken from the group above. A user is known
// by name within a group, a device by its platform ID within an organization
// (the root of a tree), and neither crosses from one organization to another.
// Whoever may not see a group does not learn that something is in it: NotFound.
//
// Users and devices also come and go in bulk as CSV (import.go, export.go).
// The package knows nothing of certificates but whether some are still in use;
// what has to happen to them is told to it by two hooks.
package inventory

import (
	"context"
	"log/slog"
	"time"

	"chancery/internal/ra"
	"chancery/internal/store"
)

// Service is the capability. Fill the fields, then use it; it is safe for
// concurrent use.
type Service struct {
	DB  *store.DB
	Now func() time.Time
	Log *slog.Logger

	// OnUnenrol and OnDelete take part in the transaction that unenrols or
	// deletes a device, before the row changes; an error stops both. They may
	// be nil and may run more than once for one act.
	OnUnenrol func(tx *store.Tx, actor ra.Actor, d *ra.Device) error
	OnDelete  func(tx *store.Tx, actor ra.Actor, d *ra.Device) error
}

// organization gives the root of a group's tree.
func organization(tx *store.Tx, id ra.GroupID) (ra.GroupID, error) {
	g, err := tx.Organization(id)
	if err != nil {
		return "", err
	}
	return g.ID, nil
}

// read runs f and gives what it gives.
func read[T any](ctx context.Context, db *store.DB, f func(tx *store.Tx) (T, error)) (out T, err error) {
	err = db.Read(ctx, func(tx *store.Tx) error {
		out, err = f(tx)
		return err
	})
	return out, err
}

// write runs f and gives what it gives.
func write[T any](ctx context.Context, db *store.DB, f func(tx *store.Tx) (T, error)) (out T, err error) {
	err = db.Write(ctx, func(tx *store.Tx) error {
		out, err = f(tx)
		return err
	})
	return out, err
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}
