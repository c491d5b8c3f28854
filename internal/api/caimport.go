package api

import (
	"context"
	"encoding/csv"
	"io"
	"strconv"
	"time"

	"chancery/internal/api/resource"
	"chancery/internal/caimport"
	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/store"
)

func (s *Server) showAuthorityImport(ctx context.Context, actor ra.Actor, in *ByID) (*tagged[resource.CAImport], error) {
	return importOf(s.Imports.Get(ctx, actor, ra.AuthorityID(in.ID)))
}

// setAuthorityImport sets the import up, or changes it: there is one of an authority,
// so that both are the same call.
func (s *Server) setAuthorityImport(ctx context.Context, actor ra.Actor, in *change[resource.CAImportInput]) (*tagged[resource.CAImport], error) {
	id, b := ra.AuthorityID(in.ID), in.Body
	input := caimport.Input{GroupID: (*ra.GroupID)(b.GroupID), Scope: (*ra.ImportScope)(b.Scope)}
	if b.Adopt != nil {
		input.Adopt = map[string]ra.TemplateID{}
		for name, t := range b.Adopt {
			input.Adopt[name] = ra.TemplateID(t)
		}
	}
	if b.Every != nil {
		every, err := readSpan("every", *b.Every)
		if err != nil {
			return nil, err
		}
		input.Every = &every
	}
	if in.IfMatch != "" && in.IfMatch != "*" {
		now, err := s.Imports.Get(ctx, actor, id)
		if err != nil {
			return nil, err
		}
		if err := ifMatch(in.IfMatch, now.UpdatedAt); err != nil {
			return nil, err
		}
		input.Seen = now.UpdatedAt
	}
	return importOf(s.Imports.Set(ctx, actor, id, input))
}

func (s *Server) deleteAuthorityImport(ctx context.Context, actor ra.Actor, in *ByID) (*none, error) {
	return nil, s.Imports.Remove(ctx, actor, ra.AuthorityID(in.ID))
}

func importOf(i *ra.CAImport, err error) (*tagged[resource.CAImport], error) {
	return one(i, err, func(i *ra.CAImport) resource.CAImport { return resource.OfCAImport(i, spanText(i.Every)) }, func(i *ra.CAImport) time.Time { return i.UpdatedAt })
}

// spanText writes a time span as readSpan reads it; none is the empty text.
func spanText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return setting.FormValues(&span{d}).Get("span")
}

func (s *Server) orderImport(ctx context.Context, actor ra.Actor, in *posted[resource.CAImportOrder]) (*body[resource.CAImportRun], error) {
	return importRunOf(s.Imports.Import(ctx, actor, ra.AuthorityID(in.ID), caimport.Order{Preview: in.Body.Preview, Full: in.Body.Full}))
}

type importsOf struct {
	ByID
	resource.PageQuery
}

func (s *Server) listImports(ctx context.Context, actor ra.Actor, in *importsOf) (*body[resource.Page[resource.CAImportRun]], error) {
	list, next, err := s.Imports.Runs(ctx, actor, ra.AuthorityID(in.ID), pageOf(in.PageQuery))
	return listed(list, next, err, resource.OfCAImportRun)
}

func (s *Server) showImport(ctx context.Context, actor ra.Actor, in *ByID) (*body[resource.CAImportRun], error) {
	return importRunOf(s.Imports.Run(ctx, actor, ra.CAImportRunID(in.ID)))
}

func (s *Server) cancelImport(ctx context.Context, actor ra.Actor, in *ByID) (*body[resource.CAImportRun], error) {
	return importRunOf(s.Imports.Cancel(ctx, actor, ra.CAImportRunID(in.ID)))
}

func importRunOf(r *ra.CAImportRun, err error) (*body[resource.CAImportRun], error) {
	if err != nil {
		return nil, err
	}
	return &body[resource.CAImportRun]{resource.OfCAImportRun(r)}, nil
}

func (s *Server) listDifferences(ctx context.Context, actor ra.Actor, in *resource.DifferenceQuery) (*body[resource.Page[resource.Difference]], error) {
	actor, f, err := s.differenceFilter(ctx, actor, in)
	if err != nil {
		return nil, err
	}
	list, next, err := s.Imports.Differences(ctx, actor, f)
	return listed(list, next, err, differenceOf)
}

// differenceFilter reads a filter; a group narrows the actor.
func (s *Server) differenceFilter(ctx context.Context, actor ra.Actor, in *resource.DifferenceQuery) (ra.Actor, store.DifferenceFilter, error) {
	f := store.DifferenceFilter{Authority: ra.AuthorityID(in.Authority), Kind: ra.DifferenceKind(in.Kind), Open: either(in.Open), Text: in.Text, Page: pageOf(in.PageQuery)}
	actor, err := s.within(ctx, actor, in.Group)
	return actor, f, err
}

// either reads "true", "false" and nothing.
func either(text string) *bool {
	if text == "" {
		return nil
	}
	b := text == "true"
	return &b
}

func differenceOf(d *ra.Difference) resource.Difference {
	title, meaning, remedy := caimport.Words(d.Kind)
	return resource.OfDifference(d, title, meaning, remedy)
}

func (s *Server) exportDifferences(ctx context.Context, actor ra.Actor, in *resource.DifferenceQuery) (*download, error) {
	actor, f, err := s.differenceFilter(ctx, actor, in)
	if err != nil {
		return nil, err
	}
	f.Limit, f.After = store.MaxPage, ""
	list, next, err := s.Imports.Differences(ctx, actor, f) // while a refusal can still be told
	if err != nil {
		return nil, err
	}
	return s.csvFile("differences.csv", func(ctx context.Context, to io.Writer) error {
		w := csv.NewWriter(to)
		w.Write([]string{"id", "kind", "open", "authority_id", "number", "serial", "subject", "requester", "template", "certificate_id", "request_id", "group_id", "found_at",
			"settled_at", "settled_by", "comment"})
		for {
			for _, d := range list {
				w.Write(differenceRow(differenceOf(d)))
			}
			w.Flush()
			if err := w.Error(); err != nil || next == "" {
				return err
			}
			f.After = next
			if list, next, err = s.Imports.Differences(ctx, actor, f); err != nil {
				return err
			}
		}
	}), nil
}

func differenceRow(d resource.Difference) []string {
	return harmless([]string{d.ID, d.Kind, strconv.FormatBool(d.Open), d.AuthorityID, strconv.FormatInt(d.Number, 10), d.Serial, d.Subject, d.Requester, d.Template, d.CertificateID,
		d.RequestID, d.GroupID, stamp(d.FoundAt), stamp(d.SettledAt), d.SettledBy, d.Comment})
}

func (s *Server) showDifference(ctx context.Context, actor ra.Actor, in *ByID) (*body[resource.Difference], error) {
	return oneDifference(s.Imports.Difference(ctx, actor, ra.DifferenceID(in.ID)))
}

func (s *Server) settleDifference(ctx context.Context, actor ra.Actor, in *posted[resource.SettleInput]) (*body[resource.Difference], error) {
	return oneDifference(s.Imports.Settle(ctx, actor, ra.DifferenceID(in.ID), in.Body.Comment))
}

func oneDifference(d *ra.Difference, err error) (*body[resource.Difference], error) {
	if err != nil {
		return nil, err
	}
	return &body[resource.Difference]{differenceOf(d)}, nil
}
