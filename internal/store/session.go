package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"time"
)

// SessionStore keeps console sessions; it is a CtxStore for the session library
// scs and safe for concurrent use. Of a session's token it keeps the SHA-256
// only, so that the database opens no session.
type SessionStore struct{ db *DB }

// Sessions gives the store of console sessions.
func (db *DB) Sessions() *SessionStore { return &SessionStore{db} }

// FindCtx gives the data of a session; found is false when there is none or it
// has expired.
func (s *SessionStore) FindCtx(ctx context.Context, token string) (data []byte, found bool, err error) {
	err = s.db.Read(ctx, func(tx *Tx) error {
		return tx.x.GetContext(ctx, &data, "SELECT data FROM sessions WHERE hash = $1 AND expires_at > $2", sessionHash(token), millis(tx.Now))
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	return data, err == nil, err
}

// CommitCtx stores a session over what was there.
func (s *SessionStore) CommitCtx(ctx context.Context, token string, data []byte, expiry time.Time) error {
	return s.db.Write(ctx, func(tx *Tx) error {
		_, err := tx.exec("INSERT INTO sessions (hash, data, expires_at) VALUES ($1, $2, $3) ON CONFLICT (hash) DO UPDATE SET data = excluded.data, expires_at = excluded.expires_at",
			sessionHash(token), blob(data), millis(expiry))
		return err
	})
}

// DeleteCtx deletes a session, if there is one.
func (s *SessionStore) DeleteCtx(ctx context.Context, token string) error {
	return s.db.Write(ctx, func(tx *Tx) error {
		_, err := tx.exec("DELETE FROM sessions WHERE hash = $1", sessionHash(token))
		return err
	})
}

// Find is FindCtx without a context.
func (s *SessionStore) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

// Commit is CommitCtx without a context.
func (s *SessionStore) Commit(token string, data []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, data, expiry)
}

// Delete is DeleteCtx without a context.
func (s *SessionStore) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }

// SweepSessions deletes expired sessions and tells how many.
func (tx *Tx) SweepSessions() (int64, error) {
	return tx.exec("DELETE FROM sessions WHERE expires_at <= $1", millis(tx.Now))
}

func sessionHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
