package job

import (
	"context"
	"sync"
	"time"

	"github.com/riverqueue/river/rivertype"

	"chancery/internal/store"
)

const (
	// lostAfter is how long ago a job was taken that its row calls running and
	// nobody here runs. River tries for up to 37 s to write how a job ended.
	lostAfter = 45 * time.Second
	// lostEvery is how often such jobs are looked for.
	lostEvery = 15 * time.Second
)

// rollCall knows which jobs run in this process.
type rollCall struct {
	mu      sync.Mutex
	running map[int64]bool
}

func (r *rollCall) begin(id int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running == nil {
		r.running = map[int64]bool{}
	}
	r.running[id] = true
}

func (r *rollCall) end(id int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.running, id)
}

func (r *rollCall) has(id int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.running[id]
}

// watch looks for lost jobs until ctx ends: those that this process took or
// ended while the database was away, so that their rows still say they run.
// While a row says so, no other job with its key is put. River by itself would
// wait for their time limit.
func (q *Queue) watch(ctx context.Context, d *driver, us string) {
	tick := time.NewTicker(q.lostEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := q.db.Write(ctx, func(tx *store.Tx) error {
			lost := func(j *rivertype.JobRow) bool { return holder(j) == us && !q.rolls.has(j.ID) }
			return q.free(ctx, tx, d.UnwrapExecutor(tx.SQL()), time.Now().Add(-q.lostAfter), "The database was away when the job ended.", lost)
		})
		if err != nil && ctx.Err() == nil {
			q.log.WarnContext(ctx, "lost jobs cannot be looked for", "error", err)
		}
	}
}
