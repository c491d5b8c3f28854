package api

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"time"

	"chancery/internal/access"
	"chancery/internal/api/resource"
	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/store"
)

func (s *Server) listAuthorities(ctx context.Context, actor ra.Actor, in *resource.AuthorityQuery) (*body[resource.Page[resource.Authority]], error) {
	actor, err := s.within(ctx, actor, in.Group)
	if err != nil {
		return nil, err
	}
	list, next, err := s.Authorities.Find(ctx, actor, store.AuthorityFilter{Kind: in.Kind, Text: in.Text, Page: pageOf(in.PageQuery)})
	return listed(list, next, err, resource.OfAuthority)
}

func (s *Server) createAuthority(ctx context.Context, actor ra.Actor, in *body[resource.AuthorityInput]) (*tagged[resource.Authority], error) {
	if in.Body.Kind == nil {
		return nil, ra.Errorf(ra.Invalid, "An authority is of some kind.").WithField("kind").WithRemedy("Name one of the kinds that /authorities/kinds lists.")
	}
	a, err := s.Authorities.Create(ctx, actor, *in.Body.Kind, authorityInput(in.Body))
	return one(a, err, resource.OfAuthority, authorityUpdated)
}

func (s *Server) showAuthority(ctx context.Context, actor ra.Actor, in *ByID) (*tagged[resource.Authority], error) {
	a, err := s.Authorities.Get(ctx, actor, ra.AuthorityID(in.ID))
	out, err := one(a, err, resource.OfAuthority, authorityUpdated)
	if err != nil {
		return nil, err
	}
	// One that is switched off or set up wrongly can do nothing just now.
	if o, err := s.Authorities.Open(ctx, a.ID); err == nil {
		for _, ability := range ca.Abilities(o.Connector) {
			out.Body.Abilities = append(out.Body.Abilities, string(ability))
		}
	}
	return out, nil
}

func (s *Server) updateAuthority(ctx context.Context, actor ra.Actor, in *change[resource.AuthorityInput]) (*tagged[resource.Authority], error) {
	a, err := s.Authorities.Get(ctx, actor, ra.AuthorityID(in.ID))
	if err != nil {
		return nil, err
	}
	if err := ifMatch(in.IfMatch, a.UpdatedAt); err != nil {
		return nil, err
	}
	if k := in.Body.Kind; k != nil && *k != a.Kind {
		return nil, ra.Errorf(ra.Invalid, "The kind of an authority does not change.").WithField("kind").WithRemedy("Define another authority.")
	}
	input := authorityInput(in.Body)
	if in.IfMatch != "" && in.IfMatch != "*" {
		input.Seen = a.UpdatedAt
	}
	a, err = s.Authorities.Update(ctx, actor, a.ID, input)
	return one(a, err, resource.OfAuthority, authorityUpdated)
}

func (s *Server) deleteAuthority(ctx context.Context, actor ra.Actor, in *ByID) (*none, error) {
	return nil, s.Authorities.Delete(ctx, actor, ra.AuthorityID(in.ID))
}

func (s *Server) listKinds(context.Context, ra.Actor, *none) (*body[resource.Page[resource.Kind]], error) {
	return listed(s.Authorities.Kinds, "", nil, kindOf)
}

func (s *Server) testAuthority(ctx context.Context, actor ra.Actor, in *ByID) (*body[resource.TestReport], error) {
	return report(func(step func(ca.Step)) error { return s.Authorities.Test(ctx, actor, ra.AuthorityID(in.ID), step) })
}

func (s *Server) testSettings(ctx context.Context, actor ra.Actor, in *body[resource.AuthorityTest]) (*body[resource.TestReport], error) {
	return report(func(step func(ca.Step)) error {
		return s.Authorities.TestSettings(ctx, actor, in.Body.Kind, ra.AuthorityID(in.Body.ID), ra.GroupID(in.Body.GroupID), in.Body.Settings, step)
	})
}

// report gathers the steps of a test.
func report(run func(step func(ca.Step)) error) (*body[resource.TestReport], error) {
	out := &body[resource.TestReport]{resource.TestReport{OK: true, Steps: []resource.Step{}}}
	err := run(func(step ca.Step) {
		out.Body.Steps = append(out.Body.Steps, stepOf(step))
		out.Body.OK = out.Body.OK && step.State != ca.StepFailed
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

type catalogInput struct {
	ByID
	Lookup string   `query:"lookup" required:"true" doc:"Which list: the lookup of a field of the form."`
	Chosen []string `query:"chosen" maxItems:"50" doc:"FIELD:value of the form's other fields, separated by commas."`
}

func (s *Server) catalog(ctx context.Context, actor ra.Actor, in *catalogInput) (*body[resource.Page[resource.CatalogEntry]], error) {
	chosen := map[string]string{}
	for _, c := range in.Chosen {
		field, value, _ := strings.Cut(c, ":")
		chosen[field] = value
	}
	list, err := s.Postures.Catalog(ctx, actor, ra.AuthorityID(in.ID), in.Lookup, chosen)
	return listed(list, "", err, profileOf)
}

func (s *Server) authorityCSR(ctx context.Context, actor ra.Actor, in *ByID) (*body[resource.CSR], error) {
	der, err := s.Authorities.CSR(ctx, actor, ra.AuthorityID(in.ID))
	if err != nil {
		return nil, err
	}
	return &body[resource.CSR]{resource.CSR{PEM: resource.PEM("CERTIFICATE REQUEST", der)}}, nil
}

func (s *Server) renewAuthority(ctx context.Context, actor ra.Actor, in *ByID) (*tagged[resource.Authority], error) {
	if err := s.Authorities.Renew(ctx, actor, ra.AuthorityID(in.ID)); err != nil {
		return nil, err
	}
	return s.showAuthority(ctx, actor, in)
}

func (s *Server) installCertificate(ctx context.Context, actor ra.Actor, in *posted[resource.Chain]) (*tagged[resource.Authority], error) {
	// Whoever may not see the authority learns nothing from how the chain reads.
	if _, err := s.Authorities.Get(ctx, actor, ra.AuthorityID(in.ID)); err != nil {
		return nil, err
	}
	chain, err := readChain([]byte(in.Body.PEM))
	if err != nil {
		return nil, err
	}
	if err := s.Authorities.Install(ctx, actor, ra.AuthorityID(in.ID), chain); err != nil {
		return nil, err
	}
	return s.showAuthority(ctx, actor, &in.ByID)
}

// maxChain bounds how many certificates one answer of a superior CA may hold.
const maxChain = 10

func readChain(text []byte) ([]*x509.Certificate, error) {
	bad := func(what string) error {
		return ra.Errorf(ra.Invalid, "%s", what).WithField("pem").WithRemedy("Send the new signing certificate first and those above it behind, all in PEM.")
	}
	var chain []*x509.Certificate
	for len(strings.TrimSpace(string(text))) > 0 {
		block, rest := pem.Decode(text)
		if block == nil || block.Type != "CERTIFICATE" {
			return nil, bad("This is not a list of PEM certificates.")
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, bad("A certificate in the list cannot be read.")
		}
		if chain = append(chain, c); len(chain) > maxChain {
			return nil, bad("The list holds too many certificates.")
		}
		text = rest
	}
	if len(chain) == 0 {
		return nil, bad("The list of certificates is empty.")
	}
	return chain, nil
}

func (s *Server) authorityChain(ctx context.Context, actor ra.Actor, in *ByID) (*body[resource.Chain], error) {
	a, err := s.Authorities.Get(ctx, actor, ra.AuthorityID(in.ID))
	if err != nil {
		return nil, err
	}
	chain, err := s.Authorities.Chain(ctx, a.ID)
	if err != nil {
		return nil, err
	}
	var ders [][]byte
	for _, c := range chain {
		ders = append(ders, c.Raw)
	}
	return &body[resource.Chain]{resource.Chain{PEM: resource.PEMChain(ders)}}, nil
}

func authorityInput(in resource.AuthorityInput) authority.Input {
	return authority.Input{GroupID: (*ra.GroupID)(in.GroupID), Name: in.Name, Description: in.Description, Settings: in.Settings,
		RatePerSecond: in.RatePerSecond, MaxInFlight: in.MaxInFlight, Disabled: in.Disabled}
}

func authorityUpdated(a *ra.Authority) time.Time { return a.UpdatedAt }

// may asks whether an actor may do something in a group, where a capability
// has no question of its own.
func (s *Server) may(ctx context.Context, actor ra.Actor, p access.Permission, group ra.GroupID) error {
	return s.DB.Read(ctx, func(tx *store.Tx) error { return access.CheckGroup(tx, actor, p, group) })
}
