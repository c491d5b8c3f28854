package posture

import (
	"context"
	"strings"
	"unicode/utf8"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// maxReason bounds a reason, in characters.
const maxReason = 2000

// SignOff lets a danger be: the actor answers for it by name, with a reason. hash
// is the finding's as the actor saw it; one that has changed since is a Conflict.
func (s *Service) SignOff(ctx context.Context, actor ra.Actor, id ra.DangerID, hash, why string) (*ra.Danger, error) {
	why = strings.TrimSpace(why)
	if n := utf8.RuneCountInString(why); n < 10 || n > maxReason {
		return nil, ra.Errorf(ra.Invalid, "A sign-off needs a reason of 10 to %d characters.", maxReason).WithField("why").
			WithRemedy("Write why this may stay, and what keeps it from being used, for whoever asks later.")
	}
	if actor.Kind == ra.ActorSystem || actor.Name == "" {
		return nil, ra.Errorf(ra.Denied, "Only somebody with a name signs off.").WithRemedy("Sign in as yourself.")
	}
	return s.change(ctx, actor, id, func(tx *store.Tx, a *ra.Authority, d *ra.Danger) error {
		if hash != d.Finding.Hash {
			return ra.Errorf(ra.Conflict, "The danger has changed since you looked at it.").WithRemedy("Look at it again, then sign it off if it may stay as it is now.")
		}
		d.SignOff = ra.SignOff{Hash: hash, By: actor.Name, Admin: actor.Behind(), Why: why, At: tx.Now}
		d.Obligation = ra.Obligation{}
		return record(tx, audit.DangerSigned, actor, a, d, "Signed off: "+title(d)+". "+why)
	})
}

// Reopen takes a sign-off back.
func (s *Service) Reopen(ctx context.Context, actor ra.Actor, id ra.DangerID) (*ra.Danger, error) {
	return s.change(ctx, actor, id, func(tx *store.Tx, a *ra.Authority, d *ra.Danger) error {
		if d.Open() {
			return ra.Errorf(ra.Conflict, "The danger is not signed off.").WithRemedy("Look at it again.")
		}
		users, err := users(tx, a.ID, &d.Finding)
		if err != nil {
			return err
		}
		d.SignOff = ra.SignOff{}
		d.Obligation = mend(tx.Now, d, users)
		return record(tx, audit.DangerReopened, actor, a, d, "The sign-off was taken back: "+title(d)+".")
	})
}

// Danger gives one danger.
func (s *Service) Danger(ctx context.Context, actor ra.Actor, id ra.DangerID) (d *ra.Danger, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if d, err = tx.Danger(id); err != nil {
			return err
		}
		a, err := tx.Authority(d.AuthorityID)
		if err != nil {
			return err
		}
		return access.CheckGroup(tx, actor, access.See, a.GroupID)
	})
	return d, err
}

func (s *Service) change(ctx context.Context, actor ra.Actor, id ra.DangerID, do func(*store.Tx, *ra.Authority, *ra.Danger) error) (d *ra.Danger, err error) {
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		if d, err = tx.Danger(id); err != nil {
			return err
		}
		a, err := tx.Authority(d.AuthorityID)
		if err != nil {
			return err
		}
		if err := access.CheckGroup(tx, actor, access.EditAuthorities, a.GroupID); err != nil {
			return err
		}
		if err := do(tx, a, d); err != nil {
			return err
		}
		return tx.UpdateDanger(d)
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}
