package signin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"

	"chancery/internal/audit"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// Lives of a console session.
const (
	SessionIdle = 12 * time.Hour
	SessionLife = 7 * 24 * time.Hour
)

// What a session keeps about who is signed in.
const (
	adminKey = "admin"
	stampKey = "admin_stamp"
)

// Sessions gives the console's cookie sessions, kept in the database. Where the
// console is reached by https the cookie is bound to this very host and to
// https (the __Host- prefix of RFC 6265bis §4.1.3.2).
func (s *Service) Sessions() *scs.SessionManager {
	m := scs.New()
	m.Store = s.DB.Sessions()
	m.IdleTimeout = SessionIdle
	m.Lifetime = SessionLife
	m.Cookie.Name = "chancery"
	m.Cookie.HttpOnly = true
	m.Cookie.SameSite = http.SameSiteLaxMode
	m.Cookie.Path = "/"
	if strings.HasPrefix(strings.ToLower(s.PublicURL), "https://") {
		m.Cookie.Secure = true
		m.Cookie.Name = "__Host-chancery"
	}
	m.ErrorFunc = func(w http.ResponseWriter, r *http.Request, err error) {
		s.Log.Error("a session could not be read or stored", "error", err)
		http.Error(w, "The session could not be read or stored. Try again in a moment.", http.StatusInternalServerError)
	}
	return m
}

// StartSession makes the session in ctx that of an administrator who has just
// signed in or changed the password, under a new token so that nobody else
// knows it. Other sessions of somebody whose password changed are over.
func (s *Service) StartSession(ctx context.Context, m *scs.SessionManager, a *ra.Admin) error {
	if err := m.RenewToken(ctx); err != nil {
		return err
	}
	var now string
	if err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		now, err = stamp(tx, a)
		return err
	}); err != nil {
		return err
	}
	m.Put(ctx, adminKey, string(a.ID))
	m.Put(ctx, stampKey, now)
	return nil
}

// SessionActor gives the actor of the session in ctx, with the grants of this
// moment. Nobody, and one who was deleted, disabled, given another password or
// lost a passkey meanwhile, is Unsigned.
func (s *Service) SessionActor(ctx context.Context, m *scs.SessionManager, remote string) (ra.Actor, error) {
	id := m.GetString(ctx, adminKey)
	if id == "" {
		return ra.Actor{}, unsigned()
	}
	actor, now, err := s.actorFor(ctx, ra.AdminID(id), remote)
	if err != nil {
		return ra.Actor{}, err
	}
	if subtle.ConstantTimeCompare([]byte(m.GetString(ctx, stampKey)), []byte(now)) != 1 {
		return ra.Actor{}, unsigned()
	}
	return actor, nil
}

// EndSession signs the administrator of the session in ctx out.
func (s *Service) EndSession(ctx context.Context, m *scs.SessionManager, remote string) error {
	actor, err := s.SessionActor(ctx, m, remote)
	if err == nil {
		err = s.DB.Write(ctx, func(tx *store.Tx) error {
			return audit.Record(tx, audit.Entry{Code: audit.AdminSignedOut, Actor: actor, Object: actor.ID, Message: actor.Name + " signed out."})
		})
	}
	if err != nil && ra.KindOf(err) != ra.Unsigned {
		return err
	}
	return m.Destroy(ctx)
}

// stamp changes with the password, and whenever sessions are to end without
// that: whoever has no password must be signed out, too.
func stamp(tx *store.Tx, a *ra.Admin) (string, error) {
	text := "session stamp\n" + a.PasswordHash
	ended, err := tx.Fact(endedFact(a.ID))
	switch {
	case err == nil:
		text += "\n" + ended
	case ra.KindOf(err) != ra.NotFound:
		return "", err
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16]), nil
}

// endedFact names the fact that is another each time the sessions of an
// administrator end.
func endedFact(id ra.AdminID) string { return "sessions ended " + string(id) }

// signOut ends what lets an administrator in without being asked again: all
// sessions and unused links.
func signOut(tx *store.Tx, id ra.AdminID) error {
	if err := tx.PutFact(endedFact(id), rand.Text()); err != nil {
		return err
	}
	return dropLinks(tx, id)
}
