package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"chancery/internal/api/resource"
	"chancery/internal/ra"
)

// traceSigns go before the word of a state.
var traceSigns = map[string]string{"done": "+", "inferred": "~", "skipped": "-", "waiting": "…", "failed": "x", "not_reached": " "}

// traceWho are the columns' words for who takes a step.
var traceWho = map[string]string{"device": "device", "chancery": "Chancery", "authority": "authority", "person": "person"}

func (p *Program) traces() *cobra.Command {
	all := false
	display := p.verb("show ID", "Tell how an enrolment went, hop by hop", "  chancery trace show pass_…\n  chancery trace show \"Ada's laptop\"\n  chancery trace show pass_… --fields", cobra.ExactArgs(1),
		func(s *session, args []string) error {
			id, err := s.traced(args[0])
			if err != nil {
				return err
			}
			t, err := s.c.Trace(s.ctx, id)
			if err != nil {
				return err
			}
			return s.showTrace(t, all)
		})
	display.Long = "Tell how an enrolment went, hop by hop. ID is that of a pass, a request, a certificate or a device, the name of a device, or the whole transaction ID of SCEP."
	display.Flags().BoolVar(&all, "fields", false, "show what was decoded, too")
	return noun("trace", "Traces: how an enrolment went, hop by hop", display)
}

// traced gives the ID of a device that is called by its name, and whatever else
// it was given as it is.
func (s *session) traced(ref string) (string, error) {
	for _, prefix := range []string{ra.PassPrefix, ra.RequestPrefix, ra.CertificatePrefix, ra.DevicePrefix} {
		if isID(ref, prefix) {
			return ref, nil
		}
	}
	id, err := s.deviceID(ref)
	if ra.KindOf(err) == ra.NotFound {
		return ref, nil
	}
	return id, err
}

// whoTakes is the word for who takes a step.
func whoTakes(t resource.Trace, l resource.TraceLine) string {
	if l.Who == "authority" && t.Kind == "pass" {
		return "SCEP server"
	}
	return traceWho[l.Who]
}

func (s *session) showTrace(t resource.Trace, all bool) error {
	if s.flags.output != "table" {
		return s.print(t)
	}
	if err := s.facts(t, fact{t.Kind, t.ID}, fact{"result", t.Result}, fact{"state", t.State}, fact{"subject", t.Subject}, fact{"device", s.label("device", t.DeviceID)}, fact{"user", s.label("user", t.UserID)},
		fact{"template", s.label("template", t.TemplateID)}, fact{"authority", s.label("authority", t.AuthorityID)}); err != nil {
		return err
	}
	fmt.Fprintln(s.Stdout)
	w := tabwriter.NewWriter(s.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NO\tWHO\tWHAT\tSTATE\tTIME (UTC)\tTOOK")
	for _, l := range t.Lines {
		number, at, took := "", "", ""
		if l.Number > 0 {
			number = fmt.Sprint(l.Number)
		}
		if !l.At.IsZero() {
			at = l.At.UTC().Format("2006-01-02 15:04:05")
		}
		if l.TookUS > 0 {
			took = lasted(time.Duration(l.TookUS) * time.Microsecond)
		}
		word := strings.ReplaceAll(l.State, "_", " ")
		if l.Times > 1 {
			word += fmt.Sprintf(" (%d times)", l.Times)
		}
		fmt.Fprintln(w, strings.TrimRight(strings.Join([]string{number, whoTakes(t, l), printable(l.Title), traceSigns[l.State] + " " + word, at, took}, "\t"), "\t "))
		if !all {
			continue
		}
		if l.Message != "" {
			fmt.Fprintf(w, "\t\t  %s\n", printable(l.Message))
		}
		for _, name := range slices.Sorted(maps.Keys(l.Fields)) {
			fmt.Fprintf(w, "\t\t  %s: %s\n", name, printable(l.Fields[name]))
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	p := t.Problem
	if p == nil {
		return nil
	}
	name := p.Title
	if p.Number > 0 {
		name = fmt.Sprintf("step %d, %s", p.Number, p.Title)
	}
	how := "Failed"
	if p.State == "waiting" {
		how = "Held up"
	}
	fmt.Fprintf(s.Stdout, "\n%s: %s (%s)\n", how, printable(name), whoTakes(t, *p))
	if p.Message != "" {
		fmt.Fprintf(s.Stdout, "  Why:  %s\n", printable(p.Message))
	}
	if p.Remedy != "" {
		fmt.Fprintf(s.Stdout, "  Do:   %s\n", printable(p.Remedy))
	}
	return nil
}

// lasted writes how long something took.
func lasted(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "< 1 ms"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func (p *Program) authorityChallenges() *cobra.Command {
	return p.verb("challenges AUTHORITY", "Tell how many challenges of an authority's SCEP server are out", "", cobra.ExactArgs(1), func(s *session, args []string) error {
		id, err := s.authorityID(args[0])
		if err != nil {
			return err
		}
		r, err := s.c.AuthorityChallenges(s.ctx, id)
		if err != nil {
			return err
		}
		if r.Capacity == 0 && r.Out+r.Waiting == 0 {
			return s.say(r, "The server of this authority hands out no challenges one by one.")
		}
		return s.facts(r, fact{"out", fmt.Sprintf("%d of %d", r.Out, r.Capacity)}, fact{"waiting", fmt.Sprint(r.Waiting)})
	})
}

// acceptCertificates shows what a SCEP server shows and, when a person says so,
// accepts it.
func (p *Program) acceptCertificates() *cobra.Command {
	return p.verb("accept AUTHORITY", "Compare the certificates of a SCEP server with those that are kept, and accept them", "  chancery authority accept NDES", cobra.ExactArgs(1), func(s *session, args []string) error {
		id, err := s.authorityID(args[0])
		if err != nil {
			return err
		}
		r, err := s.c.CompareCertificates(s.ctx, id)
		if err != nil {
			return err
		}
		var prints []string
		rows := [][]string{}
		for _, c := range r.Certificates {
			if c.Shown {
				prints = append(prints, c.Fingerprint)
			}
			rows = append(rows, []string{c.Subject, word(c.Shown), word(c.Kept), day(c.NotAfter), c.Fingerprint})
		}
		if s.flags.output == "table" {
			if err := s.table([]string{"SUBJECT", "SHOWN NOW", "KEPT", "ENDS", "SHA-256"}, rows, "The server shows no certificates."); err != nil {
				return err
			}
		}
		if !r.Changed {
			return s.say(r, "They are known; there is nothing to accept.")
		}
		if err := s.confirm("Keep what the server shows now? Ask its owner whether these fingerprints are right."); err != nil {
			return err
		}
		if err := s.c.AcceptCertificates(s.ctx, id, prints); err != nil {
			return err
		}
		return s.say(r, "The certificates are accepted.")
	})
}

func word(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
