package api

import (
	"context"

	"chancery/internal/api/resource"
	"chancery/internal/posture"
	"chancery/internal/ra"
)

func (s *Server) showGuard(ctx context.Context, actor ra.Actor, in *ByID) (*body[resource.Guard], error) {
	return guardOf(s.Postures.Get(ctx, actor, ra.AuthorityID(in.ID)))
}

func (s *Server) runGuard(ctx context.Context, actor ra.Actor, in *ByID) (*body[resource.Guard], error) {
	return guardOf(s.Postures.Evaluate(ctx, actor, ra.AuthorityID(in.ID)))
}

func guardOf(v *posture.View, err error) (*body[resource.Guard], error) {
	if err != nil {
		return nil, err
	}
	return &body[resource.Guard]{resource.OfPosture(v.Posture, v.Dangers)}, nil
}

type scriptInput struct {
	ByID
	resource.ScriptQuery
}

func (s *Server) guardScript(ctx context.Context, actor ra.Actor, in *scriptInput) (*body[resource.Script], error) {
	text, err := s.Postures.Script(ctx, actor, ra.AuthorityID(in.ID), in.Template, in.Revoke)
	if err != nil {
		return nil, err
	}
	return &body[resource.Script]{resource.Script{PowerShell: text}}, nil
}

func (s *Server) showDanger(ctx context.Context, actor ra.Actor, in *ByID) (*body[resource.Danger], error) {
	return dangerOf(s.Postures.Danger(ctx, actor, ra.DangerID(in.ID)))
}

func (s *Server) signOffDanger(ctx context.Context, actor ra.Actor, in *posted[resource.SignOffInput]) (*body[resource.Danger], error) {
	return dangerOf(s.Postures.SignOff(ctx, actor, ra.DangerID(in.ID), in.Body.Hash, in.Body.Why))
}

func (s *Server) reopenDanger(ctx context.Context, actor ra.Actor, in *ByID) (*body[resource.Danger], error) {
	return dangerOf(s.Postures.Reopen(ctx, actor, ra.DangerID(in.ID)))
}

func dangerOf(d *ra.Danger, err error) (*body[resource.Danger], error) {
	if err != nil {
		return nil, err
	}
	return &body[resource.Danger]{resource.OfDanger(d)}, nil
}
