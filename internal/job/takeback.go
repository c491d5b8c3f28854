package job

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivertype"

	"chancery/internal/store"
)

const (
	// maxRunning bounds how many running jobs of all nodes are looked at.
	maxRunning = 10_000
	// leadershipTopic is where river announces a change of leader.
	leadershipTopic = "river_leadership"
)

// takeBack frees what an earlier life of this node held when it was killed:
// its running jobs become due again, or are given up when that was their last
// attempt, and its leadership ends. River by itself would wait for the time
// limit of the jobs and for the end of the leader's term.
func (q *Queue) takeBack(ctx context.Context, d *driver) error {
	if q.o.Node == "" {
		return nil
	}
	return q.db.Write(ctx, func(tx *store.Tx) error {
		exec := d.UnwrapExecutor(tx.SQL())
		endOfTime := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
		ours := func(j *rivertype.JobRow) bool { return q.wasUs(holder(j)) }
		if err := q.free(ctx, tx, exec, endOfTime, "The node was killed while the job ran.", ours); err != nil {
			return err
		}
		leader, err := exec.LeaderGetElectedLeader(ctx, &riverdriver.LeaderGetElectedLeaderParams{})
		if errors.Is(err, rivertype.ErrNotFound) || err == nil && !q.wasUs(leader.LeaderID) {
			return nil
		}
		if err != nil {
			return err
		}
		_, err = exec.LeaderResign(ctx, &riverdriver.LeaderResignParams{LeaderID: leader.LeaderID, LeadershipTopic: leadershipTopic})
		return err
	})
}

// holder names who runs a job, or ran it last.
func holder(j *rivertype.JobRow) string {
	if len(j.AttemptedBy) == 0 {
		return ""
	}
	return j.AttemptedBy[len(j.AttemptedBy)-1]
}

// free makes those running jobs due again, or gives them up when that was their
// last attempt, that began before an instant and that which picks.
func (q *Queue) free(ctx context.Context, tx *store.Tx, exec riverdriver.Executor, before time.Time, why string, which func(*rivertype.JobRow) bool) error {
	running, err := exec.JobGetStuck(ctx, &riverdriver.JobGetStuckParams{Max: maxRunning, StuckHorizon: before})
	if err != nil {
		return err
	}
	var back riverdriver.JobRescueManyParams
	for _, j := range running {
		if !which(j) {
			continue
		}
		entry, err := json.Marshal(rivertype.AttemptError{At: tx.Now, Attempt: j.Attempt, Error: why})
		if err != nil {
			return err
		}
		state, finalized := rivertype.JobStateAvailable, (*time.Time)(nil)
		if j.Attempt >= j.MaxAttempts {
			state, finalized = rivertype.JobStateDiscarded, &tx.Now
		}
		q.log.WarnContext(ctx, "job was cut off", "kind", j.Kind, "job", j.ID, "attempt", j.Attempt, "state", state)
		back.ID = append(back.ID, j.ID)
		back.Error = append(back.Error, entry)
		back.FinalizedAt = append(back.FinalizedAt, finalized)
		back.ScheduledAt = append(back.ScheduledAt, j.ScheduledAt)
		back.State = append(back.State, string(state))
	}
	if len(back.ID) == 0 {
		return nil
	}
	_, err = exec.JobRescueMany(ctx, &back)
	return err
}

// wasUs reports whether clientID gave this node that name in an earlier life.
func (q *Queue) wasUs(id string) bool {
	i := strings.LastIndexByte(id, '/')
	return i >= 0 && id[:i] == q.o.Node
}
