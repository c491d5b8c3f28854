package store

import (
	"time"

	"chancery/internal/ra"
)

type challengeRow struct {
	ID         string `db:"id"`
	Hash       string `db:"hash"`
	EndpointID string `db:"endpoint_id"`
	TemplateID string `db:"template_id"`
	DeviceID   string `db:"device_id"`
	MaxUses    int64  `db:"max_uses"`
	Uses       int64  `db:"uses"`
	ExpiresAt  int64  `db:"expires_at"`
	RequestID  string `db:"request_id"`
	CreatedBy  string `db:"created_by"`
	timesRow
}

func toChallenge(c *ra.Challenge) challengeRow {
	return challengeRow{
		ID: string(c.ID), Hash: c.Hash, EndpointID: string(c.EndpointID), TemplateID: string(c.TemplateID), DeviceID: string(c.DeviceID),
		MaxUses: int64(c.MaxUses), Uses: int64(c.Uses), ExpiresAt: millis(c.ExpiresAt), RequestID: string(c.RequestID),
		CreatedBy: c.CreatedBy, timesRow: toTimes(c.Times),
	}
}

func (r *challengeRow) noun() (*ra.Challenge, error) {
	return &ra.Challenge{
		ID: ra.ChallengeID(r.ID), Hash: r.Hash, EndpointID: ra.EndpointID(r.EndpointID), TemplateID: ra.TemplateID(r.TemplateID),
		DeviceID: ra.DeviceID(r.DeviceID), MaxUses: int(r.MaxUses), Uses: int(r.Uses), ExpiresAt: instant(r.ExpiresAt),
		RequestID: ra.RequestID(r.RequestID), CreatedBy: r.CreatedBy, Times: r.timesRow.noun(),
	}, nil
}

// CreateChallenge stores a new challenge.
func (tx *Tx) CreateChallenge(c *ra.Challenge) error {
	c.CreatedAt, c.UpdatedAt = tx.Now, tx.Now
	row := toChallenge(c)
	return tx.insert("challenges", &row)
}

// DeleteChallenge deletes a challenge.
func (tx *Tx) DeleteChallenge(id ra.ChallengeID) error { return tx.remove("challenges", string(id)) }

// Challenge loads a challenge.
func (tx *Tx) Challenge(id ra.ChallengeID) (*ra.Challenge, error) {
	return tx.challenge("id = $1", string(id))
}

// ChallengeByHash loads the challenge whose secret has a hash.
func (tx *Tx) ChallengeByHash(hash string) (*ra.Challenge, error) {
	return tx.challenge("hash = $1", hash)
}

// ChallengeOf gives the challenge that a request used.
func (tx *Tx) ChallengeOf(id ra.RequestID) (*ra.Challenge, error) {
	return tx.challenge("request_id = $1 AND request_id <> ''", string(id))
}

func (tx *Tx) challenge(where string, args ...any) (*ra.Challenge, error) {
	var row challengeRow
	if err := tx.get("challenges", &row, where, args...); err != nil {
		return nil, err
	}
	return row.noun()
}

// UseChallenge spends one use of a challenge for a request. However many try
// at once, no more than MaxUses succeed; a spent or expired challenge is a
// Conflict.
func (tx *Tx) UseChallenge(id ra.ChallengeID, request ra.RequestID) error {
	n, err := tx.exec("UPDATE challenges SET uses = uses + 1, request_id = $2, updated_at = $3 WHERE id = $1 AND uses < max_uses AND expires_at > $3",
		string(id), string(request), millis(tx.Now))
	if err != nil || n == 1 {
		return err
	}
	if _, err := tx.Challenge(id); err != nil {
		return err
	}
	return ra.Errorf(ra.Conflict, "This challenge is spent or has expired.").
		WithRemedy("Make a new challenge for the device.")
}

// ReleaseChallenge gives back the use of the challenge a request consumed last,
// if there is one.
func (tx *Tx) ReleaseChallenge(request ra.RequestID) error {
	_, err := tx.exec("UPDATE challenges SET uses = uses - 1, request_id = '', updated_at = $2 WHERE request_id = $1 AND request_id <> '' AND uses > 0",
		string(request), millis(tx.Now))
	return err
}

// ChallengeFilter narrows a list of challenges; empty fields do not.
type ChallengeFilter struct {
	Device   ra.DeviceID
	Endpoint ra.EndpointID
	OpenOnly bool // neither spent nor expired
	Page
}

// FindChallenges lists challenges, newest first.
func (tx *Tx) FindChallenges(f ChallengeFilter) ([]*ra.Challenge, string, error) {
	w := &where{}
	w.equal("device_id", string(f.Device))
	w.equal("endpoint_id", string(f.Endpoint))
	if f.OpenOnly {
		w.add("uses < max_uses AND expires_at > ?", millis(tx.Now))
	}
	return find[ra.Challenge, challengeRow](tx, "challenges", w, f.Page, sorting{"": {"id", true}})
}

// SweepChallenges deletes challenges that expired before an instant and tells
// how many.
func (tx *Tx) SweepChallenges(before time.Time) (int64, error) {
	return tx.exec("DELETE FROM challenges WHERE expires_at < $1", millis(before))
}
