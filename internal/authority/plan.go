package authority

import (
	"context"

	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// Plan is what an authority of this house decided on for a request, to be
// written into its journal together with the request. It is for one request.
type Plan struct {
	planner   ca.Planner
	decided   ca.Plan
	authority ra.AuthorityID
	key       string
	sealed    []byte
}

// Plan has an authority decide on the certificate for r. It is nil for one that
// is only ever asked, as most are. Nothing is kept. Errors are those the
// authority would refuse r with.
func (s *Service) Plan(ctx context.Context, o *Open, r ca.Request) (*Plan, error) {
	planner, ok := o.Connector.(ca.Planner)
	if !ok {
		return nil, nil
	}
	decided, err := planner.Plan(ctx, r)
	if err != nil {
		return nil, err
	}
	p := &Plan{planner: planner, decided: decided, authority: o.Authority.ID}
	var value []byte
	if p.key, value, err = decided.Entry(); err != nil {
		return nil, err
	}
	p.sealed, err = s.Box.Seal(journalTable, string(p.authority), p.key, value)
	return p, err
}

// Keep writes the plan into the authority's journal. One that is there already
// for the request is a Conflict.
func (p *Plan) Keep(tx *store.Tx) error { return tx.AddJournal(p.authority, p.key, p.sealed) }

// Make makes the certificate. Keep must have been committed before.
func (p *Plan) Make(ctx context.Context, r ca.Request) (ca.Reply, error) {
	return p.planner.Make(ctx, r, p.decided)
}
