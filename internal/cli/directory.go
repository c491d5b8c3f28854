package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"chancery/internal/api/resource"
	"chancery/internal/dirpolicy"
	"chancery/internal/ra"
)

// directories are where users come from.
func (p *Program) directories() *cobra.Command {
	var q resource.DirectoryQuery
	list := p.list("List directories", "", func(f *pflag.FlagSet) {
		f.StringVar(&q.Text, "text", "", "part of the name")
		f.StringVar(&q.Group, "group", "", "this group and everything below it")
	}, func(s *session, l *listing) (err error) {
		if q.Group, err = s.groupID(q.Group); err != nil {
			return err
		}
		return show(s, l, func(page resource.PageQuery) (resource.Page[resource.Directory], error) {
			q.PageQuery = page
			return s.c.Directories(s.ctx, q)
		}, []column[resource.Directory]{{"NAME", func(d resource.Directory) string { return d.Name }}, {"GROUP", func(d resource.Directory) string { return s.groupName(d.GroupID) }},
			{"DISABLED", func(d resource.Directory) string { return yes(d.Disabled) }}, {"ID", func(d resource.Directory) string { return d.ID }}},
			"There is no directory. Define one with: chancery directory add --name NAME --group GROUP --servers HOST --user USER --password-file FILE")
	})
	return noun("directory", "Directories: where users come from", list, p.showDirectory(), p.addDirectory(), p.updateDirectory(), p.testDirectory(), p.syncDirectory(), p.directoryRuns(),
		p.delete("delete DIRECTORY", "Delete a directory; its users stay", "directory", (*session).directoryID, func(s *session, id string) error { return s.c.DeleteDirectory(s.ctx, id) }))
}

func (s *session) directoryID(ref string) (string, error) {
	if isID(ref, ra.DirectoryPrefix) {
		return ref, nil
	}
	page, err := s.c.Directories(s.ctx, resource.DirectoryQuery{Text: ref, PageQuery: resource.PageQuery{Limit: search}})
	if err != nil {
		return "", err
	}
	return pick("directory", ref, page.Items, func(d resource.Directory) bool { return same(d.Name, ref) }, func(d resource.Directory) string { return d.ID })
}

func directoryFlags(c *cobra.Command) {
	definedFlags(c, &dirpolicy.Settings{}, "organization group its users belong to", "ask it for nothing")
}

func (s *session) directoryInput(c *cobra.Command) (resource.DirectoryInput, error) {
	in, err := s.defined(c, &dirpolicy.Settings{})
	return resource.DirectoryInput(in), err
}

func (p *Program) addDirectory() *cobra.Command {
	var c *cobra.Command
	test := false
	c = p.verb("add", "Define a directory", "  chancery directory add --name Corp --group Acme --servers dc1.corp.example.com --roots-file root.pem --user svc-chancery@corp.example.com --password-file password",
		cobra.NoArgs, func(s *session, _ []string) error {
			in, err := s.directoryInput(c)
			if err != nil {
				return err
			}
			if test {
				t := resource.DirectoryTest{Settings: in.Settings}
				if in.GroupID != nil {
					t.GroupID = *in.GroupID
				}
				return s.tested(s.c.TestDirectorySettings(s.ctx, t))
			}
			d, err := s.c.CreateDirectory(s.ctx, in)
			if err != nil {
				return err
			}
			return s.say(d, "Defined directory %s (%s). Its users are taken over soon.", d.Name, d.ID)
		})
	directoryFlags(c)
	c.Flags().BoolVar(&test, "test-only", false, "test the settings and store nothing")
	return c
}

func (p *Program) updateDirectory() *cobra.Command {
	var c *cobra.Command
	c = p.verb("update DIRECTORY", "Change a directory", "  chancery directory update Corp --interval 30m", cobra.ExactArgs(1), func(s *session, args []string) error {
		in, err := s.directoryInput(c)
		if err != nil {
			return err
		}
		id, err := s.directoryID(args[0])
		if err != nil {
			return err
		}
		d, err := s.c.UpdateDirectory(s.ctx, id, in)
		if err != nil {
			return err
		}
		return s.say(d, "Changed directory %s.", d.Name)
	})
	directoryFlags(c)
	return c
}

func (p *Program) showDirectory() *cobra.Command {
	return p.verb("show DIRECTORY", "Show a directory", "", cobra.ExactArgs(1), func(s *session, args []string) error {
		id, err := s.directoryID(args[0])
		if err != nil {
			return err
		}
		d, err := s.c.Directory(s.ctx, id)
		if err != nil {
			return err
		}
		lines := []fact{{"name", d.Name}, {"id", d.ID}, {"group", s.groupName(d.GroupID)}, {"description", d.Description}, {"disabled", yes(d.Disabled)}, {"created", when(d.CreatedAt)}, {"changed", when(d.UpdatedAt)}}
		if st := d.Status; st != nil {
			lines = append(lines, fact{"taken over", when(st.SyncedAt)}, fact{"users", fmt.Sprint(st.Users)}, fact{"next run", when(st.NextAt)}, fact{"last error", st.LastError})
		}
		settings, err := settingFacts(&dirpolicy.Settings{}, &dirpolicy.Settings{}, d.Settings)
		if err != nil {
			return err
		}
		return s.facts(d, append(lines, settings...)...)
	})
}

func (p *Program) testDirectory() *cobra.Command {
	return p.testing("test DIRECTORY", "Test the connection to a directory", "  chancery directory test Corp", (*session).directoryID,
		func(s *session, id string) (resource.TestReport, error) { return s.c.TestDirectory(s.ctx, id) })
}

func (p *Program) syncDirectory() *cobra.Command {
	var in resource.SyncOrder
	var wait time.Duration
	c := p.verb("sync DIRECTORY", "Take users over now", "  chancery directory sync Corp --preview\n  chancery directory sync Corp --allow 40", cobra.ExactArgs(1), func(s *session, args []string) error {
		id, err := s.directoryID(args[0])
		if err != nil {
			return err
		}
		if in.Allow > 0 {
			if err := s.confirm("Allow up to %d users to be disabled at once?", in.Allow); err != nil {
				return err
			}
		}
		run, err := s.c.OrderSync(s.ctx, id, in)
		for end := time.Now().Add(wait); err == nil && (run.State == "waiting" || run.State == "running") && time.Now().Before(end); {
			time.Sleep(200 * time.Millisecond)
			run, err = s.c.Sync(s.ctx, run.ID)
		}
		if err != nil {
			return err
		}
		if err := s.showSync(run); err != nil || run.State != "held" && run.State != "failed" {
			return err
		}
		return &exit{codeFindings}
	})
	c.Flags().BoolVar(&in.Preview, "preview", false, "only count what would change")
	c.Flags().BoolVar(&in.Full, "full", false, "read everybody, not only who changed")
	c.Flags().IntVar(&in.Allow, "allow", 0, "how many users may be disabled although they are many")
	c.Flags().DurationVar(&wait, "wait", time.Minute, "how long to wait for the end; 0 for not at all. Runs are done by a server.")
	return c
}

func (s *session) showSync(r resource.Sync) error {
	lines := []fact{{"run", r.ID}, {"state", r.State}, {"doing", r.Phase}, {"ordered by", r.OrderBy}, {"preview", yes(r.Preview)}, {"everybody", yes(r.Full)}, {"server", r.Server},
		{"in the directory", fmt.Sprint(r.Total)}, {"read", fmt.Sprint(r.Read)}, {"new", fmt.Sprint(r.Added)}, {"changed", fmt.Sprint(r.Changed)}, {"disabled", fmt.Sprint(r.Disabled)},
		{"enabled", fmt.Sprint(r.Enabled)}, {"skipped", fmt.Sprint(r.Skipped)}, {"message", r.Message}, {"hint", r.Remedy}}
	for _, n := range r.Notes {
		lines = append(lines, fact{"note", n})
	}
	for _, p := range r.Problems {
		lines = append(lines, fact{"problem", p.User + ": " + p.Message + " " + p.Remedy})
	}
	return s.facts(r, lines...)
}

func (p *Program) directoryRuns() *cobra.Command {
	l := &listing{limit: 20}
	c := p.verb("runs DIRECTORY", "List the runs of a directory, newest first", "  chancery directory runs Corp", cobra.ExactArgs(1), func(s *session, args []string) error {
		id, err := s.directoryID(args[0])
		if err != nil {
			return err
		}
		return show(s, l, func(page resource.PageQuery) (resource.Page[resource.Sync], error) { return s.c.Syncs(s.ctx, id, page) },
			[]column[resource.Sync]{{"STARTED", func(r resource.Sync) string { return when(r.Started) }}, {"STATE", func(r resource.Sync) string { return r.State }},
				{"PREVIEW", func(r resource.Sync) string { return yes(r.Preview) }}, {"BY", func(r resource.Sync) string { return r.OrderBy }},
				{"RESULT", func(r resource.Sync) string { return r.Message }}, {"ID", func(r resource.Sync) string { return r.ID }}},
			"Nothing was taken over yet.")
	})
	c.Flags().IntVar(&l.limit, "limit", 20, "how many at most; 0 for all")
	return c
}

// directoryEntry tells how it stands with a certificate in its user's entry.
func directoryEntry(p *resource.Publication) string {
	out := "does not have it"
	if p.Published {
		out = "has it"
	}
	if p.Action != "" {
		out += ", next " + p.Action
	}
	return strings.TrimSpace(out + " " + p.LastError)
}
