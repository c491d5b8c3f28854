package api

import (
	"context"
	"encoding/json"
	"time"

	"chancery/internal/api/resource"
	"chancery/internal/enroll"
	"chancery/internal/lookup"
	"chancery/internal/ra"
	"chancery/internal/store"
)

func (s *Server) listTemplates(ctx context.Context, actor ra.Actor, in *resource.TemplateQuery) (*body[resource.Page[resource.Template]], error) {
	actor, err := s.within(ctx, actor, in.Group)
	if err != nil {
		return nil, err
	}
	list, next, err := s.Enroll.FindTemplates(ctx, actor, store.TemplateFilter{Authority: ra.AuthorityID(in.Authority), Text: in.Text, Page: pageOf(in.PageQuery)})
	return listed(list, next, err, resource.OfTemplate)
}

func (s *Server) createTemplate(ctx context.Context, actor ra.Actor, in *body[resource.TemplateInput]) (*tagged[resource.Template], error) {
	t, err := s.Enroll.CreateTemplate(ctx, actor, templateInput(&in.Body))
	return one(t, err, resource.OfTemplate, templateUpdated)
}

func (s *Server) showTemplate(ctx context.Context, actor ra.Actor, in *ByID) (*tagged[resource.Template], error) {
	t, err := s.Enroll.Template(ctx, actor, ra.TemplateID(in.ID))
	return one(t, err, resource.OfTemplate, templateUpdated)
}

func (s *Server) updateTemplate(ctx context.Context, actor ra.Actor, in *change[resource.TemplateInput]) (*tagged[resource.Template], error) {
	t, err := s.Enroll.Template(ctx, actor, ra.TemplateID(in.ID))
	if err == nil {
		err = ifMatch(in.IfMatch, t.UpdatedAt)
	}
	if err == nil {
		t, err = s.Enroll.UpdateTemplate(ctx, actor, ra.TemplateID(in.ID), templateInput(&in.Body))
	}
	return one(t, err, resource.OfTemplate, templateUpdated)
}

func (s *Server) deleteTemplate(ctx context.Context, actor ra.Actor, in *ByID) (*none, error) {
	return nil, s.Enroll.DeleteTemplate(ctx, actor, ra.TemplateID(in.ID))
}

func (s *Server) previewTemplate(ctx context.Context, actor ra.Actor, in *posted[resource.PreviewInput]) (*body[resource.Preview], error) {
	return s.preview(ctx, actor, ra.TemplateID(in.ID), in.Body)
}

func (s *Server) previewUnsaved(ctx context.Context, actor ra.Actor, in *body[resource.PreviewInput]) (*body[resource.Preview], error) {
	if in.Body.Template == nil {
		return nil, ra.Errorf(ra.Invalid, "There is no template to look at.").WithField("template").WithRemedy("Send the template, or ask for the preview of a stored one.")
	}
	return s.preview(ctx, actor, "", in.Body)
}

func (s *Server) preview(ctx context.Context, actor ra.Actor, id ra.TemplateID, in resource.PreviewInput) (*body[resource.Preview], error) {
	p, err := s.Enroll.Preview(ctx, actor, templateInput(in.Template), id, ra.DeviceID(in.DeviceID), ra.UserID(in.UserID))
	if err != nil {
		return nil, err
	}
	fill, err := json.Marshal(p.Fill)
	if err != nil {
		return nil, err
	}
	tree, err := json.Marshal(p.Tree)
	if err != nil {
		return nil, err
	}
	out := resource.Preview{Fill: fill, CSR: resource.PEM("CERTIFICATE REQUEST", p.CSR), Tree: tree, Extensions: []resource.Extension{}, Tests: testResults(p.Tests)}
	for _, e := range p.Extensions {
		out.Extensions = append(out.Extensions, resource.Extension(e))
	}
	return &body[resource.Preview]{out}, nil
}

func (s *Server) testTemplate(ctx context.Context, actor ra.Actor, in *ByID) (*body[resource.Page[resource.TestResult]], error) {
	t, err := s.Enroll.Template(ctx, actor, ra.TemplateID(in.ID))
	if err != nil {
		return nil, err
	}
	return &body[resource.Page[resource.TestResult]]{resource.Page[resource.TestResult]{Items: testResults(enroll.RunTests(t))}}, nil
}

func testResults(list []enroll.TestResult) []resource.TestResult {
	out := make([]resource.TestResult, len(list))
	for i, r := range list {
		out[i] = resource.TestResult(r)
	}
	return out
}

func (s *Server) listLookupValues(context.Context, ra.Actor, *none) (*body[resource.Page[resource.LookupValue]], error) {
	return listed(lookup.Values, "", nil, func(v lookup.Value) resource.LookupValue {
		return resource.LookupValue{Name: v.Name, Entity: string(v.Entity), Help: v.Help}
	})
}

func templateInput(in *resource.TemplateInput) enroll.TemplateInput {
	if in == nil {
		return enroll.TemplateInput{}
	}
	return enroll.TemplateInput{GroupID: (*ra.GroupID)(in.GroupID), AuthorityID: (*ra.AuthorityID)(in.AuthorityID), Name: in.Name,
		Description: in.Description, Spec: in.Spec, Disabled: in.Disabled}
}

func templateUpdated(t *ra.Template) time.Time { return t.UpdatedAt }
