package posture

import (
	"context"
	"time"

	"chancery/internal/audit"
	"chancery/internal/ca"
	"chancery/internal/job"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// PlanJob hands out the authorities that are due for a look, and tells people of
// what waits too long. It runs on one node at a time.
type PlanJob struct{}

// Kind is the stable name of the job.
func (PlanJob) Kind() string { return "posture.plan" }

// EvaluateJob looks at one authority. It is unique per authority.
type EvaluateJob struct {
	Authority ra.AuthorityID `json:"authority"`
}

// Kind is the stable name of the job.
func (EvaluateJob) Kind() string { return "posture.evaluate" }

// Timeout is how long a look may take: a large forest, and a CA that is slow.
func (EvaluateJob) Timeout() time.Duration { return 10 * time.Minute }

const planEvery = time.Minute

// Handle registers the package's jobs.
func (s *Service) Handle() {
	job.Handle(s.Queue, s.Plan)
	job.Handle(s.Queue, s.Work)
	job.Every(s.Queue, planEvery, PlanJob{})
}

// kinds are those that are watched.
func (s *Service) kinds() []string {
	var out []string
	for _, k := range s.Authorities.Kinds {
		if _, ok := k.New().(ca.Guarded); ok {
			out = append(out, k.ID)
		}
	}
	return out
}

// Plan looks what is due, and tells people of what is late.
func (s *Service) Plan(ctx context.Context, _ PlanJob) error {
	kinds := s.kinds()
	if len(kinds) == 0 {
		return nil
	}
	var due []ra.AuthorityID
	late := false
	if err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if due, err = tx.DuePostures(kinds); err != nil {
			return err
		}
		postures, err := tx.OverduePostures()
		if err != nil {
			return err
		}
		dangers, err := tx.OverdueDangers()
		late = len(postures)+len(dangers) > 0
		return err
	}); err != nil {
		return err
	}
	if len(due) > 0 {
		if err := s.DB.Write(ctx, func(tx *store.Tx) error {
			for _, id := range due {
				if err := job.Put(tx, s.Queue, EvaluateJob{id}, job.PutOptions{Unique: string(id)}); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
		s.Queue.Kick()
	}
	if !late {
		return nil
	}
	return s.DB.Write(ctx, s.alarm)
}

// Work runs the job. A look that somebody else took meanwhile is enough.
func (s *Service) Work(ctx context.Context, j EvaluateJob) error {
	due := false
	if err := s.DB.Read(ctx, func(tx *store.Tx) error {
		list, err := tx.DuePostures(s.kinds())
		for _, id := range list {
			due = due || id == j.Authority
		}
		return err
	}); err != nil || !due {
		return err
	}
	return unless(s.evaluate(ctx, ra.System("posture"), j.Authority), ra.NotFound)
}

// alarm tells people, once, of authorities that were not looked at for long and of
// dangers that are open for long.
func (s *Service) alarm(tx *store.Tx) error {
	postures, err := tx.OverduePostures()
	if err != nil {
		return err
	}
	for _, id := range postures {
		a, err := tx.Authority(id)
		if err != nil {
			return err
		}
		p, err := tx.Posture(id)
		if err != nil {
			return err
		}
		p.Escalated = tx.Now
		if err := tx.PutPosture(p); err != nil {
			return err
		}
		s.Log.Error("the guard could not judge an authority for a long time", "authority", a.Name, "since", p.Evaluated, "last_error", p.LastError)
		if err := audit.Record(tx, audit.Entry{Code: audit.PostureOverdue, Actor: ra.System("posture"), Group: a.GroupID, Object: string(id), Result: "failed",
			Message: "The guard could not judge authority " + a.Name + " for a long time.", Details: map[string]any{"last_error": p.LastError}}); err != nil {
			return err
		}
	}
	dangers, err := tx.OverdueDangers()
	if err != nil {
		return err
	}
	for _, d := range dangers {
		a, err := tx.Authority(d.AuthorityID)
		if err != nil {
			return err
		}
		d.Escalated = tx.Now
		if err := tx.UpdateDanger(d); err != nil {
			return err
		}
		s.Log.Error("a danger is neither mended nor signed off", "authority", a.Name, "condition", d.Finding.Condition, "object", d.Finding.Object, "since", d.CreatedAt)
		if err := record(tx, audit.DangerOverdue, ra.System("posture"), a, d, "Neither mended nor signed off: "+title(d)+"."); err != nil {
			return err
		}
	}
	return nil
}
