package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"chancery/internal/api/resource"
	"chancery/internal/ra"
)

// authorityGuard shows what the guard found; an open danger is a finding.
func (p *Program) authorityGuard() *cobra.Command {
	var run, all bool
	var q resource.ScriptQuery
	c := p.verb("guard AUTHORITY", "Show what is dangerous about a Microsoft CA and its templates", "  chancery authority guard \"Company CA\"\n  chancery authority guard \"Company CA\" --run\n  chancery authority guard \"Company CA\" --script Mobile --revoke > least.ps1", cobra.ExactArgs(1),
		func(s *session, args []string) error {
			id, err := s.authorityID(args[0])
			if err != nil {
				return err
			}
			if q.Template != "" {
				script, err := s.c.GuardScript(s.ctx, id, q)
				if err != nil {
					return err
				}
				if s.flags.output != "table" {
					return s.print(script)
				}
				_, err = io.WriteString(s.Stdout, script.PowerShell)
				return err
			}
			look := s.c.Guard
			if run {
				look = s.c.RunGuard
			}
			g, err := look(s.ctx, id)
			if err != nil {
				return err
			}
			if s.flags.output != "table" {
				err = s.print(g)
			} else {
				err = s.guard(g, all)
			}
			if err == nil && g.Open > 0 {
				return &exit{codeFindings}
			}
			return err
		})
	c.Flags().BoolVar(&run, "run", false, "look now")
	c.Flags().BoolVar(&all, "all", false, "with what was not found")
	c.Flags().StringVar(&q.Template, "script", "", "print the PowerShell script for the least rights on this template of the CA")
	c.Flags().BoolVar(&q.Revoke, "revoke", false, "with --script: with the right to revoke")
	return c
}

// guard prints the findings, the gravest first, each with what to do.
func (s *session) guard(g resource.Guard, all bool) error {
	if g.EvaluatedAt.IsZero() {
		_, err := fmt.Fprintln(s.Stdout, "The guard has not looked yet. Have it look now with --run.")
		return err
	}
	directory := g.DirectoryID
	if directory == "" {
		directory = "none: templates are not judged (set it with --directory)"
	}
	if err := s.facts(g, fact{"looked", when(g.EvaluatedAt) + " by " + g.EvaluatedBy}, fact{"directory", directory}, fact{"account", g.Account},
		fact{"next", next(g.Obligation)}, fact{"open dangers", fmt.Sprint(g.Open)}); err != nil {
		return err
	}
	dangers := map[string]resource.Danger{}
	for _, d := range g.Dangers {
		dangers[d.Finding.Name] = d
	}
	shown := map[string]bool{}
	line := func(f resource.Finding) {
		grade := f.Severity
		if grade == "" {
			grade = f.State
		}
		fmt.Fprintf(s.Stdout, "\n%-6s %s\n       %s\n", f.Condition, grade, printable(f.Sentence))
		if f.Remedy != "" {
			fmt.Fprintf(s.Stdout, "       hint: %s\n", printable(f.Remedy))
		}
		d, ok := dangers[f.Name]
		switch {
		case !ok:
		case !d.Open:
			fmt.Fprintf(s.Stdout, "       signed off by %s on %s: %s\n", d.SignOff.By, when(d.SignOff.At), printable(d.SignOff.Why))
		default:
			fmt.Fprintf(s.Stdout, "       open since %s: chancery authority sign-off %s --why TEXT\n", when(d.FoundAt), d.ID)
		}
		shown[f.Name] = true
	}
	for _, d := range g.Dangers {
		line(d.Finding)
	}
	for _, grade := range []string{ra.SeverityWarning, ra.SeverityAdvice, ra.FindingUnseen, ra.FindingNotFound} {
		for _, f := range g.Findings {
			if !shown[f.Name] && (f.Severity == grade || f.Severity == "" && f.State == grade) && (all || grade != ra.FindingNotFound) {
				line(f)
			}
		}
	}
	s.unread(g.Findings)
	return nil
}

// unread prints what could not be read, each with the conditions that were not
// judged for it.
func (s *session) unread(findings []resource.Finding) {
	var sentences []string
	conditions := map[string][]string{}
	for _, f := range findings {
		if f.State != ra.FindingUnreadable {
			continue
		}
		if conditions[f.Sentence] == nil {
			sentences = append(sentences, f.Sentence)
		}
		if !slices.Contains(conditions[f.Sentence], f.Condition) {
			conditions[f.Sentence] = append(conditions[f.Sentence], f.Condition)
		}
	}
	if len(sentences) > 0 {
		fmt.Fprintf(s.Stdout, "\n%s\n", ra.FindingUnreadable)
	}
	for _, text := range sentences {
		fmt.Fprintf(s.Stdout, "       %s (%s)\n", printable(text), strings.Join(conditions[text], ", "))
	}
}

func (p *Program) signOff() *cobra.Command {
	var why string
	c := p.verb("sign-off DANGER", "Let a danger be, in your own name", "  chancery authority sign-off dng_… --why \"Pilot until June; the network is closed.\"", cobra.ExactArgs(1), func(s *session, args []string) error {
		if strings.TrimSpace(why) == "" {
			return wrongCall("A sign-off needs a reason.", "Say why it may stay: --why TEXT.")
		}
		d, err := s.c.Danger(s.ctx, args[0])
		if err != nil {
			return err
		}
		if err := s.confirm("%s: %s Sign it off?", d.Finding.Condition, printable(d.Finding.Sentence)); err != nil {
			return err
		}
		if d, err = s.c.SignOffDanger(s.ctx, args[0], resource.SignOffInput{Hash: d.Finding.Hash, Why: why}); err != nil {
			return err
		}
		return s.say(d, "Signed off: %s %s. It is open again when anything about it changes.", d.Finding.Condition, printable(d.Finding.Object))
	})
	c.Flags().StringVar(&why, "why", "", "why it may stay")
	return c
}

func (p *Program) reopenDanger() *cobra.Command {
	return p.verb("reopen DANGER", "Take the sign-off of a danger back", "", cobra.ExactArgs(1), func(s *session, args []string) error {
		d, err := s.c.ReopenDanger(s.ctx, args[0])
		if err != nil {
			return err
		}
		return s.say(d, "Open again: %s %s.", d.Finding.Condition, printable(d.Finding.Object))
	})
}
