package inventory

import (
	"chancery/internal/ra"
	"chancery/internal/store"
)

// NewUser gives a user who is not stored yet, for PlanUser and SaveUser.
func NewUser(tx *store.Tx) *ra.User { return newUser(tx) }

// PlanUser takes an input into u, new or loaded, in the caller's transaction,
// with the rules of CreateUser and UpdateUser. It stores nothing.
func PlanUser(tx *store.Tx, actor ra.Actor, u *ra.User, in UserInput) error {
	return planUser(tx, actor, u, in)
}

// UserDiffers reports whether SaveUser would change anything.
func UserDiffers(before, after *ra.User) bool { return len(userChanges(before, after)) > 0 }

// SaveUser stores a planned user, with its line in the audit log. before is as
// it was loaded, nil for a new one.
func SaveUser(tx *store.Tx, actor ra.Actor, before, u *ra.User) error {
	if before == nil {
		return createUser(tx, actor, u)
	}
	_, err := updateUser(tx, actor, before, u)
	return err
}
