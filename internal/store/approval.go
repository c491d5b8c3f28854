package store

import "chancery/internal/ra"

type approvalRow struct {
	ID        string `db:"id"`
	RequestID string `db:"request_id"`
	ActorKey  string `db:"actor_key"`
	Actor     string `db:"actor"`
	Approve   bool   `db:"approve"`
	Comment   string `db:"comment"`
	At        int64  `db:"at"`
}

func (r *approvalRow) noun() (*ra.Approval, error) {
	a := &ra.Approval{ID: ra.ApprovalID(r.ID), RequestID: ra.RequestID(r.RequestID), Approve: r.Approve, Comment: r.Comment, At: instant(r.At)}
	return a, parse(r.Actor, &a.By)
}

// CreateApproval stores a decision, made now. A second one on the same request
// by the same actor is a Conflict.
func (tx *Tx) CreateApproval(a *ra.Approval) error {
	a.At = tx.Now
	err := tx.insert("approvals", &approvalRow{ID: string(a.ID), RequestID: string(a.RequestID),
		ActorKey: string(a.By.Kind) + ":" + actorID(a.By), Actor: text(a.By), Approve: a.Approve, Comment: a.Comment, At: millis(a.At)})
	if _, taken := unique(err); taken {
		return ra.Errorf(ra.Conflict, "%s has decided on this request already.", a.By.Name).
			WithRemedy("Let somebody else decide.").WithCause(err)
	}
	return err
}

// actorID is the ID of an actor, or the name of one that has none.
func actorID(a ra.Actor) string {
	if a.ID != "" {
		return a.ID
	}
	return a.Name
}

// Approvals lists the decisions on a request in the order they were made.
func (tx *Tx) Approvals(request ra.RequestID) ([]*ra.Approval, error) {
	var rows []*approvalRow
	if err := tx.x.SelectContext(tx.ctx, &rows, "SELECT * FROM approvals WHERE request_id = $1 ORDER BY at, id", string(request)); err != nil {
		return nil, fit(err)
	}
	return nouns[ra.Approval](rows)
}
