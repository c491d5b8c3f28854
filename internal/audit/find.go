package audit

import (
	"context"

	"chancery/internal/access"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// Log reads the record.
type Log struct{ DB *store.DB }

// Find lists the entries the actor may see, newest first.
func (l Log) Find(ctx context.Context, actor ra.Actor, f store.AuditFilter) (list []*ra.AuditEntry, next string, err error) {
	if !access.May(actor, access.SeeAudit) {
		return nil, "", access.Check(actor, access.SeeAudit, "")
	}
	asked := f.Groups
	err = l.DB.Read(ctx, func(tx *store.Tx) error {
		if f.Groups, err = access.Within(tx, actor, access.SeeAudit, asked); err != nil {
			return err
		}
		list, next, err = tx.Audit(f)
		return err
	})
	return list, next, err
}

// About lists what happened to one object, for its own page. Whoever may see
// the object may see this; the caller has checked that.
func (l Log) About(ctx context.Context, object string, limit int) (list []*ra.AuditEntry, err error) {
	err = l.DB.Read(ctx, func(tx *store.Tx) error {
		list, _, err = tx.Audit(store.AuditFilter{Object: object, Page: store.Page{Limit: limit}})
		return err
	})
	return list, err
}

// Verify walks the whole chain and tells whether it is unbroken.
func (l Log) Verify(ctx context.Context, actor ra.Actor) (report store.AuditReport, err error) {
	if err := access.Check(actor, access.SeeAudit, ""); err != nil {
		return report, err
	}
	err = l.DB.Read(ctx, func(tx *store.Tx) error {
		report, err = tx.VerifyAudit(nil)
		return err
	})
	return report, err
}
