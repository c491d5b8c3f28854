package enroll

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/ca"
	"chancery/internal/keydelivery"
	"chancery/internal/lookup"
	"chancery/internal/posture"
	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/store"
)

// TemplateInput is what somebody says about a template. In an update nil
// fields stay as they are; Spec replaces the whole spec.
type TemplateInput struct {
	GroupID     *ra.GroupID
	AuthorityID *ra.AuthorityID
	Name        *string
	Description *string
	Spec        *ra.TemplateSpec
	Disabled    *bool
}

// CreateTemplate stores a new template after its checks and its own tests.
func (s *Service) CreateTemplate(ctx context.Context, actor ra.Actor, in TemplateInput) (*ra.Template, error) {
	t := &ra.Template{ID: ra.NewID[ra.TemplateID](ra.TemplatePrefix, s.Now()), Revision: 1}
	apply(t, in)
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		if err := s.checkTemplate(tx, actor, t); err != nil {
			return err
		}
		if err := admit(tx, nil, t); err != nil {
			return err
		}
		if err := tx.CreateTemplate(t); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.TemplateCreated, Actor: actor, Group: t.GroupID, Object: string(t.ID), Related: string(t.AuthorityID),
			Message: "Template " + t.Name + " defined."})
	})
	return t, err
}

// UpdateTemplate changes a template. A changed spec gets a new revision.
func (s *Service) UpdateTemplate(ctx context.Context, actor ra.Actor, id ra.TemplateID, in TemplateInput) (t *ra.Template, err error) {
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		if t, err = tx.Template(id); err != nil {
			return err
		}
		if err := access.CheckGroup(tx, actor, access.EditTemplates, t.GroupID); err != nil {
			return err
		}
		before := *t
		apply(t, in)
		if err := s.checkTemplate(tx, actor, t); err != nil {
			return err
		}
		if err := admit(tx, &before, t); err != nil {
			return err
		}
		changes := templateChanges(&before, t)
		if !reflect.DeepEqual(before.Spec, t.Spec) {
			t.Revision++
		}
		if err := tx.UpdateTemplate(t); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.TemplateChanged, Actor: actor, Group: t.GroupID, Object: string(t.ID), Related: string(t.AuthorityID),
			Message: "Template " + t.Name + " changed.", Details: map[string]any{"changes": changes, "revision": t.Revision}})
	})
	return t, err
}

// DeleteTemplate removes a template nothing was ever asked for with; others
// are switched off instead, so that the record stays whole.
func (s *Service) DeleteTemplate(ctx context.Context, actor ra.Actor, id ra.TemplateID) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		t, err := tx.Template(id)
		if err != nil {
			return err
		}
		if err := access.CheckGroup(tx, actor, access.EditTemplates, t.GroupID); err != nil {
			return err
		}
		if err := tx.DeleteTemplate(id); err != nil {
			if ra.KindOf(err) == ra.Conflict {
				return ra.Errorf(ra.Conflict, "Template %q has been used and stays in the record.", t.Name).
					WithRemedy("Switch it off instead: chancery template update %s --disabled.", t.ID).WithCause(err)
			}
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.TemplateDeleted, Actor: actor, Group: t.GroupID, Object: string(id), Message: "Template " + t.Name + " deleted."})
	})
}

// Template gives one template.
func (s *Service) Template(ctx context.Context, actor ra.Actor, id ra.TemplateID) (t *ra.Template, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if t, err = tx.Template(id); err != nil {
			return err
		}
		return access.CheckLent(tx, actor, t.GroupID)
	})
	return t, err
}

// FindTemplates lists the templates the actor may see.
func (s *Service) FindTemplates(ctx context.Context, actor ra.Actor, f store.TemplateFilter) (list []*ra.Template, next string, err error) {
	asked := f.Groups
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if f.Groups, err = access.LentWithin(tx, actor, asked); err != nil {
			return err
		}
		list, next, err = tx.FindTemplates(f)
		return err
	})
	return list, next, err
}

func apply(t *ra.Template, in TemplateInput) {
	set(&t.GroupID, in.GroupID)
	set(&t.AuthorityID, in.AuthorityID)
	set(&t.Name, in.Name)
	set(&t.Description, in.Description)
	set(&t.Spec, in.Spec)
	set(&t.Disabled, in.Disabled)
	normalize(&t.Spec)
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// checkTemplate: the actor's rights on both groups, every field, the
// authority's own options, and the template's tests.
func (s *Service) checkTemplate(tx *store.Tx, actor ra.Actor, t *ra.Template) error {
	var p ra.Problems
	if ra.Fold(t.Name) == "" || len(t.Name) > 200 {
		p.Add("name", "A template needs a name of 1 to 200 characters.", "Give it the name people know it by.")
	}
	if t.GroupID == "" {
		p.Add("group_id", "A template belongs to an organization group.", "Name the group.")
	}
	if t.AuthorityID == "" {
		p.Add("authority_id", "A template asks one authority.", "Name the authority.")
	}
	if err := p.Err(); err != nil {
		return err
	}
	if err := access.CheckGroup(tx, actor, access.EditTemplates, t.GroupID); err != nil {
		return err
	}
	a, err := tx.Authority(t.AuthorityID)
	if err != nil {
		return err
	}
	if err := access.CheckLent(tx, actor, a.GroupID); err != nil {
		return err
	}
	kind, err := s.Authorities.Kind(a.Kind)
	if err != nil {
		return err
	}
	p.Merge("spec", check(&t.Spec, kind))
	if _, err := templateOptions(kind, &t.Spec); err != nil {
		p.Merge("spec.options", err)
	}
	if err := p.Err(); err != nil {
		return err
	}
	p.Merge("spec", keydelivery.Admit(tx, actor, t.GroupID, &t.Spec))
	if err := p.Err(); err != nil {
		return err
	}
	for i, r := range RunTests(t) {
		if !r.Passed {
			p.Add(fmt.Sprintf("spec.tests[%d]", i), fmt.Sprintf("The template's test %q fails: %s", r.Name, r.Got), "Correct the template or the test; nothing was saved.")
		}
	}
	return p.Err()
}

// admit asks whether what a template newly takes into use at its authority is too
// dangerous, or impossible. A change of anything else is free: the template issues
// already. before is nil for a new one.
func admit(tx *store.Tx, before, t *ra.Template) error {
	same := before != nil && !before.Disabled && before.AuthorityID == t.AuthorityID && before.Spec.IssuingTemplate == t.Spec.IssuingTemplate
	if same || t.Disabled {
		return nil
	}
	return posture.Admit(tx, t)
}

// templateOptions reads the authority kind's per-template settings.
func templateOptions(kind ca.Kind, spec *ra.TemplateSpec) (setting.Describer, error) {
	if kind.NewOptions == nil {
		if len(spec.Options) > 0 {
			return nil, ra.Errorf(ra.Invalid, "%s has no settings of its own in a template.", kind.Title).WithRemedy("Leave the options out.")
		}
		return nil, nil
	}
	o := kind.NewOptions()
	setting.Defaults(o)
	raw, err := json.Marshal(spec.Options)
	if err != nil {
		return nil, err
	}
	if spec.Options == nil {
		raw = []byte("{}")
	}
	return o, setting.FromJSON(o, raw)
}

// TestResult is how one of a template's own tests went.
type TestResult struct {
	Name   string `json:"name"`
	Passed bool   `json:"passed"`
	Got    string `json:"got"` // what it gave instead; for a passed test what it gave
}

// RunTests runs a template's own tests.
func RunTests(t *ra.Template) []TestResult {
	out := make([]TestResult, len(t.Spec.Tests))
	for i, test := range t.Spec.Tests {
		out[i] = runTest(t, test)
	}
	return out
}

func runTest(t *ra.Template, test ra.TemplateTest) TestResult {
	values := test.Values
	if values == nil {
		values = map[string]string{}
	}
	f, err := fill(t, lookup.Subject{Fixture: values})
	r := TestResult{Name: test.Name}
	if err != nil {
		r.Got = "error: " + ra.AsError(err).Error()
		r.Passed = test.Want.Error != "" && strings.Contains(r.Got, test.Want.Error)
		return r
	}
	sans := sanTexts(f.SANs)
	r.Got = fmt.Sprintf("subject %q, alternative names %q", f.Subject, sans)
	r.Passed = test.Want.Error == "" && f.Subject == test.Want.Subject && slices.Equal(sans, test.Want.SANs)
	return r
}

func templateChanges(before, after *ra.Template) audit.Changes {
	var out audit.Changes
	out.Add("group_id", before.GroupID, after.GroupID)
	out.Add("authority_id", before.AuthorityID, after.AuthorityID)
	out.Add("name", before.Name, after.Name)
	out.Add("description", before.Description, after.Description)
	out.Add("disabled", before.Disabled, after.Disabled)
	b, a := specMap(&before.Spec), specMap(&after.Spec)
	for _, key := range sortedKeys(b, a) {
		out.Add("spec."+key, b[key], a[key])
	}
	return out
}

func specMap(s *ra.TemplateSpec) map[string]any {
	raw, err := json.Marshal(s)
	m := map[string]any{}
	if err == nil {
		err = json.Unmarshal(raw, &m)
	}
	if err != nil {
		panic(err) // a spec is plain data
	}
	return m
}

func sortedKeys(maps ...map[string]any) []string {
	var keys []string
	for _, m := range maps {
		for k := range m {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}
