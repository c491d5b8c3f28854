package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/job"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// BulkJob goes on with a bulk revocation. It is unique per revocation.
type BulkJob struct {
	Bulk store.BulkID `json:"bulk"`
}

// Kind is the stable name of the job.
func (BulkJob) Kind() string { return "lifecycle.bulk" }

const (
	// bulkPart is how many certificates one transaction revokes: few enough for
	// others to get their turn.
	bulkPart = 20
	// bulkSpan is how long the job works before it lets others go first.
	bulkSpan = 30 * time.Second
	// bulkFailures is how many failures are kept with their reasons.
	bulkFailures = 200
)

// inUse are the states that a revocation can end.
var inUse = []ra.CertificateState{ra.Valid, ra.Superseded, ra.OnHold}

// PlanBulk counts what RevokeAll would revoke: what the filter finds in use, in
// the groups where the actor may revoke.
func (s *Service) PlanBulk(ctx context.Context, actor ra.Actor, f store.CertificateFilter) (total int64, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		_, total, err = planBulk(tx, actor, f)
		return err
	})
	return total, err
}

func planBulk(tx *store.Tx, actor ra.Actor, f store.CertificateFilter) (store.CertificateFilter, int64, error) {
	groups, err := access.Within(tx, actor, access.Revoke, f.Groups)
	if err != nil {
		return f, 0, err
	}
	f.Groups, f.OwnToo, f.Page = groups, false, store.Page{}
	if len(f.States) == 0 {
		f.States = inUse
	}
	f.States = slices.DeleteFunc(slices.Clone(f.States), func(state ra.CertificateState) bool { return !slices.Contains(inUse, state) })
	if len(f.States) == 0 {
		return f, 0, nil
	}
	counts, err := tx.CountCertificates(f)
	total := int64(0)
	for _, c := range counts {
		total += int64(c.N)
	}
	return f, total, err
}

// RevokeAll orders the revocation of everything that a filter finds now and that
// the actor may revoke. It is done in the background, bit by bit, and goes on
// after a crash where it was; what is issued later is left alone. Invalid when
// nothing is found, or for a reason that can be taken back.
func (s *Service) RevokeAll(ctx context.Context, actor ra.Actor, f store.CertificateFilter, reason ra.RevocationReason, comment string) (*store.Bulk, error) {
	if reason == ra.CertificateHold || !slices.Contains(ra.Reasons, reason) {
		return nil, ra.Errorf(ra.Invalid, "Many certificates are revoked for good, not put on hold.").WithField("reason").WithRemedy("Use another reason of RFC 5280, such as superseded.")
	}
	if len(comment) > 512 {
		return nil, ra.Errorf(ra.Invalid, "The comment is longer than 512 characters.").WithField("comment").WithRemedy("Shorten it.")
	}
	b := &store.Bulk{ID: ra.NewID[store.BulkID](store.BulkPrefix, s.Now()), By: actor, Reason: reason, Comment: comment}
	err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
		if b.Filter, b.Total, err = planBulk(tx, actor, f); err != nil {
			return err
		}
		if b.Total == 0 {
			return ra.Errorf(ra.Invalid, "The filter finds no certificate in use that you may revoke.").WithField("filter").WithRemedy("Widen it.")
		}
		if err := tx.CreateBulk(b); err != nil {
			return err
		}
		if err := job.Put(tx, s.Queue, BulkJob{b.ID}, job.PutOptions{Unique: string(b.ID)}); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.BulkOrdered, Actor: actor, Object: string(b.ID), Message: fmt.Sprintf("Revocation of %d certificates ordered.", b.Total),
			Details: map[string]any{"reason": reason.String(), "comment": comment, "total": b.Total}})
	})
	if err != nil {
		return nil, err
	}
	s.Queue.Kick()
	return b, nil
}

// Bulk gives a bulk revocation. One is shown to whoever ordered it and to those
// who may revoke everywhere.
func (s *Service) Bulk(ctx context.Context, actor ra.Actor, id store.BulkID) (b *store.Bulk, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if b, err = tx.Bulk(id); err != nil {
			return err
		}
		shown, err := showsBulks(tx, actor)
		if err == nil && !shown(b) {
			err = ra.Errorf(ra.NotFound, "There is no such bulk revocation.").WithRemedy("Check the ID; it is shown to whoever ordered it.")
		}
		return err
	})
	return b, err
}

// bulksShown is how many bulk revocations a list shows.
const bulksShown = 200

// Bulks lists the newest bulk revocations the actor may see.
func (s *Service) Bulks(ctx context.Context, actor ra.Actor) (list []*store.Bulk, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		shown, err := showsBulks(tx, actor)
		if err != nil {
			return err
		}
		list = nil
		return eachBulk(tx, func(b *store.Bulk) (more bool, err error) {
			if shown(b) {
				list = append(list, b)
			}
			return len(list) < bulksShown, nil
		})
	})
	return list, err
}

// eachBulk goes through the bulk revocations, the newest first.
func eachBulk(tx *store.Tx, f func(*store.Bulk) (more bool, err error)) error {
	page := store.Page{Limit: bulksShown}
	for {
		list, next, err := tx.Bulks(page)
		if err != nil {
			return err
		}
		for _, b := range list {
			if more, err := f(b); err != nil || !more {
				return err
			}
		}
		if page.After = next; next == "" {
			return nil
		}
	}
}

func showsBulks(tx *store.Tx, actor ra.Actor) (func(*store.Bulk) bool, error) {
	groups, err := access.Scope(tx, actor, access.Revoke)
	return func(b *store.Bulk) bool {
		return groups == nil || b.By.Kind == actor.Kind && b.By.ID == actor.ID && b.By.Name == actor.Name
	}, err
}

// WorkBulk runs the job.
func (s *Service) WorkBulk(ctx context.Context, j BulkJob) error {
	for began := time.Now(); time.Since(began) < bulkSpan; {
		ended, err := s.bulkPart(ctx, j.Bulk)
		if err != nil || ended {
			return err
		}
	}
	return ra.Errorf(ra.Conflict, "The revocation goes on in a moment.").WithRemedy("Wait.").WithRetry(time.Second)
}

// resumeBulks puts the jobs of bulk revocations that have not ended back, should
// one have been given up.
func (s *Service) resumeBulks(ctx context.Context) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		return eachBulk(tx, func(b *store.Bulk) (bool, error) {
			if !b.EndedAt.IsZero() {
				return true, nil
			}
			return true, job.Put(tx, s.Queue, BulkJob{b.ID}, job.PutOptions{Unique: string(b.ID)})
		})
	})
}

// bulkPart revokes the next few certificates and notes how far it has come, in
// one transaction: none is revoked without being counted, or counted twice.
func (s *Service) bulkPart(ctx context.Context, id store.BulkID) (ended bool, err error) {
	var b *store.Bulk
	var list []*ra.Certificate
	var next string
	authorities := map[ra.AuthorityID]*ra.Authority{}
	if err := s.DB.Read(ctx, func(tx *store.Tx) error {
		if b, err = tx.Bulk(id); err != nil || !b.EndedAt.IsZero() {
			return err
		}
		f := b.Filter
		f.Page = store.Page{Sort: "created", After: b.After, Limit: bulkPart}
		if list, next, err = tx.FindCertificates(f); err != nil {
			return err
		}
		for _, c := range list {
			if authorities[c.AuthorityID] == nil {
				if authorities[c.AuthorityID], err = tx.Authority(c.AuthorityID); err != nil {
					return err
				}
			}
		}
		return nil
	}); err != nil || !b.EndedAt.IsZero() {
		return err == nil, err
	}
	if i := slices.IndexFunc(list, func(c *ra.Certificate) bool { return c.CreatedAt.After(b.CreatedAt) }); i >= 0 {
		list, next = list[:i], ""
	}
	here, refused := make([]bool, len(list)), make([]error, len(list))
	for i, c := range list {
		here[i], refused[i] = s.revocable(ctx, authorities[c.AuthorityID], c, b.Reason)
	}
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		fresh, err := tx.Bulk(id)
		if err != nil {
			return err
		}
		if fresh.After != b.After || !fresh.EndedAt.IsZero() {
			ended = !fresh.EndedAt.IsZero()
			return nil // somebody else has come further
		}
		s.step(StepRevokeRow)
		for i, c := range list {
			if err := s.bulkOne(tx, fresh, c, here[i], refused[i]); err != nil {
				return err
			}
		}
		fresh.After = next
		if ended = next == ""; ended {
			fresh.EndedAt = tx.Now
			if err := audit.Record(tx, audit.Entry{Code: audit.BulkEnded, Actor: fresh.By, Object: string(id), Message: fmt.Sprintf("Revocation of %d certificates ended.", fresh.Total),
				Details: map[string]any{"revoked": fresh.Revoked, "skipped": fresh.Skipped, "failed": fresh.Failed}}); err != nil {
				return err
			}
		}
		return tx.UpdateBulk(fresh)
	})
	return ended, err
}

// bulkOne revokes one certificate of a part, and counts it.
func (s *Service) bulkOne(tx *store.Tx, b *store.Bulk, c *ra.Certificate, here bool, refused error) error {
	changed, err := false, refused
	if err == nil {
		after := toldLater
		if here {
			after = afterwards
		}
		_, changed, err = revoke(tx, b.By, c.ID, b.Reason, b.Comment, after)
	}
	switch k := ra.KindOf(err); {
	case err == nil && changed:
		b.Revoked++
	case err == nil || k == ra.Conflict || k == ra.NotFound: // revoked, ended or gone meanwhile
		b.Skipped++
	case err == refused:
		b.Failed++
		if e := ra.AsError(err); len(b.Failures) < bulkFailures {
			b.Failures = append(b.Failures, store.BulkFailure{Certificate: c.ID, Subject: c.Subject, Message: e.Message, Remedy: strings.TrimSpace(e.Remedy)})
		}
	default:
		return err
	}
	return nil
}
