package enroll

import (
	"context"
	"time"

	"chancery/internal/job"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// AbandonJob looks after a request that was cancelled while an authority worked
// on it. The authority knows nothing of that: the certificate that still comes
// of the request is recorded, and revoked at once.
type AbandonJob struct {
	Request ra.RequestID `json:"request"`
}

// Kind is the stable name of the job.
func (AbandonJob) Kind() string { return "enroll.abandon" }

const (
	// abandonFor is how long an authority may take to answer a request that
	// nobody waits for any more.
	abandonFor = 30 * 24 * time.Hour
	// abandonAgain is when an authority that could not be asked is asked again.
	abandonAgain = time.Minute
)

// abandon leaves the job behind.
func (s *Service) abandon(tx *store.Tx, id ra.RequestID) error {
	return job.Put(tx, s.Queue, AbandonJob{id}, job.PutOptions{Unique: string(id)})
}

// Abandon runs the job. It ends with the authority's answer, whatever that is.
func (s *Service) Abandon(ctx context.Context, j AbandonJob) error {
	var r *ra.Request
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		r, err = tx.Request(j.Request)
		return err
	})
	if err != nil {
		return err
	}
	if r.State != ra.Cancelled || r.CertificateID != "" || s.Now().Sub(r.UpdatedAt) > abandonFor {
		return nil
	}
	reply, chain, err := s.call(context.WithoutCancel(ctx), r, true)
	switch e := ra.AsError(err); {
	case err != nil && (finalRefusal(e) || e.Kind == ra.NotFound):
		return nil
	case err != nil:
		return e.WithRetry(max(e.Retry, abandonAgain))
	case reply.Pending():
		return ra.Errorf(ra.Busy, "The authority has not decided on the cancelled request yet.").
			WithRemedy("It is asked again by itself.").WithRetry(max(reply.Again, time.Second))
	}
	_, err = s.record(ctx, r, reply, chain)
	return err
}
