package job

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"chancery/internal/store"
)

// PutOptions tune one Put; the zero value runs the job as soon as possible, as
// often as it was put.
type PutOptions struct {
	// Unique, when not empty, lets at most one job of this kind and key be
	// live: due, waiting, or running. Another Put then changes nothing and is
	// no error. A change made while the job runs may therefore go unseen by it,
	// so somebody has to look again later. The key is readable in the database.
	Unique string
	// At is when the job is due; the zero time and any past time mean now.
	At time.Time
	// Later lets everything else that is due go first.
	Later bool
	// MaxAttempts is after how many failures the job is given up; 0 means 10.
	MaxAttempts int
}

// Put leaves a job behind in the caller's transaction: it exists when that is
// committed, and never existed when it is rolled back. It needs no Handle in
// this process. A running Queue sees the job within a second; see Kick.
func Put(tx *store.Tx, q *Queue, args Args, o PutOptions) error {
	_, err := Offer(tx, q, args, o)
	return err
}

// Offer is Put, and tells whether the job was put: it is not when one of its key
// is live. That one may be about to end without having seen what this one is for.
func Offer(tx *store.Tx, q *Queue, args Args, o PutOptions) (put bool, err error) {
	opts := &river.InsertOpts{}
	if o.Unique != "" {
		opts = uniqueOpts(o.Unique)
	}
	opts.MaxAttempts = o.MaxAttempts
	if o.Later {
		opts.Priority = river.PriorityDefault + 1
	}
	if wait := o.At.Sub(tx.Now); wait > 0 {
		// River goes by the clock of the system, whichever one db goes by.
		opts.ScheduledAt = time.Now().Add(wait)
	}
	// The transaction ends with its own context, and this statement with it.
	r, err := q.put.InsertTx(context.Background(), tx.SQL(), args, opts)
	if err != nil {
		return false, fmt.Errorf("put job %s: %w", args.Kind(), err)
	}
	return !r.UniqueSkippedAsDuplicate, nil
}

// metadata is what we keep beside the arguments of a job.
type metadata struct {
	Unique string `json:"unique"`
}

// liveStates are those in which a job with a key keeps others away.
var liveStates = []rivertype.JobState{
	rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable,
	rivertype.JobStateRunning, rivertype.JobStateScheduled,
}

// uniqueOpts asks river for uniqueness. River can make a key from arguments
// and queue only; insertHooks replaces it by one made from the key given here.
func uniqueOpts(key string) *river.InsertOpts {
	m, err := json.Marshal(metadata{Unique: key})
	if err != nil {
		panic(err) // a string always has a JSON form
	}
	return &river.InsertOpts{Metadata: m, UniqueOpts: river.UniqueOpts{ByQueue: true, ByState: liveStates}}
}

// scheduleInterval is how often river makes scheduled jobs available, looking
// as far ahead.
const scheduleInterval = 5 * time.Second

var insertHooks = []rivertype.Hook{river.HookInsertBeginFunc(func(_ context.Context, p *rivertype.JobInsertParams) error {
	// A job due before river's next look must not wait for it: one that is
	// available is still not taken before its time.
	if p.State == rivertype.JobStateScheduled && time.Until(*p.ScheduledAt) < scheduleInterval {
		p.State = rivertype.JobStateAvailable
	}
	if len(p.UniqueKey) == 0 {
		return nil
	}
	var m metadata
	if err := json.Unmarshal(p.Metadata, &m); err != nil {
		return err
	}
	key := sha256.Sum256([]byte(p.Kind + "\x00" + m.Unique))
	p.UniqueKey = key[:]
	return nil
})}
