package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"chancery/internal/api/resource"
	"chancery/internal/ra"
)

// authorityImport takes over what an authority issued without this server.
func (p *Program) authorityImport() *cobra.Command {
	remove := p.verb("remove AUTHORITY", "Remove the import; what was taken over stays", "", cobra.ExactArgs(1), func(s *session, args []string) error {
		id, err := s.authorityID(args[0])
		if err != nil {
			return err
		}
		if err := s.confirm("Remove the import of %s? What was taken over stays.", args[0]); err != nil {
			return err
		}
		if err := s.c.DeleteAuthorityImport(s.ctx, id); err != nil {
			return err
		}
		return s.say(nil, "The import is removed.")
	})
	cancel := p.verb("cancel RUN", "End a run; what it has taken over stays", "  chancery authority import cancel cir_…", cobra.ExactArgs(1), func(s *session, args []string) error {
		run, err := s.c.CancelImport(s.ctx, args[0])
		if err != nil {
			return err
		}
		return s.say(run, "Run %s is %s. What it has taken over stays.", run.ID, run.State)
	})
	return noun("import", "Take over certificates that an authority issued without this server", p.setupImport(), p.showImport(), p.runImport(true), p.runImport(false), p.importRuns(), cancel, remove)
}

func (p *Program) setupImport() *cobra.Command {
	var group, scope, every string
	var adopt map[string]string
	var c *cobra.Command
	c = p.verb("setup AUTHORITY", "Set the import up, or change it", "  chancery authority import setup \"Company CA\" --group Acme --every 1h\n  chancery authority import setup \"Company CA\" --scope all --adopt \"WebServer=Web servers\"",
		cobra.ExactArgs(1), func(s *session, args []string) error {
			id, err := s.authorityID(args[0])
			if err != nil {
				return err
			}
			f := c.Flags()
			in := resource.CAImportInput{Scope: given(f, "scope", scope), Every: given(f, "every", every)}
			if f.Changed("group") {
				if group, err = s.groupID(group); err != nil {
					return err
				}
				in.GroupID = &group
			}
			if f.Changed("adopt") {
				in.Adopt = map[string]string{}
				for name, ref := range adopt {
					if in.Adopt[name], err = s.templateID(ref); err != nil {
						return err
					}
				}
			}
			i, err := s.c.SetAuthorityImport(s.ctx, id, in)
			if err != nil {
				return err
			}
			return s.say(i, "The import of %s is set up. See what would come in with: chancery authority import preview %s", s.label("authority", id), id)
		})
	f := c.Flags()
	f.StringVar(&group, "group", "", "organization group of certificates that are of no known user or device")
	f.StringVar(&scope, "scope", "", "current: certificates that have not ended; all: those that have ended, too")
	f.StringToStringVar(&adopt, "adopt", nil, "CA-TEMPLATE=TEMPLATE: the template here that renews what is taken over; all of them at once")
	f.StringVar(&every, "every", "", `how often changes are taken over once a run has gone through, such as 1h; "" for only when somebody asks`)
	return c
}

func (p *Program) showImport() *cobra.Command {
	return p.verb("show AUTHORITY", "Show how the import is set up and how far it has come", "", cobra.ExactArgs(1), func(s *session, args []string) error {
		id, err := s.authorityID(args[0])
		if err != nil {
			return err
		}
		i, err := s.c.AuthorityImport(s.ctx, id)
		if err != nil {
			return err
		}
		every := i.Every
		if every == "" {
			every = "only when somebody asks"
		}
		lines := []fact{{"authority", s.label("authority", i.AuthorityID)}, {"group", s.groupName(i.GroupID)}, {"scope", i.Scope}, {"every", every}}
		for _, name := range slices.Sorted(maps.Keys(i.Adopt)) {
			lines = append(lines, fact{"adopted", name + " by " + s.label("template", i.Adopt[name])})
		}
		return s.facts(i, append(lines, fact{"imported", fmt.Sprint(i.Imported)}, fact{"went through", when(i.Finished)}, fact{"next run", when(i.Obligation.At)}, fact{"last error", i.LastError},
			fact{"set up by", i.UpdatedBy}, fact{"changed", when(i.UpdatedAt)})...)
	})
}

// runImport orders a run, or the preview of one, and waits for its end.
func (p *Program) runImport(preview bool) *cobra.Command {
	in := resource.CAImportOrder{Preview: preview}
	var wait time.Duration
	use, about, example := "run AUTHORITY", "Take certificates over now", "  chancery authority import run \"Company CA\"\n  chancery authority import run \"Company CA\" --full --wait 0"
	if preview {
		use, about, example = "preview AUTHORITY", "Count what would be taken over, and keep nothing", "  chancery authority import preview \"Company CA\""
	}
	c := p.verb(use, about, example, cobra.ExactArgs(1), func(s *session, args []string) error {
		id, err := s.authorityID(args[0])
		if err != nil {
			return err
		}
		run, err := s.c.OrderImport(s.ctx, id, in)
		for end := time.Now().Add(wait); err == nil && underWay(run) && time.Now().Before(end); {
			s.progress(run)
			time.Sleep(200 * time.Millisecond)
			run, err = s.c.ImportRun(s.ctx, run.ID)
		}
		s.progressEnds()
		if err != nil {
			return err
		}
		if err := s.showImportRun(run); err != nil || run.State != string(ra.ImportFailed) {
			return err
		}
		return &exit{codeFindings}
	})
	c.Flags().BoolVar(&in.Full, "full", false, "read everything, not only what changed since the last run")
	c.Flags().DurationVar(&wait, "wait", 10*time.Minute, "how long to wait for the end; 0 for not at all. Runs are done by a server.")
	return c
}

func underWay(r resource.CAImportRun) bool {
	return r.State == string(ra.ImportWaiting) || r.State == string(ra.ImportRunning)
}

// progress tells a person at a terminal how far a run has come, in one line that is
// written over.
func (s *session) progress(r resource.CAImportRun) {
	if s.Terminal {
		fmt.Fprintf(s.Stderr, "\r\x1b[K%s %d read, %d new", strings.TrimSpace(printable(r.Phase)), r.Read, r.Added)
	}
}

func (s *session) progressEnds() {
	if s.Terminal {
		fmt.Fprint(s.Stderr, "\r\x1b[K")
	}
}

func (s *session) showImportRun(r resource.CAImportRun) error {
	added := "new"
	if r.Preview {
		added = "would be new"
	}
	err := s.facts(r, fact{"run", r.ID}, fact{"state", r.State}, fact{"doing", r.Phase}, fact{"ordered by", r.OrderBy}, fact{"preview", yes(r.Preview)}, fact{"everything", yes(r.Full)},
		fact{"read", fmt.Sprint(r.Read)}, fact{"known before", fmt.Sprint(r.Known)}, fact{added, fmt.Sprint(r.Added)}, fact{"skipped", fmt.Sprint(r.Skipped)}, fact{"changed", fmt.Sprint(r.Changed)},
		fact{"matched", fmt.Sprint(r.Matched)}, fact{"differences", fmt.Sprint(r.Differences)}, fact{"message", r.Message}, fact{"hint", r.Remedy})
	if err != nil || s.flags.output != "table" {
		return err
	}
	if len(r.Templates) > 0 {
		rows := [][]string{}
		for _, t := range r.Templates {
			rows = append(rows, []string{t.Name, fmt.Sprint(t.Read), fmt.Sprint(t.Added), fmt.Sprint(t.Matched)})
		}
		fmt.Fprintln(s.Stdout)
		if err := s.table([]string{"TEMPLATE OF THE CA", "READ", strings.ToUpper(added), "MATCHED"}, rows, ""); err != nil {
			return err
		}
	}
	if len(r.Problems) > 0 {
		rows := [][]string{}
		for _, p := range r.Problems {
			rows = append(rows, []string{fmt.Sprint(p.Number), p.Serial, strings.TrimSpace(p.Message + " " + p.Remedy)})
		}
		fmt.Fprintln(s.Stdout)
		return s.table([]string{"REQUEST AT THE CA", "SERIAL", "PROBLEM"}, rows, "")
	}
	return nil
}

func (p *Program) importRuns() *cobra.Command {
	l := &listing{limit: 20}
	c := p.verb("runs AUTHORITY", "List the runs of the import, newest first", "  chancery authority import runs \"Company CA\"", cobra.ExactArgs(1), func(s *session, args []string) error {
		id, err := s.authorityID(args[0])
		if err != nil {
			return err
		}
		return show(s, l, func(page resource.PageQuery) (resource.Page[resource.CAImportRun], error) {
			return s.c.ImportRuns(s.ctx, id, page)
		},
			[]column[resource.CAImportRun]{{"ORDERED", func(r resource.CAImportRun) string { return when(r.Created) }}, {"STATE", func(r resource.CAImportRun) string { return r.State }},
				{"PREVIEW", func(r resource.CAImportRun) string { return yes(r.Preview) }}, {"BY", func(r resource.CAImportRun) string { return r.OrderBy }},
				{"READ", func(r resource.CAImportRun) string { return fmt.Sprint(r.Read) }}, {"NEW", func(r resource.CAImportRun) string { return fmt.Sprint(r.Added) }},
				{"RESULT", func(r resource.CAImportRun) string { return brief(r.Message) }}, {"ID", func(r resource.CAImportRun) string { return r.ID }}},
			"Nothing was taken over yet.")
	})
	c.Flags().IntVar(&l.limit, "limit", 20, "how many at most; 0 for all")
	return c
}

// differences are what authorities' records and ours do not agree on.
func (p *Program) differences() *cobra.Command {
	var q resource.DifferenceQuery
	var open, settled bool
	filter := func(f *pflag.FlagSet) {
		f.StringVar(&q.Authority, "authority", "", "whose records")
		f.StringVar(&q.Kind, "kind", "", "not_ours, no_request, ended or not_revoked")
		f.StringVar(&q.Group, "group", "", "this group and everything below it")
		f.StringVar(&q.Text, "text", "", "part of the subject or of the requester, or a serial number")
		f.BoolVar(&open, "open", false, "only those that are open")
		f.BoolVar(&settled, "settled", false, "only those that are settled")
	}
	read := func(s *session) (err error) {
		if open != settled {
			q.Open = fmt.Sprint(open)
		}
		if q.Group, err = s.groupID(q.Group); err != nil {
			return err
		}
		q.Authority, err = s.authorityID(q.Authority)
		return err
	}
	list := p.list("List what authorities' records and those here do not agree on", "  chancery difference list --open\n  chancery difference list --authority \"Company CA\" --kind not_ours", filter, func(s *session, l *listing) error {
		if err := read(s); err != nil {
			return err
		}
		return show(s, l, func(page resource.PageQuery) (resource.Page[resource.Difference], error) {
			q.PageQuery = page
			return s.c.Differences(s.ctx, q)
		}, []column[resource.Difference]{{"FOUND", func(d resource.Difference) string { return when(d.FoundAt) }}, {"KIND", func(d resource.Difference) string { return d.Kind }},
			{"OPEN", func(d resource.Difference) string { return yes(d.Open) }}, {"SUBJECT", func(d resource.Difference) string { return d.Subject }},
			{"REQUESTER", func(d resource.Difference) string { return d.Requester }}, {"AUTHORITY", func(d resource.Difference) string { return s.label("authority", d.AuthorityID) }},
			{"ID", func(d resource.Difference) string { return d.ID }}}, "There is no difference.")
	})
	export := p.verb("export", "Write differences as CSV", "  chancery difference export --open > differences.csv", cobra.NoArgs, func(s *session, _ []string) error {
		if err := read(s); err != nil {
			return err
		}
		return s.c.ExportDifferences(s.ctx, q, s.Stdout)
	})
	filter(export.Flags())
	return noun("difference", "Differences: where an authority's records and those here do not agree", list, p.showDifference(), p.settleDifference(), export)
}

func (p *Program) showDifference() *cobra.Command {
	return p.verb("show DIFFERENCE", "Show a difference, what it means and what to do", "", cobra.ExactArgs(1), func(s *session, args []string) error {
		d, err := s.c.Difference(s.ctx, args[0])
		if err != nil {
			return err
		}
		return s.facts(d, fact{"difference", d.ID}, fact{"kind", d.Kind + ": " + d.Title}, fact{"open", yes(d.Open)}, fact{"means", d.Meaning}, fact{"to do", d.Remedy},
			fact{"authority", s.label("authority", d.AuthorityID)}, fact{"number there", fmt.Sprint(d.Number)}, fact{"serial", d.Serial}, fact{"subject", d.Subject}, fact{"requester", d.Requester},
			fact{"template there", d.Template}, fact{"certificate", d.CertificateID}, fact{"request", d.RequestID}, fact{"group", s.groupName(d.GroupID)}, fact{"found", when(d.FoundAt)},
			fact{"settled", strings.TrimSpace(when(d.SettledAt) + " " + d.SettledBy)}, fact{"comment", d.Comment})
	})
}

func (p *Program) settleDifference() *cobra.Command {
	comment := ""
	c := p.verb("settle DIFFERENCE", "Say that a difference is known, in your own name", "  chancery difference settle dif_… --comment \"Issued by hand while the server was down.\"", cobra.ExactArgs(1), func(s *session, args []string) error {
		if strings.TrimSpace(comment) == "" {
			return wrongCall("What is settled needs a comment.", "Say why it is known: --comment TEXT.")
		}
		d, err := s.c.SettleDifference(s.ctx, args[0], resource.SettleInput{Comment: comment})
		if err != nil {
			return err
		}
		return s.say(d, "Settled: %s, %s.", d.Title, printable(d.Subject))
	})
	c.Flags().StringVar(&comment, "comment", "", "why it is known, for the record")
	return c
}
