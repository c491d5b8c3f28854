package api

import (
	"context"

	"chancery/internal/api/resource"
	"chancery/internal/ra"
)

func (s *Server) showMasterKey(ctx context.Context, actor ra.Actor, _ *none) (*body[resource.MasterKey], error) {
	st, err := s.Keyring.Status(ctx, actor)
	if err != nil {
		return nil, err
	}
	out := resource.MasterKey{Seals: st.Seals, Next: st.Next, State: string(st.State), SealedAnew: st.Resealed, Left: st.Left, Nodes: []resource.KeyNode{}}
	for _, n := range st.Nodes {
		out.Nodes = append(out.Nodes, resource.KeyNode{Node: n.Node, Seals: n.Seals, Problem: n.Problem, SeenAt: n.Seen})
	}
	return &body[resource.MasterKey]{out}, nil
}

func (s *Server) rotateMasterKey(ctx context.Context, actor ra.Actor, in *none) (*body[resource.MasterKey], error) {
	if _, err := s.Keyring.Rotate(ctx, actor); err != nil {
		return nil, err
	}
	return s.showMasterKey(ctx, actor, in)
}

func (s *Server) dropMasterKey(ctx context.Context, actor ra.Actor, in *none) (*body[resource.MasterKey], error) {
	if _, err := s.Keyring.Drop(ctx, actor); err != nil {
		return nil, err
	}
	return s.showMasterKey(ctx, actor, in)
}
