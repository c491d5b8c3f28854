package app

import (
	"context"

	"chancery/internal/audit"
	"chancery/internal/authority"
	"chancery/internal/inventory"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// factPrepared marks an installation whose first start is done.
const factPrepared = "installation.prepared"

// prepare makes what a first start must: an organization, an embedded CA, and
// an owner without a password. Each step looks first whether it is done, so a
// start that was cut off goes on where it stopped. Of nodes that start together
// one makes a thing and the others, who are refused, find it when they look
// again.
func (a *App) prepare(ctx context.Context) error {
	const tries = 10
	for try := 1; ; try++ {
		if err := a.prepareOnce(ctx); ra.KindOf(err) != ra.Conflict || try == tries {
			return err
		}
	}
}

func (a *App) prepareOnce(ctx context.Context) error {
	done := false
	err := a.DB.Read(ctx, func(tx *store.Tx) error {
		_, err := tx.Fact(factPrepared)
		done = err == nil
		if ra.KindOf(err) == ra.NotFound {
			return nil
		}
		return err
	})
	if err != nil || done {
		return err
	}
	actor := ra.System("first start")
	group, err := a.firstGroup(ctx, actor)
	if err != nil {
		return err
	}
	if err := a.firstAuthority(ctx, actor, group); err != nil {
		return err
	}
	if _, err := a.Signin.EnsureFirstOwner(ctx); err != nil {
		return err
	}
	return a.DB.Write(ctx, func(tx *store.Tx) error {
		if err := tx.PutFact(factPrepared, tx.Now.Format("2006-01-02T15:04:05Z")); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.InstallationPrepared, Actor: actor, Message: "The installation is ready."})
	})
}

// The names of what the first start makes. People rename them as they like.
const (
	firstGroupName     = "My organization"
	firstAuthorityName = "Embedded CA"
)

func (a *App) firstGroup(ctx context.Context, actor ra.Actor) (ra.GroupID, error) {
	groups, _, err := a.Inventory.FindGroups(ctx, actor, store.GroupFilter{})
	if err != nil {
		return "", err
	}
	for _, g := range groups {
		if g.ParentID == "" {
			return g.ID, nil
		}
	}
	name := firstGroupName
	g, err := a.Inventory.CreateGroup(ctx, actor, inventory.GroupInput{Name: &name})
	if err != nil {
		return "", err
	}
	return g.ID, nil
}

func (a *App) firstAuthority(ctx context.Context, actor ra.Actor, group ra.GroupID) error {
	all, _, err := a.Authorities.Find(ctx, actor, store.AuthorityFilter{})
	if err != nil || len(all) > 0 {
		return err
	}
	name, about := firstAuthorityName, "Made at the first start: a root and an issuing CA of its own."
	_, err = a.Authorities.Create(ctx, actor, "embedded", authority.Input{GroupID: &group, Name: &name, Description: &about})
	return err
}
