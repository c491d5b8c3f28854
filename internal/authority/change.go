package authority

import (
	"context"
	"fmt"
	"time"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/store"
)

// Input is what somebody says about an authority. In an update, nil fields
// stay as they are; Settings then may name only what changes.
type Input struct {
	GroupID       *ra.GroupID
	Name          *string
	Description   *string
	Settings      []byte // JSON
	RatePerSecond *float64
	MaxInFlight   *int
	Disabled      *bool
	Seen          time.Time // unless zero: the version an update is made for; any other is a Conflict
}

// Update changes an authority. Secrets that are not named stay as they are.
// The connector is opened with what is new before anything is stored.
func (s *Service) Update(ctx context.Context, actor ra.Actor, id ra.AuthorityID, in Input) (*ra.Authority, error) {
	a, err := s.revise(ctx, actor, id, in.Seen, func(r *revision) error {
		if err := apply(r.after, in); err != nil {
			return err
		}
		if err := s.DB.Read(ctx, func(tx *store.Tx) error { return r.checkMove(tx, actor) }); err != nil {
			return err
		}
		if err := setting.FromJSON(r.next, orEmpty(in.Settings)); err != nil {
			return prefixed("settings", err)
		}
		if err := checkHost(actor, r.old, r.next); err != nil {
			return err
		}
		if err := s.checkDeputy(ctx, actor, r.old, r.next); err != nil {
			return err
		}
		if err := s.checkDirectory(ctx, actor, r.old, r.next); err != nil {
			return err
		}
		if _, err := r.next.Connect(ctx, s.env(r.after)); err != nil {
			return prefixed("settings", err)
		}
		r.message, r.changes = "Authority %s changed.", changesOf(r.before, r.after, r.old, r.next)
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.remember(ctx, a)
	return a, nil
}

// changeSettings changes an authority's settings by asking whoever keeps its
// keys.
func (s *Service) changeSettings(ctx context.Context, actor ra.Actor, id ra.AuthorityID, message string, change func(ca.Settings) error) error {
	_, err := s.revise(ctx, actor, id, time.Time{}, func(r *revision) error {
		r.message = message
		return change(r.next)
	})
	return err
}

// revision is a change of an authority on its way: from before and old, which
// are as stored, to after and next.
type revision struct {
	before, after *ra.Authority
	old, next     ca.Settings
	message       string        // for the record, with a place for the name
	changes       audit.Changes // for the record
}

// checkMove asks whether the actor may bring the authority where it goes.
func (r *revision) checkMove(tx *store.Tx, actor ra.Actor) error {
	if r.after.GroupID == r.before.GroupID {
		return nil
	}
	return access.CheckGroup(tx, actor, access.EditAuthorities, r.after.GroupID)
}

// revise changes an authority in three steps: load it, work out the change, and
// store it. The middle one may reach an authority that is slow, so no
// transaction is open meanwhile. A change that somebody else stored in between
// is taken into account by working it out again, unless seen names the one
// version that may be changed.
func (s *Service) revise(ctx context.Context, actor ra.Actor, id ra.AuthorityID, seen time.Time, work func(*revision) error) (*ra.Authority, error) {
	const tries = 3
	defer s.forget(id)
	for try := 1; ; try++ {
		r, err := s.load(ctx, actor, id)
		if err != nil {
			return nil, err
		}
		if !seen.IsZero() && !seen.Equal(r.before.UpdatedAt) {
			return nil, changedMeanwhile()
		}
		if err := work(r); err != nil {
			return nil, err
		}
		overtaken := false
		var kept *ra.Authority
		err = s.DB.Write(ctx, func(tx *store.Tx) error {
			now, err := s.editable(tx, actor, id)
			if err != nil {
				return err
			}
			if overtaken = !now.UpdatedAt.Equal(r.before.UpdatedAt); overtaken {
				return changedMeanwhile()
			}
			if err := r.checkMove(tx, actor); err != nil {
				return err
			}
			after := *r.after // a copy: this function may run again
			kept = &after
			return s.keep(tx, actor, kept, r)
		})
		if err == nil {
			return kept, nil
		}
		if !overtaken || try == tries {
			return nil, err
		}
	}
}

func (s *Service) load(ctx context.Context, actor ra.Actor, id ra.AuthorityID) (*revision, error) {
	r := &revision{}
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if r.before, err = s.editable(tx, actor, id); err != nil {
			return err
		}
		if r.old, err = s.settings(tx, r.before); err != nil {
			return err
		}
		r.next, err = s.settings(tx, r.before)
		return err
	})
	if err != nil {
		return nil, err
	}
	after := *r.before
	r.after = &after
	return r, nil
}

func (s *Service) keep(tx *store.Tx, actor ra.Actor, after *ra.Authority, r *revision) error {
	if err := s.put(tx, after, r.next); err != nil {
		return err
	}
	if err := tx.UpdateAuthority(after); err != nil {
		return err
	}
	e := audit.Entry{Code: audit.AuthorityChanged, Actor: actor, Group: after.GroupID, Object: string(after.ID), Message: fmt.Sprintf(r.message, after.Name)}
	if r.changes != nil {
		e.Details = map[string]any{"changes": r.changes}
	}
	return audit.Record(tx, e)
}

func changedMeanwhile() error {
	return ra.Errorf(ra.Conflict, "Somebody else changed the authority meanwhile.").WithRemedy("Look at it again and repeat the change.")
}

func apply(a *ra.Authority, in Input) error {
	set(&a.GroupID, in.GroupID)
	set(&a.Name, in.Name)
	set(&a.Description, in.Description)
	set(&a.RatePerSecond, in.RatePerSecond)
	set(&a.MaxInFlight, in.MaxInFlight)
	set(&a.Disabled, in.Disabled)
	var p ra.Problems
	if ra.Fold(a.Name) == "" || len(a.Name) > 200 {
		p.Add("name", "An authority needs a name of 1 to 200 characters.", "Give it the name people know it by.")
	}
	if a.GroupID == "" {
		p.Add("group_id", "An authority belongs to an organization group.", "Name the group.")
	}
	if a.RatePerSecond < 0 || a.RatePerSecond > 10000 {
		p.Add("rate_per_second", "The rate limit is out of range.", "Use 0 for none, or up to 10000 requests a second.")
	}
	if a.MaxInFlight < 0 || a.MaxInFlight > 1000 {
		p.Add("max_in_flight", "The concurrency limit is out of range.", "Use 0 for the default, or up to 1000.")
	}
	return p.Err()
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// changesOf lists what was changed, as people read it.
func changesOf(before, after *ra.Authority, old, next ca.Settings) audit.Changes {
	var out audit.Changes
	out.Add("group_id", before.GroupID, after.GroupID)
	out.Add("name", before.Name, after.Name)
	out.Add("description", before.Description, after.Description)
	out.Add("rate_per_second", before.RatePerSecond, after.RatePerSecond)
	out.Add("max_in_flight", before.MaxInFlight, after.MaxInFlight)
	out.Add("disabled", before.Disabled, after.Disabled)
	out.Settings(old, next)
	return out
}
