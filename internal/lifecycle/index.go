package lifecycle

import (
	"context"
	"time"
)

// IndexJob makes new texts quick to search. They are found from the moment they
// are stored; this keeps what a search reads small.
type IndexJob struct{}

// Kind is the stable name of the job.
func (IndexJob) Kind() string { return "lifecycle.index" }

// indexEvery is short enough for what a few thousand enrolments a second leave.
const indexEvery = 10 * time.Second

// Index runs the job.
func (s *Service) Index(ctx context.Context, _ IndexJob) error { return s.DB.FoldTexts(ctx) }
