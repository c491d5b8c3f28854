package lifecycle

import (
	"context"
	"time"

	"chancery/internal/store"
)

// TidyJob removes what has served its time: used or expired links, ended
// sessions, challenges nobody can use any more, and the marks of clients that
// have long stopped polling. It also looks whether a bulk revocation was left.
type TidyJob struct{}

// Kind is the stable name of the job.
func (TidyJob) Kind() string { return "lifecycle.tidy" }

const (
	tidyEvery = time.Hour
	// keepChallenges and keepBearers are how long a spent challenge and the
	// mark of a polling client are kept: longer than any client polls, and
	// long enough to look into what happened.
	keepChallenges = 30 * 24 * time.Hour
	keepBearers    = 90 * 24 * time.Hour
	// keepExperience is how long it is known how calls to an authority went.
	keepExperience = 60 * 24 * time.Hour
)

// Tidy runs the job.
func (s *Service) Tidy(ctx context.Context, _ TidyJob) error {
	removed := map[string]int64{}
	for _, sweep := range []struct {
		what string
		do   func(*store.Tx) (int64, error)
	}{
		{"links", func(tx *store.Tx) (int64, error) { return tx.SweepLinks(tx.Now) }},
		{"sessions", func(tx *store.Tx) (int64, error) { return tx.SweepSessions() }},
		{"challenges", func(tx *store.Tx) (int64, error) { return tx.SweepChallenges(tx.Now.Add(-keepChallenges)) }},
		{"experience", func(tx *store.Tx) (int64, error) { return tx.SweepExperience(tx.Now.Add(-keepExperience)) }},
		{"bearers", func(tx *store.Tx) (int64, error) { return tx.SweepBearers(tx.Now.Add(-keepBearers)) }},
	} {
		err := s.DB.Write(ctx, func(tx *store.Tx) error {
			n, err := sweep.do(tx)
			removed[sweep.what] = n
			return err
		})
		if err != nil {
			return err
		}
	}
	s.Log.Debug("tidied up", "removed", removed)
	return s.resumeBulks(ctx)
}
