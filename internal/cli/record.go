package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"chancery/internal/api/resource"
	"chancery/internal/ra"
	"chancery/internal/setting"
)

func (p *Program) obligations() *cobra.Command {
	var q resource.ObligationQuery
	within := ""
	list := p.list("List what waits, what is due first on top", "  chancery obligation list --late\n  chancery obligation list --action renew --due-within 7d", func(f *pflag.FlagSet) {
		f.StringVar(&q.Group, "group", "", "this group and everything below it")
		f.StringVar(&q.Authority, "authority", "", "who issues")
		f.StringVar(&q.Action, "action", "", "approve, issue, fetch, renew, await, expire, retire, revoke, deliver, sync, publish, withdraw, hand_over, take_back, import, evaluate or mend")
		f.BoolVar(&q.Late, "late", false, "only what is past its deadline")
		f.StringVar(&within, "due-within", "", "such as 24h or 7d")
	}, func(s *session, l *listing) (err error) {
		if q.Group, err = s.groupID(q.Group); err != nil {
			return err
		}
		if q.Authority, err = s.authorityID(q.Authority); err != nil {
			return err
		}
		if within != "" {
			span, err := readSpan("--due-within", within)
			if err != nil {
				return err
			}
			q.DueBefore = s.Now().Add(span)
		}
		return show(s, l, func(page resource.PageQuery) (resource.Page[resource.Waiting], error) {
			q.PageQuery = page
			return s.c.Obligations(s.ctx, q)
		}, []column[resource.Waiting]{{"DUE", func(w resource.Waiting) string { return when(w.At) }}, {"ACTION", func(w resource.Waiting) string { return w.Action }},
			{"LATE", func(w resource.Waiting) string { return yes(w.Late) }}, {"WHAT", func(w resource.Waiting) string { return w.Kind }}, {"SUBJECT", func(w resource.Waiting) string { return w.Title }},
			{"AUTHORITY", func(w resource.Waiting) string { return s.label("authority", w.AuthorityID) }}, {"TRIES", func(w resource.Waiting) string { return fmt.Sprint(w.Attempts) }},
			{"LAST ERROR", func(w resource.Waiting) string { return brief(w.LastError) }}, {"ID", func(w resource.Waiting) string { return w.ID }}},
			"Nothing waits.")
	})
	return noun("obligation", "Obligations: what happens next, and when", list, p.calendar())
}

func (p *Program) calendar() *cobra.Command {
	var group string
	var days int
	c := p.verb("calendar", "Count the certificates that end on each of the coming days", "  chancery obligation calendar --days 30", cobra.NoArgs, func(s *session, _ []string) error {
		id, err := s.groupID(group)
		if err != nil {
			return err
		}
		cal, err := s.c.Calendar(s.ctx, id, days)
		if err != nil {
			return err
		}
		if s.flags.output != "table" {
			return s.print(cal.Days)
		}
		rows := [][]string{}
		for _, d := range cal.Days {
			rows = append(rows, []string{d.Date, fmt.Sprint(d.Count), s.label("authority", d.AuthorityID), d.Action})
		}
		return s.table([]string{"DAY", "END", "AUTHORITY", "UNLESS"}, rows, fmt.Sprintf("No certificate ends in the next %d days.", days))
	})
	c.Flags().StringVar(&group, "group", "", "this group and everything below it")
	c.Flags().IntVar(&days, "days", 90, "how many days ahead")
	return c
}

// span is a time span, read the way settings are.
type span struct{ time.Duration }

// Describe names the one field.
func (s *span) Describe(f *setting.Form) { f.Duration(&s.Duration, "span", "The time span") }

func readSpan(flag, text string) (time.Duration, error) {
	s := &span{}
	if err := setting.FromForm(s, map[string][]string{"span": {text}}); err != nil {
		e := *ra.AsError(err)
		e.Field, e.Remedy = flag, "Write "+flag+" like 30m, 24h or 7d."
		return 0, &e
	}
	return s.Duration, nil
}

func (p *Program) audits() *cobra.Command {
	var q resource.AuditQuery
	within := ""
	list := p.list("List the audit log, newest first", "  chancery audit list --object crt_…\n  chancery audit list --code certificate.revoked --within 7d", func(f *pflag.FlagSet) {
		f.StringVar(&q.Code, "code", "", "an event code, or the start of codes: certificate.")
		f.StringVar(&q.Object, "object", "", "ID of what it is about")
		f.StringVar(&q.Actor, "actor", "", "ID of who did it, or the name of one without")
		f.StringVar(&q.Group, "group", "", "this group and everything below it")
		f.StringVar(&q.Text, "text", "", "part of the message or the actor's name")
		f.TimeVar(&q.Since, "since", time.Time{}, []string{time.DateOnly, time.RFC3339}, "such as 2027-01-31")
		f.TimeVar(&q.Until, "until", time.Time{}, []string{time.DateOnly, time.RFC3339}, "not included")
		f.StringVar(&within, "within", "", "of the last such as 24h or 7d")
	}, func(s *session, l *listing) (err error) {
		if q.Group, err = s.groupID(q.Group); err != nil {
			return err
		}
		if within != "" {
			span, err := readSpan("--within", within)
			if err != nil {
				return err
			}
			q.Since = s.Now().Add(-span)
		}
		return show(s, l, func(page resource.PageQuery) (resource.Page[resource.Event], error) {
			q.PageQuery = page
			return s.c.Audit(s.ctx, q)
		}, []column[resource.Event]{{"NUMBER", func(e resource.Event) string { return fmt.Sprint(e.Seq) }}, {"WHEN", func(e resource.Event) string { return when(e.At) }},
			{"WHAT", func(e resource.Event) string { return e.Code }}, {"RESULT", func(e resource.Event) string { return e.Result }}, {"WHO", func(e resource.Event) string { return e.Actor.Name }},
			{"VIA", func(e resource.Event) string { return e.Actor.Via }}, {"MESSAGE", func(e resource.Event) string { return e.Message }}},
			"Nothing on record fits.")
	})
	verify := p.verb("verify", "Check that the audit log is unbroken", "", cobra.NoArgs, func(s *session, _ []string) error {
		r, err := s.c.VerifyAudit(s.ctx)
		if err != nil {
			return err
		}
		if s.flags.output != "table" {
			err = s.print(r)
		} else if r.OK {
			_, err = fmt.Fprintf(s.Stdout, "The audit log is unbroken: %d entries, head %s.\n", r.Entries, r.Head)
		} else {
			_, err = fmt.Fprintf(s.Stdout, "The audit log is BROKEN at entry %d: %s\n", r.Broken, r.Problem)
		}
		if err == nil && !r.OK {
			return &exit{codeFindings}
		}
		return err
	})
	return noun("audit", "The audit log: who did what", list, verify)
}
