package api

import (
	"context"

	"chancery/internal/api/resource"
	"chancery/internal/ca"
	"chancery/internal/ra"
)

// examine looks for what could fail. A failed check is not an error of the
// call.
func (s *Server) examine(ctx context.Context, actor ra.Actor, _ *none) (*body[resource.Health], error) {
	found, err := s.Doctor.Examine(ctx, actor)
	if err != nil {
		return nil, err
	}
	out := &body[resource.Health]{resource.Health{OK: true, Checks: []resource.Step{}}}
	for _, f := range found {
		out.Body.OK = out.Body.OK && f.State != ca.StepFailed
		out.Body.Checks = append(out.Body.Checks, resource.Step{Name: f.Name, State: string(f.State), Detail: f.Detail, Remedy: f.Remedy})
	}
	return out, nil
}
