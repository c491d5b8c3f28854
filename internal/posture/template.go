package posture

import (
	"context"
	"fmt"
	"strings"

	"chancery/internal/access"
	"chancery/internal/adpki/guard"
	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// Admit reports with an Invalid error when a template would take something into use
// that it must not: a template of its authority with an open danger, an authority
// with one, or a template whose requests cannot be made here. An authority that was
// never looked at admits everything.
func Admit(tx *store.Tx, t *ra.Template) error {
	p, err := tx.Posture(t.AuthorityID)
	if err != nil {
		return unless(err, ra.NotFound)
	}
	dangers, err := tx.Dangers(t.AuthorityID)
	if err != nil {
		return err
	}
	name := t.Spec.IssuingTemplate
	if known, ok := p.Report.Template(name); ok {
		name = known.Name
		if len(known.Impossible) > 0 {
			return ra.Errorf(ra.Invalid, "The issuing template %s cannot be used from here. %s", name, strings.Join(known.Impossible, " ")).WithField("spec.issuing_template").
				WithRemedy("Choose another one, or a copy of it without that.")
		}
	}
	var stops []*ra.Danger
	for _, d := range dangers {
		if d.Stops(name) {
			stops = append(stops, d)
		}
	}
	if len(stops) == 0 {
		return nil
	}
	first := stops[0]
	message := first.Finding.Condition + ": " + first.Finding.Sentence
	if more := len(stops) - 1; more > 0 {
		message += fmt.Sprintf(" And %d more.", more)
	}
	return ra.Errorf(ra.Invalid, "%s", message).WithField("spec.issuing_template").
		WithRemedy("%s Then have the guard look again; or somebody who may edit the authority signs it off: chancery authority sign-off %s.", first.Finding.Remedy, first.ID)
}

// Catalog is the authority's own list of choices. Its templates say what they
// require, and why one cannot be chosen, where the directory is known. When the
// authority does not answer, the directory's list of what it issues stands in.
func (s *Service) Catalog(ctx context.Context, actor ra.Actor, id ra.AuthorityID, lookup string, chosen map[string]string) ([]ca.Profile, error) {
	list, err := s.Authorities.Catalog(ctx, actor, id, lookup, chosen)
	if k := ra.KindOf(err); lookup != "templates" || k == ra.NotFound || k == ra.Denied {
		return list, err
	}
	var report *ra.PostureReport
	var dangers []*ra.Danger
	if looking := s.DB.Read(ctx, func(tx *store.Tx) error {
		p, err := tx.Posture(id)
		if err != nil {
			report = nil
			return unless(err, ra.NotFound)
		}
		report = &p.Report
		dangers, err = tx.Dangers(id)
		return err
	}); looking != nil {
		return nil, looking
	}
	if report == nil || err != nil && len(report.Templates) == 0 {
		return list, err
	}
	if err != nil {
		s.Log.Info("an authority does not list its templates; the directory does", "authority", id, "error", err)
		for _, t := range report.Templates {
			if t.Issued {
				list = append(list, ca.Profile{ID: t.Name, Title: t.Title, Note: t.OID})
			}
		}
	}
	for i := range list {
		describe(&list[i], report, dangers)
	}
	return list, nil
}

func describe(p *ca.Profile, report *ra.PostureReport, dangers []*ra.Danger) {
	if t, ok := report.Template(p.ID); ok {
		if t.Title != "" {
			p.Title = t.Title
		}
		p.Requires = append(p.Requires, t.Requires...)
		if t.Enroll == "no" {
			p.Requires = append(p.Requires, fmt.Sprintf("%s may not enrol from it yet.", report.Account))
		}
		p.Obstacles = append(p.Obstacles, t.Impossible...)
	}
	for _, d := range dangers {
		if d.Stops(p.ID) {
			p.Obstacles = append(p.Obstacles, d.Finding.Condition+": "+d.Finding.Sentence)
		}
	}
}

// Script writes the script that gives the authority's account the least rights it
// needs for one of its templates, with revoke also those to revoke. The directory
// is read for it.
func (s *Service) Script(ctx context.Context, actor ra.Actor, id ra.AuthorityID, template string, revoke bool) (string, error) {
	o, err := s.guarded(ctx, actor, access.EditAuthorities, id)
	if err != nil {
		return "", err
	}
	if o.Guard.Directory == "" {
		return "", ra.Errorf(ra.Invalid, "%s", noDirectory).WithField("settings.directory").WithRemedy("Define the directory of the CA's forest and enter it in the settings of the authority.")
	}
	l := &look{Input: guard.Input{Trust: guard.Trust{Admins: o.Guard.Admins, Large: o.Guard.Large}, Authority: guard.Authority{Name: o.Authority.Name}}}
	if err := s.readDirectory(ctx, o, l); err != nil {
		return "", err
	}
	if service := l.service(); service != nil {
		l.Authority.Name = service.DisplayName
	}
	t, ok := l.Directory.Template(template)
	if !ok {
		return "", ra.Errorf(ra.NotFound, "The directory has no template %.80q.", template).WithRemedy("Give the name of a template as requests do: its cn.")
	}
	return guard.LeastPrivilege(l.Directory, t, l.Authority, l.Trust, revoke)
}
