package posture

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"chancery/internal/access"
	"chancery/internal/adpki"
	"chancery/internal/audit"
	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/store"
)

const (
	every    = 24 * time.Hour     // a look
	again    = time.Hour          // after one that could not see everything it should
	patience = 3 * 24 * time.Hour // without a whole look before people are told
	// toMend is how long a danger may be open before people are told once more.
	toMend = 7 * 24 * time.Hour
)

// Evaluate looks at an authority now and remembers what was found. What the look
// could not see is in the report, not in the error.
func (s *Service) Evaluate(ctx context.Context, actor ra.Actor, id ra.AuthorityID) (*View, error) {
	if _, err := s.guarded(ctx, actor, access.EditAuthorities, id); err != nil {
		return nil, err
	}
	if err := s.evaluate(ctx, actor, id); err != nil {
		return nil, err
	}
	return s.Get(ctx, actor, id)
}

// Step is Evaluate as the last step of a test of the connection.
func (s *Service) Step(ctx context.Context, actor ra.Actor, id ra.AuthorityID) ca.Step {
	began := s.Now()
	v, err := s.Evaluate(ctx, actor, id)
	step := ca.Step{Name: "guard", State: ca.StepOK, Detail: "Nothing dangerous was found.", Took: s.Now().Sub(began)}
	if err != nil {
		e := ra.AsError(err)
		step.State, step.Detail, step.Remedy = ca.StepWarning, e.Message, e.Remedy
		return step
	}
	var open []string
	for _, d := range v.Dangers {
		if d.Open() {
			open = append(open, strings.TrimSpace(d.Finding.Condition+" "+d.Finding.Object))
		}
	}
	switch {
	case len(open) > 0:
		step.State, step.Detail = ca.StepWarning, fmt.Sprintf("%d open: %s.", len(open), strings.Join(open[:min(len(open), 10)], ", "))
		step.Remedy = fmt.Sprintf("Mend each or sign it off: chancery authority guard %q says how.", v.Authority.Name)
	case v.Posture.LastError != "":
		step.State, step.Detail = ca.StepWarning, v.Posture.LastError
	case v.Directory == nil:
		step.State, step.Detail, step.Remedy = ca.StepWarning, "No directory is set, so only what the CA itself tells was judged.", "Define the directory of the CA's forest and enter it in the settings of the authority."
	}
	return step
}

func (s *Service) evaluate(ctx context.Context, actor ra.Actor, id ra.AuthorityID) error {
	o, err := s.Authorities.Reach(ctx, id)
	if err != nil {
		return s.remember(ctx, actor, id, time.Time{}, nil, err)
	}
	l, err := s.look(ctx, o)
	if err != nil {
		return err
	}
	var before *ra.PostureReport
	if err := s.DB.Read(ctx, func(tx *store.Tx) error {
		p, err := tx.Posture(id)
		if err != nil {
			before = nil
			return unless(err, ra.NotFound)
		}
		before = &p.Report
		return nil
	}); err != nil {
		return err
	}
	return s.remember(ctx, actor, id, o.Authority.UpdatedAt, l.report(o, actor, before), l.problem)
}

func unless(err error, kind ra.Kind) error {
	if ra.KindOf(err) == kind {
		return nil
	}
	return err
}

// remember stores a look: its report, nil when there was none, and why it did not
// see all it should. version is the authority's that was looked at.
func (s *Service) remember(ctx context.Context, actor ra.Actor, id ra.AuthorityID, version time.Time, report *ra.PostureReport, problem error) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		a, err := tx.Authority(id)
		if err != nil {
			return err
		}
		p, err := tx.Posture(id)
		if unless(err, ra.NotFound) != nil {
			return err
		}
		if err != nil {
			p = &ra.Posture{ID: id}
		}
		if p.Version = version; version.IsZero() {
			p.Version = a.UpdatedAt
		}
		first, told := p.Evaluated.IsZero(), p.LastError
		p.Obligation = next(tx.Now, p.Obligation, problem)
		if report != nil {
			p.Evaluated, p.Report = tx.Now, *report
		}
		if err := tx.PutPosture(p); err != nil { // first: it keeps another look that ends now from the dangers
			return err
		}
		if report != nil {
			if err := s.compare(tx, actor, a, report); err != nil {
				return err
			}
		}
		e := audit.Entry{Code: audit.PostureEvaluated, Actor: actor, Group: a.GroupID, Object: string(id), Message: "Authority " + a.Name + " and its templates were judged by the guard."}
		if problem != nil {
			e.Result, e.Message = "failed", "The guard of authority "+a.Name+" could not see everything: "+ra.AsError(problem).Message
		}
		if actor.Kind == ra.ActorSystem && !first && told == p.LastError {
			return nil // a daily look that went like the one before
		}
		return audit.Record(tx, e)
	})
}

// next is when an authority is looked at again.
func next(now time.Time, before ra.Obligation, problem error) ra.Obligation {
	if problem == nil {
		return ra.Obligation{Action: ra.ActionEvaluate, At: now.Add(every), Deadline: now.Add(every + patience)}
	}
	e := ra.AsError(problem)
	o := ra.Obligation{Action: ra.ActionEvaluate, At: now.Add(max(again, e.Retry)), Deadline: before.Deadline, Attempts: before.Attempts + 1, LastError: e.Say(), Escalated: before.Escalated}
	if o.Deadline.IsZero() {
		o.Deadline = now.Add(patience)
	}
	return o
}

// compare brings the rows of dangers in line with what was found.
func (s *Service) compare(tx *store.Tx, actor ra.Actor, a *ra.Authority, report *ra.PostureReport) error {
	list, err := tx.Dangers(a.ID)
	if err != nil {
		return err
	}
	known := map[string]*ra.Danger{}
	for _, d := range list {
		known[d.Finding.Key] = d
	}
	for _, f := range report.Findings {
		if !f.Dangerous() {
			continue
		}
		d := known[f.Key]
		delete(known, f.Key)
		if err := s.found(tx, actor, a, d, f); err != nil {
			return err
		}
	}
	for _, d := range list {
		if known[d.Finding.Key] == nil || slices.ContainsFunc(report.Findings, func(f ra.Finding) bool { return hides(&f, d) }) {
			continue // it is still there, or may be
		}
		if err := tx.DeleteDanger(d.ID); err != nil {
			return err
		}
		if err := record(tx, audit.DangerGone, actor, a, d, "Not a danger any more: "+title(d)+"."); err != nil {
			return err
		}
	}
	return nil
}

// found stores a danger that was seen; d is what is known of it, nil when it is
// new.
func (s *Service) found(tx *store.Tx, actor ra.Actor, a *ra.Authority, d *ra.Danger, f ra.Finding) error {
	users, err := users(tx, a.ID, &f)
	if err != nil {
		return err
	}
	if d == nil {
		d = &ra.Danger{ID: ra.NewID[ra.DangerID](ra.DangerPrefix, tx.Now), AuthorityID: a.ID, Finding: f, Seen: tx.Now}
		d.Obligation = mend(tx.Now, d, users)
		if err := tx.CreateDanger(d); err != nil {
			return err
		}
		s.Log.Warn("the guard found a danger", "authority", a.Name, "condition", f.Condition, "object", f.Object)
		return record(tx, audit.DangerFound, actor, a, d, "Danger found: "+title(d)+". "+f.Sentence)
	}
	signed := !d.Open()
	d.Finding, d.Seen = f, tx.Now
	lapsed := signed && d.Open()
	switch {
	case lapsed:
		d.SignOff.Ended = tx.Now
		d.Obligation = mend(tx.Now, d, users)
	case d.Open():
		d.LastError = owed(d, users)
	}
	if err := tx.UpdateDanger(d); err != nil || !lapsed {
		return err
	}
	s.Log.Warn("a danger that was signed off has changed", "authority", a.Name, "condition", f.Condition, "object", f.Object)
	return record(tx, audit.DangerLapsed, actor, a, d, "The sign-off by "+d.SignOff.By+" has lapsed, because it changed: "+title(d)+". "+f.Sentence)
}

// mend is what people owe an open danger.
func mend(now time.Time, d *ra.Danger, users []string) ra.Obligation {
	return ra.Obligation{Action: ra.ActionMend, At: now, Deadline: now.Add(toMend), LastError: owed(d, users)}
}

// owed says what is wrong, and which templates of ours go on using it.
func owed(d *ra.Danger, users []string) string {
	text := d.Finding.Sentence
	if d.Lapsed() {
		text += " It was signed off by " + d.SignOff.By + " and has changed since."
	}
	if len(users) == 0 {
		return text
	}
	shown, more := users, ""
	if len(users) > 5 {
		shown, more = users[:5], fmt.Sprintf(" and %d more", len(users)-5)
	}
	return text + " Still issuing from it: " + strings.Join(shown, ", ") + more + "."
}

// users lists our templates that go on issuing although a danger would stop them.
func users(tx *store.Tx, id ra.AuthorityID, f *ra.Finding) ([]string, error) {
	if f.Template == "" {
		return nil, nil
	}
	var names []string
	filter := store.TemplateFilter{Authority: id, Page: store.Page{Limit: store.MaxPage}}
	list, _, err := tx.FindTemplates(filter)
	for _, t := range list {
		if !t.Disabled && strings.EqualFold(t.Spec.IssuingTemplate, f.Template) {
			names = append(names, t.Name)
		}
	}
	return names, err
}

// hides reports whether a finding says that a danger could not be looked for.
func hides(f *ra.Finding, d *ra.Danger) bool {
	unread, ok := strings.CutPrefix(f.Key, d.Finding.Condition+":unread:")
	if f.State != ra.FindingUnreadable || !ok {
		return false
	}
	_, object, _ := strings.Cut(strings.TrimPrefix(d.Finding.Key, d.Finding.Condition+":"), ":")
	unread = strings.ToLower(unread)
	return d.Finding.Authority || unread == object || strings.HasPrefix(object, unread+"/") || // the page of a host
		d.Finding.Condition == "ESC8" && !strings.Contains(unread, "://") || // no page was asked
		strings.HasPrefix(unread, "cn="+strings.ToLower(d.Finding.Object)+",") ||
		slices.ContainsFunc(parts, func(p adpki.Part) bool { return unread == strings.ToLower(string(p)) })
}

func title(d *ra.Danger) string {
	return strings.TrimSpace(d.Finding.Condition + " " + d.Finding.Object)
}

func record(tx *store.Tx, code string, actor ra.Actor, a *ra.Authority, d *ra.Danger, message string) error {
	return audit.Record(tx, audit.Entry{Code: code, Actor: actor, Group: a.GroupID, Object: string(a.ID), Related: string(d.ID), Message: message,
		Details: map[string]any{"condition": d.Finding.Condition, "object": d.Finding.Object, "hash": d.Finding.Hash}})
}
